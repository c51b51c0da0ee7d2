//! One peer of a plan: what it holds, how fast it is, how much it may be asked for, how it failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use lanspread_proto::limits;

use crate::{
    pick::Held,
    rate::{Rate, bytes_in, time_for},
};

/// What a run takes at the peer's rate. Shorter runs leave less to take over from a peer that slows
/// down; longer ones spare requests.
const RUN_TIME: Duration = Duration::from_millis(250);

/// How much more than a round trip's worth is asked for, so that the sender always has something to
/// send when its disk or our event loop is late.
const QUEUE_TIME: Duration = Duration::from_millis(250);

/// A run to a peer whose rate is not known yet: one chunk, or a hundred small ones.
const FIRST_RUN_BYTES: u64 = 1024 * 1024;

/// A run to the slowest peer; a chunk that is larger is a run all the same.
const RUN_BYTES_MIN: u64 = 128 * 1024;

/// Requests to a peer whose rate is not known yet. Where many begin at one source, each shares it with all the
/// others: a second request would only make the first chunk, which they could pass on, come later.
const FIRST_REQUESTS: u32 = 1;

/// A shorter time without any request belongs to the peer's rate: it is the way to it and back.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Requests to one peer; half of the streams that it admits, the others are for control and reserve.
const REQUESTS_MAX: u32 = 16;

/// What one peer still has to send when it is asked for more is at most this: four runs at once keep a source of 1 GB/s
/// busy, and of more the receiver's caches hold less.
const WINDOW_MAX: u64 = 3 * limits::RUN_BYTES_MAX;

/// What a peer is taken for until it is measured, in bytes per second.
const RATE_UNKNOWN: u64 = 1024 * 1024;

/// The first pause after a failure; each further failure doubles it.
const BACKOFF_MIN: Duration = Duration::from_millis(500);

/// The longest pause after a failure.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The longest pause for a peer that was only busy: its slots free up all the time.
pub(crate) const BUSY_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// One peer of a plan.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) held: Held,
    pub(crate) rtt: Duration,
    pub(crate) rate: Rate,
    pub(crate) requests: u32,
    /// Bytes asked of it that did not arrive yet.
    pub(crate) outstanding_bytes: u64,
    /// Where its last run ended.
    pub(crate) cursor: u32,
    /// Not asked for anything before this.
    pub(crate) backoff_until: Option<Instant>,
    /// Asked before this only for what nobody else has.
    pub(crate) only_rare_until: Option<Instant>,
    failures: u32,
    /// The state of the wanted chunks at which it had nothing to offer.
    pub(crate) dry_at: Option<u64>,
    /// Failures per first chunk of a run.
    pub(crate) retries: BTreeMap<u32, u32>,
    /// Chunks that it sent wrong; asked of it again only when nobody else has them.
    pub(crate) wrong: BTreeSet<u32>,
    pub(crate) last_progress: Instant,
}

impl Peer {
    /// A newcomer. The cursor stands beyond every payload, so that its first run begins at random.
    pub(crate) fn new(now: Instant, held: Held) -> Self {
        Self {
            held,
            rtt: Duration::ZERO,
            rate: Rate::new(now),
            requests: 0,
            outstanding_bytes: 0,
            cursor: u32::MAX,
            backoff_until: None,
            only_rare_until: None,
            failures: 0,
            dry_at: None,
            retries: BTreeMap::new(),
            wrong: BTreeSet::new(),
            last_progress: now,
        }
    }

    /// How long its next run should be.
    pub(crate) fn run_bytes(&self) -> u64 {
        match self.rate.bytes_per_second() {
            None => FIRST_RUN_BYTES,
            Some(rate) => bytes_in(rate, RUN_TIME).clamp(RUN_BYTES_MIN, limits::RUN_BYTES_MAX),
        }
    }

    /// Whether it may be asked for a run more: when what it still has to send would run out within the
    /// round trip and the queue time.
    pub(crate) fn has_room(&self) -> bool {
        match self.rate.bytes_per_second() {
            None => self.requests < FIRST_REQUESTS,
            Some(rate) => {
                let window = bytes_in(rate, self.rtt + QUEUE_TIME).min(WINDOW_MAX);
                self.requests == 0
                    || (self.requests < REQUESTS_MAX && self.outstanding_bytes <= window)
            }
        }
    }

    /// Whether it must be left alone.
    pub(crate) fn is_backing_off(&self, now: Instant) -> bool {
        self.backoff_until.is_some_and(|until| now < until)
    }

