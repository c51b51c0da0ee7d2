//! Plans in a small world: honest, lying, stalling, forgetful and slow peers by the hundred, and what a
//! plan promises whatever they do. A failing test names its seed; `LANSPREAD_SEED=n` runs that one alone.

mod speed;
mod world;

use std::{
    collections::VecDeque,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use lanspread_proto::{CHUNK_BYTES, ChunkMap, ChunkSet, Hash, PeerId};
use lanspread_swarm::{Action, Holding, Input, Plan, PlanConfig, PlanFailure, RunFailure};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::world::{Change, MBIT, Manners, World};

const AT_ONCE: Duration = Duration::ZERO;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn seeds(range: Range<u64>) -> Range<u64> {
    match std::env::var("LANSPREAD_SEED")
        .ok()
        .and_then(|seed| seed.parse::<u64>().ok())
    {
        Some(seed) => seed..seed + 1,
        None => range,
    }
}

/// A few files of sizes at which something changes.
fn some_files(rng: &mut StdRng) -> ChunkMap {
    let size = |rng: &mut StdRng| match rng.random_range(0..6) {
        0 => 0,
        1 => rng.random_range(1..20_000),
        2 => CHUNK_BYTES - 1,
        3 => CHUNK_BYTES * rng.random_range(1..10),
        4 => CHUNK_BYTES * rng.random_range(0..10) + 1,
        _ => rng.random_range(1..12 * CHUNK_BYTES),
    };
    let files = rng.random_range(1..12);
    ChunkMap::new((0..files).map(|_| size(rng)).collect())
}

fn some_chunks(rng: &mut StdRng, map: &ChunkMap) -> ChunkSet {
    let mut set = ChunkSet::empty(map.count());
    let share = rng.random_range(0.0..1.0);
    map.chunks()
        .filter(|_| rng.random_bool(share))
        .for_each(|chunk| _ = set.insert(chunk));
    set
}

fn some_manners(rng: &mut StdRng) -> Manners {
    let chance = rng.random_range(0.01..1.0);
    match rng.random_range(0..6) {
        0 => Manners::Lies(chance),
        1 => Manners::StallsAfter(rng.random_range(0..20 * CHUNK_BYTES)),
        2 => Manners::Resets(chance),
        3 => Manners::Busy(chance),
        4 => Manners::Forgets(chance),
        _ => Manners::Honest,
    }
}

#[test]
fn one_honest_source_that_stays_is_enough() {
    for seed in seeds(0..250) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed, some_files(&mut rng));
        world.source(rng.random_range(1..100) * MBIT, Manners::Honest);
        for _ in 0..rng.random_range(0..6) {
            let (up, manners) = (rng.random_range(1..100) * MBIT, some_manners(&mut rng));
            let has = some_chunks(&mut rng, &world.map);
            let host = if rng.random() {
                world.source(up, manners)
            } else {
                world.partial(up, manners, has)
            };
            if rng.random_bool(0.4) {
                let leaves = Duration::from_millis(rng.random_range(0..5_000));
                world.change(leaves, host, Change::Leaves);
                world.change(leaves * 2, host, Change::Returns);
            }
        }
        for _ in 0..rng.random_range(1..4) {
            let starts = Duration::from_millis(rng.random_range(0..3_000));
            world.receiver(50 * MBIT, 50 * MBIT, starts);
        }
        world.groups = rng.random_range(1..4);
        assert!(
            world.run(seconds(1_200)),
            "seed {seed}: does not come to an end"
        );
        for host in &world.hosts {
            if let Some((at, result)) = &host.outcome {
                assert_eq!(*result, Ok(()), "seed {seed} at {at:?}");
            }
        }
    }
}

#[test]
fn one_or_three_liars_of_four_cost_time_only() {
    for (liars, seed) in [1, 3]
        .into_iter()
        .flat_map(|n| seeds(0..100).map(move |seed| (n, seed)))
    {
        let mut world = World::new(seed, ChunkMap::new(vec![24 * CHUNK_BYTES]));
        for host in 0..4 {
            let lies = Manners::Lies(if seed % 2 == 0 { 1.0 } else { 0.2 });
            world.source(
                100 * MBIT,
                if host < liars { lies } else { Manners::Honest },
            );
        }
        let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
        assert!(world.run(seconds(60)), "{liars} liars, seed {seed}");
        assert!(world.seconds(receiver) < 10.0, "{liars} liars, seed {seed}");
    }
}

