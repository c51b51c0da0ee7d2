//! Whom to dial, and when: [`CandidateTable`].
//!
//! Pure: it opens no socket and asks no clock. The driver feeds it what was heard and how dials went,
//! and dials what [`CandidateTable::next_dial`] hands out.
//!
//! # The flood
//!
//! Anybody can announce thousands of peers that do not exist, with any address, and multicast DNS
//! tells of an instance once: a real peer that is pushed out does not come again soon. Therefore:
//!
//! * [`CANDIDATES_MAX`] candidates wait, 16 for every peer that may be connected. Only beyond that is
//!   somebody pushed out: the never verified first, of these who failed most, of these the oldest.
//!   A newcomer whose addresses all rest pushes nobody out.
//! * Fresh candidates take turns by IP address, so that thousands on one address delay nobody else.
//! * An address (IP and port) that did not answer rests for everyone who claims it, and one that
//!   proved to belong to a peer is left to that peer.
//! * Three kinds of dials have budgets of their own: peers that were verified once
//!   ([`limits::PEERS_MAX`]), fresh candidates ([`FRESH_DIALS_MAX`]) and those that failed before
//!   ([`RETRY_DIALS_MAX`]); each number is the most in flight and the most per second. A flood can
//!   neither delay a reconnection nor starve the retries nor flood the LAN through us.
//!
//! If dials of fresh candidates take at most [`DIAL_TIMEOUT`], 5,000 false candidates on 5,000
//! addresses delay a real peer by less than eight seconds, whatever their order.
//!
//! Invariant: a candidate is in exactly one place: fresh, resting, dialling, or connected.

mod address;
mod budget;
mod entry;
mod fresh;

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use lanspread_proto::{PeerId, limits};

use crate::Candidate;
use address::AddressBook;
use budget::{Budget, Opens};
use entry::{Entry, EvictionRank, Place};
use fresh::FreshQueue;

/// Candidates that one table keeps: 16 for every peer that may be connected, a few hundred bytes each.
pub const CANDIDATES_MAX: usize = 16 * limits::PEERS_MAX;

/// Dials of candidates that were never dialled, in flight and per second: 5,000 in eight seconds.
pub const FRESH_DIALS_MAX: u32 = 640;

/// Dials of candidates that failed before, in flight and per second.
pub const RETRY_DIALS_MAX: u32 = 128;

/// A fresh candidate's dial is given up after this long: a handshake on a LAN takes milliseconds.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// A retry's timeout grows to this.
const RETRY_TIMEOUT_MAX: Duration = Duration::from_secs(4);

/// Dial this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    /// Who is claimed to be there.
    pub peer: PeerId,
    /// Where.
    pub address: SocketAddr,
    /// When to give up.
    pub timeout: Duration,
}

/// How a dial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialOutcome {
    /// The peer proved that it is the one.
    Verified,
    /// Somebody else proved to be there.
    OtherPeer(PeerId),
    /// Nobody answered, or the handshake failed.
    Failed,
}

/// A dial's kind, which decides the budget it is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Known,
    Fresh,
    Retry,
}

/// The candidates and their dials. See the module's text for what it promises.
#[derive(Debug)]
pub struct CandidateTable {
    capacity: usize,
    entries: HashMap<PeerId, Entry>,
    evictable: BTreeSet<(EvictionRank, PeerId)>,
    fresh: FreshQueue,
    resting: BTreeSet<(Instant, PeerId)>,
    resting_known: BTreeSet<(Instant, PeerId)>,
    addresses: AddressBook,
    budgets: [Budget; 3],
    connected: usize,
    next_age: u64,
}

impl Default for CandidateTable {
    fn default() -> Self {
        Self::with_capacity(CANDIDATES_MAX)
    }
}

impl CandidateTable {
    /// A table of at most [`CANDIDATES_MAX`] candidates.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table of at most `capacity` candidates.
    pub fn with_capacity(capacity: usize) -> Self {
        let peers_max = u32::try_from(limits::PEERS_MAX).unwrap_or(u32::MAX);
        Self {
            capacity,
            entries: HashMap::new(),
            evictable: BTreeSet::new(),
            fresh: FreshQueue::default(),
            resting: BTreeSet::new(),
            resting_known: BTreeSet::new(),
            addresses: AddressBook::default(),
            budgets: [peers_max, FRESH_DIALS_MAX, RETRY_DIALS_MAX].map(Budget::new),
            connected: 0,
            next_age: 0,
        }
    }

