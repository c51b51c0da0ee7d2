//! Ten thousand frames that almost are ones.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
#![expect(clippy::print_stdout, reason = "a test that fails shows its seed")]

use std::time::Duration;

use bytes::Bytes;
use lanspread_proto::{
    GameId, Hash, ManifestId, PeerId,
    message::{Answer, GamesPage, KnownPeer, Refusal, RefusalCode, Request},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::timeout};

use super::{Adversary, RealPeer, Wares, framed, game, hello, liar::manifest_of, send_raw};
use crate::{session, transport::WireError};

const FRAMES: usize = 10_000;

/// Frames that are made and told together.
const FRAMES_AT_ONCE: usize = 20;

/// Connections at once.
const CONNECTIONS: usize = 4;

const HANG: Duration = Duration::from_secs(10);

const MEMORY_GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One valid frame of each request.
fn templates(game: &GameId, manifest: ManifestId) -> Vec<Bytes> {
    vec![
        framed(&Request::Hello(hello(1))),
        framed(&Request::Ping),
        framed(&Request::ListGames),
        framed(&Request::GetGame { game: game.clone() }),
        framed(&Request::GetGameFileData { manifest, file: 0 }),
        framed(&Request::GetGameFileChunk {
            manifest,
            first: 0,
            count: 1,
        }),
        framed(&Request::Subscribe),
        framed(&Request::Exchange {
            manifest,
            neighbours: 0,
        }),
        framed(&Request::GetPeers),
    ]
}

/// One valid answer to each request, as the frames and bytes that make it up.
fn answers(wares: &Wares) -> Vec<Vec<Bytes>> {
    let known = KnownPeer {
        peer: PeerId::new(Hash::of(b"nobody")),
        addr: ([127, 0, 0, 1], 1).into(),
    };
    let page = GamesPage {
        games: vec![wares.summary()],
        last: true,
    };
    let refusal = Refusal {
        code: RefusalCode::Busy,
        message: "later".into(),
    };
    let single = [
        Answer::Hello(hello(1)),
        Answer::Pong,
        Answer::Games(page),
        Answer::Data { bytes: 1000 },
        Answer::Subscribed,
        Answer::Exchanging,
        Answer::Peers { peers: vec![known] },
        Answer::Refused(refusal),
    ];
    let single = single.iter().map(|answer| vec![framed(answer)]);
    // The manifest is what is worth lying about.
    single
        .chain(std::iter::repeat_n(manifest_of(wares), 10))
        .collect()
}

/// Changes a few bytes: mostly a letter or digit to another one, which is often still a message and
/// gets far, and now and then the length or the structure.
fn mutated(rng: &mut StdRng, template: &Bytes) -> Vec<u8> {
    let mut frame = template.to_vec();
    match rng.random_range(0..20) {
        0 => frame.truncate(rng.random_range(0..frame.len())),
        1 => frame[rng.random_range(0..4)] = rng.random(),
        2 => {
            let at = rng.random_range(4..frame.len());
            let piece = frame[at..].to_vec();
            frame.extend_from_slice(&piece);
            let length = u32::try_from(frame.len() - 4).unwrap();
            frame[..4].copy_from_slice(&length.to_be_bytes());
        }
        3 => frame[rng.random_range(4..template.len())] = rng.random(),
        4 => {
            let marks = b"{}[]\",:0123456789-eE.\\";
            frame[rng.random_range(4..template.len())] = marks[rng.random_range(0..marks.len())];
        }
        _ => {
            let at = rng.random_range(4..frame.len());
            frame[at] = match frame[at] {
                b'0'..=b'9' => rng.random_range(b'1'..=b'9'),
                b'a'..=b'z' => rng.random_range(b'a'..=b'z'),
                mark => mark,
            };
        }
    }
    frame
}

