//! Downloads on a real disk: first ones, resumed ones, updates, cancels, and what is in the way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use lanspread_disk::{Disk, DiskFile, Kind, RealDisk};
use lanspread_install::{DownloadError, RecoveredGame, SentinelFault, discard_partial};
use lanspread_proto::ChunkIndex;

use crate::support::{Machine, Version, fetch, game, long};

struct Real {
    dir: tempfile::TempDir,
    machine: Machine<RealDisk>,
}

fn real() -> Real {
    let dir = tempfile::tempdir().unwrap();
    let open = |name| RealDisk::open_or_create(&dir.path().join(name)).unwrap();
    let machine = Machine::new(open("games"), open("state"));
    Real { dir, machine }
}

/// Files of every kind, among them one of several chunks.
fn version(sentinel: &str, seed: u8) -> Version {
    let big = long(3, 17, seed);
    Version::new(
        sentinel,
        &[
            ("big.bin", &big),
            ("empty.txt", b""),
            ("bin/run.exe", b"#!/bin/sh\n"),
            ("data/deep/er/x", &[seed]),
            ("nothing/here/", b""),
        ],
    )
}

fn check_whole(machine: &Machine<RealDisk>, version: &Version) {
    for (path, data) in &version.files {
        assert!(machine.read(path).as_ref() == Some(data), "{path} differs");
    }
    let sentinel = version.payload.manifest().sentinel();
    assert_eq!(machine.read("version.ini").unwrap(), sentinel);
    let stored = machine.state.load_payload(&game()).unwrap();
    assert_eq!(stored.as_ref(), Some(&version.payload));
    assert_eq!(machine.recover().unwrap().game, RecoveredGame::Downloaded);
}

fn chunk<D: Disk>(download: &lanspread_install::DownloadTransaction<D>, raw: u32) -> ChunkIndex {
    download.chunk_map().check(raw).unwrap()
}

#[test]
fn a_first_download_is_whole_with_bits_and_empty_things() {
    let real = real();
    let version = version("1\n", 1);
    let published = real.machine.download(&version, None).unwrap();
    check_whole(&real.machine, &version);
    assert_eq!(published.payload, version.payload);
    for (file, stamp) in version
        .payload
        .manifest()
        .files()
        .iter()
        .zip(&published.stamps)
    {
        let entry = real
            .machine
            .disk
            .stat(&format!("{}/{}", game(), file.path))
            .unwrap()
            .unwrap();
        assert_eq!(entry.stamp, *stamp);
        assert_eq!(entry.executable, file.executable, "{}", file.path);
    }
    assert_eq!(
        real.machine.tree(),
        [
            "big.bin",
            "bin/",
            "bin/run.exe",
            "data/",
            "data/deep/",
            "data/deep/er/",
            "data/deep/er/x",
            "empty.txt",
            "nothing/",
            "nothing/here/",
            "version.ini"
        ]
    );
}

#[test]
fn an_interrupted_download_goes_on_with_what_it_has() {
    let real = real();
    let version = version("1\n", 1);
    let download = real.machine.begin(&version, None).unwrap();
    assert_eq!(download.reconcile_bytes(), 0);
    for raw in [0, 2, 4] {
        let chunk = chunk(&download, raw);
        download.write_chunk(chunk, version.chunk(chunk)).unwrap();
        assert_eq!(download.read_chunk(chunk).unwrap(), version.chunk(chunk));
    }
    assert!(download.read_chunk(chunk(&download, 1)).is_err());
    drop(download);

    let recovered = real.machine.recover().unwrap();
    let RecoveredGame::Partial {
        payload: Some(payload),
        manifest,
    } = recovered.game
    else {
        panic!("{recovered:?}")
    };
    assert_eq!(
        (payload, manifest),
        (version.payload.clone(), version.manifest())
    );
    let download = real.machine.begin(&version, None).unwrap();
    let hashed = AtomicU64::new(0);
    let progress = |bytes| {
        hashed.fetch_add(bytes, Ordering::Relaxed);
    };
    let held = download
        .reconcile(&AtomicBool::new(false), &progress)
        .unwrap();
    let held: Vec<u32> = held.iter().map(ChunkIndex::get).collect();
    assert_eq!(held, [0, 2, 4]);
    assert_eq!(hashed.into_inner(), download.reconcile_bytes());
    let error = download.publish().err().unwrap();
    assert!(
        matches!(error, DownloadError::Incomplete { missing_chunks: 3 }),
        "{error}"
    );
    real.machine.download(&version, None).unwrap();
    check_whole(&real.machine, &version);
}

