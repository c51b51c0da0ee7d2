//! Taking back what a download wrote.

use std::collections::BTreeSet;

use lanspread_disk::{Disk, DiskError, StateDir};
use lanspread_proto::GameId;

use super::DownloadTransaction;
use crate::{
    error::DownloadError, manifest_tree, record::DownloadRecord, root::GameRoot, survey::Survey,
};

impl<D: Disk> DownloadTransaction<D> {
    /// Gives the download up and takes back what it wrote: files that it made or changed, folders
    /// that it made and that are empty now. `local/`, strays and files that were there and that it
    /// did not touch stay. The old sentinel does not come back.
    ///
    /// # Errors
    /// What the disk says; the game is still partial then, and can be discarded again.
    pub fn discard(self) -> Result<(), DownloadError> {
        // Some systems do not remove what is open.
        self.open.close();
        let record = self.record();
        Ok(remove_written(
            self.disk.as_ref(),
            &self.state,
            &self.root,
            &record,
        )?)
    }
}

/// Discards a download that was interrupted and does not run; one that never began is no error.
///
/// # Errors
/// What the disk says; the game is still partial then.
pub fn discard_partial<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    game: &GameId,
) -> Result<(), DownloadError> {
    let root = GameRoot::new(game.clone());
    let Some(record) = DownloadRecord::load(state, game)? else {
        return Ok(());
    };
    if disk.stat(&root.sentinel())?.is_some() {
        // A leftover beside a complete game: there is nothing to take back.
        return Ok(DownloadRecord::remove(state, game)?);
    }
    Ok(remove_written(disk, state, &root, &record)?)
}

/// Removes what a download wrote, durably, and then its record. The manifest of what was complete
/// here before stays while anything does: a later download tells by it what is obsolete.
pub(super) fn remove_written<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    root: &GameRoot,
    record: &DownloadRecord,
) -> Result<(), DiskError> {
    let survey = Survey::take(disk, root, &record.target)?;
    if survey.root {
        let there: BTreeSet<_> = record
            .target
            .files()
            .iter()
            .zip(&survey.files)
            .filter(|(_, found)| found.is_some())
            .map(|(file, _)| &file.path)
            .collect();
        for path in record.written().filter(|path| there.contains(path)) {
            remove_file_if_there(disk, &root.payload(path))?;
        }
        for folder in record.made_folders() {
            remove_folder_if_empty(disk, &root.at(folder))?;
        }
        remove_file_if_there(disk, &root.sentinel_tmp())?;
        remove_file_if_there(disk, &root.sentinel_discarded())?;
        sync_remaining(disk, root, record)?;
        if record.root_created {
            remove_folder_if_empty(disk, root.path())?;
        }
        disk.sync_folder("")?;
    }
    if disk.stat(root.path())?.is_none() {
        state.remove_payload(root.game())?;
    }
    DownloadRecord::remove(state, root.game())
}

/// What was removed must not come back once nothing remembers that it was ours.
fn sync_remaining<D: Disk>(
    disk: &D,
    root: &GameRoot,
    record: &DownloadRecord,
) -> Result<(), DiskError> {
    let folders = manifest_tree::folders(&record.target);
    for folder in folders.into_iter().rev().map(|folder| root.at(folder)) {
        if disk.stat(&folder)?.is_some() {
            disk.sync_folder(&folder)?;
        }
    }
    disk.sync_folder(root.path())
}

/// Removes a file or a link; nothing there is no error, and a folder is left.
pub(crate) fn remove_file_if_there<D: Disk>(disk: &D, path: &str) -> Result<(), DiskError> {
    match disk.remove_file(path) {
        Err(error) if error.is_not_found() || error.is_wrong_kind() => Ok(()),
        removed => removed,
    }
}

/// Removes a folder that holds nothing; anything else is left.
pub(crate) fn remove_folder_if_empty<D: Disk>(disk: &D, path: &str) -> Result<(), DiskError> {
    match disk.remove_folder(path) {
        Err(error)
            if error.is_not_found() || error.is_folder_not_empty() || error.is_wrong_kind() =>
        {
            Ok(())
        }
        removed => removed,
    }
}
