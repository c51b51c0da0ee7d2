//! What is on the disk where a manifest's files and folders go.

use std::collections::{BTreeSet, HashMap};

use lanspread_disk::{Disk, DiskError, Entry, Kind, Listed};
use lanspread_proto::{GamePath, Manifest};

use crate::{
    error::{DownloadError, SentinelFault},
    manifest_tree,
    root::GameRoot,
};

/// One look at a game root, by one listing per folder.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Whether the root is there.
    pub(crate) root: bool,
    /// What is where each file of the manifest goes; regular files only.
    pub(crate) files: Vec<Option<Entry>>,
    /// The manifest's folders that are there.
    pub(crate) folders: BTreeSet<GamePath>,
    /// The first thing that is in the way: a link, a folder for a file, a file for a folder.
    obstruction: Option<(String, Kind)>,
}

/// The entries of the folders that are there, by the folder's path.
type Listings<'a> = HashMap<&'a str, HashMap<String, Entry>>;

impl Survey {
    pub(crate) fn take<D: Disk>(
        disk: &D,
        root: &GameRoot,
        manifest: &Manifest,
    ) -> Result<Self, DiskError> {
        Self::ignoring(disk, root, manifest, &BTreeSet::new(), &BTreeSet::new())
    }

    /// The same, where the files of `going` will be gone, and the folders that then hold nothing.
    pub(crate) fn ignoring<D: Disk>(
        disk: &D,
        root: &GameRoot,
        manifest: &Manifest,
        going: &BTreeSet<GamePath>,
        going_folders: &BTreeSet<GamePath>,
    ) -> Result<Self, DiskError> {
        let mut survey = Self {
            root: false,
            files: vec![None; manifest.files().len()],
            folders: BTreeSet::new(),
            obstruction: None,
        };
        match disk.stat(root.path())? {
            None => return Ok(survey),
            Some(Entry {
                kind: Kind::Folder, ..
            }) => survey.root = true,
            Some(Entry { kind, .. }) => {
                survey.obstruction = Some((root.path().to_owned(), kind));
                return Ok(survey);
            }
        }
        let going_names: BTreeSet<&str> = going.iter().map(GamePath::as_str).collect();
        let mut listings = Listings::from([("", list(disk, root.path())?)]);
        for folder in manifest_tree::folders(manifest) {
            match find(&listings, folder).map(|entry| entry.kind) {
                Some(Kind::Folder) => {
                    listings.insert(folder, list(disk, &root.at(folder))?);
                    survey.folders.extend(folder.parse());
                }
                Some(Kind::File) if going_names.contains(folder) => {}
                Some(kind) => survey.obstruct(root, folder, kind),
                None => {}
            }
        }
        let emptying = manifest_tree::emptying(going, going_folders);
        for (file, found) in manifest.files().iter().zip(&mut survey.files) {
            *found = find(&listings, file.path.as_str()).copied();
            let path = file.path.as_str();
            match found.map(|entry| entry.kind) {
                None | Some(Kind::File) => {}
                Some(Kind::Folder) if emptying.contains(path) => *found = None,
                Some(kind) => {
                    *found = None;
                    survey
                        .obstruction
                        .get_or_insert_with(|| (root.at(path), kind));
                }
            }
        }
        Ok(survey)
    }

    fn obstruct(&mut self, root: &GameRoot, path: &str, kind: Kind) {
        self.obstruction
            .get_or_insert_with(|| (root.at(path), kind));
    }

    /// Refuses when something is in the way.
    pub(crate) fn check_clear<D: Disk>(&self, disk: &D) -> Result<(), DownloadError> {
        match &self.obstruction {
            None => Ok(()),
            Some((path, found)) => Err(DownloadError::Obstructed {
                path: disk.shown(path),
                found: *found,
            }),
        }
    }
}

/// Names that are not UTF-8 are in no manifest.
fn list<D: Disk>(disk: &D, path: &str) -> Result<HashMap<String, Entry>, DiskError> {
    let utf8 = |Listed { name, entry }: Listed| Some((name.into_string().ok()?, entry));
    Ok(disk.list(path)?.into_iter().filter_map(utf8).collect())
}

fn find<'l>(listings: &'l Listings<'_>, path: &str) -> Option<&'l Entry> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    listings.get(folder)?.get(name)
}

/// What is at `version.ini`: nothing, a sentinel, or something else.
pub(crate) fn sentinel<D: Disk>(
    disk: &D,
    root: &GameRoot,
) -> Result<Result<bool, SentinelFault>, DiskError> {
    Ok(
        match disk
            .stat(&root.sentinel())?
            .map(|entry| (entry.kind, entry.stamp.size))
        {
            None => Ok(false),
            Some((Kind::File, 0)) => Err(SentinelFault::Empty),
            Some((Kind::File, _)) => Ok(true),
            Some((Kind::Folder, _)) => Err(SentinelFault::Folder),
            Some((Kind::Link, _)) => Err(SentinelFault::Link),
            Some((Kind::Other, _)) => Err(SentinelFault::Other),
        },
    )
}
