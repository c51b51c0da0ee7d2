//! Uninstalling a game: `local/` goes, what was downloaded stays.

use std::path::PathBuf;

use lanspread_disk::{Disk, DiskError, Entry, Kind, StateDir, StateError};
use lanspread_proto::GameId;

use crate::{
    error::RecoverError,
    installed,
    intent::Intent,
    marker::RandomId,
    recover::recover,
    root::{GameRoot, Slot},
    settle::{Names, settle},
};

/// Why a game was not uninstalled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UninstallError {
    /// There is no folder `local`.
    #[error("{game} is not installed")]
    NotInstalled {
        /// The game.
        game: GameId,
    },
    /// Something that is not ours has a reserved name.
    #[error("{} is in the way, and was not made here", path.display())]
    Foreign {
        /// Where it is.
        path: PathBuf,
    },
    /// The disk of the games failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The state directory failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<RecoverError> for UninstallError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Disk(error) => Self::Disk(error),
            RecoverError::State(error) => Self::State(error),
        }
    }
}

/// Deletes the installed game, `local/` and nothing else.
///
/// The commit is the rename of `local` to `.local.trash`, once it is synced; a crash before it leaves
/// the game installed, after it [`crate::recover`] finishes. What fails after the commit is left to
/// recovery as well, and the game counts as uninstalled.
///
/// # Errors
/// [`UninstallError`]; the game is installed as it was.
pub fn uninstall<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    game: &GameId,
) -> Result<(), UninstallError> {
    let root = GameRoot::new(game.clone());
    if let Some(path) = recover(disk, state, game)?.foreign.into_iter().next() {
        return Err(UninstallError::Foreign { path });
    }
    match disk.stat(&root.local())? {
        Some(Entry {
            kind: Kind::Folder, ..
        }) => {}
        _ => return Err(UninstallError::NotInstalled { game: game.clone() }),
    }
    let intent = Intent::Uninstall {
        transaction: RandomId::new(),
        version: installed::known_version(state, game)?,
    };
    let committed = state
        .write_document(&Intent::path::<D>(game), &intent)
        .map_err(UninstallError::from)
        .and_then(|()| Ok(commit(disk, &root)?));
    let names = match &committed {
        Ok(()) => Names::Synced,
        // It is neither done nor taken back: nothing may be deleted before the disk is well.
        Err(_) if !matches!(disk.stat(&root.local()), Ok(Some(_))) => return committed,
        Err(_) => Names::Doubtful,
    };
    // The names say what is left to do: the game goes, or the intent alone.
    if let Err(error) = settle(disk, state, &root, Some(&intent), names) {
        tracing::warn!(%game, %error, "left for recovery");
    }
    committed
}

fn commit<D: Disk>(disk: &D, root: &GameRoot) -> Result<(), DiskError> {
    let (local, trash) = (root.local(), root.slot(Slot::Trash));
    disk.rename(&local, &trash)?;
    disk.sync_folder(root.path()).inspect_err(|_| {
        // Not known to be durable, so nothing may be deleted yet.
        if let Err(error) = disk.rename(&trash, &local) {
            tracing::warn!(game = %root.game(), %error, "an uninstall may be finished later");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_names_the_thing() {
        let disk = || DiskError::new("sync", "/g/x", std::io::ErrorKind::Other.into());
        let errors = [
            UninstallError::NotInstalled {
                game: "x".parse().unwrap(),
            },
            UninstallError::Foreign {
                path: "/g/x".into(),
            },
            RecoverError::Disk(disk()).into(),
            RecoverError::State(disk().into()).into(),
        ];
        assert_eq!(
            errors.map(|error| error.to_string()),
            [
                "x is not installed",
                "/g/x is in the way, and was not made here",
                "could not sync /g/x",
                "could not sync /g/x",
            ]
        );
    }
}
