//! Counting who holds how many of something.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many seats each one has taken. A cheap handle.
#[derive(Debug)]
pub(super) struct Seats<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Seat<K: Eq + Hash> {
    holder: K,
    seats: Seats<K>,
}

impl<K> Clone for Seats<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Seats<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Seats<K> {
    /// Takes one more, unless `holder` has `most` already.
    pub(super) fn take(&self, holder: K, most: usize) -> Option<Seat<K>> {
        let mut counts = self.counts();
        let count = counts.entry(holder.clone()).or_default();
        if *count < most {
            *count += 1;
            let seats = self.clone();
            return Some(Seat { holder, seats });
        }
        if *count == 0 {
            counts.remove(&holder);
        }
        None
    }

    /// How many `holder` has.
    pub(super) fn taken(&self, holder: &K) -> usize {
        self.counts().get(holder).copied().unwrap_or(0)
    }
}

impl<K> Seats<K> {
    fn counts(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut counts = self.seats.counts();
        if let Some(count) = counts.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_has_so_many_and_a_dropped_seat_is_free() {
        let seats = Seats::default();
        let first = seats.take("one", 2).unwrap();
        let _second = seats.take("one", 2).unwrap();
        assert!(seats.take("one", 2).is_none());
        let _other = seats.take("other", 2).unwrap();
        drop(first);
        assert_eq!(seats.taken(&"one"), 1);
        assert!(seats.take("one", 2).is_some());
    }

    #[test]
    fn who_has_none_is_forgotten() {
        let seats = Seats::default();
        drop(seats.take(1, 5));
        assert!(seats.take(2, 0).is_none());
        assert!(seats.counts().is_empty());
    }
}
