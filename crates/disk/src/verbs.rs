//! The verbs: what a transaction can ask of a disk.

use std::path::PathBuf;

use crate::{
    entry::{Entry, FileMode, FileStamp, Kind, Listed, Space},
    error::DiskError,
};

/// One open folder and everything under it.
///
/// Paths are relative to the folder, components separated by `/`; the empty path is the folder
/// itself. A path that is absolute, or has an empty, `.` or `..` component, is refused by every verb
/// (`InvalidInput`). No verb follows a link: not as the last component, not on the way.
///
/// All verbs block. All may be called from several threads.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// The full path, for people.
    fn shown(&self, path: &str) -> PathBuf;

    /// What is at `path`; `None` if nothing is, or if the way there leads through a file or a link.
    fn stat(&self, path: &str) -> Result<Option<Entry>, DiskError>;

    /// The entries of a folder, in no order.
    fn list(&self, path: &str) -> Result<Vec<Listed>, DiskError>;

    /// Makes one folder; an error if anything is there.
    fn create_folder(&self, path: &str) -> Result<(), DiskError>;

    /// Makes a new, empty file, open for reading and writing; an error if anything is there.
    fn create_new(&self, path: &str, mode: FileMode) -> Result<Self::File, DiskError>;

    /// Opens a regular file for reading and writing.
    fn open_existing(&self, path: &str) -> Result<Self::File, DiskError>;

    /// Opens a regular file for reading; a pipe or a device is refused, never waited for.
    fn open_read(&self, path: &str) -> Result<Self::File, DiskError>;

    /// Renames a file or a folder. A file in the way is replaced, a folder that holds something is
    /// an error. Durable once the folders of both names are synced.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes anything but a folder.
    fn remove_file(&self, path: &str) -> Result<(), DiskError>;

    /// Removes an empty folder.
    fn remove_folder(&self, path: &str) -> Result<(), DiskError>;

    /// Removes whatever is at `path` with all that is under it; a link is removed, never entered.
    /// Nothing there is no error.
    fn remove_tree(&self, path: &str) -> Result<(), DiskError>;

    /// Removes everything in a folder but the entry `kept`, as [`Self::remove_tree`] does.
    fn remove_content(&self, path: &str, kept: &str) -> Result<(), DiskError>;

    /// Makes a folder's entries durable: what was created, renamed or removed in it.
    fn sync_folder(&self, path: &str) -> Result<(), DiskError>;

    /// Makes the content and the attributes of these files durable. Over 64 of them this is one sync
    /// of the whole file system on Linux, and several threads elsewhere.
    fn sync_files(&self, paths: &[&str]) -> Result<(), DiskError>;

    /// Makes a whole tree durable: these files, then these folders, which come deepest first. Over 64
    /// of both this is one sync of the whole file system on Linux.
    fn sync_tree(&self, files: &[&str], folders: &[&str]) -> Result<(), DiskError> {
        self.sync_files(files)?;
        folders.iter().try_for_each(|path| self.sync_folder(path))
    }

    /// Sets or clears a regular file's executable bit; does nothing on Windows.
    fn set_executable(&self, path: &str, executable: bool) -> Result<(), DiskError>;

    /// Room on the disk of this folder; [`DiskError::is_unsupported`] where the system does not tell.
    fn free_space(&self) -> Result<Space, DiskError>;

    /// Replaces a file's content durably and at once: a temporary file beside it, synced, renamed
    /// over it, the folder synced. After a crash the file has the old content or the new one.
    fn write_atomic(&self, path: &str, content: &[u8], mode: FileMode) -> Result<(), DiskError> {
        let temporary = format!("{path}.tmp");
        match self.remove_file(&temporary) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let file = self.create_new(&temporary, mode)?;
        file.write_all_at(content, 0)?;
        file.sync()?;
        drop(file);
        self.rename(&temporary, path)?;
        self.sync_folder(parent(path))
    }

    /// The content of a regular file of at most `bytes_max`; `None` if nothing is there. A longer
    /// file is an error of kind `FileTooLarge`.
    fn read_file(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, DiskError> {
        let file = match self.open_read(path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = file.stamp()?.size;
        if size > bytes_max {
            let kind = std::io::ErrorKind::FileTooLarge;
            return Err(DiskError::new("read", self.shown(path), kind.into()));
        }
        let mut content = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        let read = file.read_at(&mut content, 0)?;
        content.truncate(read);
        Ok(Some(content))
    }

    /// Makes a folder and those above it that are missing, and syncs each folder that got one.
    fn create_folders_synced(&self, path: &str) -> Result<(), DiskError> {
        if path.is_empty() {
            return Ok(());
        }
        match self.create_folder(path) {
            Ok(()) => self.sync_folder(parent(path)),
            Err(error) if error.is_already_there() => Ok(()),
            Err(error) if error.is_not_found() => {
                self.create_folders_synced(parent(path))?;
                self.create_folder(path)?;
                self.sync_folder(parent(path))
            }
            Err(error) => Err(error),
        }
    }
}

/// One open file. Positions are explicit, so that several threads can share it.
pub trait DiskFile: Send + Sync + 'static {
    /// Fills `buffer` from `offset`; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError>;

    /// Writes all of `data` at `offset`, growing the file if it must.
    fn write_all_at(&self, data: &[u8], offset: u64) -> Result<(), DiskError>;

    /// Cuts the file, or extends it with a hole.
    fn set_len(&self, bytes: u64) -> Result<(), DiskError>;

    /// Makes content and attributes durable. After an error the file must be treated as bad.
    fn sync(&self) -> Result<(), DiskError>;

    /// Size, time and id as they are now.
    fn stamp(&self) -> Result<FileStamp, DiskError>;

    /// Gives this file, which is new, the whole content of another without copying it: the two share
    /// it until one of them is written to. `false`, and nothing is changed, where the file system
    /// cannot do that.
    fn share_content_of(&self, _other: &Self) -> Result<bool, DiskError>
    where
        Self: Sized,
    {
        Ok(false)
    }
}

/// The folder that holds `path`: the empty path for a single component.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// [`Disk::remove_tree`] by the other verbs, for the twins, whose names are all UTF-8.
pub(crate) fn remove_tree_by_verbs<D: Disk>(disk: &D, path: &str) -> Result<(), DiskError> {
    match disk.stat(path)? {
        None => Ok(()),
        Some(Entry {
            kind: Kind::Folder, ..
        }) => {
            for Listed { name, .. } in disk.list(path)? {
                remove_tree_by_verbs(disk, &format!("{path}/{}", name.display()))?;
            }
            disk.remove_folder(path)
        }
        Some(_) => disk.remove_file(path),
    }
}

/// [`Disk::remove_content`] by the other verbs, for the twins.
pub(crate) fn remove_content_by_verbs<D: Disk>(
    disk: &D,
    path: &str,
    kept: &str,
) -> Result<(), DiskError> {
    for Listed { name, .. } in disk.list(path)? {
        if name != kept {
            disk.remove_tree(&format!("{path}/{}", name.display()))?;
        }
    }
    Ok(())
}
