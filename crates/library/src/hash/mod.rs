//! Hashing in the background, on several threads, what is asked for first.

mod piece;
mod pieces;
mod pool;
mod queue;

pub(crate) use piece::{FileToHash, PieceError, hash_piece};
pub(crate) use pieces::{Hashed, Pieces};
pub(crate) use pool::HashPool;
pub(crate) use queue::{Ending, Job, JobProgress, Outcome};