    /// Leaves it alone for a while, longer each time up to `longest`; gives the end of it. Requests that fail together
    /// are one failure.
    pub(crate) fn back_off(&mut self, now: Instant, longest: Duration) -> Instant {
        if let Some(until) = self.backoff_until
            && now < until
        {
            return until;
        }
        let pause = BACKOFF_MIN
            .saturating_mul(1 << self.failures.min(6))
            .min(longest);
        self.failures += 1;
        *self.backoff_until.insert(now + pause)
    }

    /// A chunk was right: the next pause is short again.
    pub(crate) fn did_well(&mut self) {
        self.failures = 0;
    }

    /// Counts a request.
    pub(crate) fn asked(&mut self, now: Instant, bytes: u64) {
        if self.requests == 0 {
            if now.saturating_duration_since(self.last_progress) >= PAUSE_MIN {
                self.rate.resume(now);
            }
            self.last_progress = now;
        }
        self.requests += 1;
        self.outstanding_bytes += bytes;
    }

    /// Counts what arrived of what was asked.
    pub(crate) fn sent(&mut self, now: Instant, bytes: u64) {
        self.outstanding_bytes -= bytes;
        self.rate.add(now, bytes);
        self.last_progress = now;
    }

    /// Counts a request that is over, with what it still owed.
    pub(crate) fn released(&mut self, owed_bytes: u64) {
        self.requests -= 1;
        self.outstanding_bytes -= owed_bytes;
    }

    /// How long it will take for `bytes`.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        time_for(bytes, self.rate.bytes_per_second().unwrap_or(RATE_UNKNOWN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer_at(bytes_per_second: u64) -> Peer {
        let start = Instant::now();
        let mut peer = Peer::new(start, Held::Everything);
        peer.rate
            .add(start + Duration::from_secs(1), bytes_per_second);
        peer
    }

    /// Runs of the peer's size until its window is full.
    fn runs_in_window(peer: &mut Peer) -> (u32, u64) {
        let run = peer.run_bytes();
        while peer.has_room() {
            peer.asked(Instant::now(), run);
        }
        (peer.requests, run)
    }

    #[test]
    fn the_window_follows_the_rate() {
        const MBIT: u64 = 1_000_000 / 8;
        let cases = [
            (1, 1, RUN_BYTES_MIN),
            (10, 2, 312_500),
            (100, 2, 3_125_000),
            (1_000, 4, limits::RUN_BYTES_MAX),
            (5_000, 4, limits::RUN_BYTES_MAX),
        ];
        for (mbit, requests, run) in cases {
            assert_eq!(
                runs_in_window(&mut peer_at(mbit * MBIT)),
                (requests, run),
                "{mbit} Mbit/s"
            );
        }
        let mut unknown = Peer::new(Instant::now(), Held::Everything);
        assert_eq!(runs_in_window(&mut unknown), (1, FIRST_RUN_BYTES));
    }

    #[test]
    fn a_peer_that_answers_at_once_is_measured_across_its_answers() {
        let mut now = Instant::now();
        let mut peer = Peer::new(now, Held::Everything);
        for _ in 0..100 {
            assert!(peer.has_room());
            peer.asked(now, 1_000);
            now += Duration::from_millis(1);
            peer.sent(now, 1_000);
            peer.released(0);
        }
        assert_eq!(peer.rate.bytes_per_second(), Some(1_000_000));
        now += Duration::from_mins(1);
        peer.asked(now, 1_000);
        now += Duration::from_millis(50);
        peer.sent(now, 1_000);
        let rate = peer.rate.bytes_per_second().unwrap();
        assert!(rate > 500_000, "{rate}: a minute of rest says nothing");
    }

    #[test]
    fn a_long_way_deserves_more() {
        let mut peer = peer_at(12_500_000);
        peer.rtt = Duration::from_millis(500);
        assert_eq!(runs_in_window(&mut peer).0, 4);
    }

    #[test]
    fn pauses_double_up_to_half_a_minute_and_end_with_a_good_chunk() {
        let mut peer = peer_at(1);
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let until = peer.back_off(now, BACKOFF_MAX);
            assert_eq!(
                peer.back_off(now, BACKOFF_MAX),
                until,
                "requests that fail together are one failure"
            );
            pauses.push((until - now).as_millis());
            now = until;
            assert!(!peer.is_backing_off(now));
        }
        assert!(
            pauses.is_sorted() && *pauses.last().unwrap() == 30_000,
            "{pauses:?}"
        );
        peer.did_well();
        assert_eq!((peer.back_off(now, BACKOFF_MAX) - now).as_millis(), 500);
    }
}
