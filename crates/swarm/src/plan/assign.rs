//! Asking: which peer gets which run next, and who helps whom at the end.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use lanspread_proto::PeerId;

use super::{
    Plan,
    clock::{PATROL, PATROL_AT_END},
    group::PATIENCE,
};
use crate::{
    flight::Flight,
    words::{Action, RequestId},
};

/// A faster peer takes over a whole run only past this, so that two equal peers never swap it back
/// and forth; below it the two share the run from both ends.
const TAKEOVER_SLOWNESS_MIN: u32 = 3;

/// Chunks are asked for twice only if that saves more than this.
const HELP_GAIN_MIN: Duration = Duration::from_millis(50);

/// A run that would be late, and who is to send it instead.
struct Help {
    request: RequestId,
    chunks: Range<u32>,
    takes_over: bool,
}

impl Plan {
    /// Asks every peer for as much as it deserves; those without any request come first.
    pub(super) fn ask_everyone(&mut self, now: Instant) {
        self.choked_at = None;
        let mut ids: Vec<(u32, PeerId)> = self
            .peers
            .iter()
            .map(|(id, peer)| (peer.requests, *id))
            .collect();
        ids.sort_unstable();
        for (_, id) in ids {
            self.ask(now, id);
        }
    }

    /// Asks every peer if the bound on outstanding bytes held somebody back and there is room now.
    pub(super) fn ask_if_choked(&mut self, now: Instant) {
        if self.choked_at.is_some_and(|run_bytes| self.fits(run_bytes)) {
            self.ask_everyone(now);
        }
    }

    /// Whether so much more may be outstanding. One run always may, or nothing would ever arrive.
    fn fits(&self, run_bytes: u64) -> bool {
        let outstanding = self.flights.bytes() + self.unstored_bytes;
        outstanding == 0 || outstanding + run_bytes <= self.outstanding_bytes_max
    }

    /// Asks one peer for as much as it deserves.
    pub(super) fn ask(&mut self, now: Instant, id: PeerId) {
        while self.ask_once(now, id) {}
    }

    fn ask_once(&mut self, now: Instant, id: PeerId) -> bool {
        if self.phase == super::Phase::Ended {
            return false;
        }
        let Some(peer) = self.peers.get_mut(&id) else {
            return false;
        };
        let run_bytes = peer.run_bytes();
        if peer.is_backing_off(now) || !peer.has_room() {
            return false;
        }
        if !self.fits(run_bytes) {
            self.choked_at = Some(
                self.choked_at
                    .map_or(run_bytes, |least| least.min(run_bytes)),
            );
            return false;
        }
        let from_afar = self.offer_from_afar(now, id);
        let Some(peer) = self.peers.get_mut(&id) else {
            return false;
        };
        if peer.only_rare_until.is_some_and(|until| now < until) && self.shelf.rarest() != Some(0) {
            return false;
        }
        if from_afar.is_some() || peer.dry_at != Some(self.wanted_again) {
            let held = from_afar.as_ref().unwrap_or(&peer.held);
            if let Some(first) = self.shelf.pick(held, peer.cursor, &mut self.rng) {
                let count = self.shelf.extend(first, held, run_bytes);
                self.request(now, id, first..first + count);
                return true;
            }
            peer.dry_at = Some(self.wanted_again);
        }
        self.help(now, id)
    }

    fn request(&mut self, now: Instant, id: PeerId, chunks: Range<u32>) {
        let Some(run) = self.map.check_run(chunks.start, chunks.end - chunks.start) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let bytes = self.shelf.bytes_of(chunks.clone());
        chunks.clone().for_each(|chunk| self.shelf.unwant(chunk));
        peer.asked(now, bytes);
        peer.cursor = if chunks.end < self.map.count() {
            chunks.end
        } else {
            0
        };
        let request = self.flights.start(now, id, chunks, bytes);
        self.actions.push_back(Action::Request {
            request,
            peer: id,
            run,
        });
        self.wake_by(now + PATROL);
    }

