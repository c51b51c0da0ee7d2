//! How hashes of unfinished games are written: seven bytes that say what it is, one for the format, the
//! BLAKE3 of the rest, and the rest. Numbers are 64 bits, little-endian.
//!
//! ```text
//! per file: length of the path, path, size, modification time, file id, number of runs
//! per run:  first chunk, number of chunks, their hashes (32 bytes each)
//! ```

use lanspread_disk::FileStamp;
use lanspread_proto::{GamePath, Hash};

use crate::hash::{FileToHash, Hashed, Pieces};

const MAGIC: &[u8; 7] = b"lanhsh\0";

/// The format that is written and read.
pub(super) const FORMAT: u8 = 1;

/// Bytes before the hash.
pub(super) const HEAD_BYTES: usize = MAGIC.len() + 1;

/// Why bytes say nothing about hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// A later lanspread wrote them, in this format.
    Newer(u8),
    /// They are cut, or were never ours.
    Damaged,
}

/// Collects files.
#[derive(Debug, Default)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    /// Adds a file and the runs of chunks that are hashed of it.
    pub(crate) fn file<'a>(
        &mut self,
        path: &GamePath,
        stamp: FileStamp,
        runs: impl ExactSizeIterator<Item = (u64, &'a [Hash])>,
    ) {
        self.number(path.as_str().len() as u64);
        self.0.extend_from_slice(path.as_str().as_bytes());
        self.number(stamp.size);
        self.0.extend_from_slice(&stamp.modified_ns.to_le_bytes());
        self.number(stamp.file_id);
        self.number(runs.len() as u64);
        for (first, hashes) in runs {
            self.number(first);
            self.number(hashes.len() as u64);
            for hash in hashes {
                self.0.extend_from_slice(hash.as_bytes());
            }
        }
    }

    /// Whether no file was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The document.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut document = Vec::with_capacity(HEAD_BYTES + Hash::LEN + self.0.len());
        document.extend_from_slice(MAGIC);
        document.push(FORMAT);
        document.extend_from_slice(Hash::of(&self.0).as_bytes());
        document.extend_from_slice(&self.0);
        document
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }
}

/// The format that a document's first bytes name; `None` if they are none of ours.
pub(super) fn format(head: &[u8]) -> Option<u8> {
    head.strip_prefix(MAGIC)?.first().copied()
}

