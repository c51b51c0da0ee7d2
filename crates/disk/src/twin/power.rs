//! A disk in memory that knows what was synced.

use std::{
    ffi::OsString,
    io::{self, ErrorKind},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    crash::{Crashes, Event},
    memory::State,
    tree::{Change, Image, Inode, Node, Tree},
};
use crate::{
    entry::{Entry, FileMode, FileStamp, Listed, Space},
    error::DiskError,
    verbs::{Disk, DiskFile, remove_content_by_verbs, remove_tree_by_verbs},
};

/// A disk in memory whose power can be cut.
///
/// What was not synced when the power goes may be there afterwards or not, each change for itself:
/// an entry of a folder becomes durable with the folder's sync, a file's content and executable bit
/// with the file's. That is less than most file systems promise, and all that one may rely on.
/// Cloning shares the disk.
#[derive(Debug, Clone)]
pub struct PowerCutDisk {
    state: Arc<Mutex<State>>,
    base: String,
}

impl Default for PowerCutDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl PowerCutDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::from_tree(Tree::new())
    }

    /// The disk of a machine that comes up again after a cut that left `image`.
    pub fn from_image(image: &Image) -> Self {
        Self::from_tree(image.tree.clone())
    }

    fn from_tree(tree: Tree) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(tree))),
            base: String::new(),
        }
    }

    /// A folder of this disk as a disk of its own; they share fate.
    #[must_use]
    pub fn folder(&self, path: &str) -> Self {
        Self {
            state: Arc::clone(&self.state),
            base: self.whole(path),
        }
    }

    // # Tests arrange and look

    /// The disk as running processes see it.
    pub fn image(&self) -> Image {
        self.lock().now.image()
    }

    /// Makes everything durable and forgets what led here.
    pub fn settle(&self) {
        let mut state = self.lock();
        state.origin = state.now.clone();
        state.events.clear();
    }

    /// Every state that a cut at any moment since the disk was new or settled could have left, each
    /// once. Above nine pending changes their subsets are sampled; `seed` decides which.
    pub fn crash_images(&self, seed: u64) -> Vec<Image> {
        let state = self.lock();
        Crashes::new(state.origin.clone(), seed).during(&state.events)
    }

    /// Every state that a cut now could leave, each once; sampled like [`Self::crash_images`].
    pub fn crash_images_now(&self, seed: u64) -> Vec<Image> {
        let state = self.lock();
        Crashes::new(state.origin.clone(), seed).after(&state.events)
    }

    /// Puts a symbolic link at `path`.
    pub fn put_link(&self, path: &str) -> Result<(), DiskError> {
        self.link("link", path, Node::Link).map(drop)
    }

    /// Sets the room that [`Disk::free_space`] tells of.
    pub fn set_space(&self, space: Space) {
        self.lock().space = space;
    }

    /// Makes the sync of a file's content fail after `syncs` more that succeed, with an I/O error.
    /// What it should have written may never become durable, as on a real disk: a later sync that
    /// succeeds says nothing about it.
    pub fn lose_sync_after(&self, syncs: usize) {
        self.lock().syncs_until_loss = Some(syncs);
    }

    // # Inside

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whole(&self, path: &str) -> String {
        match (self.base.as_str(), path) {
            ("", path) => path.to_owned(),
            (base, "") => base.to_owned(),
            (base, path) => format!("{base}/{path}"),
        }
    }

    fn told<T>(
        &self,
        verb: &'static str,
        path: &str,
        result: io::Result<T>,
    ) -> Result<T, DiskError> {
        result.map_err(|source| DiskError::new(verb, self.shown(path), source))
    }

    fn link(&self, verb: &'static str, path: &str, node: Node) -> Result<Inode, DiskError> {
        let linked = self.lock().link(&self.whole(path), node);
        self.told(verb, path, linked)
    }

    fn open(&self, path: &str) -> Result<PowerCutFile, DiskError> {
        let inode = self.lock().find_file(&self.whole(path));
        Ok(PowerCutFile {
            disk: self.clone(),
            path: path.into(),
            inode: self.told("open", path, inode)?,
        })
    }
}

impl Disk for PowerCutDisk {
    type File = PowerCutFile;

    fn shown(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/{}", self.whole(path)))
    }

