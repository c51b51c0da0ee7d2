//! How fast bytes come, from when they came.

use std::time::{Duration, Instant};

/// A sample covers at least this: shorter ones measure the clock.
const SAMPLE_MIN: Duration = Duration::from_millis(20);

/// Older than about this, a sample no longer counts.
const MEMORY: Duration = Duration::from_millis(500);

/// A smoothed rate. The first half second is a plain average, so that it is right from the start.
#[derive(Debug)]
pub(crate) struct Rate {
    since: Instant,
    bytes: u64,
    seen: Duration,
    bytes_per_second: Option<u64>,
}

impl Rate {
    /// Nothing measured yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: 0,
            seen: Duration::ZERO,
            bytes_per_second: None,
        }
    }

    /// Begins to measure again after an idle time, which says nothing about the rate.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.since = now;
        self.bytes = 0;
    }

    /// Counts what arrived; 0 lets a silence weigh in.
    pub(crate) fn add(&mut self, now: Instant, bytes: u64) {
        self.bytes += bytes;
        let span = now.saturating_duration_since(self.since);
        if span < SAMPLE_MIN {
            return;
        }
        let (span_micros, seen_micros) = (micros(span), micros(self.seen));
        let before = self
            .bytes_per_second
            .unwrap_or(0)
            .saturating_mul(seen_micros);
        let fresh = self.bytes.saturating_mul(1_000_000);
        self.bytes_per_second = Some(before.saturating_add(fresh) / (seen_micros + span_micros));
        self.seen = (self.seen + span).min(MEMORY);
        self.since = now;
        self.bytes = 0;
    }

    /// The rate, once there was time to measure it.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second
    }
}

/// Whole microseconds.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// What comes in `span` at a rate.
pub(crate) fn bytes_in(bytes_per_second: u64, span: Duration) -> u64 {
    bytes_per_second.saturating_mul(micros(span)) / 1_000_000
}

/// How long `bytes` take at a rate; an hour stands for ever.
pub(crate) fn time_for(bytes: u64, bytes_per_second: u64) -> Duration {
    const FOR_EVER: Duration = Duration::from_hours(1);
    match bytes
        .saturating_mul(1_000_000)
        .checked_div(bytes_per_second)
    {
        Some(micros) => Duration::from_micros(micros).min(FOR_EVER),
        None => FOR_EVER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    /// Feeds a steady flow and gives the end of it.
    fn flow(rate: &mut Rate, mut now: Instant, steps: u32, bytes: u64) -> Instant {
        for _ in 0..steps {
            now += STEP;
            rate.add(now, bytes);
        }
        now
    }

    #[test]
    fn a_steady_flow_is_known_at_once_and_a_change_within_a_second() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert_eq!(rate.bytes_per_second(), None);
        let now = flow(&mut rate, start, 2, 1000);
        assert_eq!(rate.bytes_per_second(), Some(100_000));
        let now = flow(&mut rate, now, 100, 1000);
        assert_eq!(rate.bytes_per_second(), Some(100_000));
        flow(&mut rate, now, 150, 100);
        let after = rate.bytes_per_second().unwrap();
        assert!((10_000..16_000).contains(&after), "{after}");
    }

    #[test]
    fn an_idle_time_does_not_count_and_a_silence_does() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let now = flow(&mut rate, start, 10, 1000) + Duration::from_mins(1);
        rate.resume(now);
        let now = flow(&mut rate, now, 10, 1000);
        assert_eq!(rate.bytes_per_second(), Some(100_000));
        rate.add(now + Duration::from_secs(5), 0);
        assert!(rate.bytes_per_second().unwrap() < 10_000);
    }

    #[test]
    fn no_rate_takes_for_ever_and_nothing_overflows() {
        assert_eq!(time_for(1, 0), Duration::from_hours(1));
        assert_eq!(time_for(u64::MAX, 1), Duration::from_hours(1));
        assert_eq!(time_for(1_000_000, 2_000_000), Duration::from_millis(500));
        assert_eq!(bytes_in(2_000_000, Duration::from_millis(500)), 1_000_000);
        assert!(bytes_in(u64::MAX, Duration::MAX) > 0);
    }
}
