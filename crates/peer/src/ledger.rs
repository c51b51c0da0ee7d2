//! Who is being sent what, and how many bytes went in each direction.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lanspread_proto::GameId;

/// Counts of payload traffic since the start. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    outbound: BTreeMap<GameId, usize>,
    sent: BTreeMap<GameId, u64>,
    received: BTreeMap<GameId, u64>,
}

/// Counts one outbound transfer for as long as it lives: an answer under way holds one, so a transfer
/// that ended in whatever way is not counted any more.
#[derive(Debug)]
pub struct TransferGuard {
    ledger: Ledger,
    game: GameId,
}

impl Ledger {
    pub(crate) fn begin(&self, game: &GameId) -> TransferGuard {
        *self.lock().outbound.entry(game.clone()).or_default() += 1;
        TransferGuard {
            ledger: self.clone(),
            game: game.clone(),
        }
    }

    pub(crate) fn received(&self, game: &GameId, bytes: u64) {
        add(&mut self.lock().received, game, bytes);
    }

    pub(crate) fn outbound_transfers(&self) -> BTreeMap<GameId, usize> {
        self.lock().outbound.clone()
    }

    pub(crate) fn sent_bytes(&self) -> BTreeMap<GameId, u64> {
        self.lock().sent.clone()
    }

    pub(crate) fn received_bytes(&self) -> BTreeMap<GameId, u64> {
        self.lock().received.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TransferGuard {
    /// Counts bytes that went out.
    pub(crate) fn sent(&self, bytes: u64) {
        add(&mut self.ledger.lock().sent, &self.game, bytes);
    }
}

impl Drop for TransferGuard {
    fn drop(&mut self) {
        let mut counts = self.ledger.lock();
        if let Some(count) = counts.outbound.get_mut(&self.game) {
            *count -= 1;
            if *count == 0 {
                counts.outbound.remove(&self.game);
            }
        }
    }
}

fn add(counts: &mut BTreeMap<GameId, u64>, game: &GameId, bytes: u64) {
    match counts.get_mut(game) {
        Some(count) => *count += bytes,
        None => drop(counts.insert(game.clone(), bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_without_a_transfer_is_absent() {
        let ledger = Ledger::default();
        let game: GameId = "doom".parse().unwrap();
        let (first, second) = (ledger.begin(&game), ledger.begin(&game));
        assert_eq!(ledger.outbound_transfers()[&game], 2);
        first.sent(7);
        drop(first);
        assert_eq!(ledger.outbound_transfers()[&game], 1);
        drop(second);
        assert!(ledger.outbound_transfers().is_empty());
        assert_eq!(ledger.sent_bytes()[&game], 7);
    }
}
