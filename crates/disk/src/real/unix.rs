//! What Unix offers. On Linux a whole path is opened by one `openat2` that refuses links; elsewhere,
//! and on kernels without it, folder by folder.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::fd::OwnedFd,
};

use cap_std::fs::{Dir, Metadata, MetadataExt, PermissionsExt};
use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use crate::entry::{Entry, FileMode, FileStamp, Kind, Space};

/// Whether [`sync_file_system`] works here.
pub(super) const CAN_SYNC_FILE_SYSTEM: bool = cfg!(target_os = "linux");

/// The unit of `st_blocks`, whatever the file system's own blocks are.
const STAT_BLOCK_BYTES: u64 = 512;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// How a file is opened.
#[derive(Clone, Copy)]
pub(super) enum Access {
    Read,
    Write,
    New(FileMode),
}

impl Access {
    fn flags(self) -> OFlags {
        // Without NONBLOCK, opening a pipe that was put here would wait for its other end.
        let safe = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        safe | match self {
            Self::Read => OFlags::RDONLY,
            Self::Write => OFlags::RDWR,
            Self::New(_) => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        }
    }

    fn mode(self) -> Mode {
        match self {
            Self::Read | Self::Write => Mode::empty(),
            Self::New(FileMode::Plain) => Mode::from_raw_mode(0o666),
            Self::New(FileMode::Executable) => Mode::from_raw_mode(0o777),
            Self::New(FileMode::Private) => Mode::from_raw_mode(0o600),
        }
    }
}

/// The same folder, opened so that it can be synced; `cap_std` opens folders only to pass through.
pub(super) fn syncable(root: &Dir) -> io::Result<Dir> {
    let folder = rustix::fs::openat(root, ".", FOLDER, Mode::empty())?;
    Ok(Dir::from_std_file(folder.into()))
}

pub(super) fn open_folder(root: &Dir, path: &str) -> io::Result<Dir> {
    if path.is_empty() {
        return root.try_clone();
    }
    let folder = open_under(root, path, FOLDER, Mode::empty()).map_err(|error| {
        // A link is no folder, whether it is the last component or on the way.
        if error.kind() == ErrorKind::InvalidInput {
            ErrorKind::NotADirectory.into()
        } else {
            error
        }
    })?;
    Ok(Dir::from_std_file(folder.into()))
}

pub(super) fn open_file(root: &Dir, path: &str, access: Access) -> io::Result<File> {
    let file = File::from(open_under(root, path, access.flags(), access.mode())?);
    if matches!(access, Access::New(_)) {
        // Made by this very call.
        return Ok(file);
    }
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    match kind {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        )),
    }
}

#[cfg(target_os = "linux")]
fn open_under(root: &Dir, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;

    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, flags, mode, inside) {
        // Old kernels lack it, some sandboxes forbid it.
        Err(Errno::NOSYS | Errno::PERM) => walk(root, path, flags, mode),
        Err(error) => Err(told(error)),
        Ok(opened) => Ok(opened),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_under(root: &Dir, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    walk(root, path, flags, mode)
}

fn walk(root: &Dir, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let Some((folders, name)) = path.rsplit_once('/') else {
        return rustix::fs::openat(root, path, flags, mode).map_err(told);
    };
    let mut components = folders.split('/');
    let first = components.next().unwrap_or_default();
    let mut at = rustix::fs::openat(root, first, FOLDER, Mode::empty()).map_err(told)?;
    for component in components {
        at = rustix::fs::openat(&at, component, FOLDER, Mode::empty()).map_err(told)?;
    }
    rustix::fs::openat(&at, name, flags, mode).map_err(told)
}

/// The standard library has no stable kind for a link that must not be followed.
fn told(error: Errno) -> io::Error {
    match error {
        Errno::LOOP => io::Error::new(ErrorKind::InvalidInput, "a symbolic link is in the way"),
        other => other.into(),
    }
}

pub(super) fn entry(metadata: &Metadata) -> Entry {
    let kind = match metadata.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Folder,
        kind if kind.is_symlink() => Kind::Link,
        _ => Kind::Other,
    };
    let stamp = FileStamp {
        size: metadata.size(),
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        file_id: metadata.ino(),
    };
    let executable = kind == Kind::File && metadata.permissions().mode() & 0o100 != 0;
    let allocated_bytes = metadata.blocks().saturating_mul(STAT_BLOCK_BYTES);
    Entry {
        kind,
        stamp,
        allocated_bytes,
        executable,
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

pub(super) fn stamp(file: &File) -> io::Result<FileStamp> {
    Ok(entry(&Metadata::from_file(file)?).stamp)
}

pub(super) fn sync_folder(root: &Dir, path: &str) -> io::Result<()> {
    Ok(rustix::fs::fsync(open_folder(root, path)?)?)
}

#[cfg(target_os = "linux")]
pub(super) fn sync_file_system(root: &Dir) -> io::Result<()> {
    // The folder has been open since before the writes, so an error of any of them is reported here.
    Ok(rustix::fs::syncfs(root)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn sync_file_system(_root: &Dir) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(super) fn same_file_system(root: &Dir, path: &str) -> io::Result<bool> {
    let folder = open_folder(root, path)?;
    Ok(rustix::fs::fstat(root)?.st_dev == rustix::fs::fstat(folder)?.st_dev)
}

pub(super) fn set_executable(file: &File, executable: bool) -> io::Result<()> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
    // Whoever may read it may run it, as `chmod +x` under the usual umask would have it.
    let runs = Mode::from_raw_mode((mode.as_raw_mode() & 0o444) >> 2);
    let all = Mode::XUSR | Mode::XGRP | Mode::XOTH;
    let mode = if executable {
        mode | runs | Mode::XUSR
    } else {
        mode - all
    };
    Ok(rustix::fs::fchmod(file, mode)?)
}

pub(super) fn free_space(root: &Dir) -> io::Result<Space> {
    let told = rustix::fs::fstatvfs(root)?;
    Ok(Space {
        free_bytes: told.f_bavail.saturating_mul(told.f_frsize),
        total_bytes: told.f_blocks.saturating_mul(told.f_frsize),
    })
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

pub(super) fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, data, offset)
}

/// `false` where the file system, or the pair of them, has no shared content.
#[cfg(target_os = "linux")]
pub(super) fn share_content(to: &File, from: &File) -> io::Result<bool> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn share_content(_to: &File, _from: &File) -> io::Result<bool> {
    Ok(false)
}
