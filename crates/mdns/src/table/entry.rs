//! One candidate of the table: [`Entry`].

use std::{
    cmp::Reverse,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use lanspread_proto::PeerId;

use super::{DIAL_TIMEOUT, Kind, RETRY_TIMEOUT_MAX};
use crate::{CANDIDATE_ADDRESSES_MAX, Candidate};

/// Who goes first when the table is full, the smallest: never verified, failed most, oldest.
pub(super) type EvictionRank = (bool, Reverse<u32>, u64);

/// Where a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Never dialled; waits for its turn among those of the same IP address.
    Fresh { lane: IpAddr },
    /// Dialled before, or waiting for an address that somebody else tries.
    Resting { due: Instant },
    /// A dial is under way.
    Dialling { address: SocketAddr, kind: Kind },
    /// There is a connection.
    Connected,
}

#[derive(Debug)]
pub(super) struct Entry {
    peer: PeerId,
    /// `None` for a peer that connected to us and was never heard of.
    candidate: Option<Candidate>,
    proven: Option<SocketAddr>,
    pub(super) place: Place,
    /// It proved its identity at least once.
    pub(super) known: bool,
    /// It said goodbye, or somebody did in its name.
    pub(super) left: bool,
    /// Dials in vain since the last proof.
    pub(super) failures: u32,
    pub(super) age: u64,
}

impl Entry {
    /// A candidate that was just heard of. It has at least one address.
    pub(super) fn fresh(mut candidate: Candidate, age: u64) -> Self {
        tidy(&mut candidate.addresses, None);
        let lane = candidate.addresses[0].ip();
        Self {
            place: Place::Fresh { lane },
            known: false,
            ..Self::new(candidate.peer, Some(candidate), age)
        }
    }

    /// A peer that came by itself.
    pub(super) fn connected(peer: PeerId, age: u64) -> Self {
        Self::new(peer, None, age)
    }

    fn new(peer: PeerId, candidate: Option<Candidate>, age: u64) -> Self {
        let place = Place::Connected;
        Self {
            peer,
            candidate,
            proven: None,
            place,
            known: true,
            left: false,
            failures: 0,
            age,
        }
    }

    pub(super) fn peer(&self) -> PeerId {
        self.peer
    }

    pub(super) fn candidate(&self) -> Option<&Candidate> {
        self.candidate.as_ref()
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        self.candidate
            .as_ref()
            .map_or(&[], |candidate| &candidate.addresses)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.place == Place::Connected
    }

    pub(super) fn dialling(&self) -> Option<(SocketAddr, Kind)> {
        match self.place {
            Place::Dialling { address, kind } => Some((address, kind)),
            _ => None,
        }
    }

    /// It left, and dialling confirmed it.
    pub(super) fn is_hopeless(&self) -> bool {
        self.left && self.failures > 0 && matches!(self.place, Place::Resting { .. })
    }

    /// `None`: it stays.
    pub(super) fn eviction_rank(&self) -> Option<EvictionRank> {
        match self.place {
            Place::Fresh { .. } | Place::Resting { .. } => {
                Some((self.known, Reverse(self.failures), self.age))
            }
            Place::Dialling { .. } | Place::Connected => None,
        }
    }

    pub(super) fn timeout(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Fresh => DIAL_TIMEOUT,
            Kind::Known | Kind::Retry => {
                (DIAL_TIMEOUT * (1 << self.failures.min(8))).min(RETRY_TIMEOUT_MAX)
            }
        }
    }

    /// Takes over a newer announcement. Addresses are added, not replaced: the newer ones go before
    /// the older, a proven one before both.
    pub(super) fn merge(&mut self, now: Instant, mut newer: Candidate) {
        let had = self.addresses().to_vec();
        newer.addresses.extend_from_slice(&had);
        tidy(&mut newer.addresses, self.proven);
        let gained = newer.addresses.iter().any(|address| !had.contains(address));
        self.candidate = Some(newer);
        self.left = false;
        if gained && let Place::Resting { due } = &mut self.place {
            *due = now.min(*due);
        }
    }

    /// It proved its identity, at `address` if we dialled it.
    pub(super) fn verified(&mut self, address: Option<SocketAddr>) {
        self.place = Place::Connected;
        self.known = true;
        self.left = false;
        self.failures = 0;
        if let Some(address) = address {
            self.prove(address);
        }
    }

    /// It proved its identity at `address` in a handshake that meant somebody else.
    pub(super) fn located(&mut self, now: Instant, address: SocketAddr) {
        self.prove(address);
        if !matches!(self.place, Place::Dialling { .. } | Place::Connected) {
            self.known = true;
            self.place = Place::Resting { due: now };
        }
    }

    fn prove(&mut self, address: SocketAddr) {
        self.proven = Some(address);
        if let Some(candidate) = &mut self.candidate {
            candidate.addresses.push(address);
            tidy(&mut candidate.addresses, self.proven);
        }
    }
}

/// The proven address first, then IPv4, then the rest, each in the given order, without doubles.
fn tidy(addresses: &mut Vec<SocketAddr>, proven: Option<SocketAddr>) {
    let mut kept = Vec::new();
    let wanted = |kept: &Vec<SocketAddr>, address| {
        !kept.contains(address) && kept.len() < CANDIDATE_ADDRESSES_MAX
    };
    for address in proven.iter().chain(addresses.iter()) {
        if wanted(&kept, address) {
            kept.push(*address);
        }
    }
    kept.sort_by_key(|address| (proven != Some(*address), address.is_ipv6()));
    *addresses = kept;
}
