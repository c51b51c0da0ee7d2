//! What is being done to a game besides a download: `games/<id>/install_intent.json`.

use lanspread_disk::{Disk, INSTALL_INTENT_NAME, StateDir, StateDocument};
use lanspread_proto::GameId;
use serde::{Deserialize, Serialize};

/// An operation that recovery finishes or takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Intent {
    /// The whole game root is being deleted. Committed once the sentinel is gone.
    Remove,
}

impl StateDocument for Intent {
    const FORMAT: u32 = 1;
}

impl Intent {
    pub(crate) fn path<D: Disk>(game: &GameId) -> String {
        StateDir::<D>::game_path(game, INSTALL_INTENT_NAME)
    }
}
