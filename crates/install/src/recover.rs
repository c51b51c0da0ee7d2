//! Finishing or taking back what a crash interrupted.

use std::{path::PathBuf, sync::Arc};

use lanspread_disk::{Disk, DiskError, Kind, StateDir, StateError, StoredPayload};
use lanspread_proto::{GameId, Manifest};

use crate::{
    download::remove_file_if_there,
    error::RecoverError,
    intent::Intent,
    record::DownloadRecord,
    remove,
    root::{GameRoot, Slot},
    settle::{Names, Settled, settle},
};

pub use crate::settle::RecoveredInstall;

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
    /// What became of its install, update or uninstall.
    pub install: RecoveredInstall,
    /// What is under reserved names and not ours: left byte for byte, and in the way of installs.
    pub foreign: Vec<PathBuf>,
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
/// | no | yes | any | the removal was committed: finish it, unless it is another folder or something is installed there now |
/// | no | - | yes | partial; leftovers swept |
/// | no | - | - | absent |
///
/// What installs leave behind is told by the names in the game root. A folder under a reserved name
/// is ours if it has our marker, or if the intent's operation makes such folders and it has no marker
/// yet; what is not ours counts as absent here, is left as it is, and is reported.
///
/// | `local` | `.local.installing` | `.local.backup` | then |
/// |---|---|---|---|
/// | no | no | no | an uninstall is done, an update is lost, an install had not begun |
/// | yes | no | no | our marker in it: a new version was committed, or the old one was restored |
/// | no | yes | no | delete it |
/// | no | no | yes | restore it |
/// | yes | yes | no | delete `.local.installing` |
/// | yes | no | yes | the backup becomes trash |
/// | no | yes | yes | restore the backup, delete `.local.installing` |
/// | yes | yes | yes | delete `.local.installing`, the backup becomes trash |
///
/// `.local.trash` is deleted in every row. At last the marker goes from `local`, and the intent.
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
    let mut settled = Settled {
        install: RecoveredInstall::Untouched,
        foreign: Vec::new(),
    };
    let (removes, removed_root) = match &intent {
        Some(Intent::Remove { root_id }) => (true, *root_id),
        _ => (false, None),
    };
    let game = if removes && at_sentinel.is_none() && is_being_removed(disk, &root, removed_root)? {
        remove::finish(disk, state, &root)?;
        RecoveredGame::Removed
    } else {
        settled = settle(disk, state, &root, intent.as_ref(), Names::Doubtful)?;
        remove_file_if_there(disk, &root.sentinel_tmp())?;
        let is_sentinel = at_sentinel.is_some_and(|entry| entry.kind == Kind::File);
        if is_sentinel && (removes || record.is_some()) {
            // The rename that brought it may not be durable yet, and what says so goes now.
            disk.sync_folder(root.path())?;
            DownloadRecord::remove(state, game)?;
        }
        if removes {
            remove::clear(state, &root)?;
        }
        remove_file_if_there(disk, &root.sentinel_discarded())?;
        match record {
            _ if is_sentinel => RecoveredGame::Downloaded,
            Some(record) => partial(state, game, record)?,
            None => RecoveredGame::Absent,
        }
    };
    let foreign = settled.foreign.iter().map(|path| disk.shown(path));
    Ok(Recovered {
        game,
        install: settled.install,
        foreign: foreign.collect(),
        quarantined,
    })
}

/// Whether a root without a sentinel is the one that was being removed: the same folder, and nothing
/// in it that a removal does not begin beside.
fn is_being_removed<D: Disk>(
    disk: &D,
    root: &GameRoot,
    root_id: Option<u64>,
) -> Result<bool, DiskError> {
    let there = disk.stat(root.path())?.map(|entry| entry.stamp.file_id);
    if there.is_some() && root_id.is_some() && there != root_id {
        return Ok(false);
    }
    let slots = Slot::ALL.map(|slot| root.slot(slot));
    for path in slots.iter().chain([&root.local()]) {
        if disk.stat(path)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
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
