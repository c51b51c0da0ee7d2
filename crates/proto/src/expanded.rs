//! An expanded archive on the wire: what follows a request for a streamed install.
//!
//! ```text
//! Queued*  Begin  ( Directory | File Data* FileEnd )*  Complete
//! ```
//!
//! or [`ExpandedFrame::Failed`] at any place. Each `Data` frame is followed by exactly as many raw
//! bytes as it says. [`ExpandedWriter`] makes the closing sums on the sending side. On the receiving
//! side [`ExpandedDecoder`] cuts the wire into frames and raw bytes, and [`ExpandedReader`] in it lets
//! nothing through that is not as it should be: its every refusal is a different [`ExpandedError`].
//!
//! The hashes come from the sender: they catch damage on the way, not a sender that lies.

mod decoder;
mod error;
mod reader;
mod writer;

use serde::{Deserialize, Serialize};

pub use self::{
    decoder::{ExpandedDecoder, ExpandedPiece},
    error::ExpandedError,
    reader::{ExpandedReader, ExpandedStep},
    writer::ExpandedWriter,
};
use crate::{Hash, ManifestId};

/// One frame of an expanded archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExpandedFrame {
    /// Others come first; repeated while that lasts.
    Queued {
        /// Where the receiver stands; 1 is next.
        position: u32,
    },
    /// The archive is being expanded.
    Begin {
        /// The payload that holds the archive.
        manifest: ManifestId,
        /// What it holds, as far as its format tells.
        #[serde(flatten)]
        totals: ExpandedTotals,
    },
    /// A folder; those above a file need no frame of their own.
    Directory {
        /// Its path, which the receiver parses.
        path: String,
    },
    /// A file begins.
    File {
        /// Its path, which the receiver parses.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// Whether its owner may run it.
        executable: bool,
    },
    /// The next bytes of the file follow, raw.
    Data {
        /// How many, at most [`crate::limits::EXPANDED_DATA_BYTES_MAX`].
        bytes: u32,
    },
    /// The file is complete.
    FileEnd {
        /// BLAKE3 of its bytes.
        hash: Hash,
    },
    /// Everything was sent.
    Complete(ExpandedSums),
    /// The sender cannot go on.
    Failed {
        /// For programs.
        code: ExpandedFailure,
        /// For people.
        message: String,
    },
}

/// What an archive says it holds; `None` where its format does not tell before the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpandedTotals {
    /// How many files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// The bytes of all files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpandedSums {
    /// Files.
    pub files: u64,
    /// Directory frames.
    pub directories: u64,
    /// The bytes of all files.
    pub bytes: u64,
    /// BLAKE3 over the entries in the order in which they were sent: of a directory the letter `d` and
    /// its path; of a file the letter `f`, its path, its size, `x` or `-` and its hash. Every field is
    /// preceded by its length; lengths and numbers are big-endian `u64`.
    pub root: Hash,
}

/// Why a sender cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExpandedFailure {
    /// Its archive is of a kind that is not expanded.
    Unsupported,
    /// Its archive is damaged.
    Damaged,
    /// Its archive holds what no game needs and an attacker would send.
    Unsafe,
    /// Its archive is over a limit.
    Limit,
    /// The game has no archive.
    NoArchive,
    /// Its files are no longer what they were.
    GameChanged,
    /// The fault is elsewhere on the sending side.
    Internal,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}
