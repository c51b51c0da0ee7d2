//! [`ZipBuilder`].

use super::{
    blob::Blob,
    bytes::{Record, short, word},
    deflate::deflate,
    entry::Entry,
};

const LOCAL_HEADER: u32 = 0x0403_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

const FLAG_ENCRYPTED: u16 = 1;
const FLAG_UTF8: u16 = 1 << 11;

const VERSION: u16 = 45;
const HOST_WINDOWS: u16 = 10 << 8;
const HOST_UNIX: u16 = 3 << 8;
const DOS_FOLDER: u32 = 0x10;
const EXTRA_ZIP64: u16 = 1;

/// ZIP, stored unless told otherwise, with 64-bit fields where they are needed.
#[derive(Debug, Default)]
#[must_use = "nothing is built before `build`"]
pub struct ZipBuilder {
    out: Blob,
    central: Blob,
    entries: u64,
    last: Option<Header>,
    volumes: bool,
}

/// What the local and the central header of an entry share.
#[derive(Debug, Clone)]
struct Header {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed_bytes: u64,
    bytes: u64,
    made_by: u16,
    attributes: u32,
    offset: u64,
}

impl ZipBuilder {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, stored.
    pub fn entry(self, entry: &Entry) -> Self {
        self.packed(entry, STORED, &entry.data())
    }

    /// Adds an entry, deflated.
    pub fn deflated(self, entry: &Entry) -> Self {
        self.packed(entry, DEFLATED, &deflate(&entry.data()))
    }

    /// Adds an entry whose packed bytes somebody else made, with any number as the method.
    pub fn packed(mut self, entry: &Entry, method: u16, packed: &Blob) -> Self {
        let header = Header::new(entry, method, packed.size(), self.out.size());
        self.out.push(&header.local());
        self.out.append(packed);
        self.list(header);
        self
    }

    /// Lists the last entry once more, under another name: both have the same bytes of the archive.
    ///
    /// # Panics
    /// When there is no entry yet.
    pub fn overlapping(mut self, name: impl AsRef<[u8]>) -> Self {
        let mut header = self.last.clone().expect("an entry to overlap with");
        header.name = name.as_ref().into();
        self.list(header);
        self
    }

    /// Says in its end that it is the second of two volumes.
    pub fn volumes(mut self) -> Self {
        self.volumes = true;
        self
    }

    /// The archive.
    pub fn build(self) -> Blob {
        let (start, size) = (self.out.size(), self.central.size());
        let disk = u16::from(self.volumes);
        let mut out = self.out;
        out.append(&self.central);
        if self.entries > 0xFFFF || start > u64::from(u32::MAX) {
            let position = out.size();
            let end = Record::default()
                .u32(END_64)
                .u64(44)
                .u16(VERSION)
                .u16(VERSION)
                .u32(disk.into())
                .u32(disk.into());
            let end = end.u64(self.entries).u64(self.entries).u64(size).u64(start);
            let locator = end
                .u32(END_64_LOCATOR)
                .u32(disk.into())
                .u64(position)
                .u32(1 + u32::from(disk));
            out.push(&locator.take());
        }
        let entries = u16::try_from(self.entries).unwrap_or(u16::MAX);
        let end = Record::default().u32(END).u16(disk).u16(disk);
        let end = end
            .u16(entries)
            .u16(entries)
            .u32(word(size))
            .u32(word(start));
        out.push(&end.u16(0).take());
        out
    }

    fn list(&mut self, header: Header) {
        self.central.push(&header.central());
        self.entries += 1;
        self.last = Some(header);
    }
}

impl Header {
    fn new(entry: &Entry, method: u16, packed_bytes: u64, offset: u64) -> Self {
        let mut name = entry.name.clone();
        if entry.is_folder() && !name.ends_with(b"/") {
            name.push(b'/');
        }
        let utf8 = if std::str::from_utf8(&name).is_ok() {
            FLAG_UTF8
        } else {
            0
        };
        let encrypted = if entry.encrypted { FLAG_ENCRYPTED } else { 0 };
        let folder = if entry.is_folder() { DOS_FOLDER } else { 0 };
        let (made_by, attributes) = if entry.on_windows {
            (HOST_WINDOWS, folder)
        } else {
            (HOST_UNIX, entry.unix_mode() << 16 | folder)
        };
        Self {
            name,
            flags: utf8 | encrypted,
            method,
            crc: entry.checksum(),
            packed_bytes,
            bytes: entry.declared(),
            made_by: made_by | VERSION,
            attributes,
            offset,
        }
    }

    fn local(&self) -> Vec<u8> {
        self.common(Record::default().u32(LOCAL_HEADER))
            .bytes(&self.name)
            .bytes(&self.extra())
            .take()
    }

    fn central(&self) -> Vec<u8> {
        let record = Record::default().u32(CENTRAL_HEADER).u16(self.made_by);
        // No comment, the first disk, no internal attributes.
        let record = self.common(record).u16(0).u16(0).u16(0);
        record
            .u32(self.attributes)
            .u32(word(self.offset))
            .bytes(&self.name)
            .bytes(&self.extra())
            .take()
    }

    /// From the version needed to the length of the extra field.
    fn common(&self, record: Record) -> Record {
        let large = self.is_large();
        let field = |bytes: u64| if large { u32::MAX } else { word(bytes) };
        // 1 January 1980, the earliest day there is.
        let record = record
            .u16(VERSION)
            .u16(self.flags)
            .u16(self.method)
            .u16(0)
            .u16(0x21);
        record
            .u32(self.crc)
            .u32(field(self.packed_bytes))
            .u32(field(self.bytes))
            .u16(short(self.name.len()))
            .u16(short(self.extra().len()))
    }

    fn extra(&self) -> Vec<u8> {
        if !self.is_large() {
            return Vec::new();
        }
        let record = Record::default().u16(EXTRA_ZIP64).u16(16);
        record.u64(self.bytes).u64(self.packed_bytes).take()
    }

    const fn is_large(&self) -> bool {
        self.bytes >= u32::MAX as u64 || self.packed_bytes >= u32::MAX as u64
    }
}
