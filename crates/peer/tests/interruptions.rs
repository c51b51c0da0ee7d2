//! Cancels, deaths and returns in the middle of a download.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

use std::fs;

use lanspread_peer::{DownloadRequest, ErrorCode, OperationError, PeerEvent, RateLimits};
use lanspread_testkit::{GameTree, Lab, PeerSetup, TestPeer, eventually, tree};

const MIB: usize = 1024 * 1024;

fn big_game() -> GameTree {
    tree("doom", "1.0")
        .file("big.pak", 24 * MIB)
        .file("small/readme.txt", 100)
}

/// Slow enough that something can happen in the middle.
fn slow(setup: PeerSetup) -> PeerSetup {
    setup.with(|config| {
        config.rate_limits = RateLimits {
            upload_bytes_per_second: Some(8 << 20),
            ..RateLimits::default()
        };
    })
}

async fn start_and_reach(receiver: &TestPeer, bytes: u64) {
    receiver.sees("doom", 1).await;
    let request = DownloadRequest::latest("doom".parse().unwrap());
    let download = receiver.handle.download(request).await.unwrap();
    let mut progress = download.progress();
    let reached = progress.wait_for(|progress| progress.bytes_done >= bytes);
    reached.await.expect("the download runs that long");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_removes_the_payload_and_keeps_local() {
    let game = big_game();
    let lab = Lab::new();
    let source = slow(lab.peer("source").has(&game)).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    let saved = receiver.game_dir().join("doom/local/save.dat");
    fs::create_dir_all(saved.parent().unwrap()).unwrap();
    fs::write(&saved, "mine").unwrap();
    start_and_reach(&receiver, 4 << 20).await;
    receiver
        .handle
        .cancel("doom".parse().unwrap())
        .await
        .unwrap();
    receiver
        .event("cancelled", |event| {
            matches!(event, PeerEvent::DownloadGameFilesCancelled { .. }).then_some(())
        })
        .await;
    game.assert_not_in(&receiver.game_dir());
    assert_eq!(fs::read_to_string(saved).unwrap(), "mine");
    eventually("end of the source's transfers", || {
        source.handle.status().outbound_transfers.is_empty()
    })
    .await;
    eventually("end of the operation", || {
        receiver.handle.status().operations.is_empty()
    })
    .await;
    receiver.downloads("doom").await;
    game.assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_what_does_not_run_is_refused() {
    let lab = Lab::new();
    let receiver = lab.peer("receiver").start().await;
    let refused = receiver
        .handle
        .cancel("doom".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::BadInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_it_stopped() {
    let game = big_game();
    let lab = Lab::new();
    let source = slow(lab.peer("source").has(&game)).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    start_and_reach(&receiver, 8 << 20).await;
    receiver.handle.shutdown().await;
    drop(receiver);
    let receiver = lab.peer("receiver").knows(&source).start().await;
    let summary = receiver.downloads("doom").await;
    game.assert_in(&receiver.game_dir());
    assert!(summary.kept_bytes >= 8 << 20, "{summary:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_stopped_download_can_be_discarded() {
    let game = big_game();
    let lab = Lab::new();
    let source = slow(lab.peer("source").has(&game)).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    start_and_reach(&receiver, 4 << 20).await;
    receiver.handle.shutdown().await;
    let receiver = lab.peer("receiver").start().await;
    receiver
        .handle
        .cancel("doom".parse().unwrap())
        .await
        .unwrap();
    game.assert_not_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_costs_nothing_while_another_lives() {
    let game = big_game();
    let lab = Lab::new();
    let dying = slow(lab.peer("dying").has(&game)).start().await;
    let staying = slow(lab.peer("staying").has(&game)).start().await;
    let receiver = lab
        .peer("receiver")
        .knows(&dying)
        .knows(&staying)
        .start()
        .await;
    receiver.sees("doom", 2).await;
    start_and_reach(&receiver, 4 << 20).await;
    dying.handle.shutdown().await;
    receiver
        .event("finished", |event| {
            matches!(event, PeerEvent::DownloadGameFilesFinished(_)).then_some(())
        })
        .await;
    game.assert_in(&receiver.game_dir());
    let failed = |event: &PeerEvent| matches!(event, PeerEvent::DownloadGameFilesFailed { .. });
    assert!(!receiver.told().iter().any(failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_waits_for_a_source_and_goes_on_when_it_returns() {
    let game = big_game();
    let lab = Lab::new();
    let source = slow(lab.peer("source").has(&game))
        .discovers()
        .start()
        .await;
    let receiver = lab.peer("receiver").discovers().start().await;
    receiver.sees("doom", 1).await;
    start_and_reach(&receiver, 4 << 20).await;
    source.handle.shutdown().await;
    eventually("loss of the source", || receiver.handle.peer_count() == 0).await;
    assert_eq!(
        receiver.handle.status().operations.len(),
        1,
        "the download stays"
    );
    let _source = lab.peer("source").discovers().start().await;
    receiver
        .event("finished", |event| {
            matches!(event, PeerEvent::DownloadGameFilesFinished(_)).then_some(())
        })
        .await;
    game.assert_in(&receiver.game_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_download_of_the_same_game_is_busy() {
    let game = big_game();
    let lab = Lab::new();
    let source = slow(lab.peer("source").has(&game)).start().await;
    let receiver = lab.peer("receiver").knows(&source).start().await;
    start_and_reach(&receiver, 1).await;
    let request = DownloadRequest::latest("doom".parse().unwrap());
    let refused = receiver.handle.download(request).await.unwrap_err();
    assert!(matches!(refused, OperationError::Busy { .. }), "{refused}");
    let moved = receiver
        .handle
        .set_game_dir(lab.peer("other").config.game_dir)
        .await
        .unwrap_err();
    assert_eq!(moved.code(), ErrorCode::Busy);
    receiver.handle.shutdown().await;
}
