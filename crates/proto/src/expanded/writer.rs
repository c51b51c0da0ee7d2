//! [`ExpandedWriter`]: the sums that close a stream.

use super::ExpandedSums;
use crate::{GamePath, Hash};

/// Counts and hashes what is sent.
#[derive(Debug, Default)]
pub struct ExpandedWriter {
    files: u64,
    directories: u64,
    bytes: u64,
    root: blake3::Hasher,
}

impl ExpandedWriter {
    /// Nothing was sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory is sent.
    pub fn directory(&mut self, path: &GamePath) {
        self.directories += 1;
        self.field(b"d");
        self.field(path.as_str().as_bytes());
    }

    /// A file was sent, all of it.
    pub fn file(&mut self, path: &GamePath, size: u64, executable: bool, hash: Hash) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.field(b"f");
        self.field(path.as_str().as_bytes());
        self.field(&size.to_be_bytes());
        self.field(if executable { b"x" } else { b"-" });
        self.field(hash.as_bytes());
    }

    /// Files that were sent so far.
    pub const fn files(&self) -> u64 {
        self.files
    }

    /// What was sent so far.
    pub fn sums(&self) -> ExpandedSums {
        ExpandedSums {
            files: self.files,
            directories: self.directories,
            bytes: self.bytes,
            root: self.root.finalize().into(),
        }
    }

    fn field(&mut self, bytes: &[u8]) {
        self.root.update(&(bytes.len() as u64).to_be_bytes());
        self.root.update(bytes);
    }
}