/// Reads a document.
pub(super) fn decode(document: &[u8]) -> Result<Hashed, DecodeError> {
    match format(document) {
        Some(newer) if newer > FORMAT => return Err(DecodeError::Newer(newer)),
        Some(FORMAT) => {}
        _ => return Err(DecodeError::Damaged),
    }
    let (hash, body) = document[HEAD_BYTES..]
        .split_at_checked(Hash::LEN)
        .ok_or(DecodeError::Damaged)?;
    if hash != Hash::of(body).as_bytes() {
        return Err(DecodeError::Damaged);
    }
    let mut rest = Rest(body);
    let mut files = Vec::new();
    while !rest.0.is_empty() {
        files.push(rest.file().ok_or(DecodeError::Damaged)?);
    }
    Ok(files)
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn file(&mut self) -> Option<(FileToHash, Pieces)> {
        let length = self.number()?;
        let path = GamePath::from_bytes(self.bytes(length)?).ok()?;
        let stamp = FileStamp {
            size: self.number()?,
            modified_ns: self.number()?.cast_signed(),
            file_id: self.number()?,
        };
        let file = FileToHash {
            path,
            stamp,
            doubts: 0,
        };
        let mut pieces = Pieces::default();
        let mut end = 0;
        for _ in 0..self.number()? {
            let (first, hashes) = self.run()?;
            if first < end || hashes.is_empty() {
                return None;
            }
            end = first.checked_add(hashes.len() as u64)?;
            pieces.insert(first, hashes);
        }
        (0 < end && end <= file.chunk_count()).then_some((file, pieces))
    }

    fn run(&mut self) -> Option<(u64, Vec<Hash>)> {
        let first = self.number()?;
        let bytes = self.number()?.checked_mul(Hash::LEN as u64)?;
        let (hashes, _) = self.bytes(bytes)?.as_chunks::<{ Hash::LEN }>();
        Some((
            first,
            hashes.iter().copied().map(Hash::from_bytes).collect(),
        ))
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self, count: u64) -> Option<&[u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::CHUNK_BYTES;

    use super::*;

    fn file(path: &str, size: u64) -> FileToHash {
        let stamp = FileStamp {
            size,
            modified_ns: -7,
            file_id: u64::MAX,
        };
        let path = path.parse().unwrap();
        FileToHash {
            path,
            stamp,
            doubts: 0,
        }
    }

    fn hashes(chunks: std::ops::Range<u64>) -> Vec<Hash> {
        chunks.map(|chunk| Hash::of(&chunk.to_be_bytes())).collect()
    }

    fn encoded(files: &Hashed) -> Encoder {
        let mut encoder = Encoder::default();
        for (file, pieces) in files {
            encoder.file(&file.path, file.stamp, pieces.runs());
        }
        encoder
    }

    fn sample() -> Hashed {
        let mut some = Pieces::run(0, hashes(0..2));
        some.insert(64, hashes(64..67));
        vec![
            (file("data/größe.bin", 1), Pieces::run(0, hashes(0..1))),
            (file("large", 66 * CHUNK_BYTES + 1), some),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for files in [Vec::new(), sample()] {
            assert_eq!(decode(&encoded(&files).finish()), Ok(files));
        }
    }

    #[test]
    fn a_document_that_is_cut_or_changed_anywhere_is_damaged() {
        let whole = encoded(&sample()).finish();
        for len in 0..whole.len() {
            assert_eq!(decode(&whole[..len]), Err(DecodeError::Damaged), "{len}");
            let mut changed = whole.clone();
            changed[len] ^= 1;
            assert_eq!(decode(&changed), Err(DecodeError::Damaged), "{len}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut document = encoded(&sample()).finish();
        document[HEAD_BYTES - 1] = 9;
        assert_eq!(decode(&document), Err(DecodeError::Newer(9)));
        assert_eq!(decode(&document[..HEAD_BYTES]), Err(DecodeError::Newer(9)));
        assert_eq!(
            decode(&document[..HEAD_BYTES - 1]),
            Err(DecodeError::Damaged)
        );
    }

    #[test]
    fn runs_that_no_file_can_have_are_damage() {
        let mut overlap = Pieces::run(0, hashes(0..3));
        overlap.insert(2, hashes(2..4));
        for (size, pieces) in [
            (9 * CHUNK_BYTES, overlap),
            (CHUNK_BYTES, Pieces::run(0, hashes(0..2))),
            (CHUNK_BYTES, Pieces::run(1, hashes(0..1))),
            (CHUNK_BYTES, Pieces::run(u64::MAX, hashes(0..1))),
            (CHUNK_BYTES, Pieces::run(0, Vec::new())),
            (CHUNK_BYTES, Pieces::default()),
        ] {
            let document = encoded(&vec![(file("x", size), pieces.clone())]).finish();
            assert_eq!(decode(&document), Err(DecodeError::Damaged), "{pieces:?}");
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_damage() {
        for at in [0, 8 + 1 + 24, 8 + 1 + 24 + 8 + 8] {
            for length in [2_u64, 1 << 40, u64::MAX] {
                let files = vec![(file("x", 1), Pieces::run(0, hashes(0..1)))];
                let mut encoder = encoded(&files);
                encoder.0[at..at + 8].copy_from_slice(&length.to_le_bytes());
                let document = encoder.finish();
                assert_eq!(
                    decode(&document),
                    Err(DecodeError::Damaged),
                    "{length} at {at}"
                );
            }
        }
    }
}
