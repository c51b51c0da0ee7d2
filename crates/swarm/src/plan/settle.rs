//! Settling: what an answer, a wrong chunk or a failed request changes.

use std::time::{Duration, Instant};

use lanspread_proto::{ChunkIndex, PeerId, limits};

use super::{Phase, Plan};
use crate::{
    peer::{BACKOFF_MAX, BUSY_BACKOFF_MAX},
    pick::Held,
    words::{Action, PlanFailure, RequestId, RunFailure},
};

/// For so long a peer that has better things to send is asked for nothing that others have.
const ONLY_RARE: Duration = Duration::from_millis(250);

impl Plan {
    // # Bytes and chunks

    pub(super) fn bytes_arrived(&mut self, now: Instant, request: RequestId, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.progressed(now);
        if let Some((id, fresh)) = self.flights.take_bytes(now, request, bytes) {
            self.credit(now, id, fresh);
            self.ask(now, id);
        }
    }

    pub(super) fn chunk_arrived(&mut self, now: Instant, request: RequestId, chunk: ChunkIndex) {
        let number = chunk.get();
        if self.index(number).is_none() {
            return;
        }
        self.progressed(now);
        let sender = self.answered(now, request, number);
        if !self.is_here(number) {
            self.shelf.unwant(number);
            self.arrived.insert(chunk.as_usize());
            self.unstored_bytes += self.shelf.bytes(number);
            if self.flights.asked_twice.remove(&number) || sender.is_none() {
                self.cancel_needless(now, number);
            }
        }
        if let Some(id) = sender {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.did_well();
            }
            if self.choked_at.is_none() {
                self.ask(now, id);
            }
        }
        self.ask_if_choked(now);
    }

    pub(super) fn chunk_stored(&mut self, now: Instant, chunk: ChunkIndex) {
        let number = chunk.get();
        if self.index(number).is_none() || !self.stored.insert(chunk) {
            return;
        }
        self.shelf.unwant(number);
        self.stored_bytes += self.shelf.bytes(number);
        if self.arrived.contains(chunk.as_usize()) {
            self.arrived.remove(chunk.as_usize());
            self.unstored_bytes -= self.shelf.bytes(number);
        }
        self.finish_if_complete();
        self.ask_if_choked(now);
    }

    pub(super) fn chunk_rejected(&mut self, now: Instant, request: RequestId, chunk: ChunkIndex) {
        let number = chunk.get();
        let Some(id) = self.answered(now, request, number) else {
            return;
        };
        self.want_again(number);
        let strikes = self.strikes.entry(id).or_default();
        *strikes += 1;
        if *strikes >= limits::BAD_CHUNKS_MAX {
            let bad_chunks = *strikes;
            self.remove_peer(id);
            self.actions.push_back(Action::Distrust {
                peer: id,
                bad_chunks,
            });
        } else if let Some(peer) = self.peers.get_mut(&id)
            && self.shelf.holders(number) > 1
        {
            self.shelf.lose(&mut peer.held, number);
            peer.wrong.insert(number);
        }
        self.fail_if_all_corrupt();
        self.ask_everyone(now);
    }

    /// Counts a chunk that a request answered; gives its peer unless the request is forgotten.
    fn answered(&mut self, now: Instant, request: RequestId, chunk: u32) -> Option<PeerId> {
        let taken = self.flights.take_chunk(now, request, chunk, &self.shelf)?;
        self.credit(now, taken.peer, taken.fresh_bytes);
        taken.skipped.for_each(|skipped| self.want_again(skipped));
        Some(taken.peer)
    }

    fn credit(&mut self, now: Instant, id: PeerId, bytes: u64) {
        self.rate.add(now, bytes);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.sent(now, bytes);
        }
    }

    /// A request no longer brings this chunk: it is wanted again unless it is here or another brings it.
    fn want_again(&mut self, chunk: u32) {
        if !self.flights.asked_twice.remove(&chunk) && !self.is_here(chunk) {
            self.shelf.want(chunk);
            self.wanted_again += 1;
        }
    }

    /// Cancels requests that cover a chunk which came another way and have nothing else left to bring.
    fn cancel_needless(&mut self, now: Instant, chunk: u32) {
        let needless: Vec<RequestId> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.left.contains(&chunk))
            .filter(|(_, flight)| flight.left.clone().all(|left| self.is_here(left)))
            .map(|(request, _)| request)
            .collect();
        for request in needless {
            if let Some(id) = self.cancel(request) {
                self.ask(now, id);
            }
        }
    }

    // # Requests that end

    pub(super) fn request_finished(&mut self, now: Instant, request: RequestId) {
        let Some(flight) = self.flights.get(request) else {
            return;
        };
        if flight.left.is_empty() {
            if let Some((id, _)) = self.end_request(request) {
                self.ask(now, id);
            }
        } else {
            self.request_failed(now, request, RunFailure::Reset);
        }
    }

    pub(super) fn request_failed(&mut self, now: Instant, request: RequestId, why: RunFailure) {
        let Some(left) = self.flights.get(request).map(|flight| flight.left.clone()) else {
            return;
        };
        let Some((id, first_wanted)) = self.end_request(request) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        match why {
            RunFailure::NotHere => left.for_each(|chunk| self.shelf.lose(&mut peer.held, chunk)),
            RunFailure::GameChanged => {
                let nothing = Held::Only(fixedbitset::FixedBitSet::with_capacity(
                    self.stored.capacity(),
                ));
                self.shelf
                    .leave(&std::mem::replace(&mut peer.held, nothing));
            }
            RunFailure::Elsewhere => {
                peer.only_rare_until = Some(now + ONLY_RARE);
                self.wake_by(now + ONLY_RARE);
            }
            RunFailure::Busy => self.back_off(now, id, BUSY_BACKOFF_MAX),
            RunFailure::ConnectionLost => self.back_off(now, id, BACKOFF_MAX),
            RunFailure::Refused | RunFailure::Reset => {
                self.back_off(now, id, BACKOFF_MAX);
                if let Some(chunk) = first_wanted {
                    self.count_retry(id, chunk, why);
                }
            }
        }
        self.forgive_where_nobody_else_has_it();
        self.fail_if_all_corrupt();
        self.ask_everyone(now);
    }

    /// Cancels a request; gives its peer.
    pub(super) fn cancel(&mut self, request: RequestId) -> Option<PeerId> {
        let (id, _) = self.end_request(request)?;
        self.actions.push_back(Action::Cancel { request });
        Some(id)
    }

    /// Forgets a request; gives its peer and the first chunk that it still owed.
    fn end_request(&mut self, request: RequestId) -> Option<(PeerId, Option<u32>)> {
        let flight = self.flights.end(request)?;
        let owed = flight.left.clone().find(|chunk| !self.is_here(*chunk));
        flight.left.for_each(|chunk| self.want_again(chunk));
        if let Some(peer) = self.peers.get_mut(&flight.peer) {
            peer.released(flight.left_bytes);
            peer.cursor = owed.unwrap_or(peer.cursor);
        }
        Some((flight.peer, owed))
    }

    pub(super) fn back_off(&mut self, now: Instant, id: PeerId, longest: Duration) {
        if let Some(peer) = self.peers.get_mut(&id) {
            let until = peer.back_off(now, longest);
            self.wake_by(until);
        }
    }

    /// Counts a failure of a peer at a run. After the last try the peer is not asked for the run's first
    /// chunk again, and when that was the chunk's last holder the download fails.
    fn count_retry(&mut self, id: PeerId, chunk: u32, cause: RunFailure) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let retries = peer.retries.entry(chunk).or_default();
        *retries += 1;
        if *retries < limits::RUN_RETRIES_MAX {
            return;
        }
        self.shelf.lose(&mut peer.held, chunk);
        self.forgive_where_nobody_else_has_it();
        if let Some(chunk) = self.index(chunk)
            && self.shelf.holders(chunk.get()) == 0
        {
            self.fail(PlanFailure::RetriesExhausted {
                chunk,
                peer: id,
                cause,
            });
        }
    }

    // # Wrong chunks

    /// A peer that sent a chunk wrong is asked for it again when it is the last to have it: the bytes may
    /// have been hurt on the way, and if not it must earn its strikes.
    pub(super) fn forgive_where_nobody_else_has_it(&mut self) {
        for peer in self.peers.values_mut() {
            let alone: Vec<u32> = peer
                .wrong
                .iter()
                .copied()
                .filter(|chunk| self.shelf.is_wanted(*chunk) && self.shelf.holders(*chunk) == 0)
                .collect();
            for chunk in alone {
                peer.wrong.remove(&chunk);
                peer.dry_at = None;
                self.shelf.gain(&mut peer.held, chunk);
            }
        }
    }

    /// Fails when nothing is under way, nobody has what is missing, and every peer that could come back
    /// with it was dropped for wrong bytes.
    pub(super) fn fail_if_all_corrupt(&mut self) {
        let distrusted = self
            .strikes
            .values()
            .filter(|strikes| **strikes >= limits::BAD_CHUNKS_MAX)
            .count();
        if distrusted > 0
            && self.honest_leavers.is_empty()
            && self.phase != Phase::Ended
            && self.flights.is_empty()
            && self.shelf.wanted_count() > 0
            && self.shelf.reachable() == 0
        {
            let distrusted = u32::try_from(distrusted).unwrap_or(u32::MAX);
            self.fail(PlanFailure::AllSourcesCorrupt { distrusted });
        }
    }
}
