//! The index: by which stamps the files of complete games are known again after a restart.
//!
//! One document, `library_index.json`, names each game's manifest and each file's stamp in the manifest's
//! order; paths, sizes and hashes are in the game's own `manifest.json` and `chunks.bin`. An index that is
//! cut or garbage is put aside and everything is hashed again; one of a newer format is refused.

use std::{collections::BTreeMap, sync::Arc};

use lanspread_disk::{
    Disk, FileStamp, LIBRARY_INDEX_NAME, MANIFEST_NAME, RealDisk, StateDir, StateDocument,
    StateError, StoredPayload,
};
use lanspread_proto::{GameId, ManifestId, Version};
use serde::{Deserialize, Serialize};

use crate::payload::{LocalPayload, Origin};

/// What the index knows of one game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexedGame {
    pub(crate) manifest: ManifestId,
    pub(crate) version: Version,
    pub(crate) bytes: u64,
    pub(crate) origin: Origin,
    /// The sentinel that the manifest goes with.
    pub(crate) sentinel: FileStamp,
    /// Modification time in nanoseconds and file id of each file, in the manifest's order.
    stamps: Vec<(i64, u64)>,
}

impl IndexedGame {
    pub(crate) fn new(payload: &LocalPayload, sentinel: FileStamp) -> Self {
        Self {
            manifest: payload.id(),
            version: payload.manifest().version().clone(),
            bytes: payload.manifest().bytes(),
            origin: payload.origin(),
            sentinel,
            stamps: payload
                .stamps()
                .iter()
                .map(|stamp| (stamp.modified_ns, stamp.file_id))
                .collect(),
        }
    }

    /// The stamps of this payload's files; `None` if it is not the one that was indexed.
    pub(crate) fn stamps_of(&self, stored: &StoredPayload) -> Option<Vec<FileStamp>> {
        let files = stored.manifest().files();
        if stored.id() != self.manifest || files.len() != self.stamps.len() {
            return None;
        }
        let stamp =
            |(file, &(modified_ns, file_id)): (&lanspread_proto::FileEntry, &(i64, u64))| {
                FileStamp {
                    size: file.size,
                    modified_ns,
                    file_id,
                }
            };
        Some(files.iter().zip(&self.stamps).map(stamp).collect())
    }
}

/// The whole index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) games: BTreeMap<GameId, Entry>,
}

/// One game of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Whether the game was announced; a damaged one is known but must be looked at first.
    pub(crate) announced: bool,
    pub(crate) game: Arc<IndexedGame>,
}

impl StateDocument for Index {
    const FORMAT: u32 = 1;
}

/// The index cannot be used and must not be replaced.
#[derive(Debug, thiserror::Error)]
#[error("could not use the index of local games")]
pub struct IndexError(#[source] pub StateError);

impl Index {
    /// Reads the index. One that is damaged is put aside; then the index is empty and the error comes with it.
    ///
    /// # Errors
    /// [`IndexError`] if the index is of a newer format, or the disk fails.
    pub(crate) fn load(state: &StateDir) -> Result<(Self, Option<Arc<StateError>>), IndexError> {
        match state.read_document(LIBRARY_INDEX_NAME) {
            Ok(index) => Ok((index.unwrap_or_default(), None)),
            Err(error) if error.is_damaged() => {
                let aside = state.quarantine(LIBRARY_INDEX_NAME);
                let aside = aside.map_err(|error| IndexError(error.into()))?;
                tracing::warn!(%error, aside, "the index is put aside, everything is hashed again");
                Ok((Self::default(), Some(Arc::new(error))))
            }
            Err(error) => Err(IndexError(error)),
        }
    }

    /// Forgets the games that are neither here nor have a manifest in the state directory. Of the others that
    /// are not here the disk may come back.
    pub(crate) fn forget_removed(&mut self, state: &StateDir, is_here: impl Fn(&GameId) -> bool) {
        let has_manifest = |id: &GameId| {
            let path = StateDir::<RealDisk>::game_path(id, MANIFEST_NAME);
            state.disk().stat(&path).is_ok_and(|entry| entry.is_some())
        };
        self.games.retain(|id, _| is_here(id) || has_manifest(id));
    }

    /// Whether a game was announced when the index was made.
    pub(crate) fn announces(&self, id: &GameId) -> bool {
        self.games.get(id).is_some_and(|entry| entry.announced)
    }

    pub(crate) fn save(&self, state: &StateDir) -> Result<(), StateError> {
        state.write_document(LIBRARY_INDEX_NAME, self)
    }
}
