//! Quitting before a game is announced: what was hashed of it is not hashed again.

use std::{
    fs,
    time::{Duration, UNIX_EPOCH},
};

use lanspread_library::{LibraryEvent, LocalGame, LocalState};
use lanspread_proto::ManifestId;

use crate::lab::{Lab, Run, id, manifest_of, set_modified};

const MIB: u64 = 1 << 20;
const THREADS: u64 = 2;
const SMALL_FILES: u64 = 120;
const LARGE_BYTES: u64 = 400 * MIB;
const DOCUMENT: &str = "games/game/hashing.bin";

/// A game of many files of one chunk.
fn put_many(lab: &Lab) -> u64 {
    for at in 0..SMALL_FILES {
        lab.put(
            &format!("game/{at}.bin"),
            vec![u8::try_from(at).unwrap(); 1 << 20],
        );
    }
    lab.put("game/version.ini", "1");
    SMALL_FILES * MIB
}

/// A game of one large file, which takes no room.
fn put_large(lab: &Lab) -> u64 {
    lab.put_sparse("game/large.bin", LARGE_BYTES);
    lab.put("game/version.ini", "1");
    LARGE_BYTES
}

/// Runs until the game was looked at and is announced; what that hashed.
async fn finish(lab: &Lab) -> (ManifestId, u64) {
    let mut run = lab.run();
    run.everything_seen().await;
    let manifest = run.announced("game", None).await;
    let library = run.stop().await;
    assert!(!lab.state_path(DOCUMENT).exists(), "of no more use");
    (manifest, library.hashed_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn quitting_costs_a_piece_per_thread_and_no_more() {
    type Put = fn(&Lab) -> u64;
    let games: [(Put, u64); 2] = [(put_many, MIB), (put_large, 32 * MIB)];
    for (put, piece_bytes) in games {
        let expected = {
            let lab = Lab::new();
            put(&lab);
            finish(&lab).await.0
        };
        for percent in [1, 50, 100] {
            let lab = Lab::new();
            let bytes = put(&lab);
            let mut run = lab.run();
            run.hashed(bytes * percent / 100).await;
            let first = run.stop().await.hashed_bytes();
            let (manifest, second) = finish(&lab).await;
            assert_eq!(manifest, expected, "{percent} %");
            let both = first + second;
            assert!(
                (bytes..=bytes + THREADS * piece_bytes).contains(&both),
                "{percent} %: {first} and {second} of {bytes} bytes"
            );
            assert_eq!(finish(&lab).await, (expected, 0), "{percent} %");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quitting_again_and_again_comes_to_an_end() {
    let lab = Lab::new();
    let bytes = put_large(&lab);
    let mut all = 0;
    for quits in 1.. {
        let mut run = lab.run();
        run.hashed(64 * MIB * quits).await;
        let library = run.stop().await;
        all += library.hashed_bytes();
        if 64 * MIB * quits >= bytes / 2 {
            break;
        }
    }
    all += finish(&lab).await.1;
    assert!(all <= bytes + 5 * THREADS * 32 * MIB, "{all} of {bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_in_between_is_hashed_again() {
    let lab = Lab::new();
    let bytes = put_many(&lab);
    let mut run = lab.run();
    run.hashed(bytes).await;
    run.stop().await;
    lab.put("game/7.bin", vec![255; 1 << 20]);
    set_modified(
        &lab.path("game/7.bin"),
        UNIX_EPOCH + Duration::from_hours(1),
    );
    lab.put("game/new.bin", "new");
    fs::remove_file(lab.path("game/8.bin")).unwrap();
    let (manifest, hashed) = finish(&lab).await;
    assert_eq!(hashed, MIB + 3);

    fs::remove_dir_all(lab.state_path("")).unwrap();
    assert_eq!(finish(&lab).await.0, manifest, "the same as from nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_is_half_hashed_keeps_what_both_versions_share() {
    let lab = Lab::new();
    let bytes = put_many(&lab);
    let (old, _) = finish(&lab).await;
    for at in 0..60 {
        lab.put(&format!("game/{at}.bin"), vec![255; 1 << 20]);
    }
    lab.put("game/version.ini", "2");
    let mut run = lab.run();
    run.hashed(30 * MIB).await;
    let first = run.stop().await;
    if manifest_of(&first.snapshot(), "game").is_none() {
        assert_eq!(lab.open().0.payload_of(&id("game")).unwrap().id(), old);
    }
    let (manifest, second) = finish(&lab).await;
    let both = first.hashed_bytes() + second;
    assert_ne!(manifest, old);
    assert!(
        (60 * MIB..=(60 + THREADS) * MIB).contains(&both),
        "{both} of {bytes}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_process_costs_what_was_hashed_since_the_last_save() {
    let mut lab = Lab::new();
    lab.timing.save = Duration::from_millis(1);
    let bytes = put_large(&lab);
    let mut run = lab.run();
    let saved = || lab.state_path(DOCUMENT).exists();
    run.event(|event| match event {
        LibraryEvent::IndexProgress { .. } => saved().then_some(()),
        _ => None,
    })
    .await;
    run.cut_off().await;
    let (_, second) = finish(&lab).await;
    assert!(second < bytes, "{second} of {bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_cut_anywhere_is_harmless() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    let whole = document_of_all(&lab).await;
    fs::remove_dir_all(lab.state_path("")).unwrap();
    let folder = |len| {
        let game = if len == whole.len() {
            "game".to_owned()
        } else {
            format!("cut{len}")
        };
        lab.state_path("games").join(game)
    };
    for len in 0..=whole.len() {
        if len < whole.len() {
            lab.put_game(&format!("cut{len}"), "1");
        }
        fs::create_dir_all(folder(len)).unwrap();
        fs::write(folder(len).join("hashing.bin"), &whole[..len]).unwrap();
    }
    let run = lab.run();
    let manifest = run.announced("game", None).await;
    let same = |game: &LocalGame| game.manifest == Some(manifest);
    run.until(|snapshot| snapshot.games.values().all(same))
        .await;
    let library = run.stop().await;
    assert_eq!(library.snapshot().games.len(), whole.len() + 1);
    assert_eq!(library.hashed_bytes(), 10 * whole.len() as u64);
    for len in 0..=whole.len() {
        let entries = fs::read_dir(folder(len)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(names[0], "chunks.bin");
        if len < whole.len() {
            assert!(names[1].starts_with("hashing.bin.bad-"), "{names:?}");
        }
        assert_eq!(names.last().unwrap(), "manifest.json");
        assert_eq!(names.len(), 2 + usize::from(len < whole.len()), "{names:?}");
    }
}

/// The document of a game of which all is hashed: it stays because the index cannot be saved.
async fn document_of_all(lab: &Lab) -> Vec<u8> {
    let opened = lab.open();
    fs::create_dir(lab.state_path("library_index.json")).unwrap();
    let mut run = Run::begin(opened);
    run.event(|event| matches!(event, LibraryEvent::IndexNotSaved { .. }).then_some(()))
        .await;
    run.announced("game", None).await;
    run.stop().await;
    fs::read(lab.state_path(DOCUMENT)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_a_newer_format_is_left_alone() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    let future = b"lanhsh\0\x02future";
    fs::create_dir_all(lab.state_path("games/game")).unwrap();
    fs::write(lab.state_path(DOCUMENT), future).unwrap();
    let run = lab.run();
    run.announced("game", None).await;
    assert_eq!(run.stop().await.hashed_bytes(), 10);
    assert_eq!(fs::read(lab.state_path(DOCUMENT)).unwrap(), future);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_goes_with_the_folder_also_while_nobody_looks() {
    let lab = Lab::new();
    let bytes = put_many(&lab);
    for running in [true, false] {
        let mut run = lab.run();
        run.hashed(bytes / 4).await;
        run.stop().await;
        assert!(lab.state_path(DOCUMENT).exists());
        fs::rename(lab.path("game"), lab.path("away")).unwrap();
        fs::remove_file(lab.path("away/version.ini")).unwrap();
        if running {
            fs::rename(lab.path("away"), lab.path("game")).unwrap();
            let mut run = lab.run();
            run.everything_seen().await;
            run.stop().await;
            assert!(lab.state_path(DOCUMENT).exists(), "the folder is here");
            lab.put("game/version.ini", "1");
            let run = lab.run();
            run.state("game", LocalState::Indexing).await;
            fs::rename(lab.path("game"), lab.path("away")).unwrap();
            run.gone("game").await;
            run.stop().await;
        } else {
            let mut run = lab.run();
            run.everything_seen().await;
            run.stop().await;
        }
        assert!(!lab.state_path(DOCUMENT).exists());
        fs::rename(lab.path("away"), lab.path("game")).unwrap();
        lab.put("game/version.ini", "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_that_is_rewritten_while_its_game_is_hashed_costs_nothing() {
    let lab = Lab::new();
    let bytes = put_large(&lab);
    fs::create_dir(lab.path("game/local")).unwrap();
    let mut run = lab.run();
    run.hashed(bytes / 4).await;
    fs::remove_file(lab.path("game/version.ini")).unwrap();
    run.library.rescan(&id("game"));
    run.state("game", LocalState::Absent).await;
    lab.put("game/version.ini", "2");
    run.announced("game", None).await;
    let hashed = run.stop().await.hashed_bytes();
    assert!(hashed <= bytes + THREADS * 32 * MIB, "{hashed} of {bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quitting_between_the_last_byte_and_the_announcement_costs_nothing() {
    // Each round meets another moment of that short time.
    for round in 0..40 {
        let lab = Lab::new();
        lab.put_game("game", "1");
        let run = lab.run();
        while run.library.hashed_bytes() < 10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(run.stop().await.hashed_bytes(), 10, "round {round}");
        assert_eq!(finish(&lab).await.1, 0, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_lost_between_manifest_and_index_costs_nothing() {
    const INDEX: &str = "library_index.json";
    const MANIFEST: [&str; 2] = ["games/game/manifest.json", "games/game/chunks.bin"];
    let lab = Lab::new();
    lab.put_game("game", "1");
    finish(&lab).await;
    let old_index = fs::read(lab.state_path(INDEX)).unwrap();
    lab.put("game/b.bin", "BRAVO");
    let (expected, _) = finish(&lab).await;
    let new_manifest = MANIFEST.map(|name| fs::read(lab.state_path(name)).unwrap());
    fs::remove_dir_all(lab.state_path("")).unwrap();
    let document = document_of_all(&lab).await;

    for index in [Some(old_index), None] {
        fs::remove_dir_all(lab.state_path("")).unwrap();
        fs::create_dir_all(lab.state_path("games/game")).unwrap();
        for (name, content) in MANIFEST.iter().zip(&new_manifest) {
            fs::write(lab.state_path(name), content).unwrap();
        }
        fs::write(lab.state_path(DOCUMENT), &document).unwrap();
        if let Some(index) = index {
            fs::write(lab.state_path(INDEX), index).unwrap();
        }
        assert_eq!(finish(&lab).await, (expected, 0));
    }
}
