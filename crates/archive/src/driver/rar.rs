//! RAR 4 and 5, by the crate `rars`.
//!
//! The crate hands bytes to writers that it owns, so it decodes on a thread of its own, and what it
//! writes comes back through a short channel; the disk then works while the decoder does. A member is
//! verified once the next one begins, or the archive ends well.
//!
//! Both engines for RAR in Rust are young, so an error says which one it was.

use std::{
    fmt,
    io::{self, Write},
    mem,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use lanspread_install::Totals;
use lanspread_proto::limits::LimitExceeded;
use rars::{
    Archive, ArchiveMember, ArchiveReadOptions, ArchiveReader, Error, ErrorKind,
    ExtractionDecision, ReadCancellation, filename::LegacyNameEncoding, rar15_40, rar50,
};

use super::{Driver, PIECE_BYTES};
use crate::{
    error::Problem,
    guard::{Guard, RawEntry, RawKind},
    input::{Input, Watch},
    limits::ArchiveLimits,
    names::NameStyle,
};

const ENGINE: &str = "rars 0.12";

/// Members up to this size are decoded in memory; longer ones stream.
const BUFFERED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Pieces on their way from the decoder: 2 MiB.
const PIECES_IN_FLIGHT_MAX: usize = 8;

/// How often a cancel is looked for while the decoder hands nothing over.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// Headers that an archive has besides those of its entries: the main one, the end, recovery and more.
const OTHER_HEADERS_MAX: u64 = 16;

/// Attributes and modes.
mod attribute {
    pub(super) const FOLDER: u64 = 0x10;
    pub(super) const REPARSE_POINT: u64 = 0x400;
    pub(super) const KIND: u64 = 0o170_000;
    pub(super) const KIND_FILE: u64 = 0o100_000;
    pub(super) const KIND_FOLDER: u64 = 0o040_000;
    pub(super) const KIND_LINK: u64 = 0o120_000;
    pub(super) const EXECUTABLE: u64 = 0o100;
}

/// An open RAR.
pub(crate) struct Rar {
    archive: Archive,
    watch: Watch,
    dictionary_bytes: u64,
    totals: Totals,
}

impl Rar {
    pub(crate) fn open(input: Input, limits: &ArchiveLimits) -> Result<Self, Problem> {
        let watch = input.watch().clone();
        let options = ArchiveReadOptions::new()
            .with_max_header_count(limits.entries.saturating_add(OTHER_HEADERS_MAX))
            .with_max_header_bytes(limits.index_bytes);
        let archive = ArchiveReader::read_reader_with_options(input, options)
            .map_err(|error| blame(&watch, error))?;
        refuse_what_is_not_whole(&archive)?;
        let totals = totals(&archive);
        Ok(Self {
            archive,
            watch,
            dictionary_bytes: limits.dictionary_bytes,
            totals,
        })
    }

    /// Decodes everything into the channel. Its other end is gone once somebody refused an entry.
    fn decode(
        &self,
        cancellation: &ReadCancellation,
        sender: &SyncSender<Piece>,
    ) -> rars::Result<()> {
        let options = ArchiveReadOptions::new()
            .with_cancellation(cancellation)
            .with_rar50_dictionary_size_limit(self.dictionary_bytes)
            .with_rar50_buffered_decode_limit(BUFFERED_BYTES_MAX);
        let outcome = self.archive.extract_with_control(options, |member| {
            let is_file = !member.meta.is_directory && !member.meta.is_redirection;
            let begun = Piece::Begin(Box::new(member.clone()));
            if sender.send(begun).is_err() {
                return Ok(ExtractionDecision::Stop);
            }
            Ok(if is_file {
                ExtractionDecision::Extract(Box::new(PieceWriter::new(sender.clone())))
            } else {
                ExtractionDecision::Skip
            })
        });
        outcome.map(drop)
    }
}

impl Driver for Rar {
    fn totals(&self) -> Totals {
        self.totals
    }

    fn walk(self: Box<Self>, guard: &mut Guard<'_>) -> Result<(), Problem> {
        let cancellation = ReadCancellation::new();
        let (sender, receiver) = sync_channel(PIECES_IN_FLIGHT_MAX);
        thread::scope(|scope| {
            let decoder = scope.spawn(|| {
                let sender = sender;
                self.decode(&cancellation, &sender)
            });
            let taken = take_pieces(&receiver, &self.watch, guard);
            // Whatever the decoder is doing, nobody waits for it any longer than this.
            cancellation.cancel();
            drop(receiver);
            let decoded = decoder
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            taken?;
            match decoded {
                Ok(()) => guard.end(),
                Err(error) => Err(blame(&self.watch, error)),
            }
        })
    }
}

/// Hands on what comes through the channel until it closes. The last file is not ended: whether it was
/// right, the decoder's result tells.
fn take_pieces(
    receiver: &Receiver<Piece>,
    watch: &Watch,
    guard: &mut Guard<'_>,
) -> Result<(), Problem> {
    loop {
        match receiver.recv_timeout(CANCEL_POLL) {
            Ok(Piece::Begin(member)) => {
                guard.end()?;
                guard.name(&member.meta.name);
                begin(&member, guard)?;
            }
            Ok(Piece::Data(bytes)) => guard.data(&bytes)?,
            Err(RecvTimeoutError::Timeout) => watch.check()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

fn begin(member: &ArchiveMember, guard: &mut Guard<'_>) -> Result<(), Problem> {
    let meta = &member.meta;
    if meta.is_encrypted {
        return Err(Problem::encrypted());
    }
    if meta.is_split_before || meta.is_split_after {
        return Err(Problem::multi_volume());
    }
    let encoding = std::str::from_utf8(&meta.name)
        .is_err()
        .then_some(LegacyNameEncoding::Cp437);
    let name = member.decoded_name(encoding).map_err(Problem::damaged)?;
    let is_unix = meta.attr_source() == rars::AttrSource::Unix;
    guard.begin(&RawEntry {
        name: &name,
        style: NameStyle {
            // RAR 5 writes `/` on every system, RAR 4 `\`.
            backslash: meta.family != rars::ArchiveFamily::Rar50Plus,
        },
        kind: kind(member),
        bytes: meta.unpacked_size,
        executable: is_unix && meta.file_attr & attribute::EXECUTABLE != 0,
    })
}

/// What a member is. RAR 5 marks links itself; RAR 4 has them as files whose mode alone says so.
fn kind(member: &ArchiveMember) -> RawKind {
    /// Unix and Windows symbolic links, and junctions; above are hard links and copies of content.
    const SYMBOLIC_LINKS: std::ops::RangeInclusive<u64> = 1..=3;
    let meta = &member.meta;
    if let rars::ArchiveMemberDetail::Rar50Plus {
        redirection: Some(redirection),
        ..
    } = &member.detail
    {
        return if SYMBOLIC_LINKS.contains(&redirection.redirection_type) {
            RawKind::SymbolicLink
        } else {
            RawKind::HardLink
        };
    }
    if meta.attr_source() != rars::AttrSource::Unix {
        let is_folder = meta.is_directory || meta.file_attr & attribute::FOLDER != 0;
        return match meta.file_attr & attribute::REPARSE_POINT {
            0 if is_folder => RawKind::Folder,
            0 => RawKind::File,
            _ => RawKind::SymbolicLink,
        };
    }
    match meta.file_attr & attribute::KIND {
        attribute::KIND_LINK => RawKind::SymbolicLink,
        0 | attribute::KIND_FILE | attribute::KIND_FOLDER if meta.is_directory => RawKind::Folder,
        0 | attribute::KIND_FILE => RawKind::File,
        attribute::KIND_FOLDER => RawKind::Folder,
        _ => RawKind::Device,
    }
}

fn totals(archive: &Archive) -> Totals {
    let files = archive.members().filter(|member| !member.meta.is_directory);
    let (count, bytes) = files.fold((0, 0_u64), |(count, bytes), member| {
        (count + 1, bytes.saturating_add(member.meta.unpacked_size))
    });
    Totals {
        bytes: Some(bytes),
        files: Some(count),
    }
}

/// Refuses volumes, entries of unknown size, and an archive whose end is missing.
fn refuse_what_is_not_whole(archive: &Archive) -> Result<(), Problem> {
    /// From this version on every archive has an end block.
    const VERSION_WITH_END: u8 = 29;
    match archive {
        Archive::Rar50Plus(archive) => {
            if archive.main.is_volume() {
                return Err(Problem::multi_volume());
            }
            let mut has_end = false;
            for block in &archive.blocks {
                match block {
                    rar50::Block::End(_) => has_end = true,
                    rar50::Block::File(file) if file.known_unpacked_size().is_none() => {
                        let what = "it has an entry of unknown size".to_owned();
                        return Err(Problem::Unsupported(what));
                    }
                    _ => {}
                }
            }
            if has_end { Ok(()) } else { Err(Problem::cut()) }
        }
        Archive::Rar15To40(archive) => {
            if archive.main.is_volume() {
                return Err(Problem::multi_volume());
            }
            let has_end = |block: &rar15_40::Block| matches!(block, rar15_40::Block::End(_));
            let needs_end = |block: &rar15_40::Block| matches!(block, rar15_40::Block::File(file) if file.unp_ver >= VERSION_WITH_END);
            if archive.blocks.iter().any(needs_end) && !archive.blocks.iter().any(has_end) {
                return Err(Problem::cut());
            }
            Ok(())
        }
        _ => Err(Problem::Unsupported(
            "it is a RAR of before 1993".to_owned(),
        )),
    }
}

/// What comes from the decoder's thread.
enum Piece {
    Begin(Box<ArchiveMember>),
    Data(Vec<u8>),
}

/// Gathers what the decoder writes, which comes in small parts, into pieces.
struct PieceWriter {
    sender: SyncSender<Piece>,
    piece: Vec<u8>,
}

impl PieceWriter {
    const fn new(sender: SyncSender<Piece>) -> Self {
        Self {
            sender,
            piece: Vec::new(),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = mem::take(&mut self.piece);
        self.sender
            .send(Piece::Data(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.capacity() == 0 {
            self.piece.reserve_exact(PIECE_BYTES);
        }
        let count = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Drop for PieceWriter {
    fn drop(&mut self) {
        // The other end is gone only when nobody wants the bytes.
        let _ = self.send();
    }
}

/// What the engine says, with its name.
#[derive(Debug)]
struct EngineError(Error);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the decoder {ENGINE} says: {}", self.0)
    }
}

impl std::error::Error for EngineError {}

/// What an error of the crate means.
fn blame(watch: &Watch, error: Error) -> Problem {
    if let Some(problem) = watch.own_fault() {
        return problem;
    }
    let over = |what, actual, limit| {
        Problem::Limit(LimitExceeded {
            what,
            actual,
            limit,
        })
    };
    match *error.root_cause() {
        Error::HeaderCountLimitExceeded { limit, required } => {
            return over("headers of the archive", required, limit);
        }
        Error::HeaderBytesLimitExceeded { limit, required } => {
            return over("bytes of the index", required, limit);
        }
        Error::Rar50DictionaryLimitExceeded { limit, required } => {
            return over("bytes of the dictionary", required, limit);
        }
        Error::Rar50BufferedDecodeLimitExceeded { limit, required } => {
            return over("bytes that are decoded at once", required, limit);
        }
        Error::FeatureDisabled { .. } => return Problem::encrypted(),
        _ => {}
    }
    match error.kind() {
        ErrorKind::PasswordRequired | ErrorKind::BadPassword => Problem::encrypted(),
        ErrorKind::UnsupportedFormat | ErrorKind::UnsupportedFeature => {
            Problem::Unsupported(EngineError(error).to_string())
        }
        _ => Problem::damaged(EngineError(error)),
    }
}
