//! When and what the monitor saves: the index after a change, hashes of unfinished games now and then.

use std::{collections::HashMap, mem, sync::Arc, time::Instant};

use super::{Done, Monitor, now};
use crate::{library::LibraryError, unfinished::Progress};

impl Monitor {
    /// Files were hashed; they are to be saved before long.
    pub(super) fn note_hashing(&mut self) {
        let later = now() + self.shared.config.timing.save;
        self.hashing_due.get_or_insert(later);
    }

    /// When something is to be saved next.
    pub(super) fn saving_deadline(&self) -> Option<Instant> {
        self.hashing_due.filter(|_| !self.saving)
    }

    pub(super) fn begin_saving(&mut self, now: Instant) {
        if self.saving {
            return;
        }
        let hashing = self.hashing_due.take_if(|due| *due <= now).is_some();
        let progress = if hashing {
            self.progress(false)
        } else {
            Vec::new()
        };
        let index = mem::take(&mut self.index_dirty);
        if index || !progress.is_empty() {
            self.saving = true;
            let shared = Arc::clone(&self.shared);
            self.tasks.spawn_blocking(move || {
                shared.save(&progress, index);
                Done::Saved
            });
        }
    }

    /// Saves all there is when the run is over and its threads have ended. What looks found that were under
    /// way counts too.
    pub(super) async fn save_at_last(&mut self) -> Result<(), LibraryError> {
        self.tasks.abort_all();
        let mut ended = Ok(());
        while let Some(done) = self.tasks.join_next().await {
            if !matches!(&done, Err(error) if error.is_cancelled()) {
                ended = ended.and(self.settle_task(done));
            }
        }
        for (game, hashed) in self.pool.take() {
            self.shared.records().learn(&game, hashed);
        }
        // What was about to be saved and is not counts as not saved.
        let (shared, progress) = (Arc::clone(&self.shared), self.progress(self.saving));
        let saved = tokio::task::spawn_blocking(move || shared.save(&progress, true));
        saved.await.map_err(LibraryError::Thread)?;
        ended
    }

    /// What was hashed since the last time, or `ever`, of games that are not announced, with all that is known
    /// of them.
    fn progress(&self, ever: bool) -> Vec<Progress> {
        let mut running: HashMap<_, _> = self
            .pool
            .hashed()
            .into_iter()
            .map(|(game, news, hashed)| (game, (news, hashed)))
            .collect();
        let of_game = |(game, unsaved, known)| {
            let (news, hashed) = running.remove(&game).unwrap_or_default();
            (ever || unsaved || news).then(|| Progress {
                game,
                known,
                running: hashed.into_iter().collect(),
            })
        };
        let mut records = self.shared.records();
        records.take_unfinished().filter_map(of_game).collect()
    }
}
