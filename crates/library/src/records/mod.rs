//! What is known of each game, in memory: the state behind the snapshots.
//!
//! Looks at the disk take time and finish in any order, and operations change the disk meanwhile. Every look
//! begins with a [`Ticket`]; what it found counts only if no operation touched the game since or held it at any
//! moment of the look. Hashing takes longer than a look: what it found counts per file, until that file is doubted.

mod record;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::Arc,
};

use lanspread_proto::{GameId, GamePath, ManifestId};

use self::record::Record;
pub(crate) use self::record::Settled;
use crate::{
    hash::{FileToHash, Hashed, Pieces},
    index::{Entry, Index, IndexedGame},
    payload::{LocalPayload, PayloadSlot},
    refusal::{Refusal, RefusalReason},
    scan::{FolderScan, KnownHashes, LocalScan, Sentinel, SentinelScan},
    snapshot::LibrarySnapshot,
};

/// Everything that is known.
#[derive(Debug, Default)]
pub(crate) struct Records {
    games: BTreeMap<GameId, Record>,
    /// What the index knows of games that are not here now: their disk may come back.
    absent: BTreeMap<GameId, Arc<IndexedGame>>,
    /// Games that went away since [`Records::take_vanished`].
    vanished: BTreeSet<GameId>,
    /// From the last look at the game directory.
    refused_folders: Vec<Arc<Refusal>>,
    holds: HashMap<GameId, usize>,
    /// How often operations touched each game. A hold touches it when it begins and when it ends.
    touched: HashMap<GameId, u64>,
    /// How often operations touched any game, or a game came or went.
    touched_any: u64,
    /// Games of which a look writes the manifest.
    saving: BTreeSet<GameId>,
}

/// The permission to change one game's record after a look.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) game: GameId,
    touched: u64,
}

/// What a look at a game starts from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) slot: Option<Arc<PayloadSlot>>,
    pub(crate) hashes: Arc<KnownHashes>,
}

impl Records {
    /// The records after the first look, before any payload was walked.
    pub(crate) fn open(scan: LocalScan, index: Index) -> Self {
        let mut records = Self {
            refused_folders: scan.refused,
            ..Self::default()
        };
        let mut indexed: BTreeMap<_, _> = index.games;
        for (id, folder) in scan.games {
            let entry = indexed.remove(&id);
            let trusted = entry.as_ref().is_some_and(|entry| entry.announced);
            records
                .absent
                .extend(entry.map(|entry| (id.clone(), entry.game)));
            records.appear(&id, &folder);
            if let (true, SentinelScan::Valid(sentinel)) = (trusted, &folder.sentinel)
                && let Some(record) = records.games.get_mut(&id)
            {
                record.trust(sentinel);
            }
        }
        records
            .absent
            .extend(indexed.into_iter().map(|(id, entry)| (id, entry.game)));
        records
    }

    // # Operations

    pub(crate) fn hold(&mut self, id: &GameId) {
        *self.holds.entry(id.clone()).or_default() += 1;
        self.touch(id);
    }

    /// Ends one hold; tells whether it was the last.
    pub(crate) fn release(&mut self, id: &GameId) -> bool {
        let Some(holds) = self.holds.get_mut(id) else {
            return false;
        };
        *holds -= 1;
        let last = *holds == 0;
        if last {
            self.holds.remove(id);
        }
        // What was seen while the operation worked is no longer so.
        self.touch(id);
        last
    }

    pub(crate) fn is_held(&self, id: &GameId) -> bool {
        self.holds.contains_key(id)
    }

    fn touch(&mut self, id: &GameId) {
        *self.touched.entry(id.clone()).or_default() += 1;
        self.touched_any += 1;
    }

    /// Takes back an announcement. What is known of `doubted` is not to be used any more.
    pub(crate) fn withdraw(&mut self, id: &GameId, doubted: &[GamePath]) {
        self.touch(id);
        if let Some(record) = self.games.get_mut(id) {
            record.withdraw();
            for path in doubted {
                Arc::make_mut(&mut record.known).doubt(path);
            }
        }
    }

    /// An operation made this payload complete.
    pub(crate) fn commit(&mut self, id: &GameId, folder: &FolderScan, slot: Arc<PayloadSlot>) {
        self.touch(id);
        self.appear(id, folder);
        if let Some(record) = self.games.get_mut(id) {
            record.settle(id, Settled::Complete(slot));
        }
    }