#[test]
fn liars_alone_are_an_error_within_half_a_minute() {
    for seed in seeds(0..100) {
        let mut world = World::new(seed, ChunkMap::new(vec![24 * CHUNK_BYTES]));
        for _ in 0..4 {
            world.source(100 * MBIT, Manners::Lies(1.0));
        }
        let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
        assert!(world.run(seconds(30)), "seed {seed}");
        let outcome = world.hosts[receiver].outcome.clone().unwrap().1;
        assert_eq!(
            outcome,
            Err(PlanFailure::AllSourcesCorrupt { distrusted: 4 }),
            "seed {seed}"
        );
        let dropped = world.hosts[receiver].said.iter();
        let three = |action: &Action| matches!(action, Action::Distrust { bad_chunks: 3, .. });
        assert_eq!(
            dropped.filter(|(_, action)| three(action)).count(),
            4,
            "seed {seed}"
        );
    }
}

#[test]
fn a_source_with_one_bad_chunk_goes_on_serving_the_others() {
    for seed in seeds(0..30) {
        let mut world = World::new(seed, ChunkMap::new(vec![100 * CHUNK_BYTES]));
        world.source(100 * MBIT, Manners::Honest);
        let flawed = world.source(100 * MBIT, Manners::Lies(0.01));
        let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
        assert!(world.run(seconds(60)), "seed {seed}");
        let said = &world.hosts[receiver].said;
        if !said
            .iter()
            .any(|(_, action)| matches!(action, Action::Distrust { .. }))
        {
            let sent = world.hosts[flawed].sent_bytes;
            assert!(sent > 35 * CHUNK_BYTES, "seed {seed}: {sent} bytes");
        }
    }
}

#[test]
fn a_source_that_falls_silent_is_waited_for() {
    for (seed, bytes) in [0, 10 * CHUNK_BYTES + 5, 20 * CHUNK_BYTES - 1]
        .into_iter()
        .enumerate()
    {
        let mut world = World::new(seed as u64, ChunkMap::new(vec![20 * CHUNK_BYTES]));
        let source = world.source(100 * MBIT, Manners::StallsAfter(bytes));
        let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
        world.change(seconds(100), source, Change::Becomes(Manners::Honest));
        assert!(world.run(seconds(150)), "silent after {bytes} bytes");
        assert!(
            (100.0..135.0).contains(&world.seconds(receiver)),
            "silent after {bytes} bytes"
        );
        let said = &world.hosts[receiver].said;
        assert!(
            matches!(said[0], (at, Action::Stalled) if (60..63).contains(&at.as_secs())),
            "{said:?}"
        );
        assert!(
            matches!(said[1], (at, Action::Resumed) if at >= seconds(100)),
            "{said:?}"
        );
        assert_eq!(said.len(), 2, "{said:?}");
    }
}

#[test]
fn without_any_source_it_stalls_and_goes_on_when_one_comes() {
    let mut world = World::new(1, ChunkMap::new(vec![20 * CHUNK_BYTES]));
    let source = world.source(100 * MBIT, Manners::Honest);
    let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
    world.change(seconds(1), source, Change::Leaves);
    world.change(seconds(200), source, Change::Returns);
    assert!(world.run(seconds(203)));
    let said = &world.hosts[receiver].said;
    assert!(
        matches!(said[0], (at, Action::Stalled) if (6..8).contains(&at.as_secs())),
        "{said:?}"
    );
    assert!(
        matches!(said[1], (at, Action::Resumed) if at >= seconds(200)),
        "{said:?}"
    );
}

#[test]
fn a_drip_beside_an_honest_source_costs_next_to_nothing() {
    for seed in seeds(0..20) {
        let mut world = World::new(seed, ChunkMap::new(vec![64 * CHUNK_BYTES]));
        world.source(100 * MBIT, Manners::Honest);
        world.source(1, Manners::Honest);
        let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
        assert!(world.run(seconds(60)), "seed {seed}");
        assert!(
            world.seconds(receiver) < 5.37 * 1.1,
            "seed {seed}: {}",
            world.seconds(receiver)
        );
    }
}

#[test]
fn a_lone_slow_source_is_asked_once_for_each_chunk() {
    let mut world = World::new(3, ChunkMap::new(vec![4 * CHUNK_BYTES]));
    world.source(40_000, Manners::Honest);
    let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
    assert!(world.run(seconds(120)));
    assert!(
        world.hosts[receiver].said.is_empty(),
        "{:?}",
        world.hosts[receiver].said
    );
    assert_eq!(world.hosts[receiver].model.asked_chunks, 4);
}

