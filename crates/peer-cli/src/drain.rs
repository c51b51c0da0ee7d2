//! When the work is done after the last line: pure, so that its waiting can be tested without any.

use std::time::{Duration, Instant};

use lanspread_peer::OperationView;

use crate::exit::Exit;

/// An operation's last event follows its end within this.
const LAST_EVENT: Duration = Duration::from_secs(2);

/// Watches what still runs.
#[derive(Debug)]
pub(crate) struct Drain {
    give_up: Duration,
    quiet_since: Option<Instant>,
    stalled_since: Option<Instant>,
}

impl Drain {
    /// Operations that are all stalled for `give_up` are not waited for any longer.
    pub(crate) const fn new(give_up: Duration) -> Self {
        Self {
            give_up,
            quiet_since: None,
            stalled_since: None,
        }
    }

    /// Whether the session may end, and how. `expecting` says that the end of an operation has not been
    /// told yet.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        operations: &[OperationView],
        expecting: bool,
    ) -> Option<Exit> {
        if operations.is_empty() {
            self.stalled_since = None;
            let quiet_since = *self.quiet_since.get_or_insert(now);
            let done = !expecting || now.duration_since(quiet_since) >= LAST_EVENT;
            return done.then_some(Exit::Success);
        }
        self.quiet_since = None;
        if operations.iter().all(|operation| operation.stalled) {
            let stalled_since = *self.stalled_since.get_or_insert(now);
            (now.duration_since(stalled_since) >= self.give_up).then_some(Exit::NoPeer)
        } else {
            self.stalled_since = None;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use lanspread_peer::OperationKind;

    use super::*;
    use crate::render::samples;

    fn operation(stalled: bool) -> OperationView {
        OperationView {
            game: samples::game(),
            kind: OperationKind::Download,
            bytes_done: 0,
            bytes_total: 1,
            files_done: 0,
            files_total: 0,
            bytes_per_second: 0,
            peers: 0,
            stalled,
        }
    }

    #[test]
    fn it_ends_at_once_when_nothing_runs_and_nothing_is_expected() {
        let mut drain = Drain::new(Duration::from_secs(5));
        assert_eq!(drain.check(Instant::now(), &[], false), Some(Exit::Success));
    }

    #[test]
    fn it_waits_a_little_for_the_last_event() {
        let (start, mut drain) = (Instant::now(), Drain::new(Duration::from_secs(5)));
        assert_eq!(drain.check(start, &[], true), None);
        assert_eq!(
            drain.check(start + LAST_EVENT, &[], true),
            Some(Exit::Success)
        );
    }

    #[test]
    fn it_gives_up_what_is_stalled_without_a_break() {
        let give_up = Duration::from_secs(5);
        let (start, mut drain) = (Instant::now(), Drain::new(give_up));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(drain.check(at(0), &[operation(true)], true), None);
        assert_eq!(drain.check(at(4), &[operation(false)], true), None);
        assert_eq!(drain.check(at(5), &[operation(true)], true), None);
        assert_eq!(
            drain.check(at(9), &[operation(true), operation(false)], true),
            None
        );
        assert_eq!(drain.check(at(10), &[operation(true)], true), None);
        assert_eq!(
            drain.check(at(15), &[operation(true)], true),
            Some(Exit::NoPeer)
        );
    }
}
