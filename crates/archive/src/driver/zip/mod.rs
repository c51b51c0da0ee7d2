//! ZIP, by the crate `zip`.
//!
//! What an entry is, the index alone says; local headers only tell where its data begin. Entries are
//! handed over in the order of their data. Two that share a byte are refused: no tool writes that but
//! one that makes bombs.

mod index;
mod parallel;

use std::{
    borrow::Cow,
    error::Error,
    io::{Read, Seek, SeekFrom},
};

use lanspread_install::{Totals, UnsafeEntry};
use lanspread_proto::limits;
use zip::{
    CompressionMethod, System, ZipArchive,
    read::{ArchiveOffset, Config, ZipFileEntry},
    result::ZipError,
};

use super::{Driver, piece_buffer, pump};
use crate::{
    error::Problem,
    guard::{Guard, RawEntry, RawKind},
    input::{Input, Watch},
    limits::ArchiveLimits,
    names::NameStyle,
};

/// Kinds of files in a Unix mode.
mod mode {
    pub(super) const KIND: u32 = 0o170_000;
    pub(super) const FILE: u32 = 0o100_000;
    pub(super) const FOLDER: u32 = 0o040_000;
    pub(super) const LINK: u32 = 0o120_000;
    pub(super) const EXECUTABLE: u32 = 0o100;
}

/// Attributes of DOS and Windows.
mod attribute {
    pub(super) const FOLDER: u32 = 0x10;
    pub(super) const REPARSE_POINT: u32 = 0x400;
}

/// The flag that says that a name is UTF-8.
const UTF8_FLAG: u16 = 1 << 11;

/// An open ZIP.
pub(crate) struct Zip {
    archive: ZipArchive<Input>,
    input: Input,
    /// Entries by where their data lie.
    order: Vec<usize>,
    dictionary_bytes_max: u64,
}

/// An entry as the index has it.
struct Listed<'a> {
    entry: ZipFileEntry<'a>,
    name: Cow<'a, [u8]>,
}

impl Zip {
    pub(crate) fn open(mut input: Input, limits: &ArchiveLimits) -> Result<Self, Problem> {
        let is_of_several_volumes = index::check(&mut input, limits)?;
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let archive = ZipArchive::with_config(config, input.clone()).map_err(|error| {
            if is_of_several_volumes {
                Problem::multi_volume()
            } else {
                blame(input.watch(), error)
            }
        })?;
        if archive.has_duplicate_names() {
            return Err(duplicate(&mut input, archive.central_directory_start()));
        }
        let mut zip = Self {
            archive,
            input,
            order: Vec::new(),
            dictionary_bytes_max: limits.dictionary_bytes,
        };
        zip.order = zip.ordered()?;
        Ok(zip)
    }

    /// The entries in the order of their data.
    fn ordered(&self) -> Result<Vec<usize>, Problem> {
        let mut order = (0..self.archive.len())
            .map(|index| Ok((self.entry(index)?.header_start(), index)))
            .collect::<Result<Vec<_>, Problem>>()?;
        order.sort_unstable();
        Ok(order.into_iter().map(|(_, index)| index).collect())
    }

    fn entry(&self, index: usize) -> Result<ZipFileEntry<'_>, Problem> {
        let entry = self.archive.by_index_data(index);
        entry.map_err(|error| blame(self.input.watch(), error))
    }

    fn listed(&self, index: usize) -> Result<Listed<'_>, Problem> {
        let entry = self.entry(index)?;
        let raw = entry.name_raw();
        let is_text = std::str::from_utf8(raw).is_ok() || entry.flags().as_u16() & UTF8_FLAG != 0;
        let name = if is_text {
            raw.to_vec()
        } else {
            // The code page of the first PCs, as the format says.
            let name = entry.name();
            let name = name.map_err(|error| blame(self.input.watch(), error))?;
            name.into_owned().into_bytes()
        };
        Ok(Listed {
            entry,
            name: Cow::Owned(name),
        })
    }

    /// Reads an entry's content to its end, where its checksum is compared.
    fn decode(
        &self,
        archive: &mut ZipArchive<Input>,
        index: usize,
        piece: &mut [u8],
        take: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let watch = self.input.watch();
        let mut file = archive
            .by_index(index)
            .map_err(|error| blame(watch, error))?;
        if file.compression() == CompressionMethod::Lzma
            && let Some(start) = file.data_start()
        {
            self.check_dictionary(start)?;
        }
        pump(&mut file, watch, piece, take)
    }

    /// LZMA in a ZIP says its dictionary before the data.
    fn check_dictionary(&self, data_start: u64) -> Result<(), Problem> {
        let mut header = [0; 9];
        let mut input = self.input.clone();
        input
            .seek(SeekFrom::Start(data_start))
            .and_then(|_| input.read_exact(&mut header))
            .map_err(|error| input.watch().blame(error))?;
        let [.., a, b, c, d] = header;
        let dictionary_bytes = u32::from_le_bytes([a, b, c, d]).into();
        let limit = self.dictionary_bytes_max;
        Ok(limits::check(
            "bytes of the dictionary",
            dictionary_bytes,
            limit,
        )?)
    }

    /// Sees to it that no two entries share a byte, and none one with the index.
    fn check_overlap(&self, guard: &mut Guard<'_>) -> Result<(), Problem> {
        let mut archive = self.archive.clone();
        let mut last_end = 0;
        for &index in &self.order {
            self.input.watch().check()?;
            let entry = self.entry(index)?;
            guard.name(entry.name_raw());
            if entry.header_start() < last_end {
                return Err(UnsafeEntry::HardLink.into());
            }
            let file = archive.by_index_raw(index);
            let file = file.map_err(|error| blame(self.input.watch(), error))?;
            let start = file.data_start().unwrap_or_else(|| file.header_start());
            last_end = start.saturating_add(file.compressed_size());
            if last_end > self.archive.central_directory_start() {
                return Err(Problem::cut());
            }
        }
        Ok(())
    }
}

