//! The payload's files while they are written: made at their first chunk, a few kept open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanspread_disk::{Disk, DiskError, DiskFile, Entry, FileMode};

use super::DownloadTransaction;
use crate::error::DownloadError;

/// Files of several chunks that are kept open: enough for the runs that are in flight, far below the
/// 256 descriptors that some systems begin with.
const OPEN_FILES_MAX: usize = 32;

/// What is known of a file of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    /// Nothing is there.
    Absent,
    /// It was there when the download began, and nothing was written to it since.
    Found {
        /// Its size then.
        size: u64,
        /// Whether it could be run then.
        executable: bool,
    },
    /// This download made it, or gave it its length.
    Ready,
}

impl From<Option<Entry>> for FileState {
    fn from(found: Option<Entry>) -> Self {
        found.map_or(Self::Absent, |entry| Self::Found {
            size: entry.stamp.size,
            executable: entry.executable,
        })
    }
}

/// The files that were written to last, the latest first.
pub(super) struct OpenFiles<F> {
    files: Mutex<Vec<(usize, Arc<F>)>>,
    /// Held while a file of several chunks is made or opened, so that two threads do not both.
    opening: Mutex<()>,
}

impl<F> Default for OpenFiles<F> {
    fn default() -> Self {
        Self {
            files: Mutex::default(),
            opening: Mutex::default(),
        }
    }
}

impl<F> OpenFiles<F> {
    fn get(&self, file: usize) -> Option<Arc<F>> {
        let mut files = lock(&self.files);
        let at = files.iter().position(|(number, _)| *number == file)?;
        files[..=at].rotate_right(1);
        Some(Arc::clone(&files[0].1))
    }

    fn insert(&self, file: usize, open: Arc<F>) {
        let mut files = lock(&self.files);
        files.insert(0, (file, open));
        files.truncate(OPEN_FILES_MAX);
    }

    pub(super) fn close(&self) {
        lock(&self.files).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Disk> DownloadTransaction<D> {
    /// Runs `act` with a file of the payload that is there and has its length.
    pub(super) fn with_file(
        &self,
        file: usize,
        act: impl FnOnce(&D::File) -> Result<(), DownloadError>,
    ) -> Result<(), DownloadError> {
        if self.map.chunks_of(file).len() <= 1 {
            // Only one thread can have claimed its only chunk, and it is not needed again.
            return act(&self.open_for_writing(file)?);
        }
        if let Some(open) = self.open.get(file) {
            return act(&open);
        }
        let opening = lock(&self.open.opening);
        let open = if let Some(open) = self.open.get(file) {
            open
        } else {
            let open = Arc::new(self.open_for_writing(file)?);
            self.open.insert(file, Arc::clone(&open));
            open
        };
        drop(opening);
        act(&open)
    }

    fn open_for_writing(&self, file: usize) -> Result<D::File, DownloadError> {
        let path = self.file_path(file);
        let entry = &self.payload.manifest().files()[file];
        let state = self.work().files[file];
        match state {
            FileState::Ready => Ok(self.disk.open_existing(&path)?),
            FileState::Absent => {
                let mode = if entry.executable {
                    FileMode::Executable
                } else {
                    FileMode::Plain
                };
                let created = self.disk.create_new(&path, mode);
                let open = created.map_err(|error| self.in_the_way(&path, error))?;
                self.work().files[file] = FileState::Ready;
                if self.map.chunks_of(file).len() > 1 {
                    open.set_len(entry.size)?;
                }
                Ok(open)
            }
            FileState::Found { size, executable } => {
                self.note_rewritten(&[file])?;
                let open = self.disk.open_existing(&path)?;
                if size != entry.size {
                    open.set_len(entry.size)?;
                }
                if executable == entry.executable {
                    self.work().files[file] = FileState::Ready;
                } else {
                    self.work().files[file] = FileState::Found {
                        size: entry.size,
                        executable,
                    };
                }
                Ok(open)
            }
        }
    }

    /// What is where a new file goes, if that is why it could not be made.
    fn in_the_way(&self, path: &str, error: DiskError) -> DownloadError {
        if !error.is_already_there() {
            return error.into();
        }
        match self.disk.stat(path) {
            Ok(Some(Entry { kind, .. })) => DownloadError::Obstructed {
                path: self.disk.shown(path),
                found: kind,
            },
            _ => error.into(),
        }
    }

    /// Remembers durably which files that were there before will be written to, before they are: a
    /// discarded download takes away what it wrote and nothing else.
    pub(super) fn note_rewritten(&self, files: &[usize]) -> Result<(), DownloadError> {
        let mut record = self.record();
        let new: Vec<u32> = files
            .iter()
            .filter_map(|file| u32::try_from(*file).ok())
            .filter(|file| record.is_foreign(*file))
            .collect();
        if !new.is_empty() {
            record.note_rewritten(&new);
            record.save(&self.state, self.root.game())?;
        }
        Ok(())
    }
}
