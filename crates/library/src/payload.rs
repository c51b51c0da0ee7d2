//! A complete game of this machine, as a server needs it.

use std::sync::{Arc, OnceLock};

use lanspread_disk::{FileStamp, StateDir, StoredPayload};
use lanspread_proto::{ChunkMap, GameId, Hash, Manifest, ManifestId};

use crate::index::IndexedGame;

/// A game whose every byte was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPayload {
    game: GameId,
    stored: StoredPayload,
    map: ChunkMap,
    stamps: Vec<FileStamp>,
    origin: Origin,
}

/// Where a payload's manifest comes from, which decides what a change on disk means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It describes what lies in the folder: a changed, new or missing file makes another manifest.
    Scanned,
    /// It was downloaded: stray files are not part of it, a changed or missing file is damage.
    Downloaded,
}

impl LocalPayload {
    /// `stamps` has one element per file of the manifest.
    pub(crate) fn new(
        game: GameId,
        stored: StoredPayload,
        stamps: Vec<FileStamp>,
        origin: Origin,
    ) -> Self {
        let map = stored.manifest().chunk_map();
        Self {
            game,
            stored,
            map,
            stamps,
            origin,
        }
    }

    /// The game's folder.
    pub const fn game(&self) -> &GameId {
        &self.game
    }

    /// The manifest's id.
    pub const fn id(&self) -> ManifestId {
        self.stored.id()
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Arc<Manifest> {
        self.stored.manifest()
    }

    /// One hash per chunk, in order.
    pub const fn chunk_hashes(&self) -> &Arc<[Hash]> {
        self.stored.chunk_hashes()
    }

    /// The manifest and the chunk hashes together.
    pub const fn stored(&self) -> &StoredPayload {
        &self.stored
    }

    /// Where each chunk lies.
    pub const fn map(&self) -> &ChunkMap {
        &self.map
    }

    /// Per file of the manifest, how the file was when it was hashed: it must still be so when it is served.
    pub fn stamps(&self) -> &[FileStamp] {
        &self.stamps
    }

    /// Where the manifest comes from.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The chunk hashes of one file.
    pub(crate) fn chunks_of(&self, file: usize) -> &[Hash] {
        let chunks = self.map.chunks_of(file);
        &self.chunk_hashes()[chunks.start as usize..chunks.end as usize]
    }
}

/// A payload that may still lie in the state directory. After a restart the index says enough to announce
/// a game; its manifest, which is a hundred times larger, is read when it is needed first.
#[derive(Debug)]
pub(crate) struct PayloadSlot {
    indexed: Arc<IndexedGame>,
    loaded: OnceLock<Option<Arc<LocalPayload>>>,
}

impl PayloadSlot {
    /// A payload that the index tells of.
    pub(crate) fn stored(indexed: Arc<IndexedGame>) -> Self {
        Self {
            indexed,
            loaded: OnceLock::new(),
        }
    }

    /// A payload that was just made.
    pub(crate) fn loaded(payload: Arc<LocalPayload>, sentinel: FileStamp) -> Self {
        let indexed = Arc::new(IndexedGame::new(&payload, sentinel));
        Self {
            indexed,
            loaded: OnceLock::from(Some(payload)),
        }
    }

    pub(crate) fn indexed(&self) -> &Arc<IndexedGame> {
        &self.indexed
    }

    /// The payload; `None` if the state directory does not hold it, or another one. Blocking the first time.
    pub(crate) fn load(&self, game: &GameId, state: &StateDir) -> Option<Arc<LocalPayload>> {
        self.loaded
            .get_or_init(|| self.read(game, state).map(Arc::new))
            .clone()
    }

    /// Whether it is this very payload.
    pub(crate) fn holds(&self, payload: &Arc<LocalPayload>) -> bool {
        self.loaded
            .get()
            .and_then(Option::as_ref)
            .is_some_and(|own| Arc::ptr_eq(own, payload))
    }

    fn read(&self, game: &GameId, state: &StateDir) -> Option<LocalPayload> {
        let stored = state
            .load_payload(game)
            .inspect_err(|error| tracing::warn!(%game, %error, "a stored manifest is unusable"))
            .ok()??;
        let stamps = self.indexed.stamps_of(&stored)?;
        Some(LocalPayload::new(
            game.clone(),
            stored,
            stamps,
            self.indexed.origin,
        ))
    }
}
