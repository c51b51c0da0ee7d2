//! D0 to D3: from what is there to a game root that is ready for chunks.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use lanspread_disk::{Disk, DiskError, Entry, Kind, StateDir};
use lanspread_proto::{ChunkSet, GamePath, Manifest};

use super::{
    DownloadRequest, DownloadTransaction, Work, discard,
    files::{FileState, OpenFiles},
};
use crate::{
    error::DownloadError,
    manifest_tree,
    record::DownloadRecord,
    room::room,
    root::GameRoot,
    survey::{self, Survey},
};

impl<D: Disk> DownloadTransaction<D> {
    /// Begins a download, or goes on with one of the same manifest that was interrupted. `disk` is
    /// the game directory. To be called after [`crate::recover`].
    ///
    /// Afterwards the game has no sentinel and its folders are there. Nothing that is there is
    /// trusted: see [`Self::reconcile`].
    ///
    /// # Errors
    /// [`DownloadError::DiskFull`], [`DownloadError::Obstructed`] and
    /// [`DownloadError::BadSentinel`] before anything is changed; others leave the game as it was or
    /// partial, which [`crate::recover`] tells.
    pub fn begin(
        disk: Arc<D>,
        state: Arc<StateDir<D>>,
        request: DownloadRequest,
    ) -> Result<Self, DownloadError> {
        let root = GameRoot::new(request.game.clone());
        let target = Arc::clone(request.payload.manifest());
        let sentinel = survey::sentinel(disk.as_ref(), &root)?.map_err(|fault| {
            DownloadError::BadSentinel {
                path: disk.shown(&root.sentinel()),
                fault,
            }
        })?;
        let earlier = load_record(disk.as_ref(), &state, &root, sentinel)?;
        let resumed = earlier
            .as_ref()
            .is_some_and(|record| record.target.id() == request.payload.id());
        let record = match earlier.as_ref() {
            Some(record) if resumed => record.clone(),
            earlier => {
                let previous = previous(&state, &request)?;
                DownloadRecord::new(&target, previous.as_deref(), earlier)
            }
        };
        let survey = Survey::ignoring(
            disk.as_ref(),
            &root,
            &target,
            &record.obsolete,
            &record.obsolete_folders,
        )?;
        survey.check_clear(disk.as_ref())?;
        let map = target.chunk_map();
        let work = Work {
            files: survey
                .files
                .iter()
                .map(|found| FileState::from(*found))
                .collect(),
            held: ChunkSet::empty(map.count()),
            claimed: ChunkSet::empty(map.count()),
        };
        let download = Self {
            disk,
            state,
            root,
            payload: request.payload,
            map,
            reserve_bytes: request.reserve_bytes,
            record: Mutex::new(record),
            work: Mutex::new(work),
            open: OpenFiles::default(),
        };
        download.check_room(&survey)?;
        download
            .save_record(&survey, earlier.as_ref().filter(|_| !resumed), resumed)
            .and_then(|()| download.take_over(&survey, sentinel))
            .map_err(|error| download.explain(error))?;
        Ok(download)
    }

    /// D0: what is missing, less what the obsolete files free, must fit and leave the reserve.
    fn check_room(&self, survey: &Survey) -> Result<(), DownloadError> {
        let Some(room) = room(self.disk.as_ref(), self.reserve_bytes)? else {
            return Ok(());
        };
        let files = self.payload.manifest().files().iter().zip(&survey.files);
        let wanted: u64 = files
            .map(|(file, found)| {
                let there = found.map_or(0, |entry| entry.allocated_bytes.min(entry.stamp.size));
                file.size.saturating_sub(there)
            })
            .sum();
        if room.missing_bytes(wanted) == 0 {
            return Ok(());
        }
        let missing_bytes = room.missing_bytes(wanted.saturating_sub(self.freed_bytes()?));
        if missing_bytes == 0 {
            return Ok(());
        }
        let path = self.disk.shown(self.root.path());
        Err(DownloadError::DiskFull {
            path,
            missing_bytes,
            source: None,
        })
    }

