//! Snapshots for people and programs: what `list`, `peers`, `game` and `status` show.

use std::{collections::BTreeMap, net::SocketAddr};

use lanspread_proto::{GameId, GamePath, Hash, ManifestId, PeerId, Version};
use serde::{Deserialize, Serialize};

/// How much of a game is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GameState {
    /// Nothing.
    Remote,
    /// Some of it, and no operation brings more.
    Partial,
    /// It is arriving.
    Downloading,
    /// All of it.
    Downloaded,
}

/// One title, merged from this machine and every peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameView {
    /// Its id.
    pub id: GameId,
    /// What people call it: the catalog's name, else a peer's, else the id.
    pub name: String,
    /// The version that is here.
    pub version: Option<Version>,
    /// The version that a download would take: the catalog's, else the highest that anyone has.
    pub latest_version: Option<Version>,
    /// How much of it is here.
    pub state: GameState,
    /// Whether it is installed here.
    pub installed: bool,
    /// The version that is installed here, if that is known.
    pub installed_version: Option<Version>,
    /// How many other peers can serve it right now.
    pub peers: usize,
    /// The payload's size in bytes: here, else at the peers.
    pub bytes: u64,
}

/// One connected peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its id.
    pub id: PeerId,
    /// Its display name.
    pub name: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// The last measured round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// How many games it serves.
    pub games: usize,
}

/// One file of a game, as an embedder's interface shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameFileDescription {
    /// Its path under the game root.
    pub path: GamePath,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its owner may run it.
    pub executable: bool,
    /// Its BLAKE3.
    pub hash: Hash,
}

/// What would be downloaded, after the peers were asked and their answers merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameDetails {
    /// The game.
    pub game: GameId,
    /// The payload that a download would fetch.
    pub manifest: ManifestId,
    /// Its version.
    pub version: Version,
    /// Its size in bytes.
    pub bytes: u64,
    /// The peers that serve this payload, complete or partial.
    pub peers: Vec<PeerId>,
    /// Its files in order of their paths.
    pub files: Vec<GameFileDescription>,
}

/// What kind of operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OperationKind {
    /// A download from peers.
    Download,
    /// An install of what is downloaded, also the one that follows a download.
    Install,
    /// An install of what a peer expands.
    StreamInstall,
    /// The removal of what is installed.
    Uninstall,
    /// A check of every byte that is here.
    Verify,
    /// The removal of a download.
    Remove,
}

impl OperationKind {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Install => "install",
            Self::StreamInstall => "streamed install",
            Self::Uninstall => "uninstall",
            Self::Verify => "verify",
            Self::Remove => "removal",
        }
    }
}

/// One running operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationView {
    /// The game.
    pub game: GameId,
    /// What runs on it.
    pub kind: OperationKind,
    /// How far it is, in bytes.
    pub bytes_done: u64,
    /// How far it goes, in bytes; 0 while nobody knows.
    pub bytes_total: u64,
    /// Files that an install has written.
    pub files_done: u64,
    /// Files that it will write; 0 while nobody knows.
    pub files_total: u64,
    /// The rate over the last seconds.
    pub bytes_per_second: u64,
    /// The peers that are sending right now.
    pub peers: usize,
    /// Whether it waits for a source.
    pub stalled: bool,
}

/// What a running peer is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This peer.
    pub peer: PeerId,
    /// Its display name.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Connected peers.
    pub peers: usize,
    /// The game directory.
    pub game_dir: std::path::PathBuf,
    /// What runs, ordered by game.
    pub operations: Vec<OperationView>,
    /// Requests for payload that are being answered, by game; a game without any is absent.
    pub outbound_transfers: BTreeMap<GameId, usize>,
    /// Peers with whom chunks are exchanged, by game; a game without any is absent.
    pub neighbours: BTreeMap<GameId, usize>,
    /// Receivers that wait for a streamed install, by game; a game without any is absent.
    pub queued_receivers: BTreeMap<GameId, usize>,
    /// Payload bytes sent since the start, by game.
    pub sent_bytes: BTreeMap<GameId, u64>,
    /// Payload bytes received since the start, by game, kept or not.
    pub received_bytes: BTreeMap<GameId, u64>,
    /// Bytes that were hashed since the start because no index knew them.
    pub hashed_bytes: u64,
}

/// How a download went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DownloadSummary {
    /// The game.
    pub game: GameId,
    /// The version that is here now.
    pub version: Version,
    /// The payload's size in bytes.
    pub bytes: u64,
    /// Payload bytes that were fetched.
    pub fetched_bytes: u64,
    /// Payload bytes that were here already and matched.
    pub kept_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// How many peers sent at least one good chunk.
    pub peers: usize,
    /// Whether the operation goes on with the game's install, which tells events of its own.
    pub installing: bool,
    /// Whether the sender expanded its archive: then nothing is downloaded, and the install follows.
    pub streamed: bool,
}

/// How an install went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstallSummary {
    /// The game.
    pub game: GameId,
    /// The version that is installed now.
    pub version: Version,
    /// The version that was installed before, if one was and it is known.
    pub replaced: Option<Version>,
    /// Bytes of what was installed.
    pub bytes: u64,
    /// Files of what was installed.
    pub files: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether a peer expanded the archive; always false for an install of what is downloaded.
    pub streamed: bool,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifySummary {
    /// The game.
    pub game: GameId,
    /// Whether every byte is what the manifest says.
    pub intact: bool,
    /// Bytes that were checked.
    pub bytes: u64,
    /// Files with wrong bytes or that are missing.
    pub bad: Vec<GamePath>,
    /// Whether they were fetched again, so that the game is intact now.
    pub repaired: bool,
}
