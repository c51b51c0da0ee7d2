//! What an embedder asks of a peer.

use std::path::PathBuf;

use lanspread_proto::{GameId, ManifestId, Version};
use serde::{Deserialize, Serialize};

/// A command for [`crate::PeerRuntimeHandle::sender`]. Answers and failures come as events; the
/// handle's methods of the same meaning return them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PeerCommand {
    /// Tell the merged list of games.
    ListGames,
    /// Ask the peers for one game's files, or answer from the local library when it is here.
    GetGame {
        /// The game.
        game: GameId,
    },
    /// Ask the peers for one game's files, never the local library.
    FetchLatestFromPeers {
        /// The game.
        game: GameId,
    },
    /// Download a game.
    DownloadGameFiles(DownloadRequest),
    /// Cancel the running download of a game, or discard an idle partial one.
    CancelDownload {
        /// The game.
        game: GameId,
    },
    /// Remove a downloaded game from the disk.
    RemoveDownloadedGame {
        /// The game.
        game: GameId,
    },
    /// Check every byte of a downloaded game.
    VerifyGame {
        /// The game.
        game: GameId,
        /// Download again what is wrong.
        repair: bool,
    },
    /// Use another game directory.
    SetGameDir {
        /// The directory.
        path: PathBuf,
    },
    /// Tell how many peers are connected.
    GetPeerCount,
    /// Connect to a peer that discovery does not find, and keep trying.
    Connect {
        /// `HOST:PORT`.
        addr: String,
    },
    /// Say goodbye and stop.
    Shutdown,
}

/// What to download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadRequest {
    /// The game.
    pub game: GameId,
    /// The manifest that [`crate::PeerEvent::GotGameFiles`] reported; without one the peers are asked.
    #[serde(default)]
    pub manifest: Option<ManifestId>,
    /// A version to insist on, also an older one; without one the catalog's, else the highest.
    #[serde(default)]
    pub version: Option<Version>,
    /// Compare every byte with the manifest even if the game is here and believed to be complete.
    #[serde(default)]
    pub reconcile: bool,
}

impl DownloadRequest {
    /// The newest version of `game`.
    pub const fn latest(game: GameId) -> Self {
        Self {
            game,
            manifest: None,
            version: None,
            reconcile: false,
        }
    }
}
