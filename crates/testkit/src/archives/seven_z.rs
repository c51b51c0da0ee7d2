//! [`SevenZBuilder`].

use super::{
    blob::Blob,
    bytes::{Record, low_byte},
    deflate::deflate,
    entry::{Entry, EntryKind},
    lzma2::{dictionary_property, lzma2},
};

const SIGNATURE: &[u8; 6] = b"7z\xbc\xaf\x27\x1c";
const VERSION: [u8; 2] = [0, 4];

const END: u8 = 0x00;
const HEADER: u8 = 0x01;
const STREAMS: u8 = 0x04;
const FILES: u8 = 0x05;
const PACKED: u8 = 0x06;
const BLOCKS: u8 = 0x07;
const SUBSTREAMS: u8 = 0x08;
const SIZES: u8 = 0x09;
const CHECKSUMS: u8 = 0x0a;
const FOLDER: u8 = 0x0b;
const CODER_SIZES: u8 = 0x0c;
const EMPTY_STREAM: u8 = 0x0e;
const EMPTY_FILE: u8 = 0x0f;
const NAMES: u8 = 0x11;
const ATTRIBUTES: u8 = 0x15;

const ALL_DEFINED: u8 = 1;
const HAS_PROPERTIES: u8 = 0x20;

const ATTRIBUTE_FOLDER: u32 = 0x10;
const ATTRIBUTE_UNIX: u32 = 0x8000;

/// How the blocks are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coder {
    /// Not at all.
    #[default]
    Copy,
    /// Deflate.
    Deflate,
    /// LZMA2 with a dictionary of at least this many bytes.
    Lzma2(u64),
    /// Said to be LZMA with a dictionary of this many bytes; the bytes are not packed.
    FalseLzma(u32),
    /// Said to be encrypted with AES; the bytes are as they are.
    FalseAes,
}

/// 7z: one block per file, the index uncompressed at the end.
#[derive(Debug, Default)]
#[must_use = "nothing is built before `build`"]
pub struct SevenZBuilder {
    coder: Coder,
    packed: Blob,
    packed_sizes: Vec<u64>,
    entries: Vec<Listed>,
}

/// What the index keeps of an entry.
#[derive(Debug)]
struct Listed {
    name: Vec<u8>,
    folder: bool,
    attributes: u32,
    /// `None` without content.
    content: Option<(u64, u32)>,
}

impl SevenZBuilder {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Packs the blocks in this way.
    pub fn coder(mut self, coder: Coder) -> Self {
        self.coder = coder;
        self
    }

    /// Adds an entry; the format has no hard links.
    ///
    /// # Panics
    /// When the name is not UTF-8: the format has UTF-16.
    pub fn entry(mut self, entry: &Entry) -> Self {
        let content = entry.data();
        let has_content = content.size() > 0 || entry.declared_bytes.is_some();
        if has_content {
            let packed = self.coder.pack(&content);
            self.packed_sizes.push(packed.size());
            self.packed.append(&packed);
        }
        let name = std::str::from_utf8(&entry.name).expect("a name in UTF-8");
        let folder = if entry.is_folder() {
            ATTRIBUTE_FOLDER
        } else {
            0
        };
        let unix = if entry.on_windows {
            0
        } else {
            ATTRIBUTE_UNIX | entry.unix_mode() << 16
        };
        self.entries.push(Listed {
            name: name
                .encode_utf16()
                .chain([0])
                .flat_map(u16::to_le_bytes)
                .collect(),
            folder: entry.is_folder(),
            attributes: folder | unix,
            content: has_content.then(|| (entry.declared(), entry.checksum())),
        });
        self
    }

    /// The archive.
    pub fn build(self) -> Blob {
        let index = self.index();
        let start = Record::default()
            .u64(self.packed.size())
            .u64(index.len() as u64)
            .u32(crc32fast::hash(&index))
            .take();
        let head = Record::default().bytes(SIGNATURE).bytes(&VERSION);
        let head = head.u32(crc32fast::hash(&start)).bytes(&start);
        let mut out = Blob::from(head.take());
        out.append(&self.packed);
        out.push(&index);
        out
    }

    fn index(&self) -> Vec<u8> {
        let mut index = Record::default().u8(HEADER);
        if !self.packed_sizes.is_empty() {
            index = self.streams(index.u8(STREAMS));
        }
        self.files(index.u8(FILES)).u8(END).take()
    }

