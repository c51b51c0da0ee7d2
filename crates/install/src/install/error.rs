//! Why an install did not happen.

use std::path::PathBuf;

use lanspread_disk::{DiskError, Kind, StateError};
use lanspread_proto::{GameId, PathError, VersionError, limits::LimitExceeded};

use crate::{
    error::{RecoverError, SentinelFault, describe},
    unpack::{StagingError, UnpackError},
};

/// Why a game was not installed. What was installed before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// There is no sentinel, so there is nothing whole to install from.
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
    /// The sentinel names no version.
    #[error("{} names no version", path.display())]
    BadVersion {
        /// The sentinel's path.
        path: PathBuf,
        /// What is wrong with its first line.
        #[source]
        source: VersionError,
    },
    /// There is nothing in the game root that could be installed.
    #[error("{game} has no payload to install")]
    NothingInside {
        /// The game.
        game: GameId,
    },
    /// Something that is not ours has a reserved name.
    #[error("{} is in the way, and was not made here", path.display())]
    Foreign {
        /// Where it is.
        path: PathBuf,
    },
    /// There is not enough room.
    #[error("{missing_bytes} bytes of room are missing on the disk of {}", path.display())]
    DiskFull {
        /// The game root.
        path: PathBuf,
        /// Bytes that must be freed before the install can finish and leave its reserve.
        missing_bytes: u64,
        /// The write that found out; `None` if it was seen in advance.
        #[source]
        source: Option<DiskError>,
    },
    /// The archives could not be unpacked; never [`UnpackError::Staging`].
    #[error(transparent)]
    Unpack(UnpackError),
    /// What was unpacked or copied cannot be installed.
    #[error("{} {fault}", path.display())]
    NotInstallable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        fault: ContentFault,
    },
    /// Somebody cancelled.
    #[error("the install was cancelled")]
    Cancelled,
    /// The disk of the games failed.
    #[error(transparent)]
    Disk(DiskError),
    /// The state directory failed, or holds something that cannot be read.
    #[error(transparent)]
    State(StateError),
}

impl InstallError {
    /// The bytes that must be freed, if the disk is full.
    pub fn missing_bytes(&self) -> Option<u64> {
        match self {
            Self::DiskFull { missing_bytes, .. } => Some(*missing_bytes),
            _ => None,
        }
    }
}

/// What is wrong with something in a staging folder, or in the tree that is copied there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentFault {
    /// A path that some system could not store, or not beside another one.
    #[error("has a path that is refused")]
    Path(#[source] PathError),
    /// A name that lanspread keeps for itself.
    #[error("has a reserved name")]
    Reserved,
    /// Neither a file nor a folder.
    #[error("is {}, and only files and folders are installed", describe(*.0))]
    Kind(Kind),
    /// A number is over its limit.
    #[error("is over a limit")]
    Limit(#[source] LimitExceeded),
    /// It was begun and not finished.
    #[error("was not finished")]
    Unfinished,
    /// It was handed over, and is not there.
    #[error("is not there any more")]
    Missing,
    /// It is there, and was not handed over.
    #[error("was put there by somebody else")]
    Unexpected,
    /// It has another size than what was handed over.
    #[error("has {found_bytes} bytes instead of {expected_bytes}")]
    Size {
        /// What was handed over.
        expected_bytes: u64,
        /// What is there.
        found_bytes: u64,
    },
    /// The whole holds something else than was announced.
    #[error("holds {found} {what} instead of {expected}")]
    Totals {
        /// `"bytes"` or `"files"`.
        what: &'static str,
        /// What was announced.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// It was changed while it was copied.
    #[error("was changed while it was copied")]
    Changed,
}

impl From<DiskError> for InstallError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<StateError> for InstallError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<RecoverError> for InstallError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Disk(error) => Self::Disk(error),
            RecoverError::State(error) => Self::State(error),
        }
    }
}

impl From<StagingError> for InstallError {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::Disk(error) => Self::Disk(error),
            StagingError::DiskFull {
                path,
                missing_bytes,
                source,
            } => Self::DiskFull {
                path,
                missing_bytes,
                source,
            },
            StagingError::Cancelled => Self::Cancelled,
        }
    }
}

impl From<UnpackError> for InstallError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Staging(error) => error.into(),
            other => Self::Unpack(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn disk_error() -> DiskError {
        DiskError::new("sync", "/g/x", ErrorKind::Other.into())
    }

    fn path() -> PathBuf {
        PathBuf::from("/g/x")
    }

    #[test]
    fn every_install_error_names_the_thing() {
        let game: GameId = "x".parse().unwrap();
        let full = || StagingError::DiskFull {
            path: path(),
            missing_bytes: 7,
            source: None,
        };
        let program = UnpackError::Program {
            program: "7z".into(),
            message: "no".into(),
        };
        let errors: [InstallError; 14] = [
            InstallError::NotDownloaded { game: game.clone() },
            InstallError::BadSentinel {
                path: path(),
                fault: SentinelFault::Link,
            },
            InstallError::BadVersion {
                path: path(),
                source: VersionError::Empty,
            },
            InstallError::NothingInside { game },
            InstallError::Foreign { path: path() },
            full().into(),
            UnpackError::Staging(full()).into(),
            program.into(),
            InstallError::NotInstallable {
                path: path(),
                fault: ContentFault::Missing,
            },
            StagingError::Cancelled.into(),
            StagingError::Disk(disk_error()).into(),
            RecoverError::Disk(disk_error()).into(),
            RecoverError::State(disk_error().into()).into(),
            InstallError::Cancelled,
        ];
        assert_eq!(
            errors.each_ref().map(ToString::to_string),
            [
                "x is not downloaded",
                "/g/x is a symbolic link, not a sentinel",
                "/g/x names no version",
                "x has no payload to install",
                "/g/x is in the way, and was not made here",
                "7 bytes of room are missing on the disk of /g/x",
                "7 bytes of room are missing on the disk of /g/x",
                "7z failed: no",
                "/g/x is not there any more",
                "the install was cancelled",
                "could not sync /g/x",
                "could not sync /g/x",
                "could not sync /g/x",
                "the install was cancelled",
            ]
        );
        let missing = errors.iter().filter_map(InstallError::missing_bytes);
        assert_eq!(missing.collect::<Vec<_>>(), [7, 7]);
    }

    #[test]
    fn every_fault_says_what_is_wrong() {
        let refused: PathError = "..".parse::<lanspread_proto::GamePath>().unwrap_err();
        let limit = LimitExceeded {
            what: "files",
            actual: 2,
            limit: 1,
        };
        let faults = [
            ContentFault::Path(refused),
            ContentFault::Reserved,
            ContentFault::Kind(Kind::Link),
            ContentFault::Limit(limit),
            ContentFault::Unfinished,
            ContentFault::Missing,
            ContentFault::Unexpected,
            ContentFault::Size {
                expected_bytes: 2,
                found_bytes: 1,
            },
            ContentFault::Totals {
                what: "files",
                expected: 2,
                found: 1,
            },
            ContentFault::Changed,
        ];
        assert_eq!(
            faults.map(|fault| fault.to_string()),
            [
                "has a path that is refused",
                "has a reserved name",
                "is a symbolic link, and only files and folders are installed",
                "is over a limit",
                "was not finished",
                "is not there any more",
                "was put there by somebody else",
                "has 1 bytes instead of 2",
                "holds 1 files instead of 2",
                "was changed while it was copied",
            ]
        );
    }
}
