//! [`FirstCopies`]: the serving side's rule, by which a room finishes in nearly the time of one machine.
//!
//! A machine that alone has a payload is the room's narrowest place: the room waits for every byte that it
//! sends twice. So it notes to whom each chunk went first. While two or more *other* peers are being sent what
//! had gone to nobody, its wire is full of better things, and a run that begins with a chunk which somebody else
//! was sent first is refused. The refusal says which chunks are out, so that the asker takes other ones now and
//! gets these from whoever has them soon.
//!
//! Only the first chunk of a run decides. A receiver picks a run by its first chunk, the rarest one that it knows
//! of; what follows is what happens to lie behind it, and cutting runs there would make them ever smaller.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};

/// With so many others that are sent what nobody had, the sender's wire is full of that.
const OTHERS_MIN: usize = 2;

/// For so long a chunk counts as being on its way to its first receiver.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Runs in one refusal: the newest are kept, and a second of whole runs are far fewer.
const OUT_RUNS_MAX: usize = 1000;

/// To whom each chunk of one payload went first. `P` names a receiver.
#[derive(Debug, Clone)]
pub struct FirstCopies<P> {
    /// By chunk: the place of its first receiver; 0: nobody was sent it.
    first: Vec<u32>,
    /// A number from 1 for each receiver.
    places: BTreeMap<P, u32>,
    /// How many runs with first copies are on their way to each receiver.
    sending: BTreeMap<P, u32>,
    /// What went out for the first time lately, oldest first.
    lately: VecDeque<(Instant, Range<u32>)>,
}

/// An admitted run that ends by [`FirstCopies::ended`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it counts as being sent until it has ended"]
pub struct AdmittedRun<P> {
    receiver: P,
    has_first: bool,
}

impl<P: Copy + Ord> FirstCopies<P> {
    /// Nothing has gone out of a payload of so many chunks.
    pub fn new(chunks: u32) -> Self {
        Self {
            first: vec![0; chunks as usize],
            places: BTreeMap::new(),
            sending: BTreeMap::new(),
            lately: VecDeque::new(),
        }
    }

    /// Whether `receiver` is sent this run of chunk numbers, of which those beyond the payload do not count.
    ///
    /// # Errors
    /// The chunks that are out, in order: those of the run that others were sent first, and whatever went out
    /// first within the last second. At most 1,000 runs of them.
    pub fn admit(
        &mut self,
        now: Instant,
        receiver: P,
        run: Range<u32>,
    ) -> Result<AdmittedRun<P>, Vec<Range<u32>>> {
        let long_ago = |(at, _): &(Instant, _)| now.saturating_duration_since(*at) > ON_ITS_WAY;
        while self.lately.front().is_some_and(long_ago) {
            self.lately.pop_front();
        }
        let others = self.sending.keys().filter(|other| **other != receiver);
        if others.count() >= OTHERS_MIN && self.went_to_another(run.start, receiver) {
            return Err(self.out(receiver, run));
        }
        let has_first = self.note(now, receiver, run);
        if has_first {
            *self.sending.entry(receiver).or_default() += 1;
        }
        Ok(AdmittedRun {
            receiver,
            has_first,
        })
    }

    /// An admitted run is over. What of it was not sent may go to another as if for the first time.
    #[expect(clippy::needless_pass_by_value, reason = "a run ends once")]
    pub fn ended(&mut self, run: AdmittedRun<P>, unsent: Range<u32>) {
        let AdmittedRun {
            receiver,
            has_first,
        } = run;
        if has_first && let Some(runs) = self.sending.get_mut(&receiver) {
            *runs -= 1;
            if *runs == 0 {
                self.sending.remove(&receiver);
            }
        }
        let place = self.places.get(&receiver).copied();
        for first in self
            .first
            .iter_mut()
            .take(unsent.end as usize)
            .skip(unsent.start as usize)
        {
            if Some(*first) == place {
                *first = 0;
            }
        }
    }

    /// A receiver is gone, and whatever it was sent first with it.
    pub fn left(&mut self, receiver: P) {
        if let Some(place) = self.places.get(&receiver).copied() {
            let its = self.first.iter_mut().filter(|first| **first == place);
            its.for_each(|first| *first = 0);
        }
    }

    /// Whether some run with first copies is under way.
    pub fn is_idle(&self) -> bool {
        self.sending.is_empty()
    }

    fn went_to_another(&self, chunk: u32, receiver: P) -> bool {
        let first = self.first.get(chunk as usize).copied().unwrap_or_default();
        first != 0 && self.places.get(&receiver).copied() != Some(first)
    }

    /// Notes who is sent this first; whether any of it had gone to nobody.
    fn note(&mut self, now: Instant, receiver: P, run: Range<u32>) -> bool {
        let place = self.place(receiver);
        let mut fresh: Vec<u32> = Vec::new();
        for chunk in run {
            if let Some(first) = self.first.get_mut(chunk as usize)
                && *first == 0
            {
                *first = place;
                fresh.push(chunk);
            }
        }
        let runs = runs_of(fresh.iter().copied());
        self.lately.extend(runs.into_iter().map(|run| (now, run)));
        !fresh.is_empty()
    }

