//! The paths of one game root, relative to the game directory.

use lanspread_proto::{
    GameId, GamePath,
    names::{
        LOCAL_BACKUP_NAME, LOCAL_INSTALLING_NAME, LOCAL_NAME, LOCAL_TRASH_NAME,
        SENTINEL_DISCARDED_NAME, SENTINEL_NAME, SENTINEL_TMP_NAME,
    },
};

/// A reserved folder that only a transaction makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// What an install unpacks into.
    Installing,
    /// The version before, while a new one takes its place.
    Backup,
    /// An installed game on its way out.
    Trash,
}

impl Slot {
    pub(crate) const ALL: [Self; 3] = [Self::Installing, Self::Backup, Self::Trash];

    const fn name(self) -> &'static str {
        match self {
            Self::Installing => LOCAL_INSTALLING_NAME,
            Self::Backup => LOCAL_BACKUP_NAME,
            Self::Trash => LOCAL_TRASH_NAME,
        }
    }
}

/// One game's folder in the game directory.
#[derive(Debug, Clone)]
pub(crate) struct GameRoot(GameId);

impl GameRoot {
    pub(crate) const fn new(game: GameId) -> Self {
        Self(game)
    }

    pub(crate) const fn game(&self) -> &GameId {
        &self.0
    }

    /// The root itself.
    pub(crate) fn path(&self) -> &str {
        self.0.as_str()
    }

    /// A file or folder of the payload.
    pub(crate) fn payload(&self, path: &GamePath) -> String {
        self.at(path.as_str())
    }

    /// Anything in the root; the empty name is the root.
    pub(crate) fn at(&self, name: &str) -> String {
        if name.is_empty() {
            self.0.to_string()
        } else {
            format!("{}/{name}", self.0)
        }
    }

    /// The installed game.
    pub(crate) fn local(&self) -> String {
        self.at(LOCAL_NAME)
    }

    pub(crate) fn slot(&self, slot: Slot) -> String {
        self.at(slot.name())
    }

    pub(crate) fn sentinel(&self) -> String {
        self.at(SENTINEL_NAME)
    }

    pub(crate) fn sentinel_tmp(&self) -> String {
        self.at(SENTINEL_TMP_NAME)
    }

    pub(crate) fn sentinel_discarded(&self) -> String {
        self.at(SENTINEL_DISCARDED_NAME)
    }
}
