//! [`Plan`]: one download of one manifest.
//!
//! | chunk | becomes | when |
//! |---|---|---|
//! | wanted | in flight | a peer is asked for it |
//! | in flight | arrived | `ChunkArrived` |
//! | in flight | wanted | its last request ended without it, or it was wrong |
//! | arrived | stored | `ChunkStored` |
//!
//! The rooms: `assign` asks peers, `group` spares thin links, `settle` takes what they answer, `clock` gives up waiting.

mod assign;
mod clock;
mod group;
mod settle;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use fixedbitset::FixedBitSet;
use lanspread_proto::{ChunkIndex, ChunkMap, ChunkRun, ChunkSet, PeerId, limits};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    flight::Flights,
    peer::Peer,
    pick::{Held, Shelf},
    rate::Rate,
    words::{Action, Holding, Input, PlanConfig, PlanFailure, Progress, RequestId},
};

/// A chunk that others were fetching and that nobody has after this is as rare as it was.
const EXPECTED_FOR: Duration = Duration::from_secs(5);

/// A peer that was silent for longer is not shown as streaming.
const STREAMING_WITHIN: Duration = Duration::from_secs(2);

/// One download of one manifest: which chunk is asked of whom, and when.
///
/// After each [`handle`](Self::handle) the driver drains [`poll_action`](Self::poll_action), and calls
/// `handle` with [`Input::Tick`] at [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct Plan {
    map: Arc<ChunkMap>,
    outstanding_bytes_max: u64,
    rng: StdRng,
    shelf: Shelf,
    flights: Flights,
    peers: BTreeMap<PeerId, Peer>,
    arrived: FixedBitSet,
    /// Bytes of the arrived chunks, which wait for the disk.
    unstored_bytes: u64,
    stored: ChunkSet,
    stored_bytes: u64,
    rate: Rate,
    group: Option<group::Group>,
    /// Chunks that others are fetching, and until when that is believed, soonest first.
    expected: VecDeque<(Instant, u32)>,
    /// Moves on whenever a chunk is wanted again, so that peers without anything to offer look anew.
    wanted_again: u64,
    /// Somebody could be asked for so many bytes, had there not been too much outstanding.
    choked_at: Option<u64>,
    /// Wrong chunks of each peer that sent any, kept when it leaves so that coming back clears nothing.
    strikes: BTreeMap<PeerId, u32>,
    /// Peers that left without ever sending a wrong chunk, and may come back; bounded.
    honest_leavers: BTreeSet<PeerId>,
    last_progress: Instant,
    /// Since when nobody offers this manifest; `None` while somebody does.
    sourceless_since: Option<Instant>,
    phase: Phase,
    wake_at: Option<Instant>,
    actions: VecDeque<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Stalled,
    Ended,
}

impl Plan {
    /// A plan for what `config.stored` lacks. If that is nothing, `Finished` waits to be polled.
    ///
    /// # Panics
    /// When `stored` is not of the payload's size.
    pub fn new(now: Instant, config: PlanConfig) -> Self {
        let PlanConfig {
            seed,
            chunks: map,
            stored,
            outstanding_bytes_max,
        } = config;
        assert_eq!(
            stored.capacity(),
            map.count() as usize,
            "`stored` is of another payload"
        );
        let mut shelf = Shelf::new(map.chunks().map(|chunk| map.chunk_bytes(chunk)).collect());
        stored.missing().for_each(|chunk| shelf.want(chunk.get()));
        let mut plan = Self {
            stored_bytes: stored.iter().map(|chunk| shelf.bytes(chunk.get())).sum(),
            outstanding_bytes_max,
            rng: StdRng::seed_from_u64(seed),
            shelf,
            flights: Flights::default(),
            peers: BTreeMap::new(),
            arrived: FixedBitSet::with_capacity(map.count() as usize),
            unstored_bytes: 0,
            stored,
            rate: Rate::new(now),
            group: None,
            expected: VecDeque::new(),
            wanted_again: 0,
            choked_at: None,
            strikes: BTreeMap::new(),
            honest_leavers: BTreeSet::new(),
            last_progress: now,
            sourceless_since: Some(now),
            phase: Phase::Running,
            wake_at: Some(now + limits::NO_SOURCE_TIMEOUT),
            actions: VecDeque::new(),
            map,
        };
        plan.finish_if_complete();
        plan
    }

