//! A game's life: downloaded, installed, updated, uninstalled, removed.

use std::{fs, sync::Arc};

use lanspread_peer::{
    DownloadRequest, ErrorCode, GameState, GameView, InstallSummary, OperationKind, PeerEvent,
    proto::GameId,
};
use lanspread_testkit::{Lab, TestPeer, eventually, tree};

use crate::pack::{TestUnpacker, archived, content, installed};

pub(crate) fn doom() -> GameId {
    "doom".parse().unwrap()
}

/// A peer that has version 1 of an archived game, and one that unpacks.
pub(crate) async fn source_and_receiver(lab: &Lab) -> (TestPeer, TestPeer, Arc<TestUnpacker>) {
    let unpacker = TestUnpacker::new();
    let source = lab.peer("source").has(&archived("doom", "1")).start().await;
    let receiver = lab
        .peer("receiver")
        .unpacks(unpacker.clone())
        .knows(&source)
        .start()
        .await;
    (source, receiver, unpacker)
}

/// The game as it is listed.
pub(crate) fn listed(peer: &TestPeer) -> GameView {
    let games = peer.handle.games();
    let found = games.into_iter().find(|game| game.id == doom());
    found.expect("the game is listed")
}

pub(crate) fn assert_installed(peer: &TestPeer, version: Option<&str>) {
    let on_disk = installed(&peer.game_dir(), "doom");
    assert_eq!(on_disk, version.map(content), "local/");
    let view = listed(peer);
    let shown = view
        .installed_version
        .as_ref()
        .map(|v| v.as_str().to_owned());
    assert_eq!(view.installed, version.is_some());
    assert_eq!(shown.as_deref(), version);
    let leftovers: Vec<_> = fs::read_dir(peer.game_dir().join("doom"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

/// The names of the events about games, without the ones that come any number of times.
fn order(peer: &TestPeer) -> Vec<&'static str> {
    let name = |event: PeerEvent| match event {
        PeerEvent::DownloadGameFilesBegin { .. } => Some("download_started"),
        PeerEvent::DownloadGameFilesFinished(_) => Some("download_finished"),
        PeerEvent::InstallGameBegin { .. } => Some("install_started"),
        PeerEvent::InstallGameFinished(_) => Some("install_finished"),
        PeerEvent::InstallGameFailed { .. } => Some("install_failed"),
        PeerEvent::InstallGameCancelled { .. } => Some("install_cancelled"),
        PeerEvent::UninstallGameBegin { .. } => Some("uninstall_started"),
        PeerEvent::UninstallGameFinished { .. } => Some("uninstall_finished"),
        PeerEvent::Removed { .. } => Some("removed"),
        _ => None,
    };
    peer.told().into_iter().filter_map(name).collect()
}

async fn install(peer: &TestPeer) -> InstallSummary {
    peer.handle.install(doom()).await.unwrap().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_installed_after_its_download() {
    let lab = Lab::new();
    let (_source, receiver, _) = source_and_receiver(&lab).await;
    let summary = receiver.downloads("doom").await;
    assert!(summary.installing);
    assert_installed(&receiver, Some("1"));
    archived("doom", "1").assert_in(&receiver.game_dir());
    assert!(receiver.handle.status().operations.is_empty());
    let finished = receiver
        .event("install", |event| match event {
            PeerEvent::InstallGameFinished(summary) => Some(summary.clone()),
            _ => None,
        })
        .await;
    let bytes: usize = content("1").values().map(Vec::len).sum();
    assert_eq!((finished.files, finished.bytes), (3, bytes as u64));
    assert_eq!((finished.replaced, finished.streamed), (None, false));
    assert_eq!(
        order(&receiver),
        [
            "download_started",
            "download_finished",
            "install_started",
            "install_finished"
        ]
    );
    let progress = receiver.told().into_iter().any(
        |event| matches!(event, PeerEvent::InstallGameProgress { bytes_done, .. } if bytes_done > 0),
    );
    assert!(progress, "{:#?}", receiver.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_not_to_install_does_not() {
    let lab = Lab::new();
    let (_source, receiver, _) = source_and_receiver(&lab).await;
    receiver.sees("doom", 1).await;
    let request = || DownloadRequest {
        install: false,
        ..DownloadRequest::latest(doom())
    };
    let download = receiver.handle.download(request()).await.unwrap();
    assert!(!download.await.unwrap().installing);
    assert_installed(&receiver, None);

    // The game is here already and not installed: asked to, it is.
    let again = receiver.downloads("doom").await;
    assert!(again.installing);
    assert_eq!(again.fetched_bytes, 0);
    assert_installed(&receiver, Some("1"));

    // Now there is nothing to do.
    assert!(!receiver.downloads("doom").await.installing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_tree_is_installed_when_asked_to_and_without_an_unpacker() {
    let game = tree("doom", "1")
        .file("bin/run.sh", 10_000)
        .executable("bin/run.sh");
    let lab = Lab::new();
    let source = lab.peer("source").has(&game).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    assert!(!receiver.downloads("doom").await.installing);
    assert!(!listed(&receiver).installed);
    let summary = install(&receiver).await;
    assert_eq!((summary.files, summary.bytes), (1, 10_000));
    let files = installed(&receiver.game_dir(), "doom").unwrap();
    let source_file = fs::read(source.game_dir().join("doom/bin/run.sh")).unwrap();
    assert_eq!(files["bin/run.sh"], source_file);
    assert_eq!(files.len(), 1);
    assert_eq!(
        listed(&receiver).installed_version,
        Some("1".parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_unpacker_an_archive_stays_one() {
    let lab = Lab::new();
    let source = lab.peer("source").has(&archived("doom", "1")).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    assert!(!receiver.downloads("doom").await.installing);
    let error = receiver
        .handle
        .install(doom())
        .await
        .unwrap()
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ArchiveUnsupported, "{error}");
    assert!(
        error.failure().message.contains("game.eti"),
        "{}",
        error.failure().message
    );
    assert_installed(&receiver, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_the_place_of_the_old_one() {
    let lab = Lab::new();
    let (source, receiver, _) = source_and_receiver(&lab).await;
    receiver.downloads("doom").await;
    source.handle.shutdown().await;
    let newer = lab.peer("newer").has(&archived("doom", "2")).start().await;
    let address = newer.handle.listen_addr().to_string();
    receiver.handle.connect(&address).await.unwrap();
    eventually("the new version", || {
        listed(&receiver).latest_version == Some("2".parse().unwrap())
    })
    .await;
    let summary = receiver.downloads("doom").await;
    assert_eq!(
        summary.kept_bytes, 25,
        "the file that is the same in every version"
    );
    assert_installed(&receiver, Some("2"));
    let replaced = receiver
        .event("update", |event| match event {
            PeerEvent::InstallGameFinished(summary) => summary.replaced.clone(),
            _ => None,
        })
        .await;
    assert_eq!(replaced.as_str(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn installing_again_gives_the_same_version_once_more() {
    let lab = Lab::new();
    let (_source, receiver, _) = source_and_receiver(&lab).await;
    receiver.downloads("doom").await;
    fs::write(
        receiver.game_dir().join("doom/local/bin/game.bin"),
        "broken",
    )
    .unwrap();
    let summary = install(&receiver).await;
    assert_eq!(summary.replaced, Some("1".parse().unwrap()));
    assert_installed(&receiver, Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_game_is_uninstalled_before_it_is_removed() {
    let lab = Lab::new();
    let (_source, receiver, _) = source_and_receiver(&lab).await;
    let not_here = receiver.handle.install(doom()).await.unwrap_err();
    assert_eq!(not_here.code(), ErrorCode::NotDownloaded);
    let nothing = receiver.handle.uninstall(doom()).await.unwrap_err();
    assert_eq!(nothing.code(), ErrorCode::NotInstalled);
    receiver.downloads("doom").await;
    let refused = receiver.handle.remove(doom()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Installed);
    assert_installed(&receiver, Some("1"));

    receiver
        .handle
        .uninstall(doom())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_installed(&receiver, None);
    assert_eq!(listed(&receiver).state, GameState::Downloaded);
    archived("doom", "1").assert_in(&receiver.game_dir());
    let twice = receiver.handle.uninstall(doom()).await.unwrap_err();
    assert_eq!(twice.code(), ErrorCode::NotInstalled);

    receiver.handle.remove(doom()).await.unwrap();
    assert!(!receiver.game_dir().join("doom").exists());
    assert_eq!(listed(&receiver).state, GameState::Remote);
    let removed = |event: &PeerEvent| matches!(event, PeerEvent::Removed { .. }).then_some(());
    receiver.event("the end", removed).await;
    let last = ["uninstall_started", "uninstall_finished", "removed"];
    assert!(order(&receiver).ends_with(&last), "{:?}", order(&receiver));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_goes_on_being_served_while_it_is_installed() {
    let lab = Lab::new();
    let (source, receiver, unpacker) = source_and_receiver(&lab).await;
    receiver.sees("doom", 1).await;
    unpacker.hold();
    let download = receiver
        .handle
        .download(DownloadRequest::latest(doom()))
        .await
        .unwrap();
    eventually("the install's middle", || unpacker.waits()).await;
    source.handle.shutdown().await;

    let operations = receiver.handle.status().operations;
    assert_eq!(operations[0].kind, OperationKind::Install);
    assert_eq!(listed(&receiver).state, GameState::Downloaded);
    let other = lab.peer("other").knows(&receiver).start().await;
    other.downloads("doom").await;
    archived("doom", "1").assert_in(&other.game_dir());

    unpacker.let_go();
    download.await.unwrap();
    assert_installed(&receiver, Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn local_alone_is_an_installed_game_that_can_be_uninstalled() {
    let lab = Lab::new();
    let setup = lab.peer("peer");
    let local = setup.config.game_dir.join("doom/local");
    fs::create_dir_all(&local).unwrap();
    fs::write(local.join("save.dat"), "mine").unwrap();
    let peer = setup.start().await;
    let view = listed(&peer);
    assert_eq!((view.state, view.installed), (GameState::Remote, true));
    assert_eq!((view.version, view.installed_version), (None, None));
    let refused = peer.handle.install(doom()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotDownloaded);
    peer.handle.uninstall(doom()).await.unwrap().await.unwrap();
    assert!(!local.exists());
    assert!(peer.handle.games().is_empty());
}