#[test]
fn a_complete_payload_without_a_sentinel_needs_no_peer() {
    let real = real();
    let version = version("1\n", 1);
    let download = real.machine.begin(&version, None).unwrap();
    fetch(&download, &version).unwrap();
    drop(download);
    let download = real.machine.begin(&version, None).unwrap();
    assert_eq!(fetch(&download, &version).unwrap(), 0, "chunks to fetch");
    download.publish().unwrap();
    check_whole(&real.machine, &version);
}

#[test]
fn an_update_reuses_what_is_there_and_removes_what_is_not_needed() {
    let real = real();
    let (old, mut files) = (version("1\n", 1), version("1\n", 1).files);
    real.machine.download(&old, None).unwrap();
    real.machine.write("local/save", b"played");
    real.machine.write("data/stray", b"mine");
    // One chunk of the big file changes, it becomes shorter; a file goes, another comes.
    let big = files.get_mut("big.bin").unwrap();
    big[1_500_000] ^= 1;
    big.truncate(2_500_000);
    files.remove("data/deep/er/x");
    files.insert("data/new".into(), b"new".to_vec());
    files.insert("empty.txt".into(), b"no longer".to_vec());
    files.insert("bin/run.exe".into(), b"".to_vec());
    let new = Version::of("2\n", files);
    real.machine.recover().unwrap();
    let download = real.machine.begin(&new, Some(&old)).unwrap();
    assert_eq!(
        real.machine.read("version.ini"),
        None,
        "partial while it changes"
    );
    // Chunk 1, `data/new`, and what was empty; the new end of the big file is a part of the old one.
    assert_eq!(fetch(&download, &new).unwrap(), 3);
    download.publish().unwrap();
    check_whole(&real.machine, &new);
    assert_eq!(
        real.machine.tree(),
        [
            "big.bin",
            "bin/",
            "bin/run.exe",
            "data/",
            "data/new",
            "data/stray",
            "empty.txt",
            "local/",
            "local/save",
            "version.ini"
        ]
    );
}

#[test]
fn a_folder_can_become_a_file_and_a_file_a_folder() {
    let real = real();
    let old = Version::new("1\n", &[("a/b/c", b"1"), ("d", b"2")]);
    let new = Version::new("2\n", &[("a", b"3"), ("d/e", b"4")]);
    real.machine.download(&old, None).unwrap();
    real.machine.download(&new, Some(&old)).unwrap();
    check_whole(&real.machine, &new);
    real.machine.download(&old, Some(&new)).unwrap();
    check_whole(&real.machine, &old);
}

#[test]
fn a_repair_fetches_only_what_is_damaged_and_mends_bits_and_lengths() {
    let real = real();
    let version = version("1\n", 1);
    real.machine.download(&version, None).unwrap();
    let at = |path: &str| format!("{}/{path}", game());
    let big = real.machine.disk.open_existing(&at("big.bin")).unwrap();
    big.write_all_at(b"flipped", 1_200_000).unwrap();
    big.write_all_at(b"too long", 9_000_000).unwrap();
    drop(big);
    real.machine
        .disk
        .open_existing(&at("empty.txt"))
        .unwrap()
        .write_all_at(b"x", 0)
        .unwrap();
    real.machine
        .disk
        .set_executable(&at("bin/run.exe"), false)
        .unwrap();
    real.machine
        .disk
        .set_executable(&at("data/deep/er/x"), true)
        .unwrap();
    let download = real.machine.begin(&version, Some(&version)).unwrap();
    assert_eq!(fetch(&download, &version).unwrap(), 1);
    download.publish().unwrap();
    check_whole(&real.machine, &version);
    let executable = |path: &str| {
        real.machine
            .disk
            .stat(&at(path))
            .unwrap()
            .unwrap()
            .executable
    };
    assert!(executable("bin/run.exe") && !executable("data/deep/er/x"));
}

