//! What is being done to a game besides a download: `games/<id>/install_intent.json`.
//!
//! It is durable before the first step and goes after the last one. With it, recovery knows which
//! reserved folders the interrupted operation can have made before they got their markers.

use lanspread_disk::{Disk, INSTALL_INTENT_NAME, StateDir, StateDocument};
use lanspread_proto::{GameId, Version};
use serde::{Deserialize, Serialize};

use crate::{marker::RandomId, root::Slot};

/// An operation that recovery finishes or takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Intent {
    /// A version is being installed where none is. Committed once `local/` is there.
    Install {
        /// Which one of all operations.
        transaction: RandomId,
        /// What is being installed.
        version: Version,
        /// Whether the game root is ours as well.
        root_created: bool,
    },
    /// A version is being installed over another one. Committed once it is `local/`.
    Update {
        /// Which one of all operations.
        transaction: RandomId,
        /// What is being installed.
        version: Version,
        /// What is being replaced, if that is known.
        replaces: Option<Version>,
    },
    /// The installed game is being deleted. Committed once `local/` is not there.
    Uninstall {
        /// Which one of all operations.
        transaction: RandomId,
        /// What is being uninstalled, if that is known.
        version: Option<Version>,
    },
    /// The whole game root is being deleted. Committed once the sentinel is gone.
    Remove {
        /// The folder's file id: a folder of the same name in another game directory is not it.
        #[serde(default)]
        root_id: Option<u64>,
    },
}

impl StateDocument for Intent {
    const FORMAT: u32 = 1;
}

impl Intent {
    pub(crate) fn path<D: Disk>(game: &GameId) -> String {
        StateDir::<D>::game_path(game, INSTALL_INTENT_NAME)
    }

    /// Its transaction; a removal needs none.
    pub(crate) const fn transaction(&self) -> Option<&RandomId> {
        match self {
            Self::Install { transaction, .. }
            | Self::Update { transaction, .. }
            | Self::Uninstall { transaction, .. } => Some(transaction),
            Self::Remove { .. } => None,
        }
    }

    /// Whether this operation makes such a folder, so that one without a marker is its own: it only
    /// begins where there is none.
    pub(crate) const fn makes(&self, slot: Slot) -> bool {
        match self {
            Self::Install { .. } => matches!(slot, Slot::Installing),
            Self::Update { .. } => true,
            Self::Uninstall { .. } => matches!(slot, Slot::Trash),
            Self::Remove { .. } => false,
        }
    }
}
