//! Which version of a game is installed: `games/<id>/installed.json`.

use lanspread_disk::{
    Disk, DiskError, INSTALLED_NAME, LAUNCH_SETTINGS_NAME, StateDir, StateDocument, StateError,
};
use lanspread_proto::{GameId, Version};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct InstalledRecord {
    #[serde(default)]
    version: Option<Version>,
}

impl StateDocument for InstalledRecord {
    const FORMAT: u32 = 1;
}

fn path<D: Disk>(game: &GameId) -> String {
    StateDir::<D>::game_path(game, INSTALLED_NAME)
}

/// The version that was last installed here and not uninstalled, if that is known. It says nothing
/// about whether `local/` is there.
///
/// # Errors
/// [`StateError`], a damaged document included.
pub fn installed_version<D: Disk>(
    state: &StateDir<D>,
    game: &GameId,
) -> Result<Option<Version>, StateError> {
    let record = state.read_document::<InstalledRecord>(&path::<D>(game))?;
    Ok(record.and_then(|record| record.version))
}

/// The same for one who only wants to tell it: unknown if it cannot be read.
pub(crate) fn known_version<D: Disk>(
    state: &StateDir<D>,
    game: &GameId,
) -> Result<Option<Version>, StateError> {
    match installed_version(state, game) {
        Err(error) if error.is_damaged() => Ok(None),
        read => read,
    }
}

/// Records a version that was committed; settings for the one before are stale.
pub(crate) fn record<D: Disk>(
    state: &StateDir<D>,
    game: &GameId,
    version: Option<Version>,
) -> Result<(), StateError> {
    let record = InstalledRecord { version };
    state.write_document(&path::<D>(game), &record)?;
    Ok(state.remove(&StateDir::<D>::game_path(game, LAUNCH_SETTINGS_NAME))?)
}

/// Forgets what was installed.
pub(crate) fn forget<D: Disk>(state: &StateDir<D>, game: &GameId) -> Result<(), DiskError> {
    state.remove(&path::<D>(game))?;
    state.remove(&StateDir::<D>::game_path(game, LAUNCH_SETTINGS_NAME))
}
