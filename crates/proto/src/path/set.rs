//! [`PathSet`]: whether many paths can lie beside each other on every system.

use std::collections::{HashMap, hash_map::Entry};

use super::{
    GamePath,
    error::{PathError, shown},
    fold,
};
use crate::limits;

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder that holds nothing.
    EmptyFolder,
}

/// Paths of one tree, no two of which any file system takes for one.
///
/// Folders count too: `Data/a` and `data/b` collide. Folders above the entries are at most
/// [`limits::MANIFEST_ENTRIES_MAX`], which bounds memory whatever is inserted. After an error the set
/// may hold folders of the refused path: it is done with.
#[derive(Debug, Default)]
pub struct PathSet {
    /// By the folder's number and the folded name. The root's number is 0.
    nodes: HashMap<(u32, Box<str>), Node>,
    folders: u32,
    /// The folder of the last path inserted; sorted paths mostly share it.
    last_folder: Option<(Box<str>, u32)>,
}

#[derive(Debug)]
struct Node {
    /// The name as it came.
    name: Box<str>,
    kind: NodeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NodeKind {
    Entry(EntryKind),
    /// A folder above an entry, by its number.
    Folder(u32),
}

impl PathSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a path.
    ///
    /// # Errors
    /// [`PathError`] says with which path in the set it cannot lie together.
    pub fn insert(&mut self, path: &GamePath, kind: EntryKind) -> Result<(), PathError> {
        let (folder, name_start) = match path.as_str().rsplit_once('/') {
            None => (0, 0),
            Some((folder, _)) => (self.folder(path, folder)?, folder.len() + 1),
        };
        let kind = NodeKind::Entry(kind);
        let found = self.place(path, folder, name_start..path.as_str().len(), kind)?;
        match (found, kind) {
            (None, _) => Ok(()),
            (Some(found), _) if found == kind => Err(PathError::Duplicate {
                path: shown(path.as_str()),
            }),
            (Some(NodeKind::Folder(_)), NodeKind::Entry(EntryKind::EmptyFolder)) => {
                Err(not_empty(path, path.as_str()))
            }
            (Some(_), _) => Err(file_and_folder(path, path.as_str())),
        }
    }

    /// Adds a folder that may hold entries of the set, and may come more than once.
    ///
    /// # Errors
    /// [`PathError`] says with which path in the set it cannot lie together.
    pub fn insert_folder(&mut self, path: &GamePath) -> Result<(), PathError> {
        self.folder(path, path.as_str()).map(drop)
    }

    /// The number of `folder`, a prefix of `path` or all of it; makes it and those above it where they
    /// are new.
    fn folder(&mut self, path: &GamePath, folder: &str) -> Result<u32, PathError> {
        if let Some((last, number)) = &self.last_folder
            && **last == *folder
        {
            return Ok(*number);
        }
        let mut number = 0;
        let mut start = 0;
        for component in folder.split('/') {
            let end = start + component.len();
            let new = self.folders + 1;
            number = match self.place(path, number, start..end, NodeKind::Folder(new))? {
                None => {
                    self.count_folder(path)?;
                    new
                }
                Some(NodeKind::Folder(known)) => known,
                Some(NodeKind::Entry(EntryKind::File)) => {
                    return Err(file_and_folder(path, &folder[..end]));
                }
                Some(NodeKind::Entry(EntryKind::EmptyFolder)) => {
                    return Err(not_empty(path, &folder[..end]));
                }
            };
            start = end + 1;
        }
        self.last_folder = Some((folder.into(), number));
        Ok(number)
    }

    /// Puts a node at one component of `path` unless one of the same spelling is there, which it
    /// returns; one of another spelling is an error.
    fn place(
        &mut self,
        path: &GamePath,
        folder: u32,
        component: std::ops::Range<usize>,
        kind: NodeKind,
    ) -> Result<Option<NodeKind>, PathError> {
        let name = &path.as_str()[component.clone()];
        match self.nodes.entry((folder, fold(name).into())) {
            Entry::Vacant(vacant) => {
                vacant.insert(Node {
                    name: name.into(),
                    kind,
                });
                Ok(None)
            }
            Entry::Occupied(node) if *node.get().name == *name => Ok(Some(node.get().kind)),
            Entry::Occupied(node) => Err(PathError::Collision {
                path: shown(path.as_str()),
                other: shown(&format!(
                    "{}{}",
                    &path.as_str()[..component.start],
                    node.get().name
                )),
            }),
        }
    }

