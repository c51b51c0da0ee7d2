//! Waiting, and giving it up.

use std::time::{Duration, Instant};

use lanspread_proto::{PeerId, limits};

use super::{Phase, Plan};
use crate::{
    flight::Flight,
    peer::{BACKOFF_MAX, Peer},
    words::{Action, RequestId},
};

/// How often the requests under way are looked at.
pub(super) const PATROL: Duration = Duration::from_millis(500);

/// How often idle peers look whether somebody needs help.
pub(super) const PATROL_AT_END: Duration = Duration::from_millis(100);

/// How many times longer than expected a queued run may wait while its peer sends others.
const QUEUE_PATIENCE: u32 = 3;

impl Plan {
    pub(super) fn tick(&mut self, now: Instant) {
        self.wake_at = None;
        for peer in self.peers.values_mut().filter(|peer| peer.requests > 0) {
            if now.saturating_duration_since(peer.last_progress) >= PATROL {
                peer.rate.add(now, 0);
            }
        }
        while let Some((_, chunk)) = self.expected.pop_front_if(|(until, _)| *until <= now) {
            self.shelf.no_longer_expect(chunk);
        }
        let late: Vec<(RequestId, PeerId)> = self
            .flights
            .iter()
            .filter(|(_, flight)| self.gives_up_at(flight) <= now)
            .map(|(request, flight)| (request, flight.peer))
            .collect();
        for (request, id) in late {
            self.cancel(request);
            self.back_off(now, id, BACKOFF_MAX);
        }
        if self.phase == Phase::Running {
            let stalls_at = self.stalls_at();
            if stalls_at <= now {
                self.phase = Phase::Stalled;
                self.actions.push_back(Action::Stalled);
            } else {
                self.wake_by(stalls_at);
            }
        }
        self.wait_for_the_group(now);
        self.ask_everyone(now);
        if !self.flights.is_empty() {
            self.wake_by(now + PATROL);
        }
        let pauses = |peer: &Peer| [peer.backoff_until, peer.only_rare_until];
        let ends = self.peers.values().flat_map(pauses).flatten();
        if let Some(until) = ends.filter(|until| *until > now).min() {
            self.wake_by(until);
        }
    }

    /// When it is time to say that nothing comes any more.
    pub(super) fn stalls_at(&self) -> Instant {
        let silent = self.last_progress + limits::STALL_TIMEOUT;
        let sourceless = self
            .sourceless_since
            .map(|since| since + limits::NO_SOURCE_TIMEOUT);
        sourceless.map_or(silent, |sourceless| sourceless.min(silent))
    }

    /// When a request has been silent for too long. One that has not begun waits as long as its peer
    /// sends what was asked before it, within reason.
    fn gives_up_at(&self, flight: &Flight) -> Instant {
        match self.peers.get(&flight.peer) {
            Some(peer) if !flight.started => {
                let queued = peer.time_for(peer.outstanding_bytes) * QUEUE_PATIENCE;
                let latest = flight.last_progress + limits::PROGRESS_TIMEOUT + queued;
                latest.min(peer.last_progress + limits::PROGRESS_TIMEOUT)
            }
            _ => flight.last_progress + limits::PROGRESS_TIMEOUT,
        }
    }
}
