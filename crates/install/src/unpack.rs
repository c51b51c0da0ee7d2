//! What an install needs from outside: somebody who knows what is inside an archive.
//!
//! An [`Unpacker`] is injected. It reads the archives of a game root and hands every entry to a
//! [`Staging`], which is the only thing that opens a file for writing. The other way round, nothing
//! in this crate knows a format.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use lanspread_disk::{DiskError, DiskFile};
use lanspread_proto::{GamePath, PathError, limits::LimitExceeded};

/// Unpacks archives. All calls block; one object serves many installs at once.
pub trait Unpacker: Send + Sync + 'static {
    /// Whether this file is an archive, by its content.
    ///
    /// # Errors
    /// [`UnpackError::Read`] when the file cannot be read.
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError>;

    /// Unpacks these archives, in this order, into one staging folder. A path that two of them hold
    /// is an error. `Ok` means that every entry of every archive was handed over with the bytes that
    /// its checksum is of.
    ///
    /// An external tool may write under [`Staging::path`] instead: what it leaves there is checked
    /// before the commit.
    ///
    /// # Errors
    /// [`UnpackError`]; the staging folder is thrown away then.
    fn unpack(&self, archives: &[ArchiveFile], staging: &dyn Staging) -> Result<(), UnpackError>;
}

/// Where unpacked entries go: the staging folder of one transaction. Every call may come from
/// several threads.
pub trait Staging: Sync {
    /// The folder's full path, for an external tool.
    fn path(&self) -> PathBuf;

    /// Raised when somebody cancels: a decoder that hands nothing over for long looks at it itself.
    fn cancelled(&self) -> Arc<AtomicBool>;

    /// Says what will come, as far as the formats tell, once and before the first entry.
    ///
    /// # Errors
    /// [`StagingError::DiskFull`] when there is no room for it.
    fn expect(&self, totals: Totals) -> Result<(), StagingError>;

    /// Makes a folder, and those above it; one that is there already is fine.
    ///
    /// # Errors
    /// [`StagingError`]
    fn create_folder(&self, path: &GamePath) -> Result<(), StagingError>;

    /// Makes a file, and the folders above it. Anything at the path already is an error.
    ///
    /// # Errors
    /// [`StagingError`]
    fn create_file(
        &self,
        path: &GamePath,
        executable: bool,
    ) -> Result<Box<dyn StagedFile + '_>, StagingError>;
}

/// One file that is being written from its start to its end.
pub trait StagedFile: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`StagingError::Cancelled`] once somebody cancelled, or what the disk says.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StagingError>;

    /// Says that the file is complete and its bytes were those of its checksum. A file that is dropped
    /// without it fails the transaction.
    ///
    /// # Errors
    /// [`StagingError`]
    fn finish(self: Box<Self>) -> Result<(), StagingError>;
}

/// What archives say they hold; `None` where a format does not tell before the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of all files.
    pub bytes: Option<u64>,
    /// How many files.
    pub files: Option<u64>,
}

/// A file of a game root that may be an archive.
#[derive(Clone)]
pub struct ArchiveFile {
    name: GamePath,
    path: PathBuf,
    bytes: u64,
    file: Arc<dyn DiskFile>,
}

impl ArchiveFile {
    /// The open file `name` of a game root; `path` is its full path, `bytes` its size.
    pub fn new(name: GamePath, path: PathBuf, bytes: u64, file: Arc<dyn DiskFile>) -> Self {
        Self {
            name,
            path,
            bytes,
            file,
        }
    }

    /// Its name in the game root.
    pub const fn name(&self) -> &GamePath {
        &self.name
    }

    /// Its full path, for people and for external tools.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A reader of its own, at the start; many can read at once.
    pub fn reader(&self) -> ArchiveReader {
        ArchiveReader {
            file: Arc::clone(&self.file),
            bytes: self.bytes,
            position: 0,
        }
    }
}

impl fmt::Debug for ArchiveFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveFile")
            .field("path", &self.path)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Reads an [`ArchiveFile`]; what was appended to the file since it was opened is not read.
