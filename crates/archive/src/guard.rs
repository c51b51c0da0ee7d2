//! The guard: what every entry of every format passes before a sink hears of it.

use lanspread_install::UnsafeEntry;
use lanspread_proto::{
    limits,
    path::{EntryKind as PathKind, PathSet},
};

use crate::{
    error::Problem,
    input::Watch,
    limits::{ArchiveLimits, UNPACKED},
    names::{NameStyle, game_path},
    sink::{EntryKind, EntryMeta, EntrySink},
};

/// An entry as a format's reader has it: nothing about it is believed yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawEntry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) style: NameStyle,
    pub(crate) kind: RawKind,
    /// Bytes that it declares.
    pub(crate) bytes: u64,
    pub(crate) executable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawKind {
    File,
    Folder,
    SymbolicLink,
    HardLink,
    Device,
}

/// Decides which entries come in. One for all archives of a game.
#[derive(Debug)]
struct Admission {
    limits: ArchiveLimits,
    paths: PathSet,
    entries: u64,
    bytes: u64,
    /// Bytes that the archive at hand may still unpack to, and may unpack to at all.
    archive_bytes_left: u64,
    archive_bytes_max: u64,
}

impl Admission {
    fn new(limits: ArchiveLimits) -> Self {
        Self {
            limits,
            paths: PathSet::new(),
            entries: 0,
            bytes: 0,
            archive_bytes_left: 0,
            archive_bytes_max: 0,
        }
    }

    /// What follows is in an archive of this size.
    fn enter(&mut self, archive_bytes: u64) {
        self.archive_bytes_max = self.limits.unpacked_bytes(archive_bytes);
        self.archive_bytes_left = self.archive_bytes_max;
    }

    /// Takes an entry; `None` for the root itself.
    fn admit(&mut self, raw: &RawEntry<'_>) -> Result<Option<EntryMeta>, Problem> {
        self.entries += 1;
        limits::check("entries", self.entries, self.limits.entries)?;
        let is_folder = raw.kind == RawKind::Folder;
        let path = game_path(raw.name, raw.style, is_folder)?;
        match raw.kind {
            RawKind::File | RawKind::Folder => {}
            RawKind::SymbolicLink => return Err(UnsafeEntry::SymbolicLink.into()),
            RawKind::HardLink => return Err(UnsafeEntry::HardLink.into()),
            RawKind::Device => return Err(UnsafeEntry::Device.into()),
        }
        let Some(path) = path else {
            return Ok(None);
        };
        let kind = if is_folder {
            self.paths.insert_folder(&path).map_err(UnsafeEntry::Path)?;
            EntryKind::Folder
        } else {
            self.paths
                .insert(&path, PathKind::File)
                .map_err(UnsafeEntry::Path)?;
            self.count(raw.bytes)?;
            EntryKind::File {
                bytes: raw.bytes,
                executable: raw.executable,
            }
        };
        Ok(Some(EntryMeta { path, kind }))
    }

    fn count(&mut self, bytes: u64) -> Result<(), Problem> {
        limits::check("bytes of a file", bytes, self.limits.file_bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        limits::check("bytes of all files", self.bytes, self.limits.total_bytes)?;
        self.spend(bytes)
    }

    /// Counts bytes against what the archive may unpack to.
    fn spend(&mut self, bytes: u64) -> Result<(), Problem> {
        if let Some(left) = self.archive_bytes_left.checked_sub(bytes) {
            self.archive_bytes_left = left;
            return Ok(());
        }
        let unpacked = self.archive_bytes_max - self.archive_bytes_left;
        Err(limits::LimitExceeded {
            what: UNPACKED,
            actual: unpacked.saturating_add(bytes),
            limit: self.archive_bytes_max,
        }
        .into())
    }
}

/// Counts the bytes of one file against those it declared.
#[derive(Debug)]
pub(crate) struct ByteCount {
    declared: u64,
    left: u64,
}

impl ByteCount {
    pub(crate) const fn new(declared: u64) -> Self {
        Self {
            declared,
            left: declared,
        }
    }

    pub(crate) fn add(&mut self, count: usize) -> Result<(), Problem> {
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or(UnsafeEntry::Longer {
                declared_bytes: self.declared,
            })?;
        Ok(())
    }

    pub(crate) fn finish(&self) -> Result<(), Problem> {
        if self.left == 0 {
            Ok(())
        } else {
            Err(Problem::damaged(format!(
                "it has {} of the {} bytes it declares",
                self.declared - self.left,
                self.declared
            )))
        }
    }
}

/// Stands before a sink, so that no format can forget a check.
pub(crate) struct Guard<'a> {
    admission: Admission,
    sink: &'a mut dyn EntrySink,
    watch: Watch,
    /// The name of the entry at hand, for errors.
    entry: Option<String>,
    file: Option<ByteCount>,
}

impl<'a> Guard<'a> {
    pub(crate) fn new(limits: ArchiveLimits, watch: Watch, sink: &'a mut dyn EntrySink) -> Self {
        Self {
            admission: Admission::new(limits),
            sink,
            watch,
            entry: None,
            file: None,
        }
    }

    /// What follows is in an archive of this size.
    pub(crate) fn enter(&mut self, archive_bytes: u64) {
        self.admission.enter(archive_bytes);
        self.entry = None;
    }

    pub(crate) const fn limits(&self) -> &ArchiveLimits {
        &self.admission.limits
    }

    /// The name of the entry at hand.
    pub(crate) fn entry(&self) -> Option<String> {
        self.entry.clone()
    }

    /// Says which entry is at hand before it begins.
    pub(crate) fn name(&mut self, name: &[u8]) {
        self.entry = Some(String::from_utf8_lossy(name).into_owned());
    }

    /// Takes an entry without telling the sink; `None` for the root itself.
    pub(crate) fn admit(&mut self, raw: &RawEntry<'_>) -> Result<Option<EntryMeta>, Problem> {
        self.watch.check()?;
        self.name(raw.name);
        self.admission.admit(raw)
    }

    /// Begins an entry; `data` and `end` follow if it is a file.
    pub(crate) fn begin(&mut self, raw: &RawEntry<'_>) -> Result<(), Problem> {
        let Some(entry) = self.admit(raw)? else {
            return Ok(());
        };
        if let EntryKind::File { bytes, .. } = entry.kind {
            self.file = Some(ByteCount::new(bytes));
        }
        Ok(self.sink.begin(&entry)?)
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.watch.check()?;
        if bytes.is_empty() {
            return Ok(());
        }
        match &mut self.file {
            Some(file) => file.add(bytes.len())?,
            None => return Err(UnsafeEntry::Longer { declared_bytes: 0 }.into()),
        }
        Ok(self.sink.data(bytes)?)
    }

    /// Ends an entry whose checksum was right.
    pub(crate) fn end(&mut self) -> Result<(), Problem> {
        if let Some(file) = self.file.take() {
            file.finish()?;
            self.sink.end()?;
        }
        self.entry = None;
        Ok(())
    }

    /// Counts bytes that were decoded and belong to no entry.
    pub(crate) fn overhead(&mut self, bytes: usize) -> Result<(), Problem> {
        self.watch.check()?;
        self.admission.spend(bytes as u64)
    }
}
