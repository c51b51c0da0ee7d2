//! Why a transaction did not happen.

use std::path::PathBuf;

use lanspread_disk::{DiskError, Kind, StateError};
use lanspread_proto::{ChunkIndex, GameId};

/// Why a download could not begin, go on or be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The disk of the games failed.
    #[error(transparent)]
    Disk(DiskError),
    /// The state directory failed, or holds something that cannot be read.
    #[error(transparent)]
    State(StateError),
    /// There is not enough room.
    #[error("{missing_bytes} bytes of room are missing on the disk of {}", path.display())]
    DiskFull {
        /// The game root.
        path: PathBuf,
        /// Bytes that must be freed before the download can finish and leave its reserve.
        missing_bytes: u64,
        /// The write that found out; `None` if it was seen in advance.
        #[source]
        source: Option<DiskError>,
    },
    /// Something that is not ours to remove is where the payload must be.
    #[error("{} is {}, and the payload needs its place", path.display(), describe(*found))]
    Obstructed {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: Kind,
    },
    /// The sentinel that is there is none.
    #[error("{} {fault}", path.display())]
    BadSentinel {
        /// The sentinel's path.
        path: PathBuf,
        /// What is wrong with it.
        fault: SentinelFault,
    },
    /// The bytes are not those of the chunk; nothing was written.
    #[error("the bytes of chunk {} do not have its hash", chunk.get())]
    WrongBytes {
        /// Which chunk.
        chunk: ChunkIndex,
    },
    /// Published before every chunk was there.
    #[error("{missing_chunks} chunks are missing")]
    Incomplete {
        /// How many.
        missing_chunks: u32,
    },
    /// Somebody removed, cut or replaced a file of the payload while it was downloaded.
    #[error("{} was changed while it was downloaded", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The caller asked to stop.
    #[error("the download was cancelled")]
    Cancelled,
}

impl DownloadError {
    /// The bytes that must be freed, if the disk is full.
    pub fn missing_bytes(&self) -> Option<u64> {
        match self {
            Self::DiskFull { missing_bytes, .. } => Some(*missing_bytes),
            _ => None,
        }
    }

    /// Whether the chunk's sender is to blame, not this machine.
    pub fn is_wrong_bytes(&self) -> bool {
        matches!(self, Self::WrongBytes { .. })
    }
}

impl From<DiskError> for DownloadError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<StateError> for DownloadError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// What a `version.ini` can be instead of a sentinel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SentinelFault {
    /// A folder.
    #[error("is a folder, not a sentinel")]
    Folder,
    /// A symbolic link.
    #[error("is a symbolic link, not a sentinel")]
    Link,
    /// A pipe, a socket, a device.
    #[error("is not a regular file")]
    Other,
    /// A file without content.
    #[error("is empty and names no version")]
    Empty,
}

/// Why a game could not be recovered. Others still can.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The disk of the games failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The state directory failed, or holds a document of a newer format.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why a game was not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// There is no such folder in the game directory.
    #[error("there is no folder {}", path.display())]
    NoRoot {
        /// Where it would be.
        path: PathBuf,
    },
    /// It is installed: uninstall it first.
    #[error("{game} is installed")]
    Installed {
        /// The game.
        game: GameId,
    },
    /// An install, or something that looks like one, left a folder that may hold an installed game.
    #[error("{} is left from an install", path.display())]
    InstallLeftover {
        /// The folder.
        path: PathBuf,
    },
    /// Without a sentinel it is not a downloaded game, and not ours to delete.
    #[error("{game} is not downloaded")]
    NotDownloaded {
        /// The game.
        game: GameId,
    },
    /// The sentinel that is there is none.
    #[error("{} {fault}", path.display())]
    BadSentinel {
        /// The sentinel's path.
        path: PathBuf,
        /// What is wrong with it.
        fault: SentinelFault,
    },
    /// The disk of the games failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The state directory failed.
    #[error(transparent)]
    State(#[from] StateError),
}

pub(crate) const fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a file",
        Kind::Folder => "a folder",
        Kind::Link => "a symbolic link",
        Kind::Other => "not a regular file",
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use lanspread_proto::ChunkMap;

    use super::*;

    fn disk_error() -> DiskError {
        DiskError::new("sync", "/g/x", ErrorKind::Other.into())
    }

    #[test]
    fn every_download_error_names_the_thing() {
        let path = || PathBuf::from("/g/x");
        let chunk = ChunkMap::new(vec![3]).check(0).unwrap();
        let bad = |fault| DownloadError::BadSentinel {
            path: path(),
            fault,
        };
        let obstructed = |found| DownloadError::Obstructed {
            path: path(),
            found,
        };
        let full = DownloadError::DiskFull {
            path: path(),
            missing_bytes: 7,
            source: None,
        };
        assert_eq!(full.missing_bytes(), Some(7));
        assert!(DownloadError::WrongBytes { chunk }.is_wrong_bytes() && !full.is_wrong_bytes());
        let printed: Vec<String> = [
            DownloadError::Disk(disk_error()),
            DownloadError::State(disk_error().into()),
            full,
            obstructed(Kind::File),
            obstructed(Kind::Folder),
            obstructed(Kind::Link),
            obstructed(Kind::Other),
            bad(SentinelFault::Folder),
            bad(SentinelFault::Link),
            bad(SentinelFault::Other),
            bad(SentinelFault::Empty),
            DownloadError::WrongBytes { chunk },
            DownloadError::Incomplete { missing_chunks: 2 },
            DownloadError::Changed { path: path() },
            DownloadError::Cancelled,
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        assert_eq!(
            printed,
            [
                "could not sync /g/x",
                "could not sync /g/x",
                "7 bytes of room are missing on the disk of /g/x",
                "/g/x is a file, and the payload needs its place",
                "/g/x is a folder, and the payload needs its place",
                "/g/x is a symbolic link, and the payload needs its place",
                "/g/x is not a regular file, and the payload needs its place",
                "/g/x is a folder, not a sentinel",
                "/g/x is a symbolic link, not a sentinel",
                "/g/x is not a regular file",
                "/g/x is empty and names no version",
                "the bytes of chunk 0 do not have its hash",
                "2 chunks are missing",
                "/g/x was changed while it was downloaded",
                "the download was cancelled",
            ]
        );
    }

    #[test]
    fn every_other_error_names_the_thing() {
        let path = || PathBuf::from("/g/x");
        let game: GameId = "x".parse().unwrap();
        let printed = [
            RemoveError::NoRoot { path: path() }.to_string(),
            RemoveError::Installed { game: game.clone() }.to_string(),
            RemoveError::InstallLeftover { path: path() }.to_string(),
            RemoveError::NotDownloaded { game }.to_string(),
            RemoveError::BadSentinel {
                path: path(),
                fault: SentinelFault::Link,
            }
            .to_string(),
            RemoveError::Disk(disk_error()).to_string(),
            RemoveError::State(disk_error().into()).to_string(),
            RecoverError::Disk(disk_error()).to_string(),
            RecoverError::State(disk_error().into()).to_string(),
        ];
        assert_eq!(
            printed,
            [
                "there is no folder /g/x",
                "x is installed",
                "/g/x is left from an install",
                "x is not downloaded",
                "/g/x is a symbolic link, not a sentinel",
                "could not sync /g/x",
                "could not sync /g/x",
                "could not sync /g/x",
                "could not sync /g/x",
            ]
        );
    }
}
