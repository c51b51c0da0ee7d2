//! [`Rar4Builder`].

use super::{
    blob::Blob,
    bytes::{Record, low_byte, short, word},
    entry::Entry,
};

const SIGNATURE: &[u8; 7] = b"Rar!\x1a\x07\x00";

const MAIN: u8 = 0x73;
const FILE: u8 = 0x74;
const END: u8 = 0x7b;

const MAIN_VOLUME: u16 = 0x0001;
const MAIN_ENCRYPTED: u16 = 0x0080;

const FILE_ENCRYPTED: u16 = 0x0004;
const FILE_FOLDER: u16 = 0x00e0;
const FILE_LARGE: u16 = 0x0100;
/// Without a NUL in the name: it is UTF-8.
const FILE_UNICODE: u16 = 0x0200;
const HAS_DATA: u16 = 0x8000;

const HOST_WINDOWS: u8 = 2;
const HOST_UNIX: u8 = 3;
const STORED: u8 = 0x30;
const VERSION: u8 = 29;

/// RAR as it was before version 5, everything stored. A symbolic link is a file of the Unix host whose
/// content is the target, as in real archives.
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct Rar4Builder {
    out: Blob,
}

impl Default for Rar4Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Rar4Builder {
    /// An empty archive.
    pub fn new() -> Self {
        Self::with_flags(0)
    }

    /// One of several volumes.
    pub fn volumes() -> Self {
        Self::with_flags(MAIN_VOLUME)
    }

    /// An archive whose every header is encrypted; what is added to it can be read nevertheless.
    pub fn encrypted_headers() -> Self {
        Self::with_flags(MAIN_ENCRYPTED)
    }

    fn with_flags(flags: u16) -> Self {
        let mut out = Blob::from(SIGNATURE);
        out.push(&block(MAIN, flags, &[0; 6]));
        Self { out }
    }

    /// Adds an entry.
    pub fn entry(mut self, entry: &Entry) -> Self {
        let data = entry.data();
        let bytes = entry.declared();
        let large = data.size().max(bytes) > u64::from(u32::MAX);
        let unicode = std::str::from_utf8(&entry.name)
            .is_ok_and(|name| !name.is_ascii() && !name.contains('\0'));
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        let flags = HAS_DATA
            | flag(entry.is_folder(), FILE_FOLDER)
            | flag(entry.encrypted, FILE_ENCRYPTED)
            | flag(large, FILE_LARGE)
            | flag(unicode, FILE_UNICODE);
        let (host, attributes) = if entry.on_windows {
            (HOST_WINDOWS, if entry.is_folder() { 0x10 } else { 0x20 })
        } else {
            (HOST_UNIX, entry.unix_mode())
        };

        let low = |size: u64| word(size & u64::from(u32::MAX));
        let header = Record::default()
            .u32(low(data.size()))
            .u32(low(bytes))
            .u8(host);
        // 1 January 1980, the earliest day there is.
        let header = header
            .u32(entry.checksum())
            .u32(0x0021_0000)
            .u8(VERSION)
            .u8(STORED);
        let header = header.u16(short(entry.name.len())).u32(attributes);
        let header = if large {
            header.u32(word(data.size() >> 32)).u32(word(bytes >> 32))
        } else {
            header
        };
        self.out
            .push(&block(FILE, flags, &header.bytes(&entry.name).take()));
        self.out.append(&data);
        self
    }

    /// The archive.
    pub fn build(self) -> Blob {
        let mut out = self.out;
        out.push(&block(END, 0x4000, &[]));
        out
    }
}

/// A header with the low half of its checksum in front.
fn block(kind: u8, flags: u16, rest: &[u8]) -> Vec<u8> {
    let header = Record::default()
        .u8(kind)
        .u16(flags)
        .u16(short(rest.len() + 7))
        .bytes(rest)
        .take();
    let checksum = u64::from(crc32fast::hash(&header));
    Record::default()
        .u8(low_byte(checksum))
        .u8(low_byte(checksum >> 8))
        .bytes(&header)
        .take()
}