/// Answers every stream with an answer of which one part is mutated.
async fn answer_wrongly(mut adversary: Adversary, answers: Vec<Vec<Bytes>>, mut rng: StdRng) {
    let Some((link, mut streams)) = adversary
        .incoming
        .accept()
        .await
        .unwrap()
        .authenticate()
        .await
    else {
        return;
    };
    let mut telling = JoinSet::new();
    while let Ok((mut send, mut receive)) = streams.next().await {
        let mut parts = answers[rng.random_range(0..answers.len())].clone();
        let at = rng.random_range(0..parts.len());
        parts[at] = mutated(&mut rng, &parts[at]).into();
        telling.spawn(async move {
            let _: Request = receive.message("request", HANG).await?;
            for part in parts {
                send.bytes(part).await?;
            }
            send.finish()
        });
        while telling.try_join_next().is_some() {}
    }
    drop(link);
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Sends frames on a stream each, one after another, so that each meets a connection that lives; counts
/// those after which it lived on.
async fn send_all(client: &Adversary, peer: &RealPeer, frames: Vec<Vec<u8>>) -> usize {
    let (mut call, mut survived) = (None, 0);
    for frame in frames {
        let (link, streams) = match call.take() {
            Some(call) => call,
            None => client.call(peer).await,
        };
        let answered = timeout(HANG, send_raw(&link, frame)).await;
        let answered = answered.expect("an answer or a refusal in time");
        if !matches!(answered, Err(WireError::Closed(_))) {
            survived += 1;
            call = Some((link, streams));
        }
    }
    survived
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mutated_frames_neither_crash_nor_hang_nor_fill_the_memory() {
    let seed = 0x1a5_b4ead;
    println!("seed {seed:#x}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (tree, wares) = game("doom", 1000);
    let peer = RealPeer::serving(&[&tree]).await;
    let client = Adversary::new();
    let templates = templates(&wares.game, wares.payload.id());
    let mut batch = || -> Vec<Vec<u8>> {
        let mut frame = || {
            let at = rng.random_range(0..templates.len());
            mutated(&mut rng, &templates[at])
        };
        (0..FRAMES_AT_ONCE).map(|_| frame()).collect()
    };
    // What caches and allocators keep for ever is not growth.
    for _ in 0..10 {
        send_all(&client, &peer, batch()).await;
    }
    let before = resident_bytes();
    let mut survived = 0;
    for _ in 0..FRAMES / FRAMES_AT_ONCE / CONNECTIONS {
        let batches: [_; CONNECTIONS] = std::array::from_fn(|_| send_all(&client, &peer, batch()));
        let [a, b, c, d] = batches;
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        survived += a + b + c + d;
    }
    let broken = FRAMES - survived;
    assert!(
        survived > FRAMES / 10 && broken > FRAMES / 10,
        "{survived} of {FRAMES}"
    );
    peer.serves(&wares).await;
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let grown = after.saturating_sub(before);
        assert!(grown <= MEMORY_GROWTH_BYTES_MAX, "grown by {grown} bytes");
    }
    peer.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mutated_answers_neither_crash_nor_hang_nor_pass_for_a_manifest() {
    let seed = 0xbad_a115;
    println!("seed {seed:#x}");
    let (_, wares) = game("doom", 1000);
    let (server, client) = (Adversary::new(), Adversary::new());
    let (addr, rng) = (server.endpoint.listen_addr(), StdRng::seed_from_u64(seed));
    let serving = answer_wrongly(server, answers(&wares), rng);
    let mut tasks = JoinSet::new();
    tasks.spawn(serving);
    let (link, _streams) = client.endpoint.dial(addr, None).await.unwrap();
    let before = resident_bytes();
    let (mut asked, mut taken) = (0, 0);
    while asked < FRAMES {
        let mut fetching = JoinSet::new();
        for _ in 0..FRAMES_AT_ONCE {
            let (link, wares) = (link.clone(), wares.clone());
            fetching.spawn(async move {
                let expected = wares.payload.id();
                let fetched = session::fetch_manifest(&link, &wares.game, expected);
                match timeout(HANG, fetched).await.expect("an end in time") {
                    Ok(payload) => assert_eq!(payload, wares.payload),
                    Err(WireError::Closed(closed)) => panic!("the connection ended: {closed}"),
                    Err(_) => return 0,
                }
                1
            });
        }
        while let Some(fetched) = fetching.join_next().await {
            taken += fetched.unwrap();
        }
        asked += FRAMES_AT_ONCE;
    }
    // A field that says nothing about the payload may change: the hash decides.
    assert!(taken < FRAMES / 2, "{taken} were taken");
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let grown = after.saturating_sub(before);
        assert!(grown <= MEMORY_GROWTH_BYTES_MAX, "grown by {grown} bytes");
    }
}
