//! One piece of one file: what a thread hashes at a time.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use lanspread_disk::{Disk, DiskError, DiskFile, FileStamp, hash_chunk_at, piece_buffer};
use lanspread_proto::{CHUNK_BYTES, GamePath, Hash};

/// Chunks of a piece. Long enough that opening the file again costs nothing, short enough that two threads
/// share a large file and that a game which is asked for gets its turn within a fraction of a second.
pub(super) const PIECE_CHUNKS_MAX: u64 = 32;

/// A file whose hash is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileToHash {
    pub(crate) path: GamePath,
    /// How it was when it was found; it must stay so.
    pub(crate) stamp: FileStamp,
    /// How often it was doubted before it was found. What is hashed counts until the next doubt only.
    pub(crate) doubts: u64,
}

impl FileToHash {
    /// Chunks of the file.
    pub(crate) fn chunk_count(&self) -> u64 {
        self.stamp.size.div_ceil(CHUNK_BYTES)
    }
}

/// Why a piece has no hashes.
#[derive(Debug)]
pub(crate) enum PieceError {
    /// The file is no longer the one that was found.
    Changed,
    /// The disk does not give it.
    Disk(DiskError),
    /// Nobody wants it any more.
    Cancelled,
}

/// Hashes the chunks `chunks` of a file. `on_bytes` is told the bytes of each chunk after it is hashed.
pub(crate) fn hash_piece<D: Disk>(
    root: &D,
    file: &FileToHash,
    chunks: Range<u64>,
    cancel: &AtomicBool,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Hash>, PieceError> {
    let opened = root
        .open_read(file.path.as_str())
        .map_err(gone_or_unreadable)?;
    let check = || match opened.stamp() {
        Ok(stamp) if stamp == file.stamp => Ok(()),
        Ok(_) => Err(PieceError::Changed),
        Err(error) => Err(PieceError::Disk(error)),
    };
    check()?;
    let size = file.stamp.size;
    let mut buffer = piece_buffer(size);
    let mut hashes = Vec::new();
    for chunk in chunks {
        if cancel.load(Ordering::Relaxed) {
            return Err(PieceError::Cancelled);
        }
        let offset = chunk * CHUNK_BYTES;
        let hash = hash_chunk_at(&opened, offset, size, &mut buffer).map_err(PieceError::Disk)?;
        hashes.push(hash.ok_or(PieceError::Changed)?);
        on_bytes(CHUNK_BYTES.min(size - offset));
    }
    check()?;
    Ok(hashes)
}

fn gone_or_unreadable(error: DiskError) -> PieceError {
    if error.is_not_found() || error.is_wrong_kind() {
        PieceError::Changed
    } else {
        PieceError::Disk(error)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
mod tests {
    use std::io::ErrorKind;

    use lanspread_disk::{
        RealDisk,
        twin::{Operation, RecordingDisk, Verdict},
    };

    use super::*;

    /// Hashes a file of two chunks while operation `number` fails.
    fn failing(number: usize, kind: ErrorKind) -> Result<Vec<Hash>, PieceError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), vec![1; 1_500_000]).unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        let stamp = disk.stat("x").unwrap().unwrap().stamp;
        let rule = move |operation: &Operation| {
            if operation.number == number {
                Verdict::Fail(kind)
            } else {
                Verdict::Proceed
            }
        };
        let file = FileToHash {
            path: "x".parse().unwrap(),
            stamp,
            doubts: 0,
        };
        let disk = RecordingDisk::new(disk, rule);
        hash_piece(&disk, &file, 0..2, &AtomicBool::new(false), &|_| {})
    }

    #[test]
    fn every_operation_that_fails_is_an_error_and_never_a_hash() {
        // Opened, looked at, two chunks read, looked at again.
        for number in 0..5 {
            let error = failing(number, ErrorKind::PermissionDenied).unwrap_err();
            let PieceError::Disk(error) = error else {
                panic!("{number}: {error:?}")
            };
            assert!(error.path.ends_with("x"), "{error}");
        }
        assert_eq!(failing(5, ErrorKind::PermissionDenied).unwrap().len(), 2);
        assert!(matches!(
            failing(0, ErrorKind::NotFound),
            Err(PieceError::Changed)
        ));
    }

    #[test]
    fn a_file_that_is_no_longer_the_one_that_was_found_is_not_hashed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "12345").unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        let stamp = disk.stat("x").unwrap().unwrap().stamp;
        let hash = |stamp| {
            let file = FileToHash {
                path: "x".parse().unwrap(),
                stamp,
                doubts: 0,
            };
            hash_piece(&disk, &file, 0..1, &AtomicBool::new(false), &|_| {})
        };
        assert!(hash(stamp).is_ok());
        for other in [
            FileStamp { size: 6, ..stamp },
            FileStamp {
                modified_ns: stamp.modified_ns + 1,
                ..stamp
            },
            FileStamp {
                file_id: stamp.file_id + 1,
                ..stamp
            },
        ] {
            assert!(matches!(hash(other), Err(PieceError::Changed)), "{other:?}");
        }
    }
}
