//! What a folder holds: kinds, stamps, space.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

/// What is at a path; a link is a link, whatever it points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link or another reparse point.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// What changes when a file's content does: enough to know a file again without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileStamp {
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// The inode number; on Windows, which has no stable one here, the time of creation.
    pub file_id: u64,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which kind of thing.
    pub kind: Kind,
    /// Size, time and file id.
    pub stamp: FileStamp,
    /// Bytes that the disk really holds for it: less than the size of a file with holes.
    pub allocated_bytes: u64,
    /// Whether its owner may run it; always false on Windows.
    pub executable: bool,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name, which need not be UTF-8.
    pub name: OsString,
    /// What has it.
    pub entry: Entry,
}

/// Who may do what with a new file; nothing but [`FileMode::Plain`] means anything on Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileMode {
    /// As the user's umask says.
    Plain,
    /// The same, and executable.
    Executable,
    /// Only its owner may read and write it (0600).
    Private,
}

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this user can still write.
    pub free_bytes: u64,
    /// Bytes of the whole disk.
    pub total_bytes: u64,
}