#[test]
fn wrong_bytes_are_never_written() {
    let real = real();
    let version = version("1\n", 1);
    let download = real.machine.begin(&version, None).unwrap();
    let first = chunk(&download, 0);
    let good = version.chunk(first);
    let mut flipped = good.to_vec();
    flipped[77] ^= 1;
    for bad in [&flipped[..], &good[1..], b"", &[good, b"x"].concat()] {
        let error = download.write_chunk(first, bad).unwrap_err();
        assert!(error.is_wrong_bytes(), "{error}");
    }
    assert!(download.held().is_empty());
    assert_eq!(real.machine.read("big.bin"), None, "not even made");
    download.write_chunk(first, good).unwrap();
    download.write_chunk(first, &flipped).unwrap();
    assert_eq!(download.read_chunk(first).unwrap(), good);
}

#[test]
fn a_cancelled_download_leaves_nothing_but_what_is_not_its_own() {
    let real = real();
    real.machine.write("local/save", b"played");
    real.machine.write("data/stray", b"mine");
    real.machine.write("data/deep/er/x", &[1]);
    real.machine
        .state
        .write(
            "games/cnctw/installed.json",
            b"{}",
            lanspread_disk::FileMode::Plain,
        )
        .unwrap();
    let before = real.machine.tree();
    let version = version("1\n", 1);
    let download = real.machine.begin(&version, None).unwrap();
    fetch(&download, &version).unwrap();
    download.discard().unwrap();
    assert_eq!(real.machine.tree(), before);
    assert_eq!(real.machine.recover().unwrap().game, RecoveredGame::Absent);
    let state = real.machine.state.disk().list("games/cnctw").unwrap();
    assert_eq!(
        state.len(),
        1,
        "install metadata stays, the rest goes: {state:?}"
    );
}

#[test]
fn a_cancelled_first_download_leaves_no_folder() {
    let real = real();
    let version = version("1\n", 1);
    let download = real.machine.begin(&version, None).unwrap();
    fetch(&download, &version).unwrap();
    download.suspend();
    assert!(!real.machine.tree().is_empty());
    discard_partial(real.machine.disk.as_ref(), &real.machine.state, &game()).unwrap();
    assert_eq!(real.machine.disk.stat(game().as_str()).unwrap(), None);
    discard_partial(real.machine.disk.as_ref(), &real.machine.state, &game()).unwrap();
}

#[test]
fn a_cancelled_update_takes_back_what_it_wrote_and_keeps_the_rest() {
    let real = real();
    let (old, new) = (version("1\n", 1), version("2\n", 2));
    real.machine.download(&old, None).unwrap();
    real.machine.write("local/save", b"played");
    let download = real.machine.begin(&new, Some(&old)).unwrap();
    fetch(&download, &new).unwrap();
    drop(download);
    discard_partial(real.machine.disk.as_ref(), &real.machine.state, &game()).unwrap();
    assert_eq!(
        real.machine.tree(),
        [
            "bin/",
            "bin/run.exe",
            "data/",
            "data/deep/",
            "data/deep/er/",
            "empty.txt",
            "local/",
            "local/save",
            "nothing/",
            "nothing/here/"
        ],
        "no sentinel, nothing of the new version, what is equal in both"
    );
    assert_eq!(real.machine.recover().unwrap().game, RecoveredGame::Absent);
    real.machine.download(&new, None).unwrap();
    check_whole(&real.machine, &new);
}

