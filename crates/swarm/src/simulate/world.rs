//! The room: its hosts, its wires, and the loop over what happens.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use lanspread_proto::{ChunkMap, ChunkRun, ChunkSet};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    events::{Event, Events},
    host::{Character, Host, Ledger, Wire, peer_id},
    network::{Network, PortId},
    report::{Joint, Report},
    scenario::Scenario,
    topology, units,
};
use crate::{Plan, PlanConfig};

/// Senders follow a change of their share after this, times how coarse the chunks are.
const SETTLE: Duration = Duration::from_millis(1);

/// A sender that has it all.
pub(super) const SOURCE: u32 = 0;

/// Samples of the curve per floor …
const SAMPLES: u32 = 50;

/// … but not closer than this, however little there is to fetch.
const SAMPLES_APART: Duration = Duration::from_millis(10);

/// The link between one switch and the core.
struct Trunk {
    outward: PortId,
    inward: PortId,
    outward_bytes: u64,
    inward_bytes: u64,
}

/// The room.
pub(super) struct World<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) map: Arc<ChunkMap>,
    pub(super) now: Duration,
    pub(super) epoch: Instant,
    pub(super) rng: StdRng,
    pub(super) events: Events,
    pub(super) network: Network,
    pub(super) hosts: Vec<Host>,
    pub(super) wires: Vec<Wire>,
    trunks: Vec<Trunk>,
    settles: bool,
    /// Receivers that are waited for.
    awaited: usize,
    pub(super) needed_bytes: u64,
    pub(super) twice_bytes: u64,
    pub(super) wrong_bytes: u64,
    pub(super) requests: u64,
    curve: Vec<(Duration, f64, f64)>,
    trace: DefaultHasher,
}

impl<'s> World<'s> {
    pub(super) fn new(scenario: &'s Scenario) -> Self {
        let sizes = scenario.room.sizes.iter();
        let sizes = sizes.map(|size| scenario.chunked(*size));
        let mut world = Self {
            scenario,
            map: Arc::new(ChunkMap::new(sizes.collect())),
            now: Duration::ZERO,
            epoch: Instant::now(),
            rng: StdRng::seed_from_u64(scenario.seed),
            events: Events::default(),
            network: Network::default(),
            hosts: Vec::new(),
            wires: Vec::new(),
            trunks: Vec::new(),
            settles: false,
            awaited: 0,
            needed_bytes: 0,
            twice_bytes: 0,
            wrong_bytes: 0,
            requests: 0,
            curve: Vec::new(),
            trace: DefaultHasher::new(),
        };
        if scenario.room.switches > 1 {
            for _ in 0..scenario.room.switches {
                let joint = scenario.payload_rate(scenario.room.joint);
                let trunk = Trunk {
                    outward: world.network.port(joint),
                    inward: world.network.port(joint),
                    outward_bytes: 0,
                    inward_bytes: 0,
                };
                world.trunks.push(trunk);
            }
        }
        world.populate();
        world
    }

    // # Before it begins

    fn populate(&mut self) {
        let (room, trouble) = (&self.scenario.room, &self.scenario.trouble);
        self.add_host(room.link, Character::Honest, true);
        for _ in 0..trouble.liars {
            self.add_host(room.link, Character::Lies, true);
        }
        for _ in 0..trouble.stallers {
            self.add_host(room.link, Character::Stalls, true);
        }
        let floor = self.scenario.floor();
        let first = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        for nth in 0..room.receivers {
            let slow = nth < trouble.slow;
            let link = if slow { room.link / 10 } else { room.link };
            let host = self.add_host(link, Character::Honest, false);
            self.hosts[host as usize].awaited = !slow;
            self.awaited += usize::from(!slow);
        }
        let end = first + room.receivers;
        let begin_late = end - trouble.late.min(room.receivers);
        let mut present: Vec<u32> = (0..begin_late).collect();
        for (one, other) in self.acquaintances(&present) {
            self.connect(one, other);
        }
        for host in present.drain(..) {
            self.hosts[host as usize].present = true;
            self.events.at(Duration::ZERO, Event::Start { host });
        }
        for host in begin_late..end {
            self.events
                .at(floor.mul_f64(trouble.late_at), Event::Start { host });
        }
        for host in (first..begin_late).rev().take(trouble.churning as usize) {
            let goes = floor.mul_f64(self.rng.random_range(0.05..0.9));
            self.events.at(goes, Event::Leave { host });
            self.events.at(goes + floor / 20, Event::Start { host });
        }
        if let Some(redeal) = self.scenario.manner.redeal {
            for host in 0..end {
                let first = redeal.mul_f64(self.rng.random_range(0.0..1.0));
                self.events.at(first, Event::Redeal { host });
            }
        }
        self.events.at(Duration::ZERO, Event::Sample);
    }

