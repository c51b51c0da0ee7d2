//! Downloads between real processes.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::fs;

use serde_json::json;

use crate::lab::{Lab, Shell};

const GAME: &str = "Age of Empires II";
const MIB: usize = 1 << 20;
const FILES: [(&str, usize); 4] = [
    ("data/big.bin", 3 * MIB + 17),
    ("data/small.bin", 5),
    ("empty", 0),
    ("readme.txt", 2000),
];

#[test]
fn a_game_goes_from_one_shell_to_another() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    a.has(GAME, &FILES);
    let mut source = a.shell(&[]);
    let mut receiver = b.shell(&["--peer", &source.address()]);
    receiver.data("wait peer_joined --timeout 20");
    loop {
        let list = receiver.data("list");
        if list["games"][0]["peers"] == 1 {
            assert_eq!(list["games"][0]["state"], "remote");
            break;
        }
        receiver.data("wait library_changed --timeout 20");
    }
    let details = receiver.data(&format!("game {GAME}"));
    assert_eq!(details["files"].as_array().unwrap().len(), FILES.len());
    assert_eq!(
        receiver.data(&format!("fetch \"{GAME}\""))["manifest"],
        details["manifest"]
    );
    assert_eq!(
        receiver.data(&format!("download {GAME} --no-install")),
        json!({})
    );
    let finished = receiver.data(&format!("wait download_finished {GAME} --timeout 30"));
    let bytes: usize = FILES.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(
        (&finished["bytes"], &finished["peers"]),
        (&json!(bytes), &json!(1))
    );
    assert_eq!(b.tree(GAME), a.tree(GAME));
    let status = source.data("status");
    assert_eq!(status["outbound_transfers"], json!({}));
    assert!(
        status["sent_bytes"][GAME].as_u64().unwrap() >= bytes as u64,
        "{status}"
    );
    assert_eq!(receiver.data("list")["games"][0]["state"], "downloaded");
    let order: Vec<_> = receiver
        .seen
        .iter()
        .filter_map(|line| line["event"].as_str())
        .filter(|event| event.starts_with("download_") && *event != "download_progress")
        .collect();
    assert_eq!(order, ["download_started", "download_finished"]);
    receiver.quit().expect(0);
    source.quit().expect(0);
}

#[test]
fn the_end_of_input_lets_a_download_finish() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    a.has(GAME, &FILES);
    let mut source = a.shell(&["--upload-limit", "4MB"]);
    let lines = format!(
        "wait peer_joined --timeout 20\nwait library_changed --timeout 20\nsleep 1\ndownload {GAME}\n"
    );
    let ended = b.script(&["--peer", &source.address()], &lines).expect(0);
    assert!(
        ended.stdout.contains("\"download_finished\""),
        "{}",
        ended.stdout
    );
    assert_eq!(b.tree(GAME), a.tree(GAME));
    source.quit().expect(0);
}

#[test]
fn a_cancel_is_answered_when_the_payload_is_gone() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    a.has(GAME, &[("data/big.bin", 24 * MIB)]);
    let mut source = a.serve(&["--upload-limit", "2MiB"]);
    let mut receiver = b.shell(&["--peer", &source.address(), "--wait", "20"]);
    receiver.until(|seen| seen["event"] == "library_changed" && seen["games"] == 1);
    receiver.data(&format!("download {GAME}"));
    receiver.data(&format!("wait download_progress {GAME} --timeout 20"));
    let cancelled = receiver.data(&format!("cancel {GAME}"));
    assert_eq!(
        cancelled,
        json!({ "event": "download_cancelled", "game": GAME, "streamed": false })
    );
    let told = receiver.seen.iter().rev().nth(1).unwrap();
    assert_eq!(
        told["event"], "download_cancelled",
        "the event comes before the reply"
    );
    assert_eq!(b.tree(GAME).len(), 0);
    receiver.refused(&format!("cancel {GAME}"), "bad_input");
    receiver.end_of_input();
    receiver.ended().expect(2);
    source.signal("-TERM");
    source.ended().expect(0);
}

