//! What is known about addresses, whoever claims them: [`AddressBook`].

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use lanspread_proto::PeerId;

use super::{CANDIDATES_MAX, DIAL_TIMEOUT};

/// The rest of an address after its first failure; it doubles with each, up to [`REST_MAX`].
const REST_MIN: Duration = Duration::from_secs(2);
const REST_MAX: Duration = Duration::from_mins(5);

/// An address that belongs to a peer is not tried for another one for this long; addresses do move.
const OWNED: Duration = Duration::from_mins(1);

/// Addresses that are remembered, as many as candidates.
const ADDRESSES_MAX: usize = CANDIDATES_MAX;

#[derive(Debug, Default)]
pub(super) struct AddressBook {
    known: HashMap<SocketAddr, Record>,
}

#[derive(Debug)]
struct Record {
    in_flight: bool,
    failures: u32,
    rest_until: Instant,
    /// Who was there; for this peer the address does not rest.
    owner: Option<PeerId>,
}

impl AddressBook {
    /// The best of `addresses` for a dial of `peer` now, or else when one may be tried.
    pub(super) fn choose(
        &self,
        now: Instant,
        peer: PeerId,
        addresses: &[SocketAddr],
    ) -> Result<SocketAddr, Instant> {
        let free = addresses
            .iter()
            .filter(|address| self.free_at(now, peer, address) <= now);
        let failures =
            |address: &&SocketAddr| self.known.get(*address).map_or(0, |known| known.failures);
        free.min_by_key(failures).copied().ok_or_else(|| {
            let times = addresses
                .iter()
                .map(|address| self.free_at(now, peer, address));
            times.min().unwrap_or(now + REST_MAX)
        })
    }

    pub(super) fn begin(&mut self, now: Instant, address: SocketAddr) {
        self.record(now, address).in_flight = true;
    }

    pub(super) fn end(&mut self, address: SocketAddr) {
        if let Some(record) = self.known.get_mut(&address) {
            record.in_flight = false;
        }
    }

    /// Nobody answered there.
    pub(super) fn failed(&mut self, now: Instant, address: SocketAddr) {
        let record = self.record(now, address);
        record.owner = None;
        record.rest_until = now + rest(record.failures);
        record.failures = record.failures.saturating_add(1);
    }

    /// `peer` proved to be there.
    pub(super) fn belongs_to(&mut self, now: Instant, address: SocketAddr, peer: PeerId) {
        let record = self.record(now, address);
        record.owner = Some(peer);
        record.rest_until = now + OWNED;
        record.failures = 0;
    }

    fn free_at(&self, now: Instant, peer: PeerId, address: &SocketAddr) -> Instant {
        match self.known.get(address) {
            None => now,
            Some(known) if known.in_flight => now + DIAL_TIMEOUT,
            Some(known) if known.owner == Some(peer) => now,
            Some(known) => known.rest_until,
        }
    }

    fn record(&mut self, now: Instant, address: SocketAddr) -> &mut Record {
        if self.known.len() >= ADDRESSES_MAX && !self.known.contains_key(&address) {
            self.make_room(now);
        }
        let unknown = || Record {
            in_flight: false,
            failures: 0,
            rest_until: now,
            owner: None,
        };
        self.known.entry(address).or_insert_with(unknown)
    }

    /// Forgets what rests no longer, or else the quarter that would have soonest.
    fn make_room(&mut self, now: Instant) {
        self.known
            .retain(|_, record| record.in_flight || record.rest_until > now);
        let keep = ADDRESSES_MAX * 3 / 4;
        if self.known.len() <= keep {
            return;
        }
        let mut ends: Vec<_> = self
            .known
            .values()
            .map(|record| record.rest_until)
            .collect();
        let (_, soon, _) = ends.select_nth_unstable(self.known.len() - keep);
        let soon = *soon;
        self.known
            .retain(|_, record| record.in_flight || record.rest_until > soon);
    }
}

fn rest(failures: u32) -> Duration {
    REST_MIN.saturating_mul(1 << failures.min(16)).min(REST_MAX)
}
