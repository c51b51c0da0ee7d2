//! Clients that ask for a lot and do not read it.

use lanspread_proto::{limits, message::Request};
use lanspread_testkit::{eventually, tree};
use tokio::time::timeout;

use super::{Adversary, MIB, PATIENCE, RealPeer, ask, game, hello, liar::Lies};
use crate::{
    session,
    transport::{CloseCode, Link, RecvHalf},
};

/// Connections that together could hold every buffer that serving may use.
const GREEDY_CONNECTIONS: usize = 9;

/// Asks for a whole file and keeps the answer without reading it.
async fn take_and_keep(link: &Link, request: &Request) -> RecvHalf {
    session::request(link, request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_ends_with_the_connection_of_its_reader() {
    let (tree, wares) = game("doom", 24 * MIB);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let (link, streams) = client.call(&peer).await;
    let file = Request::GetGameFileData {
        manifest: wares.payload.id(),
        file: 0,
    };
    let unread = take_and_keep(&link, &file).await;
    let transfers = || peer.handle.status().outbound_transfers;
    eventually("a transfer", || transfers().contains_key(&wares.game)).await;
    link.close(CloseCode::Goodbye);
    drop((link, streams));
    eventually("no transfer", || transfers().is_empty()).await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stop_do_not_keep_the_buffers_from_others() {
    let (tree, wares) = game("doom", 24 * MIB);
    let peer = RealPeer::serving(&[&tree]).await;
    let file = Request::GetGameFileData {
        manifest: wares.payload.id(),
        file: 0,
    };
    let mut kept = Vec::new();
    for _ in 0..GREEDY_CONNECTIONS {
        let client = Adversary::new();
        let (link, streams) = client.call(&peer).await;
        // It behaves well otherwise, so that its connection lives.
        let answers = Lies::none(&wares).tell_on(link.clone(), streams);
        let hello = Request::Hello(hello(1));
        ask(&link, &hello).await.unwrap();
        let mut unread = Vec::new();
        // One is left for the introduction, whose end may be on its way.
        for _ in 1..limits::REMOTE_STREAMS_MAX {
            unread.push(take_and_keep(&link, &file).await);
        }
        kept.push((client, link, answers, unread));
    }
    let transfers = || peer.handle.status().outbound_transfers;
    eventually("transfers", || transfers().contains_key(&wares.game)).await;
    eventually("no transfer", || transfers().is_empty()).await;
    peer.serves(&wares).await;
    drop(kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_that_never_read_hold_up_neither_others_nor_the_end() {
    let (_, wares) = game("doom", 1000);
    let trees: Vec<_> = (0..300)
        .map(|at| tree(&format!("game {at}"), "1.0").file("a", 1))
        .chain([game("doom", 1000).0])
        .collect();
    let peer = RealPeer::serving(&trees.iter().collect::<Vec<_>>()).await;
    let client = Adversary::new();
    let (link, _streams) = client.call(&peer).await;
    let mut unread = Vec::new();
    for _ in 0..limits::REMOTE_STREAMS_MAX {
        unread.push(take_and_keep(&link, &Request::Subscribe).await);
    }
    peer.serves(&wares).await;
    timeout(PATIENCE, peer.handle.shutdown())
        .await
        .expect("the peer stops in time");
}