#[test]
fn a_lone_source_that_always_resets_is_an_error() {
    let mut world = World::new(4, ChunkMap::new(vec![4 * CHUNK_BYTES]));
    world.source(100 * MBIT, Manners::Resets(1.0));
    let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
    assert!(world.run(seconds(60)));
    let outcome = world.hosts[receiver].outcome.clone().unwrap().1;
    let expected = |why: &PlanFailure| {
        matches!(
            why,
            PlanFailure::RetriesExhausted {
                cause: RunFailure::Reset,
                ..
            }
        )
    };
    assert!(outcome.as_ref().is_err_and(expected), "{outcome:?}");
}

#[test]
fn a_payload_without_chunks_is_finished_at_once() {
    let mut world = World::new(5, ChunkMap::new(vec![0, 0]));
    let receiver = world.receiver(MBIT, MBIT, AT_ONCE);
    assert!(world.run(seconds(1)));
    assert_eq!(world.hosts[receiver].model.asked_chunks, 0);
}

#[test]
fn what_is_here_already_is_not_asked_for_again() {
    let start = Instant::now();
    let map = Arc::new(ChunkMap::new(vec![10 * CHUNK_BYTES, 5]));
    let mut stored = ChunkSet::full(map.count());
    let mut complete = Plan::new(start, PlanConfig::new(1, map.clone(), stored.clone()));
    assert_eq!(complete.poll_action(), Some(Action::Finished));
    assert_eq!(
        (complete.poll_action(), complete.next_deadline()),
        (None, None)
    );

    let [seventh, last] = [map.check(7).unwrap(), map.check(10).unwrap()];
    stored.remove(seventh);
    stored.remove(last);
    let mut plan = Plan::new(start, PlanConfig::new(1, map.clone(), stored));
    let peer = PeerId::new(Hash::from_bytes([1; 32]));
    plan.handle(
        start,
        Input::PeerJoined {
            peer,
            has: Holding::Everything,
        },
    );
    let one_chunk = |plan: &mut Plan| match (plan.poll_action(), plan.poll_action()) {
        (Some(Action::Request { request, run, .. }), None) if run.count() == 1 => {
            (request, run.first())
        }
        actions => panic!("{actions:?}"),
    };
    // A peer is asked for one thing until its rate is known.
    let (request, chunk) = one_chunk(&mut plan);
    assert_eq!(chunk, last, "the seed decides");
    plan.handle(start, Input::ChunkArrived { request, chunk });
    plan.handle(start, Input::RequestFinished { request });
    let (request, chunk) = one_chunk(&mut plan);
    assert_eq!(chunk, seventh);

    let later = start + Duration::from_millis(100);
    let half = Input::BytesArrived {
        request,
        bytes: CHUNK_BYTES / 2,
    };
    plan.handle(start + Duration::from_millis(50), half);
    plan.handle(
        later,
        Input::ChunkArrived {
            request,
            chunk: seventh,
        },
    );
    let progress = plan.progress(later);
    assert_eq!(
        (progress.stored_bytes, progress.total_bytes),
        (9 * CHUNK_BYTES, 10 * CHUNK_BYTES + 5)
    );
    plan.handle(later, Input::ChunkStored { chunk: seventh });
    let progress = plan.progress(later);
    assert_eq!((progress.stored_chunks, progress.total_chunks), (10, 11));
    assert_eq!(
        (progress.stored_bytes, progress.peers_streaming),
        (10 * CHUNK_BYTES, 1)
    );
    assert_eq!(progress.bytes_per_second, 10 * (CHUNK_BYTES + 5));
    let silent = plan.progress(later + seconds(3));
    assert_eq!((silent.peers_streaming, silent.bytes_per_second), (0, 0));
    plan.handle(later, Input::ChunkStored { chunk: last });
    let actions: Vec<Action> = std::iter::from_fn(|| plan.poll_action()).collect();
    assert_eq!(actions.last(), Some(&Action::Finished));
    assert!(plan.stored().is_full());
}

