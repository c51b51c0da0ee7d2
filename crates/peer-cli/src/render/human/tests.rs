use lanspread_peer::{GameState, OperationKind};

use super::*;
use crate::render::samples;

fn shown(event: PeerEvent) -> Option<String> {
    Human::lines().render(&Message::Event(event))
}

#[test]
fn every_event_that_people_are_told_is_a_sentence() {
    let lines: Vec<_> = samples::events().into_iter().filter_map(shown).collect();
    let expected = [
        "pc-7 (0101010101) listens on 192.168.1.5:40123",
        "pc-7 joined from 192.168.1.5:40123",
        "pc-7 left: nothing came from it any more",
        "Age of Empires II: the peers disagree about version 1.5; 1 other form of it not used",
        "Age of Empires II: downloading version 1.5, 1.0 kB, 100 B of it here already",
        "Age of Empires II: 25 % of 1.0 kB, 100 B/s from 2 peers, 7s left",
        "Age of Empires II: version 1.5 is here, 1.0 kB (100 B were here already) in 2s 500ms, \
         360 B/s from 2 peers",
        "Age of Empires II: download failed: no reachable peer has cnctw",
        "Age of Empires II: download cancelled",
        "Age of Empires II: stalled at 250 B of 1.0 kB; it goes on by itself when a source returns",
        "Age of Empires II: installing version 1.5",
        "Age of Empires II: 25 % of 3.0 kB, 3 of 12 files",
        "Age of Empires II: version 1.5 is installed in the place of 1.4, 12 files, 3.0 kB in 1s 500ms",
        "Age of Empires II: install failed: setup.zip is damaged",
        "Age of Empires II: install cancelled, and taken back",
        "Age of Empires II: 0101010101 has others to serve first, place 3 in its queue",
        "Age of Empires II: uninstalled",
        "Age of Empires II: uninstall failed: setup.zip is damaged",
        "Age of Empires II: intact, 1.0 kB checked",
        "Age of Empires II: 1 file damaged or missing\n  data/one.bin\n\
         Age of Empires II: fetched again, and intact now",
        "Age of Empires II: could not be checked: no reachable peer has cnctw",
        "Age of Empires II: removed",
        "the folder \"CON\" is not announced: a device name",
        "Age of Empires II: /srv/games/x/.local.backup is in the way of installs and not ours; \
         it is left alone",
        "pc-7 (0202020202) is watched for Age of Empires II: it sent wrong bytes",
        "192.168.1.5:40123 is not used: it belongs to another party",
        "the server failed and is being restarted: it fell over",
        "17 events were missed",
        "shutting down",
    ];
    for (line, expected) in lines.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines.len(), expected.len());
}

#[test]
fn progress_is_a_line_at_every_step() {
    let mut human = Human::lines();
    let mut shown = 0;
    for done in 0..=1000 {
        let progress = PeerEvent::DownloadGameFilesProgress {
            game: samples::game(),
            bytes_done: done,
            bytes_total: 1000,
            bytes_per_second: 0,
            peers: 1,
            streamed: false,
            files_done: None,
            peer: None,
        };
        shown += usize::from(human.render(&Message::Event(progress)).is_some());
    }
    assert_eq!(shown, 11);
}

#[test]
fn games_are_a_table_whose_columns_line_up() {
    let mut short = samples::game_view();
    short.id = "x".parse().unwrap();
    short.version = Some("1.4".parse().unwrap());
    short.state = GameState::Downloaded;
    short.installed = true;
    assert_eq!(
        tables::game_table(&[samples::game_view(), short]),
        "ID                 NAME     HERE  LATEST  STATE            PEERS  SIZE\n\
         Age of Empires II  The Age  -     1.5                      2      1.5 GB\n\
         x                  The Age  1.4   1.5     here, installed  2      1.5 GB"
    );
    let mut older = samples::game_view();
    older.state = GameState::Partial;
    older.installed = true;
    older.installed_version = Some("1.4".parse().unwrap());
    let table = tables::game_table(&[older]);
    assert!(table.contains("partly here, 1.4 installed"), "{table}");
    assert_eq!(tables::game_table(&[]), "no games are known here yet");
}

#[test]
fn every_reply_with_something_to_tell_is_shown() {
    for reply in samples::replies() {
        let silent = matches!(reply.result, Ok(Answer::Done {} | Answer::Event(_)));
        let text = Human::lines().render(&Message::Reply(reply.clone()));
        assert_eq!(text.is_none(), silent, "{reply:?}");
    }
    let failed = samples::replies().pop().unwrap();
    assert_eq!(
        Human::lines().render(&Message::Reply(failed)).as_deref(),
        Some("line 11: download: no reachable peer has cnctw")
    );
}

#[test]
fn a_long_list_of_bad_files_is_cut() {
    let mut summary = samples::verified(false);
    summary.repaired = false;
    summary.bad = (0..12)
        .map(|number| format!("f{number}").parse().unwrap())
        .collect();
    let text = verified(&summary);
    assert!(
        text.starts_with("Age of Empires II: 12 files damaged or missing\n  f0\n"),
        "{text}"
    );
    assert!(text.ends_with("  f9\n  and 2 more"), "{text}");
}

#[test]
fn hashing_is_told_when_it_takes_long() {
    let hashing = |bytes_total| PeerEvent::IndexProgress {
        game: samples::game(),
        bytes_done: bytes_total / 2,
        bytes_total,
    };
    assert_eq!(shown(hashing(HASHING_SHOWN_MIN - 1)), None);
    let text = shown(hashing(1_000_000_000));
    assert_eq!(
        text.as_deref(),
        Some("Age of Empires II: 50 % of 1.0 GB, hashing")
    );
}

#[test]
fn a_check_shows_how_far_it_is() {
    let mut operation = OperationView {
        game: samples::game(),
        kind: OperationKind::Verify,
        bytes_done: 0,
        bytes_total: 0,
        files_done: 0,
        files_total: 0,
        bytes_per_second: 0,
        peers: 0,
        stalled: false,
    };
    assert_eq!(Human::lines().progress(&operation), None);
    (operation.bytes_done, operation.bytes_total) = (500, 1000);
    let text = Human::lines().progress(&operation);
    assert_eq!(
        text.as_deref(),
        Some("Age of Empires II: 50 % of 1.0 kB, verify running")
    );
}
