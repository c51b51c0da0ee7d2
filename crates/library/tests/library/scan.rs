//! What is a game, what is its payload, and what is refused.

use std::{fs, os::unix, path::Path, sync::Arc};

use lanspread_library::{Catalog, LibraryEvent, LocalState, SentinelScan, scan_local_library};
use lanspread_proto::{GameId, GamePath, Hash};

use crate::lab::{Lab, id, take_events};

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_a_game_is_told() {
    let lab = Lab::new();
    lab.put_game("complete", "1.5\n");
    fs::create_dir(lab.path("complete/local")).unwrap();
    lab.put("installed/local/game.exe", "x");
    lab.put("installed/left.bin", "no sentinel");
    lab.put("partial/data.bin", "x");
    fs::create_dir_all(lab.state_path("games/partial")).unwrap();
    fs::write(lab.state_path("games/partial/download.json"), "{}").unwrap();
    fs::create_dir_all(lab.state_path("games/installed")).unwrap();
    let record = r#"{"format":1,"data":{"version":"1.4","more":1}}"#;
    fs::write(lab.state_path("games/installed/installed.json"), record).unwrap();
    lab.put("nothing/readme.txt", "x");
    lab.put(".hidden/version.ini", "1");
    lab.put("loose file", "x");

    let snapshot = lab.index().await;
    let ids: Vec<_> = snapshot.games.keys().map(GameId::as_str).collect();
    assert_eq!(ids, ["complete", "installed", "partial"]);
    assert!(snapshot.refused.is_empty(), "{snapshot:?}");

    let complete = snapshot.get(&id("complete")).unwrap();
    assert_eq!(complete.state, LocalState::Downloaded);
    assert_eq!(complete.version.as_ref().unwrap().as_str(), "1.5");
    assert_eq!((complete.bytes, complete.installed), (10, true));
    assert!(complete.manifest.is_some() && complete.installed_version.is_none());

    let installed = snapshot.get(&id("installed")).unwrap();
    assert_eq!(
        (installed.state, installed.installed),
        (LocalState::Absent, true)
    );
    assert_eq!(
        installed.installed_version.as_ref().unwrap().as_str(),
        "1.4"
    );
    assert_eq!((installed.manifest, &installed.version), (None, &None));

    let partial = snapshot.get(&id("partial")).unwrap();
    assert_eq!(
        (partial.state, partial.manifest),
        (LocalState::Partial, None)
    );
    assert_eq!(snapshot.announced().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_all_files_and_empty_folders_but_ours_and_litter() {
    let lab = Lab::new();
    lab.put("game/version.ini", "2\n# made by hand\n");
    let large: Vec<u8> = (0..3_000_000_u32)
        .map(|at| at.to_le_bytes()[at as usize % 3])
        .collect();
    lab.put("game/data/large.bin", &large);
    lab.put("game/empty.bin", "");
    lab.put("game/run.sh", "#!/bin/sh\n");
    let mode = unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(lab.path("game/run.sh"), mode).unwrap();
    fs::create_dir_all(lab.path("game/saves/slots")).unwrap();
    lab.put("game/litter only/Thumbs.db", "x");
    lab.put("game/data/desktop.ini", "x");
    for ours in [
        "LOCAL/x",
        ".local.backup/x",
        ".version.ini.discarded",
        ".version.ini.tmp",
    ] {
        lab.put(&format!("game/{ours}"), "x");
    }
    lab.put("game/data/local", "not at the top level");

    let run = lab.run();
    let manifest_id = run.announced("game", None).await;
    let payload = run.library.payload(&manifest_id).unwrap();
    let manifest = payload.manifest();
    let files: Vec<_> = manifest
        .files()
        .iter()
        .map(|file| (file.path.as_str(), file.executable))
        .collect();
    assert_eq!(
        files,
        [
            ("data/large.bin", false),
            ("data/local", false),
            ("empty.bin", false),
            ("run.sh", true)
        ]
    );
    let folders: Vec<_> = manifest
        .empty_folders()
        .iter()
        .map(GamePath::as_str)
        .collect();
    assert_eq!(folders, ["litter only", "saves/slots"]);
    assert_eq!(manifest.sentinel(), b"2\n# made by hand\n");
    assert_eq!(
        manifest.files()[0].hash,
        Hash::of(&large),
        "the plain BLAKE3, as b3sum prints it"
    );
    assert_eq!(manifest.files()[2].hash, Hash::of(b""));
    assert_eq!(
        (payload.map().count(), payload.chunk_hashes().len()),
        (5, 5)
    );
    assert_eq!(payload.stamps().len(), 4);
    assert_eq!(payload.stamps()[0].size, 3_000_000);
    assert_eq!(payload.game(), &id("game"));
    assert_eq!(run.library.hashed_bytes(), manifest.bytes());
    run.stop().await;
}

/// Makes something bad in a lab.
type Make<'a> = &'a dyn Fn(&Lab);

/// Makes one bad folder beside a good one and gives back how it is refused.
async fn refusal_of(folder: &str, make: impl FnOnce(&Lab)) -> String {
    let lab = Lab::new();
    lab.put_game("good", "1");
    make(&lab);
    let mut run = lab.run();
    run.announced("good", None).await;
    let snapshot = run
        .until(|snapshot| snapshot.refused.contains_key(folder))
        .await;
    let shown = snapshot.refused[folder].to_string();
    if let Ok(id) = folder.parse() {
        let state = snapshot.get(&id).map(|game| (game.state, game.manifest));
        assert!(
            matches!(state, None | Some((LocalState::Refused, None))),
            "{state:?}"
        );
    }
    let told = run
        .event(|event| match event {
            LibraryEvent::Refused(refusal) => Some(refusal.to_string()),
            _ => None,
        })
        .await;
    assert_eq!(told, shown);
    run.stop().await;
    shown
}

fn put_name(folder: &Path, name: &[u8]) {
    let name = <std::ffi::OsStr as unix::ffi::OsStrExt>::from_bytes(name);
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), "x").unwrap();
}

