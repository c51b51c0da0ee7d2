//! Small rooms under hundreds of seeds: whatever goes wrong in them, everyone finishes, and nothing is
//! lost or made up. A failing test names its seed. The simulator itself checks each request: it panics
//! when somebody is asked for what it does not have.

use std::time::Duration;

use lanspread_swarm::simulate::{Hints, Neighbours, Report, Scenario, simulate};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const MIB: u64 = 1 << 20;
const MBIT: u64 = 1_000_000 / 8;

/// A small room in which a few things go wrong.
fn some_room(seed: u64) -> Scenario {
    let mut rng = StdRng::seed_from_u64(seed);
    let receivers = rng.random_range(1..14);
    let link = rng.random_range(10..1_000) * MBIT;
    let mut scenario = Scenario::new(seed, receivers, 0, link);
    let files = rng.random_range(1..30);
    let file = |rng: &mut StdRng| match rng.random_range(0..4) {
        0 => 0,
        1 => rng.random_range(1..20_000),
        2 => MIB * rng.random_range(1..3),
        _ => rng.random_range(1..5 * MIB),
    };
    scenario.room.sizes = (0..files).map(|_| file(&mut rng)).collect();
    scenario.room.round_trip = Duration::from_millis(rng.random_range(0..20));
    scenario.room.disk = rng.random_bool(0.2).then_some(20 * MIB);
    scenario.room.switches = rng.random_range(1..4);
    scenario.room.joint = link * 2;
    scenario.room.groups = rng.random_bool(0.5);
    scenario.trouble.late = rng.random_range(0..3).min(receivers - 1);
    scenario.trouble.late_at = rng.random_range(0.0..1.0);
    scenario.trouble.churning = rng.random_range(0..2).min(receivers);
    scenario.trouble.liars = rng.random_range(0..2);
    scenario.trouble.stallers = rng.random_range(0..2);
    scenario.trouble.slow = rng.random_range(0..2).min(receivers - 1);
    scenario.manner.slots = rng.random_range(1..33);
    // Where a liar may be the only neighbour that has anything, a plan gives up, as it should.
    let few = scenario.trouble.liars == 0 && rng.random_bool(0.3);
    scenario.manner.known = few.then_some(8);
    scenario.manner.neighbours = [Neighbours::All, Neighbours::Mesh][rng.random_range(0..2)];
    scenario.manner.hints = [Hints::Off, Hints::Pushed, Hints::Source][rng.random_range(0..3)];
    scenario.limit = Duration::from_hours(1);
    scenario
}

fn check(scenario: &Scenario, report: &Report) {
    let seed = scenario.seed;
    assert_eq!(report.unfinished, 0, "seed {seed}: {scenario:?}");
    assert_eq!(
        report.sent_bytes,
        report.needed_bytes + report.twice_bytes + report.wrong_bytes,
        "seed {seed}: bytes were lost or made up"
    );
    let payload: u64 = scenario.room.sizes.iter().sum();
    let awaited = u64::from(scenario.room.receivers - scenario.trouble.slow);
    assert!(
        report.needed_bytes >= awaited * payload,
        "seed {seed}: somebody lacks something"
    );
    let most = u64::from(scenario.room.receivers) * payload;
    assert!(
        report.needed_bytes <= most,
        "seed {seed}: more than there is"
    );
    if payload > 0 {
        let whole_room = scenario.trouble.liars + scenario.trouble.stallers == 0;
        let least = report.floor.mul_f64(0.99);
        assert!(
            !whole_room || report.last() >= least,
            "seed {seed}: faster than the wire"
        );
    }
}