    fn stat(&self, path: &str) -> Result<Option<Entry>, DiskError> {
        let state = self.lock();
        match state.find(&self.whole(path)) {
            Ok(inode) => Ok(Some(state.entry(inode))),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            Err(error) => self.told("look at", path, Err(error)),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<Listed>, DiskError> {
        let state = self.lock();
        let folder = self.told("list", path, state.find_folder(&self.whole(path)))?;
        let entries = state.now.entries(folder).into_iter().flatten();
        Ok(entries
            .map(|(name, inode)| Listed {
                name: OsString::from(name),
                entry: state.entry(*inode),
            })
            .collect())
    }

    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        self.link("create the folder", path, Node::new_folder())
            .map(drop)
    }

    fn create_new(&self, path: &str, mode: FileMode) -> Result<PowerCutFile, DiskError> {
        let inode = self.link("create", path, Node::new_file())?;
        if mode == FileMode::Executable {
            // The bit is the file's, not its name's: it needs the file's own sync.
            self.lock().change(Change::SetExecutable {
                inode,
                executable: true,
            });
        }
        Ok(PowerCutFile {
            disk: self.clone(),
            path: path.into(),
            inode,
        })
    }

    fn open_existing(&self, path: &str) -> Result<PowerCutFile, DiskError> {
        self.open(path)
    }

    fn open_read(&self, path: &str) -> Result<PowerCutFile, DiskError> {
        self.open(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let renamed = self.lock().rename(&self.whole(from), &self.whole(to));
        self.told("rename", from, renamed)
    }

    fn remove_file(&self, path: &str) -> Result<(), DiskError> {
        let removed = self.lock().unlink(&self.whole(path), false);
        self.told("remove", path, removed)
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        let removed = self.lock().unlink(&self.whole(path), true);
        self.told("remove the folder", path, removed)
    }

    fn remove_tree(&self, path: &str) -> Result<(), DiskError> {
        remove_tree_by_verbs(self, path)
    }

    fn remove_content(&self, path: &str, kept: &str) -> Result<(), DiskError> {
        remove_content_by_verbs(self, path, kept)
    }

    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        let mut state = self.lock();
        let folder = self.told(
            "sync the folder",
            path,
            state.find_folder(&self.whole(path)),
        )?;
        state.events.push(Event::FolderSynced(folder));
        Ok(())
    }

    fn sync_files(&self, paths: &[&str]) -> Result<(), DiskError> {
        paths.iter().try_for_each(|path| self.open(path)?.sync())
    }

    fn set_executable(&self, path: &str, executable: bool) -> Result<(), DiskError> {
        let file = self.open(path)?;
        self.lock().change(Change::SetExecutable {
            inode: file.inode,
            executable,
        });
        Ok(())
    }

    fn free_space(&self) -> Result<Space, DiskError> {
        Ok(self.lock().space)
    }
}

/// An open file of a [`PowerCutDisk`].
#[derive(Debug)]
pub struct PowerCutFile {
    disk: PowerCutDisk,
    path: String,
    inode: Inode,
}

impl PowerCutFile {
    fn position(&self, verb: &'static str, bytes: u64) -> Result<usize, DiskError> {
        let position = usize::try_from(bytes).map_err(|_| ErrorKind::FileTooLarge.into());
        self.disk.told(verb, &self.path, position)
    }
}

impl DiskFile for PowerCutFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let offset = self.position("read", offset)?;
        let state = self.disk.lock();
        let Some(Node::File { content, .. }) = state.now.get(self.inode) else {
            return Ok(0);
        };
        let rest = content.get(offset..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> Result<(), DiskError> {
        let offset = self.position("write", offset)?;
        let mut state = self.disk.lock();
        let at = state.tick();
        state.change(Change::Write {
            inode: self.inode,
            offset,
            data: data.into(),
            at,
        });
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> Result<(), DiskError> {
        let bytes = self.position("set the length of", bytes)?;
        let mut state = self.disk.lock();
        let at = state.tick();
        state.change(Change::SetLen {
            inode: self.inode,
            bytes,
            at,
        });
        Ok(())
    }

    fn sync(&self) -> Result<(), DiskError> {
        let synced = self.disk.lock().sync_content(self.inode);
        self.disk.told("sync", &self.path, synced)
    }

    fn stamp(&self) -> Result<FileStamp, DiskError> {
        Ok(self.disk.lock().entry(self.inode).stamp)
    }
}
