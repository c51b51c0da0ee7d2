//! How peers find each other, stay together and part.

use lanspread_peer::{DownloadRequest, LeaveReason, PeerEvent};
use lanspread_testkit::{Lab, TestPeer, eventually, tree};

async fn leave_reason(peer: &TestPeer) -> LeaveReason {
    peer.event("departure", |event| match event {
        PeerEvent::PeerLeft { reason, .. } => Some(*reason),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_discover_each_other_keep_one_connection() {
    let lab = Lab::new();
    let mut peers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        peers.push(lab.peer(name).discovers().start().await);
    }
    for peer in &peers {
        eventually("a full mesh", || peer.handle.peer_count() == 3).await;
    }
    for peer in peers {
        peer.handle.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_is_heard() {
    let lab = Lab::new();
    let stays = lab.peer("stays").start().await;
    let leaves = lab.peer("leaves").knows(&stays).start().await;
    // Whoever goes before it was told to have joined is not told to have left.
    let joined = |event: &PeerEvent| matches!(event, PeerEvent::PeerJoined { .. }).then_some(());
    stays.event("arrival", joined).await;
    leaves.handle.shutdown().await;
    assert_eq!(leave_reason(&stays).await, LeaveReason::Goodbye);
    assert_eq!(stays.handle.peer_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_restarts_is_met_again_under_the_same_identity() {
    let lab = Lab::new();
    let stays = lab
        .peer("stays")
        .has(&tree("doom", "1").file("a", 5))
        .discovers()
        .start()
        .await;
    let leaves = lab.peer("leaves").discovers().start().await;
    eventually("a connection", || stays.handle.peer_count() == 1).await;
    let (before, address) = (leaves.handle.id(), leaves.handle.listen_addr());
    leaves.handle.shutdown().await;
    eventually("the departure", || stays.handle.peer_count() == 0).await;
    let back = lab.peer("leaves").discovers().start().await;
    assert_eq!(back.handle.id(), before);
    assert_ne!(back.handle.listen_addr(), address);
    eventually("the return", || stays.handle.peer_count() == 1).await;
    back.sees("doom", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_tell_each_other_about_peers() {
    let lab = Lab::new();
    let hub = lab.peer("hub").start().await;
    let first = lab.peer("first").knows(&hub).start().await;
    eventually("a connection", || hub.handle.peer_count() == 1).await;
    let second = lab.peer("second").knows(&hub).start().await;
    for peer in [&hub, &first, &second] {
        eventually("everyone", || peer.handle.peer_count() == 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_tells_whom_it_reached_or_why_it_did_not() {
    let lab = Lab::new();
    let one = lab.peer("one").start().await;
    let other = lab.peer("other").start().await;
    let address = one.handle.listen_addr().to_string();
    let met = other.handle.connect(&address).await.unwrap();
    assert_eq!((met.id, met.name.as_str()), (one.handle.id(), "one"));
    let again = other.handle.connect(&address).await.unwrap();
    assert_eq!(again.id, met.id);
    let error = other.handle.connect("nonsense").await.unwrap_err();
    assert!(error.failure().message.contains("nonsense"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_right_after_meeting_survives_that_both_dial() {
    let game = tree("doom", "1").file("a", 3_000_000);
    for _ in 0..8 {
        let lab = Lab::new();
        let source = lab.peer("source").has(&game).start().await;
        let indexed = source.handle.game(&"doom".parse().unwrap()).await;
        assert_eq!(indexed.unwrap().bytes, 3_000_000);
        source.handle.shutdown().await;
        let source = lab.peer("source").discovers().start().await;
        let receiver = lab.peer("receiver").discovers().start().await;
        receiver
            .event("meeting", |event| {
                matches!(event, PeerEvent::PeerJoined { .. }).then_some(())
            })
            .await;
        let request = DownloadRequest::latest("doom".parse().unwrap());
        let download = receiver.handle.download(request).await.unwrap();
        download.await.unwrap();
        game.assert_in(&receiver.game_dir());
        source.handle.shutdown().await;
        receiver.handle.shutdown().await;
    }
}
