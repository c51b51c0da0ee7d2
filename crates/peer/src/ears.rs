//! When to listen for announcements.
//!
//! Listening costs: a machine that listens asks the LAN again and again whether all are still there, all answer, and all
//! that listen look through everything that they have heard. In a room of two hundred that is most of what an idle
//! machine does. So a machine that is connected with many rests, and asks one of them now and then whom they know: two that
//! missed each other meet all the same. Every newcomer listens itself, and dials.

use std::time::{Duration, Instant};

/// With so many connections a machine that met nobody new for a while need not listen …
const RESTS_WITH: usize = 32;

/// … until it has fewer than this: the others may have gone, or the machine is at another network.
const LISTENS_BELOW: usize = 24;

/// Nobody new for this long: longer than the first questions of a newcomer take, which come 1, 2, 4 and 8 s apart.
const QUIET: Duration = Duration::from_secs(20);

/// A machine that rests asks one of its peers this often.
const ASKS_EVERY: Duration = Duration::from_secs(30);

/// Whether a machine listens for announcements.
#[derive(Debug)]
pub(crate) struct Ears {
    listening: bool,
    /// When somebody new came last, or listening began.
    stirred: Instant,
    /// When it rests: since it asked last, or began to rest.
    asked: Instant,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Rest,
    Listen,
    /// Ask somebody whom they know.
    AskAround,
}

impl Ears {
    /// Listening.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            listening: true,
            stirred: now,
            asked: now,
        }
    }

    /// Somebody new is connected.
    pub(crate) const fn met_somebody(&mut self, now: Instant) {
        self.stirred = now;
    }

    /// Whether something is to be changed, with so many connections; it is taken as done.
    pub(crate) fn change(&mut self, now: Instant, connections: usize) -> Option<Change> {
        let quiet = now.saturating_duration_since(self.stirred) >= QUIET;
        let asks = now.saturating_duration_since(self.asked) >= ASKS_EVERY;
        let change = match self.listening {
            true if quiet && connections >= RESTS_WITH => Change::Rest,
            false if connections < LISTENS_BELOW => Change::Listen,
            false if asks => Change::AskAround,
            _ => return None,
        };
        match change {
            Change::Rest => (self.listening, self.asked) = (false, now),
            Change::Listen => (self.listening, self.stirred) = (true, now),
            Change::AskAround => self.asked = now,
        }
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_room_rests_once_it_is_quiet_and_listens_when_it_thins_out() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut ears = Ears::new(start);
        assert_eq!(
            ears.change(at(60), RESTS_WITH - 1),
            None,
            "a small room listens"
        );
        ears.met_somebody(at(60));
        assert_eq!(ears.change(at(79), RESTS_WITH), None, "somebody just came");
        assert_eq!(ears.change(at(80), RESTS_WITH), Some(Change::Rest));
        assert_eq!(ears.change(at(81), 200), None);
        assert_eq!(ears.change(at(110), 200), Some(Change::AskAround));
        assert_eq!(ears.change(at(139), 200), None);
        assert_eq!(ears.change(at(200), LISTENS_BELOW), Some(Change::AskAround));
        assert_eq!(ears.change(at(200), LISTENS_BELOW), None);
        assert_eq!(
            ears.change(at(201), LISTENS_BELOW - 1),
            Some(Change::Listen)
        );
        assert_eq!(ears.change(at(202), 200), None, "it listens for a while");
        assert_eq!(ears.change(at(221), 200), Some(Change::Rest));
    }
}