#[test]
fn everyone_finishes_and_no_byte_is_lost_or_made_up() {
    for seed in 0..300 {
        let mut scenario = some_room(seed);
        // A chunk on its way to the disk at the end is in neither sum.
        scenario.room.disk = None;
        check(&scenario, &simulate(&scenario));
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_another() {
    for seed in 300..350 {
        let scenario = some_room(seed);

        let report = simulate(&scenario);
        assert_eq!(report.unfinished, 0, "seed {seed}");
        assert_eq!(report, simulate(&scenario), "seed {seed}");
    }
    let trace = |seed| simulate(&Scenario::new(seed, 3, 20 * MIB, 100 * MBIT)).trace;
    assert_ne!(trace(1), trace(2));
}

#[test]
fn one_receiver_is_as_fast_as_a_copy() {
    let report = simulate(&Scenario::new(1, 1, 256 * MIB, 100 * MBIT));
    assert!(report.floors() < 1.005, "{:.3} floors", report.floors());
}

#[test]
fn a_room_finishes_in_little_more_than_the_time_of_one() {
    // (receivers, MiB, Mbit/s, floors)
    let rooms = [(4, 256, 100, 1.04), (8, 256, 100, 1.07), (16, 128, 50, 1.2)];
    for (receivers, size, link, most) in rooms {
        for seed in 0..5 {
            let report = simulate(&Scenario::new(seed, receivers, size * MIB, link * MBIT));
            let floors = report.floors();
            assert!(
                floors <= most,
                "{receivers} receivers, seed {seed}: {floors:.3} floors"
            );
        }
    }
}

#[test]
fn without_a_hint_the_source_sends_more() {
    let copies = |hints| {
        let mut scenario = Scenario::new(3, 8, 256 * MIB, 100 * MBIT);
        scenario.manner.hints = hints;
        simulate(&scenario).source_copies
    };
    let (off, source) = (copies(Hints::Off), copies(Hints::Source));
    assert!(
        source < 1.05 && off > source + 0.05,
        "{off:.3} and {source:.3} copies"
    );
}

#[test]
fn a_source_that_leaves_after_one_copy_is_not_missed() {
    for seed in 0..20 {
        let mut scenario = Scenario::new(seed, 8, 64 * MIB, 100 * MBIT);
        scenario.trouble.source_leaves = true;
        let report = simulate(&scenario);
        assert_eq!(report.unfinished, 0, "seed {seed}");
        assert!(
            report.floors() < 1.6,
            "seed {seed}: {:.3} floors",
            report.floors()
        );
    }
}

#[test]
fn a_group_fetches_little_more_than_one_copy_across_a_thin_link() {
    let mut scenario = Scenario::new(1, 60, 256 * MIB, 400 * MBIT);
    scenario.room.switches = 2;
    scenario.room.joint = 1_000 * MBIT;
    let copies = |scenario: &Scenario| simulate(scenario).joints[1].inward;
    let before = copies(&scenario);
    scenario.room.groups = true;
    let grouped = copies(&scenario);
    assert!(
        grouped < 1.7 && before > 2.0 * grouped,
        "{grouped:.2} copies, without groups {before:.2}"
    );
}

#[test]
fn a_source_sends_little_more_than_one_copy_to_three_other_groups() {
    let mut scenario = Scenario::new(1, 40, 1024 * MIB, 1_000 * MBIT);
    scenario.room.switches = 4;
    scenario.room.joint = 1_000 * MBIT;
    scenario.room.groups = true;
    let report = simulate(&scenario);
    let most = report
        .joints
        .iter()
        .map(|joint| joint.outward.max(joint.inward));
    let most = most.fold(0.0, f64::max);
    assert!(
        most < 1.5 && report.floors() < 1.6,
        "{most:.2} copies over a joint, {:.3} floors",
        report.floors()
    );
}

#[test]
fn the_drawing_has_the_curve_and_a_title_that_is_text() {
    let report = simulate(&Scenario::new(1, 2, 8 * MIB, 100 * MBIT));
    let drawing = report.svg("a < b");
    assert!(drawing.starts_with("<svg") && drawing.contains("a &lt; b"));
    assert_eq!(drawing.matches("<polyline").count(), 2);
}