#[derive(Clone)]
pub struct ArchiveReader {
    file: Arc<dyn DiskFile>,
    bytes: u64,
    position: u64,
}

impl fmt::Debug for ArchiveReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveReader")
            .field("bytes", &self.bytes)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Read for ArchiveReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.saturating_sub(self.position);
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self
            .file
            .read_at(&mut buffer[..wanted], self.position)
            .map_err(io::Error::other)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for ArchiveReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// Why a staging folder does not take something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StagingError {
    /// The disk failed.
    #[error(transparent)]
    Disk(DiskError),
    /// There is not enough room.
    #[error("{missing_bytes} bytes of room are missing on the disk of {}", path.display())]
    DiskFull {
        /// The staging folder.
        path: PathBuf,
        /// Bytes that must be freed before everything fits and the reserve stays.
        missing_bytes: u64,
        /// The write that found out; `None` if it was seen in advance.
        #[source]
        source: Option<DiskError>,
    },
    /// Somebody cancelled.
    #[error("the install was cancelled")]
    Cancelled,
}

/// Why archives could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// A format, or a feature of one, that is not unpacked here.
    #[error("{} cannot be unpacked: {what}", archive.display())]
    Unsupported {
        /// The archive.
        archive: PathBuf,
        /// What it is or needs: `"it is encrypted"`, `"it is one of several volumes"`.
        what: String,
    },
    /// The archive is cut or has wrong bytes.
    #[error("{} is damaged{}", archive.display(), Where(entry.as_deref()))]
    Damaged {
        /// The archive.
        archive: PathBuf,
        /// The entry that was being read, if one was.
        entry: Option<String>,
        /// What the format's reader says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An entry that no game needs and that an attacker would send.
    #[error("{} is not safe to unpack: {entry:?} {why}", archive.display())]
    Unsafe {
        /// The archive.
        archive: PathBuf,
        /// The entry's name as the archive has it, where it is not UTF-8 in replacement characters.
        entry: String,
        /// What is wrong with it.
        #[source]
        why: UnsafeEntry,
    },
    /// A number is over its limit.
    #[error("{} is over a limit{}", archive.display(), Where(entry.as_deref()))]
    Limit {
        /// The archive.
        archive: PathBuf,
        /// The entry that was being read, if one was.
        entry: Option<String>,
        /// The limit.
        #[source]
        source: LimitExceeded,
    },
    /// The archive cannot be read from the disk.
    #[error("could not read {}", archive.display())]
    Read {
        /// The archive.
        archive: PathBuf,
        /// What the disk says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Reading and writing were fine, but an external program was not.
    #[error("{program} failed: {message}")]
    Program {
        /// The program.
        program: String,
        /// What it said.
        message: String,
    },
    /// The staging folder does not take an entry.
    #[error(transparent)]
    Staging(#[from] StagingError),
}

impl UnpackError {
    /// The archive that is to blame, if one is.
    pub fn archive(&self) -> Option<&Path> {
        match self {
            Self::Unsupported { archive, .. }
            | Self::Damaged { archive, .. }
            | Self::Unsafe { archive, .. }
            | Self::Limit { archive, .. }
            | Self::Read { archive, .. } => Some(archive),
            Self::Program { .. } | Self::Staging(_) => None,
        }
    }
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafeEntry {
    /// Its path could not be stored safely on every system, or not beside another one's.
    #[error("has a path that is refused")]
    Path(#[source] PathError),
    /// It has a name that lanspread keeps for itself.
    #[error("has a reserved name")]
    Reserved,
    /// It is a symbolic link.
    #[error("is a symbolic link")]
    SymbolicLink,
    /// It is a hard link, or a reference to another entry's content.
    #[error("is a link to another entry")]
    HardLink,
    /// It is a device, a pipe or a socket.
    #[error("is not a regular file")]
    Device,
    /// It holds more bytes than it declares.
    #[error("holds more than the {declared_bytes} bytes it declares")]
    Longer {
        /// What it declares.
        declared_bytes: u64,
    },
}

/// Names the entry in a message, if there is one.
struct Where<'a>(Option<&'a str>);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |entry| write!(f, " at {entry:?}"))
    }
}