#[test]
fn another_version_over_a_partial_one_begins_anew() {
    let real = real();
    let (one, two) = (
        version("1\n", 1),
        Version::new("2\n", &[("only", b"this"), ("bin/run.exe", b"?")]),
    );
    let download = real.machine.begin(&one, None).unwrap();
    fetch(&download, &one).unwrap();
    download.suspend();
    real.machine.download(&two, None).unwrap();
    check_whole(&real.machine, &two);
    assert_eq!(
        real.machine.tree(),
        ["bin/", "bin/run.exe", "only", "version.ini"]
    );
    // Cancelled, it takes away what the first one made as well.
    let real = self::real();
    let download = real.machine.begin(&one, None).unwrap();
    fetch(&download, &one).unwrap();
    drop(download);
    real.machine.begin(&two, None).unwrap().discard().unwrap();
    assert_eq!(real.machine.disk.stat(game().as_str()).unwrap(), None);
}

#[test]
fn many_threads_write_many_files() {
    let real = real();
    let mut files: std::collections::BTreeMap<String, Vec<u8>> = (0..2_000)
        .map(|n| {
            (
                format!("d{}/f{n}", n % 40),
                format!("content of {n}").into_bytes(),
            )
        })
        .collect();
    files.insert("big".into(), long(9, 5, 3));
    let version = Version::of("1\n", files);
    let download = real.machine.begin(&version, None).unwrap();
    let chunks: Vec<ChunkIndex> = download.chunk_map().chunks().collect();
    thread::scope(|scope| {
        for offset in 0..4 {
            let (download, version, chunks) = (&download, &version, &chunks);
            scope.spawn(move || {
                // Each thread writes half of all, so that every chunk comes twice.
                for chunk in chunks
                    .iter()
                    .filter(|chunk| chunk.get() % 4 / 2 == offset % 2)
                {
                    download.write_chunk(*chunk, version.chunk(*chunk)).unwrap();
                }
            });
        }
    });
    assert!(download.held().is_full());
    download.publish().unwrap();
    check_whole(&real.machine, &version);
}

#[test]
fn reconciling_can_be_cancelled() {
    let real = real();
    let version = version("1\n", 1);
    real.machine.download(&version, None).unwrap();
    let download = real.machine.begin(&version, Some(&version)).unwrap();
    let error = download
        .reconcile(&AtomicBool::new(true), &|_| {})
        .unwrap_err();
    assert!(matches!(error, DownloadError::Cancelled), "{error}");
}

#[test]
fn litter_and_strays_beside_a_payload_stay() {
    let real = real();
    real.machine.write("Thumbs.db", b"litter");
    real.machine.write("nothing/here/.DS_Store", b"litter");
    let version = version("1\n", 1);
    real.machine.download(&version, None).unwrap();
    check_whole(&real.machine, &version);
    assert_eq!(real.machine.read("Thumbs.db").unwrap(), b"litter");
    assert_eq!(
        real.machine.read("nothing/here/.DS_Store").unwrap(),
        b"litter"
    );
}

fn expect_obstructed(machine: &Machine<RealDisk>, version: &Version, at: &str, kind: Kind) {
    let before = machine.tree();
    let error = machine.begin(version, None).err().unwrap();
    match &error {
        DownloadError::Obstructed { path, found } => {
            assert!(path.ends_with(at), "{error}");
            assert_eq!(*found, kind);
        }
        _ => panic!("{error:?}"),
    }
    assert_eq!(machine.tree(), before);
}

#[test]
fn a_folder_where_a_file_goes_is_refused_and_left() {
    let real = real();
    real.machine.write("big.bin/stray", b"mine");
    expect_obstructed(
        &real.machine,
        &version("1\n", 1),
        "cnctw/big.bin",
        Kind::Folder,
    );
    let real = self::real();
    real.machine.write("data/deep", b"mine");
    expect_obstructed(
        &real.machine,
        &version("1\n", 1),
        "cnctw/data/deep",
        Kind::File,
    );
}