    // # What was heard

    /// Somebody announced a peer, or told of one. New addresses are tried at once; what is known and
    /// proven stays.
    ///
    /// `false`: it was not kept, because it has no address or the table is full of better ones.
    pub fn sighted(&mut self, now: Instant, candidate: Candidate) -> bool {
        let peer = candidate.peer;
        if candidate.addresses.is_empty() {
            return false;
        }
        if self.entries.contains_key(&peer) {
            self.update(peer, |entry| entry.merge(now, candidate));
            return true;
        }
        let full = self.entries.len() >= self.capacity;
        if full
            && self
                .addresses
                .choose(now, peer, &candidate.addresses)
                .is_err()
        {
            return false;
        }
        let age = self.next_age;
        self.next_age += 1;
        self.insert(Entry::fresh(candidate, age))
    }

    /// A goodbye, which may be forged: whoever is connected stays, others get one more dial.
    pub fn said_goodbye(&mut self, peer: PeerId) {
        self.update(peer, |entry| entry.left = true);
        if self.entries.get(&peer).is_some_and(Entry::is_hopeless) {
            self.remove(peer);
        }
    }

    /// A peer that came to us by itself is connected: it need not be dialled, and is protected.
    pub fn connected(&mut self, peer: PeerId) {
        if let Some((address, kind)) = self.entries.get(&peer).and_then(Entry::dialling) {
            self.end_dial(address, kind);
        }
        if self.entries.contains_key(&peer) {
            self.update(peer, |entry| entry.verified(None));
        } else {
            let age = self.next_age;
            self.next_age += 1;
            self.insert(Entry::connected(peer, age));
        }
    }

    /// The connection to a peer is gone: it is dialled again at once, before all others.
    pub fn lost(&mut self, now: Instant, peer: PeerId) {
        let Some(entry) = self.entries.get(&peer).filter(|entry| entry.is_connected()) else {
            return;
        };
        if entry.candidate().is_some() {
            self.update(peer, |entry| entry.place = Place::Resting { due: now });
        } else {
            self.remove(peer);
        }
    }

    // # Dials

    /// The next dial; ask again until there is none. Each must be answered with
    /// [`CandidateTable::dialled`].
    pub fn next_dial(&mut self, now: Instant) -> Option<Dial> {
        if self.connected >= limits::PEERS_MAX {
            return None;
        }
        [Kind::Known, Kind::Fresh, Kind::Retry]
            .into_iter()
            .find_map(|kind| self.next_of(kind, now))
    }

