//! A small world in virtual time: hosts with an up and a down capacity, shared equally among their
//! transfers, that run real plans. It checks every request against what the plan may know.

mod plans;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use lanspread_proto::{ChunkIndex, ChunkMap, ChunkRun, ChunkSet, Hash, PeerId};
use lanspread_swarm::{
    Action, Holding, Input, Member, Plan, PlanConfig, PlanFailure, RequestId, RunFailure,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::plans::Model;

/// One step of the world's clock.
const STEP: Duration = Duration::from_millis(5);
/// From a request to its first byte.
const LATENCY: Duration = Duration::from_millis(1);
/// How often receivers tell each other what they gained.
const ANNOUNCE: Duration = Duration::from_millis(50);

pub(crate) const MBIT: u64 = 1_000_000 / 8;

/// How a host treats those who ask it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Manners {
    Honest,
    /// Chunks are wrong with this probability.
    Lies(f64),
    /// Sends so many bytes, then nothing, and keeps its connections.
    StallsAfter(u64),
    /// Resets streams with this probability per chunk.
    Resets(f64),
    /// Says busy with this probability per request.
    Busy(f64),
    /// Says that it does not have what it claimed to have, with this probability per request.
    Forgets(f64),
}

/// What happens at a time that was set in advance.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Leaves,
    Returns,
    Becomes(Manners),
}

pub(crate) struct Host {
    pub(crate) id: PeerId,
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) manners: Manners,
    pub(crate) has: ChunkSet,
    pub(crate) sent_bytes: u64,
    pub(crate) plan: Option<Plan>,
    pub(crate) model: Model,
    pub(crate) outcome: Option<(Duration, Result<(), PlanFailure>)>,
    pub(crate) said: Vec<(Duration, Action)>,
    here: bool,
    starts: Duration,
    news: Vec<ChunkRun>,
}

struct Job {
    request: RequestId,
    left: VecDeque<ChunkIndex>,
    done_bytes: u64,
    ready: Duration,
}

#[derive(Default)]
struct Wire {
    jobs: VecDeque<Job>,
    credit_microbytes: u64,
}

pub(crate) struct World {
    pub(crate) hosts: Vec<Host>,
    pub(crate) map: Arc<ChunkMap>,
    epoch: Instant,
    time: Duration,
    rng: StdRng,
    seed: u64,
    wires: BTreeMap<(usize, usize), Wire>,
    changes: Vec<(Duration, usize, Change)>,
    next_announce: Duration,
    /// Into how many groups the hosts are dealt, in turn.
    pub(crate) groups: usize,
}

impl World {
    pub(crate) fn new(seed: u64, map: ChunkMap) -> Self {
        Self {
            hosts: Vec::new(),
            map: Arc::new(map),
            epoch: Instant::now(),
            time: Duration::ZERO,
            rng: StdRng::seed_from_u64(seed),
            seed,
            wires: BTreeMap::new(),
            changes: Vec::new(),
            next_announce: Duration::ZERO,
            groups: 1,
        }
    }

    /// Adds a host that has everything.
    pub(crate) fn source(&mut self, up: u64, manners: Manners) -> usize {
        self.host(up, u64::MAX / 4, manners, ChunkSet::full(self.map.count()))
    }

    /// Adds a host that has a part and wants nothing.
    pub(crate) fn partial(&mut self, up: u64, manners: Manners, has: ChunkSet) -> usize {
        self.host(up, u64::MAX / 4, manners, has)
    }

    /// Adds a host that wants everything, has nothing and starts at a time.
    pub(crate) fn receiver(&mut self, up: u64, down: u64, starts: Duration) -> usize {
        let at = self.host(up, down, Manners::Honest, ChunkSet::empty(self.map.count()));
        let config = PlanConfig::new(
            self.seed.wrapping_mul(31).wrapping_add(at as u64),
            self.map.clone(),
            ChunkSet::empty(self.map.count()),
        );
        self.hosts[at].plan = Some(Plan::new(self.epoch + starts, config));
        self.hosts[at].starts = starts;
        at
    }

    fn host(&mut self, up: u64, down: u64, manners: Manners, has: ChunkSet) -> usize {
        let at = self.hosts.len();
        let mut id = [0; 32];
        id[0] = u8::try_from(at).expect("a small world");
        self.hosts.push(Host {
            id: PeerId::new(Hash::from_bytes(id)),
            up,
            down,
            manners,
            has,
            sent_bytes: 0,
            plan: None,
            model: Model::default(),
            outcome: None,
            said: Vec::new(),
            here: true,
            starts: Duration::ZERO,
            news: Vec::new(),
        });
        at
    }

    pub(crate) fn change(&mut self, at: Duration, host: usize, change: Change) {
        self.changes.push((at, host, change));
    }

    /// Runs until every receiver has an outcome, or `limit`; tells whether all have.
    pub(crate) fn run(&mut self, limit: Duration) -> bool {
        self.changes.sort_by_key(|(at, ..)| *at);
        for dst in 0..self.hosts.len() {
            self.drain(dst);
        }
        while self.time < limit {
            self.apply_changes();
            self.start_late_ones();
            self.transfer();
            self.announce();
            self.tick();
            if self
                .hosts
                .iter()
                .all(|host| host.plan.is_none() || host.outcome.is_some())
            {
                return true;
            }
            self.time += STEP;
        }
        false
    }

