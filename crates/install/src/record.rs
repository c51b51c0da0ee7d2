//! What a download must remember: `games/<id>/download.json`, durable before the first change.
//!
//! It exists from before the old sentinel is parked until after the new one is durable. With a
//! sentinel beside it, it is a leftover: either nothing had happened yet, or everything had.

use std::{collections::BTreeSet, sync::Arc};

use lanspread_disk::{DOWNLOAD_NAME, Disk, DiskError, StateDir, StateDocument, StateError};
use lanspread_proto::{GameId, GamePath, Manifest};
use serde::{Deserialize, Serialize};

use crate::{manifest_tree, survey::Survey};

/// The chunk hashes of the manifest that is being downloaded, beside its record.
const DOWNLOAD_CHUNKS_NAME: &str = "download.bin";

/// A download that runs or was interrupted. Files are named by their position in the manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DownloadRecord {
    /// What is being downloaded.
    pub(crate) target: Arc<Manifest>,
    /// Files that were there before; sorted.
    existed: Vec<u32>,
    /// Folders that were there before.
    existed_folders: BTreeSet<GamePath>,
    /// Those of `existed` that the download writes to; sorted.
    rewritten: Vec<u32>,
    /// Files of what was here before that the target has not.
    pub(crate) obsolete: BTreeSet<GamePath>,
    /// Empty folders of what was here before that the target has not.
    pub(crate) obsolete_folders: BTreeSet<GamePath>,
    /// Whether the game root is ours as well.
    pub(crate) root_created: bool,
    /// A sync failed: what was written is bad, whatever reading it back says.
    pub(crate) suspect: bool,
}

impl StateDocument for DownloadRecord {
    const FORMAT: u32 = 1;
}

impl DownloadRecord {
    /// A record of a download that begins anew: over what `previous` left complete and what an
    /// earlier, unfinished download left partial.
    pub(crate) fn new(
        target: &Arc<Manifest>,
        previous: Option<&Manifest>,
        earlier: Option<&Self>,
    ) -> Self {
        let mut record = Self {
            target: Arc::clone(target),
            existed: Vec::new(),
            existed_folders: BTreeSet::new(),
            rewritten: Vec::new(),
            obsolete: BTreeSet::new(),
            obsolete_folders: BTreeSet::new(),
            root_created: earlier.is_some_and(|earlier| earlier.root_created),
            suspect: false,
        };
        if let Some(previous) = previous {
            record
                .obsolete
                .extend(previous.files().iter().map(|file| file.path.clone()));
            record
                .obsolete_folders
                .extend(previous.empty_folders().iter().cloned());
        }
        if let Some(earlier) = earlier {
            record.obsolete.extend(earlier.written().cloned());
            record.obsolete.extend(earlier.obsolete.iter().cloned());
            record
                .obsolete_folders
                .extend(earlier.obsolete_folders.iter().cloned());
            record
                .obsolete_folders
                .extend(earlier.target.empty_folders().iter().cloned());
        }
        let folders = manifest_tree::folders(target);
        record
            .obsolete_folders
            .retain(|folder| !folders.contains(folder.as_str()));
        for file in target.files() {
            record.obsolete.remove(&file.path);
        }
        record
    }

    /// Notes what is there before the download changes anything, but for what `earlier` wrote.
    pub(crate) fn note_existing(&mut self, survey: &Survey, earlier: Option<&Self>) {
        let written: BTreeSet<&GamePath> = earlier.into_iter().flat_map(Self::written).collect();
        let files = self.target.files().iter().zip(&survey.files);
        self.existed = (0..)
            .zip(files)
            .filter(|(_, (file, found))| found.is_some() && !written.contains(&file.path))
            .map(|(at, _)| at)
            .collect();
        let made = |folder: &GamePath| {
            earlier.is_some_and(|earlier| {
                manifest_tree::folders(&earlier.target).contains(folder.as_str())
                    && !earlier.existed_folders.contains(folder)
            })
        };
        self.existed_folders = survey
            .folders
            .iter()
            .filter(|folder| !made(folder))
            .cloned()
            .collect();
        self.root_created |= !survey.root;
    }

    /// Whether writing to this file has to be noted first.
    pub(crate) fn is_foreign(&self, file: u32) -> bool {
        self.existed.binary_search(&file).is_ok() && self.rewritten.binary_search(&file).is_err()
    }

    /// Notes that these files will be written to.
    pub(crate) fn note_rewritten(&mut self, files: &[u32]) {
        self.rewritten.extend_from_slice(files);
        self.rewritten.sort_unstable();
        self.rewritten.dedup();
    }

    /// The files that the download made or changed.
    pub(crate) fn written(&self) -> impl Iterator<Item = &GamePath> {
        (0..)
            .zip(self.target.files())
            .filter(|(at, _)| !self.is_foreign(*at))
            .map(|(_, file)| &file.path)
    }

    /// The folders that the download made, those in others first.
    pub(crate) fn made_folders(&self) -> Vec<&str> {
        let existed: BTreeSet<&str> = self.existed_folders.iter().map(GamePath::as_str).collect();
        let mut made: Vec<&str> = manifest_tree::folders(&self.target)
            .difference(&existed)
            .copied()
            .collect();
        made.reverse();
        made
    }

    // # On disk

    fn path<D: Disk>(game: &GameId) -> String {
        StateDir::<D>::game_path(game, DOWNLOAD_NAME)
    }

    /// The path of the chunk hashes that go with the record.
    pub(crate) fn chunks_path<D: Disk>(game: &GameId) -> String {
        StateDir::<D>::game_path(game, DOWNLOAD_CHUNKS_NAME)
    }

    pub(crate) fn load<D: Disk>(
        state: &StateDir<D>,
        game: &GameId,
    ) -> Result<Option<Self>, StateError> {
        state.read_document(&Self::path::<D>(game))
    }

    pub(crate) fn save<D: Disk>(
        &self,
        state: &StateDir<D>,
        game: &GameId,
    ) -> Result<(), StateError> {
        state.write_document(&Self::path::<D>(game), self)
    }

    /// Removes the record, and then what went with it.
    pub(crate) fn remove<D: Disk>(state: &StateDir<D>, game: &GameId) -> Result<(), DiskError> {
        state.remove(&Self::path::<D>(game))?;
        state.remove(&Self::chunks_path::<D>(game))
    }

    /// Puts a damaged record aside.
    pub(crate) fn quarantine<D: Disk>(
        state: &StateDir<D>,
        game: &GameId,
    ) -> Result<String, DiskError> {
        state.quarantine(&Self::path::<D>(game))
    }
}
