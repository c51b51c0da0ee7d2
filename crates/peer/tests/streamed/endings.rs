//! How a streamed install ends that does not end well: nothing is left here, and nothing runs there.

use std::fs;

use lanspread_peer::{ErrorCode, InstallSummary, Operation, PeerEvent, StreamInstallRequest};
use lanspread_testkit::{Lab, TestPeer, eventually};

use crate::{
    provider::{TestProvider, archived},
    stories::{
        assert_installed, assert_no_leftovers, doom, files, is_idle, order, source, streams,
        went_well,
    },
};

async fn begins(peer: &TestPeer) -> Operation<InstallSummary> {
    peer.sees("doom", 1).await;
    let request = StreamInstallRequest::latest(doom());
    let operation = peer.handle.stream_install(request).await.unwrap();
    let staging = peer.game_dir().join("doom/.local.installing/bin/game.bin");
    eventually("bytes", || staging.exists()).await;
    operation
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_the_provider_and_leaves_nothing() {
    for provider in [TestProvider::held(), TestProvider::endless()] {
        let lab = Lab::new();
        let source = source(&lab, "source", &provider).await;
        let receiver = lab.peer("receiver").knows(&source).start().await;
        let operation = begins(&receiver).await;
        receiver.handle.cancel(doom()).await.unwrap();
        let error = operation.await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Cancelled);
        receiver
            .event("the end", |event| {
                matches!(
                    event,
                    PeerEvent::DownloadGameFilesCancelled { streamed: true, .. }
                )
                .then_some(())
            })
            .await;
        assert!(!receiver.game_dir().join("doom").exists());
        assert!(receiver.handle.status().operations.is_empty());
        is_idle(&source, &provider).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_update_keeps_what_was_installed() {
    let (lab, provider) = (Lab::new(), TestProvider::held());
    let source = source(&lab, "source", &provider).await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    let local = receiver.game_dir().join("doom/local");
    fs::create_dir_all(local.join("saves")).unwrap();
    fs::write(local.join("saves/one"), "played").unwrap();
    let before = files(&local);
    let operation = begins(&receiver).await;
    operation.cancel();
    operation.await.unwrap_err();
    assert_eq!(files(&local), before);
    assert_no_leftovers(&receiver.game_dir().join("doom"));
    is_idle(&source, &provider).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_of_the_receiver_takes_it_back() {
    let (lab, provider) = (Lab::new(), TestProvider::endless());
    let source = source(&lab, "source", &provider).await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    let _operation = begins(&receiver).await;
    receiver.handle.shutdown().await;
    assert!(!receiver.game_dir().join("doom").exists());
    is_idle(&source, &provider).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_peer_fails_the_next_completes() {
    let (lab, bad, good) = (Lab::new(), TestProvider::failing(), TestProvider::new());
    let first = source(&lab, "bad", &bad).await;
    let second = source(&lab, "good", &good).await;
    // Whichever it begins with: seen often enough, both orders are met.
    for name in ["a", "b", "c", "d", "e", "f"] {
        let receiver = lab.peer(name).knows(&first).knows(&second).start().await;
        receiver.sees("doom", 2).await;
        streams(&receiver).await.unwrap();
        assert_installed(&receiver, "1");
        went_well(&receiver).await;
        receiver.handle.shutdown().await;
    }
    is_idle(&first, &bad).await;
    is_idle(&second, &good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_peer_goes_in_the_middle_the_next_completes() {
    let (lab, endless, good) = (Lab::new(), TestProvider::endless(), TestProvider::new());
    let first = source(&lab, "first", &endless).await;
    let receiver = lab.peer("receiver").knows(&first).start().await;
    let operation = begins(&receiver).await;
    let second = source(&lab, "second", &good).await;
    let addr = second.handle.listen_addr().to_string();
    receiver.handle.connect(&addr).await.unwrap();
    receiver.sees("doom", 2).await;
    first.handle.shutdown().await;
    operation.await.unwrap();
    assert_installed(&receiver, "1");
    went_well(&receiver).await;
    eventually("the end of the first provider", || endless.jobs() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_fail_the_error_says_why_and_nothing_is_left() {
    let (lab, provider) = (Lab::new(), TestProvider::failing());
    let source = source(&lab, "source", &provider).await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    let error = streams(&receiver).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AllSourcesFailed);
    let shown = error.to_string();
    assert!(
        shown.contains("game.eti is damaged at \"data/level.dat\": a checksum is wrong"),
        "{shown}"
    );
    assert!(!receiver.game_dir().join("doom").exists());
    let failed = |event: &PeerEvent| matches!(event, PeerEvent::DownloadGameFilesFailed { .. });
    receiver
        .event("the end", |event| failed(event).then_some(()))
        .await;
    assert_eq!(
        order(&receiver),
        [("download_started", true), ("download_failed", true)]
    );
    is_idle(&source, &provider).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_expand_and_a_game_without_an_archive_say_so() {
    let lab = Lab::new();
    let plain = lab.peer("plain").has(&archived("doom", "1")).start().await;
    let receiver = lab.peer("receiver").knows(&plain).start().await;
    let error = streams(&receiver).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AllSourcesFailed);
    assert!(error.to_string().contains("does not expand"), "{error}");

    let tree = lanspread_testkit::tree("doom", "1").file("data", 1000);
    let source = lab.peer("tree").has(&tree);
    let source = source.expands(TestProvider::new()).start().await;
    let receiver = lab.peer("other").knows(&source).start().await;
    let error = streams(&receiver).await.unwrap_err();
    assert!(error.to_string().contains("has no archive"), "{error}");
    assert!(!receiver.game_dir().join("doom").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_has_it_is_another_error() {
    let lab = Lab::new();
    let receiver = lab.peer("receiver").start().await;
    let request = StreamInstallRequest::latest(doom());
    let error = receiver.handle.stream_install(request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoSource);
    assert!(!receiver.game_dir().join("doom").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_too_small_is_told_before_anything_comes() {
    let (lab, provider) = (Lab::new(), TestProvider::new());
    let source = source(&lab, "source", &provider).await;
    let receiver = lab.peer("receiver").knows(&source);
    let receiver = receiver.with(|config| config.reserve_bytes = Some(1 << 60));
    let receiver = receiver.start().await;
    let error = streams(&receiver).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DiskFull, "{error}");
    assert!(!receiver.game_dir().join("doom").exists());
    is_idle(&source, &provider).await;
}
