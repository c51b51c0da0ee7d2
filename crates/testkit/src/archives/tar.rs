//! [`TarBuilder`].

use super::{
    blob::Blob,
    entry::{Entry, EntryKind},
};

const BLOCK: usize = 512;

/// The largest size of eleven octal digits.
const OCTAL_MAX: u64 = 0o777_7777_7777;

const PAX: u8 = b'x';
const GNU_LONG_NAME: u8 = b'L';

/// POSIX tar. Names that a header cannot hold go into an extended one.
#[derive(Debug, Default)]
#[must_use = "nothing is built before `build`"]
pub struct TarBuilder {
    out: Blob,
    extended: Vec<u8>,
    endless: bool,
}

impl TarBuilder {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    pub fn entry(self, entry: &Entry) -> Self {
        let kind = match entry.kind {
            EntryKind::File | EntryKind::Copy(_) => b'0',
            EntryKind::HardLink(_) => b'1',
            EntryKind::Symlink(_) => b'2',
            EntryKind::Device => b'3',
            EntryKind::Folder => b'5',
            EntryKind::Pipe => b'6',
        };
        self.typed(kind, entry)
    }

    /// Adds an entry under any type letter.
    pub fn typed(mut self, letter: u8, entry: &Entry) -> Self {
        let mut name = entry.name.clone();
        if entry.is_folder() && !name.ends_with(b"/") {
            name.push(b'/');
        }
        if name.len() > 100 || name.contains(&0) {
            self = self.pax("path", &name);
        }
        let target = match &entry.kind {
            EntryKind::Symlink(target) | EntryKind::HardLink(target) => target.as_slice(),
            _ => b"",
        };
        if target.len() > 100 {
            self = self.pax("linkpath", target);
        }
        let records = std::mem::take(&mut self.extended);
        if !records.is_empty() {
            let header = header(PAX, b"extended", 0o644, records.len() as u64, b"");
            self.member(&header, &records.into());
        }
        let content = &entry.content;
        let bytes = entry.declared_bytes.unwrap_or_else(|| content.size());
        let header = header(letter, &name, entry.permissions, bytes, target);
        self.member(&header, content);
        self
    }

    /// Says something about the next entry in an extended header.
    pub fn pax(mut self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        // The length counts its own digits.
        let digits = (rest + rest.to_string().len()).to_string().len();
        let length = rest + digits;
        self.extended.extend(format!("{length} {key}=").as_bytes());
        self.extended.extend_from_slice(value);
        self.extended.push(b'\n');
        self
    }

    /// Gives the next entry its name in GNU's way.
    pub fn gnu_long_name(mut self, name: &[u8]) -> Self {
        let header = header(
            GNU_LONG_NAME,
            b"././@LongLink",
            0o644,
            name.len() as u64 + 1,
            b"",
        );
        self.member(&header, &[name, b"\0"].concat().into());
        self
    }

    /// Leaves out the two blocks of zeros that end an archive.
    pub fn without_end(mut self) -> Self {
        self.endless = true;
        self
    }

    /// The archive.
    pub fn build(self) -> Blob {
        let mut out = self.out;
        if !self.endless {
            out.push(&[0; 2 * BLOCK]);
        }
        out
    }

    fn member(&mut self, header: &[u8; BLOCK], content: &Blob) {
        self.out.push(header);
        self.out.append(content);
        let over = usize::try_from(content.size() % BLOCK as u64).expect("less than a block");
        if over > 0 {
            self.out.push(&[0; BLOCK][over..]);
        }
    }
}

fn header(letter: u8, name: &[u8], permissions: u32, bytes: u64, target: &[u8]) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    put(&mut header, 0, &name[..name.len().min(100)]);
    put(&mut header, 100, format!("{permissions:07o}\0").as_bytes());
    put(&mut header, 108, b"0000000\x000000000\0");
    if bytes > OCTAL_MAX {
        header[124] = 0x80;
        put(&mut header, 128, &bytes.to_be_bytes());
    } else {
        put(&mut header, 124, format!("{bytes:011o}\0").as_bytes());
    }
    put(&mut header, 136, b"00000000000\0        ");
    header[156] = letter;
    put(&mut header, 157, &target[..target.len().min(100)]);
    put(&mut header, 257, b"ustar\x0000");
    put(&mut header, 329, b"0000001\x000000001\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header, 148, format!("{sum:06o}\0 ").as_bytes());
    header
}

fn put(header: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}
