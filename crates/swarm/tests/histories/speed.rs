//! How near plans come to the wire, in virtual time, and how much computing they take, in real time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lanspread_proto::{CHUNK_BYTES, ChunkMap, ChunkRun, ChunkSet, Hash, PeerId, limits};
use lanspread_swarm::{Action, Holding, Input, Plan, PlanConfig, RequestId};

use crate::{
    AT_ONCE, seconds,
    world::{MBIT, Manners, World},
};

const PAYLOAD: u64 = 256 * CHUNK_BYTES;

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people, of far fewer than 2^52 bytes"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// The rate that a receiver with a wide link gets from sources with these links, over their sum.
fn efficiency(seed: u64, mbits: &[u64]) -> f64 {
    let together = mbits.iter().sum::<u64>() * MBIT;
    let payload = together * 10;
    let mut world = World::new(seed, ChunkMap::new(vec![payload]));
    for mbit in mbits {
        world.source(mbit * MBIT, Manners::Honest);
    }
    let receiver = world.receiver(MBIT, 10_000 * MBIT, AT_ONCE);
    assert!(world.run(seconds(1_000)));
    ratio(payload, together) / world.seconds(receiver)
}

#[test]
fn several_sources_are_as_fast_as_their_sum() {
    let cases: [&[u64]; 5] = [
        &[100],
        &[100, 100, 100],
        &[10, 100, 100],
        &[1, 1000],
        &[2000, 3000],
    ];
    for mbits in cases {
        for seed in 0..5 {
            let reached = efficiency(seed, mbits);
            assert!(
                reached >= 0.93,
                "{mbits:?} Mbit/s, seed {seed}: {reached:.3}"
            );
        }
    }
}

/// The last of `receivers` that start together, over what nobody can beat.
fn floors(seed: u64, sizes: Vec<u64>, receivers: usize, mbit: u64) -> (f64, f64) {
    let map = ChunkMap::new(sizes);
    let bytes = map.bytes();
    let mut world = World::new(seed, map);
    let source = world.source(mbit * MBIT, Manners::Honest);
    let all: Vec<usize> = (0..receivers)
        .map(|_| world.receiver(mbit * MBIT, mbit * MBIT, AT_ONCE))
        .collect();
    assert!(world.run(seconds(1_000)));
    let last = all
        .iter()
        .map(|receiver| world.seconds(*receiver))
        .fold(0.0, f64::max);
    let copies = ratio(world.hosts[source].sent_bytes, bytes);
    (last / ratio(bytes, mbit * MBIT), copies)
}

#[test]
fn eight_receivers_finish_in_little_more_than_the_time_of_one() {
    for seed in 0..4 {
        let (last, copies) = floors(seed, vec![PAYLOAD], 8, 100);
        assert!(
            last <= 1.3,
            "seed {seed}: {last:.3} floors, {copies:.2} copies"
        );
    }
}

#[test]
fn small_files_swarm_as_large_ones_do() {
    let (last, _) = floors(7, vec![5 * 1024; 8_000], 4, 100);
    assert!(last <= 1.3, "{last:.3} floors");
}

/// A driver that answers each request at once, chunk by chunk, in turn.
fn drive(map: ChunkMap, peers: u8) -> (Duration, usize) {
    let map = Arc::new(map);
    let begun = Instant::now();
    let mut now = begun;
    let stored = ChunkSet::empty(map.count());
    let mut plan = Plan::new(now, PlanConfig::new(11, map.clone(), stored));
    let mut waiting: Vec<(RequestId, ChunkRun)> = Vec::new();
    let mut requests = 0;
    let mut feed = |plan: &mut Plan, now, input, waiting: &mut Vec<(RequestId, ChunkRun)>| {
        plan.handle(now, input);
        while let Some(action) = plan.poll_action() {
            match action {
                Action::Request { request, run, .. } => {
                    requests += 1;
                    waiting.push((request, run));
                }
                Action::Cancel { request } => waiting.retain(|(other, _)| *other != request),
                Action::Finished => return true,
                other => panic!("{other:?}"),
            }
        }
        false
    };
    for peer in 0..peers {
        let has = Holding::Everything;
        let peer = PeerId::new(Hash::from_bytes([peer; 32]));
        feed(
            &mut plan,
            now,
            Input::PeerJoined { peer, has },
            &mut waiting,
        );
    }
    loop {
        let (request, run) = waiting.remove(0);
        for chunk in run.chunks() {
            now += Duration::from_micros(10);
            feed(
                &mut plan,
                now,
                Input::ChunkArrived { request, chunk },
                &mut waiting,
            );
            if feed(&mut plan, now, Input::ChunkStored { chunk }, &mut waiting) {
                return (begun.elapsed(), requests);
            }
        }
        feed(
            &mut plan,
            now,
            Input::RequestFinished { request },
            &mut waiting,
        );
    }
}

#[test]
fn a_million_chunks_from_twenty_peers_are_planned_in_seconds() {
    let (took, requests) = drive(ChunkMap::new(vec![limits::FILE_BYTES_MAX; 4]), 20);
    assert!(took < Duration::from_secs(20), "{took:?}");
    let fewest = usize::try_from(4 * limits::FILE_BYTES_MAX / limits::RUN_BYTES_MAX).unwrap();
    assert!(
        requests < fewest + fewest / 20 + 1_000,
        "{requests} requests, {fewest} would do"
    );
}

#[test]
fn two_hundred_thousand_small_files_take_few_requests() {
    let (took, requests) = drive(ChunkMap::new(vec![10 * 1024; 200_000]), 20);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(requests < 1_000, "{requests} requests for 245 of 8 MiB");
}