    fn freed_bytes(&self) -> Result<u64, DownloadError> {
        let mut freed = 0_u64;
        for path in &self.record().obsolete {
            let found = self.disk.stat(&self.root.payload(path))?;
            freed = freed.saturating_add(found.map_or(0, |entry| entry.allocated_bytes));
        }
        Ok(freed)
    }

    fn save_record(
        &self,
        survey: &Survey,
        earlier: Option<&DownloadRecord>,
        resumed: bool,
    ) -> Result<(), DownloadError> {
        let game = self.root.game();
        self.state
            .save_chunk_hashes(&DownloadRecord::chunks_path::<D>(game), &self.payload)?;
        if !resumed {
            let mut record = self.record();
            record.note_existing(survey, earlier);
            record.save(&self.state, game)?;
        }
        Ok(())
    }

    /// D1 to D3: from here on the game is partial.
    fn take_over(&self, survey: &Survey, sentinel: bool) -> Result<(), DownloadError> {
        let disk = self.disk.as_ref();
        if sentinel {
            disk.rename(&self.root.sentinel(), &self.root.sentinel_discarded())?;
        }
        if survey.root {
            // Also without a sentinel: an earlier process may have parked it and died before this.
            disk.sync_folder(self.root.path())?;
        } else {
            disk.create_folder(self.root.path())?;
        }
        {
            let record = self.record();
            remove_obsolete(disk, &self.root, &record)?;
        }
        let there: BTreeSet<&str> = survey.folders.iter().map(GamePath::as_str).collect();
        for folder in manifest_tree::folders(self.payload.manifest()) {
            if !there.contains(folder) {
                create_folder(disk, &self.root.at(folder))?;
            }
        }
        Ok(())
    }
}

/// What was complete here before, as the caller knows it, or as it was saved last.
fn previous<D: Disk>(
    state: &StateDir<D>,
    request: &DownloadRequest,
) -> Result<Option<Arc<Manifest>>, DownloadError> {
    if request.previous.is_some() {
        return Ok(request.previous.clone());
    }
    match state.load_payload(&request.game) {
        Err(error) if error.is_damaged() => Ok(None),
        loaded => Ok(loaded?.map(|payload| Arc::clone(payload.manifest()))),
    }
}

/// The record of a download that was interrupted, if what it says still holds.
fn load_record<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    root: &GameRoot,
    sentinel: bool,
) -> Result<Option<DownloadRecord>, DownloadError> {
    let Some(record) = DownloadRecord::load(state, root.game())? else {
        return Ok(None);
    };
    if sentinel {
        // Nothing had happened yet, or everything had: the game is complete.
        return Ok(None);
    }
    if record.suspect {
        discard::remove_written(disk, state, root, &record)?;
        return Ok(None);
    }
    Ok(Some(record))
}

/// A folder that is there under another spelling of its name is as good.
fn create_folder<D: Disk>(disk: &D, path: &str) -> Result<(), DiskError> {
    match disk.create_folder(path) {
        Err(error) if error.is_already_there() => match disk.stat(path)? {
            Some(Entry {
                kind: Kind::Folder, ..
            }) => Ok(()),
            _ => Err(error),
        },
        created => created,
    }
}

fn remove_obsolete<D: Disk>(
    disk: &D,
    root: &GameRoot,
    record: &DownloadRecord,
) -> Result<(), DiskError> {
    for path in &record.obsolete {
        discard::remove_file_if_there(disk, &root.payload(path))?;
    }
    let kept = manifest_tree::folders(&record.target);
    let folders = manifest_tree::emptying(&record.obsolete, &record.obsolete_folders);
    for folder in folders
        .into_iter()
        .rev()
        .filter(|folder| !kept.contains(folder))
    {
        discard::remove_folder_if_empty(disk, &root.at(folder))?;
    }
    Ok(())
}

/// Every folder of a payload with its root and the game directory, deepest first.
pub(super) fn folders_to_sync(root: &GameRoot, manifest: &Manifest) -> Vec<String> {
    let mut folders: Vec<String> = manifest_tree::folders(manifest)
        .into_iter()
        .map(|folder| root.at(folder))
        .collect();
    folders.reverse();
    folders.push(root.path().to_owned());
    folders.push(String::new());
    folders
}