    fn place(&mut self, receiver: P) -> u32 {
        if let Some(place) = self.places.get(&receiver) {
            return *place;
        }
        let place = u32::try_from(self.places.len() + 1).unwrap_or(u32::MAX);
        self.places.insert(receiver, place);
        place
    }

    fn out(&self, receiver: P, run: Range<u32>) -> Vec<Range<u32>> {
        let asked = run.filter(|chunk| self.went_to_another(*chunk, receiver));
        let lately = self.lately.iter().rev().map(|(_, run)| run.clone());
        let mut out: Vec<Range<u32>> = runs_of(asked).into_iter().chain(lately).collect();
        out.truncate(OUT_RUNS_MAX);
        out.sort_unstable_by_key(|run| run.start);
        join_neighbours(out)
    }
}

/// Ascending numbers as runs.
fn runs_of(chunks: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    join_neighbours(chunks.map(|chunk| chunk..chunk + 1))
}

/// Joins what touches or overlaps; by ascending start.
fn join_neighbours(runs: impl IntoIterator<Item = Range<u32>>) -> Vec<Range<u32>> {
    let mut joined: Vec<Range<u32>> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => joined.push(run),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three receivers, each being sent its own hundred of a payload of 300.
    fn busy() -> (FirstCopies<char>, Instant) {
        let (mut firsts, now) = (FirstCopies::new(300), Instant::now());
        for (receiver, from) in [('a', 0), ('b', 100), ('c', 200)] {
            let _ = firsts.admit(now, receiver, from..from + 10).unwrap();
        }
        (firsts, now)
    }

    #[test]
    fn what_another_was_sent_first_is_refused_while_two_others_get_what_is_new() {
        let (mut firsts, now) = busy();
        let out = firsts.admit(now, 'a', 105..112).unwrap_err();
        assert_eq!(out, [0..10, 100..110, 200..210]);
        let late = now + ON_ITS_WAY * 2;
        let out = firsts.admit(late, 'a', 105..112).unwrap_err();
        // What is not on its way any more is not told.
        assert_eq!((out.len(), out[0].clone()), (1, 105..110));
        assert!(firsts.admit(now, 'a', 5..8).is_ok(), "its own, again");
        assert!(
            firsts.admit(now, 'a', 95..112).is_ok(),
            "the first chunk decides"
        );
        assert!(firsts.admit(now, 'd', 50..60).is_ok());
    }

    #[test]
    fn with_one_other_nothing_is_refused() {
        let (mut firsts, now) = (FirstCopies::new(300), Instant::now());
        let sending = firsts.admit(now, 'b', 0..10).unwrap();
        assert!(firsts.admit(now, 'a', 0..10).is_ok());
        let to_c = firsts.admit(now, 'c', 20..30).unwrap();
        assert!(firsts.admit(now, 'a', 0..10).is_err());
        firsts.ended(to_c, 30..30);
        assert!(firsts.admit(now, 'a', 0..10).is_ok());
        firsts.ended(sending, 10..10);
        assert!(firsts.is_idle(), "what is a second copy does not count");
    }

    #[test]
    fn what_was_not_sent_or_went_away_with_its_receiver_is_new_again() {
        let (mut firsts, now) = busy();
        let to_d = firsts.admit(now, 'd', 50..60).unwrap();
        firsts.ended(to_d, 54..60);
        assert!(firsts.admit(now, 'a', 53..54).is_err(), "that was sent");
        assert!(firsts.admit(now, 'a', 54..60).is_ok(), "that was not");
        assert!(firsts.admit(now, 'b', 205..206).is_err());
        firsts.left('c');
        assert!(firsts.admit(now, 'b', 205..206).is_ok());
    }

    #[test]
    fn a_run_beyond_the_payload_changes_nothing() {
        let (mut firsts, now) = busy();
        let beyond = firsts.admit(now, 'a', 300..400).unwrap();
        firsts.ended(beyond, 300..400);
        assert!(firsts.admit(now, 'a', 105..106).is_err());
    }

    #[test]
    fn a_refusal_has_at_most_a_thousand_runs() {
        let (mut firsts, now) = (FirstCopies::new(10_000), Instant::now());
        for (receiver, chunk) in (0..10_000).step_by(2).enumerate() {
            let _ = firsts.admit(now, receiver, chunk..chunk + 1).unwrap();
        }
        let out = firsts.admit(now, usize::MAX, 0..1).unwrap_err();
        assert_eq!(out.len(), OUT_RUNS_MAX);
        assert_eq!(out[0], 0..1, "what was asked for is always told");
        assert_eq!(out[OUT_RUNS_MAX - 1], 9998..9999, "and what is newest");
    }
}
