//! Ten thousand frames that almost are ones.
#![expect(clippy::print_stdout, reason = "a test that fails shows its seed")]

use std::time::Duration;

use bytes::Bytes;
use lanspread_proto::{
    GameId, ManifestId,
    message::{KnownPeer, Request},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::timeout};

use super::{Adversary, RealPeer, framed, game, hello, send_raw};
use crate::transport::WireError;

const FRAMES: usize = 10_000;

/// Frames on as many streams of one connection.
const FRAMES_PER_CONNECTION: usize = 20;

/// Connections at once.
const CONNECTIONS: usize = 4;

const HANG: Duration = Duration::from_secs(10);

const MEMORY_GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One valid frame of each request.
fn templates(game: &GameId, manifest: ManifestId) -> Vec<Bytes> {
    let known = KnownPeer {
        peer: "00".repeat(32).parse().unwrap(),
        addr: ([127, 0, 0, 1], 1).into(),
    };
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
        framed(&Request::GetPeers),
        framed(&known),
    ]
}

/// Changes a few bytes, mostly so that the length still fits: what is refused by its length alone never
/// meets the parser.
fn mutated(rng: &mut StdRng, template: &Bytes) -> Vec<u8> {
    let mut frame = template.to_vec();
    match rng.random_range(0..10) {
        0 => frame.truncate(rng.random_range(0..frame.len())),
        1 => frame[rng.random_range(0..4)] = rng.random(),
        2 => {
            let at = rng.random_range(4..frame.len());
            let piece = frame[at..].to_vec();
            frame.extend_from_slice(&piece);
            let length = u32::try_from(frame.len() - 4).unwrap();
            frame[..4].copy_from_slice(&length.to_be_bytes());
        }
        _ => {
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(4..frame.len());
                frame[at] = match rng.random_range(0..3) {
                    0 => rng.random(),
                    1 => b"{}[]\",:0123456789-eE.\\"[rng.random_range(0..21)],
                    _ => frame[at] ^ 1,
                };
            }
        }
    }
    frame
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Sends frames on a stream each, all at once, and waits until every one was answered or refused.
async fn send_all(client: &Adversary, peer: &RealPeer, frames: Vec<Vec<u8>>) {
    let (link, _streams) = client.call(peer).await;
    let mut asked = JoinSet::new();
    for frame in frames {
        let link = link.clone();
        asked.spawn(async move {
            let answered = timeout(HANG, send_raw(&link, frame)).await;
            let answered = answered.expect("an answer or a refusal in time");
            !matches!(answered, Err(WireError::Closed(_)))
        });
    }
    while let Some(sent) = asked.join_next().await {
        sent.unwrap();
    }
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
        (0..FRAMES_PER_CONNECTION).map(|_| frame()).collect()
    };
    // What caches and allocators keep for ever is not growth.
    for _ in 0..25 {
        send_all(&client, &peer, batch()).await;
    }
    let before = resident_bytes();
    for _ in 0..FRAMES / FRAMES_PER_CONNECTION / CONNECTIONS {
        let batches: [_; CONNECTIONS] = std::array::from_fn(|_| send_all(&client, &peer, batch()));
        let [a, b, c, d] = batches;
        tokio::join!(a, b, c, d);
    }
    peer.serves(&wares).await;
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let grown = after.saturating_sub(before);
        assert!(grown <= MEMORY_GROWTH_BYTES_MAX, "grown by {grown} bytes");
    }
    peer.handle.shutdown().await;
}
