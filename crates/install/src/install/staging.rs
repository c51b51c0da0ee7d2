//! I4: the staging folder as those see it who fill it.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lanspread_disk::{Disk, DiskError, DiskFile, Entry, FileMode, Kind, StateError};
use lanspread_proto::GamePath;

use super::{InstallError, InstallProgress, InstallTransaction};
use crate::{
    room::room,
    root::{GameRoot, Slot},
    unpack::{StagedFile, Staging, StagingError, Totals},
};

/// Where nobody knows how much will come, the room is looked at again after so many bytes.
const ROOM_LOOK_BYTES: u64 = 64 * 1024 * 1024;

/// What was made so far; the lock is never held across a disk operation.
#[derive(Default)]
pub(super) struct Work {
    folders: HashSet<String>,
    /// Finished files with their sizes, in the order in which they were finished.
    pub(super) files: Vec<(GamePath, u64)>,
    /// Files that are made and not finished.
    pub(super) unfinished: u64,
}

impl<D: Disk> Staging for InstallTransaction<D> {
    fn path(&self) -> PathBuf {
        self.disk.shown(&self.root.slot(Slot::Installing))
    }

    fn cancelled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.control.cancelled)
    }

    fn expect(&self, totals: Totals) -> Result<(), StagingError> {
        self.announce(totals);
        self.check_room(totals.bytes.unwrap_or(0))
    }

    fn create_folder(&self, path: &GamePath) -> Result<(), StagingError> {
        self.make_folders(path.as_str())
    }

    fn create_file(
        &self,
        path: &GamePath,
        executable: bool,
    ) -> Result<Box<dyn StagedFile + '_>, StagingError> {
        Ok(Box::new(self.create(path, executable)?))
    }
}