    /// When a receiver finished, since its start.
    pub(crate) fn seconds(&self, host: usize) -> f64 {
        let (at, result) = self.hosts[host].outcome.clone().expect("it came to an end");
        result.expect("it finished");
        at.abs_diff(self.hosts[host].starts).as_secs_f64()
    }

    // # What happens

    fn apply_changes(&mut self) {
        while self
            .changes
            .first()
            .is_some_and(|(at, ..)| *at <= self.time)
        {
            let (_, host, change) = self.changes.remove(0);
            match change {
                Change::Becomes(manners) => self.hosts[host].manners = manners,
                Change::Leaves => {
                    self.hosts[host].here = false;
                    for dst in self.receivers() {
                        self.part(host, dst);
                    }
                }
                Change::Returns => {
                    self.hosts[host].here = true;
                    for dst in self.receivers() {
                        self.meet(host, dst);
                    }
                }
            }
        }
    }

    fn receivers(&self) -> Vec<usize> {
        let active = |at: &usize| {
            let host = &self.hosts[*at];
            host.plan.is_some() && host.outcome.is_none() && host.starts <= self.time
        };
        (0..self.hosts.len()).filter(active).collect()
    }

    fn start_late_ones(&mut self) {
        for dst in self.receivers() {
            if self.hosts[dst].starts + STEP > self.time {
                self.tell_group(dst);
                for src in 0..self.hosts.len() {
                    if self.hosts[src].starts <= self.time {
                        self.meet(src, dst);
                        self.meet(dst, src);
                    }
                }
            }
        }
    }

    /// Those who lack something are told to be there, whether they are or not.
    fn tell_group(&mut self, dst: usize) {
        let groups = self.groups;
        let group_of = |at: usize| format!("group {}", at % groups).parse().ok();
        let members = self.hosts.iter().enumerate().map(|(at, host)| Member {
            peer: host.id,
            group: group_of(at),
            lacks_some: host.plan.is_some(),
        });
        let input = Input::Groups {
            me: self.hosts[dst].id,
            ours: group_of(dst).expect("the name is short"),
            members: members.collect(),
        };
        if groups > 1 {
            self.feed(dst, input);
        }
    }

    fn meet(&mut self, src: usize, dst: usize) {
        let absent = !self.hosts[src].here || !self.hosts[dst].here;
        if src == dst
            || absent
            || self.hosts[dst].plan.is_none()
            || self.hosts[dst].outcome.is_some()
        {
            return;
        }
        let has = self.hosts[src].has.clone();
        if !self.hosts[dst].model.distrusted.contains(&src) {
            self.hosts[dst].model.claims.insert(src, has.clone());
        }
        let has = if has.is_full() {
            Holding::Everything
        } else {
            Holding::Only(has)
        };
        self.feed(
            dst,
            Input::PeerJoined {
                peer: self.hosts[src].id,
                has,
            },
        );
        self.feed(
            dst,
            Input::RoundTrip {
                peer: self.hosts[src].id,
                rtt: LATENCY,
            },
        );
    }

    fn part(&mut self, src: usize, dst: usize) {
        let jobs = self
            .wires
            .remove(&(src, dst))
            .map(|wire| wire.jobs)
            .unwrap_or_default();
        for job in jobs {
            self.over(dst, job.request);
            let reason = RunFailure::ConnectionLost;
            self.feed(
                dst,
                Input::RequestFailed {
                    request: job.request,
                    reason,
                },
            );
        }
        self.hosts[dst].model.claims.remove(&src);
        self.feed(
            dst,
            Input::PeerLeft {
                peer: self.hosts[src].id,
            },
        );
    }

    fn announce(&mut self) {
        if self.time < self.next_announce {
            return;
        }
        self.next_announce = self.time + ANNOUNCE;
        for src in 0..self.hosts.len() {
            let chunks = std::mem::take(&mut self.hosts[src].news);
            if chunks.is_empty() {
                continue;
            }
            for dst in self.receivers() {
                if let Some(claims) = self.hosts[dst].model.claims.get_mut(&src) {
                    for run in &chunks {
                        claims.insert_run(*run);
                    }
                    let peer = self.hosts[src].id;
                    self.feed(
                        dst,
                        Input::PeerGained {
                            peer,
                            chunks: chunks.clone(),
                        },
                    );
                }
            }
        }
    }

    fn tick(&mut self) {
        for dst in self.receivers() {
            let now = self.now();
            let due = self.hosts[dst].plan.as_ref().and_then(Plan::next_deadline);
            if due.is_some_and(|due| due <= now) {
                self.feed(dst, Input::Tick);
                let next = self.hosts[dst].plan.as_ref().and_then(Plan::next_deadline);
                assert!(
                    next.is_none_or(|next| next > now),
                    "seed {}: the clock spins",
                    self.seed
                );
            }
        }
    }

    // # Transfers

