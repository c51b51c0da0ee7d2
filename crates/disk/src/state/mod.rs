//! The state directory: the documents that outlive the process.
//!
//! ```text
//! identity/{key.pem,cert.pem}   library_index.json   owner.json   lock   control.sock
//! games/<id>/{install_intent.json, installed.json, launch_settings.json,
//!             download.json, manifest.json, chunks.bin}
//! ```
//!
//! Every document is JSON with a `format` number. Writing one is atomic and durable. One of a newer
//! format is refused and left alone; one that is cut or garbage is an error too, and the caller may
//! [`StateDir::quarantine`] it: renamed aside for a person to look at, never deleted.

mod payload;

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use lanspread_proto::{GameId, ManifestError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::payload::StoredPayload;
use crate::{
    entry::FileMode,
    error::DiskError,
    real::RealDisk,
    verbs::{Disk, parent},
};

/// The folder of a peer's key and certificate.
pub const IDENTITY_FOLDER: &str = "identity";
/// The hashes of local games, by stamps.
pub const LIBRARY_INDEX_NAME: &str = "library_index.json";
/// The random number by which this state directory knows what it made in a game directory.
pub const OWNER_NAME: &str = "owner.json";
/// The socket through which other processes command this one.
pub const CONTROL_SOCKET_NAME: &str = "control.sock";
/// A game's running install, update, uninstall or removal.
pub const INSTALL_INTENT_NAME: &str = "install_intent.json";
/// Which version of a game is installed.
pub const INSTALLED_NAME: &str = "installed.json";
/// An embedder's settings for an installed game.
pub const LAUNCH_SETTINGS_NAME: &str = "launch_settings.json";
/// A game's running or interrupted download.
pub const DOWNLOAD_NAME: &str = "download.json";
/// The manifest of a complete game.
pub const MANIFEST_NAME: &str = "manifest.json";
/// The chunk hashes of a complete game.
pub const CHUNKS_NAME: &str = "chunks.bin";

/// The largest document: an index of a few million files.
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A document of the state directory.
pub trait StateDocument: Serialize + DeserializeOwned {
    /// The format that is written and read; a larger number in a file is refused.
    const FORMAT: u32;
}

/// Why a document could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A newer lanspread wrote it; it is left alone.
    #[error("{} has format {found}, this lanspread knows up to {known}", path.display())]
    NewerFormat {
        /// The document.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that is known.
        known: u32,
    },
    /// It is cut, or was never one of ours.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The document.
        path: PathBuf,
        /// Where the text stops making sense.
        #[source]
        source: serde_json::Error,
    },
    /// The chunk hashes are cut, or belong to another manifest than the one beside them.
    #[error("{} does not hold the chunk hashes of {}", path.display(), MANIFEST_NAME)]
    DamagedChunks {
        /// The file of chunk hashes.
        path: PathBuf,
        /// What does not fit, where the numbers could be read at all.
        #[source]
        source: Option<ManifestError>,
    },
    /// A value that JSON cannot express.
    #[error("could not encode {}", path.display())]
    Encode {
        /// The document.
        path: PathBuf,
        /// What could not be expressed.
        #[source]
        source: serde_json::Error,
    },
}

impl StateError {
    /// Whether the document may be quarantined and made anew.
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::DamagedChunks { .. })
    }

    /// Whether a newer lanspread wrote it.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::NewerFormat { .. })
    }

    /// Whether the disk is full.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Disk(error) if error.is_out_of_space())
    }
}

/// The state directory.
#[derive(Debug)]
pub struct StateDir<D: Disk = RealDisk> {
    disk: D,
}

#[derive(Serialize)]
struct Written<'a, T> {
    format: u32,
    data: &'a T,
}

#[derive(Deserialize)]
struct Read<T> {
    data: T,
}

#[derive(Deserialize)]
struct Probe {
    format: u64,
}

impl StateDir<RealDisk> {
    /// Opens the state directory; makes it if it is missing.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        RealDisk::open_or_create(path).map(Self::new)
    }
}

impl<D: Disk> StateDir<D> {
    /// The state directory that is this disk's folder.
    pub const fn new(disk: D) -> Self {
        Self { disk }
    }

    /// The disk, for what is not a document.
    pub const fn disk(&self) -> &D {
        &self.disk
    }

    /// The path, for people.
    pub fn path(&self) -> PathBuf {
        self.disk.shown("")
    }

    /// The path of one of a game's documents: `games/<id>/<name>`.
    pub fn game_path(game: &GameId, name: &str) -> String {
        format!("games/{game}/{name}")
    }

    // # Documents

    /// Reads a document; `None` if there is none.
    pub fn read_document<T: StateDocument>(&self, path: &str) -> Result<Option<T>, StateError> {
        let Some(text) = self.disk.read_file(path, DOCUMENT_BYTES_MAX)? else {
            return Ok(None);
        };
        let damaged = |source| StateError::Damaged {
            path: self.disk.shown(path),
            source,
        };
        let Probe { format: found } = serde_json::from_slice(&text).map_err(damaged)?;
        if found > u64::from(T::FORMAT) {
            let path = self.disk.shown(path);
            return Err(StateError::NewerFormat {
                path,
                found,
                known: T::FORMAT,
            });
        }
        let Read { data } = serde_json::from_slice(&text).map_err(damaged)?;
        Ok(Some(data))
    }

    /// Writes a document durably; after a crash there is the old one or the new one.
    pub fn write_document<T: StateDocument>(&self, path: &str, data: &T) -> Result<(), StateError> {
        let text = serde_json::to_vec(&Written {
            format: T::FORMAT,
            data,
        })
        .map_err(|source| StateError::Encode {
            path: self.disk.shown(path),
            source,
        })?;
        self.write(path, &text, FileMode::Plain)?;
        Ok(())
    }

    /// Writes a file durably, making the folders that lead to it.
    pub fn write(&self, path: &str, content: &[u8], mode: FileMode) -> Result<(), DiskError> {
        match self.disk.write_atomic(path, content, mode) {
            Err(error) if error.is_not_found() => {
                self.disk.create_folders_synced(parent(path))?;
                self.disk.write_atomic(path, content, mode)
            }
            written => written,
        }
    }

    /// Removes a document durably; nothing there is no error.
    pub fn remove(&self, path: &str) -> Result<(), DiskError> {
        match self.disk.remove_file(path) {
            Ok(()) => self.disk.sync_folder(parent(path)),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Renames a damaged document to `….bad-<seconds since 1970>`, and returns that name.
    pub fn quarantine(&self, path: &str) -> Result<String, DiskError> {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let mut aside = format!("{path}.bad-{seconds}");
        let mut again = 1_u32;
        while self.disk.stat(&aside)?.is_some() {
            again += 1;
            aside = format!("{path}.bad-{seconds}-{again}");
        }
        self.disk.rename(path, &aside)?;
        self.disk.sync_folder(parent(path))?;
        Ok(aside)
    }
}
