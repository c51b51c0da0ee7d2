//! When a download's progress is told: often enough to watch, rarely enough to be cheap.

use std::time::Instant;

use lanspread_swarm::Progress as PlanProgress;

use crate::operation::{Progress, TELL_INTERVAL};

/// Turns a plan's counts into the progress that people see, and says when to tell it.
#[derive(Debug)]
pub struct DownloadProgressTracker {
    told_at: Option<Instant>,
    last: Progress,
}

impl DownloadProgressTracker {
    /// A tracker that has told nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            told_at: None,
            last: Progress::default(),
        }
    }

    /// Takes the newest counts; returns them when it is time to tell and they say something new.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        plan: PlanProgress,
        stalled: bool,
    ) -> Option<Progress> {
        let progress = Progress {
            bytes_done: plan.stored_bytes,
            bytes_total: plan.total_bytes,
            files_done: 0,
            files_total: 0,
            bytes_per_second: plan.bytes_per_second,
            peers: plan.peers_streaming as usize,
            stalled,
        };
        let early = self
            .told_at
            .is_some_and(|told| now.duration_since(told) < TELL_INTERVAL);
        if early || progress == self.last {
            return None;
        }
        self.told_at = Some(now);
        self.last = progress;
        Some(progress)
    }

    /// When to call [`Self::update`] next.
    pub(crate) fn next_deadline(&self, now: Instant) -> Instant {
        self.told_at
            .map_or(now, |told| told + TELL_INTERVAL)
            .max(now)
    }
}
