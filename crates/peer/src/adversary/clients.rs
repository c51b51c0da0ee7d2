//! Clients that ask for what they must not have, or do not ask at all.

use lanspread_proto::{
    ManifestId,
    frame::HEADER_BYTES,
    limits,
    message::{Answer, RefusalCode, Request},
};
use tokio::time::timeout;

use crate::{
    session,
    transport::{CloseCode, Link, RecvHalf},
};

use super::{
    Adversary, MIB, PATIENCE, RealPeer, Wares, ask, closed, frame_of, game, refusal, send_raw,
};

async fn peer_with_a_game(bytes: usize) -> (RealPeer, Wares) {
    let (tree, wares) = game("doom", bytes);
    (RealPeer::serving(&[&tree]).await, wares)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_of_ours_ends_the_connection_and_nothing_else() {
    let (peer, wares) = peer_with_a_game(1000).await;
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        frame_of(format!(r#"{{"type":"ping","more":{open}{close}}}"#).as_bytes())
    };
    let client = Adversary::new();
    let (link, _streams) = client.call(&peer).await;
    let answer = send_raw(&link, deep(limits::JSON_DEPTH_MAX)).await;
    assert!(matches!(answer, Ok(Answer::Pong)), "{answer:?}");
    let over = u32::try_from(limits::CONTROL_FRAME_BYTES_MAX + 1).unwrap();
    let hostile = [
        ("a length over the limit", over.to_be_bytes().to_vec()),
        ("the longest length", vec![0xff; HEADER_BYTES]),
        ("depth 17", deep(limits::JSON_DEPTH_MAX + 1)),
        ("no JSON", frame_of(&[0xff; 100])),
        ("an empty frame", frame_of(b"")),
        (
            "a request without its fields",
            frame_of(br#"{"type":"get_game"}"#),
        ),
        (
            "a path as a game",
            frame_of(br#"{"type":"get_game","game":"../x"}"#),
        ),
    ];
    for (what, bytes) in hostile {
        let (link, mut streams) = client.call(&peer).await;
        let answer = timeout(PATIENCE, send_raw(&link, bytes)).await.expect(what);
        assert!(answer.is_err(), "{what}: {answer:?}");
        closed(&mut streams).await;
        peer.serves(&wares).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_request_is_refused_and_the_connection_lives() {
    let (peer, _) = peer_with_a_game(1000).await;
    let client = Adversary::new();
    let (link, _streams) = client.call(&peer).await;
    let unknown = frame_of(br#"{"type":"dance","partner":{"name":"x"},"steps":[1,2]}"#);
    assert_eq!(
        refusal(send_raw(&link, unknown).await),
        RefusalCode::BadRequest
    );
    assert!(matches!(ask(&link, &Request::Ping).await, Ok(Answer::Pong)));
}

#[tokio::test(flavor = "multi_thread")]
async fn false_runs_and_files_are_refused_with_the_right_code() {
    let (peer, wares) = peer_with_a_game(10 * MIB).await;
    let client = Adversary::new();
    let (link, _streams) = client.call(&peer).await;
    let manifest = wares.payload.id();
    let stranger = ManifestId::new(lanspread_proto::Hash::of(b"nobody's"));
    let run = |first, count| Request::GetGameFileChunk {
        manifest,
        first,
        count,
    };
    let refused = [
        (run(10, 1), RefusalCode::BadRequest),
        (run(9, 2), RefusalCode::BadRequest),
        (run(0, 0), RefusalCode::BadRequest),
        (run(1, u32::MAX), RefusalCode::BadRequest),
        (run(u32::MAX, u32::MAX), RefusalCode::BadRequest),
        (run(0, 9), RefusalCode::Limit),
        (run(0, 10), RefusalCode::Limit),
        (
            Request::GetGameFileChunk {
                manifest: stranger,
                first: 0,
                count: 1,
            },
            RefusalCode::UnknownGame,
        ),
        (
            Request::GetGameFileData { manifest, file: 1 },
            RefusalCode::BadRequest,
        ),
        (
            Request::GetGameFileData {
                manifest,
                file: u32::MAX,
            },
            RefusalCode::BadRequest,
        ),
        (
            Request::GetGame {
                game: "quake".parse().unwrap(),
            },
            RefusalCode::UnknownGame,
        ),
    ];
    for (request, code) in refused {
        assert_eq!(refusal(ask(&link, &request).await), code, "{request:?}");
    }
    let largest = ask(&link, &run(0, 8)).await;
    assert!(
        matches!(largest, Ok(Answer::Data { bytes }) if bytes == limits::RUN_BYTES_MAX),
        "{largest:?}"
    );
}

/// QUIC shows a stream only with its first byte: a byte on the last one opens all before it.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_never_used_are_taken_back() {
    let (peer, wares) = peer_with_a_game(1000).await;
    let client = Adversary::new();
    let (link, _streams) = client.call(&peer).await;
    let hello = Request::Hello(super::hello(1));
    assert!(ask(&link, &hello).await.is_ok());
    let mut open = Vec::new();
    for _ in 0..limits::REMOTE_STREAMS_MAX {
        open.push(link.open().await.unwrap());
    }
    let (send, _) = open.last_mut().unwrap();
    send.bytes(bytes::Bytes::from_static(&[0])).await.unwrap();
    peer.serves(&wares).await;
    let again = async { while ask(&link, &Request::Ping).await.is_err() {} };
    timeout(PATIENCE, again)
        .await
        .expect("streams are free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_introduces_itself_is_sent_away() {
    let (peer, wares) = peer_with_a_game(1000).await;
    let client = Adversary::new();
    let (link, mut streams) = client.call(&peer).await;
    assert!(matches!(ask(&link, &Request::Ping).await, Ok(Answer::Pong)));
    closed(&mut streams).await;
    assert_eq!(peer.handle.peer_count(), 0);
    peer.serves(&wares).await;
}

/// Asks for a run and takes nothing of the answer, which therefore stays under way.
async fn begin_run(link: &Link, wares: &Wares, first: u32) -> (RecvHalf, Answer) {
    let run = Request::GetGameFileChunk {
        manifest: wares.payload.id(),
        first,
        count: 8,
    };
    let mut stream = session::request(link, &run).await.unwrap();
    let answer = session::answer(&mut stream).await.unwrap();
    (stream, answer)
}

/// The room waits for every byte that the only source sends twice.
#[tokio::test(flavor = "multi_thread")]
async fn while_two_are_sent_what_nobody_had_nobody_is_sent_a_second_copy() {
    let (peer, wares) = peer_with_a_game(48 * MIB).await;
    let clients = [Adversary::new(), Adversary::new(), Adversary::new()];
    let mut links = Vec::new();
    for client in &clients {
        links.push(client.call(&peer).await);
    }
    let [(a, _), (b, _), (c, _)] = &links[..] else {
        unreachable!()
    };
    let (to_a, answer) = begin_run(a, &wares, 0).await;
    assert!(matches!(answer, Answer::Data { .. }), "{answer:?}");
    let (second, answer) = begin_run(c, &wares, 0).await;
    assert!(
        matches!(answer, Answer::Data { .. }),
        "one other is not enough: {answer:?}"
    );
    drop(second);
    let (_to_b, answer) = begin_run(b, &wares, 8).await;
    assert!(matches!(answer, Answer::Data { .. }), "{answer:?}");
    let (_, answer) = begin_run(c, &wares, 4).await;
    assert_eq!(answer, Answer::Elsewhere { out: vec![(0, 16)] });
    let (_to_c, answer) = begin_run(c, &wares, 24).await;
    assert!(
        matches!(answer, Answer::Data { .. }),
        "that went to nobody: {answer:?}"
    );
    // What a receiver does not take after all, or takes away with it, may go to the next.
    drop(to_a);
    served_soon(c, &wares, 4).await;
    b.close(CloseCode::Goodbye);
    served_soon(a, &wares, 8).await;
}

/// Asks until the source has noticed what became of the others.
async fn served_soon(link: &Link, wares: &Wares, first: u32) {
    timeout(PATIENCE, async {
        while matches!(
            begin_run(link, wares, first).await.1,
            Answer::Elsewhere { .. }
        ) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is sent in the end");
}
