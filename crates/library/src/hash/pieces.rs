//! What is hashed of a file so far.

use std::collections::BTreeMap;

use lanspread_proto::Hash;

use super::piece::FileToHash;

/// Files and what is hashed of each; never a file of which nothing is.
pub(crate) type Hashed = Vec<(FileToHash, Pieces)>;

/// The hashes of some of a file's chunks: runs that do not overlap, by their first chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pieces(BTreeMap<u64, Vec<Hash>>);

impl Pieces {
    /// One run.
    #[cfg(test)]
    pub(crate) fn run(first: u64, hashes: Vec<Hash>) -> Self {
        Self(BTreeMap::from([(first, hashes)]))
    }

    /// Adds a run that begins at the chunk `first`.
    pub(crate) fn insert(&mut self, first: u64, hashes: Vec<Hash>) {
        self.0.insert(first, hashes);
    }

    /// Whether a run begins at this chunk.
    pub(super) fn has_run_at(&self, first: u64) -> bool {
        self.0.contains_key(&first)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The runs in their order.
    pub(crate) fn runs(&self) -> impl ExactSizeIterator<Item = (u64, &[Hash])> {
        self.0.iter().map(|(first, hashes)| (*first, &hashes[..]))
    }

    /// All hashes of the file, or what there is of them.
    pub(crate) fn into_whole(self, file: &FileToHash) -> Result<Vec<Hash>, Self> {
        let count: usize = self.0.values().map(Vec::len).sum();
        if count as u64 == file.chunk_count() {
            Ok(self.0.into_values().flatten().collect())
        } else {
            Err(self)
        }
    }
}

impl IntoIterator for Pieces {
    type Item = (u64, Vec<Hash>);
    type IntoIter = std::collections::btree_map::IntoIter<u64, Vec<Hash>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
