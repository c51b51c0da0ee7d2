//! Floods of connections, and peers that are not who they are thought to be.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::{net::Ipv4Addr, sync::Arc};

use lanspread_proto::{Hash, PeerId, message::Request};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use super::{Adversary, HONEST_DEADLINE, PATIENCE, RealPeer, ask, closed, game, hello, liar::Lies};
use crate::transport::{CloseCode, DialError};
use lanspread_testkit::eventually;

/// Dials of the flood, and how many of them at once.
const DIALS: usize = 2000;
const DIALS_AT_ONCE: usize = 100;

/// Needs the whole network 127.0.0.0/8 on the loopback interface.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_address_leaves_room_for_others() {
    let (tree, _) = game("doom", 1000);
    let peer = RealPeer::start(&[&tree], |config| config.loopback_exempt = false).await;
    let flooder = Arc::new(Adversary::calling_from(Ipv4Addr::new(127, 0, 0, 2)));
    let (turns, addr) = (Arc::new(Semaphore::new(DIALS_AT_ONCE)), peer.addr());
    let mut dials = JoinSet::new();
    for _ in 0..DIALS {
        let (flooder, turns) = (flooder.clone(), turns.clone());
        dials.spawn(async move {
            let _turn = turns.acquire_owned().await;
            flooder.endpoint.dial(addr, None).await.ok()
        });
    }
    let mut held = Vec::new();
    let mut ended = 0;
    while ended < DIALS / 4 {
        held.extend(dials.join_next().await.unwrap().unwrap());
        ended += 1;
    }
    let honest = Adversary::calling_from(Ipv4Addr::new(127, 0, 0, 3));
    let served = async {
        let (link, _streams) = honest.call(&peer).await;
        ask(&link, &Request::Ping).await.unwrap();
    };
    timeout(HONEST_DEADLINE, served)
        .await
        .expect("an honest client is served in time");
    let most = lanspread_proto::limits::CONNECTIONS_PER_ADDRESS_MAX;
    assert!(held.len() <= most, "{} connections at once", held.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_shows_our_own_identity_is_not_a_peer() {
    let peer = RealPeer::serving(&[]).await;
    let stolen = tempfile::tempdir().unwrap();
    let key = "identity/key.pem";
    std::fs::create_dir(stolen.path().join("identity")).unwrap();
    let original = peer.dir.path().join("state").join(key);
    std::fs::copy(original, stolen.path().join(key)).unwrap();
    let double = Adversary::with_state(stolen, Ipv4Addr::LOCALHOST);
    assert_eq!(double.id, peer.handle.id());
    // It is closed at once: the dialler may not even see it open.
    let dialled = timeout(PATIENCE, double.endpoint.dial(peer.addr(), None)).await;
    if let Ok((_link, mut streams)) = dialled.unwrap() {
        closed(&mut streams).await;
    }
    assert_eq!(peer.handle.peer_count(), 0);
    let own = peer.addr().to_string();
    let connected = timeout(PATIENCE, peer.handle.connect(&own)).await.unwrap();
    assert!(connected.is_err(), "a peer does not connect to itself");
    assert_eq!(peer.handle.peer_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_instead_of_the_peer_that_was_meant_is_left() {
    let peer = RealPeer::serving(&[]).await;
    let client = Adversary::new();
    let meant = PeerId::new(Hash::of(b"somebody else"));
    let dialled = client.endpoint.dial(peer.addr(), Some(meant)).await;
    let Err(DialError::OtherIdentity {
        expected, found, ..
    }) = dialled
    else {
        panic!("{dialled:?}")
    };
    assert_eq!((expected, found), (meant, peer.handle.id()));
    assert_eq!(peer.handle.peer_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_comes_and_goes_again_and_again_is_there_in_the_end() {
    let (_, wares) = game("doom", 1000);
    let peer = RealPeer::serving(&[]).await;
    let client = Adversary::new();
    let mut last = None;
    for at in 0..100 {
        let (link, streams) = client.call(&peer).await;
        let answers = Lies::none(&wares).tell_on(link.clone(), streams);
        ask(&link, &Request::Hello(hello(1))).await.unwrap();
        if at % 2 == 0 {
            link.close(CloseCode::Goodbye);
        }
        last = Some((link, answers));
    }
    peer.sees(&wares.game, 1).await;
    assert_eq!(peer.handle.peer_count(), 1);
    drop(last);
    eventually("the end of it", || peer.handle.peer_count() == 0).await;
}
