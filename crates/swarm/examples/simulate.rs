//! Simulates a room and prints how near it came to the floor.
//!
//! ```text
//! cargo run --release -p lanspread-swarm --example simulate -- --receivers 200 --size 50GiB --link 1Gbit
//! ```
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use lanspread_swarm::simulate::{Hints, Neighbours, Report, Scenario, simulate};

/// Simulates a room of machines that fetch the same payload, and prints how near it came to the floor.
#[derive(Debug, Parser)]
struct Arguments {
    /// Machines that want everything; one more has it.
    #[arg(long, default_value_t = 8)]
    receivers: u32,
    /// The payload, like 50GiB or 256MiB.
    #[arg(long, default_value = "256MiB", value_parser = bytes)]
    size: u64,
    /// Files that the payload consists of.
    #[arg(long, default_value_t = 1)]
    files: u64,
    /// Each machine's link, each way, like 1Gbit or 100Mbit.
    #[arg(long, default_value = "100Mbit", value_parser = bytes_per_second)]
    link: u64,
    /// The part of what a wire carries that is not payload, in percent; 5 on a real network.
    #[arg(long, default_value_t = 0.0)]
    headers: f64,
    /// Chunks of a MiB over this.
    #[arg(long, default_value_t = 1)]
    fine: u64,
    /// Chunks of so many MiB instead of 1, which costs that much less computing; whatever is no payload then takes that
    /// much longer, too. By default as coarse as 10,300,000 chunks in all need.
    #[arg(long)]
    coarse: Option<u32>,
    /// Who exchanges chunks with whom.
    #[arg(long, value_enum, default_value = "mesh")]
    neighbours: NeighboursArgument,
    /// Other machines that each one knows; by default everyone up to 500, then 60.
    #[arg(long)]
    known: Option<u32>,
    /// Transfers that a machine serves at once.
    #[arg(long)]
    slots: Option<u32>,
    /// How receivers learn what others are fetching.
    #[arg(long, value_enum, default_value = "source")]
    hints: HintsArgument,
    /// The least time between two announcements of gained chunks, in milliseconds.
    #[arg(long)]
    batch: Option<u64>,
    /// Milliseconds from a request to its answer.
    #[arg(long)]
    round_trip: Option<u64>,
    /// What a machine's disk writes in a second, like 120MiB.
    #[arg(long, value_parser = bytes)]
    disk: Option<u64>,
    /// Switches, the machines dealt out to them in turn.
    #[arg(long, default_value_t = 1)]
    switches: u32,
    /// The link between each switch and the core.
    #[arg(long, default_value = "2500Mbit", value_parser = bytes_per_second)]
    joint: u64,
    /// Machines know who is at their switch, as with an operator's `--group`.
    #[arg(long)]
    group: bool,
    /// Receivers that begin late.
    #[arg(long, default_value_t = 0)]
    late: u32,
    /// When they do, in floors.
    #[arg(long, default_value_t = 0.5)]
    late_at: f64,
    /// Receivers that go away once and come back.
    #[arg(long, default_value_t = 0)]
    churning: u32,
    /// Further machines that send wrong bytes.
    #[arg(long, default_value_t = 0)]
    liars: u32,
    /// Further machines that send nothing.
    #[arg(long, default_value_t = 0)]
    stallers: u32,
    /// Receivers with a tenth of the link.
    #[arg(long, default_value_t = 0)]
    slow: u32,
    /// The source goes once it has sent everything.
    #[arg(long)]
    source_leaves: bool,
    /// Decides all that is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Further runs with the next seeds; the figures are of all.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Draws the completion curve of the last run.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// Chunks of all receivers together that are simulated unless told otherwise: minutes of computing.
const CHUNKS_MAX: u64 = 10_300_000;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HintsArgument {
    Off,
    Pushed,
    Source,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum NeighboursArgument {
    All,
    Mesh,
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let known: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    let found = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let (_, factor) = found.ok_or_else(|| format!("one of {} must follow", known.join(", ")))?;
    let number: u64 = digits
        .parse()
        .map_err(|error| format!("{digits}: {error}"))?;
    number
        .checked_mul(*factor)
        .ok_or_else(|| "too much".to_owned())
}

fn bytes(text: &str) -> Result<u64, String> {
    scaled(
        text,
        &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)],
    )
}

fn bytes_per_second(text: &str) -> Result<u64, String> {
    scaled(
        text,
        &[("Mbit", 1_000_000 / 8), ("Gbit", 1_000_000_000 / 8)],
    )
}

