//! What a restart knows without hashing, and what it does with state files that are damaged.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, UNIX_EPOCH},
};

use lanspread_library::{Library, LibraryError, LibraryEvent, LocalState};

use crate::lab::{Lab, id, manifest_of, take_events};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_announces_at_once_and_hashes_nothing() {
    let lab = Lab::new();
    lab.put_game("one", "1");
    lab.put_game("two", "2");
    let first = lab.index().await;

    let (library, _events) = lab.open();
    let at_open = library.snapshot();
    assert_eq!(at_open.games, first.games, "before the monitor runs");
    let manifest = manifest_of(&at_open, "two").unwrap();
    let payload = library.payload(&manifest).unwrap();
    assert_eq!(payload.manifest().bytes(), 10);
    assert_eq!(payload.id(), manifest);

    let mut run = lab.run();
    run.everything_seen().await;
    assert_eq!(run.library.hashed_bytes(), 0);
    lab.put_game("three", "3");
    run.announced("three", None).await;
    assert_eq!(run.library.hashed_bytes(), 10, "of the new game only");
    let snapshot = run.library.snapshot();
    assert_eq!(snapshot.get(&id("one")), first.get(&id("one")));
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_change_only_the_changed_file_is_hashed() {
    let lab = Lab::new();
    lab.put_game("one", "1");
    lab.put_game("two", "1");
    let first = lab.index().await;

    lab.put("one/data/a.bin", "ALPHA");
    lab.put("one/data/c.bin", "new");
    let run = lab.run();
    let changed = run.announced("one", manifest_of(&first, "one")).await;
    assert_eq!(run.library.hashed_bytes(), 8);
    let payload = run.library.payload(&changed).unwrap();
    let paths: Vec<_> = payload
        .manifest()
        .files()
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(paths, ["b.bin", "data/a.bin", "data/c.bin"]);
    assert_eq!(
        manifest_of(&run.library.snapshot(), "two"),
        manifest_of(&first, "two")
    );
    run.stop().await;
    assert_eq!(
        manifest_of(&lab.open().0.snapshot(), "one"),
        Some(changed),
        "it was saved"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_only_touched_keeps_the_manifest() {
    let lab = Lab::new();
    lab.put_game("one", "1");
    let first = lab.index().await;
    crate::lab::set_modified(&lab.path("one/b.bin"), UNIX_EPOCH + Duration::from_hours(1));
    let mut run = lab.run();
    run.event(|event| match event {
        LibraryEvent::IndexProgress {
            bytes_done: 5,
            bytes_total: 5,
            ..
        } => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(
        run.announced("one", None).await,
        manifest_of(&first, "one").unwrap()
    );
    assert_eq!(run.library.hashed_bytes(), 5);
    run.stop().await;
    assert_eq!(lab.index().await.games, first.games);
    assert_eq!(lab.open().0.hashed_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sentinel_is_another_version_of_known_files() {
    let lab = Lab::new();
    lab.put_game("one", "1");
    let first = lab.index().await;
    lab.put("one/version.ini", "2");
    let (library, _events) = lab.open();
    let at_open = library.snapshot();
    let game = at_open.get(&id("one")).unwrap();
    assert_eq!((game.state, game.manifest), (LocalState::Indexing, None));
    let run = lab.run();
    run.announced("one", manifest_of(&first, "one")).await;
    assert_eq!(run.library.hashed_bytes(), 0);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_cut_anywhere_is_put_aside_and_made_anew() {
    let lab = Lab::new();
    lab.put_game("one", "1");
    let first = lab.index().await;
    let path = lab.state_path("library_index.json");
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let (library, mut events) = lab.open();
        let events = take_events(&mut events);
        assert!(
            matches!(&events[..], [LibraryEvent::IndexDiscarded { .. }]),
            "{len}: {events:?}"
        );
        assert_eq!(
            library.snapshot().get(&id("one")).unwrap().state,
            LocalState::Indexing
        );
        assert!(!path.exists(), "{len}");
    }
    let aside = fs::read_dir(lab.state_path("")).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .starts_with("library_index.json.bad")
    });
    assert_eq!(aside.count(), whole.len(), "put aside, not deleted");
    assert_eq!(lab.index().await.games, first.games);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_a_newer_format_is_refused_and_left_alone() {
    let lab = Lab::new();
    lab.put_game("one", "1");
    lab.index().await;
    let path = lab.state_path("library_index.json");
    let text = r#"{"format":2,"data":{"future":true}}"#;
    fs::write(&path, text).unwrap();
    let error = Library::open(lab.config()).map(drop).unwrap_err();
    assert!(matches!(error, LibraryError::Index(_)), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("has format 2"), "{cause}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_manifest_is_hashed_again() {
    let lab = Lab::new();
    lab.put_game("one", "1");
    let first = lab.index().await;
    for name in ["manifest.json", "chunks.bin"] {
        fs::write(lab.state_path("games/one").join(name), "x").unwrap();
        let run = lab.run();
        let manifest = manifest_of(&first, "one").unwrap();
        assert!(
            run.library.payload(&manifest).is_none(),
            "{name}: nothing to serve yet"
        );
        run.until(|snapshot| {
            run.library.hashed_bytes() == 10 && manifest_of(snapshot, "one") == Some(manifest)
        })
        .await;
        assert!(run.library.payload(&manifest).is_some(), "{name}");
        run.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_comes_back_is_known_again() {
    let lab = Lab::new();
    lab.put_game("one", "1");
    lab.put_game("two", "1");
    let first = lab.index().await;
    let away = lab.path("").with_file_name("away");
    fs::rename(lab.path("one"), &away).unwrap();
    assert_eq!(lab.index().await.games.len(), 1);
    fs::rename(&away, lab.path("one")).unwrap();
    let run = lab.run();
    assert_eq!(
        run.announced("one", None).await,
        manifest_of(&first, "one").unwrap()
    );
    assert_eq!(run.library.hashed_bytes(), 0);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_size_or_id_is_hashed_and_others_are_not() {
    let lab = Lab::new();
    lab.put_game("one", "1");
    lab.index().await;
    let before = fs::metadata(lab.path("one/b.bin"))
        .unwrap()
        .modified()
        .unwrap();
    // The same size and time in another file.
    lab.put("one/new", "BRAVO");
    crate::lab::set_modified(&lab.path("one/new"), before);
    fs::rename(lab.path("one/new"), lab.path("one/b.bin")).unwrap();
    let run = lab.run();
    let settled = run.until(|_| run.library.hashed_bytes() == 5).await;
    drop(settled);
    run.stop().await;
}

#[test]
fn what_is_saved_is_what_the_design_names() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lab = Lab::new();
    lab.put_game("one", "1");
    runtime.block_on(lab.index());
    let mut names = BTreeMap::new();
    for folder in ["", "games/one"] {
        let entries = fs::read_dir(lab.state_path(folder)).unwrap();
        let mut all: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort_unstable();
        names.insert(folder, all);
    }
    assert_eq!(names[""], ["games", "library_index.json"]);
    assert_eq!(names["games/one"], ["chunks.bin", "manifest.json"]);
}
