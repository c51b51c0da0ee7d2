//! A disk that counts, records, and fails where it is told to.

use std::{
    io::ErrorKind,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    entry::{Entry, FileMode, FileStamp, Listed, Space},
    error::DiskError,
    verbs::{Disk, DiskFile, remove_content_by_verbs, remove_tree_by_verbs},
};

/// What was asked of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is the verb of `Disk` or `DiskFile` of that name"
)]
pub enum Verb {
    Stat,
    List,
    CreateFolder,
    CreateNew,
    OpenExisting,
    OpenRead,
    Rename,
    RemoveFile,
    RemoveFolder,
    SyncFolder,
    SyncFiles,
    SetExecutable,
    FreeSpace,
    ReadAt,
    WriteAllAt,
    SetLen,
    SyncFile,
    Stamp,
    ShareContent,
}

impl Verb {
    /// Whether it can change the disk, or make a change durable.
    pub const fn is_change(self) -> bool {
        !matches!(
            self,
            Self::Stat | Self::List | Self::OpenRead | Self::FreeSpace | Self::ReadAt | Self::Stamp
        )
    }

    /// Whether it makes changes durable.
    pub const fn is_sync(self) -> bool {
        matches!(self, Self::SyncFolder | Self::SyncFiles | Self::SyncFile)
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its number, from 0.
    pub number: usize,
    /// What was asked.
    pub verb: Verb,
    /// On which path; the new one of a rename, empty for several.
    pub path: String,
}

/// What happens to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    Proceed,
    /// It fails with an error of this kind and changes nothing.
    Fail(ErrorKind),
    /// It is a sync that does nothing and says it did.
    Pretend,
}

type Rule = Box<dyn Fn(&Operation) -> Verdict + Send + Sync>;

struct Record {
    rule: Rule,
    operations: Mutex<Vec<Operation>>,
}

/// Any disk, watched. A tree is removed and synced by single verbs, so that each can fail.
pub struct RecordingDisk<D> {
    inner: D,
    record: Arc<Record>,
}

impl<D: Disk> RecordingDisk<D> {
    /// Watches `inner`; `rule` decides about every operation before it is carried out.
    pub fn new(inner: D, rule: impl Fn(&Operation) -> Verdict + Send + Sync + 'static) -> Self {
        let record = Record {
            rule: Box::new(rule),
            operations: Mutex::default(),
        };
        Self {
            inner,
            record: Arc::new(record),
        }
    }

    /// Watches another disk under the same rule, record and count.
    #[must_use]
    pub fn beside(&self, inner: D) -> Self {
        Self {
            inner,
            record: Arc::clone(&self.record),
        }
    }

    /// What was asked so far.
    pub fn operations(&self) -> Vec<Operation> {
        self.record.lock().clone()
    }

    fn ask(&self, verb: Verb, path: &str) -> Result<bool, DiskError> {
        self.record
            .ask(verb, path)
            .map_err(|kind| self.failed(path, kind))
    }

    fn failed(&self, path: &str, kind: ErrorKind) -> DiskError {
        DiskError::new(
            "reach (as the test wants it)",
            self.inner.shown(path),
            kind.into(),
        )
    }

    fn file(&self, path: &str, inner: D::File) -> RecordingFile<D> {
        RecordingFile {
            inner,
            path: path.to_owned(),
            shown: self.inner.shown(path),
            record: Arc::clone(&self.record),
        }
    }
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the operation is to be carried out.
    fn ask(&self, verb: Verb, path: &str) -> Result<bool, ErrorKind> {
        let mut operations = self.lock();
        let operation = Operation {
            number: operations.len(),
            verb,
            path: path.to_owned(),
        };
        let verdict = (self.rule)(&operation);
        operations.push(operation);
        match verdict {
            Verdict::Proceed => Ok(true),
            Verdict::Pretend => Ok(false),
            Verdict::Fail(kind) => Err(kind),
        }
    }
}

impl<D: Disk> Disk for RecordingDisk<D> {
    type File = RecordingFile<D>;

