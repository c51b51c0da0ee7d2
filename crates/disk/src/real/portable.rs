//! What other systems, Windows above all, offer through the standard library.
//!
//! A folder's entries need no sync of their own there (NTFS journals them), the room on a disk is
//! not told, and no file is executable.

use std::{
    fs::File,
    io::{self, ErrorKind},
    time::UNIX_EPOCH,
};

use cap_std::fs::{Dir, Metadata, OpenOptions};

use crate::entry::{Entry, FileMode, FileStamp, Kind, Space};

/// Whether [`sync_file_system`] works here.
pub(super) const CAN_SYNC_FILE_SYSTEM: bool = false;

/// How a file is opened.
#[derive(Clone, Copy)]
pub(super) enum Access {
    Read,
    Write,
    New(FileMode),
}

pub(super) fn syncable(root: &Dir) -> io::Result<Dir> {
    root.try_clone()
}

pub(super) fn open_folder(root: &Dir, path: &str) -> io::Result<Dir> {
    let mut at = root.try_clone()?;
    for component in path.split('/').filter(|component| !component.is_empty()) {
        if at.symlink_metadata(component)?.is_symlink() {
            return Err(ErrorKind::NotADirectory.into());
        }
        at = at.open_dir(component)?;
    }
    Ok(at)
}

pub(super) fn open_file(root: &Dir, path: &str, access: Access) -> io::Result<File> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = open_folder(root, folder)?;
    let mut options = OpenOptions::new();
    match access {
        Access::Read => options.read(true),
        Access::Write => options.read(true).write(true),
        Access::New(_) => options.read(true).write(true).create_new(true),
    };
    if !matches!(access, Access::New(_)) && !folder.symlink_metadata(name)?.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    Ok(folder.open_with(name, &options)?.into_std())
}

pub(super) fn entry(metadata: &Metadata) -> Entry {
    let kind = if metadata.is_symlink() {
        Kind::Link
    } else if metadata.is_dir() {
        Kind::Folder
    } else if metadata.is_file() {
        Kind::File
    } else {
        Kind::Other
    };
    let nanoseconds = |time: io::Result<cap_std::time::SystemTime>| {
        let since = time.ok()?.into_std().duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_nanos()).ok()
    };
    let stamp = FileStamp {
        size: metadata.len(),
        modified_ns: nanoseconds(metadata.modified())
            .and_then(|time| i64::try_from(time).ok())
            .unwrap_or_default(),
        file_id: nanoseconds(metadata.created()).unwrap_or_default(),
    };
    Entry {
        kind,
        stamp,
        allocated_bytes: metadata.len(),
        executable: false,
    }
}

pub(super) fn stamp(file: &File) -> io::Result<FileStamp> {
    Ok(entry(&Metadata::from_file(file)?).stamp)
}

pub(super) fn sync_folder(root: &Dir, path: &str) -> io::Result<()> {
    open_folder(root, path).map(drop)
}

pub(super) fn sync_file_system(_root: &Dir) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(super) fn same_file_system(_root: &Dir, _path: &str) -> io::Result<bool> {
    Ok(false)
}

pub(super) fn set_executable(_file: &File, _executable: bool) -> io::Result<()> {
    Ok(())
}

pub(super) fn free_space(_root: &Dir) -> io::Result<Space> {
    Err(ErrorKind::Unsupported.into())
}

pub(super) fn share_content(_to: &File, _from: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(windows)]
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(windows)]
pub(super) fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, data, offset)
}