    /// When [`CandidateTable::next_dial`] may have something, not before `now`; `None` as long as only
    /// a new sighting, a loss or the end of a dial can change that.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        if self.connected >= limits::PEERS_MAX {
            return None;
        }
        let deadline = |kind: Kind| {
            let due = match kind {
                Kind::Known => self.resting_known.first().map(|(due, _)| *due),
                Kind::Retry => self.resting.first().map(|(due, _)| *due),
                Kind::Fresh => (!self.fresh.is_empty()).then_some(now),
            };
            let due = due?.max(now);
            match self.budgets[kind as usize].opens() {
                Opens::Now => Some(due),
                Opens::At(time) => Some(due.max(time)),
                Opens::WhenOneEnds => None,
            }
        };
        [Kind::Known, Kind::Fresh, Kind::Retry]
            .into_iter()
            .filter_map(deadline)
            .min()
    }

    /// A dial ended. Reports about dials that are no longer awaited are ignored.
    pub fn dialled(
        &mut self,
        now: Instant,
        peer: PeerId,
        address: SocketAddr,
        outcome: DialOutcome,
    ) {
        let dialling = self.entries.get(&peer).and_then(Entry::dialling);
        let Some((_, kind)) = dialling.filter(|(dialled, _)| *dialled == address) else {
            return;
        };
        self.end_dial(address, kind);
        match outcome {
            DialOutcome::OtherPeer(other) if other != peer => {
                self.addresses.belongs_to(now, address, other);
                self.failed(now, peer);
                self.hint(now, other, address);
            }
            DialOutcome::Verified | DialOutcome::OtherPeer(_) => {
                self.addresses.belongs_to(now, address, peer);
                self.update(peer, |entry| entry.verified(Some(address)));
            }
            DialOutcome::Failed => {
                self.addresses.failed(now, address);
                self.failed(now, peer);
            }
        }
    }

    // # Looking

    /// What was last heard of a peer.
    pub fn get(&self, peer: &PeerId) -> Option<&Candidate> {
        self.entries.get(peer).and_then(Entry::candidate)
    }

    /// Candidates and connected peers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Dials under way.
    pub fn dials_in_flight(&self) -> u32 {
        self.budgets.iter().map(Budget::in_flight).sum()
    }

    // # Inside

    fn next_of(&mut self, kind: Kind, now: Instant) -> Option<Dial> {
        while self.budgets[kind as usize].is_open(now) {
            let peer = self.first_due(kind, now)?;
            let entry = self.entries.get(&peer)?;
            match self.addresses.choose(now, peer, entry.addresses()) {
                Ok(address) => {
                    let timeout = entry.timeout(kind);
                    self.budgets[kind as usize].begin(now);
                    self.addresses.begin(now, address);
                    self.update(peer, |entry| {
                        entry.place = Place::Dialling { address, kind }
                    });
                    return Some(Dial {
                        peer,
                        address,
                        timeout,
                    });
                }
                Err(due) => self.update(peer, |entry| entry.place = Place::Resting { due }),
            }
        }
        None
    }

    fn first_due(&mut self, kind: Kind, now: Instant) -> Option<PeerId> {
        let resting = match kind {
            Kind::Fresh => return self.fresh.turn(),
            Kind::Known => &self.resting_known,
            Kind::Retry => &self.resting,
        };
        resting
            .first()
            .filter(|(due, _)| *due <= now)
            .map(|(_, peer)| *peer)
    }

    fn end_dial(&mut self, address: SocketAddr, kind: Kind) {
        self.budgets[kind as usize].end();
        self.addresses.end(address);
    }

    /// A dial of `peer` was in vain: it rests until one of its addresses may be tried again.
    fn failed(&mut self, now: Instant, peer: PeerId) {
        let Some(entry) = self.entries.get(&peer) else {
            return;
        };
        let due = match self.addresses.choose(now, peer, entry.addresses()) {
            Ok(_) => now,
            Err(due) => due,
        };
        self.update(peer, |entry| {
            entry.failures = entry.failures.saturating_add(1);
            entry.place = Place::Resting { due };
        });
        if self.entries.get(&peer).is_some_and(Entry::is_hopeless) {
            self.remove(peer);
        }
    }

    /// `peer` proved to be at `address` while somebody else was meant: it is dialled at once.
    fn hint(&mut self, now: Instant, peer: PeerId, address: SocketAddr) {
        self.update(peer, |entry| entry.located(now, address));
    }

    fn insert(&mut self, entry: Entry) -> bool {
        while self.entries.len() >= self.capacity {
            let Some((_, victim)) = self.evictable.first() else {
                return false;
            };
            self.remove(*victim);
        }
        let peer = entry.peer();
        self.entries.insert(peer, entry);
        self.index(peer);
        true
    }

    fn update(&mut self, peer: PeerId, change: impl FnOnce(&mut Entry)) {
        self.unindex(peer);
        if let Some(entry) = self.entries.get_mut(&peer) {
            change(entry);
        }
        self.index(peer);
    }

    fn remove(&mut self, peer: PeerId) {
        self.unindex(peer);
        self.entries.remove(&peer);
    }

    fn index(&mut self, peer: PeerId) {
        let Some(entry) = self.entries.get(&peer) else {
            return;
        };
        if let Some(rank) = entry.eviction_rank() {
            self.evictable.insert((rank, peer));
        }
        match entry.place {
            Place::Fresh { lane } => self.fresh.insert(lane, entry.age, peer),
            Place::Resting { due } if entry.known => {
                self.resting_known.insert((due, peer));
            }
            Place::Resting { due } => {
                self.resting.insert((due, peer));
            }
            Place::Dialling { .. } => {}
            Place::Connected => self.connected += 1,
        }
    }

    fn unindex(&mut self, peer: PeerId) {
        let Some(entry) = self.entries.get(&peer) else {
            return;
        };
        if let Some(rank) = entry.eviction_rank() {
            self.evictable.remove(&(rank, peer));
        }
        match entry.place {
            Place::Fresh { lane } => self.fresh.remove(lane, entry.age, peer),
            Place::Resting { due } if entry.known => {
                self.resting_known.remove(&(due, peer));
            }
            Place::Resting { due } => {
                self.resting.remove(&(due, peer));
            }
            Place::Dialling { .. } => {}
            Place::Connected => self.connected -= 1,
        }
    }
}
