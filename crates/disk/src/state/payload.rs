//! What a complete game is made of, kept so that a restart hashes nothing.

use std::sync::Arc;

use lanspread_proto::{GameId, Hash, Manifest, ManifestError, ManifestId};

use super::{CHUNKS_NAME, MANIFEST_NAME, StateDir, StateDocument, StateError};
use crate::{entry::FileMode, error::DiskError, verbs::Disk};

/// A file of chunk hashes: these bytes, the manifest's id, the hashes. The number is its format.
const CHUNKS_MAGIC: &[u8; 8] = b"lanchk\0\x01";

/// Hashes of the largest game there can be, of 1 MiB files and chunks.
const CHUNKS_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl StateDocument for Manifest {
    const FORMAT: u32 = 1;
}

/// A manifest and the hashes of its chunks, which are known to make the files' hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPayload {
    id: ManifestId,
    manifest: Arc<Manifest>,
    chunk_hashes: Arc<[Hash]>,
}

impl StoredPayload {
    /// Puts the two together.
    ///
    /// # Errors
    /// When there is not one hash per chunk, or those of a file do not merge into its hash.
    pub fn new(manifest: Arc<Manifest>, chunk_hashes: Arc<[Hash]>) -> Result<Self, ManifestError> {
        manifest.check_chunk_hashes(&chunk_hashes)?;
        Ok(Self {
            id: manifest.id(),
            manifest,
            chunk_hashes,
        })
    }

    /// The manifest's id.
    pub const fn id(&self) -> ManifestId {
        self.id
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// One hash per chunk, in the payload's order.
    pub const fn chunk_hashes(&self) -> &Arc<[Hash]> {
        &self.chunk_hashes
    }
}

impl<D: Disk> StateDir<D> {
    // # Payloads

    /// The payload of a complete game as it was last saved; `None` if none was.
    pub fn load_payload(&self, game: &GameId) -> Result<Option<StoredPayload>, StateError> {
        let path = Self::game_path(game, MANIFEST_NAME);
        let Some(manifest) = self.read_document::<Manifest>(&path)? else {
            return Ok(None);
        };
        self.load_chunk_hashes(&Self::game_path(game, CHUNKS_NAME), Arc::new(manifest))
            .map(Some)
    }

    /// Saves the payload of a game that is complete, or about to be.
    pub fn save_payload(&self, game: &GameId, payload: &StoredPayload) -> Result<(), StateError> {
        self.save_chunk_hashes(&Self::game_path(game, CHUNKS_NAME), payload)?;
        self.write_document(
            &Self::game_path(game, MANIFEST_NAME),
            payload.manifest.as_ref(),
        )
    }

    /// Forgets the payload of a game.
    pub fn remove_payload(&self, game: &GameId) -> Result<(), DiskError> {
        self.remove(&Self::game_path(game, MANIFEST_NAME))?;
        self.remove(&Self::game_path(game, CHUNKS_NAME))
    }

    /// Reads the chunk hashes that belong to `manifest`; damaged if they belong to another.
    pub fn load_chunk_hashes(
        &self,
        path: &str,
        manifest: Arc<Manifest>,
    ) -> Result<StoredPayload, StateError> {
        let damaged = |source| StateError::DamagedChunks {
            path: self.disk.shown(path),
            source,
        };
        let content = self
            .disk
            .read_file(path, CHUNKS_BYTES_MAX)?
            .unwrap_or_default();
        let (hashes, rest) = content
            .strip_prefix(CHUNKS_MAGIC)
            .and_then(|rest| rest.strip_prefix(manifest.id().hash().as_bytes()))
            .ok_or_else(|| damaged(None))?
            .as_chunks::<{ Hash::LEN }>();
        if !rest.is_empty() {
            return Err(damaged(None));
        }
        let hashes = hashes.iter().copied().map(Hash::from_bytes).collect();
        StoredPayload::new(manifest, hashes).map_err(|source| damaged(Some(source)))
    }

    /// Writes the chunk hashes of a payload, so that they can be told from those of another.
    pub fn save_chunk_hashes(&self, path: &str, payload: &StoredPayload) -> Result<(), StateError> {
        let mut content =
            Vec::with_capacity(CHUNKS_MAGIC.len() + Hash::LEN * (1 + payload.chunk_hashes.len()));
        content.extend_from_slice(CHUNKS_MAGIC);
        content.extend_from_slice(payload.id.hash().as_bytes());
        for hash in payload.chunk_hashes.iter() {
            content.extend_from_slice(hash.as_bytes());
        }
        self.write(path, &content, FileMode::Plain)?;
        Ok(())
    }
}
