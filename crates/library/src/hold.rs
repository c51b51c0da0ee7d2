//! Who works on a game: an operation that holds it, or a look that saves what it found.

use std::sync::{Arc, MutexGuard, PoisonError};

use lanspread_proto::GameId;

use crate::{
    library::{Library, Shared},
    records::{Records, Ticket},
};

/// While it lives, the monitor publishes nothing about this game and saves nothing of it: an operation works in
/// its folders. When the last one is dropped, the game is looked at.
#[derive(Debug)]
#[must_use = "the game is held only while this lives"]
pub struct Hold {
    shared: Arc<Shared>,
    game: GameId,
}

/// While it lives, a look writes the game's manifest.
#[must_use = "a hold waits only while this lives"]
pub(crate) struct Saving<'a> {
    shared: &'a Shared,
    game: &'a GameId,
}

impl Library {
    /// Keeps the monitor from publishing or saving anything about this game. A look that is just saving the
    /// game's manifest is waited for, which takes as long as writing a manifest does.
    pub fn hold(&self, game: &GameId) -> Hold {
        let mut records = self.shared.records();
        records.hold(game);
        drop(self.shared.until_saved(records, game));
        Hold {
            shared: Arc::clone(&self.shared),
            game: game.clone(),
        }
    }
}

impl Shared {
    /// The permission to save what a look found; `None` if it counts no longer.
    pub(crate) fn begin_saving<'a>(&'a self, ticket: &'a Ticket) -> Option<Saving<'a>> {
        let game = &ticket.game;
        // Of a run that was cut off, a thread may still be at it.
        let mut records = self.until_saved(self.records(), game);
        let shared = self;
        records
            .begin_saving(ticket)
            .then(|| Saving { shared, game })
    }

    fn until_saved<'a>(
        &self,
        records: MutexGuard<'a, Records>,
        game: &GameId,
    ) -> MutexGuard<'a, Records> {
        let is_saving = |records: &mut Records| records.is_saving(game);
        let records = self.saved.wait_while(records, is_saving);
        records.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.shared.records().release(&self.game) {
            self.shared
                .wish(|wishes| _ = wishes.games.insert(self.game.clone()));
        }
    }
}

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        self.shared.records().end_saving(self.game);
        self.shared.saved.notify_all();
    }
}