impl Arguments {
    /// MiB of a chunk.
    fn coarseness(&self) -> u32 {
        self.coarse.unwrap_or_else(|| {
            let chunks = u64::from(self.receivers) * (self.size >> 20);
            u32::try_from(chunks.div_ceil(CHUNKS_MAX)).map_or(u32::MAX, u32::next_power_of_two)
        })
    }

    fn scenario(&self, seed: u64) -> Scenario {
        let size = self.size / u64::from(self.coarseness().max(1));
        let mut scenario = Scenario::new(seed, self.receivers, size, self.link);
        let files = self.files.max(1);
        let file = usize::try_from(files).unwrap_or(usize::MAX);
        scenario.room.sizes = vec![size / files; file];
        let crowd = (self.receivers > 500).then_some(60);
        scenario.manner.known = self.known.or(crowd);
        scenario.manner.neighbours = match self.neighbours {
            NeighboursArgument::All => Neighbours::All,
            NeighboursArgument::Mesh => Neighbours::Mesh,
        };
        scenario.manner.slots = self.slots.unwrap_or(scenario.manner.slots);
        scenario.manner.hints = match self.hints {
            HintsArgument::Off => Hints::Off,
            HintsArgument::Pushed => Hints::Pushed,
            HintsArgument::Source => Hints::Source,
        };
        let millis = |number: Option<u64>, default| number.map_or(default, Duration::from_millis);
        scenario.manner.batch = millis(self.batch, scenario.manner.batch);
        scenario.room.round_trip = millis(self.round_trip, scenario.room.round_trip);
        scenario.fine = self.fine;
        scenario.room.headers = (self.headers / 100.0).clamp(0.0, 0.99);
        scenario.room.disk = self.disk;
        scenario.room.switches = self.switches;
        scenario.room.joint = self.joint;
        scenario.room.groups = self.group;
        scenario.trouble.late = self.late;
        scenario.trouble.late_at = self.late_at;
        scenario.trouble.churning = self.churning;
        scenario.trouble.liars = self.liars;
        scenario.trouble.stallers = self.stallers;
        scenario.trouble.slow = self.slow;
        scenario.trouble.source_leaves = self.source_leaves;
        scenario
    }
}

fn print(scenario: &Scenario, report: &Report) {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    if report.unfinished > 0 {
        println!("{} receivers did not finish", report.unfinished);
    }
    println!(
        "seed {}: floor {}, first {}, median {}, p99 {}, last {} = {:.3} floors, efficiency {:.3}",
        scenario.seed,
        seconds(report.floor),
        seconds(report.quantile(0.0)),
        seconds(report.quantile(0.5)),
        seconds(report.quantile(0.99)),
        seconds(report.last()),
        report.floors(),
        report.efficiency(),
    );
    println!(
        "  source sent each byte {:.3} times; {:.2} % of what was sent was not needed; {} requests",
        report.source_copies,
        report.waste() * 100.0,
        report.requests,
    );
    let (mean, most) = report.connections;
    println!(
        "  {mean:.1} connections a host, at most {most}; {} events, trace {:016x}",
        report.events, report.trace
    );
    for (switch, joint) in report.joints.iter().enumerate() {
        println!(
            "  switch {switch}: {:.2} copies in, {:.2} out",
            joint.inward, joint.outward
        );
    }
}

fn main() {
    let arguments = Arguments::parse();
    let mut worst: f64 = 0.0;
    for seed in arguments.seed..arguments.seed + arguments.runs.max(1) {
        let scenario = arguments.scenario(seed);
        let begun = std::time::Instant::now();
        let coarse = arguments.coarseness().max(1);
        let report = simulate(&scenario).stretched(coarse);
        if coarse > 1 {
            println!(
                "chunks of {coarse} MiB instead of 1 MiB; round trips and pauses count {coarse} times"
            );
        }
        print(&scenario, &report);
        println!("  computed in {:.1} s", begun.elapsed().as_secs_f64());
        worst = worst.max(report.floors());
        if let Some(path) = &arguments.svg {
            let title = format!(
                "{} receivers, {} MiB: {:.3} floors",
                scenario.room.receivers,
                arguments.size >> 20,
                report.floors()
            );
            write(path, &report.svg(&title));
        }
    }
    if arguments.runs > 1 {
        println!("worst of {} seeds: {worst:.3} floors", arguments.runs);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a drawing for whoever asked for it, no game"
)]
fn write(path: &PathBuf, drawing: &str) {
    match std::fs::write(path, drawing) {
        Ok(()) => println!("  drawn into {}", path.display()),
        Err(error) => println!("  could not write {}: {error}", path.display()),
    }
}
