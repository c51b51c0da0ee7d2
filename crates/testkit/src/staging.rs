//! An unpacker's two ends in memory: an archive that is some bytes, and a staging folder that checks
//! what it is handed.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lanspread_disk::{DiskError, DiskFile, FileStamp};
use lanspread_install::{ArchiveFile, StagedFile, Staging, StagingError, Totals};
use lanspread_proto::{
    GamePath,
    path::{EntryKind, PathSet},
};

/// An archive in memory, named as given.
///
/// # Panics
/// When the name is no path.
pub fn archive_in_memory(name: &str, bytes: impl Into<Arc<[u8]>>) -> ArchiveFile {
    let bytes = bytes.into();
    ArchiveFile::new(
        name.parse().expect("a path"),
        Path::new("/game").join(name),
        bytes.len() as u64,
        Arc::new(MemoryFile(bytes)),
    )
}

/// A staging folder that keeps everything and fails the test once a promise of an unpacker is broken: two
/// entries at paths that are one on some system, a file written after it was finished.
#[derive(Debug, Default)]
pub struct MemoryStaging {
    cancelled: Arc<AtomicBool>,
    room: Option<u64>,
    bytes: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    paths: PathSet,
    expected: Option<Totals>,
    files: BTreeMap<String, Content>,
    folders: Vec<String>,
}

/// A file of a [`MemoryStaging`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Its bytes so far.
    pub bytes: Vec<u8>,
    /// Whether it is executable.
    pub executable: bool,
    /// Whether somebody said that it is complete.
    pub finished: bool,
}

impl MemoryStaging {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that says that the disk is full after so many bytes.
    pub fn with_room(bytes: u64) -> Self {
        Self {
            room: Some(bytes),
            ..Self::default()
        }
    }

    /// All files by their paths.
    pub fn files(&self) -> BTreeMap<String, Content> {
        self.held().files.clone()
    }

    /// All folders that were asked for.
    pub fn folders(&self) -> Vec<String> {
        self.held().folders.clone()
    }

    /// Bytes that were written.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What was said to come.
    pub fn expected(&self) -> Option<Totals> {
        self.held().expected
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self) -> StagingError {
        StagingError::DiskFull {
            path: self.path(),
            missing_bytes: 1,
            source: None,
        }
    }
}

impl Staging for MemoryStaging {
    fn path(&self) -> PathBuf {
        PathBuf::from("/game/.local.installing")
    }

    fn cancelled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    fn expect(&self, totals: Totals) -> Result<(), StagingError> {
        let before = self.held().expected.replace(totals);
        assert_eq!(before, None, "totals are told once");
        match (totals.bytes, self.room) {
            (Some(bytes), Some(room)) if bytes > room => Err(self.full()),
            _ => Ok(()),
        }
    }

    fn create_folder(&self, path: &GamePath) -> Result<(), StagingError> {
        let mut held = self.held();
        let fits = held.paths.insert_folder(path);
        fits.unwrap_or_else(|error| panic!("a folder that does not fit: {error}"));
        held.folders.push(path.to_string());
        Ok(())
    }

    fn create_file(
        &self,
        path: &GamePath,
        executable: bool,
    ) -> Result<Box<dyn StagedFile + '_>, StagingError> {
        let mut held = self.held();
        let fits = held.paths.insert(path, EntryKind::File);
        fits.unwrap_or_else(|error| panic!("a file that does not fit: {error}"));
        let content = Content {
            executable,
            ..Content::default()
        };
        held.files.insert(path.to_string(), content);
        drop(held);
        Ok(Box::new(MemoryStaged {
            staging: self,
            path: path.to_string(),
        }))
    }
}

struct MemoryStaged<'s> {
    staging: &'s MemoryStaging,
    path: String,
}

impl StagedFile for MemoryStaged<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StagingError> {
        if self.staging.cancelled.load(Ordering::Relaxed) {
            return Err(StagingError::Cancelled);
        }
        let written = bytes.len() as u64;
        let before = self.staging.bytes.fetch_add(written, Ordering::Relaxed);
        if self
            .staging
            .room
            .is_some_and(|room| before + written > room)
        {
            return Err(self.staging.full());
        }
        if let Some(file) = self.staging.held().files.get_mut(&self.path) {
            file.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StagingError> {
        if let Some(file) = self.staging.held().files.get_mut(&self.path) {
            file.finished = true;
        }
        Ok(())
    }
}

/// Bytes that cannot be changed.
#[derive(Debug)]
struct MemoryFile(Arc<[u8]>);

impl MemoryFile {
    fn refused(verb: &'static str) -> DiskError {
        DiskError::new(verb, "/game", io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let start = usize::try_from(offset).map_or(self.0.len(), |start| start.min(self.0.len()));
        let count = buffer.len().min(self.0.len() - start);
        buffer[..count].copy_from_slice(&self.0[start..start + count]);
        Ok(count)
    }

    fn write_all_at(&self, _data: &[u8], _offset: u64) -> Result<(), DiskError> {
        Err(Self::refused("write"))
    }

    fn set_len(&self, _bytes: u64) -> Result<(), DiskError> {
        Err(Self::refused("set the length of"))
    }

    fn sync(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn stamp(&self) -> Result<FileStamp, DiskError> {
        Ok(FileStamp {
            size: self.0.len() as u64,
            modified_ns: 0,
            file_id: 0,
        })
    }
}
