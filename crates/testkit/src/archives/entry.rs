//! [`Entry`]: what a builder is told to say.

use super::blob::Blob;

const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const DEVICE: u32 = 0o020_000;
const PIPE: u32 = 0o010_000;

/// One entry, honest unless it is told to lie.
#[derive(Debug, Clone)]
#[must_use = "an entry is in no archive before a builder gets it"]
pub struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) content: Blob,
    pub(super) declared_bytes: Option<u64>,
    pub(super) permissions: u32,
    pub(super) dictionary_bytes: u64,
    pub(super) encrypted: bool,
    pub(super) damaged: bool,
    pub(super) on_windows: bool,
}

/// What an entry says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A hard link to this earlier entry.
    HardLink(Vec<u8>),
    /// The content of this earlier entry once more (RAR 5).
    Copy(Vec<u8>),
    /// A character device.
    Device,
    /// A named pipe.
    Pipe,
}

impl Entry {
    /// A regular file; the name is written as it is, in whatever encoding.
    pub fn file(name: impl AsRef<[u8]>, content: impl Into<Blob>) -> Self {
        Self {
            content: content.into(),
            ..Self::new(name.as_ref(), EntryKind::File)
        }
    }

    /// A folder.
    pub fn folder(name: impl AsRef<[u8]>) -> Self {
        Self::new(name.as_ref(), EntryKind::Folder)
    }

    /// A symbolic link.
    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(name.as_ref(), EntryKind::Symlink(target.as_ref().into()))
    }

    /// A hard link.
    pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(name.as_ref(), EntryKind::HardLink(target.as_ref().into()))
    }

    /// A file whose content is another entry's.
    pub fn copy(name: impl AsRef<[u8]>, source: impl AsRef<[u8]>) -> Self {
        Self::new(name.as_ref(), EntryKind::Copy(source.as_ref().into()))
    }

    /// A character device.
    pub fn device(name: impl AsRef<[u8]>) -> Self {
        Self::new(name.as_ref(), EntryKind::Device)
    }

    /// A named pipe.
    pub fn pipe(name: impl AsRef<[u8]>) -> Self {
        Self::new(name.as_ref(), EntryKind::Pipe)
    }

    fn new(name: &[u8], kind: EntryKind) -> Self {
        let permissions = if kind == EntryKind::Folder {
            0o755
        } else {
            0o644
        };
        Self {
            name: name.into(),
            kind,
            content: Blob::default(),
            declared_bytes: None,
            permissions,
            dictionary_bytes: 128 * 1024,
            encrypted: false,
            damaged: false,
            on_windows: false,
        }
    }

    /// Declares this many bytes, whatever the content is.
    pub fn declaring(mut self, bytes: u64) -> Self {
        self.declared_bytes = Some(bytes);
        self
    }

    /// Sets the Unix permissions.
    pub fn mode(mut self, permissions: u32) -> Self {
        self.permissions = permissions;
        self
    }

    /// Asks for a dictionary of this size where the format has one per entry.
    pub fn dictionary(mut self, bytes: u64) -> Self {
        self.dictionary_bytes = bytes;
        self
    }

    /// Says that the content is encrypted.
    pub fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Carries a checksum that the content does not have.
    pub fn damaged(mut self) -> Self {
        self.damaged = true;
        self
    }

    /// Says that it was packed on Windows, where `\` parts folders.
    pub fn on_windows(mut self) -> Self {
        self.on_windows = true;
        self
    }

    /// The name's bytes.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// A file's bytes.
    pub fn content(&self) -> Option<&Blob> {
        (self.kind == EntryKind::File).then_some(&self.content)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.kind == EntryKind::Folder
    }

    /// The size it says it has.
    pub(super) fn declared(&self) -> u64 {
        self.declared_bytes.unwrap_or_else(|| self.data().size())
    }

    /// What is stored for it: formats without links keep a link's target as its content.
    pub(super) fn data(&self) -> Blob {
        match &self.kind {
            EntryKind::Symlink(target) => target.as_slice().into(),
            _ => self.content.clone(),
        }
    }

    /// The checksum it says it has.
    pub(super) fn checksum(&self) -> u32 {
        let honest = self.data().crc32();
        if self.damaged { !honest } else { honest }
    }

    /// `st_mode`: the kind and the permissions.
    pub(super) fn unix_mode(&self) -> u32 {
        let kind = match self.kind {
            EntryKind::File | EntryKind::HardLink(_) | EntryKind::Copy(_) => REGULAR,
            EntryKind::Folder => FOLDER,
            EntryKind::Symlink(_) => SYMLINK,
            EntryKind::Device => DEVICE,
            EntryKind::Pipe => PIPE,
        };
        kind | self.permissions
    }
}