impl Driver for Zip {
    fn totals(&self) -> Totals {
        let files = self
            .order
            .iter()
            .filter_map(|index| self.entry(*index).ok());
        let files = files.filter(|entry| !entry.is_dir());
        let (count, bytes) = files.fold((0, 0_u64), |(count, bytes), entry| {
            (count + 1, bytes.saturating_add(entry.size()))
        });
        Totals {
            bytes: Some(bytes),
            files: Some(count),
        }
    }

    fn walk(self: Box<Self>, guard: &mut Guard<'_>) -> Result<(), Problem> {
        self.check_overlap(guard)?;
        let mut archive = self.archive.clone();
        let mut piece = piece_buffer();
        for &index in &self.order {
            let listed = self.listed(index)?;
            guard.begin(&listed.raw()?)?;
            self.decode(&mut archive, index, &mut piece, |bytes| guard.data(bytes))?;
            guard.end()?;
        }
        Ok(())
    }

    fn as_zip(&self) -> Option<&Zip> {
        Some(self)
    }
}

impl Listed<'_> {
    fn raw(&self) -> Result<RawEntry<'_>, Problem> {
        let entry = &self.entry;
        if entry.encrypted() {
            return Err(Problem::encrypted());
        }
        let method = entry.compression();
        if !is_decoded(method) {
            let what = format!("it uses the compression method {method}");
            return Err(Problem::Unsupported(what));
        }
        let mode = entry.external_attributes() >> 16;
        let is_unix = matches!(entry.system(), System::Unix | System::OsDarwin);
        Ok(RawEntry {
            name: &self.name,
            style: NameStyle {
                backslash: is_windows(entry.system()),
            },
            kind: self.kind(mode),
            bytes: entry.size(),
            executable: is_unix && mode & mode::EXECUTABLE != 0,
        })
    }

    /// What the entry is; a mode counts whichever system it is said to be from.
    fn kind(&self, mode: u32) -> RawKind {
        let attributes = self.entry.external_attributes();
        let is_windows = is_windows(self.entry.system());
        let ends_as_folder =
            self.name.ends_with(b"/") || (is_windows && self.name.ends_with(b"\\"));
        match mode & mode::KIND {
            mode::LINK => RawKind::SymbolicLink,
            mode::FOLDER => RawKind::Folder,
            0 | mode::FILE if is_windows && attributes & attribute::REPARSE_POINT != 0 => {
                RawKind::SymbolicLink
            }
            0 | mode::FILE if ends_as_folder => RawKind::Folder,
            0 if attributes & attribute::FOLDER != 0 => RawKind::Folder,
            0 | mode::FILE => RawKind::File,
            _ => RawKind::Device,
        }
    }
}

const fn is_decoded(method: CompressionMethod) -> bool {
    matches!(
        method,
        CompressionMethod::Stored
            | CompressionMethod::Deflated
            | CompressionMethod::Deflate64
            | CompressionMethod::Bzip2
            | CompressionMethod::Lzma
            | CompressionMethod::Zstd
    )
}

/// Whether the entry comes from a file system of Windows, whose tools write `\` in names.
const fn is_windows(system: System) -> bool {
    matches!(system, System::Dos | System::WindowsNTFS | System::VFAT)
}

fn duplicate(input: &mut Input, index_start: u64) -> Problem {
    let name = match index::duplicate(input, index_start) {
        Ok(name) => name.unwrap_or_default(),
        Err(error) => return input.watch().blame(error),
    };
    let path = String::from_utf8_lossy(&name).into_owned();
    UnsafeEntry::Path(lanspread_proto::PathError::Duplicate { path }).into()
}

/// What an error of the crate means.
fn blame(watch: &Watch, error: ZipError) -> Problem {
    match error {
        ZipError::Io(error) => watch.blame(error),
        ZipError::InvalidPassword | ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => {
            Problem::encrypted()
        }
        ZipError::UnsupportedArchive(what) => {
            let reason: Box<dyn Error> = what.into();
            Problem::Unsupported(format!("it needs what is not read here: {reason}"))
        }
        ZipError::CompressionMethodNotSupported(method) => {
            Problem::Unsupported(format!("it uses the compression method {method}"))
        }
        other => watch.own_fault().unwrap_or_else(|| Problem::damaged(other)),
    }
}