fn socket(path: &Path) {
    unix::net::UnixListener::bind(path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_a_game_is_named() {
    let shown = refusal_of("CON", |lab| lab.put_game("CON", "1")).await;
    assert!(
        shown.contains("\"CON\" is not announced") && shown.contains("device"),
        "{shown}"
    );
    let long = "x".repeat(65);
    let shown = refusal_of(&long, |lab| lab.put_game(&long, "1")).await;
    assert!(shown.contains("at most 64 bytes"), "{shown}");
    let shown = refusal_of("x\u{fffd}", |lab| {
        let name = <std::ffi::OsStr as unix::ffi::OsStrExt>::from_bytes(b"x\xff");
        fs::create_dir(lab.path("").join(name)).unwrap();
    })
    .await;
    assert!(shown.contains("not UTF-8"), "{shown}");
    let shown = refusal_of("linked", |lab| {
        unix::fs::symlink(lab.path("good"), lab.path("linked")).unwrap();
    })
    .await;
    assert!(shown.contains("it is a link"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_folders_that_differ_in_case_are_both_refused() {
    let lab = Lab::new();
    lab.put_game("good", "1");
    lab.put_game("Doom", "1");
    lab.put_game("doom", "1");
    let snapshot = lab.index().await;
    let refused: Vec<_> = snapshot
        .refused
        .values()
        .map(std::string::ToString::to_string)
        .collect();
    assert_eq!(refused.len(), 2);
    assert!(
        refused[0].contains("\"Doom\" is") && refused[0].contains("of \"doom\""),
        "{refused:?}"
    );
    assert!(
        refused[1].contains("\"doom\" is") && refused[1].contains("of \"Doom\""),
        "{refused:?}"
    );
    assert_eq!(snapshot.games.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_must_be_a_file_that_names_a_version() {
    let cases: [(&str, Make<'_>); 6] = [
        ("is a folder, not a regular file", &|lab| {
            fs::create_dir(lab.path("bad/version.ini")).unwrap();
        }),
        ("is a link, not a regular file", &|lab| {
            unix::fs::symlink(lab.path("good/version.ini"), lab.path("bad/version.ini")).unwrap();
        }),
        ("is a device or pipe", &|lab| {
            socket(&lab.path("bad/version.ini"));
        }),
        ("names no version: the version is empty", &|lab| {
            lab.put("bad/version.ini", "\n1");
        }),
        ("first line is not UTF-8", &|lab| {
            lab.put("bad/version.ini", b"\xff\n");
        }),
        ("more than 4096 bytes", &|lab| {
            lab.put("bad/version.ini", "1".repeat(4097));
        }),
    ];
    for (expected, make) in cases {
        let shown = refusal_of("bad", |lab| {
            lab.put("bad/data.bin", "x");
            make(lab);
        })
        .await;
        assert!(shown.contains(expected), "{shown} lacks {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_not_every_system_stores_is_refused_with_the_path() {
    let cases: [(&str, Make<'_>); 9] = [
        ("data/a:b", &|lab| lab.put("bad/data/a:b", "x")),
        ("data/NUL.txt", &|lab| lab.put("bad/data/NUL.txt", "x")),
        ("maps \\\\ more", &|lab| {
            fs::create_dir(lab.path("bad/maps \\ more")).unwrap();
        }),
        ("data/\\xff", &|lab| {
            put_name(&lab.path("bad/data"), b"\xff");
        }),
        ("one name on some systems", &|lab| {
            lab.put("bad/Data/x", "x");
            lab.put("bad/data/y", "y");
        }),
        (
            "a file's size in bytes is 275951648768, the limit is 274877906944",
            &|lab| {
                let sparse = fs::File::create(lab.path("bad/large.bin")).unwrap();
                sparse.set_len(257 << 30).unwrap();
            },
        ),
        ("\"data/link\" in it is a link", &|lab| {
            lab.put("bad/data/x", "x");
            unix::fs::symlink("x", lab.path("bad/data/link")).unwrap();
        }),
        ("\"data\" in it is a link", &|lab| {
            unix::fs::symlink(lab.path("good"), lab.path("bad/data")).unwrap();
        }),
        ("\"pipe\" in it is a device or pipe", &|lab| {
            socket(&lab.path("bad/pipe"));
        }),
    ];
    for (expected, make) in cases {
        let shown = refusal_of("bad", |lab| {
            lab.put("bad/version.ini", "1");
            make(lab);
        })
        .await;
        assert!(shown.contains(expected), "{shown} lacks {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_game_is_announced_once_it_is_mended() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    lab.put("game/a:b", "x");
    let run = lab.run();
    run.state("game", LocalState::Refused).await;
    fs::remove_file(lab.path("game/a:b")).unwrap();
    run.announced("game", None).await;
    assert!(run.library.snapshot().refused.is_empty());
    fs::remove_file(lab.path("game/version.ini")).unwrap();
    fs::create_dir(lab.path("game/version.ini")).unwrap();
    let snapshot = run.state("game", LocalState::Refused).await;
    assert_eq!(crate::lab::manifest_of(&snapshot, "game"), None);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_is_the_gate() {
    let mut lab = Lab::new();
    let catalog = br#"{"games":[{"id":"doom","name":"Doom","version":"1"},
        {"id":"quake","name":"Quake","version":"1"}]}"#;
    lab.catalog = Arc::new(Catalog::parse(Path::new("games.json"), catalog).unwrap());
    lab.put_game("doom", "1");
    lab.put_game("QUAKE", "1");
    lab.put_game("unknown", "1");
    let snapshot = lab.index().await;
    assert_eq!(snapshot.games.keys().collect::<Vec<_>>(), [&id("doom")]);
    let refused: Vec<_> = snapshot
        .refused
        .values()
        .map(std::string::ToString::to_string)
        .collect();
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0].contains("the catalog spells its name \"quake\""),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_once_and_the_snapshot_keeps_it() {
    let lab = Lab::new();
    lab.put_game("good", "1");
    lab.put_game("CON", "1");
    let (library, mut events) = lab.open();
    let told = take_events(&mut events);
    assert!(matches!(&told[..], [LibraryEvent::Refused(refusal)] if refusal.folder == "CON"));
    assert!(library.snapshot().refused.contains_key("CON"));
    let cancel = tokio_util::sync::CancellationToken::new();
    let (running, stop) = (library.clone(), cancel.clone());
    let task = tokio::spawn(async move { running.run(stop).await });
    let mut snapshots = library.subscribe();
    let announced = |snapshot: &Arc<_>| crate::lab::manifest_of(snapshot, "good").is_some();
    tokio::time::timeout(crate::lab::DEADLINE, snapshots.wait_for(announced))
        .await
        .unwrap()
        .unwrap();
    cancel.cancel();
    task.await.unwrap().unwrap();
    let again = take_events(&mut events);
    assert!(
        !again
            .iter()
            .any(|event| matches!(event, LibraryEvent::Refused(_))),
        "{again:?}"
    );
}

#[test]
fn a_scan_alone_reads_sentinels_and_no_payload() {
    let lab = Lab::new();
    lab.put_game("game", "1.2");
    lab.put("bad/version.ini", "");
    let config = lab.config();
    let scan = scan_local_library(&config.game_dir, &config.state, &config.catalog).unwrap();
    assert!(matches!(&scan.games[&id("game")].sentinel,
        SentinelScan::Valid(sentinel) if &*sentinel.content == b"1.2"));
    assert!(matches!(
        &scan.games[&id("bad")].sentinel,
        SentinelScan::Refused(_)
    ));
    assert_eq!(scan.candidates.len(), 2);
}
