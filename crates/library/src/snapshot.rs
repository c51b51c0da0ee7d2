//! What a [`Library`](crate::Library) tells: snapshots, which are the truth, and events, which are hints.

use std::{collections::BTreeMap, sync::Arc};

use lanspread_disk::StateError;
use lanspread_proto::{GameId, ManifestId, Version};

use crate::refusal::Refusal;

/// Every game that exists here in any state and that the catalog admits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LibrarySnapshot {
    /// Grows by one with every change, from 1 after the first scan. It starts again with the process.
    pub revision: u64,
    /// The games.
    pub games: BTreeMap<GameId, LocalGame>,
    /// The folders that are not announced although they look like games, by name.
    pub refused: BTreeMap<String, Arc<Refusal>>,
}

/// One game that exists here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalGame {
    /// The folder's name.
    pub id: GameId,
    /// The sentinel's version; none without a sentinel that can be read.
    pub version: Option<Version>,
    /// What of the payload is here.
    pub state: LocalState,
    /// Whether `local/` is a directory.
    pub installed: bool,
    /// Which version `local/` was installed from, if that was recorded.
    pub installed_version: Option<Version>,
    /// Bytes of the payload as far as they are known: of the manifest, or of the files found so far.
    pub bytes: u64,
    /// The payload's id. It is there exactly while the game may be served.
    pub manifest: Option<ManifestId>,
}

/// What of a game's payload is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalState {
    /// Nothing; the game is listed because `local/` is here.
    Absent,
    /// A download began and has not finished.
    Partial,
    /// The sentinel is here, the files are not all hashed or are in doubt.
    Indexing,
    /// Complete, hashed, and announced.
    Downloaded,
    /// The sentinel is here and something keeps the game from being announced:
    /// [`LibrarySnapshot::refused`] says what. A damaged download is one of these.
    Refused,
}

impl LibrarySnapshot {
    /// One game.
    pub fn get(&self, id: &GameId) -> Option<&LocalGame> {
        self.games.get(id)
    }

    /// The games that may be served, with their manifests.
    pub fn announced(&self) -> impl Iterator<Item = (&LocalGame, ManifestId)> {
        self.games
            .values()
            .filter_map(|game| Some((game, game.manifest?)))
    }
}

/// Something that happened in the library. A slow receiver misses some; the snapshot has what counts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LibraryEvent {
    /// A folder is not announced. Comes once until the reason changes or goes away.
    Refused(Arc<Refusal>),
    /// Hashing of a game went on; the last one has `bytes_done == bytes_total`.
    IndexProgress {
        /// The game.
        game: GameId,
        /// Bytes hashed since this game's hashing began, and what an earlier run hashed of the files that it
        /// did not finish.
        bytes_done: u64,
        /// Bytes that have to be hashed.
        bytes_total: u64,
    },
    /// A run of the monitor has looked at every file of every game once. What is announced now is true; what
    /// came from the index before was only likely.
    EverythingSeen,
    /// The index could not be used and was put aside; everything is hashed again.
    IndexDiscarded {
        /// Why.
        error: Arc<StateError>,
    },
    /// A file of the state directory could not be written; after a restart the game is hashed again.
    IndexNotSaved {
        /// Why.
        error: Arc<StateError>,
    },
    /// The system gives no more notices about changes; changes in these folders are found by the periodic
    /// scan only. On Linux `fs.inotify.max_user_watches` is the limit.
    WatchesExhausted {
        /// How many folders go without.
        folders: usize,
    },
}
