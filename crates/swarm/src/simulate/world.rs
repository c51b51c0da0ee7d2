//! The room: its hosts, its wires, and the loop over what happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use lanspread_proto::{ChunkMap, ChunkRun, ChunkSet, GroupName};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    events::{Event, Events},
    host::{Character, Host, Ledger, Wire, peer_id},
    network::{Network, PortId},
    report::{Joint, Report},
    scenario::Scenario,
    units,
};

/// Senders follow a change of their share after this.
const SETTLE: Duration = Duration::from_millis(1);

/// A sender that has it all.
pub(super) const SOURCE: u32 = 0;

/// Samples of the curve per floor …
const SAMPLES: u32 = 50;

/// … but not closer than this, however little there is to fetch.
const SAMPLES_APART: Duration = Duration::from_millis(10);

/// The link between one switch and the core.
pub(super) struct Trunk {
    pub(super) name: GroupName,
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
    pub(super) trunks: Vec<Trunk>,
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
            for number in 1..=scenario.room.switches {
                let joint = scenario.payload_rate(scenario.room.joint);
                let trunk = Trunk {
                    name: format!("switch {number}").parse().expect("a short text"),
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
        self.acquaint();
        for host in 0..begin_late {
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
        self.events.at(Duration::ZERO, Event::Sample);
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
            known: Vec::new(),
            mesh: None,
            ticks_at: None,
            neighbours: BTreeSet::new(),
            most_neighbours: 0,
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
                self.events.at(self.now + SETTLE, Event::Settle);
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
            Event::Told { host, by, input } => self.told(host, by, input),
            Event::Tick { host } => self.tick(host),
            Event::Sample => {
                self.sample();
                let apart = (self.scenario.floor() / SAMPLES).max(SAMPLES_APART);
                let next = self.now + apart;
                self.events.at(next, Event::Sample);
            }
        }
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

    pub(super) fn finished(&mut self, number: u32) {
        let host = &mut self.hosts[number as usize];
        assert!(host.has.is_full(), "a plan finished without everything");
        host.finished = Some(self.now);
        host.plan = None;
        host.wakes_at = None;
        self.awaited -= usize::from(host.awaited);
        self.tell_of_the_end(number);
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
        let degrees = || self.hosts.iter().map(|host| host.most_neighbours);
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
