//! [`Problem`]: what goes wrong in one archive, before it is known which.

use std::{error::Error, io};

use lanspread_install::{ArchiveFile, StagingError, UnpackError, UnsafeEntry};
use lanspread_proto::limits::LimitExceeded;

/// An [`UnpackError`] without the archive and the entry.
#[derive(Debug)]
pub(crate) enum Problem {
    Unsupported(String),
    Damaged(Box<dyn Error + Send + Sync>),
    Unsafe(UnsafeEntry),
    Limit(LimitExceeded),
    Read(io::Error),
    Staging(StagingError),
}

impl Problem {
    /// Wrong bytes, in the words of `what`.
    pub(crate) fn damaged(what: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Damaged(what.into())
    }

    /// The file ends before the archive does.
    pub(crate) fn cut() -> Self {
        Self::damaged(io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    pub(crate) fn encrypted() -> Self {
        Self::Unsupported("it is encrypted".to_owned())
    }

    pub(crate) fn multi_volume() -> Self {
        Self::Unsupported("it is one of several volumes".to_owned())
    }

    pub(crate) fn cancelled() -> Self {
        Self::Staging(StagingError::Cancelled)
    }

    /// The error for the archive, at the entry that was being read if one was.
    pub(crate) fn of(self, archive: &ArchiveFile, entry: Option<String>) -> UnpackError {
        let archive = archive.path().to_owned();
        match self {
            Self::Unsupported(what) => UnpackError::Unsupported { archive, what },
            Self::Damaged(source) => UnpackError::Damaged {
                archive,
                entry,
                source,
            },
            Self::Unsafe(why) => UnpackError::Unsafe {
                archive,
                entry: entry.unwrap_or_default(),
                why,
            },
            Self::Limit(source) => UnpackError::Limit {
                archive,
                entry,
                source,
            },
            Self::Read(source) => UnpackError::Read {
                archive,
                source: source.into(),
            },
            Self::Staging(error) => UnpackError::Staging(error),
        }
    }
}

impl From<UnsafeEntry> for Problem {
    fn from(why: UnsafeEntry) -> Self {
        Self::Unsafe(why)
    }
}

impl From<LimitExceeded> for Problem {
    fn from(limit: LimitExceeded) -> Self {
        Self::Limit(limit)
    }
}

impl From<StagingError> for Problem {
    fn from(error: StagingError) -> Self {
        Self::Staging(error)
    }
}