    /// Who knows whom at the beginning.
    fn acquaintances(&mut self, present: &[u32]) -> Vec<(u32, u32)> {
        let degree = self.scenario.manner.neighbours;
        if !self.scenario.room.groups {
            return topology::pairs(&mut self.rng, present, degree);
        }
        let at_switch = |switch: usize| {
            let here = present.iter().copied();
            here.filter(|host| self.hosts[*host as usize].switch == switch)
                .collect()
        };
        let switches: Vec<Vec<u32>> = (0..self.trunks.len().max(1)).map(at_switch).collect();
        topology::grouped(&mut self.rng, &switches, degree)
    }

    fn add_host(&mut self, link: u64, character: Character, full: bool) -> u32 {
        let link = self.scenario.payload_rate(link);
        let number = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let chunks = self.map.count();
        self.hosts.push(Host {
            id: peer_id(number),
            up: self.network.port(link),
            down: self.network.port(link),
            switch: self.hosts.len() % self.scenario.room.switches.max(1) as usize,
            character,
            present: false,
            wires: BTreeMap::new(),
            has: if full {
                ChunkSet::full(chunks)
            } else {
                ChunkSet::empty(chunks)
            },
            plan: None,
            awaited: false,
            started: None,
            finished: None,
            requests: BTreeMap::new(),
            wakes_at: None,
            news: Vec::new(),
            announced: None,
            asked: Vec::new(),
            disk_free_at: Duration::ZERO,
            busy_slots: 0,
            queue: std::collections::VecDeque::new(),
            ledger: full.then(|| Ledger::new(chunks)),
            sent_bytes: 0,
        });
        number
    }

    // # The loop

