//! One version's payload: which files, how large, with which hashes.

use serde::{Deserialize, Serialize};

use crate::{
    chunk::{self, ChunkMap},
    hash::Hash,
    id::ManifestId,
    limits::{self, LimitExceeded},
    path::{EntryKind, GamePath, PathError, PathSet},
    version::{Version, VersionError},
};

/// The number that the canonical bytes begin with; another number, another kind of id.
const CANONICAL_FORMAT: u64 = 1;

/// One file of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it lies under the game root.
    pub path: GamePath,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its owner may run it. Not part of the id: Windows and exFAT copies lose it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// Plain BLAKE3 of its content, what `b3sum` prints.
    pub hash: Hash,
}

/// What a payload is made of, checked: sorted by path, no path twice in any spelling, nothing under a
/// reserved name, every limit held, the sentinel's first line naming [`Manifest::version`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Manifest {
    version: Version,
    sentinel: Vec<u8>,
    files: Vec<FileEntry>,
    empty_folders: Vec<GamePath>,
    bytes: u64,
}

/// A manifest as it is written to JSON; the sentinel in lower-case hexadecimal digits.
#[derive(Serialize, Deserialize)]
struct Parts {
    version: Version,
    sentinel: String,
    files: Vec<FileEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    empty_folders: Vec<GamePath>,
}

/// Why a list of files is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A number in it is over its limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A path in it cannot stand beside the others or is reserved.
    #[error("the manifest holds a bad path")]
    Path(#[from] PathError),
    /// The sentinel names no version.
    #[error("the manifest's sentinel is bad")]
    Sentinel(#[from] VersionError),
    /// The sentinel names another version than the manifest.
    #[error("the manifest says version {version}, its sentinel says {sentinel}")]
    OtherVersion {
        /// What the manifest says.
        version: Version,
        /// What the sentinel says.
        sentinel: Version,
    },
    /// The sentinel's text is not hexadecimal.
    #[error("the manifest's sentinel is not hexadecimal")]
    SentinelDigits,
    /// The list of chunk hashes has another length than the payload has chunks.
    #[error("the payload has {expected} chunks, {actual} hashes came")]
    ChunkCount {
        /// Chunks of the payload.
        expected: u32,
        /// Hashes in the list.
        actual: usize,
    },
    /// A file's chunk hashes do not merge into its hash.
    #[error("the chunk hashes of {path} do not make its hash")]
    ChunkHashes {
        /// The file.
        path: GamePath,
    },
}

impl Manifest {
    /// A manifest of these parts in any order. `sentinel` is the whole content of the sentinel.
    ///
    /// # Errors
    /// [`ManifestError`] names the first rule that the parts break.
    pub fn new(
        sentinel: Vec<u8>,
        mut files: Vec<FileEntry>,
        mut empty_folders: Vec<GamePath>,
    ) -> Result<Self, ManifestError> {
        limits::check(
            "the sentinel's size in bytes",
            sentinel.len() as u64,
            limits::SENTINEL_BYTES_MAX as u64,
        )?;
        let version = Version::from_sentinel(&sentinel)?;
        let entries = files.len() + empty_folders.len();
        limits::check(
            "manifest entries",
            entries as u64,
            limits::MANIFEST_ENTRIES_MAX as u64,
        )?;
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        empty_folders.sort_unstable();
        let mut paths = PathSet::new();
        let mut bytes = 0_u64;
        for file in &files {
            limits::check("a file's size in bytes", file.size, limits::FILE_BYTES_MAX)?;
            bytes = bytes.saturating_add(file.size);
            limits::check("the game's size in bytes", bytes, limits::GAME_BYTES_MAX)?;
            file.path.check_payload_top_level()?;
            paths.insert(&file.path, EntryKind::File)?;
        }
        for folder in &empty_folders {
            folder.check_payload_top_level()?;
            paths.insert(folder, EntryKind::EmptyFolder)?;
        }
        Ok(Self {
            version,
            sentinel,
            files,
            empty_folders,
            bytes,
        })
    }

    /// The version that the sentinel names.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The sentinel's content, at most [`limits::SENTINEL_BYTES_MAX`] bytes.
    pub fn sentinel(&self) -> &[u8] {
        &self.sentinel
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The folders that hold nothing, sorted by path.
    pub fn empty_folders(&self) -> &[GamePath] {
        &self.empty_folders
    }

    /// The sizes of all files together, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The map between its chunks and its files.
    pub fn chunk_map(&self) -> ChunkMap {
        ChunkMap::new(self.files.iter().map(|file| file.size).collect())
    }

    /// BLAKE3 of the canonical bytes: a format number, the version, the sentinel, the number of files
    /// and each file's path, size and hash, the number of empty folders and each one's path. Every
    /// field is preceded by its length as a big-endian `u64`; numbers are big-endian `u64`.
    pub fn id(&self) -> ManifestId {
        let mut hasher = blake3::Hasher::new();
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        field(&CANONICAL_FORMAT.to_be_bytes());
        field(self.version.as_str().as_bytes());
        field(&self.sentinel);
        field(&(self.files.len() as u64).to_be_bytes());
        for file in &self.files {
            field(file.path.as_str().as_bytes());
            field(&file.size.to_be_bytes());
            field(file.hash.as_bytes());
        }
        field(&(self.empty_folders.len() as u64).to_be_bytes());
        for folder in &self.empty_folders {
            field(folder.as_str().as_bytes());
        }
        ManifestId::new(hasher.finalize().into())
    }

    /// Checks that `hashes`, one per chunk in order, merge into every file's hash, so that the list
    /// needs no other proof.
    ///
    /// # Errors
    /// [`ManifestError::ChunkCount`], or [`ManifestError::ChunkHashes`] with the first file.
    pub fn check_chunk_hashes(&self, hashes: &[Hash]) -> Result<(), ManifestError> {
        let map = self.chunk_map();
        if hashes.len() != map.count() as usize {
            return Err(ManifestError::ChunkCount {
                expected: map.count(),
                actual: hashes.len(),
            });
        }
        for (at, file) in self.files.iter().enumerate() {
            let chunks = map.chunks_of(at);
            let of_file = &hashes[chunks.start as usize..chunks.end as usize];
            if chunk::file_hash(of_file) != file.hash {
                return Err(ManifestError::ChunkHashes {
                    path: file.path.clone(),
                });
            }
        }
        Ok(())
    }
}

impl TryFrom<Parts> for Manifest {
    type Error = ManifestError;

    fn try_from(parts: Parts) -> Result<Self, Self::Error> {
        let sentinel = data_encoding::HEXLOWER
            .decode(parts.sentinel.as_bytes())
            .map_err(|_| ManifestError::SentinelDigits)?;
        let manifest = Self::new(sentinel, parts.files, parts.empty_folders)?;
        if manifest.version == parts.version {
            Ok(manifest)
        } else {
            Err(ManifestError::OtherVersion {
                version: parts.version,
                sentinel: manifest.version,
            })
        }
    }
}

impl From<Manifest> for Parts {
    fn from(manifest: Manifest) -> Self {
        Self {
            version: manifest.version,
            sentinel: data_encoding::HEXLOWER.encode(&manifest.sentinel),
            files: manifest.files,
            empty_folders: manifest.empty_folders,
        }
    }
}

#[cfg(test)]
mod tests;
