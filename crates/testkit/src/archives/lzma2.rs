//! LZMA2 of a [`Blob`]: bytes in uncompressed chunks, zeros in a compressed one that is repeated.

use std::io::Write;

use lzma_rust2::{Lzma2Options, Lzma2Writer};

use super::{
    blob::{Blob, Part},
    bytes::{low_byte, short},
};

/// An uncompressed chunk holds at most this much.
const CHUNK: usize = 64 * 1024;

/// Zeros are compressed once in this size: one chunk, which resets everything it needs.
const PIECE: u64 = 1024 * 1024;

const UNCOMPRESSED_AFTER_RESET: u8 = 0x01;
const END: u8 = 0x00;

pub(super) fn lzma2(content: &Blob) -> Blob {
    let mut packed = Blob::default();
    for part in content.parts() {
        match part {
            Part::Bytes(bytes) => packed.push(&uncompressed(bytes)),
            Part::Repeated(bytes, times) => packed.push_repeated(uncompressed(bytes), *times),
            Part::Zeros(count) => {
                packed.push_repeated(compressed(PIECE), count / PIECE);
                packed.push(&compressed(count % PIECE));
            }
        }
    }
    packed.push(&[END]);
    packed
}

/// The property byte of the smallest dictionary of at least `bytes`.
pub(super) fn dictionary_property(bytes: u64) -> u8 {
    (0..40)
        .find(|property| (2 | u64::from(property & 1)) << (property / 2 + 11) >= bytes)
        .unwrap_or(40)
}

fn uncompressed(bytes: &[u8]) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in bytes.chunks(CHUNK) {
        chunks.push(UNCOMPRESSED_AFTER_RESET);
        chunks.extend(short(chunk.len() - 1).to_be_bytes());
        chunks.extend_from_slice(chunk);
    }
    chunks
}

fn compressed(zeros: u64) -> Vec<u8> {
    if zeros == 0 {
        return Vec::new();
    }
    let content = vec![0; usize::try_from(zeros).expect("a piece fits in memory")];
    let mut writer = Lzma2Writer::new(Vec::new(), Lzma2Options::with_preset(1));
    writer.write_all(&content).expect("memory takes the chunk");
    let mut chunks = writer.finish().expect("memory takes the end");
    assert_eq!(chunks.pop(), Some(END), "the end of the chunks");
    chunks
}

/// A number of 7-Zip and xz headers: seven bits per byte, the lowest first.
pub(super) fn multibyte(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = value;
    while left >= 0x80 {
        bytes.push(low_byte(left) | 0x80);
        left >>= 7;
    }
    bytes.push(low_byte(left));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_have_their_property() {
        assert_eq!(dictionary_property(4 * 1024), 0);
        assert_eq!(dictionary_property(6 * 1024), 1);
        assert_eq!(dictionary_property(1024 * 1024), 16);
        assert_eq!(dictionary_property(4 * 1024 * 1024 * 1024), 40);
    }
}
