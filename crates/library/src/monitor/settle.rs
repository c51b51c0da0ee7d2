//! What the monitor does with what was found: records, events, and what to do next.

use std::{collections::BTreeSet, ffi::OsString};

use tokio::task::JoinError;

use super::{Done, Monitor, Round, event, now};
use crate::{
    hash::{Ending, Job, Outcome},
    library::LibraryError,
    look::{GameLook, RootLook, Verdict},
    records::{Settled, Ticket},
    refusal::RefusalReason,
    schedule::Target,
    snapshot::LibraryEvent,
};

impl Monitor {
    pub(super) fn settle_task(
        &mut self,
        done: Result<Done, JoinError>,
    ) -> Result<(), LibraryError> {
        match done.map_err(LibraryError::Thread)? {
            Done::Root(look) => {
                self.looking.remove(&Target::Root);
                self.settle_root(look?);
            }
            Done::Game(look) => {
                let id = look.ticket.game.clone();
                let counts = self.settle_game(*look);
                if let (Round::Unseen(unseen), true) = (&mut self.round, counts) {
                    unseen.remove(&id);
                }
                self.looking.remove(&Target::Game(id));
                self.end_round();
            }
            Done::Saved => self.saving = false,
        }
        Ok(())
    }

    fn settle_root(&mut self, look: RootLook) {
        let now = now();
        self.candidates.clone_from(&look.scan.candidates);
        for id in look
            .newly_watched
            .iter()
            .filter_map(|name: &OsString| name.to_str()?.parse().ok())
        {
            self.schedule.at_once(now, Target::Game(id));
        }
        if look.without_watch > self.without_watch {
            self.shared.emit(LibraryEvent::WatchesExhausted {
                folders: look.without_watch,
            });
        }
        self.without_watch = look.without_watch;
        let mut records = self.shared.records();
        if records.touched_any() != look.touched_any {
            // A game came or went meanwhile; this list may be older than that.
            drop(records);
            self.schedule.at_once(now, Target::Root);
            return;
        }
        let new = records.settle_root(look.scan);
        self.index_dirty |= look.others || records.any_vanished();
        self.shared.publish(&records);
        if let Round::Beginning = self.round {
            let all: BTreeSet<_> = records.ids().cloned().collect();
            for id in &all {
                self.schedule.at_once(now, Target::Game(id.clone()));
            }
            self.round = Round::Unseen(all);
        }
        drop(records);
        for id in new {
            self.schedule.at_once(now, Target::Game(id));
        }
        if let Round::Unseen(unseen) = &mut self.round {
            unseen.retain(|id| self.candidates.contains(id));
        }
        self.end_round();
    }

    /// Tells when every game was looked at for the first time.
    fn end_round(&mut self) {
        if matches!(&self.round, Round::Unseen(unseen) if unseen.is_empty()) {
            self.round = Round::Over;
            self.shared.emit(LibraryEvent::EverythingSeen);
        }
    }

    /// Takes over what a look found; tells whether it counts. If not, another look will.
    fn settle_game(&mut self, look: GameLook) -> bool {
        let GameLook { ticket, verdict } = look;
        let mut records = self.shared.records();
        if !records.is_current(&ticket) {
            drop(records);
            self.schedule.at_once(now(), Target::Game(ticket.game));
            return false;
        }
        let id = &ticket.game;
        let mut to_hash = None;
        match verdict {
            Verdict::Gone => {
                records.vanish(id);
                self.index_dirty = true;
            }
            Verdict::Bare(folder) => records.settle(id, &folder, None),
            Verdict::Changed(folder) => {
                records.settle(id, &folder, None);
                self.shared.publish(&records);
                drop(records);
                self.schedule.note(now(), Target::Game(ticket.game));
                return true;
            }
            Verdict::Refused(folder, reason) => {
                records.settle(id, &folder, Some(Settled::Refused(reason)));
            }
            Verdict::Complete {
                folder,
                slot,
                changed,
                new,
            } => {
                records.settle(id, &folder, Some(Settled::Complete(slot)));
                self.index_dirty |= changed;
                if new {
                    // A game that is being copied here grows where no watch reports it.
                    self.schedule.note_later(now(), Target::Game(id.clone()));
                }
            }
            Verdict::ToHash {
                folder,
                root,
                files,
                bytes,
                remembered,
            } => {
                records.settle(id, &folder, Some(Settled::Indexing { bytes }));
                if let Some(remembered) = remembered {
                    records.remember(id, remembered);
                }
                let (game, begun) = (id.clone(), records.begun(id, &files));
                to_hash = Some(Job {
                    game,
                    root,
                    files,
                    begun,
                });
            }
        }
        self.shared.publish(&records);
        drop(records);
        self.hash(&ticket, to_hash);
        true
    }

    /// Begins to hash what a look asks for, or ends what no longer has to be hashed.
    fn hash(&mut self, ticket: &Ticket, job: Option<Job>) {
        let Some(job) = job else {
            // An announced game needs nothing more; of another one the files may come back.
            let hashed = self.pool.remove(&ticket.game);
            self.shared.records().learn(&ticket.game, hashed);
            self.urgent.remove(&ticket.game);
            return;
        };
        let urgent = self.urgent.contains(&ticket.game);
        if let Some(outcome) = self.pool.submit(job, urgent) {
            self.settle_hashing(outcome);
        }
    }

    /// What was hashed becomes known; the look that follows puts it together, if nothing changed meanwhile.
    pub(super) fn settle_hashing(&mut self, outcome: Outcome) {
        let Outcome {
            progress,
            hashed,
            ending,
        } = outcome;
        let id = progress.game.clone();
        self.told.remove(&id);
        self.note_hashing();
        let mut records = self.shared.records();
        records.learn(&id, hashed);
        match ending {
            Ending::Done => {
                self.schedule.at_once(now(), Target::Game(id));
                self.shared.emit(event(progress));
            }
            Ending::Changed => self.schedule.note(now(), Target::Game(id)),
            Ending::Failed(error) => {
                records.refuse(&id, RefusalReason::Unreadable(error));
                self.shared.publish(&records);
            }
        }
    }

    pub(super) fn tell_progress(&mut self) {
        self.note_hashing();
        for progress in self.pool.progress() {
            let told = self.told.insert(progress.game.clone(), progress.bytes_done);
            if told != Some(progress.bytes_done) {
                self.shared.emit(event(progress));
            }
        }
    }
}
