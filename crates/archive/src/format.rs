//! [`Format`]: what an archive is, by its content.

use std::io::{self, Read, Seek};

use crate::{error::Problem, input::Input, limits::ArchiveLimits};

/// What is looked at to tell a format.
const LOOKED_AT_BYTES: usize = 4096;

/// A tar header, and the unit of everything in a tar.
const TAR_BLOCK_BYTES: usize = 512;

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// RAR 1.5 to 4, and 5 and later.
    Rar,
    Zip,
    SevenZ,
    Tar(Coat),
}

/// What a tar is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coat {
    Plain,
    Zstd,
    Gzip,
    Xz,
}

impl Format {
    /// The format of what is in `input`, which is at its start; `None` if it is no archive.
    pub(crate) fn detect(
        mut input: Input,
        limits: &ArchiveLimits,
    ) -> Result<Option<Self>, Problem> {
        let watch = input.watch().clone();
        let start = read_start(&mut input, LOOKED_AT_BYTES)
            .and_then(|start| input.rewind().map(|()| start))
            .map_err(|error| watch.blame(error))?;
        if let Some(format) = Self::of_magic(&start) {
            return Ok(Some(format));
        }
        let Some(coat) = Coat::of_magic(&start) else {
            return Ok(None);
        };
        let block = coat
            .take_off(input, limits)
            .and_then(|mut tar| read_start(&mut tar, TAR_BLOCK_BYTES));
        match block {
            Ok(block) => Ok(is_tar_header(&block).then_some(Self::Tar(coat))),
            // What does not decode is no archive; a disk that fails is no answer. What needs more memory
            // than it may have is taken for one, so that somebody is told.
            Err(error) => match watch.own_fault() {
                Some(problem) => Err(problem),
                None => Ok(is_over_memory(&error).then_some(Self::Tar(coat))),
            },
        }
    }

    fn of_magic(start: &[u8]) -> Option<Self> {
        const MAGICS: [(&[u8], Format); 6] = [
            (b"Rar!\x1a\x07\x01\x00", Format::Rar),
            (b"Rar!\x1a\x07\x00", Format::Rar),
            (b"7z\xbc\xaf\x27\x1c", Format::SevenZ),
            (b"PK\x03\x04", Format::Zip),
            (b"PK\x05\x06", Format::Zip),
            (b"PK\x07\x08", Format::Zip),
        ];
        MAGICS
            .iter()
            .find(|(magic, _)| start.starts_with(magic))
            .map(|(_, format)| *format)
            .or_else(|| is_tar_header(start).then_some(Self::Tar(Coat::Plain)))
    }
}

impl Coat {
    fn of_magic(start: &[u8]) -> Option<Self> {
        match start {
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }

    /// The bytes inside: all frames, members or streams, one after the other.
    pub(crate) fn take_off(
        self,
        input: Input,
        limits: &ArchiveLimits,
    ) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Plain => Box::new(input),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(limits.zstd_window_log())?;
                Box::new(decoder)
            }
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
                input,
                true,
                limits.xz_memory_kib(),
            )),
        })
    }
}

/// Whether a decoder refused because of the memory it would need: it was told its limit.
pub(crate) fn is_over_memory(error: &io::Error) -> bool {
    /// What zstd's decoder says to a frame above its window limit.
    const ZSTD_WINDOW: &str = "too much memory";
    error.kind() == io::ErrorKind::OutOfMemory || error.to_string().contains(ZSTD_WINDOW)
}

/// Up to `count` bytes, fewer only at the end.
fn read_start(reader: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(count);
    reader.take(count as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// Whether these bytes begin with a tar header: its checksum is right, also where there is no magic, as
/// in the oldest archives.
fn is_tar_header(start: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(header) = start.get(..TAR_BLOCK_BYTES) else {
        return false;
    };
    let Some(declared) = octal(&header[CHECKSUM]) else {
        return false;
    };
    let sum = |value: fn(u8) -> i64| -> i64 {
        let bytes = header.iter().enumerate();
        bytes
            .map(|(at, byte)| value(if CHECKSUM.contains(&at) { b' ' } else { *byte }))
            .sum()
    };
    // Some old writers summed signed bytes.
    declared == sum(i64::from) || declared == sum(|byte| i64::from(byte.cast_signed()))
}

fn octal(field: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(field).ok()?;
    i64::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
}
