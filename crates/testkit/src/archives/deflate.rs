//! Deflate of a [`Blob`], in time that does not grow with its zeros.

use flate2::{Compress, Compression, FlushCompress, Status};

use super::blob::{Blob, Part};

/// Zeros are compressed once in this size and then repeated.
const PIECE: u64 = 1024 * 1024;

/// An empty last block with fixed codes.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

pub(super) fn deflate(content: &Blob) -> Blob {
    let mut packed = Blob::default();
    for part in content.parts() {
        match part {
            Part::Bytes(bytes) => packed.push(&blocks(bytes)),
            Part::Repeated(bytes, times) => packed.push_repeated(blocks(bytes), *times),
            Part::Zeros(count) => {
                packed.push_repeated(blocks(&vec![0; to_usize(PIECE)]), count / PIECE);
                packed.push(&blocks(&vec![0; to_usize(count % PIECE)]));
            }
        }
    }
    packed.push(&LAST_BLOCK);
    packed
}

/// Blocks that end at a byte and refer to nothing before them, none of them marked as the last.
fn blocks(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len() + bytes.len() / 1000 + 64);
    let status = Compress::new(Compression::default(), false)
        .compress_vec(bytes, &mut packed, FlushCompress::Full)
        .expect("memory takes the blocks");
    assert_eq!(status, Status::Ok, "the buffer was large enough");
    packed
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).expect("a piece fits in memory")
}
