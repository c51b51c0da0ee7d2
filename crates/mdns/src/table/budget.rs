//! How many dials may be under way, and how many begin in a second: [`Budget`].

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// One number for both: the most in flight, and the most per second, after a rest also at once.
#[derive(Debug)]
pub(super) struct Budget {
    max: u32,
    in_flight: u32,
    /// When everything begun so far would have ended at an even pace.
    paid_until: Option<Instant>,
}

/// When a budget has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    Now,
    /// Possibly in the past.
    At(Instant),
    WhenOneEnds,
}

impl Budget {
    pub(super) fn new(max: u32) -> Self {
        Self {
            max,
            in_flight: 0,
            paid_until: None,
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) fn is_open(&self, now: Instant) -> bool {
        match self.opens() {
            Opens::Now => true,
            Opens::At(time) => time <= now,
            Opens::WhenOneEnds => false,
        }
    }

    /// When the next dial may begin.
    pub(super) fn opens(&self) -> Opens {
        if self.in_flight >= self.max {
            return Opens::WhenOneEnds;
        }
        let burst = SECOND.saturating_sub(self.interval());
        match self
            .paid_until
            .and_then(|paid_until| paid_until.checked_sub(burst))
        {
            Some(time) => Opens::At(time),
            None => Opens::Now,
        }
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.in_flight += 1;
        let from = self
            .paid_until
            .map_or(now, |paid_until| paid_until.max(now));
        self.paid_until = Some(from + self.interval());
    }

    pub(super) fn end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn interval(&self) -> Duration {
        SECOND / self.max
    }
}
