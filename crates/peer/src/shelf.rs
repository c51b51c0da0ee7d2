//! What this peer serves right now: the complete games of its library and the payloads that are just
//! arriving, as summaries for others and as sources to read from.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use lanspread_disk::{RealDisk, StoredPayload};
use lanspread_library::{Catalog, Library};
use lanspread_proto::{
    ChunkIndex, ChunkMap, ChunkSet, GameId, ManifestId, limits, message::GameSummary,
};
use tokio::sync::watch;

/// What is announced, at one moment.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Shown {
    /// Grows with every change.
    pub(crate) revision: u64,
    pub(crate) games: BTreeMap<GameId, GameSummary>,
}

/// A payload that is arriving: what is verified and stored of it can be served already.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) game: GameId,
    pub(crate) payload: StoredPayload,
    pub(crate) map: Arc<ChunkMap>,
    pub(crate) disk: Arc<RealDisk>,
    stored: Mutex<Stored>,
}

/// The stored chunks, as a set and in the order in which they came.
#[derive(Debug)]
struct Stored {
    set: ChunkSet,
    log: Vec<ChunkIndex>,
}

/// The shelf. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Shelf(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    partials: RwLock<HashMap<ManifestId, Arc<Partial>>>,
    shown: watch::Sender<Arc<Shown>>,
    gained: watch::Sender<u64>,
}

impl Partial {
    pub(crate) fn new(
        game: GameId,
        payload: StoredPayload,
        map: Arc<ChunkMap>,
        disk: Arc<RealDisk>,
        stored: ChunkSet,
    ) -> Self {
        let log = stored.iter().collect();
        Self {
            game,
            payload,
            map,
            disk,
            stored: Mutex::new(Stored { set: stored, log }),
        }
    }

    pub(crate) fn holds(&self, chunk: ChunkIndex) -> bool {
        self.lock().set.contains(chunk)
    }

    pub(crate) fn add(&self, chunks: &[ChunkIndex]) {
        let mut stored = self.lock();
        for chunk in chunks {
            if stored.set.insert(*chunk) {
                stored.log.push(*chunk);
            }
        }
    }

    /// The chunks that came since the log had `from` entries, sorted, and its length now.
    pub(crate) fn gained_since(&self, from: usize) -> (Vec<ChunkIndex>, usize) {
        let stored = self.lock();
        // A log that is shorter than what was told belongs to a later download of the same payload.
        let from = if from > stored.log.len() { 0 } else { from };
        let mut gained = stored.log[from..].to_vec();
        gained.sort_unstable();
        (gained, stored.log.len())
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn summary(&self, name: Option<&str>) -> GameSummary {
        let manifest = self.payload.manifest();
        GameSummary {
            id: self.game.clone(),
            name: name.map(cut_name),
            version: manifest.version().clone(),
            manifest: self.payload.id(),
            bytes: manifest.bytes(),
            complete: false,
        }
    }
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            partials: RwLock::default(),
            shown: watch::Sender::new(Arc::default()),
            gained: watch::Sender::new(0),
        }))
    }

    /// What is announced, and a way to hear of changes.
    pub(crate) fn shown(&self) -> watch::Receiver<Arc<Shown>> {
        self.0.shown.subscribe()
    }

    /// Whether this payload is announced.
    pub(crate) fn shows(&self, manifest: ManifestId) -> bool {
        let shown = self.0.shown.borrow();
        shown.games.values().any(|game| game.manifest == manifest)
    }

    /// Ticks when some partial payload gained chunks.
    pub(crate) fn gained(&self) -> watch::Receiver<u64> {
        self.0.gained.subscribe()
    }

    pub(crate) fn partial(&self, manifest: ManifestId) -> Option<Arc<Partial>> {
        self.read().get(&manifest).cloned()
    }

    /// Every payload that is arriving.
    pub(crate) fn partials(&self) -> Vec<Arc<Partial>> {
        self.read().values().cloned().collect()
    }

    /// The partial payload of a game.
    pub(crate) fn partial_of(&self, game: &GameId) -> Option<Arc<Partial>> {
        self.read()
            .values()
            .find(|partial| partial.game == *game)
            .cloned()
    }

    pub(crate) fn add_partial(&self, partial: Arc<Partial>) {
        self.0
            .partials
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(partial.payload.id(), partial);
    }

    pub(crate) fn remove_partial(&self, manifest: ManifestId) {
        self.0
            .partials
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&manifest);
    }

    /// Counts chunks as stored and tells subscribers.
    pub(crate) fn stored(&self, partial: &Partial, chunks: &[ChunkIndex]) {
        partial.add(chunks);
        self.0
            .gained
            .send_modify(|tick| *tick = tick.wrapping_add(1));
    }

    /// Works out anew what is announced; tells whether that changed.
    pub(crate) fn refresh(&self, library: &Library, catalog: &Catalog) -> bool {
        let mut games: BTreeMap<GameId, GameSummary> = library
            .snapshot()
            .announced()
            .filter_map(|(game, manifest)| {
                let summary = GameSummary {
                    id: game.id.clone(),
                    name: catalog.name(&game.id).map(cut_name),
                    version: game.version.clone()?,
                    manifest,
                    bytes: game.bytes,
                    complete: true,
                };
                Some((game.id.clone(), summary))
            })
            .collect();
        for partial in self.read().values() {
            let summary = partial.summary(catalog.name(&partial.game));
            games.entry(partial.game.clone()).or_insert(summary);
        }
        self.0.shown.send_if_modified(|shown| {
            let changed = shown.games != games;
            if changed {
                *shown = Arc::new(Shown {
                    revision: shown.revision + 1,
                    games,
                });
            }
            changed
        })
    }

    /// Withdraws everything; the connections that hear of it are told at once.
    pub(crate) fn clear(&self) {
        self.0.shown.send_modify(|shown| {
            *shown = Arc::new(Shown {
                revision: shown.revision + 1,
                games: BTreeMap::new(),
            });
        });
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<ManifestId, Arc<Partial>>> {
        self.0
            .partials
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name as it travels: short enough for a thousand of them in one frame, and without what could steer
/// the terminal that it is shown on.
pub(crate) fn cut_name(name: &str) -> String {
    let mut cut = String::new();
    for char in name.chars().filter(|char| !char.is_control()) {
        if cut.len() + char.len_utf8() > limits::PEER_NAME_BYTES_MAX {
            break;
        }
        cut.push(char);
    }
    cut
}
