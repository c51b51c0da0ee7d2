//! The monitor on a disk that changes: real files, real notices, a short debounce.

use std::{fs, sync::Arc, time::Duration};

use lanspread_library::{LibraryError, LibraryEvent, LocalState, Origin};
use lanspread_proto::GamePath;
use tokio_util::sync::CancellationToken;

use crate::lab::{Lab, id, manifest_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_game_appears_changes_and_disappears() {
    let lab = Lab::new();
    let mut run = lab.run();
    lab.put_game("game", "1");
    let first = run.announced("game", None).await;
    let last = run
        .event(|event| match event {
            LibraryEvent::IndexProgress {
                game,
                bytes_done,
                bytes_total,
            } => (bytes_done == bytes_total).then_some((game, bytes_total)),
            _ => None,
        })
        .await;
    assert_eq!(last, (id("game"), 10));

    lab.put("game/c.bin", "charlie");
    let second = run.announced("game", Some(first)).await;
    assert_eq!(run.library.hashed_bytes(), 17);
    assert!(run.library.payload(&first).is_none(), "no longer announced");

    fs::create_dir(lab.path("game/local")).unwrap();
    run.until(|snapshot| snapshot.get(&id("game")).unwrap().installed)
        .await;
    assert_eq!(manifest_of(&run.library.snapshot(), "game"), Some(second));

    fs::remove_file(lab.path("game/version.ini")).unwrap();
    let snapshot = run.state("game", LocalState::Absent).await;
    assert_eq!(snapshot.get(&id("game")).unwrap().version, None);
    fs::remove_dir_all(lab.path("game")).unwrap();
    run.gone("game").await;

    lab.put_game("game", "1");
    lab.put("game/c.bin", "charlie");
    assert_eq!(
        run.announced("game", None).await,
        second,
        "the same again under a new watch"
    );
    fs::remove_file(lab.path("game/c.bin")).unwrap();
    assert_eq!(run.announced("game", Some(second)).await, first);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_folder_is_another_game() {
    let lab = Lab::new();
    lab.put_game("old", "1");
    let run = lab.run();
    let manifest = run.announced("old", None).await;
    fs::rename(lab.path("old"), lab.path("new")).unwrap();
    run.gone("old").await;
    assert_eq!(run.announced("new", None).await, manifest);
    fs::write(lab.path("new/version.ini"), "2").unwrap();
    run.announced("new", Some(manifest)).await;
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_finds_what_no_watch_reports() {
    let mut lab = Lab::new();
    lab.put_game("game", "1");
    let first = lab.index().await;
    lab.timing.fallback = Duration::from_millis(50);
    let run = lab.run();
    lab.put("game/data/deep.bin", "deep");
    run.announced("game", manifest_of(&first, "game")).await;
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_game_is_not_served_until_it_was_looked_at() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    lab.index().await;
    let (library, _events) = lab.open();
    let manifest = manifest_of(&library.snapshot(), "game").unwrap();
    library.changed_on_disk(&id("game"));
    let snapshot = library.snapshot();
    let game = snapshot.get(&id("game")).unwrap();
    assert_eq!(
        (game.state, game.manifest, game.bytes),
        (LocalState::Indexing, None, 10)
    );
    assert!(library.payload(&manifest).is_none());
    assert_eq!(
        library.payload_of(&id("game")).unwrap().id(),
        manifest,
        "to compare with"
    );

    let cancel = CancellationToken::new();
    let (running, stop) = (library.clone(), cancel.clone());
    let task = tokio::spawn(async move { running.run(stop).await });
    let mut snapshots = library.subscribe();
    let back = snapshots.wait_for(|snapshot| manifest_of(snapshot, "game") == Some(manifest));
    tokio::time::timeout(crate::lab::DEADLINE, back)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(library.hashed_bytes(), 0, "the stamps were right");
    cancel.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn doubted_files_are_hashed_although_their_stamps_are_right() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    let first = lab.index().await;
    let mut run = lab.run();
    run.everything_seen().await;
    lab.corrupt("game/data/a.bin", b"alphA");
    let path: GamePath = "data/a.bin".parse().unwrap();
    run.library.doubt(&id("game"), &[path]);
    run.announced("game", manifest_of(&first, "game")).await;
    assert_eq!(run.library.hashed_bytes(), 5);
    run.stop().await;
}

/// A running library on a game that was just downloaded, `stray.bin` beside it.
async fn downloaded(lab: &Lab) -> crate::lab::Run {
    lab.put_game("other", "1");
    let run = lab.run();
    run.announced("other", None).await;
    let hashed = run.library.hashed_bytes();
    let hold = run.library.hold(&id("game"));
    lab.put_game("game", "1");
    lab.put("game/stray.bin", "x");
    let (stored, stamps) = lab.stored("game", &["b.bin", "data/a.bin"]);
    let manifest = stored.id();
    lab.state().save_payload(&id("game"), &stored).unwrap();
    run.library.committed(&id("game"), stored, stamps);
    assert_eq!(
        manifest_of(&run.library.snapshot(), "game"),
        Some(manifest),
        "at once"
    );
    assert_eq!(
        run.library.payload(&manifest).unwrap().origin(),
        Origin::Downloaded
    );
    drop(hold);
    lab.put_game("next", "1");
    run.announced("next", None).await;
    assert_eq!(
        manifest_of(&run.library.snapshot(), "game"),
        Some(manifest),
        "strays are ignored"
    );
    assert_eq!(run.library.hashed_bytes(), hashed + 10, "of the next game");
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_announced_from_memory_and_known_after_a_restart() {
    let lab = Lab::new();
    let run = downloaded(&lab).await;
    let before = run.library.snapshot();
    run.stop().await;
    let (library, _events) = lab.open();
    assert_eq!(library.snapshot().games, before.games);
    let payload = library.payload_of(&id("game")).unwrap();
    assert_eq!(payload.origin(), Origin::Downloaded);
    assert_eq!(payload.manifest().files().len(), 2);

    fs::remove_file(lab.state_path("library_index.json")).unwrap();
    let again = lab.index().await;
    assert_eq!(
        manifest_of(&again, "game"),
        manifest_of(&before, "game"),
        "without an index too"
    );
}

type Harm = fn(&Lab);

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_download_is_refused_until_it_is_mended() {
    let lab = Lab::new();
    let run = downloaded(&lab).await;
    let manifest = manifest_of(&run.library.snapshot(), "game").unwrap();
    let harms: [(&str, Harm); 4] = [
        ("\"b.bin\" was downloaded and is missing", |lab| {
            fs::remove_file(lab.path("game/b.bin")).unwrap();
        }),
        ("has 3 bytes instead of 5", |lab| {
            lab.put("game/b.bin", "bra");
        }),
        ("has other content now", |lab| {
            lab.put("game/b.bin", "BRAVO");
        }),
        ("\"b.bin\" was downloaded and is missing", |lab| {
            fs::remove_file(lab.path("game/b.bin")).unwrap();
            fs::create_dir(lab.path("game/b.bin")).unwrap();
        }),
    ];
    for (expected, harm) in harms {
        harm(&lab);
        let snapshot = run.state("game", LocalState::Refused).await;
        let shown = snapshot.refused["game"].to_string();
        assert!(shown.contains(expected), "{shown} lacks {expected}");
        assert_eq!(manifest_of(&snapshot, "game"), None);
        assert!(
            run.library.payload_of(&id("game")).is_some(),
            "to repair it by"
        );
        fs::remove_dir(lab.path("game/b.bin")).ok();
        lab.put("game/b.bin", "bravo");
        assert_eq!(run.announced("game", None).await, manifest);
    }
    lab.put("game/version.ini", "2");
    let updated = run.announced("game", Some(manifest)).await;
    let payload = run.library.payload(&updated).unwrap();
    assert_eq!(
        payload.origin(),
        Origin::Scanned,
        "another version is what lies here"
    );
    assert_eq!(payload.manifest().files().len(), 3);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_sentinel_is_gone_announces_nothing() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    let (stored, stamps) = lab.stored("game", &["b.bin", "data/a.bin"]);
    fs::remove_file(lab.path("game/version.ini")).unwrap();
    let (library, _events) = lab.open();
    library.committed(&id("game"), stored.clone(), stamps.clone());
    assert!(library.snapshot().games.is_empty());
    lab.put("game/version.ini", "2");
    library.committed(&id("game"), stored, stamps);
    assert!(
        library.snapshot().games.is_empty(),
        "not the sentinel of that payload"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_monitor_at_a_time_and_it_may_come_again() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    let run = lab.run();
    run.announced("game", None).await;
    let second = run.library.run(CancellationToken::new()).await;
    assert!(matches!(second, Err(LibraryError::AlreadyRunning)));
    let library = run.stop().await;

    let cut_off = tokio::time::timeout(Duration::ZERO, library.run(CancellationToken::new())).await;
    assert!(cut_off.is_err(), "dropped in the middle");
    lab.put_game("later", "1");
    let cancel = CancellationToken::new();
    let (running, stop) = (library.clone(), cancel.clone());
    let task = tokio::spawn(async move { running.run(stop).await });
    let mut snapshots = library.subscribe();
    let found = snapshots.wait_for(|snapshot| manifest_of(snapshot, "later").is_some());
    tokio::time::timeout(crate::lab::DEADLINE, found)
        .await
        .unwrap()
        .unwrap();
    cancel.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_games_with_one_payload_share_its_manifest() {
    let lab = Lab::new();
    lab.put_game("a", "1");
    lab.put_game("b", "1");
    let run = lab.run();
    let manifest = run.announced("a", None).await;
    assert_eq!(run.announced("b", None).await, manifest);
    assert_eq!(run.library.payload(&manifest).unwrap().game(), &id("a"));
    fs::remove_dir_all(lab.path("a")).unwrap();
    run.gone("a").await;
    assert_eq!(run.library.payload(&manifest).unwrap().game(), &id("b"));
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_is_asked_for_is_hashed_first() {
    let lab = Lab::new();
    lab.put_game("z", "1");
    for at in 0..40 {
        lab.put(&format!("a/{at}.bin"), vec![7; 1 << 20]);
    }
    lab.put("a/version.ini", "1");
    let run = lab.run();
    run.library.prioritise(&id("z"));
    run.announced("z", None).await;
    run.announced("a", None).await;
    assert_eq!(run.library.hashed_bytes(), (40 << 20) + 10);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_only_comes_when_something_changed() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    lab.index().await;
    let run = lab.run();
    let revision = run.library.snapshot().revision;
    assert_eq!(revision, 1);
    lab.put("not a game/x", "x");
    run.library.rescan_all();
    lab.put_game("other", "1");
    run.announced("other", None).await;
    let snapshot = run.library.snapshot();
    assert!(snapshot.revision <= 4, "{}", snapshot.revision);
    let again = run.library.snapshot();
    assert!(Arc::ptr_eq(&snapshot, &again) || again.revision == snapshot.revision);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_is_still_being_copied_is_looked_at_again() {
    let mut lab = Lab::new();
    lab.timing.quiet_max = Duration::from_secs(1);
    lab.put_game("game", "1");
    let run = lab.run();
    let early = run.announced("game", None).await;
    // Deeper than any watch.
    lab.put("game/data/late.bin", "late");
    let whole = run.announced("game", Some(early)).await;
    let payload = run.library.payload(&whole).unwrap();
    assert_eq!(payload.manifest().files().len(), 3);
    run.stop().await;
}