    fn streams(&self, record: Record) -> Record {
        let blocks = self.packed_sizes.len() as u64;
        let contents = || self.entries.iter().filter_map(|entry| entry.content);

        let record = number(record.u8(PACKED), 0);
        let record = number(record, blocks).u8(SIZES);
        let record = self
            .packed_sizes
            .iter()
            .copied()
            .fold(record, number)
            .u8(END);

        let record = number(record.u8(BLOCKS).u8(FOLDER), blocks).u8(0);
        let record = contents().fold(record, |record, _| self.coder.describe(record));
        let record = contents().fold(record.u8(CODER_SIZES), |record, (bytes, _)| {
            number(record, bytes)
        });
        let record = record.u8(END);

        let record = record.u8(SUBSTREAMS).u8(CHECKSUMS).u8(ALL_DEFINED);
        let record = contents().fold(record, |record, (_, crc)| record.u32(crc));
        record.u8(END).u8(END)
    }

    fn files(&self, record: Record) -> Record {
        let record = number(record, self.entries.len() as u64);
        let empty: Vec<bool> = self
            .entries
            .iter()
            .map(|entry| entry.content.is_none())
            .collect();
        let empty_files: Vec<bool> = self
            .entries
            .iter()
            .filter(|entry| entry.content.is_none())
            .map(|entry| !entry.folder)
            .collect();
        let record = property(record, EMPTY_STREAM, &bits(&empty));
        let record = property(record, EMPTY_FILE, &bits(&empty_files));

        // Kept in the index itself.
        let mut names = vec![0];
        let mut attributes = vec![ALL_DEFINED, 0];
        for entry in &self.entries {
            names.extend_from_slice(&entry.name);
            attributes.extend(entry.attributes.to_le_bytes());
        }
        let record = property(record, NAMES, &names);
        property(record, ATTRIBUTES, &attributes).u8(END)
    }
}

impl Coder {
    fn pack(self, content: &Blob) -> Blob {
        match self {
            Self::Copy | Self::FalseLzma(_) | Self::FalseAes => content.clone(),
            Self::Deflate => deflate(content),
            Self::Lzma2(_) => lzma2(content),
        }
    }

    /// One block of one coder: its id and its properties.
    fn describe(self, record: Record) -> Record {
        let (id, properties) = match self {
            Self::Copy => (&[0][..], Vec::new()),
            Self::Deflate => (&[0x04, 0x01, 0x08][..], Vec::new()),
            Self::Lzma2(bytes) => (&[0x21][..], vec![dictionary_property(bytes)]),
            Self::FalseLzma(bytes) => {
                let properties = Record::default().u8(0x5d).u32(bytes).take();
                (&[0x03, 0x01, 0x01][..], properties)
            }
            // 2^19 rounds, no salt, an initial vector of one byte.
            Self::FalseAes => (&[0x06, 0xf1, 0x07, 0x01][..], vec![0x53, 0x00, 0x00]),
        };
        let with_properties = if properties.is_empty() {
            0
        } else {
            HAS_PROPERTIES
        };
        let record = record
            .u8(1)
            .u8(low_byte(id.len() as u64) | with_properties)
            .bytes(id);
        if properties.is_empty() {
            record
        } else {
            number(record, properties.len() as u64).bytes(&properties)
        }
    }
}

fn property(record: Record, id: u8, content: &[u8]) -> Record {
    if content.iter().all(|byte| *byte == 0) && id != NAMES {
        return record;
    }
    number(record.u8(id), content.len() as u64).bytes(content)
}

/// 7z's number: the leading ones of the first byte count the bytes that follow.
fn number(record: Record, value: u64) -> Record {
    let following = (0..8)
        .find(|bytes| value >> (7 * (bytes + 1)) == 0)
        .unwrap_or(8);
    let little = value.to_le_bytes();
    let first = if following == 8 {
        0xff
    } else {
        let mark = !(0xff_u16 >> following) & 0xff;
        low_byte(u64::from(mark) | value >> (8 * following))
    };
    record.u8(first).bytes(&little[..following])
}

/// One bit each, the highest first.
fn bits(values: &[bool]) -> Vec<u8> {
    values
        .chunks(8)
        .map(|chunk| {
            let set = chunk.iter().enumerate().filter(|(_, value)| **value);
            set.fold(0, |byte, (at, _)| byte | 0x80 >> at)
        })
        .collect()
}

impl SevenZBuilder {
    /// Whether the format can say this.
    pub(super) fn can_say(entry: &Entry) -> bool {
        !matches!(entry.kind, EntryKind::HardLink(_) | EntryKind::Copy(_))
            && std::str::from_utf8(&entry.name).is_ok_and(|name| !name.contains('\0'))
    }
}