    fn transfer(&mut self) {
        self.wires.retain(|_, wire| !wire.jobs.is_empty());
        let ready = |wire: &Wire| wire.jobs.front().is_some_and(|job| job.ready <= self.time);
        let active: Vec<(usize, usize)> = self
            .wires
            .iter()
            .filter(|((src, _), wire)| ready(wire) && self.speaks(*src))
            .map(|(pair, _)| *pair)
            .collect();
        for (pair, rate) in self.shares(&active) {
            let Some(wire) = self.wires.get_mut(&pair) else {
                continue;
            };
            let micros = u64::try_from(STEP.as_micros()).expect("a short step");
            wire.credit_microbytes += rate.saturating_mul(micros);
            let bytes = wire.credit_microbytes / 1_000_000;
            wire.credit_microbytes %= 1_000_000;
            self.send(pair, bytes);
        }
    }

    fn speaks(&self, src: usize) -> bool {
        !matches!(self.hosts[src].manners, Manners::StallsAfter(max) if self.hosts[src].sent_bytes >= max)
    }

    /// Max-min fair rates: the narrowest end is filled first, what it leaves goes to the others.
    fn shares(&self, active: &[(usize, usize)]) -> Vec<((usize, usize), u64)> {
        let mut up: Vec<u64> = self.hosts.iter().map(|host| host.up).collect();
        let mut down: Vec<u64> = self.hosts.iter().map(|host| host.down).collect();
        let mut open: Vec<(usize, usize)> = active.to_vec();
        let mut shares = Vec::new();
        while !open.is_empty() {
            let mut ups = vec![0_u64; up.len()];
            let mut downs = vec![0_u64; down.len()];
            for (src, dst) in &open {
                ups[*src] += 1;
                downs[*dst] += 1;
            }
            let share =
                |(src, dst): &(usize, usize)| (up[*src] / ups[*src]).min(down[*dst] / downs[*dst]);
            let least = open.iter().map(share).min().unwrap_or(0);
            let (fixed, rest): (Vec<_>, Vec<_>) =
                open.iter().partition(|pair| share(pair) == least);
            for (src, dst) in fixed {
                up[src] -= least;
                down[dst] -= least;
                shares.push(((src, dst), least));
            }
            open = rest;
        }
        shares
    }

    fn send(&mut self, (src, dst): (usize, usize), mut bytes: u64) {
        if let Manners::StallsAfter(max) = self.hosts[src].manners {
            bytes = bytes.min(max.saturating_sub(self.hosts[src].sent_bytes));
        }
        self.hosts[src].sent_bytes += bytes;
        while bytes > 0 {
            let Some(job) = self
                .wires
                .get_mut(&(src, dst))
                .and_then(|wire| wire.jobs.front_mut())
            else {
                return;
            };
            let request = job.request;
            let chunk = *job.left.front().expect("a job with nothing left is gone");
            let missing = u64::from(self.map.chunk_bytes(chunk)) - job.done_bytes;
            if bytes < missing {
                job.done_bytes += bytes;
                self.feed(dst, Input::BytesArrived { request, bytes });
                return;
            }
            bytes -= missing;
            job.done_bytes = 0;
            job.left.pop_front();
            let last = job.left.is_empty();
            if last && let Some(wire) = self.wires.get_mut(&(src, dst)) {
                wire.jobs.pop_front();
            }
            self.deliver(src, dst, request, chunk, last);
        }
    }

    fn deliver(
        &mut self,
        src: usize,
        dst: usize,
        request: RequestId,
        chunk: ChunkIndex,
        last: bool,
    ) {
        let chance = match self.hosts[src].manners {
            Manners::Lies(chance) | Manners::Resets(chance) => self.rng.random_bool(chance),
            _ => false,
        };
        match self.hosts[src].manners {
            Manners::Lies(_) if chance => {
                let model = &mut self.hosts[dst].model;
                model.doubtful.insert((src, chunk.get()));
                model.settled(request, chunk);
                self.feed(dst, Input::ChunkRejected { request, chunk });
            }
            Manners::Resets(_) if chance => {
                self.forget(src, dst, request);
                self.hosts[dst].model.doubtful.insert((src, chunk.get()));
                self.over(dst, request);
                let reason = RunFailure::Reset;
                self.feed(dst, Input::RequestFailed { request, reason });
                return;
            }
            _ => {
                let model = &mut self.hosts[dst].model;
                model.settled(request, chunk);
                model.arrived.insert(chunk.get());
                self.feed(dst, Input::ChunkArrived { request, chunk });
                if self.hosts[dst].has.insert(chunk) {
                    self.hosts[dst].news.push(ChunkRun::one(chunk));
                }
                self.feed(dst, Input::ChunkStored { chunk });
            }
        }
        if last && self.hosts[dst].model.requests.contains_key(&request) {
            self.over(dst, request);
            self.feed(dst, Input::RequestFinished { request });
        }
    }

    fn forget(&mut self, src: usize, dst: usize, request: RequestId) {
        if let Some(wire) = self.wires.get_mut(&(src, dst)) {
            wire.jobs.retain(|job| job.request != request);
        }
    }
}
