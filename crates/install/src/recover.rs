//! Finishing or taking back what a crash interrupted.

use std::{path::PathBuf, sync::Arc};

use lanspread_disk::{Disk, Kind, StateDir, StateError, StoredPayload};
use lanspread_proto::{GameId, Manifest};

use crate::{
    download::remove_file_if_there, error::RecoverError, intent::Intent, record::DownloadRecord,
    remove, root::GameRoot,
};

/// What a game is after recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveredGame {
    /// There is no sentinel and no download to go on with.
    Absent,
    /// There is a sentinel.
    Downloaded,
    /// A download was interrupted. To finish it, [`crate::DownloadTransaction::begin`] with the
    /// payload and reconcile: if every chunk is there, it can be published without any peer.
    Partial {
        /// What was being downloaded.
        manifest: Arc<Manifest>,
        /// The same with its chunk hashes; `None` if those were lost and a peer must send them again.
        payload: Option<StoredPayload>,
    },
    /// A removal was interrupted and is done now.
    Removed,
}

/// What recovery found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// What the game is now.
    pub game: RecoveredGame,
    /// Damaged documents that were put aside, by their new names.
    pub quarantined: Vec<PathBuf>,
}

/// Brings one game to a state that a person would recognise. May itself be interrupted and run again;
/// run twice it changes nothing the second time.
///
/// | sentinel | removal intent | download record | then |
/// |---|---|---|---|
/// | yes | - | - | downloaded; leftovers swept |
/// | yes | yes | - | the removal had not begun: clear the intent |
/// | yes | - | yes | the download had not begun or is complete: sync the root, clear the record |
/// | no | yes | any | the removal was committed: finish it |
/// | no | - | yes | partial; leftovers swept |
/// | no | - | - | absent |
///
/// A document that cannot be read is put aside under another name; the row without it applies.
///
/// # Errors
/// [`RecoverError`]: when the disk fails, or a document is of a newer format, which is left alone.
pub fn recover<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    game: &GameId,
) -> Result<Recovered, RecoverError> {
    let root = GameRoot::new(game.clone());
    let mut quarantined = Vec::new();
    let intent = read_intent(state, game, &mut quarantined)?;
    let record = read_record(state, game, &mut quarantined)?;
    let at_sentinel = disk.stat(&root.sentinel())?;
    let game = match (at_sentinel, intent) {
        (None, Some(Intent::Remove)) => {
            remove::finish(disk, state, &root)?;
            RecoveredGame::Removed
        }
        (found, intent) => {
            remove_file_if_there(disk, &root.sentinel_tmp())?;
            let is_sentinel = found.is_some_and(|entry| entry.kind == Kind::File);
            if is_sentinel && (intent.is_some() || record.is_some()) {
                // The rename that brought it may not be durable yet, and what says so goes now.
                disk.sync_folder(root.path())?;
                remove::clear(state, &root)?;
                DownloadRecord::remove(state, game)?;
            }
            remove_file_if_there(disk, &root.sentinel_discarded())?;
            match record {
                _ if is_sentinel => RecoveredGame::Downloaded,
                Some(record) => partial(state, game, record)?,
                None => RecoveredGame::Absent,
            }
        }
    };
    Ok(Recovered { game, quarantined })
}

fn partial<D: Disk>(
    state: &StateDir<D>,
    game: &GameId,
    record: DownloadRecord,
) -> Result<RecoveredGame, StateError> {
    let manifest = record.target;
    let chunks = DownloadRecord::chunks_path::<D>(game);
    let payload = match state.load_chunk_hashes(&chunks, Arc::clone(&manifest)) {
        Ok(payload) => Some(payload),
        // The hashes of a download that was about to take this one's place.
        Err(error) if error.is_damaged() => None,
        Err(error) => return Err(error),
    };
    Ok(RecoveredGame::Partial { manifest, payload })
}

fn read_intent<D: Disk>(
    state: &StateDir<D>,
    game: &GameId,
    quarantined: &mut Vec<PathBuf>,
) -> Result<Option<Intent>, StateError> {
    let path = Intent::path::<D>(game);
    match state.read_document(&path) {
        Err(error) if error.is_damaged() => {
            quarantined.push(state.disk().shown(&state.quarantine(&path)?));
            Ok(None)
        }
        read => read,
    }
}

fn read_record<D: Disk>(
    state: &StateDir<D>,
    game: &GameId,
    quarantined: &mut Vec<PathBuf>,
) -> Result<Option<DownloadRecord>, StateError> {
    match DownloadRecord::load(state, game) {
        Err(error) if error.is_damaged() => {
            let aside = DownloadRecord::quarantine(state, game)?;
            quarantined.push(state.disk().shown(&aside));
            Ok(None)
        }
        read => read,
    }
}
