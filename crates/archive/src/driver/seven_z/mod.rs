//! 7z, by the crate `sevenz-rust2`, one thread: more of them need 673 MB and are no faster.
//!
//! A block, which may hold many files, is decoded from its start to its end. Empty files and folders
//! come last.

mod coder;
mod index;

use std::io::Read;

use lanspread_install::Totals;
use sevenz_rust2::{Archive, ArchiveEntry, BlockDecoder, Error, Password};

use self::coder::Coder;
use super::{Driver, piece_buffer, pump};
use crate::{
    error::Problem,
    guard::{Guard, RawEntry, RawKind},
    input::{Input, Watch},
    limits::ArchiveLimits,
    names::NameStyle,
};

/// Attributes of Windows, and those of Unix that tools put above them.
mod attribute {
    pub(super) const FOLDER: u32 = 0x10;
    pub(super) const REPARSE_POINT: u32 = 0x400;
    /// The upper half is a Unix mode.
    pub(super) const HAS_MODE: u32 = 0x8000;
    pub(super) const KIND: u32 = 0o170_000 << 16;
    pub(super) const KIND_FILE: u32 = 0o100_000 << 16;
    pub(super) const KIND_FOLDER: u32 = 0o040_000 << 16;
    pub(super) const KIND_LINK: u32 = 0o120_000 << 16;
    pub(super) const EXECUTABLE: u32 = 0o100 << 16;
}

/// An open 7z.
pub(crate) struct SevenZ {
    archive: Archive,
    input: Input,
}

impl SevenZ {
    pub(crate) fn open(mut input: Input, limits: &ArchiveLimits) -> Result<Self, Problem> {
        index::check(&mut input, limits)?;
        let archive = Archive::read(&mut input, &Password::empty())
            .map_err(|error| blame(input.watch(), error))?;
        for block in &archive.blocks {
            let coders = block.coders.iter().map(|coder| Coder {
                id: coder.encoder_method_id().to_vec(),
                properties: coder.properties().to_vec(),
            });
            coder::check(&coders.collect::<Vec<_>>(), limits)?;
        }
        Ok(Self { archive, input })
    }

    fn walk_block(
        &mut self,
        block: usize,
        guard: &mut Guard<'_>,
        piece: &mut [u8],
    ) -> Result<(), Problem> {
        let watch = self.input.watch().clone();
        let mut problem = None;
        let mut take = |entry: &ArchiveEntry, reader: &mut dyn Read| {
            hand_over(entry, reader, guard, &watch, piece).map_err(|found| {
                problem = Some(found);
                Error::Other("stopped".into())
            })?;
            Ok(true)
        };
        let password = Password::empty();
        let decoder = BlockDecoder::new(1, block, &self.archive, &password, &mut self.input);
        let done = decoder.for_each_entries(&mut take);
        match (problem, done) {
            (Some(problem), _) => Err(problem),
            (None, Err(error)) => Err(blame(&watch, error)),
            (None, Ok(_)) => Ok(()),
        }
    }
}

impl Driver for SevenZ {
    fn totals(&self) -> Totals {
        let files = self.archive.files.iter().filter(|entry| !is_folder(entry));
        let (count, bytes) = files.fold((0, 0_u64), |(count, bytes), entry| {
            (count + 1, bytes.saturating_add(entry.size))
        });
        Totals {
            bytes: Some(bytes),
            files: Some(count),
        }
    }

    fn walk(mut self: Box<Self>, guard: &mut Guard<'_>) -> Result<(), Problem> {
        let mut piece = piece_buffer();
        for block in 0..self.archive.blocks.len() {
            self.walk_block(block, guard, &mut piece)?;
        }
        let blocks = self.archive.stream_map.file_block_index.iter();
        let files = self.archive.files.iter().zip(blocks);
        for (entry, _) in files.filter(|(_, block)| block.is_none()) {
            let watch = self.input.watch();
            hand_over(entry, &mut std::io::empty(), guard, watch, &mut piece)?;
        }
        Ok(())
    }
}

fn hand_over(
    entry: &ArchiveEntry,
    reader: &mut dyn Read,
    guard: &mut Guard<'_>,
    watch: &Watch,
    piece: &mut [u8],
) -> Result<(), Problem> {
    guard.name(entry.name.as_bytes());
    if entry.is_anti_item {
        let what = "it deletes files: an update of another archive".to_owned();
        return Err(Problem::Unsupported(what));
    }
    let attributes = attributes(entry);
    let has_mode = attributes & attribute::HAS_MODE != 0;
    guard.begin(&RawEntry {
        name: entry.name.as_bytes(),
        // 7-Zip writes `/` on every system.
        style: NameStyle::default(),
        kind: kind(entry),
        bytes: entry.size,
        executable: has_mode && attributes & attribute::EXECUTABLE != 0,
    })?;
    pump(reader, watch, piece, |bytes| guard.data(bytes))?;
    guard.end()
}

fn attributes(entry: &ArchiveEntry) -> u32 {
    if entry.has_windows_attributes {
        entry.windows_attributes
    } else {
        0
    }
}

fn is_folder(entry: &ArchiveEntry) -> bool {
    kind(entry) == RawKind::Folder
}

fn kind(entry: &ArchiveEntry) -> RawKind {
    let attributes = attributes(entry);
    let mode_kind = if attributes & attribute::HAS_MODE == 0 {
        0
    } else {
        attributes & attribute::KIND
    };
    match mode_kind {
        attribute::KIND_LINK => RawKind::SymbolicLink,
        _ if attributes & attribute::REPARSE_POINT != 0 => RawKind::SymbolicLink,
        attribute::KIND_FOLDER => RawKind::Folder,
        0 if attributes & attribute::FOLDER != 0 => RawKind::Folder,
        0 | attribute::KIND_FILE if entry.is_directory => RawKind::Folder,
        0 | attribute::KIND_FILE => RawKind::File,
        _ => RawKind::Device,
    }
}

/// What an error of the crate means.
fn blame(watch: &Watch, error: Error) -> Problem {
    match error {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => Problem::encrypted(),
        Error::UnsupportedCompressionMethod(method) => {
            Problem::Unsupported(format!("it uses the compression method {method}"))
        }
        Error::Unsupported(what) => Problem::Unsupported(format!("it needs {what}")),
        Error::ExternalUnsupported => {
            Problem::Unsupported("its index refers to another place".to_owned())
        }
        Error::UnsupportedVersion { major, minor } => {
            Problem::Unsupported(format!("it is of the format version {major}.{minor}"))
        }
        other => watch.blame(other),
    }
}
