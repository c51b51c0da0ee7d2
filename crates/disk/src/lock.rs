//! One process per folder: a lock file that the operating system holds for the process.

use std::{
    fs::TryLockError,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    entry::FileMode,
    error::DiskError,
    real::{RealDisk, RealFile},
    verbs::{Disk, DiskFile},
};

/// The lock file of a state directory.
pub const STATE_DIR_LOCK_NAME: &str = "lock";

/// The lock file of a game directory.
pub const GAME_DIR_LOCK_NAME: &str = ".lanspread.lock";

/// A lock file holds one line about its holder; what is longer is not ours.
const HOLDER_BYTES_MAX: u64 = 64 * 1024;

/// Who holds a folder, as the lock file tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process id.
    pub pid: u32,
    /// The peer's display name.
    pub name: String,
    /// Where its control socket is, if it has one.
    pub control: Option<PathBuf>,
}

/// A folder that no other process can lock. Released when dropped, and by the system when the
/// process dies in whatever way. The file stays: removing it would let two processes lock two files
/// of one name.
#[derive(Debug)]
#[must_use = "the folder is locked only while this lives"]
pub struct DirLock {
    _file: RealFile,
    path: PathBuf,
}

/// Why a folder could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error("{} is in use by {}", path.display(), describe(by.as_ref()))]
    Held {
        /// Who; `None` while the other is just writing its name, and on systems that let nobody read
        /// a locked file.
        by: Option<Holder>,
        /// The folder.
        path: PathBuf,
    },
    /// The lock file could not be opened, locked or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl DirLock {
    /// Locks the folder `dir` by the file `lock_name` in it, and leaves `holder` there for others to
    /// read. Never waits.
    pub fn acquire(dir: &Path, lock_name: &str, holder: &Holder) -> Result<Self, LockError> {
        let disk = RealDisk::open(dir)?;
        let file = open_lock_file(&disk, lock_name)?;
        match file.std().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    by: read_holder(&file),
                    path: dir.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(DiskError::new("lock", disk.shown(lock_name), source).into());
            }
        }
        let text = serde_json::to_vec(holder).map_err(|error| {
            DiskError::new("lock", disk.shown(lock_name), io::Error::other(error))
        })?;
        file.set_len(0)?;
        file.write_all_at(&text, 0)?;
        Ok(Self {
            _file: file,
            path: dir.to_owned(),
        })
    }

    /// The locked folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn open_lock_file(disk: &RealDisk, lock_name: &str) -> Result<RealFile, DiskError> {
    match disk.open_existing(lock_name) {
        Err(error) if error.is_not_found() => {}
        opened => return opened,
    }
    match disk.create_new(lock_name, FileMode::Plain) {
        Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {
            disk.open_existing(lock_name)
        }
        created => created,
    }
}

fn read_holder(file: &RealFile) -> Option<Holder> {
    let size = file.stamp().ok()?.size.min(HOLDER_BYTES_MAX);
    let mut text = vec![0; usize::try_from(size).ok()?];
    let read = file.read_at(&mut text, 0).ok()?;
    serde_json::from_slice(&text[..read]).ok()
}

fn describe(by: Option<&Holder>) -> String {
    match by {
        Some(Holder { pid, name, .. }) => format!("{name:?} (process {pid})"),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str) -> Holder {
        Holder {
            pid: 7,
            name: name.into(),
            control: Some("/run/x.sock".into()),
        }
    }

    #[test]
    fn the_second_is_told_who_holds_it_and_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path(), "lock", &holder("a rather long name")).unwrap();
        let error = DirLock::acquire(dir.path(), "lock", &holder("b")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("\"a rather long name\" (process 7)"),
            "{error}"
        );
        let LockError::Held { by, path } = error else {
            panic!("{error}")
        };
        assert_eq!(by, Some(holder("a rather long name")));
        assert_eq!(path, dir.path());
        drop(lock);
        let lock = DirLock::acquire(dir.path(), "lock", &holder("b")).unwrap();
        assert_eq!(lock.path(), dir.path());
        let LockError::Held { by, .. } =
            DirLock::acquire(dir.path(), "lock", &holder("c")).unwrap_err()
        else {
            panic!("not held")
        };
        assert_eq!(by, Some(holder("b")), "no rest of a longer holder");
    }

    #[test]
    fn a_folder_in_the_lock_files_place_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        RealDisk::open(dir.path())
            .unwrap()
            .create_folder("lock")
            .unwrap();
        let error = DirLock::acquire(dir.path(), "lock", &holder("a")).unwrap_err();
        assert!(
            matches!(&error, LockError::Disk(error) if error.is_wrong_kind()),
            "{error:?}"
        );
        assert!(error.to_string().ends_with("/lock"), "{error}");
    }

    #[test]
    fn a_holder_that_cannot_be_read_is_another_process() {
        let error = LockError::Held {
            by: None,
            path: "games".into(),
        };
        assert_eq!(error.to_string(), "games is in use by another process");
    }
}