    fn count_folder(&mut self, path: &GamePath) -> Result<(), PathError> {
        self.folders += 1;
        let limit = limits::MANIFEST_ENTRIES_MAX as u64;
        limits::check("folders above the entries", self.folders.into(), limit).map_err(|limit| {
            PathError::Limit {
                path: shown(path.as_str()),
                limit,
            }
        })
    }
}

fn file_and_folder(path: &GamePath, other: &str) -> PathError {
    PathError::FileAndFolder {
        path: shown(path.as_str()),
        other: shown(other),
    }
}

fn not_empty(path: &GamePath, other: &str) -> PathError {
    PathError::FolderNotEmpty {
        path: shown(path.as_str()),
        other: shown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryKind::*, *};

    fn insert_all(entries: &[(&str, EntryKind)]) -> Result<(), PathError> {
        let mut set = PathSet::new();
        entries
            .iter()
            .try_for_each(|(path, kind)| set.insert(&path.parse().unwrap(), *kind))
    }

    #[test]
    fn a_tree_that_every_system_can_hold_is_taken() {
        let tree = [
            ("a", File),
            ("b/a", File),
            ("b/c/a", File),
            ("b/d", EmptyFolder),
            ("b/c/e", EmptyFolder),
            ("b/B", File),
            ("Ä/ä", File),
        ];
        assert_eq!(insert_all(&tree), Ok(()));
    }

    #[test]
    fn what_cannot_lie_together_is_refused_and_named() {
        let cases: [(&[(&str, EntryKind)], &str); 10] = [
            (&[("x", File), ("x", File)], "comes twice"),
            (&[("x", EmptyFolder), ("x", EmptyFolder)], "comes twice"),
            (
                &[("d/x", File), ("d/X", File)],
                "\"d/X\" and \"d/x\" are one name",
            ),
            (
                &[("Data/a", File), ("data/b", File)],
                "\"data/b\" and \"Data\" are one name",
            ),
            (&[("x", File), ("x/y", File)], "needs \"x\" to be both"),
            (&[("x/y", File), ("x", File)], "needs \"x\" to be both"),
            (&[("x", File), ("x", EmptyFolder)], "needs \"x\" to be both"),
            (
                &[("x", EmptyFolder), ("x/y", File)],
                "the folder \"x\" is empty",
            ),
            (
                &[("x/y", File), ("x", EmptyFolder)],
                "the folder \"x\" is empty",
            ),
            (
                &[("x", EmptyFolder), ("x/y", EmptyFolder)],
                "the folder \"x\" is empty",
            ),
        ];
        for (entries, expected) in cases {
            let error = insert_all(entries).unwrap_err().to_string();
            assert!(error.contains(expected), "{entries:?}: {error}");
        }
    }

    #[test]
    fn a_folder_may_hold_entries_and_come_again_but_only_in_one_spelling() {
        let mut set = PathSet::new();
        for (folder, file) in [("data", "a"), ("data/maps", "b"), ("data", "c")] {
            set.insert_folder(&folder.parse().unwrap()).unwrap();
            set.insert(&format!("{folder}/{file}").parse().unwrap(), File)
                .unwrap();
        }
        let error = set.insert_folder(&"Data".parse().unwrap()).unwrap_err();
        assert!(matches!(error, PathError::Collision { .. }), "{error}");
        set.insert(&"x".parse().unwrap(), File).unwrap();
        let error = set.insert_folder(&"x".parse().unwrap()).unwrap_err();
        assert!(matches!(error, PathError::FileAndFolder { .. }), "{error}");
        let error = set.insert(&"data".parse().unwrap(), File).unwrap_err();
        assert!(matches!(error, PathError::FileAndFolder { .. }), "{error}");
    }

    #[test]
    fn folders_are_limited() {
        let mut set = PathSet::new();
        for at in 0..limits::MANIFEST_ENTRIES_MAX {
            set.insert(&format!("{at}/f").parse().unwrap(), File)
                .unwrap();
        }
        let error = set
            .insert(&"one more/f".parse().unwrap(), File)
            .unwrap_err();
        assert!(matches!(error, PathError::Limit { .. }), "{error}");
    }
}
