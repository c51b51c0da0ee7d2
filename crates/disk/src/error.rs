//! The one error of the disk: which verb, on which path, and what the system said.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// A verb failed on a path.
#[derive(Debug, thiserror::Error)]
#[error("could not {verb} {}", path.display())]
pub struct DiskError {
    /// What was tried, as it reads after "could not": `"open"`, `"sync the folder"`.
    pub verb: &'static str,
    /// The full path, for people.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// An error of `verb` on `path`.
    pub fn new(verb: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self {
            verb,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// Whether the disk, or the user's quota on it, is full.
    pub fn is_out_of_space(&self) -> bool {
        matches!(
            self.source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        )
    }

    /// Whether there is nothing at the path.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == ErrorKind::NotFound
    }

    /// Whether something is at the path already.
    pub fn is_already_there(&self) -> bool {
        self.source.kind() == ErrorKind::AlreadyExists
    }

    /// Whether a folder could not be removed because it holds something.
    pub fn is_folder_not_empty(&self) -> bool {
        self.source.kind() == ErrorKind::DirectoryNotEmpty
    }

    /// Whether a link, a folder, a pipe or a device is where a regular file was expected, or the
    /// path leads through a link or a file.
    pub fn is_wrong_kind(&self) -> bool {
        matches!(
            self.source.kind(),
            ErrorKind::IsADirectory | ErrorKind::NotADirectory | ErrorKind::InvalidInput
        )
    }

    /// Whether this system cannot do the verb at all.
    pub fn is_unsupported(&self) -> bool {
        self.source.kind() == ErrorKind::Unsupported
    }
}
