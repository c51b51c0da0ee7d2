//! A verification finds every kind of damage, to the chunk.

use std::{
    fs,
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use lanspread_library::{LocalState, VerifyError};
use lanspread_proto::Hash;

use crate::lab::{Lab, id, manifest_of};

const MIB: usize = 1 << 20;

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

async fn indexed() -> Lab {
    let lab = Lab::new();
    lab.put_game("game", "1");
    lab.put("game/large.bin", vec![1; 40 * MIB + 7]);
    lab.put("game/empty.bin", "");
    fs::create_dir(lab.path("game/hollow")).unwrap();
    lab.index().await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_game_is_whole() {
    let lab = indexed().await;
    let (library, _events) = lab.open();
    let told = AtomicU64::new(0);
    let progress = |done, total| {
        assert!(done <= total);
        told.fetch_max(done, Ordering::Relaxed);
    };
    let report = library.verify(&id("game"), &never(), &progress).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.bytes, (40 * MIB + 17) as u64);
    assert_eq!(told.into_inner(), report.bytes);
    assert_eq!(
        Some(report.manifest),
        manifest_of(&library.snapshot(), "game"),
        "still announced"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_found_and_withdrawn() {
    let lab = indexed().await;
    let (library, _events) = lab.open();
    let mut large = vec![1; 40 * MIB + 7];
    large[33 * MIB + 5] = 2;
    large[40 * MIB + 6] = 2;
    lab.corrupt("game/large.bin", &large);
    lab.put("game/b.bin", "bravo and more");
    fs::remove_file(lab.path("game/data/a.bin")).unwrap();
    fs::remove_dir(lab.path("game/hollow")).unwrap();

    let report = library.verify(&id("game"), &never(), &|_, _| {}).unwrap();
    let bad: Vec<_> = report
        .bad
        .iter()
        .map(|bad| {
            (
                bad.path.as_str(),
                bad.chunks.iter().map(|chunk| chunk.get()).collect(),
            )
        })
        .collect::<Vec<(_, Vec<_>)>>();
    // The files in order: b.bin (chunk 0), data/a.bin (1), empty.bin (none), large.bin (from 2).
    assert_eq!(bad, [("b.bin", vec![0]), ("large.bin", vec![35, 42])]);
    let missing: Vec<_> = report
        .missing
        .iter()
        .map(lanspread_proto::GamePath::as_str)
        .collect();
    assert_eq!(missing, ["data/a.bin", "hollow"]);
    let snapshot = library.snapshot();
    assert_eq!(
        snapshot.get(&id("game")).unwrap().state,
        LocalState::Indexing
    );
    assert_eq!(snapshot.announced().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bit_rot_in_a_download_stays_refused() {
    let lab = Lab::new();
    lab.put_game("game", "1");
    let (stored, stamps) = lab.stored("game", &["b.bin", "data/a.bin"]);
    let mut run = lab.run();
    run.everything_seen().await;
    let hold = run.library.hold(&id("game"));
    run.library.committed(&id("game"), stored, stamps);
    // Rot leaves no trace at any moment, but this does until it is done.
    lab.corrupt("game/data/a.bin", b"alphA");
    drop(hold);
    let library = run.library.clone();
    let verify = move || library.verify(&id("game"), &never(), &|_, _| {});
    let report = tokio::task::spawn_blocking(verify).await.unwrap().unwrap();
    assert_eq!(report.bad.len(), 1);
    let snapshot = run.state("game", LocalState::Refused).await;
    let shown = snapshot.refused["game"].to_string();
    assert!(
        shown.contains("\"data/a.bin\" was downloaded and has other content"),
        "{shown}"
    );
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_hashed_before_a_doubt_does_not_answer_it() {
    const LARGE_BYTES: u64 = 256 << 20;
    let mut lab = Lab::new();
    lab.hash_threads = NonZeroUsize::MIN;
    lab.put("game/a.bin", "alpha");
    lab.put_sparse("game/z.bin", LARGE_BYTES);
    lab.put("game/version.ini", "1");
    let mut run = lab.run();
    // The first file is hashed, and hashing goes on for long after it.
    run.hashed(1 << 20).await;
    lab.corrupt("game/a.bin", b"alphA");
    run.library.doubt(&id("game"), &["a.bin".parse().unwrap()]);
    let manifest = run.announced("game", None).await;
    let payload = run.library.payload(&manifest).unwrap();
    assert_eq!(payload.manifest().files()[0].hash, Hash::of(b"alphA"));
    let hashed = run.stop().await.hashed_bytes();
    let least = LARGE_BYTES + 2 * 5;
    assert!(
        (least..=least + (32 << 20)).contains(&hashed),
        "{hashed}: not much more than that file again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_verified_says_why() {
    let lab = indexed().await;
    let (library, _events) = lab.open();
    let error = library
        .verify(&id("other"), &never(), &|_, _| {})
        .unwrap_err();
    assert_eq!(error.to_string(), "other is not downloaded");
    let error = library
        .verify(&id("game"), &AtomicBool::new(true), &|_, _| {})
        .unwrap_err();
    assert!(matches!(error, VerifyError::Cancelled), "{error}");
    let stop = never();
    let error = library
        .verify(&id("game"), &stop, &|done, _| {
            stop.store(done > 3_000_000, Ordering::Relaxed);
        })
        .unwrap_err();
    assert!(
        matches!(error, VerifyError::Cancelled),
        "in the middle: {error}"
    );
}

#[test]
fn every_error_names_the_game() {
    let game = id("doom");
    let missing = std::path::Path::new("/missing");
    let source = lanspread_disk::RealDisk::open(missing)
        .map(drop)
        .unwrap_err();
    let path = "data/a.bin".parse().unwrap();
    let errors = [
        VerifyError::NotDownloaded { game: game.clone() }.to_string(),
        VerifyError::Changed {
            game: game.clone(),
            path,
        }
        .to_string(),
        VerifyError::Disk { game, source }.to_string(),
        VerifyError::Cancelled.to_string(),
    ];
    assert_eq!(
        errors,
        [
            "doom is not downloaded",
            "data/a.bin of doom changed while it was verified",
            "could not verify doom",
            "verification was cancelled",
        ]
    );
}
