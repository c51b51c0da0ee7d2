//! One address: who is expected there, how often it failed, when it is tried next.

use std::time::{Duration, Instant};

use lanspread_proto::{PeerId, limits};
use rand::{RngExt, rngs::StdRng};

use super::WhyGone;

/// The first pause after a failure; each further failure doubles it.
const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// The longest pause after failures that may pass by themselves.
const BACKOFF_MAX: Duration = Duration::from_mins(1);

/// The same for an address that the operator named: it is often the only one, and somebody waits.
const BACKOFF_MANUAL_MAX: Duration = Duration::from_secs(4);

/// The pause after a failure that only people can mend.
const HOPELESS_BACKOFF: Duration = Duration::from_mins(10);

/// A dial whose outcome was never reported is over after this.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2 * limits::HANDSHAKE_TIMEOUT.as_secs());

/// An address that failed so often in a row is forgotten, unless the operator named it; it comes back
/// as a candidate when somebody is there.
const FAILURES_MAX: u32 = 8;

/// One address.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) peer: Option<PeerId>,
    pub(super) manual: bool,
    pub(super) failures: u32,
    pub(super) state: State,
}

/// What is done about an address, apart from its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready { since: Instant },
    Dialling { since: Instant },
    BackingOff { until: Instant },
}

impl Contact {
    pub(super) fn new(now: Instant, peer: Option<PeerId>, manual: bool) -> Self {
        Self {
            peer,
            manual,
            failures: 0,
            state: State::Ready { since: now },
        }
    }

    /// Notes a failure and makes a pause.
    pub(super) fn failed(&mut self, now: Instant, reason: WhyGone, rng: &mut StdRng) {
        let pause = match reason {
            WhyGone::WrongParty | WhyGone::Incompatible | WhyGone::Myself => HOPELESS_BACKOFF,
            WhyGone::Unreachable | WhyGone::Lost | WhyGone::Closed | WhyGone::WrongPeer => {
                let doubled = BACKOFF_MIN.saturating_mul(1 << self.failures.min(16));
                let longest = if self.manual {
                    BACKOFF_MANUAL_MAX
                } else {
                    BACKOFF_MAX
                };
                doubled.min(longest).mul_f64(rng.random_range(0.75..1.0))
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.state = State::BackingOff { until: now + pause };
    }

    /// Whether it failed so often that it is not worth a place.
    pub(super) fn is_hopeless(&self) -> bool {
        !self.manual && self.failures >= FAILURES_MAX
    }

    /// When something is to be done about it.
    pub(super) fn due(&self) -> Instant {
        match self.state {
            State::Ready { since } => since,
            State::Dialling { since } => since + DIAL_TIMEOUT,
            State::BackingOff { until } => until,
        }
    }

    pub(super) fn is_dialling(&self) -> bool {
        matches!(self.state, State::Dialling { .. })
    }
}