    /// Runs until everybody that is waited for has finished, or the scenario's limit.
    pub(super) fn run(mut self) -> Report {
        let mut events = 0;
        while self.awaited > 0
            && let Some((at, event)) = self.events.next()
            && at <= self.scenario.limit
        {
            self.now = at;
            events += 1;
            (at.as_nanos(), event).hash(&mut self.trace);
            self.happen(event);
            if !self.settles && !self.network.is_settled() {
                self.settles = true;
                let coarse = u32::try_from(self.scenario.coarse.max(1)).unwrap_or(u32::MAX);
                self.events.at(self.now + SETTLE * coarse, Event::Settle);
            }
        }
        self.sample();
        self.report(events)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start { host } => self.start(host),
            Event::Leave { host } => self.leave(host),
            Event::Wake { host } => self.wake(host),
            Event::Asked { wire, request } => self.asked(wire, request),
            Event::Flow { wire, version } => self.flow(wire, version),
            Event::Settle => {
                self.settles = false;
                for wire in self.network.settle(self.now) {
                    self.schedule_flow(wire);
                }
            }
            Event::Announce { host } => self.announce(host),
            Event::Stored { host, chunk } => self.stored(host, chunk),
            Event::Redeal { host } => self.redeal(host),
            Event::Sample => {
                self.sample();
                let apart = (self.scenario.floor() / SAMPLES).max(SAMPLES_APART);
                let next = self.now + apart;
                self.events.at(next, Event::Sample);
            }
        }
    }

    // # Coming and going

    fn start(&mut self, host: u32) {
        let at = host as usize;
        if !self.hosts[at].present {
            self.hosts[at].present = true;
            let others: Vec<u32> = self.strangers(host);
            let wanted = self
                .scenario
                .manner
                .neighbours
                .map_or(others.len(), |n| n as usize);
            for other in self.some_of(others, wanted) {
                self.connect(host, other);
            }
        }
        if self.hosts[at].ledger.is_none() && self.hosts[at].finished.is_none() {
            let seed = self
                .scenario
                .seed
                .wrapping_mul(0x1_0001)
                .wrapping_add(u64::from(host));
            let config = PlanConfig::new(seed, self.map.clone(), self.hosts[at].has.clone());
            self.hosts[at].plan = Some(Plan::new(self.epoch + self.now, config));
            self.hosts[at].started.get_or_insert(self.now);
            let neighbours: Vec<u32> = self.hosts[at].wires.keys().copied().collect();
            for other in neighbours {
                self.introduce(other, host);
            }
            self.drain(host);
        }
    }

    /// Who is there and not a neighbour yet.
    fn strangers(&self, host: u32) -> Vec<u32> {
        let known = &self.hosts[host as usize].wires;
        (0..u32::try_from(self.hosts.len()).unwrap_or(u32::MAX))
            .filter(|other| *other != host && !known.contains_key(other))
            .filter(|other| self.hosts[*other as usize].present)
            .collect()
    }

    fn some_of(&mut self, mut from: Vec<u32>, wanted: usize) -> Vec<u32> {
        while from.len() > wanted {
            let out = self.rng.random_range(0..from.len());
            from.swap_remove(out);
        }
        from
    }

    pub(super) fn leave(&mut self, host: u32) {
        let at = host as usize;
        if self.hosts[at].finished.is_some() && host != SOURCE {
            return;
        }
        self.hosts[at].present = false;
        let neighbours: Vec<u32> = self.hosts[at].wires.keys().copied().collect();
        for other in neighbours {
            self.part(host, other);
        }
        self.hosts[at].plan = None;
        self.hosts[at].wakes_at = None;
    }

    fn redeal(&mut self, host: u32) {
        if let Some(redeal) = self.scenario.manner.redeal {
            self.events.at(self.now + redeal, Event::Redeal { host });
        }
        let at = host as usize;
        let many = self
            .scenario
            .manner
            .neighbours
            .map_or(usize::MAX, |n| n as usize);
        if !self.hosts[at].present {
            return;
        }
        if self.hosts[at].wires.len() >= many {
            let nth = self.rng.random_range(0..self.hosts[at].wires.len());
            if let Some(other) = self.hosts[at].wires.keys().nth(nth).copied() {
                self.part(host, other);
            }
        }
        let strangers = self.strangers(host);
        for other in self.some_of(strangers, 1) {
            self.connect(host, other);
        }
    }

    fn connect(&mut self, one: u32, other: u32) {
        for (src, dst) in [(one, other), (other, one)] {
            let wire = u32::try_from(self.wires.len()).unwrap_or(u32::MAX);
            self.wires.push(Wire::new(src, dst));
            self.hosts[src as usize].wires.insert(dst, wire);
        }
        self.introduce(one, other);
        self.introduce(other, one);
    }

    // # What is told at the end

    fn sample(&mut self) {
        let receivers: Vec<&Host> = self.hosts.iter().filter(|host| host.awaited).collect();
        let finished = receivers
            .iter()
            .filter(|host| host.finished.is_some())
            .count();
        let receivers = units::count(receivers.len().max(1));
        let everyone = self.scenario.room.receivers.max(1) as usize;
        let all = units::fraction(self.map.bytes().max(1)) * units::count(everyone);
        let stored = units::fraction(self.needed_bytes) / all;
        self.curve
            .push((self.now, stored, units::count(finished) / receivers));
    }

    pub(super) fn finished(&mut self, host: u32) {
        let host = &mut self.hosts[host as usize];
        assert!(host.has.is_full(), "a plan finished without everything");
        host.finished = Some(self.now);
        host.plan = None;
        host.wakes_at = None;
        self.awaited -= usize::from(host.awaited);
    }

    /// The ports between two hosts.
    pub(super) fn way(&self, src: u32, dst: u32) -> Vec<PortId> {
        let (from, to) = (&self.hosts[src as usize], &self.hosts[dst as usize]);
        let mut way = vec![from.up, to.down];
        if from.switch != to.switch {
            way.extend([
                self.trunks[from.switch].outward,
                self.trunks[to.switch].inward,
            ]);
        }
        way
    }

    /// Counts bytes that went from one host to another.
    pub(super) fn sent(&mut self, src: u32, dst: u32, bytes: u64) {
        self.hosts[src as usize].sent_bytes += bytes;
        let (from, to) = (
            self.hosts[src as usize].switch,
            self.hosts[dst as usize].switch,
        );
        if from != to {
            self.trunks[from].outward_bytes += bytes;
            self.trunks[to].inward_bytes += bytes;
        }
    }

    pub(super) fn run_of(&self, chunks: Range<u32>) -> Option<ChunkRun> {
        self.map
            .check_run(chunks.start, chunks.end.saturating_sub(chunks.start))
    }

    fn report(self, events: u64) -> Report {
        let unchunked = |bytes| self.scenario.unchunked(bytes);
        let payload = units::fraction(self.map.bytes().max(1));
        let copies = |bytes: u64| units::fraction(bytes) / payload;
        let awaited = || self.hosts.iter().filter(|host| host.awaited);
        let ends = awaited().filter_map(|host| Some(host.finished?.saturating_sub(host.started?)));
        let mut took: Vec<Duration> = ends.collect();
        took.sort_unstable();
        let sent: u64 = self.hosts.iter().map(|host| host.sent_bytes).sum();
        let degrees = || self.hosts.iter().map(|host| host.wires.len());
        let joints = self.trunks.iter().map(|trunk| Joint {
            inward: copies(trunk.inward_bytes),
            outward: copies(trunk.outward_bytes),
        });
        Report {
            floor: self.scenario.floor(),
            unfinished: awaited().count() - took.len(),
            took,
            source_copies: copies(self.hosts[SOURCE as usize].sent_bytes),
            sent_bytes: unchunked(sent),
            needed_bytes: unchunked(self.needed_bytes),
            twice_bytes: unchunked(self.twice_bytes),
            wrong_bytes: unchunked(self.wrong_bytes),
            connections: (
                units::count(degrees().sum()) / units::count(self.hosts.len()),
                degrees().max().unwrap_or(0),
            ),
            joints: joints.collect(),
            requests: self.requests,
            curve: self.curve,
            events,
            trace: self.trace.finish(),
        }
    }
}
