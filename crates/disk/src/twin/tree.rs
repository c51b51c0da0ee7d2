//! Folders and files in memory, and the changes that lead from one state to the next.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// A node's number; the root's is [`ROOT`]. Numbers are never used again.
pub(super) type Inode = u64;

pub(super) const ROOT: Inode = 0;

#[derive(Debug, Clone)]
pub(super) enum Node {
    File {
        content: Arc<Vec<u8>>,
        executable: bool,
        modified: i64,
    },
    Folder(BTreeMap<String, Inode>),
    Link,
}

impl Node {
    pub(super) fn new_file() -> Self {
        Self::File {
            content: Arc::default(),
            executable: false,
            modified: 0,
        }
    }

    pub(super) const fn new_folder() -> Self {
        Self::Folder(BTreeMap::new())
    }

    /// A node of this kind with nothing in it: what is left if only its name became durable.
    pub(super) fn emptied(&self) -> Self {
        match self {
            Self::File { .. } => Self::new_file(),
            Self::Folder(_) => Self::new_folder(),
            Self::Link => Self::Link,
        }
    }
}

/// One change, complete in itself, so that any subset of a history can be applied.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Link {
        folder: Inode,
        name: String,
        inode: Inode,
        node: Node,
    },
    Unlink {
        folder: Inode,
        name: String,
    },
    Rename {
        from: (Inode, String),
        to: (Inode, String),
        inode: Inode,
        node: Node,
    },
    Write {
        inode: Inode,
        offset: usize,
        data: Arc<[u8]>,
        at: i64,
    },
    SetLen {
        inode: Inode,
        bytes: usize,
        at: i64,
    },
    SetExecutable {
        inode: Inode,
        executable: bool,
    },
}

impl Change {
    /// Whether syncing the folder makes this durable. A rename is durable with its new name's folder.
    pub(super) fn is_entry_of(&self, synced: Inode) -> bool {
        match self {
            Self::Link { folder, .. } | Self::Unlink { folder, .. } => *folder == synced,
            Self::Rename { to, .. } => to.0 == synced,
            Self::Write { .. } | Self::SetLen { .. } | Self::SetExecutable { .. } => false,
        }
    }

    /// Whether syncing the file makes this durable.
    pub(super) fn is_content_of(&self, synced: Inode) -> bool {
        match self {
            Self::Write { inode, .. }
            | Self::SetLen { inode, .. }
            | Self::SetExecutable { inode, .. } => *inode == synced,
            Self::Link { .. } | Self::Unlink { .. } | Self::Rename { .. } => false,
        }
    }
}

/// A whole disk.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: BTreeMap<Inode, Node>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::new_folder())]),
        }
    }

    pub(super) fn last_inode(&self) -> Inode {
        self.nodes.keys().next_back().copied().unwrap_or(ROOT)
    }

    pub(super) fn get(&self, inode: Inode) -> Option<&Node> {
        self.nodes.get(&inode)
    }

    pub(super) fn entries(&self, folder: Inode) -> Option<&BTreeMap<String, Inode>> {
        match self.nodes.get(&folder) {
            Some(Node::Folder(entries)) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Link {
                folder,
                name,
                inode,
                node,
            } => {
                self.nodes.entry(*inode).or_insert_with(|| node.clone());
                self.folder(*folder).insert(name.clone(), *inode);
            }
            Change::Unlink { folder, name } => {
                self.folder(*folder).remove(name);
            }
            Change::Rename {
                from,
                to,
                inode,
                node,
            } => {
                self.nodes.entry(*inode).or_insert_with(|| node.clone());
                let old = self.folder(from.0);
                if old.get(&from.1) == Some(inode) {
                    old.remove(&from.1);
                }
                self.folder(to.0).insert(to.1.clone(), *inode);
            }
            Change::Write {
                inode,
                offset,
                data,
                at,
            } => {
                let (content, modified, _) = self.file(*inode);
                let end = offset + data.len();
                let content = Arc::make_mut(content);
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(data);
                *modified = *at;
            }
            Change::SetLen { inode, bytes, at } => {
                let (content, modified, _) = self.file(*inode);
                Arc::make_mut(content).resize(*bytes, 0);
                *modified = *at;
            }
            Change::SetExecutable { inode, executable } => {
                *self.file(*inode).2 = *executable;
            }
        }
    }

    /// A node that became durable before the entry that names it begins empty.
    fn folder(&mut self, inode: Inode) -> &mut BTreeMap<String, Inode> {
        match self.nodes.entry(inode).or_insert_with(Node::new_folder) {
            Node::Folder(entries) => entries,
            other => panic!("{inode} is not a folder but {other:?}"),
        }
    }

    fn file(&mut self, inode: Inode) -> (&mut Arc<Vec<u8>>, &mut i64, &mut bool) {
        match self.nodes.entry(inode).or_insert_with(Node::new_file) {
            Node::File {
                content,
                executable,
                modified,
            } => (content, modified, executable),
            other => panic!("{inode} is not a file but {other:?}"),
        }
    }

    pub(super) fn image(&self) -> Image {
        let mut nodes = BTreeMap::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, inode)) = open.pop() {
            let node = match &self.nodes[&inode] {
                Node::File {
                    content,
                    executable,
                    ..
                } => ImageNode::File {
                    content: content.clone(),
                    executable: *executable,
                },
                Node::Folder(entries) => {
                    let below = |name: &String| match path.as_str() {
                        "" => name.clone(),
                        path => format!("{path}/{name}"),
                    };
                    open.extend(entries.iter().map(|(name, inode)| (below(name), *inode)));
                    ImageNode::Folder
                }
                Node::Link => ImageNode::Link,
            };
            nodes.insert(path, node);
        }
        nodes.remove("");
        Image {
            nodes,
            tree: self.clone(),
        }
    }
}

/// What one path of an [`Image`] is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ImageNode {
    /// A regular file.
    File {
        /// All of it.
        content: Arc<Vec<u8>>,
        /// Whether its owner may run it.
        executable: bool,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}

/// A whole disk at one moment, path by path.
#[derive(Debug, Clone)]
pub struct Image {
    nodes: BTreeMap<String, ImageNode>,
    pub(super) tree: Tree,
}

impl Image {
    /// Every path with what is there, sorted.
    pub const fn nodes(&self) -> &BTreeMap<String, ImageNode> {
        &self.nodes
    }

    /// The content of the file at `path`, if one is there.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        match self.nodes.get(path)? {
            ImageNode::File { content, .. } => Some(content),
            ImageNode::Folder | ImageNode::Link => None,
        }
    }

    /// Whether anything is at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// Equal for equal images: paths, kinds, contents and executable bits.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.nodes.hash(&mut hasher);
        hasher.finish()
    }
}
