//! What a disk in memory holds, and how its verbs change that.

use std::io::{self, ErrorKind};

use super::{
    crash::Event,
    tree::{Change, Inode, Node, ROOT, Tree},
};
use crate::entry::{Entry, FileStamp, Kind, Space};

const ROOMY: Space = Space {
    free_bytes: 1 << 50,
    total_bytes: 1 << 50,
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) now: Tree,
    /// The disk as it was, all of it durable, before the first of `events`.
    pub(super) origin: Tree,
    pub(super) events: Vec<Event>,
    next_inode: Inode,
    clock: i64,
    pub(super) space: Space,
    /// Content syncs until one fails and loses what it should have written.
    pub(super) syncs_until_loss: Option<usize>,
}

impl State {
    pub(super) fn new(tree: Tree) -> Self {
        Self {
            next_inode: tree.last_inode() + 1,
            now: tree.clone(),
            origin: tree,
            events: Vec::new(),
            clock: 1,
            space: ROOMY,
            syncs_until_loss: None,
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        self.now.apply(&change);
        self.events.push(Event::Changed(change));
    }

    pub(super) fn tick(&mut self) -> i64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn find(&self, path: &str) -> io::Result<Inode> {
        let mut at = ROOT;
        for component in path.split('/').filter(|component| !component.is_empty()) {
            at = match self.now.get(at) {
                Some(Node::Folder(entries)) => {
                    *entries.get(component).ok_or(ErrorKind::NotFound)?
                }
                Some(Node::Link) => {
                    return Err(io::Error::new(
                        ErrorKind::InvalidInput,
                        "a link is in the way",
                    ));
                }
                _ => return Err(ErrorKind::NotADirectory.into()),
            };
        }
        Ok(at)
    }

    pub(super) fn find_folder(&self, path: &str) -> io::Result<Inode> {
        let inode = self.find(path)?;
        match self.now.entries(inode) {
            Some(_) => Ok(inode),
            None => Err(ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn find_file(&self, path: &str) -> io::Result<Inode> {
        let inode = self.find(path)?;
        match self.now.get(inode) {
            Some(Node::File { .. }) => Ok(inode),
            Some(Node::Folder(_)) => Err(ErrorKind::IsADirectory.into()),
            _ => Err(io::Error::new(
                ErrorKind::InvalidInput,
                "not a regular file",
            )),
        }
    }

    /// The folder's number and the last component.
    fn split<'a>(&self, path: &'a str) -> io::Result<(Inode, &'a str)> {
        if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "not a plain relative path",
            ));
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.find_folder(folder)?, name))
    }

    fn has(&self, folder: Inode, name: &str) -> Option<Inode> {
        self.now.entries(folder)?.get(name).copied()
    }

    pub(super) fn link(&mut self, path: &str, node: Node) -> io::Result<Inode> {
        let (folder, name) = self.split(path)?;
        if self.has(folder, name).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.change(Change::Link {
            folder,
            name: name.into(),
            inode,
            node,
        });
        Ok(inode)
    }

    pub(super) fn unlink(&mut self, path: &str, folders: bool) -> io::Result<()> {
        let (folder, name) = self.split(path)?;
        let inode = self.has(folder, name).ok_or(ErrorKind::NotFound)?;
        match self.now.entries(inode) {
            Some(_) if !folders => return Err(ErrorKind::IsADirectory.into()),
            Some(entries) if !entries.is_empty() => {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
            None if folders => return Err(ErrorKind::NotADirectory.into()),
            _ => {}
        }
        self.change(Change::Unlink {
            folder,
            name: name.into(),
        });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (old_folder, old) = self.split(from)?;
        let (new_folder, new) = self.split(to)?;
        let inode = self.has(old_folder, old).ok_or(ErrorKind::NotFound)?;
        if let Some(there) = self.has(new_folder, new) {
            match (self.now.entries(inode), self.now.entries(there)) {
                (None, None) => {}
                (Some(_), Some(entries)) if entries.is_empty() => {}
                (_, Some(entries)) if !entries.is_empty() => {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                (None, Some(_)) => return Err(ErrorKind::IsADirectory.into()),
                _ => return Err(ErrorKind::NotADirectory.into()),
            }
        }
        let (from, to) = ((old_folder, old.into()), (new_folder, new.into()));
        let node = self
            .now
            .get(inode)
            .map_or_else(Node::new_file, Node::emptied);
        self.change(Change::Rename {
            from,
            to,
            inode,
            node,
        });
        Ok(())
    }

    pub(super) fn sync_content(&mut self, inode: Inode) -> io::Result<()> {
        if let Some(left) = &mut self.syncs_until_loss {
            if *left == 0 {
                self.syncs_until_loss = None;
                self.events.push(Event::FileLost(inode));
                return Err(io::Error::other("the disk lost it"));
            }
            *left -= 1;
        }
        self.events.push(Event::FileSynced(inode));
        Ok(())
    }

    pub(super) fn entry(&self, inode: Inode) -> Entry {
        let (kind, size, modified_ns, executable) = match self.now.get(inode) {
            Some(Node::File {
                content,
                executable,
                modified,
            }) => (Kind::File, content.len() as u64, *modified, *executable),
            Some(Node::Folder(_)) => (Kind::Folder, 0, 0, false),
            _ => (Kind::Link, 0, 0, false),
        };
        let stamp = FileStamp {
            size,
            modified_ns,
            file_id: inode,
        };
        Entry {
            kind,
            stamp,
            allocated_bytes: size,
            executable,
        }
    }
}