#[test]
fn one_shot_verbs_do_their_work_and_tell_by_exit_code() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    a.has(GAME, &FILES);
    let mut source = a.serve(&[]);
    let peer = source.address();
    let listed = b.run(&["--peer", &peer, "--json", "list"]).expect(0);
    let reply = listed.replies().pop().unwrap();
    assert_eq!(
        (&reply["line"], &reply["data"]["games"][0]["id"]),
        (&json!(1), &json!(GAME))
    );
    assert_eq!(listed.replies().len(), 1);

    let words: Vec<_> = ["--peer", &peer, "download"]
        .into_iter()
        .chain(GAME.split(' '))
        .collect();
    let downloaded = b.run(&words).expect(0);
    assert!(
        downloaded.stdout.contains("version 1.0 is here"),
        "{}",
        downloaded.stdout
    );
    assert_eq!(b.tree(GAME), a.tree(GAME));

    b.run(&["verify", GAME]).expect(0);
    let file = b.games().join(GAME).join("data/big.bin");
    let mut content = fs::read(&file).unwrap();
    content[MIB + 5] ^= 1;
    fs::write(&file, content).unwrap();
    let damaged = b.run(&["verify", GAME]).expect(1);
    assert!(
        damaged.stdout.contains("data/big.bin"),
        "{}",
        damaged.stdout
    );
    b.run(&["--peer", &peer, "verify", GAME, "--repair"])
        .expect(0);
    assert_eq!(b.tree(GAME), a.tree(GAME));

    b.run(&["remove", GAME]).expect(0);
    assert!(!b.games().join(GAME).exists());
    let peers = b.run(&["--peer", &peer, "--json", "peers"]).expect(0);
    assert_eq!(
        peers.replies()[0]["data"]["peers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    source.signal("-TERM");
    source.ended().expect(0);
}

#[test]
fn without_a_source_a_download_ends_with_three() {
    let lab = Lab::new();
    let peer = lab.peer("a");
    let alone = peer.run(&["download", "cnctw"]).expect(3);
    assert!(alone.stderr.contains("cnctw"), "{}", alone.stderr);
    let nobody = peer.run(&[
        "--peer",
        "127.0.0.1:9",
        "--wait",
        "0.2",
        "download",
        "cnctw",
    ]);
    nobody.expect(3);
    peer.run(&["remove", "cnctw"]);
}

#[cfg(unix)]
#[test]
fn a_stalled_download_is_given_up_by_the_verb_and_goes_on_in_the_peer() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    a.has(GAME, &[("data/big.bin", 24 * MIB)]);
    let mut source = a.serve(&["--upload-limit", "4MiB"]);
    let address = source.address();
    let mut running = b.serve(&["--peer", &address]);
    running.until(|seen| seen["event"] == "library_changed" && seen["games"] == 1);
    std::thread::scope(|scope| {
        let verb = scope.spawn(|| b.run(&["--give-up", "1s", "download", GAME]));
        running.until(|seen| {
            seen["event"] == "download_progress" && seen["bytes_done"].as_u64() > Some(0)
        });
        source.signal("-KILL");
        let gave_up = verb.join().unwrap().expect(3);
        assert!(gave_up.stderr.contains("gave up on"), "{}", gave_up.stderr);
    });
    let status = b
        .run(&["--json", "status"])
        .expect(0)
        .replies()
        .pop()
        .unwrap();
    assert_eq!(status["data"]["operations"][0]["stalled"], true, "{status}");

    let mut again = a.bare_command();
    again
        .arg("--game-dir")
        .arg(a.games())
        .arg("--state-dir")
        .arg(a.state());
    let mut source =
        Shell::start(again.args(["--no-mdns", "--json", "--listen", &address, "serve"]));
    source.event("ready");
    let finished = running.event("download_finished");
    assert!(finished["fetched_bytes"].as_u64() > Some(0), "{finished}");
    assert_eq!(b.tree(GAME), a.tree(GAME));
}

#[test]
fn peers_of_two_parties_do_not_meet_and_both_say_why() {
    let lab = Lab::new();
    let (a, b) = (lab.peer("a"), lab.peer("b"));
    a.has(GAME, &FILES);
    let party = b.state().with_file_name("party");
    let party = party.to_str().unwrap();
    let made = b.run(&["party", "new", party]).expect(0);
    assert!(made.stdout.contains(party), "{}", made.stdout);
    b.run(&["party", "new", party]).expect(2);
    let mut source = a.serve(&[]);
    let peer = source.address();
    b.run(&[
        "--party", party, "--peer", &peer, "--wait", "3", "download", GAME,
    ])
    .expect(7);
    let refused = source.event("peer_distrusted");
    assert_eq!(refused["reason"], "party_mismatch");
    let mut stranger = b.shell(&["--party", party]);
    stranger.refused(&format!("connect {peer}"), "party_mismatch");
    stranger.end_of_input();
    stranger.ended().expect(7);
}
