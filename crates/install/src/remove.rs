//! Removing a downloaded game: the whole root goes, or nothing.

use lanspread_disk::{Disk, DiskError, Entry, Kind, StateDir, StateError};
use lanspread_proto::GameId;

use crate::{
    error::RemoveError,
    installed,
    intent::Intent,
    record::DownloadRecord,
    root::{GameRoot, Slot},
    survey,
};

/// Deletes a downloaded game that is not installed: its whole root, strays included. To be called
/// after [`crate::recover`], for a game that the catalog admits.
///
/// The commit is the rename of the sentinel; a crash before it leaves the game as it was, after it
/// [`crate::recover`] finishes the removal.
///
/// # Errors
/// [`RemoveError`]: nothing was changed by a refusal; after a failure of the disk the game is as it
/// was, or recovery finishes.
pub fn remove_download<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    game: &GameId,
) -> Result<(), RemoveError> {
    let root = GameRoot::new(game.clone());
    let root_id = Some(check(disk, &root)?);
    state.write_document(&Intent::path::<D>(game), &Intent::Remove { root_id })?;
    disk.rename(&root.sentinel(), &root.sentinel_discarded())?;
    Ok(finish(disk, state, &root)?)
}

/// Refuses what may not be removed; returns the root's file id.
fn check<D: Disk>(disk: &D, root: &GameRoot) -> Result<u64, RemoveError> {
    let root_id = match disk.stat(root.path())? {
        Some(Entry {
            kind: Kind::Folder,
            stamp,
            ..
        }) => stamp.file_id,
        _ => {
            return Err(RemoveError::NoRoot {
                path: disk.shown(root.path()),
            });
        }
    };
    if disk
        .stat(&root.local())?
        .is_some_and(|entry| entry.kind == Kind::Folder)
    {
        return Err(RemoveError::Installed {
            game: root.game().clone(),
        });
    }
    for path in Slot::ALL.map(|slot| root.slot(slot)) {
        if disk.stat(&path)?.is_some() {
            return Err(RemoveError::InstallLeftover {
                path: disk.shown(&path),
            });
        }
    }
    match survey::sentinel(disk, root)? {
        Ok(true) => Ok(root_id),
        Ok(false) => Err(RemoveError::NotDownloaded {
            game: root.game().clone(),
        }),
        Err(fault) => Err(RemoveError::BadSentinel {
            path: disk.shown(&root.sentinel()),
            fault,
        }),
    }
}

/// After the rename of the sentinel: makes it durable, deletes the root and forgets the game, the
/// intent last. Whoever renamed it may have died before a sync, so that comes first.
pub(crate) fn finish<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    root: &GameRoot,
) -> Result<(), StateError> {
    if disk.stat(root.path())?.is_some() {
        disk.sync_folder(root.path())?;
        disk.remove_tree(root.path())?;
    }
    disk.sync_folder("")?;
    state.remove_payload(root.game())?;
    DownloadRecord::remove(state, root.game())?;
    installed::forget(state, root.game())?;
    clear(state, root)?;
    Ok(())
}

/// Removes the intent.
pub(crate) fn clear<D: Disk>(state: &StateDir<D>, root: &GameRoot) -> Result<(), DiskError> {
    state.remove(&Intent::path::<D>(root.game()))
}
