//! Tar, as it is or compressed, by the crate `tar`.
//!
//! Tar has no index and no checksum of contents; a compressed one has its coat's, at its end, so the
//! coat is read to its end even where the tar ends before it. Data after the end of the tar is nobody's
//! business. An archive that ends without its end mark but after a whole entry is taken as other tools
//! take it.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use lanspread_install::Totals;
use lanspread_proto::limits::LimitExceeded;
use tar::{Archive, Entry, EntryType};

use super::{Driver, piece_buffer, pump};
use crate::{
    error::Problem,
    format::{Coat, is_over_memory},
    guard::{Guard, RawEntry, RawKind},
    input::{Input, Watch},
    limits::ArchiveLimits,
    names::NameStyle,
};

/// An open tar.
pub(crate) struct Tar {
    input: Input,
    coat: Coat,
    dictionary_bytes: u64,
}

impl Tar {
    pub(crate) fn open(input: Input, coat: Coat, limits: &ArchiveLimits) -> Self {
        let dictionary_bytes = match coat {
            Coat::Zstd => 1 << limits.zstd_window_log(),
            Coat::Plain | Coat::Gzip | Coat::Xz => limits.dictionary_bytes,
        };
        Self {
            input,
            coat,
            dictionary_bytes,
        }
    }
}

impl Driver for Tar {
    fn totals(&self) -> Totals {
        Totals::default()
    }

    fn walk(self: Box<Self>, guard: &mut Guard<'_>) -> Result<(), Problem> {
        let watch = self.input.watch().clone();
        let header_bytes_max = guard.limits().entry_header_bytes;
        let blame = Blame {
            watch,
            dictionary_bytes: self.dictionary_bytes,
            header_bytes_max,
        };
        let inside = self
            .coat
            .take_off(self.input, guard.limits())
            .map_err(|error| blame.of(error))?;
        let rationed = Rationed::new(inside);
        let ration = rationed.ration();
        let mut archive = Archive::new(rationed);
        let mut piece = piece_buffer();
        let mut entries = archive.entries().map_err(|error| blame.of(error))?;
        loop {
            ration.set(Some(header_bytes_max));
            let entry = entries.next();
            ration.set(None);
            let Some(entry) = entry else { break };
            let entry = entry.map_err(|error| blame.of(error))?;
            hand_over(entry, guard, &blame, &mut piece)?;
        }
        // Decodes the rest, so that the coat's checksum is compared.
        let mut rest = archive.into_inner();
        pump(&mut rest, &blame.watch, &mut piece, |bytes| {
            guard.overhead(bytes.len())
        })
    }
}

fn hand_over<R: Read>(
    mut entry: Entry<'_, R>,
    guard: &mut Guard<'_>,
    blame: &Blame,
    piece: &mut [u8],
) -> Result<(), Problem> {
    let kind = entry.header().entry_type();
    if kind.is_pax_global_extensions() {
        // Comments, mostly: `git archive` writes the commit there.
        return pump(&mut entry, &blame.watch, piece, |bytes| {
            guard.overhead(bytes.len())
        });
    }
    let name = entry.path_bytes().into_owned();
    guard.name(&name);
    refuse_sparse(&mut entry, blame)?;
    let mode = entry.header().mode().map_err(|error| blame.of(error))?;
    let raw = RawEntry {
        name: &name,
        style: NameStyle::default(),
        kind: raw_kind(kind, &name)?,
        bytes: entry.size(),
        executable: mode & 0o100 != 0,
    };
    guard.begin(&raw)?;
    pump(&mut entry, &blame.watch, piece, |bytes| guard.data(bytes))?;
    guard.end()
}

/// What an entry is; a name that ends with a slash is a folder's in the oldest archives.
fn raw_kind(kind: EntryType, name: &[u8]) -> Result<RawKind, Problem> {
    Ok(match kind {
        EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => RawKind::Folder,
        EntryType::Regular | EntryType::Continuous => RawKind::File,
        EntryType::Directory => RawKind::Folder,
        EntryType::Symlink => RawKind::SymbolicLink,
        EntryType::Link => RawKind::HardLink,
        EntryType::Char | EntryType::Block | EntryType::Fifo => RawKind::Device,
        other => {
            let byte = char::from(other.as_byte());
            let what = format!("it has an entry of the unknown kind {byte:?}");
            return Err(Problem::Unsupported(what));
        }
    })
}

fn refuse_sparse<R: Read>(entry: &mut Entry<'_, R>, blame: &Blame) -> Result<(), Problem> {
    let mut is_sparse = entry.header().entry_type().is_gnu_sparse();
    if let Some(extensions) = entry.pax_extensions().map_err(|error| blame.of(error))? {
        for extension in extensions {
            let extension = extension.map_err(|error| blame.of(error))?;
            is_sparse |= extension.key_bytes().starts_with(b"GNU.sparse.");
        }
    }
    if is_sparse {
        let what = "it has a sparse file".to_owned();
        return Err(Problem::Unsupported(what));
    }
    Ok(())
}

/// What an error of the readers means.
struct Blame {
    watch: Watch,
    dictionary_bytes: u64,
    header_bytes_max: u64,
}

impl Blame {
    fn of(&self, error: io::Error) -> Problem {
        if let Some(problem) = self.watch.own_fault() {
            return problem;
        }
        let over = |what, limit: u64| LimitExceeded {
            what,
            actual: limit + 1,
            limit,
        };
        if error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<OverRation>)
        {
            return over("bytes of headers before an entry", self.header_bytes_max).into();
        }
        if is_over_memory(&error) {
            return over("bytes of the dictionary", self.dictionary_bytes).into();
        }
        Problem::damaged(error)
    }
}

/// Lets the crate `tar`, which holds headers in memory whatever their size, read so much and no more.
struct Rationed<R> {
    inner: R,
    left: Rc<Cell<Option<u64>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("headers are too long")]
struct OverRation;

impl<R> Rationed<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            left: Rc::default(),
        }
    }

    /// Bytes that may still be read; `None` for any number.
    fn ration(&self) -> Rc<Cell<Option<u64>>> {
        Rc::clone(&self.left)
    }
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left.get() else {
            return self.inner.read(buffer);
        };
        if left == 0 {
            return Err(io::Error::other(OverRation));
        }
        let allowed = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.inner.read(&mut buffer[..allowed])?;
        self.left.set(Some(left - read as u64));
        Ok(read)
    }
}
