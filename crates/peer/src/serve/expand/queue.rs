//! Who may have an archive expanded: two at a time, and a few who wait in order.

use std::collections::BTreeMap;

use lanspread_proto::{
    GameId,
    limits::{EXPAND_JOBS_MAX, EXPAND_QUEUE_MAX},
};
use tokio::sync::watch;

/// Everyone who is served or waits, in the order in which they came. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct ExpandQueue(watch::Sender<Line>);

#[derive(Debug, Default)]
struct Line {
    tickets: Vec<(u64, GameId)>,
    next: u64,
}

/// A place in the line; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Place {
    line: watch::Sender<Line>,
    changes: watch::Receiver<Line>,
    ticket: u64,
}

/// Nobody more can wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Default for ExpandQueue {
    fn default() -> Self {
        Self(watch::Sender::new(Line::default()))
    }
}

impl ExpandQueue {
    /// The next place.
    pub(super) fn enter(&self, game: &GameId) -> Result<Place, Full> {
        let mut ticket = None;
        self.0.send_if_modified(|line| {
            if line.tickets.len() >= EXPAND_JOBS_MAX + EXPAND_QUEUE_MAX {
                return false;
            }
            line.tickets.push((line.next, game.clone()));
            ticket = Some(line.next);
            line.next += 1;
            true
        });
        Ok(Place {
            line: self.0.clone(),
            changes: self.0.subscribe(),
            ticket: ticket.ok_or(Full)?,
        })
    }

    /// How many receivers wait, by game.
    pub(crate) fn waiting(&self) -> BTreeMap<GameId, usize> {
        let mut waiting = BTreeMap::new();
        for (_, game) in self.0.borrow().tickets.iter().skip(EXPAND_JOBS_MAX) {
            *waiting.entry(game.clone()).or_default() += 1;
        }
        waiting
    }
}

impl Place {
    /// How many places are before it until it is served; 0 when it is.
    pub(super) fn position(&mut self) -> u32 {
        let line = self.changes.borrow_and_update();
        let index = line
            .tickets
            .iter()
            .position(|(ticket, _)| *ticket == self.ticket)
            .unwrap_or_default();
        u32::try_from((index + 1).saturating_sub(EXPAND_JOBS_MAX)).unwrap_or(u32::MAX)
    }

    /// Waits until somebody came or went.
    pub(super) async fn changed(&mut self) {
        // Never closed: this place holds a sender itself.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line
            .send_modify(|line| line.tickets.retain(|(ticket, _)| *ticket != self.ticket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_served_eight_wait_in_order_and_the_next_is_turned_away() {
        let queue = ExpandQueue::default();
        let game: GameId = "doom".parse().unwrap();
        let mut places: Vec<Place> = (0..EXPAND_JOBS_MAX + EXPAND_QUEUE_MAX)
            .map(|_| queue.enter(&game).unwrap())
            .collect();
        let positions: Vec<u32> = places.iter_mut().map(Place::position).collect();
        assert_eq!(positions, [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(queue.waiting()[&game], EXPAND_QUEUE_MAX);
        assert!(queue.enter(&game).is_err());
        // One that waits gives up, then one that is served is done.
        drop(places.remove(4));
        drop(places.remove(0));
        let positions: Vec<u32> = places.iter_mut().map(Place::position).collect();
        assert_eq!(positions, [0, 0, 1, 2, 3, 4, 5, 6]);
        let mut last = queue.enter(&game).unwrap();
        assert_eq!(last.position(), 7);
        drop((places, last));
        assert!(queue.waiting().is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_every_change() {
        let queue = ExpandQueue::default();
        let game: GameId = "doom".parse().unwrap();
        let first: Vec<Place> = (0..EXPAND_JOBS_MAX)
            .map(|_| queue.enter(&game).unwrap())
            .collect();
        let mut waiting = queue.enter(&game).unwrap();
        assert_eq!(waiting.position(), 1);
        drop(first);
        waiting.changed().await;
        assert_eq!(waiting.position(), 0);
    }
}
