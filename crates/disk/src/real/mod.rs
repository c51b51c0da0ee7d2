//! Folders of this machine.

mod file;
mod resolve;
#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(not(unix))]
#[path = "portable.rs"]
mod system;

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, DirEntry},
};

pub use self::file::RealFile;
use self::{
    resolve::{Folder, check, split},
    system::Access,
};
use crate::{
    entry::{Entry, FileMode, Kind, Listed, Space},
    error::DiskError,
    verbs::{Disk, DiskFile},
};

/// Above this many files one sync of the whole file system is cheaper than one per file.
const SYNC_ONE_BY_ONE_MAX: usize = 64;

/// Threads that sync files where a file system cannot be synced as a whole.
const SYNC_THREADS: usize = 8;

/// A folder of this machine, held open: renaming the folder does not redirect what is done in it.
///
/// Cloning is cheap and shares the open folder.
#[derive(Debug, Clone)]
pub struct RealDisk {
    root: Arc<Dir>,
    shown: PathBuf,
}

impl RealDisk {
    /// Opens an existing folder. The path to it is the user's own and may lead through links.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let root = Dir::open_ambient_dir(path, ambient_authority())
            .and_then(|root| system::syncable(&root))
            .map_err(|source| DiskError::new("open the folder", path, source))?;
        Ok(Self {
            root: Arc::new(root),
            shown: path.to_owned(),
        })
    }

    /// Opens a folder; makes it, and those above it, where they are missing.
    pub fn open_or_create(path: &Path) -> Result<Self, DiskError> {
        Dir::create_ambient_dir_all(path, ambient_authority())
            .map_err(|source| DiskError::new("create the folder", path, source))?;
        Self::open(path)
    }

    /// An existing folder under this one as a disk of its own.
    pub fn folder(&self, path: &str) -> Result<Self, DiskError> {
        let root = check(path)
            .and_then(|()| system::open_folder(&self.root, path))
            .map_err(|source| self.error("open the folder", path, source))?;
        Ok(Self {
            root: Arc::new(root),
            shown: self.shown(path),
        })
    }

    /// The path that the folder was opened by.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    fn error(&self, verb: &'static str, path: &str, source: io::Error) -> DiskError {
        DiskError::new(verb, self.shown(path), source)
    }

    /// Runs `act` with the folder that holds the last component of `path`.
    fn beside<T>(
        &self,
        verb: &'static str,
        path: &str,
        act: impl FnOnce(&Dir, &str) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        split(path)
            .and_then(|(folder, name)| act(&*Folder::open(&self.root, folder)?, name))
            .map_err(|source| self.error(verb, path, source))
    }

    fn open_file(
        &self,
        verb: &'static str,
        path: &str,
        access: Access,
    ) -> Result<RealFile, DiskError> {
        let file = split(path)
            .and_then(|_| system::open_file(&self.root, path, access))
            .map_err(|source| self.error(verb, path, source))?;
        Ok(RealFile::new(file, self.shown(path)))
    }

    fn sync_one(&self, path: &str) -> Result<(), DiskError> {
        // Windows syncs only what is open for writing; elsewhere a read-only file must be syncable too.
        let access = if cfg!(unix) {
            Access::Read
        } else {
            Access::Write
        };
        self.open_file("open", path, access)?.sync()
    }

    /// Whether one sync of this folder's file system covers all of `paths`.
    fn covers(&self, paths: &[&str]) -> bool {
        let top = |path: &&'_ str| path.split_once('/').map_or("", |(top, _)| top).to_owned();
        let tops: BTreeSet<String> = paths.iter().map(top).collect();
        tops.iter().all(|top| {
            check(top)
                .and_then(|()| system::same_file_system(&self.root, top))
                .unwrap_or(false)
        })
    }

    fn sync_in_threads(&self, paths: &[&str]) -> Result<(), DiskError> {
        let share = paths.len().div_ceil(SYNC_THREADS).max(1);
        thread::scope(|scope| {
            let threads: Vec<_> = paths
                .chunks(share)
                .map(|part| scope.spawn(move || part.iter().try_for_each(|one| self.sync_one(one))))
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn shown(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.shown.clone()
        } else {
            self.shown.join(path)
        }
    }

    fn stat(&self, path: &str) -> Result<Option<Entry>, DiskError> {
        let metadata = if path.is_empty() {
            self.root.dir_metadata()
        } else {
            split(path)
                .and_then(|(folder, name)| Folder::open(&self.root, folder)?.symlink_metadata(name))
        };
        match metadata {
            Ok(metadata) => Ok(Some(system::entry(&metadata))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(self.error("look at", path, source)),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<Listed>, DiskError> {
        let list = || -> io::Result<Vec<Listed>> {
            check(path)?;
            let folder = system::open_folder(&self.root, path)?;
            folder
                .entries()?
                .filter_map(|entry| listed(entry).transpose())
                .collect()
        };
        list().map_err(|source| self.error("list", path, source))
    }

    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        self.beside("create the folder", path, |folder, name| {
            folder.create_dir(name)
        })
    }

    fn create_new(&self, path: &str, mode: FileMode) -> Result<RealFile, DiskError> {
        self.open_file("create", path, Access::New(mode))
    }

    fn open_existing(&self, path: &str) -> Result<RealFile, DiskError> {
        self.open_file("open", path, Access::Write)
    }

    fn open_read(&self, path: &str) -> Result<RealFile, DiskError> {
        self.open_file("open", path, Access::Read)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let rename = || {
            let ((old_folder, old), (new_folder, new)) = (split(from)?, split(to)?);
            let old_folder = Folder::open(&self.root, old_folder)?;
            let new_folder = Folder::open(&self.root, new_folder)?;
            old_folder.rename(old, &new_folder, new)
        };
        rename().map_err(|source| self.error("rename", from, source))
    }

    fn remove_file(&self, path: &str) -> Result<(), DiskError> {
        self.beside("remove", path, |folder, name| folder.remove_file(name))
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        self.beside("remove the folder", path, |folder, name| {
            folder.remove_dir(name)
        })
    }

    fn remove_tree(&self, path: &str) -> Result<(), DiskError> {
        match self.stat(path)? {
            None => Ok(()),
            // `remove_dir_all` works on open folders, entry by entry, and never enters a link.
            Some(Entry {
                kind: Kind::Folder, ..
            }) => self.beside("remove all of", path, |folder, name| {
                folder.remove_dir_all(name)
            }),
            Some(_) => self.remove_file(path),
        }
    }

    fn remove_content(&self, path: &str, kept: &str) -> Result<(), DiskError> {
        let remove = || -> io::Result<()> {
            check(path)?;
            let folder = system::open_folder(&self.root, path)?;
            let entries: Vec<DirEntry> = folder.entries()?.collect::<io::Result<_>>()?;
            let mut others = entries.iter().filter(|entry| entry.file_name() != kept);
            // Names that are not text have no path here, and need none.
            others.try_for_each(|entry| {
                if entry.file_type()?.is_dir() {
                    folder.remove_dir_all(entry.file_name())
                } else {
                    folder.remove_file(entry.file_name())
                }
            })
        };
        remove().map_err(|source| self.error("remove what is in", path, source))
    }

    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        check(path)
            .and_then(|()| system::sync_folder(&self.root, path))
            .map_err(|source| self.error("sync the folder", path, source))
    }

    fn sync_files(&self, paths: &[&str]) -> Result<(), DiskError> {
        if paths.len() <= SYNC_ONE_BY_ONE_MAX {
            return paths.iter().try_for_each(|path| self.sync_one(path));
        }
        if system::CAN_SYNC_FILE_SYSTEM && self.covers(paths) {
            return system::sync_file_system(&self.root)
                .map_err(|source| self.error("sync the file system of", "", source));
        }
        self.sync_in_threads(paths)
    }

    fn sync_tree(&self, files: &[&str], folders: &[&str]) -> Result<(), DiskError> {
        let is_one = files.len() + folders.len() > SYNC_ONE_BY_ONE_MAX
            && system::CAN_SYNC_FILE_SYSTEM
            && self.covers(files)
            && self.covers(folders);
        if is_one {
            return system::sync_file_system(&self.root)
                .map_err(|source| self.error("sync the file system of", "", source));
        }
        self.sync_files(files)?;
        folders.iter().try_for_each(|path| self.sync_folder(path))
    }

    fn set_executable(&self, path: &str, executable: bool) -> Result<(), DiskError> {
        let file = self.open_file("open", path, Access::Read)?;
        system::set_executable(file.std(), executable)
            .map_err(|source| self.error("change the mode of", path, source))
    }

    fn free_space(&self) -> Result<Space, DiskError> {
        system::free_space(&self.root)
            .map_err(|source| self.error("ask for the free space of", "", source))
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// What a listing tells of one entry; `None` if it was removed meanwhile.
fn listed(entry: io::Result<DirEntry>) -> io::Result<Option<Listed>> {
    let entry = entry?;
    match entry.metadata() {
        Ok(metadata) => Ok(Some(Listed {
            name: entry.file_name(),
            entry: system::entry(&metadata),
        })),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