#[test]
fn a_disk_that_writes_nothing_stops_the_asking() {
    let map = Arc::new(ChunkMap::new(vec![1_000 * CHUNK_BYTES]));
    let config = PlanConfig::new(1, map.clone(), ChunkSet::empty(map.count()));
    let bound = config.outstanding_bytes_max;
    let mut now = Instant::now();
    let mut plan = Plan::new(now, config);
    let peer = PeerId::new(Hash::from_bytes([1; 32]));
    let mut inputs = VecDeque::from([Input::PeerJoined {
        peer,
        has: Holding::Everything,
    }]);
    let mut asked = 0;
    while let Some(input) = inputs.pop_front() {
        now += Duration::from_millis(1);
        plan.handle(now, input);
        while let Some(action) = plan.poll_action() {
            let Action::Request { request, run, .. } = action else {
                panic!("{action:?}")
            };
            asked += u64::from(run.count()) * CHUNK_BYTES;
            inputs.extend(
                run.chunks()
                    .map(|chunk| Input::ChunkArrived { request, chunk }),
            );
            inputs.push_back(Input::RequestFinished { request });
        }
    }
    assert!(
        asked > bound / 2 && asked <= bound,
        "{asked} bytes asked, {bound} allowed"
    );
    let mut goes_on = false;
    for chunk in map.chunks() {
        plan.handle(now, Input::ChunkStored { chunk });
        goes_on |= std::iter::from_fn(|| plan.poll_action())
            .any(|action| matches!(action, Action::Request { .. }));
    }
    assert!(goes_on, "what is written makes room");
}

#[test]
fn a_much_slower_peer_loses_its_run_at_the_end() {
    let mut world = World::new(2, ChunkMap::new(vec![12 * CHUNK_BYTES]));
    world.source(100 * MBIT, Manners::Honest);
    let slow = world.source(MBIT / 10, Manners::Honest);
    let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
    assert!(world.run(seconds(60)));
    assert!(world.seconds(receiver) < 2.0, "{}", world.seconds(receiver));
    assert!(world.hosts[slow].sent_bytes < CHUNK_BYTES);
    assert!(world.hosts[receiver].model.asked_chunks <= 12 + 3);
}

#[test]
fn a_busy_source_is_asked_again_soon() {
    for seed in seeds(0..20) {
        let mut world = World::new(seed, ChunkMap::new(vec![8 * CHUNK_BYTES]));
        let source = world.source(100 * MBIT, Manners::Busy(1.0));
        let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
        world.change(seconds(50), source, Change::Becomes(Manners::Honest));
        assert!(world.run(seconds(54)), "seed {seed}");
        assert!(world.hosts[receiver].said.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_liar_beside_an_honest_source_that_left_is_no_reason_to_fail() {
    let mut world = World::new(6, ChunkMap::new(vec![40 * CHUNK_BYTES]));
    let honest = world.source(100 * MBIT, Manners::Honest);
    world.source(100 * MBIT, Manners::Lies(1.0));
    let receiver = world.receiver(MBIT, 1_000 * MBIT, AT_ONCE);
    world.change(Duration::from_millis(50), honest, Change::Leaves);
    world.change(seconds(90), honest, Change::Returns);
    assert!(world.run(seconds(100)));
    assert!(world.seconds(receiver) > 90.0);
}

/// What a lone source's one request leads to when it fails, and when the source then says anew what it has.
fn after(reason: RunFailure) -> [usize; 2] {
    let now = Instant::now();
    let map = Arc::new(ChunkMap::new(vec![1]));
    let mut plan = Plan::new(
        now,
        PlanConfig::new(1, map.clone(), ChunkSet::empty(map.count())),
    );
    let peer = PeerId::new(Hash::from_bytes([1; 32]));
    let joined = || Input::PeerJoined {
        peer,
        has: Holding::Everything,
    };
    plan.handle(now, joined());
    let Some(Action::Request { request, .. }) = plan.poll_action() else {
        panic!("not asked")
    };
    plan.handle(now, Input::RequestFailed { request, reason });
    [Input::Tick, joined()].map(|input| {
        plan.handle(now + seconds(1), input);
        std::iter::from_fn(|| plan.poll_action()).count()
    })
}

#[test]
fn a_source_that_has_it_no_longer_is_asked_when_it_says_so_and_others_after_a_pause() {
    for reason in [RunFailure::GameChanged, RunFailure::NotHere] {
        assert_eq!(after(reason), [0, 1], "{reason}");
    }
    for reason in [
        RunFailure::Refused,
        RunFailure::Busy,
        RunFailure::ConnectionLost,
    ] {
        assert_eq!(after(reason), [1, 0], "{reason}");
    }
}
