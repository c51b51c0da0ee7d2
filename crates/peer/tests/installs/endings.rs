//! Installs that do not come to a good end: cancelled, failed, cut short, in the way of something.

use std::{fs, path::PathBuf};

use lanspread_peer::{
    DownloadRequest, ErrorCode, OperationError, PeerEvent, RecoveryFinding, UnpackError,
    UnsafeEntry,
    proto::{self, limits::LimitExceeded},
};
use lanspread_testkit::{Lab, TestPeer, eventually};

use crate::{
    pack::{Fault, TestUnpacker, archived},
    stories::{assert_installed, doom, source_and_receiver},
};

async fn cancelled(peer: &TestPeer) {
    peer.event("cancelled", |event| {
        matches!(event, PeerEvent::InstallGameCancelled { .. }).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_takes_the_install_back_and_keeps_the_download() {
    let lab = Lab::new();
    let (_source, receiver, unpacker) = source_and_receiver(&lab).await;
    receiver.sees("doom", 1).await;
    unpacker.hold();
    let request = DownloadRequest::latest(doom());
    let download = receiver.handle.download(request).await.unwrap();
    eventually("the install's middle", || unpacker.waits()).await;
    assert!(receiver.game_dir().join("doom/.local.installing").exists());
    receiver.handle.cancel(doom()).await.unwrap();
    let ended = download.await.unwrap_err();
    assert!(matches!(ended, OperationError::Cancelled { .. }), "{ended}");
    cancelled(&receiver).await;
    assert_installed(&receiver, None);
    archived("doom", "1").assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_update_leaves_the_old_version() {
    let lab = Lab::new();
    let (_source, receiver, unpacker) = source_and_receiver(&lab).await;
    receiver.downloads("doom").await;
    unpacker.hold();
    let install = receiver.handle.install(doom()).await.unwrap();
    eventually("the install's middle", || unpacker.waits()).await;
    install.cancel();
    assert_eq!(install.await.unwrap_err().code(), ErrorCode::Cancelled);
    assert_installed(&receiver, Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_install_runs_everything_else_on_the_game_is_busy() {
    let lab = Lab::new();
    let (_source, receiver, unpacker) = source_and_receiver(&lab).await;
    receiver.downloads("doom").await;
    unpacker.hold();
    let install = receiver.handle.install(doom()).await.unwrap();
    eventually("the install's middle", || unpacker.waits()).await;
    let peer = &receiver.handle;
    let refusals = [
        peer.download(DownloadRequest::latest(doom())).await.err(),
        peer.install(doom()).await.err(),
        peer.uninstall(doom()).await.err(),
        peer.verify(doom(), false).await.err(),
        peer.remove(doom()).await.err(),
        peer.set_game_dir(PathBuf::from("/nowhere")).await.err(),
        peer.set_launch_settings(&doom(), 1.into()).await.err(),
    ];
    for refusal in refusals {
        let refusal = refusal.expect("a refusal");
        assert_eq!(refusal.code(), ErrorCode::Busy, "{refusal}");
    }
    unpacker.let_go();
    install.await.unwrap();
    assert_installed(&receiver, Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_download_runs_an_install_is_busy() {
    let lab = Lab::new();
    let big = archived("doom", "1").file("more.pak", 8 << 20);
    let setup = lab.peer("source").has(&big);
    let source = setup
        .with(|config| config.rate_limits.upload_bytes_per_second = Some(4 << 20))
        .start()
        .await;
    let receiver = lab
        .peer("receiver")
        .unpacks(TestUnpacker::new())
        .knows(&source)
        .start()
        .await;
    receiver.sees("doom", 1).await;
    let request = DownloadRequest::latest(doom());
    let download = receiver.handle.download(request).await.unwrap();
    let refused = receiver.handle.install(doom()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Busy, "{refused}");
    let refused = receiver.handle.uninstall(doom()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Busy, "{refused}");
    download.await.unwrap();
    assert_installed(&receiver, Some("1"));
}

fn damaged(archive: PathBuf) -> UnpackError {
    UnpackError::Damaged {
        archive,
        entry: None,
        source: "it is cut".into(),
    }
}

fn hostile(archive: PathBuf) -> UnpackError {
    UnpackError::Unsafe {
        archive,
        entry: "../x".into(),
        why: UnsafeEntry::SymbolicLink,
    }
}

fn unsupported(archive: PathBuf) -> UnpackError {
    UnpackError::Unsupported {
        archive,
        what: "it is encrypted".into(),
    }
}

fn over_a_limit(archive: PathBuf) -> UnpackError {
    UnpackError::Limit {
        archive,
        entry: None,
        source: LimitExceeded {
            what: "entries",
            actual: 2,
            limit: 1,
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_cannot_be_unpacked_is_told_with_its_code_and_the_download_stays() {
    let table: [(Fault, ErrorCode); 4] = [
        (damaged, ErrorCode::ArchiveDamaged),
        (hostile, ErrorCode::ArchiveUnsafe),
        (unsupported, ErrorCode::ArchiveUnsupported),
        (over_a_limit, ErrorCode::Limit),
    ];
    let lab = Lab::new();
    let (_source, receiver, unpacker) = source_and_receiver(&lab).await;
    receiver.sees("doom", 1).await;
    for (fault, code) in table {
        unpacker.fail(Some(fault));
        let request = DownloadRequest::latest(doom());
        let download = receiver.handle.download(request).await.unwrap();
        let error = download.await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        let told = receiver
            .event("failure", |event| match event {
                PeerEvent::InstallGameFailed { error, .. } if error.code == code => {
                    Some(error.clone())
                }
                _ => None,
            })
            .await;
        assert!(told.message.contains("game.eti"), "{}", told.message);
        assert_installed(&receiver, None);
        archived("doom", "1").assert_in(&receiver.game_dir());
    }
    unpacker.fail(None);
    receiver
        .handle
        .install(doom())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_installed(&receiver, Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_in_the_middle_takes_the_install_back() {
    let lab = Lab::new();
    let (source, receiver, unpacker) = source_and_receiver(&lab).await;
    receiver.sees("doom", 1).await;
    unpacker.hold();
    let request = DownloadRequest::latest(doom());
    let download = receiver.handle.download(request).await.unwrap();
    eventually("the install's middle", || unpacker.waits()).await;
    receiver.handle.shutdown().await;
    assert!(matches!(download.await, Err(OperationError::Stopped)));
    cancelled(&receiver).await;
    assert_installed(&receiver, None);
    archived("doom", "1").assert_in(&receiver.game_dir());
    drop((source, receiver));

    let unpacker = TestUnpacker::new();
    let receiver = lab.peer("receiver").unpacks(unpacker).start().await;
    receiver
        .handle
        .install(doom())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_installed(&receiver, Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_is_brought_in_order_before_anything_is_served() {
    let lab = Lab::new();
    let (_source, receiver, unpacker) = source_and_receiver(&lab).await;
    receiver.downloads("doom").await;
    // The folders as they are in the middle of an update, copied to another machine.
    unpacker.hold();
    let install = receiver.handle.install(doom()).await.unwrap();
    eventually("the install's middle", || unpacker.waits()).await;
    let twin = lab.peer("twin").unpacks(TestUnpacker::new());
    copy(&receiver.dir().join("games"), &twin.config.game_dir);
    for document in ["games", "owner.json"] {
        let from = receiver.dir().join("state").join(document);
        copy(&from, &twin.config.state_dir.join(document));
    }
    unpacker.let_go();
    install.await.unwrap();

    let staging = twin.config.game_dir.join("doom/.local.installing");
    assert!(staging.exists());
    let twin = twin.start().await;
    assert!(!staging.exists());
    assert_installed(&twin, Some("1"));
    assert!(reports(&twin).is_empty(), "{:?}", reports(&twin));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

fn reports(peer: &TestPeer) -> Vec<(PathBuf, RecoveryFinding)> {
    let report = |event| match event {
        PeerEvent::RecoveryReport { path, what, .. } => Some((path, what)),
        _ => None,
    };
    peer.told().into_iter().filter_map(report).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_reported_refused_and_left() {
    let lab = Lab::new();
    let setup = lab
        .peer("peer")
        .has(&archived("doom", "1"))
        .unpacks(TestUnpacker::new());
    let foreign = setup.config.game_dir.join("doom/.local.backup");
    fs::create_dir_all(&foreign).unwrap();
    fs::write(foreign.join("save.dat"), "mine").unwrap();
    let peer = setup.start().await;
    let report = peer
        .event("report", |event| match event {
            PeerEvent::RecoveryReport { game, path, what } => {
                Some((game.clone(), path.clone(), *what))
            }
            _ => None,
        })
        .await;
    let expected: proto::GameId = doom();
    assert_eq!(
        report,
        (expected, foreign.clone(), RecoveryFinding::Foreign)
    );
    let refused = peer
        .handle
        .install(doom())
        .await
        .unwrap()
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Io, "{refused}");
    let refused = peer.handle.remove(doom()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Installed, "{refused}");
    assert_eq!(
        fs::read_to_string(foreign.join("save.dat")).unwrap(),
        "mine"
    );
    assert!(peer.game_dir().join("doom/game.eti").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_older_builds_are_moved_before_the_start() {
    let lab = Lab::new();
    let setup = lab.peer("peer").has(&archived("doom", "1"));
    let older = setup.config.game_dir.join("doom/.lanspread.json");
    fs::write(&older, "{}").unwrap();
    let peer = setup.start().await;
    assert!(!older.exists());
    let kept = peer.dir().join("state/games/doom/older/lanspread.json");
    assert_eq!(fs::read_to_string(kept).unwrap(), "{}");
}
