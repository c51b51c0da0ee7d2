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
    /// Install a game straight from a peer that expands its archive; no archive comes here.
    StreamInstallGame(StreamInstallRequest),
    /// Install what is downloaded of a game, over what is installed of it.
    InstallGame {
        /// The game.
        game: GameId,
    },
    /// Remove what is installed of a game; the download stays.
    UninstallGame {
        /// The game.
        game: GameId,
    },
    /// Cancel the running download, install or streamed install of a game, or discard an idle partial download.
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
    /// Install the game afterwards if it is an archive that is not installed in this version yet. Default
    /// true. A plain tree is left as it is: [`PeerCommand::InstallGame`] installs that too.
    #[serde(default = "yes")]
    pub install: bool,
}

const fn yes() -> bool {
    true
}

impl DownloadRequest {
    /// The newest version of `game`.
    pub const fn latest(game: GameId) -> Self {
        Self {
            game,
            manifest: None,
            version: None,
            reconcile: false,
            install: true,
        }
    }
}

/// What to install from a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInstallRequest {
    /// The game.
    pub game: GameId,
    /// The manifest that [`crate::PeerEvent::GotGameFiles`] reported; without one the peers are asked.
    #[serde(default)]
    pub manifest: Option<ManifestId>,
    /// A version to insist on, also an older one; without one the catalog's, else the highest.
    #[serde(default)]
    pub version: Option<Version>,
}

impl StreamInstallRequest {
    /// The newest version of `game`.
    pub const fn latest(game: GameId) -> Self {
        Self {
            game,
            manifest: None,
            version: None,
        }
    }

    /// The download that would choose the same.
    pub(crate) fn as_download(&self) -> DownloadRequest {
        DownloadRequest {
            manifest: self.manifest,
            version: self.version.clone(),
            ..DownloadRequest::latest(self.game.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_download_installs_unless_it_says_otherwise() {
        let read = |text| serde_json::from_str::<PeerCommand>(text).unwrap();
        let short = read(r#"{"command":"download_game_files","game":"doom"}"#);
        let latest = DownloadRequest::latest("doom".parse().unwrap());
        assert!(latest.install);
        assert_eq!(short, PeerCommand::DownloadGameFiles(latest.clone()));
        let bare = read(r#"{"command":"download_game_files","game":"doom","install":false}"#);
        let expected = DownloadRequest {
            install: false,
            ..latest
        };
        assert_eq!(bare, PeerCommand::DownloadGameFiles(expected));
    }
}