    /// Takes what happened. Once the plan has finished or failed, nothing changes any more.
    pub fn handle(&mut self, now: Instant, input: Input) {
        debug_assert!(
            self.actions.is_empty() || self.phase == Phase::Ended,
            "all actions are drained before the next input"
        );
        if self.phase == Phase::Ended {
            return;
        }
        match input {
            Input::PeerJoined { peer, has } => self.peer_joined(now, peer, has),
            Input::PeerGained { peer, chunks } => self.peer_gained(now, peer, &chunks),
            Input::PeerLeft { peer } => self.peer_left(now, peer),
            Input::Groups { me, ours, members } => self.grouped(now, me, &ours, &members),
            Input::Expected { chunks } => self.others_fetch(now, &chunks),
            Input::RoundTrip { peer, rtt } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.rtt = rtt;
                }
            }
            Input::BytesArrived { request, bytes } => self.bytes_arrived(now, request, bytes),
            Input::ChunkArrived { request, chunk } => self.chunk_arrived(now, request, chunk),
            Input::ChunkStored { chunk } => self.chunk_stored(now, chunk),
            Input::ChunkRejected { request, chunk } => self.chunk_rejected(now, request, chunk),
            Input::RequestFinished { request } => self.request_finished(now, request),
            Input::RequestFailed { request, reason } => self.request_failed(now, request, reason),
            Input::Tick => {}
        }
        if self.phase != Phase::Ended && self.wake_at.is_some_and(|at| at <= now) {
            self.tick(now);
        }
    }

    /// The next thing to do, in order.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to send [`Input::Tick`], if nothing else comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.phase == Phase::Ended {
            None
        } else {
            self.wake_at
        }
    }

    /// How far it is.
    pub fn progress(&self, now: Instant) -> Progress {
        let streaming = |peer: &&Peer| {
            peer.requests > 0
                && now.saturating_duration_since(peer.last_progress) < STREAMING_WITHIN
                && peer.rate.bytes_per_second().is_some()
        };
        let silent = now.saturating_duration_since(self.last_progress) >= STREAMING_WITHIN;
        Progress {
            stored_bytes: self.stored_bytes,
            total_bytes: self.map.bytes(),
            stored_chunks: self.stored.len(),
            total_chunks: self.map.count(),
            peers_streaming: u32::try_from(self.peers.values().filter(streaming).count())
                .unwrap_or(u32::MAX),
            bytes_per_second: if silent {
                0
            } else {
                self.rate.bytes_per_second().unwrap_or(0)
            },
        }
    }

    /// The chunks that are stored.
    pub fn stored(&self) -> &ChunkSet {
        &self.stored
    }

    // # Peers

    fn peer_joined(&mut self, now: Instant, id: PeerId, has: Holding) {
        if self
            .strikes
            .get(&id)
            .is_some_and(|strikes| *strikes >= limits::BAD_CHUNKS_MAX)
        {
            return;
        }
        self.honest_leavers.remove(&id);
        let held = self.held(has);
        if let Some(peer) = self.peers.get_mut(&id) {
            if peer.held == held {
                return;
            }
            self.shelf.leave(&peer.held);
            self.shelf.join(&held);
            peer.held = held;
            peer.dry_at = None;
            peer.wrong.clear();
        } else if self.peers.len() < limits::PEERS_MAX {
            self.shelf.join(&held);
            self.peers.insert(id, Peer::new(now, held));
            self.sourceless_since = None;
            self.wake_by(self.stalls_at());
        }
        self.ask(now, id);
    }

    fn held(&self, has: Holding) -> Held {
        match has {
            Holding::Only(set) if !set.is_full() || set.capacity() != self.stored.capacity() => {
                let mut bits = FixedBitSet::with_capacity(self.stored.capacity());
                set.iter()
                    .filter(|chunk| self.map.check(chunk.get()).is_some())
                    .for_each(|chunk| bits.insert(chunk.as_usize()));
                Held::Only(bits)
            }
            Holding::Only(_) | Holding::Everything => Held::Everything,
        }
    }

    fn peer_gained(&mut self, now: Instant, id: PeerId, chunks: &[ChunkRun]) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        for chunk in chunks.iter().flat_map(|run| run.chunks()) {
            self.shelf.gain(&mut peer.held, chunk.get());
        }
        peer.dry_at = None;
        self.be_patient(id);
        self.ask(now, id);
    }

    fn others_fetch(&mut self, now: Instant, chunks: &[ChunkRun]) {
        let until = now + EXPECTED_FOR;
        for chunk in chunks.iter().flat_map(|run| run.chunks()) {
            if self.shelf.expect(chunk.get()) {
                self.expected.push_back((until, chunk.get()));
            }
        }
    }

    fn peer_left(&mut self, now: Instant, id: PeerId) {
        if self.peers.contains_key(&id)
            && !self.strikes.contains_key(&id)
            && self.honest_leavers.len() < limits::PEERS_MAX
        {
            self.honest_leavers.insert(id);
        }
        self.remove_peer(id);
        if self.peers.is_empty() && self.sourceless_since.is_none() {
            self.sourceless_since = Some(now);
            self.wake_by(self.stalls_at());
        }
        self.fail_if_all_corrupt();
        self.ask_everyone(now);
    }

    /// Cancels a peer's requests and forgets it.
    fn remove_peer(&mut self, id: PeerId) {
        for request in self.flights.of(id) {
            self.cancel(request);
        }
        if let Some(peer) = self.peers.remove(&id) {
            self.shelf.leave(&peer.held);
        }
        self.forgive_where_nobody_else_has_it();
    }

    // # Ends

    fn finish_if_complete(&mut self) {
        if self.stored.is_full() {
            self.end(Action::Finished);
        }
    }

    fn fail(&mut self, why: PlanFailure) {
        if self.phase != Phase::Ended {
            self.end(Action::Failed(why));
        }
    }

    fn end(&mut self, last: Action) {
        let under_way: Vec<RequestId> = self.flights.iter().map(|(request, _)| request).collect();
        for request in under_way {
            self.flights.end(request);
            self.actions.push_back(Action::Cancel { request });
        }
        self.phase = Phase::Ended;
        self.actions.push_back(last);
    }

    /// Something arrived.
    fn progressed(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last_progress) >= STREAMING_WITHIN {
            self.rate.resume(now);
        }
        self.last_progress = now;
        if self.phase == Phase::Stalled {
            self.phase = Phase::Running;
            self.actions.push_back(Action::Resumed);
            self.wake_by(now + limits::STALL_TIMEOUT);
        }
    }

    fn wake_by(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }

    /// Whether a chunk is verified, on the disk or on its way there.
    fn is_here(&self, chunk: u32) -> bool {
        self.arrived.contains(chunk as usize)
            || self
                .index(chunk)
                .is_some_and(|chunk| self.stored.contains(chunk))
    }

    fn index(&self, chunk: u32) -> Option<ChunkIndex> {
        self.map.check(chunk)
    }
}