impl<D: Disk> InstallTransaction<D> {
    /// A new file in the staging folder, and the folders above it.
    pub(super) fn create(
        &self,
        path: &GamePath,
        executable: bool,
    ) -> Result<Writing<'_, D>, StagingError> {
        self.check_cancelled()?;
        if let Some((folder, _)) = path.as_str().rsplit_once('/') {
            self.make_folders(folder)?;
        }
        let mode = if executable {
            FileMode::Executable
        } else {
            FileMode::Plain
        };
        let file = self.disk.create_new(&self.staged(path.as_str()), mode);
        let file = file.map_err(|error| self.explain(error))?;
        self.work().unfinished += 1;
        Ok(Writing {
            install: self,
            path: path.clone(),
            file,
            bytes: 0,
        })
    }

    /// The path of something in the staging folder.
    pub(super) fn staged(&self, path: &str) -> String {
        format!("{}/{path}", self.root.slot(Slot::Installing))
    }

    /// Makes a folder and those above it, each once.
    fn make_folders(&self, path: &str) -> Result<(), StagingError> {
        if self.work().folders.contains(path) {
            return Ok(());
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.make_folders(above)?;
        }
        let staged = self.staged(path);
        match self.disk.create_folder(&staged) {
            // By another thread, or by an external tool.
            Err(error) if error.is_already_there() && self.is_folder(&staged)? => {}
            made => made.map_err(|error| self.explain(error))?,
        }
        self.work().folders.insert(path.to_owned());
        Ok(())
    }

    fn is_folder(&self, path: &str) -> Result<bool, StagingError> {
        let found = self.disk.stat(path).map_err(StagingError::Disk)?;
        Ok(matches!(
            found,
            Some(Entry {
                kind: Kind::Folder,
                ..
            })
        ))
    }

    pub(super) fn check_cancelled(&self) -> Result<(), StagingError> {
        if self.is_cancelled() {
            Err(StagingError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Notes what will come, without a look at the room for it.
    pub(super) fn announce(&self, totals: Totals) {
        self.totals.get_or_init(|| totals);
        self.tell_progress();
    }

    /// What is wanted must fit and leave the reserve.
    pub(super) fn check_room(&self, wanted_bytes: u64) -> Result<(), StagingError> {
        let room = room(self.disk.as_ref(), self.reserve_bytes).map_err(StagingError::Disk)?;
        match room.map_or(0, |room| room.missing_bytes(wanted_bytes)) {
            0 => Ok(()),
            missing_bytes => Err(StagingError::DiskFull {
                path: self.disk.shown(self.root.path()),
                missing_bytes,
                source: None,
            }),
        }
    }

    /// Turns "no space left" into how much is missing.
    pub(super) fn explain(&self, error: DiskError) -> StagingError {
        if !error.is_out_of_space() {
            return StagingError::Disk(error);
        }
        let total = self.totals.get().and_then(|totals| totals.bytes);
        let wanted = total.unwrap_or(0);
        let wanted = wanted.saturating_sub(self.bytes_done.load(Ordering::Relaxed));
        let missing = match room(self.disk.as_ref(), self.reserve_bytes) {
            Ok(Some(room)) => room.missing_bytes(wanted),
            _ => wanted,
        };
        StagingError::DiskFull {
            path: self.disk.shown(self.root.path()),
            // The disk said it is full, whatever it tells of its room.
            missing_bytes: missing.max(1),
            source: Some(error),
        }
    }

    fn wrote(&self, bytes: u64) -> Result<(), StagingError> {
        let before = self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
        let is_open = self
            .totals
            .get()
            .is_none_or(|totals| totals.bytes.is_none());
        if is_open && before / ROOM_LOOK_BYTES != (before + bytes) / ROOM_LOOK_BYTES {
            self.check_room(0)?;
        }
        self.tell_progress();
        Ok(())
    }

    fn tell_progress(&self) {
        let totals = self.totals.get().copied().unwrap_or_default();
        (self.control.progress)(InstallProgress {
            bytes_done: self.bytes_done.load(Ordering::Relaxed),
            bytes_total: totals.bytes,
            files_done: self.files_done.load(Ordering::Relaxed),
            files_total: totals.files,
        });
    }
}

/// A full disk of the state directory is told like one of the games.
pub(super) fn explain_state<D: Disk>(disk: &D, root: &GameRoot, error: StateError) -> InstallError {
    match error {
        StateError::Disk(error) if error.is_out_of_space() => InstallError::DiskFull {
            path: disk.shown(root.path()),
            missing_bytes: 1,
            source: Some(error),
        },
        other => other.into(),
    }
}

/// A file that is being written.
pub(super) struct Writing<'t, D: Disk> {
    install: &'t InstallTransaction<D>,
    path: GamePath,
    file: D::File,
    bytes: u64,
}

impl<D: Disk> Writing<'_, D> {
    /// Takes the content of another file, which has `bytes`, without copying it, if that can be done.
    pub(super) fn share(&mut self, other: &D::File, bytes: u64) -> Result<bool, StagingError> {
        let shared = self.file.share_content_of(other);
        if !shared.map_err(|error| self.install.explain(error))? {
            return Ok(false);
        }
        self.bytes = bytes;
        self.install.wrote(bytes)?;
        Ok(true)
    }
}

impl<D: Disk> StagedFile for Writing<'_, D> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StagingError> {
        self.install.check_cancelled()?;
        let written = self.file.write_all_at(bytes, self.bytes);
        written.map_err(|error| self.install.explain(error))?;
        self.bytes += bytes.len() as u64;
        self.install.wrote(bytes.len() as u64)
    }

    fn finish(self: Box<Self>) -> Result<(), StagingError> {
        let Self {
            install,
            path,
            bytes,
            ..
        } = *self;
        install.check_cancelled()?;
        let mut work = install.work();
        work.files.push((path, bytes));
        work.unfinished -= 1;
        drop(work);
        install.files_done.fetch_add(1, Ordering::Relaxed);
        install.tell_progress();
        Ok(())
    }
}
