//! [`Wrap`]: what is put around a tar.

use super::{
    blob::{Blob, Part},
    bytes::{Record, word},
    deflate::deflate,
    lzma2::{dictionary_property, lzma2, multibyte},
};

const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

const ZSTD_MAGIC: u32 = 0xFD2F_B528;
/// The largest block, and the largest run of one byte.
const ZSTD_BLOCK: usize = 128 * 1024;
/// What every reader must be able to hold.
const ZSTD_WINDOW_LOG: u8 = 23;
const ZSTD_RAW: u32 = 0;
const ZSTD_RUN: u32 = 1;

const XZ_MAGIC: [u8; 6] = [0xFD, b'7', b'z', b'X', b'Z', 0];
const XZ_CHECK_CRC32: u8 = 1;
const XZ_LZMA2: u8 = 0x21;
const XZ_DICTIONARY: u64 = 8 * 1024 * 1024;

/// A compressed stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    /// Zstandard, its blocks not compressed but for runs.
    Zst,
    /// gzip.
    Gz,
    /// xz, its chunks not compressed but for zeros.
    Xz,
}

impl Wrap {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Zst, Self::Gz, Self::Xz];

    /// The content as one stream.
    pub fn pack(self, content: &Blob) -> Blob {
        match self {
            Self::Zst => zst(content, ZSTD_WINDOW_LOG),
            Self::Gz => gz(content),
            Self::Xz => xz(content, XZ_DICTIONARY),
        }
    }

    /// The same with a window, or dictionary, of this size (rounded up to what the format can say);
    /// gzip has none.
    pub fn pack_with_dictionary(self, content: &Blob, bytes: u64) -> Option<Blob> {
        match self {
            Self::Zst => {
                let log = (10..41).find(|log| 1 << log >= bytes).unwrap_or(41);
                Some(zst(content, log))
            }
            Self::Gz => None,
            Self::Xz => Some(xz(content, bytes)),
        }
    }
}

fn gz(content: &Blob) -> Blob {
    let mut out = Blob::from(&GZIP_HEADER);
    out.append(&deflate(content));
    let size = u32::try_from(content.size() & u64::from(u32::MAX)).expect("32 bits");
    out.push(&Record::default().u32(content.crc32()).u32(size).take());
    out
}

fn zst(content: &Blob, window_log: u8) -> Blob {
    let frame = Record::default()
        .u32(ZSTD_MAGIC)
        .u8(0)
        .u8((window_log - 10) << 3);
    let mut out = Blob::from(frame.take());
    for part in content.parts() {
        match part {
            Part::Bytes(bytes) => out.push(&raw_blocks(bytes)),
            Part::Repeated(bytes, times) => out.push_repeated(raw_blocks(bytes), *times),
            Part::Zeros(count) => {
                let block = ZSTD_BLOCK as u64;
                out.push_repeated(run_block(ZSTD_BLOCK), count / block);
                let left = usize::try_from(count % block).expect("less than a block");
                out.push(&run_block(left));
            }
        }
    }
    // An empty block that is the last.
    out.push(&[1, 0, 0]);
    out
}

fn raw_blocks(bytes: &[u8]) -> Vec<u8> {
    let mut blocks = Vec::new();
    for block in bytes.chunks(ZSTD_BLOCK) {
        blocks.extend_from_slice(&block_header(ZSTD_RAW, block.len()));
        blocks.extend_from_slice(block);
    }
    blocks
}

fn run_block(zeros: usize) -> Vec<u8> {
    let mut block = block_header(ZSTD_RUN, zeros).to_vec();
    block.push(0);
    block
}

fn block_header(kind: u32, length: usize) -> [u8; 3] {
    let bytes = (kind << 1 | word(length as u64) << 3).to_le_bytes();
    [bytes[0], bytes[1], bytes[2]]
}

fn xz(content: &Blob, dictionary_bytes: u64) -> Blob {
    let flags = [0, XZ_CHECK_CRC32];
    let mut out = Blob::from(&XZ_MAGIC);
    out.push(&flags);
    out.push(&crc32fast::hash(&flags).to_le_bytes());

    // One filter, no sizes; padded to a multiple of four with its checksum.
    let property = dictionary_property(dictionary_bytes);
    let block = with_checksum(&[2, 0, XZ_LZMA2, 1, property, 0, 0, 0]);
    let packed = lzma2(content);
    out.push(&block);
    out.append(&packed);
    let unpadded = block.len() as u64 + packed.size() + 4;
    out.push(&padding(packed.size()));
    out.push(&content.crc32().to_le_bytes());

    let mut index = vec![0, 1];
    index.extend(multibyte(unpadded));
    index.extend(multibyte(content.size()));
    index.extend(padding(index.len() as u64));
    let index = with_checksum(&index);
    out.push(&index);

    let backward = word(index.len() as u64 / 4 - 1);
    let footer = Record::default().u32(backward).bytes(&flags).take();
    out.push(&crc32fast::hash(&footer).to_le_bytes());
    out.push(&footer);
    out.push(b"YZ");
    out
}

fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    [bytes, &crc32fast::hash(bytes).to_le_bytes()].concat()
}

/// Zeros up to a multiple of four.
fn padding(length: u64) -> Vec<u8> {
    (length..length.next_multiple_of(4)).map(|_| 0).collect()
}
