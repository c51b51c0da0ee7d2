//! [`ExpandedError`].

use super::ExpandedFailure;
use crate::{ManifestId, PathError, frame::FrameError, limits::LimitExceeded};

/// Why a stream is not an expanded archive. After one the stream is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandedError {
    /// A frame came where it has no place.
    #[error("a {frame} frame came {place}")]
    OutOfPlace {
        /// Which frame.
        frame: &'static str,
        /// Where: `"before the beginning"`, `"inside of a file"`.
        place: &'static str,
    },
    /// What is expanded is not what was asked for.
    #[error("payload {offered} is expanded instead of {asked}")]
    OtherPayload {
        /// What was asked for.
        asked: ManifestId,
        /// What came.
        offered: ManifestId,
    },
    /// A path cannot be stored safely on every system, or not beside another of the stream.
    #[error("an entry has a path that is refused")]
    Path(#[source] PathError),
    /// A path is kept for lanspread.
    #[error("an entry is named {path:?}, a name that is reserved")]
    Reserved {
        /// The path.
        path: String,
    },
    /// Bytes came past a file's declared size.
    #[error("{path} has more than the {size} bytes it declares")]
    Longer {
        /// The file.
        path: String,
        /// What it declares.
        size: u64,
    },
    /// A file ended before its declared size.
    #[error("{path} ended after {actual} of the {size} bytes it declares")]
    Shorter {
        /// The file.
        path: String,
        /// What it declares.
        size: u64,
        /// What came.
        actual: u64,
    },
    /// A file's bytes do not have the hash that was sent after them.
    #[error("the bytes of {path} do not have the hash that came with them")]
    WrongHash {
        /// The file.
        path: String,
    },
    /// More came, or was declared, than the totals of the beginning say.
    #[error("the stream holds more than the {total} {what} it declares")]
    OverTotals {
        /// `"bytes"` or `"files"`.
        what: &'static str,
        /// What the beginning said.
        total: u64,
    },
    /// The closing sums are not those of what came.
    #[error("the stream closes with other sums than those of what came")]
    WrongSums,
    /// The stream ended without its closing frame.
    #[error("the stream ended {place}")]
    Unfinished {
        /// Where, as in [`Self::OutOfPlace`].
        place: &'static str,
    },
    /// The sender said that it cannot go on.
    #[error("the sender cannot go on: {message}")]
    Failed {
        /// For programs.
        code: ExpandedFailure,
        /// For people, as the sender says it.
        message: String,
    },
    /// Bytes that are no frame, or one of another kind.
    #[error("the stream does not hold frames of an expanded archive")]
    Frame(#[from] FrameError),
    /// A number is over its limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}
