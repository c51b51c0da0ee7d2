//! What a streamed install brings, and what the game is afterwards.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use lanspread_peer::{
    GameState, GameView, InstallSummary, OperationError, PeerEvent, StreamInstallRequest,
    proto::GameId,
};
use lanspread_testkit::{Lab, TestPeer, eventually};

use crate::provider::{TestProvider, archived, content};

pub(crate) fn doom() -> GameId {
    "doom".parse().unwrap()
}

/// A peer that has version 1 of an archived game and expands it.
pub(crate) async fn source(lab: &Lab, name: &str, provider: &Arc<TestProvider>) -> TestPeer {
    let source = lab.peer(name).has(&archived("doom", "1"));
    source.expands(provider.clone()).start().await
}

/// Installs from whoever has it.
pub(crate) async fn streams(peer: &TestPeer) -> Result<InstallSummary, OperationError> {
    peer.sees("doom", 1).await;
    let request = StreamInstallRequest::latest(doom());
    peer.handle.stream_install(request).await?.await
}

/// The game as it is listed, if it is.
pub(crate) fn listed(peer: &TestPeer) -> Option<GameView> {
    let mut games = peer.handle.games().into_iter();
    games.find(|game| game.id == doom())
}

/// Every file under a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    read(folder, "", &mut found);
    found
}

fn read(folder: &Path, under: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{under}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &format!("{path}/"), found);
        } else {
            found.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

/// `local/` holds this version and the game root nothing else that begins with a dot.
pub(crate) fn assert_installed(peer: &TestPeer, version: &str) {
    let root = peer.game_dir().join("doom");
    let expected: BTreeMap<_, _> = content(version).into_iter().collect();
    let found = files(&root.join("local"));
    assert!(found == expected, "{:?}", found.keys());
    assert!(root.join("local/saves").is_dir());
    assert_no_leftovers(&root);
}

pub(crate) fn assert_no_leftovers(root: &Path) {
    let names = fs::read_dir(root).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let leftovers: Vec<_> = names.filter(|name| name.starts_with('.')).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

/// Within a second nothing is sent any more and nothing expands.
pub(crate) async fn is_idle(source: &TestPeer, provider: &TestProvider) {
    eventually("an idle source", || {
        let status = source.handle.status();
        status.outbound_transfers.is_empty()
            && status.queued_receivers.is_empty()
            && provider.jobs() == 0
    })
    .await;
}

/// The names of the events about the game, without the ones that come any number of times.
pub(crate) fn order(peer: &TestPeer) -> Vec<(&'static str, bool)> {
    let name = |event: PeerEvent| match event {
        PeerEvent::DownloadGameFilesBegin { streamed, .. } => Some(("download_started", streamed)),
        PeerEvent::DownloadGameFilesFinished(summary) => {
            Some(("download_finished", summary.streamed))
        }
        PeerEvent::DownloadGameFilesFailed { streamed, .. } => Some(("download_failed", streamed)),
        PeerEvent::DownloadGameFilesCancelled { streamed, .. } => {
            Some(("download_cancelled", streamed))
        }
        PeerEvent::InstallGameBegin { streamed, .. } => Some(("install_started", streamed)),
        PeerEvent::InstallGameFinished(summary) => Some(("install_finished", summary.streamed)),
        PeerEvent::InstallGameFailed { streamed, .. } => Some(("install_failed", streamed)),
        _ => None,
    };
    peer.told().into_iter().filter_map(name).collect()
}

/// One beginning, one end, and no error on the way.
pub(crate) async fn went_well(peer: &TestPeer) {
    let finished = |event: &PeerEvent| matches!(event, PeerEvent::InstallGameFinished(_));
    peer.event("the end", |event| finished(event).then_some(()))
        .await;
    let expected = [
        ("download_started", true),
        ("download_finished", true),
        ("install_started", true),
        ("install_finished", true),
    ];
    assert_eq!(order(peer), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_is_installed_straight_from_a_peer() {
    let (lab, provider) = (Lab::new(), TestProvider::new());
    let source = source(&lab, "source", &provider).await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    let summary = streams(&receiver).await.unwrap();
    let bytes: usize = content("1").iter().map(|(_, content)| content.len()).sum();
    assert_eq!((summary.files, summary.bytes), (4, bytes as u64));
    assert!(summary.streamed && summary.replaced.is_none());
    assert_installed(&receiver, "1");
    let names: Vec<_> = fs::read_dir(receiver.game_dir().join("doom"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        names,
        ["local"],
        "no archive and no sentinel ever came here"
    );
    went_well(&receiver).await;
    is_idle(&source, &provider).await;
    assert!(source.handle.status().sent_bytes[&doom()] >= bytes as u64);

    let view = listed(&receiver).unwrap();
    assert!(view.installed);
    assert_eq!(view.installed_version.unwrap().as_str(), "1");
    assert_eq!(view.state, GameState::Remote);
    let seen = listed(&source).unwrap();
    assert_eq!(seen.peers, 0, "it has nothing to serve");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_uninstalled_and_downloaded_beside() {
    let (lab, provider) = (Lab::new(), TestProvider::new());
    let source = source(&lab, "source", &provider).await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    streams(&receiver).await.unwrap();
    assert!(!receiver.downloads("doom").await.installing);
    assert_installed(&receiver, "1");
    archived("doom", "1").assert_in(&receiver.game_dir());
    let uninstall = receiver.handle.uninstall(doom()).await.unwrap();
    uninstall.await.unwrap();
    assert!(!receiver.game_dir().join("doom/local").exists());
    archived("doom", "1").assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_replaces_what_was_installed() {
    let (lab, provider) = (Lab::new(), TestProvider::new());
    let old = source(&lab, "old", &provider).await;
    let receiver = lab.peer("receiver").knows(&old).start().await;
    streams(&receiver).await.unwrap();
    old.handle.shutdown().await;
    let new = lab.peer("new").has(&archived("doom", "2"));
    let new = new.expands(provider.clone()).start().await;
    let addr = new.handle.listen_addr().to_string();
    receiver.handle.connect(&addr).await.unwrap();
    eventually("version 2", || {
        listed(&receiver).is_some_and(|view| {
            view.latest_version
                .is_some_and(|version| version.as_str() == "2")
        })
    })
    .await;
    let summary = streams(&receiver).await.unwrap();
    assert_eq!(summary.replaced.unwrap().as_str(), "1");
    assert_installed(&receiver, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_says_how_far_it_is_and_who_sends() {
    let (lab, provider) = (Lab::new(), TestProvider::held());
    let source = source(&lab, "source", &provider).await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    receiver.sees("doom", 1).await;
    let request = StreamInstallRequest::latest(doom());
    let operation = receiver.handle.stream_install(request).await.unwrap();
    let total: usize = content("1").iter().map(|(_, content)| content.len()).sum();
    let sender = receiver
        .event("progress", |event| match event {
            PeerEvent::DownloadGameFilesProgress {
                bytes_total,
                streamed: true,
                peer,
                ..
            } if *bytes_total == total as u64 => *peer,
            _ => None,
        })
        .await;
    assert_eq!(sender, source.handle.id());
    let status = source.handle.status();
    assert_eq!(status.outbound_transfers[&doom()], 1);
    assert_eq!(receiver.handle.status().operations.len(), 1);
    provider.let_go();
    operation.await.unwrap();
    assert_installed(&receiver, "1");
}
