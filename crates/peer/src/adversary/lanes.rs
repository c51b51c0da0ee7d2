//! Lanes that should not be, and lanes that break.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use lanspread_proto::{
    limits,
    message::{RefusalCode, Request},
};
use lanspread_testkit::eventually;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use super::{
    Adversary, HONEST_DEADLINE, MIB, PATIENCE, RealPeer, Wares, game, hello,
    liar::{Lies, RunLie},
};
use crate::{
    session,
    transport::{LANES_MAX, Lanes, Link, LinkStreams, RecvHalf, WireError},
};

/// More than one run, and not a whole number of chunks.
const GAME_BYTES: usize = 6 * MIB + 4321;

const RUN_CHUNKS: u32 = 3;

/// So much that lanes are there before all of it was asked for.
const FETCHED_BYTES: usize = 8 * GAME_BYTES;

/// A stalled run goes elsewhere after 10 s; the rest is a busy machine.
const DEADLINE: Duration = Duration::from_secs(25);

/// Connections that say nothing.
const SILENT: usize = 200;

fn run_of(wares: &Wares) -> Request {
    Request::GetGameFileChunk {
        manifest: wares.payload.id(),
        first: 1,
        count: RUN_CHUNKS,
    }
}

/// Asks over a lane as soon as there is one.
async fn ask_over<T: Serialize + Sync>(lanes: &Lanes, request: &T) -> Result<RecvHalf, WireError> {
    let asking = async {
        loop {
            if let Some(answer) = lanes.request(request).await? {
                return Ok(answer);
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("a lane in time")
}

/// Fails unless the run comes over a lane and is right.
async fn is_served_over(lanes: &Lanes, wares: &Wares) {
    let mut answer = ask_over(lanes, &run_of(wares)).await.unwrap();
    session::answer(&mut answer).await.unwrap();
    let expected = wares.run(1, RUN_CHUNKS);
    let data = answer.exactly(expected.len(), "a run").await.unwrap();
    assert!(data == expected, "the run differs");
    assert_eq!(answer.read(&mut [0]).await.unwrap(), 0);
}

/// Calls a peer and introduces itself.
async fn linked(client: &Adversary, peer: &RealPeer) -> (Link, LinkStreams) {
    let (link, streams) = client.call(peer).await;
    super::ask(&link, &Request::Hello(hello(1))).await.unwrap();
    link.lanes.lead_to(peer.addr());
    (link, streams)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_carries_one_run_after_another() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let (link, _streams) = linked(&client, &peer).await;
    for _ in 0..5 {
        is_served_over(&link.lanes, &wares).await;
    }
    assert_eq!(link.lanes.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_may_be_there_before_its_link() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let lanes = client.endpoint.lanes_to(peer.handle.id(), peer.addr());
    let mut answer = ask_over(&lanes, &run_of(&wares)).await.unwrap();
    let (_link, _streams) = linked(&client, &peer).await;
    session::answer(&mut answer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_nobody_uses_is_closed() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let (link, _streams) = linked(&client, &peer).await;
    is_served_over(&link.lanes, &wares).await;
    let closed = eventually("end of the lane", || link.lanes.count() == 0);
    timeout(PATIENCE, closed)
        .await
        .expect("it is closed in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_carries_nothing_but_runs_and_stays_after_a_refusal() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let (link, _streams) = linked(&client, &peer).await;
    let beyond = Request::GetGameFileChunk {
        manifest: wares.payload.id(),
        first: 0,
        count: 1000,
    };
    for request in [Request::Ping, Request::ListGames, beyond] {
        let mut answer = ask_over(&link.lanes, &request).await.unwrap();
        let refused = super::refusal(session::answer(&mut answer).await);
        assert_eq!(refused, RefusalCode::BadRequest);
        assert_eq!(answer.read(&mut [0]).await.unwrap(), 0);
    }
    is_served_over(&link.lanes, &wares).await;
    assert_eq!(link.lanes.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_link_is_not_served() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let lanes = client.endpoint.lanes_to(peer.handle.id(), peer.addr());
    is_turned_away(&lanes, &wares).await;
    peer.serves(&wares).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_outlives_its_link_by_no_request() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let (link, streams) = linked(&client, &peer).await;
    is_served_over(&link.lanes, &wares).await;
    link.close(crate::transport::CloseCode::Goodbye);
    drop(streams);
    eventually("the end of the link", || {
        peer.handle.context.links.get(client.id).is_none()
    })
    .await;
    is_turned_away(&link.lanes, &wares).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_has_only_so_many_lanes() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let (link, _streams) = linked(&client, &peer).await;
    let mut held = Vec::new();
    for _ in 0..LANES_MAX {
        held.push(begun(&link.lanes, &wares).await);
    }
    assert!(link.lanes.request(&run_of(&wares)).await.unwrap().is_none());
    assert_eq!(link.lanes.count(), LANES_MAX);
    // One that takes more than it should is turned away, but for its link.
    let greedy = || client.endpoint.lanes_to(peer.handle.id(), peer.addr());
    let second = greedy();
    for _ in LANES_MAX..limits::LANES_PER_PEER_MAX {
        held.push(begun(&second, &wares).await);
    }
    is_turned_away(&greedy(), &wares).await;
    super::ask(&link, &Request::Ping).await.unwrap();
    drop(held);
    let freed = async {
        loop {
            let lanes = greedy();
            if let Some(mut answer) = next_answer(&lanes, &wares).await
                && session::answer(&mut answer).await.is_ok()
            {
                return;
            }
        }
    };
    timeout(PATIENCE, freed).await.expect("room for a lane");
}

/// An answer that is not read to its end, so that its lane is not idle.
async fn begun(lanes: &Lanes, wares: &Wares) -> RecvHalf {
    let mut answer = ask_over(lanes, &run_of(wares)).await.unwrap();
    session::answer(&mut answer).await.unwrap();
    answer
}

/// Where an answer would come over the first lane that is dialled; `None` if that one is closed at once.
async fn next_answer(lanes: &Lanes, wares: &Wares) -> Option<RecvHalf> {
    let asking = async {
        while !lanes.are_given_up() {
            if let Some(answer) = lanes.request(&run_of(wares)).await.unwrap() {
                return Some(answer);
            }
            sleep(Duration::from_millis(5)).await;
        }
        None
    };
    timeout(PATIENCE, asking).await.expect("a lane in time")
}

/// Fails unless the other side closes every lane unused.
async fn is_turned_away(lanes: &Lanes, wares: &Wares) {
    if let Some(mut answer) = next_answer(lanes, wares).await {
        let answered = timeout(PATIENCE, session::answer(&mut answer)).await;
        assert!(matches!(answered.unwrap(), Err(WireError::Reset { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_closes_the_lane_and_nothing_else() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let (link, _streams) = linked(&client, &peer).await;
    let mut answer = ask_over(&link.lanes, &"nonsense").await.unwrap();
    let answered = timeout(PATIENCE, session::answer(&mut answer)).await;
    assert!(matches!(answered.unwrap(), Err(WireError::Reset { .. })));
    super::ask(&link, &Request::Ping).await.unwrap();
    // Bytes that are no TLS either.
    let mut plain = TcpStream::connect(peer.addr()).await.unwrap();
    plain.write_all(&[0; 4096]).await.unwrap();
    let mut rest = Vec::new();
    // The end may be a reset.
    let ended = timeout(PATIENCE, plain.read_to_end(&mut rest)).await;
    drop(ended.expect("the connection is closed in time"));
    peer.serves(&wares).await;
}

/// Needs the whole network 127.0.0.0/8 on the loopback interface.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_leave_room_for_others() {
    let (tree, wares) = game("doom", GAME_BYTES);
    let peer = RealPeer::start(&[&tree], |config| config.loopback_exempt = false).await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let socket = TcpSocket::new_v4().unwrap();
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
        socket.bind(from).unwrap();
        silent.push(socket.connect(peer.addr()).await.unwrap());
    }
    let client = Adversary::calling_from(Ipv4Addr::new(127, 0, 0, 3));
    let (link, _streams) = linked(&client, &peer).await;
    let served = is_served_over(&link.lanes, &wares);
    timeout(HONEST_DEADLINE, served)
        .await
        .expect("an honest peer has a lane in time");
}

/// Fetches a game from these, over lanes where they take requests over them.
async fn fetch(sources: &[SocketAddr], wares: &Wares) -> RealPeer {
    let receiver = RealPeer::start(&[], |config| {
        config.lane_run_bytes_min = 1;
        config.manual_peers = sources.iter().map(ToString::to_string).collect();
    })
    .await;
    receiver.sees(&wares.game, sources.len()).await;
    receiver.fetch(wares, DEADLINE).await.unwrap();
    receiver
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_over_lanes() {
    let (tree, wares) = game("doom", FETCHED_BYTES);
    let source = RealPeer::serving(&[&tree]).await;
    let receiver = fetch(&[source.addr()], &wares).await;
    tree.assert_in(&receiver.game_dir());
    let link = receiver.handle.context.links.get(source.handle.id());
    assert!(link.unwrap().lanes.count() > 0);
    let sent = source.handle.context.ledger.sent_bytes()[&wares.game];
    assert_eq!(sent, wares.content.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_lanes_fall_silent_is_asked_over_quic() {
    let (tree, wares) = game("doom", FETCHED_BYTES);
    for lie in [RunLie::StallsMiddle, RunLie::Silent] {
        let liar = Lies::none(&wares).over_lanes(lie).tell();
        let receiver = fetch(&[liar.addr], &wares).await;
        tree.assert_in(&receiver.game_dir());
        assert!(liar.asked_over_lanes() > 0, "{lie:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_over_lanes_cost_time_and_nothing_else() {
    let (tree, wares) = game("doom", FETCHED_BYTES);
    for lie in [
        RunLie::Fewer,
        RunLie::More,
        RunLie::DeclaresMore,
        RunLie::Wrong,
        RunLie::Resets,
        RunLie::Lacks,
    ] {
        let liar = Lies::none(&wares).over_lanes(lie).tell();
        let honest = RealPeer::serving(&[&tree]).await;
        let receiver = fetch(&[liar.addr, honest.addr()], &wares).await;
        tree.assert_in(&receiver.game_dir());
        assert!(liar.asked_over_lanes() > 0, "{lie:?}");
    }
}
