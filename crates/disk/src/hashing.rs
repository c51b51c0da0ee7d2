//! A file's hash and its chunks' hashes, in one pass.

use std::sync::atomic::{AtomicBool, Ordering};

use lanspread_proto::{CHUNK_BYTES, Hash, chunk};

use crate::{
    entry::FileStamp,
    error::DiskError,
    verbs::{Disk, DiskFile},
};

/// Bytes that are read at once: one chunk.
pub const HASH_PIECE_BYTES: usize = 1024 * 1024;

const _: () = assert!(HASH_PIECE_BYTES as u64 == CHUNK_BYTES, "a piece is a chunk");

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHashes {
    /// Plain BLAKE3 of the content, what `b3sum` prints.
    pub hash: Hash,
    /// One hash per chunk, in order; none for the empty file.
    pub chunks: Vec<Hash>,
    /// The file as it was before the first byte was read and after the last.
    pub stamp: FileStamp,
}

/// Why a file has no hash.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Somebody wrote to the file meanwhile; its hash would be that of no version.
    #[error("{} changed while it was hashed", path.display())]
    Changed {
        /// The file.
        path: std::path::PathBuf,
    },
    /// The caller asked to stop.
    #[error("hashing was cancelled")]
    Cancelled,
}

/// Hashes one file, a chunk at a time. Once `cancel` is true it stops before the next chunk;
/// `on_bytes` is told the bytes of each chunk after it is hashed.
pub fn hash_payload_file<D: Disk>(
    disk: &D,
    path: &str,
    cancel: &AtomicBool,
    on_bytes: &dyn Fn(u64),
) -> Result<FileHashes, HashError> {
    let file = disk.open_read(path)?;
    let stamp = file.stamp()?;
    let changed = || HashError::Changed {
        path: disk.shown(path),
    };
    let mut buffer = piece_buffer(stamp.size);
    let mut chunks = Vec::new();
    for offset in (0..stamp.size).step_by(HASH_PIECE_BYTES) {
        if cancel.load(Ordering::Relaxed) {
            return Err(HashError::Cancelled);
        }
        let hash = hash_chunk_at(&file, offset, stamp.size, &mut buffer)?.ok_or_else(changed)?;
        chunks.push(hash);
        on_bytes(CHUNK_BYTES.min(stamp.size - offset));
    }
    if file.stamp()? != stamp {
        return Err(changed());
    }
    Ok(FileHashes {
        hash: chunk::file_hash(&chunks),
        chunks,
        stamp,
    })
}

/// A buffer for [`hash_chunk_at`], no larger than a file of `file_bytes` needs.
pub fn piece_buffer(file_bytes: u64) -> Vec<u8> {
    vec![0; usize::try_from(file_bytes.min(CHUNK_BYTES)).unwrap_or(HASH_PIECE_BYTES)]
}

/// The hash of the chunk at `offset` of a file that should have `file_bytes`; `None` if the file
/// ends before the chunk does. `buffer` comes from [`piece_buffer`] for a file at least as large.
pub fn hash_chunk_at<F: DiskFile>(
    file: &F,
    offset: u64,
    file_bytes: u64,
    buffer: &mut [u8],
) -> Result<Option<Hash>, DiskError> {
    let bytes = usize::try_from((file_bytes - offset).min(CHUNK_BYTES)).unwrap_or(HASH_PIECE_BYTES);
    let piece = &mut buffer[..bytes];
    if file.read_at(piece, offset)? < bytes {
        return Ok(None);
    }
    Ok(Some(chunk::chunk_hash(
        piece,
        offset,
        file_bytes <= CHUNK_BYTES,
    )))
}