    // # The end phase

    /// Lets an idle peer help with the run that would be the last to arrive, once nobody can be asked
    /// for anything new.
    fn help(&mut self, now: Instant, id: PeerId) -> bool {
        if self.shelf.reachable() > 0 || self.flights.is_empty() {
            return false;
        }
        self.wake_by(now + PATROL_AT_END);
        let Some(Help {
            request,
            chunks,
            takes_over,
        }) = self.latest_helpable(now, id)
        else {
            return false;
        };
        if takes_over {
            self.cancel(request);
        } else {
            self.flights.asked_twice.extend(chunks.clone());
        }
        self.request(now, id, chunks);
        true
    }

    fn latest_helpable(&self, now: Instant, id: PeerId) -> Option<Help> {
        let mut queued: BTreeMap<PeerId, u64> = BTreeMap::new();
        let mut latest: Option<(Duration, Help)> = None;
        for (request, flight) in self.flights.iter() {
            let ahead = queued.entry(flight.peer).or_default();
            *ahead += flight.left_bytes;
            let Some(owner) = self.peers.get(&flight.peer) else {
                continue;
            };
            let silence =
                now.saturating_duration_since(flight.last_progress.max(owner.last_progress));
            let due = owner.time_for(*ahead).max(silence);
            if flight.peer != id
                && latest.as_ref().is_none_or(|(before, _)| due > *before)
                && let Some(help) = self.how_to_help(id, request, flight, due)
            {
                latest = Some((due, help));
            }
        }
        latest.map(|(_, help)| help)
    }

    /// What a peer could take of a run that is due in `due`: all of it if it is much faster, else a tail
    /// such that both are done at the same time, if that is worth it.
    fn how_to_help(
        &self,
        id: PeerId,
        request: RequestId,
        flight: &Flight,
        due: Duration,
    ) -> Option<Help> {
        let peer = self.peers.get(&id)?;
        let tail = self.open_tail(flight, |chunk| peer.held.contains(chunk));
        let run_bytes = lanspread_proto::limits::RUN_BYTES_MAX;
        let own = |chunks: Range<u32>| {
            peer.rtt + peer.time_for(peer.outstanding_bytes + self.shelf.bytes_of(chunks))
        };
        if tail.is_empty() || self.shelf.bytes_of(tail.clone()) > run_bytes {
            return None;
        }
        let whole = own(tail.clone());
        let gain_min = if self.is_far(id) && !self.is_open() {
            PATIENCE
        } else {
            HELP_GAIN_MIN
        };
        if whole + gain_min >= due && gain_min == PATIENCE {
            return None;
        }
        if tail == flight.left && due >= whole * TAKEOVER_SLOWNESS_MIN {
            return Some(Help {
                request,
                chunks: tail,
                takes_over: true,
            });
        }
        let share = due.as_secs_f64() / (due + whole).as_secs_f64();
        let count = (1..=tail.end - tail.start)
            .rev()
            .find(|count| f64::from(*count) <= share * f64::from(tail.end - tail.start))
            .unwrap_or(1);
        let chunks = tail.end - count..tail.end;
        (own(chunks.clone()) + gain_min < due).then_some(Help {
            request,
            chunks,
            takes_over: false,
        })
    }

    /// The chunks at the end of a run that are under way once only and that a helper holds.
    fn open_tail(&self, flight: &Flight, holds: impl Fn(u32) -> bool) -> Range<u32> {
        let mut end = flight.left.end;
        let twice = &self.flights.asked_twice;
        while end > flight.left.start && (self.is_here(end - 1) || twice.contains(&(end - 1))) {
            end -= 1;
        }
        let mut start = end;
        while start > flight.left.start
            && !self.is_here(start - 1)
            && !twice.contains(&(start - 1))
            && holds(start - 1)
        {
            start -= 1;
        }
        start..end
    }
}
