//! [`Rar5Builder`].

use super::{
    blob::Blob,
    bytes::Record,
    entry::{Entry, EntryKind},
};

const SIGNATURE: &[u8; 8] = b"Rar!\x1a\x07\x01\x00";

const MAIN: u64 = 1;
const FILE: u64 = 2;
const ENCRYPTION: u64 = 4;
const END: u64 = 5;

const HAS_EXTRA: u64 = 1;
const HAS_DATA: u64 = 2;

const MAIN_VOLUME: u64 = 1;
const MAIN_VOLUME_NUMBER: u64 = 2;
const END_NOT_LAST: u64 = 1;

const FILE_FOLDER: u64 = 1;
const FILE_CRC: u64 = 4;

const EXTRA_ENCRYPTION: u64 = 1;
const EXTRA_REDIRECTION: u64 = 5;
const REDIRECTION_SYMLINK: u64 = 1;
const REDIRECTION_HARD_LINK: u64 = 4;
const REDIRECTION_COPY: u64 = 5;

const STORED: u64 = 0;
const NORMAL: u64 = 3;

const HOST_WINDOWS: u64 = 0;
const HOST_UNIX: u64 = 1;

const DICTIONARY_MIN: u64 = 128 * 1024;

/// RAR 5, nothing really compressed. Each file header says that data follows, also where none does: some
/// readers refuse one that does not.
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct Rar5Builder {
    out: Blob,
    volumes: bool,
}

impl Default for Rar5Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Rar5Builder {
    /// An empty archive.
    pub fn new() -> Self {
        Self::with_main(Record::default().vint(MAIN).vint(0).vint(0))
    }

    /// The second of several volumes.
    pub fn volumes() -> Self {
        let flags = MAIN_VOLUME | MAIN_VOLUME_NUMBER;
        let main = Record::default().vint(MAIN).vint(0).vint(flags).vint(1);
        Self {
            volumes: true,
            ..Self::with_main(main)
        }
    }

    /// An archive whose every header is encrypted; what is added to it can be read nevertheless.
    pub fn encrypted_headers() -> Self {
        let mut out = Blob::from(SIGNATURE);
        // AES-256, no password check, 2^15 rounds.
        let header = Record::default().vint(ENCRYPTION).vint(0).vint(0).vint(0);
        out.push(&block(&header.u8(15).bytes(&[7; 16]).take()));
        Self {
            out,
            volumes: false,
        }
    }

    fn with_main(main: Record) -> Self {
        let mut out = Blob::from(SIGNATURE);
        out.push(&block(&main.take()));
        Self {
            out,
            volumes: false,
        }
    }

    /// Adds an entry, stored.
    pub fn entry(self, entry: &Entry) -> Self {
        self.packed(entry, STORED)
    }

    /// Adds an entry that is said to be compressed; its content is not.
    pub fn compressed(self, entry: &Entry) -> Self {
        self.packed(entry, NORMAL)
    }

    fn packed(mut self, entry: &Entry, method: u64) -> Self {
        let data = match entry.kind {
            EntryKind::File => entry.data(),
            _ => Blob::default(),
        };
        self.out
            .push(&block(&file_header(entry, method, data.size())));
        self.out.append(&data);
        self
    }

    /// The archive.
    pub fn build(self) -> Blob {
        let flags = if self.volumes { END_NOT_LAST } else { 0 };
        let mut out = self.out;
        out.push(&block(
            &Record::default().vint(END).vint(0).vint(flags).take(),
        ));
        out
    }
}

/// A header with its checksum and its size in front.
fn block(header: &[u8]) -> Vec<u8> {
    let sized = Record::default()
        .vint(header.len() as u64)
        .bytes(header)
        .take();
    Record::default()
        .u32(crc32fast::hash(&sized))
        .bytes(&sized)
        .take()
}

fn file_header(entry: &Entry, method: u64, data_bytes: u64) -> Vec<u8> {
    let extra = extra(entry);
    let with_extra = if extra.is_empty() { 0 } else { HAS_EXTRA };
    let folder = if entry.is_folder() { FILE_FOLDER } else { 0 };
    let (host, attributes) = if entry.on_windows {
        (HOST_WINDOWS, if entry.is_folder() { 0x10 } else { 0x20 })
    } else {
        (HOST_UNIX, u64::from(entry.unix_mode()))
    };
    let bytes = entry.declared_bytes.unwrap_or(data_bytes);
    let crc = if data_bytes == 0 && !entry.damaged {
        0
    } else {
        entry.checksum()
    };

    let header = Record::default().vint(FILE).vint(with_extra | HAS_DATA);
    let header = if extra.is_empty() {
        header
    } else {
        header.vint(extra.len() as u64)
    };
    let header = header.vint(data_bytes).vint(folder | FILE_CRC).vint(bytes);
    let header = header
        .vint(attributes)
        .u32(crc)
        .vint(compression(entry, method))
        .vint(host);
    header
        .vint(entry.name.len() as u64)
        .bytes(&entry.name)
        .bytes(&extra)
        .take()
}

/// A dictionary of 128 KiB times a power of two; over 4 GiB that is version 1.
fn compression(entry: &Entry, method: u64) -> u64 {
    let steps = entry.dictionary_bytes.div_ceil(DICTIONARY_MIN).max(1);
    let power = u64::from(steps.next_power_of_two().trailing_zeros());
    let version = u64::from(power > 15);
    version | method << 7 | power << 10
}

fn extra(entry: &Entry) -> Vec<u8> {
    let mut extra = Vec::new();
    if entry.encrypted {
        // AES-256, no password check, 2^15 rounds, salt and initial vector.
        let record = Record::default().vint(EXTRA_ENCRYPTION).vint(0).vint(0);
        extra.extend(extra_record(&record.u8(15).bytes(&[7; 32]).take()));
    }
    let (kind, target) = match &entry.kind {
        EntryKind::Symlink(target) => (REDIRECTION_SYMLINK, target),
        EntryKind::HardLink(target) => (REDIRECTION_HARD_LINK, target),
        EntryKind::Copy(source) => (REDIRECTION_COPY, source),
        _ => return extra,
    };
    let record = Record::default().vint(EXTRA_REDIRECTION).vint(kind).vint(0);
    let record = record.vint(target.len() as u64).bytes(target);
    extra.extend(extra_record(&record.take()));
    extra
}

fn extra_record(record: &[u8]) -> Vec<u8> {
    Record::default()
        .vint(record.len() as u64)
        .bytes(record)
        .take()
}