    fn shown(&self, path: &str) -> PathBuf {
        self.inner.shown(path)
    }

    fn stat(&self, path: &str) -> Result<Option<Entry>, DiskError> {
        self.ask(Verb::Stat, path)?;
        self.inner.stat(path)
    }

    fn list(&self, path: &str) -> Result<Vec<Listed>, DiskError> {
        self.ask(Verb::List, path)?;
        self.inner.list(path)
    }

    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        self.ask(Verb::CreateFolder, path)?;
        self.inner.create_folder(path)
    }

    fn create_new(&self, path: &str, mode: FileMode) -> Result<Self::File, DiskError> {
        self.ask(Verb::CreateNew, path)?;
        self.inner
            .create_new(path, mode)
            .map(|file| self.file(path, file))
    }

    fn open_existing(&self, path: &str) -> Result<Self::File, DiskError> {
        self.ask(Verb::OpenExisting, path)?;
        self.inner
            .open_existing(path)
            .map(|file| self.file(path, file))
    }

    fn open_read(&self, path: &str) -> Result<Self::File, DiskError> {
        self.ask(Verb::OpenRead, path)?;
        self.inner.open_read(path).map(|file| self.file(path, file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.ask(Verb::Rename, to)?;
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &str) -> Result<(), DiskError> {
        self.ask(Verb::RemoveFile, path)?;
        self.inner.remove_file(path)
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        self.ask(Verb::RemoveFolder, path)?;
        self.inner.remove_folder(path)
    }

    fn remove_tree(&self, path: &str) -> Result<(), DiskError> {
        remove_tree_by_verbs(self, path)
    }

    fn remove_content(&self, path: &str, kept: &str) -> Result<(), DiskError> {
        remove_content_by_verbs(self, path, kept)
    }

    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        if self.ask(Verb::SyncFolder, path)? {
            self.inner.sync_folder(path)
        } else {
            Ok(())
        }
    }

    fn sync_files(&self, paths: &[&str]) -> Result<(), DiskError> {
        let named = if let [only] = paths { only } else { "" };
        if self.ask(Verb::SyncFiles, named)? {
            self.inner.sync_files(paths)
        } else {
            Ok(())
        }
    }

    fn set_executable(&self, path: &str, executable: bool) -> Result<(), DiskError> {
        self.ask(Verb::SetExecutable, path)?;
        self.inner.set_executable(path, executable)
    }

    fn free_space(&self) -> Result<Space, DiskError> {
        self.ask(Verb::FreeSpace, "")?;
        self.inner.free_space()
    }
}

/// An open file of a [`RecordingDisk`].
pub struct RecordingFile<D: Disk> {
    inner: D::File,
    path: String,
    shown: PathBuf,
    record: Arc<Record>,
}

impl<D: Disk> RecordingFile<D> {
    fn ask(&self, verb: Verb) -> Result<bool, DiskError> {
        self.record.ask(verb, &self.path).map_err(|kind| {
            DiskError::new("reach (as the test wants it)", &self.shown, kind.into())
        })
    }
}

impl<D: Disk> DiskFile for RecordingFile<D> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        self.ask(Verb::ReadAt)?;
        self.inner.read_at(buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> Result<(), DiskError> {
        self.ask(Verb::WriteAllAt)?;
        self.inner.write_all_at(data, offset)
    }

    fn set_len(&self, bytes: u64) -> Result<(), DiskError> {
        self.ask(Verb::SetLen)?;
        self.inner.set_len(bytes)
    }

    fn sync(&self) -> Result<(), DiskError> {
        if self.ask(Verb::SyncFile)? {
            self.inner.sync()
        } else {
            Ok(())
        }
    }

    fn stamp(&self) -> Result<FileStamp, DiskError> {
        self.ask(Verb::Stamp)?;
        self.inner.stamp()
    }

    fn share_content_of(&self, other: &Self) -> Result<bool, DiskError> {
        self.ask(Verb::ShareContent)?;
        self.inner.share_content_of(&other.inner)
    }
}