#[test]
fn a_stray_in_a_folder_that_becomes_a_file_is_kept_and_named() {
    let real = real();
    let old = Version::new("1\n", &[("a/b", b"1")]);
    let new = Version::new("2\n", &[("a", b"2")]);
    real.machine.download(&old, None).unwrap();
    real.machine.write("a/stray", b"mine");
    let download = real.machine.begin(&new, Some(&old)).unwrap();
    let error = fetch(&download, &new).unwrap_err();
    assert!(
        matches!(
            error,
            DownloadError::Obstructed {
                found: Kind::Folder,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(real.machine.read("a/stray").unwrap(), b"mine");
}

#[cfg(unix)]
#[test]
fn a_link_in_the_payloads_place_is_refused_and_not_followed() {
    use std::os::unix::fs::symlink;

    let link = |name: &str, at: &str, kind_of_target: &str| {
        let real = real();
        let outside = real.dir.path().join("outside");
        RealDisk::open_or_create(&outside)
            .unwrap()
            .create_folder("folder")
            .unwrap();
        drop(
            RealDisk::open(&outside)
                .unwrap()
                .create_new("file", lanspread_disk::FileMode::Plain),
        );
        let from = real.dir.path().join("games").join(name);
        RealDisk::open_or_create(from.parent().unwrap()).unwrap();
        symlink(outside.join(kind_of_target), &from).unwrap();
        expect_obstructed(&real.machine, &version("1\n", 1), at, Kind::Link);
    };
    link("cnctw/big.bin", "cnctw/big.bin", "file");
    link("cnctw/data", "cnctw/data", "folder");
    link("cnctw", "cnctw", "folder");
}

#[cfg(unix)]
#[test]
fn a_link_that_appears_later_is_not_followed_either() {
    let real = real();
    let version = version("1\n", 1);
    let download = real.machine.begin(&version, None).unwrap();
    let outside = real.dir.path().join("outside");
    RealDisk::open_or_create(&outside).unwrap();
    let target = outside.join("file");
    std::os::unix::fs::symlink(&target, real.dir.path().join("games/cnctw/big.bin")).unwrap();
    let first = chunk(&download, 0);
    assert!(download.write_chunk(first, version.chunk(first)).is_err());
    assert!(!target.exists());
}

#[test]
fn a_sentinel_that_is_none_is_named() {
    let real = real();
    let version = version("1\n", 1);
    real.machine.write("version.ini", b"");
    let fault = |machine: &Machine<RealDisk>| match machine.begin(&version, None).err().unwrap() {
        DownloadError::BadSentinel { path, fault } => {
            assert!(path.ends_with("cnctw/version.ini"));
            fault
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(&real.machine), SentinelFault::Empty);
    let real = self::real();
    real.machine.write("version.ini/x", b"");
    assert_eq!(fault(&real.machine), SentinelFault::Folder);
    #[cfg(unix)]
    {
        let real = self::real();
        real.machine.write("other.ini", b"1\n");
        let link = real.dir.path().join("games/cnctw/version.ini");
        std::os::unix::fs::symlink("other.ini", link).unwrap();
        assert_eq!(fault(&real.machine), SentinelFault::Link);
    }
}

#[test]
fn a_file_that_vanishes_before_the_commit_is_named() {
    let real = real();
    let version = version("1\n", 1);
    let download = real.machine.begin(&version, None).unwrap();
    fetch(&download, &version).unwrap();
    real.machine
        .disk
        .open_existing("cnctw/big.bin")
        .unwrap()
        .set_len(5)
        .unwrap();
    let error = download.publish().err().unwrap();
    assert!(
        error.to_string().contains("big.bin was changed while"),
        "{error}"
    );
    assert_eq!(real.machine.read("version.ini"), None);
    real.machine.download(&version, None).unwrap();
    check_whole(&real.machine, &version);
}

#[test]
fn a_transaction_can_be_shared_and_taken_back() {
    let real = real();
    let version = version("1\n", 1);
    let shared = Arc::new(real.machine.begin(&version, None).unwrap());
    let writer = Arc::clone(&shared);
    fetch(&writer, &version).unwrap();
    drop(writer);
    Arc::into_inner(shared).unwrap().publish().unwrap();
    check_whole(&real.machine, &version);
}