    /// An operation says what is in the game's folder now; the payload is as it was.
    pub(crate) fn refresh(&mut self, id: &GameId, folder: Option<&FolderScan>) {
        self.touch(id);
        match folder {
            Some(folder) => self.appear(id, folder),
            None => self.vanish(id),
        }
    }

    // # Looks

    /// For a look at the whole game directory, which counts only if this is still the same: its list is older than
    /// what an operation or a look at a game said since.
    pub(crate) const fn touched_any(&self) -> u64 {
        self.touched_any
    }

    pub(crate) fn ticket(&self, id: &GameId) -> Ticket {
        let touched = self.touched.get(id).copied().unwrap_or_default();
        Ticket {
            game: id.clone(),
            touched,
        }
    }

    /// Whether no operation touched or held the game since the ticket was drawn.
    pub(crate) fn is_current(&self, ticket: &Ticket) -> bool {
        self.ticket(&ticket.game).touched == ticket.touched && !self.is_held(&ticket.game)
    }

    pub(crate) fn is_saving(&self, id: &GameId) -> bool {
        self.saving.contains(id)
    }

    /// Notes that a look saves what it found, if that counts.
    pub(crate) fn begin_saving(&mut self, ticket: &Ticket) -> bool {
        self.is_current(ticket) && self.saving.insert(ticket.game.clone())
    }

    pub(crate) fn end_saving(&mut self, id: &GameId) {
        self.saving.remove(id);
    }

    /// What a look at this game can start from.
    pub(crate) fn known(&self, id: &GameId) -> Known {
        if let Some(record) = self.games.get(id) {
            return Known {
                slot: record.slot.clone(),
                hashes: Arc::clone(&record.known),
            };
        }
        let indexed = self.absent.get(id).cloned();
        Known {
            slot: indexed.map(PayloadSlot::stored).map(Arc::new),
            ..Known::default()
        }
    }

    /// The folders of the game directory as they are now. Gives back the games that appeared.
    pub(crate) fn settle_root(&mut self, scan: LocalScan) -> Vec<GameId> {
        self.refused_folders = scan.refused;
        let is_gone = |id: &&GameId| !scan.games.contains_key(*id) && !self.is_held(id);
        let gone: Vec<GameId> = self.games.keys().filter(is_gone).cloned().collect();
        for id in &gone {
            self.vanish(id);
        }
        let is_new = |id: &&GameId| !self.games.contains_key(*id) && !self.is_held(id);
        let new: Vec<GameId> = scan.games.keys().filter(is_new).cloned().collect();
        for id in &new {
            self.appear(id, &scan.games[id]);
        }
        new
    }

    /// What a game's folder says now. Without `settled` the payload is left as it was, unless the folder says
    /// that there is none.
    pub(crate) fn settle(&mut self, id: &GameId, folder: &FolderScan, settled: Option<Settled>) {
        self.appear(id, folder);
        if let (Some(record), Some(settled)) = (self.games.get_mut(id), settled) {
            record.settle(id, settled);
        }
    }

    /// Nothing of the game is here any more.
    pub(crate) fn vanish(&mut self, id: &GameId) {
        self.vanished.insert(id.clone());
        let Some(record) = self.games.remove(id) else {
            return;
        };
        self.touched_any += 1;
        if let Some(slot) = record.slot {
            self.absent.insert(id.clone(), Arc::clone(slot.indexed()));
        }
    }

    /// Files were hashed, of a game that is not announced.
    pub(crate) fn learn(&mut self, id: &GameId, hashed: Hashed) {
        let record = self.games.get_mut(id).filter(|_| !hashed.is_empty());
        if let Some(record) = record.filter(|record| record.announced().is_none()) {
            let known = Arc::make_mut(&mut record.known);
            for (file, pieces) in hashed {
                known.learn(file, pieces);
            }
            record.unsaved = true;
        }
    }

    /// Files were hashed in an earlier run.
    pub(crate) fn remember(&mut self, id: &GameId, remembered: Hashed) {
        if let Some(record) = self.games.get_mut(id) {
            Arc::make_mut(&mut record.known).remember(remembered);
        }
    }

    /// What is saved of a game's hashes is not on disk.
    pub(crate) fn not_saved(&mut self, id: &GameId) {
        if let Some(record) = self.games.get_mut(id) {
            record.unsaved = true;
        }
    }

