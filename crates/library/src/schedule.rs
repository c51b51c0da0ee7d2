//! When to look at the disk again: a pure machine that is told what happened and when.
//!
//! What the watcher reports is a hint that something is dirty. A dirty target is due once it was quiet for a
//! while, and at the latest some time after its first hint, so that a folder that never rests is seen too.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use lanspread_proto::GameId;

/// How long the monitor waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// A folder is looked at when nothing was reported in it for this long. Copying a tree reports without
    /// pause; looking in the middle would hash what changes again.
    pub quiet: Duration,
    /// And at the latest this long after the first report.
    pub quiet_max: Duration,
    /// Everything is looked at this often, for changes deep in a payload and for disks that report none.
    pub fallback: Duration,
    /// Progress events of one game come at most this often.
    pub progress: Duration,
    /// Hashes of games that are not announced yet are saved at most this often; a machine that loses power
    /// hashes again what it hashed since.
    pub save: Duration,
}

impl Default for Timing {
    /// 1 s of quiet, at most 10 s, everything each 300 s, four progress events a second, hashes saved
    /// each 10 s.
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(1),
            quiet_max: Duration::from_secs(10),
            fallback: Duration::from_mins(5),
            progress: Duration::from_millis(250),
            save: Duration::from_secs(10),
        }
    }
}

/// What can be looked at by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The list of folders in the game directory.
    Root,
    /// One game's folder.
    Game(GameId),
}

#[derive(Debug, Clone, Copy)]
struct Dirty {
    due: Instant,
    latest: Instant,
}

/// The dirty targets and when each is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    timing: Timing,
    dirty: BTreeMap<Target, Dirty>,
    fallback_at: Instant,
}

impl Schedule {
    /// Nothing dirty; the first fallback one period from `now`.
    pub(crate) fn new(now: Instant, timing: Timing) -> Self {
        Self {
            timing,
            dirty: BTreeMap::new(),
            fallback_at: now + timing.fallback,
        }
    }

    /// Something was reported in `target`.
    pub(crate) fn note(&mut self, now: Instant, target: Target) {
        let due = now + self.timing.quiet;
        let latest = now + self.timing.quiet_max;
        let dirty = self.dirty.entry(target).or_insert(Dirty { due, latest });
        // What is due at once stays so.
        if dirty.due > now {
            dirty.due = due.min(dirty.latest);
        }
    }

    /// `target` is worth a second look once [`Timing::quiet_max`] has passed.
    pub(crate) fn note_later(&mut self, now: Instant, target: Target) {
        let due = now + self.timing.quiet_max;
        self.dirty
            .entry(target)
            .or_insert(Dirty { due, latest: due });
    }

    /// `target` is to be looked at now.
    pub(crate) fn at_once(&mut self, now: Instant, target: Target) {
        self.dirty.insert(
            target,
            Dirty {
                due: now,
                latest: now,
            },
        );
    }

    /// Whether everything is due; if so the next period begins.
    pub(crate) fn take_fallback(&mut self, now: Instant) -> bool {
        let due = now >= self.fallback_at;
        if due {
            self.fallback_at = now + self.timing.fallback;
        }
        due
    }

    /// The next target that is due and not blocked (held by an operation, or being looked at already), clean
    /// from then on. The root comes first: it may say that a game is gone.
    pub(crate) fn take_due(
        &mut self,
        now: Instant,
        blocked: impl Fn(&Target) -> bool,
    ) -> Option<Target> {
        let ready = |(target, dirty): &(&Target, &Dirty)| dirty.due <= now && !blocked(target);
        let (target, _) = self.dirty.iter().find(ready)?;
        let target = target.clone();
        self.dirty.remove(&target);
        Some(target)
    }

    /// When to ask again; a blocked target does not count, whoever unblocks it asks.
    pub(crate) fn next_deadline(&self, blocked: impl Fn(&Target) -> bool) -> Instant {
        let dues = self.dirty.iter().filter(|(target, _)| !blocked(target));
        dues.map(|(_, dirty)| dirty.due)
            .fold(self.fallback_at, Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn game(text: &str) -> Target {
        Target::Game(text.parse().unwrap())
    }

    fn open(_: &Target) -> bool {
        false
    }

    #[test]
    fn a_target_is_due_after_a_second_of_quiet() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Timing::default());
        schedule.note(start, game("a"));
        schedule.note(start + SECOND / 2, game("a"));
        assert_eq!(schedule.take_due(start + SECOND, open), None);
        assert_eq!(schedule.next_deadline(open), start + SECOND * 3 / 2);
        assert_eq!(
            schedule.take_due(start + SECOND * 3 / 2, open),
            Some(game("a"))
        );
        assert_eq!(
            schedule.take_due(start + SECOND * 9, open),
            None,
            "clean from then on"
        );
    }

    #[test]
    fn a_target_that_never_rests_is_due_after_ten_seconds() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Timing::default());
        for tenth in 0..100 {
            let now = start + SECOND * tenth / 10;
            schedule.note(now, game("a"));
            assert_eq!(schedule.take_due(now, open), None, "{tenth}");
        }
        assert_eq!(
            schedule.take_due(start + SECOND * 10, open),
            Some(game("a"))
        );
    }

    #[test]
    fn a_hint_does_not_delay_what_is_due_at_once() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Timing::default());
        schedule.at_once(start, game("a"));
        schedule.note(start, game("a"));
        assert_eq!(schedule.take_due(start, open), Some(game("a")));
    }

    #[test]
    fn a_second_look_waits_and_never_delays_a_first() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Timing::default());
        schedule.note_later(start, game("a"));
        assert_eq!(schedule.next_deadline(open), start + SECOND * 10);
        schedule.note(start, game("a"));
        assert_eq!(schedule.next_deadline(open), start + SECOND);
        schedule.note_later(start, game("a"));
        assert_eq!(schedule.next_deadline(open), start + SECOND);
    }

    #[test]
    fn a_blocked_target_waits_without_holding_up_the_others() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Timing::default());
        schedule.at_once(start, game("a"));
        schedule.at_once(start, game("b"));
        let a_held = |target: &Target| *target == game("a");
        assert_eq!(schedule.take_due(start, a_held), Some(game("b")));
        assert_eq!(schedule.take_due(start, a_held), None);
        assert_eq!(schedule.next_deadline(a_held), start + SECOND * 300);
        assert_eq!(schedule.take_due(start, open), Some(game("a")));
    }

    #[test]
    fn the_root_comes_first_and_the_fallback_comes_again() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Timing::default());
        schedule.at_once(start, game("a"));
        schedule.at_once(start, Target::Root);
        assert_eq!(schedule.take_due(start, open), Some(Target::Root));
        assert_eq!(schedule.take_due(start, open), Some(game("a")));
        assert_eq!(schedule.take_due(start, open), None);
        assert!(!schedule.take_fallback(start + SECOND * 299));
        assert!(schedule.take_fallback(start + SECOND * 300));
        assert!(!schedule.take_fallback(start + SECOND * 301));
        assert_eq!(schedule.next_deadline(open), start + SECOND * 600);
    }
}
