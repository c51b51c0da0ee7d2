//! What a walk over archives yields: [`EntryMeta`] and bytes, pushed into an [`EntrySink`].

use lanspread_install::{StagingError, Totals};
use lanspread_proto::GamePath;

/// One entry of an archive, as every format has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryMeta {
    /// Where it belongs under the game's `local/`.
    pub path: GamePath,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder. Those above an entry need not come, and one may come more than once.
    Folder,
    /// A file.
    File {
        /// How many bytes will come, exactly.
        bytes: u64,
        /// Whether it is executable; `false` where the archive does not say.
        executable: bool,
    },
}

/// Receives entries in archive order. An error of any method ends the walk and is its result.
pub trait EntrySink {
    /// What all archives together hold, as far as their formats tell; once, before anything else.
    ///
    /// # Errors
    /// [`StagingError`]
    fn expect(&mut self, totals: Totals) -> Result<(), StagingError>;

    /// An entry begins. For a file, `data` and one `end` follow; for a folder nothing does.
    ///
    /// # Errors
    /// [`StagingError`]
    fn begin(&mut self, entry: &EntryMeta) -> Result<(), StagingError>;

    /// The next bytes of the file, never none and never more than it declared.
    ///
    /// # Errors
    /// [`StagingError`]
    fn data(&mut self, bytes: &[u8]) -> Result<(), StagingError>;

    /// The file had exactly its declared bytes, and they are those of its checksum if the format has
    /// one for each entry. One over a whole archive (tar in zstd, gzip, xz) is checked at its end, so
    /// that everything counts only once the walk is `Ok`.
    ///
    /// # Errors
    /// [`StagingError`]
    fn end(&mut self) -> Result<(), StagingError>;
}