    /// A file cannot be read, of a game whose files were to be hashed. If they no longer are, a look or an
    /// operation has said since what the game is.
    pub(crate) fn refuse(&mut self, id: &GameId, reason: RefusalReason) {
        let held = self.is_held(id);
        let record = self.games.get_mut(id).filter(|_| !held);
        if let Some(record) = record.filter(|record| record.waits_for_hashes()) {
            record.settle(id, Settled::Refused(reason));
        }
    }

    fn appear(&mut self, id: &GameId, folder: &FolderScan) {
        let (absent, touched_any) = (&mut self.absent, &mut self.touched_any);
        let record = self.games.entry(id.clone()).or_insert_with(|| {
            *touched_any += 1;
            let indexed = absent.remove(id);
            Record::new(indexed.map(PayloadSlot::stored).map(Arc::new))
        });
        record.appear(folder);
    }

    // # Answers

    /// The games that are known here.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &GameId> {
        self.games.keys()
    }

    /// What is hashed of these files, none of them whole.
    pub(crate) fn begun(&self, id: &GameId, files: &[FileToHash]) -> HashMap<FileToHash, Pieces> {
        let record = self.games.get(id);
        record.map_or_else(HashMap::new, |record| record.known.begun(files))
    }

    /// The games that are not announced, whether something was learned of them since the last time, and what
    /// is known of their files.
    pub(crate) fn take_unfinished(
        &mut self,
    ) -> impl Iterator<Item = (GameId, bool, Arc<KnownHashes>)> {
        let unfinished = |record: &Record| record.announced().is_none();
        let records = self.games.iter_mut();
        records
            .filter(move |(_, record)| unfinished(record))
            .map(|(id, record)| {
                let unsaved = mem::take(&mut record.unsaved);
                (id.clone(), unsaved, Arc::clone(&record.known))
            })
    }

    /// Whether games went away that [`Records::take_vanished`] did not tell of.
    pub(crate) fn any_vanished(&self) -> bool {
        !self.vanished.is_empty()
    }

    /// The games that went away since the last time.
    pub(crate) fn take_vanished(&mut self) -> BTreeSet<GameId> {
        mem::take(&mut self.vanished)
    }

    /// The last complete payload of a game, announced or not.
    pub(crate) fn slot(&self, id: &GameId) -> Option<Arc<PayloadSlot>> {
        self.games.get(id)?.slot.clone()
    }

    /// A game that announces this manifest.
    pub(crate) fn announcing(&self, manifest: ManifestId) -> Option<(GameId, Arc<PayloadSlot>)> {
        self.games.iter().find_map(|(id, record)| {
            let slot = record
                .announced()
                .filter(|slot| slot.indexed().manifest == manifest)?;
            Some((id.clone(), Arc::clone(slot)))
        })
    }

    /// The snapshot that follows `last`; `None` if nothing changed.
    pub(crate) fn snapshot(&self, last: &LibrarySnapshot) -> Option<LibrarySnapshot> {
        let games: BTreeMap<_, _> = self
            .games
            .iter()
            .map(|(id, record)| (id.clone(), record.shown(id)))
            .collect();
        let of_games = self.games.values().filter_map(Record::refusal);
        let refused: BTreeMap<_, _> = self
            .refused_folders
            .iter()
            .chain(of_games)
            .map(|refusal| (refusal.folder.clone(), Arc::clone(refusal)))
            .collect();
        let changed = last.revision == 0 || games != last.games || refused != last.refused;
        changed.then(|| LibrarySnapshot {
            revision: last.revision + 1,
            games,
            refused,
        })
    }

    /// The index as it should be saved.
    pub(crate) fn index(&self) -> Index {
        let here = self.games.iter().filter_map(|(id, record)| {
            let announced = record.announced().is_some();
            Some((id, Arc::clone(record.slot.as_ref()?.indexed()), announced))
        });
        let absent = self
            .absent
            .iter()
            .map(|(id, game)| (id, Arc::clone(game), false));
        let entry =
            |(id, game, announced): (&GameId, _, _)| (id.clone(), Entry { announced, game });
        Index {
            games: absent.chain(here).map(entry).collect(),
        }
    }
}

impl Known {
    /// Whether `payload` is what the slot holds already.
    pub(crate) fn holds(&self, payload: &Arc<LocalPayload>, sentinel: &Sentinel) -> bool {
        let slot = self.slot.as_ref().filter(|slot| slot.holds(payload));
        slot.is_some_and(|slot| slot.indexed().sentinel == sentinel.stamp)
    }
}
