//! What a peer tells its embedder: past tense, named fields.
//!
//! The serialised form is the `event` line of the command line's contract, without its `type`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use lanspread_proto::{GameId, ManifestId, PeerId, Version};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};

use crate::{
    error::Failure,
    view::{DownloadSummary, GameDetails, GameView, InstallSummary, OperationView, VerifySummary},
};

/// Events that one subscriber may be behind before it is told that it lagged.
pub const EVENTS_BUFFERED_MAX: usize = 4096;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PeerEvent {
    /// The peer listens and its library is scanned.
    Ready {
        /// This peer.
        peer: PeerId,
        /// Its display name.
        name: String,
        /// Where it listens.
        listen: SocketAddr,
        /// The program's version.
        version: String,
    },
    /// A peer is connected, and what it serves is known.
    PeerJoined {
        /// The peer.
        peer: PeerId,
        /// Its display name.
        name: String,
        /// Where it listens.
        addr: SocketAddr,
    },
    /// A peer is gone.
    PeerLeft {
        /// The peer.
        peer: PeerId,
        /// Its display name.
        name: String,
        /// How it went.
        reason: LeaveReason,
    },
    /// The merged list of games has changed; [`crate::PeerRuntimeHandle::games`] has it.
    LibraryChanged {
        /// Grows with every change.
        revision: u64,
        /// How many titles are known.
        games: usize,
    },
    /// The answer to [`crate::PeerCommand::ListGames`].
    GamesListed {
        /// The merged list.
        games: Vec<GameView>,
    },
    /// The answer to [`crate::PeerCommand::GetPeerCount`].
    PeerCount {
        /// Connected peers.
        count: usize,
    },
    /// What is running has changed; this is the whole truth about it.
    OperationsChanged {
        /// Every running operation.
        operations: Vec<OperationView>,
    },
    /// Peers were asked for a game, and their manifests are merged.
    #[serde(rename = "game_details")]
    GotGameFiles(GameDetails),
    /// Peers disagree about one version of a game.
    ManifestConflict {
        /// The game.
        game: GameId,
        /// The version.
        version: Version,
        /// The manifest that is used.
        chosen: ManifestId,
        /// The manifests that are not used, each with the peers that offer it.
        others: Vec<ManifestOffer>,
    },
    /// A download has begun.
    #[serde(rename = "download_started")]
    DownloadGameFilesBegin {
        /// The game.
        game: GameId,
        /// The version that arrives.
        version: Version,
        /// The payload's size in bytes.
        bytes_total: u64,
        /// Bytes of it that were here already.
        bytes_done: u64,
        /// Whether the sender expands its archive, and what arrives is installed.
        streamed: bool,
    },
    /// A streamed install waits: the peer has others to serve first.
    Queued {
        /// The game.
        game: GameId,
        /// The peer.
        peer: PeerId,
        /// 1 is next.
        position: u32,
    },
    /// A download goes on; at most a few a second.
    #[serde(rename = "download_progress")]
    DownloadGameFilesProgress {
        /// The game.
        game: GameId,
        /// Verified bytes.
        bytes_done: u64,
        /// The payload's size in bytes.
        bytes_total: u64,
        /// The rate over the last seconds.
        bytes_per_second: u64,
        /// The peers that are sending right now.
        peers: usize,
        /// Whether the sender expands its archive, and what arrives is installed.
        streamed: bool,
        /// Files that are complete, of a streamed install.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        files_done: Option<u64>,
        /// Who sends, of a streamed install.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<PeerId>,
    },
    /// A download is complete, verified and durable.
    #[serde(rename = "download_finished")]
    DownloadGameFilesFinished(DownloadSummary),
    /// A download failed; what was verified stays for the next attempt. Of a streamed install nothing stays.
    #[serde(rename = "download_failed")]
    DownloadGameFilesFailed {
        /// The game.
        game: GameId,
        /// Why.
        error: Failure,
        /// Whether it was a streamed install.
        streamed: bool,
    },
    /// A download was cancelled and what it wrote is gone.
    #[serde(rename = "download_cancelled")]
    DownloadGameFilesCancelled {
        /// The game.
        game: GameId,
        /// Whether it was a streamed install.
        streamed: bool,
    },
    /// A download waits: no source is left, or none made progress for a minute.
    DownloadStalled {
        /// The game.
        game: GameId,
        /// Verified bytes.
        bytes_done: u64,
        /// The payload's size in bytes.
        bytes_total: u64,
    },
    /// An install has begun.
    #[serde(rename = "install_started")]
    InstallGameBegin {
        /// The game.
        game: GameId,
        /// The version that is being installed.
        version: Version,
        /// Whether a peer expands the archive.
        streamed: bool,
    },
    /// An install goes on; at most a few a second.
    #[serde(rename = "install_progress")]
    InstallGameProgress {
        /// The game.
        game: GameId,
        /// Bytes written.
        bytes_done: u64,
        /// Bytes to write, where the archive tells.
        bytes_total: Option<u64>,
        /// Files written.
        files_done: u64,
        /// Files to write, where the archive tells.
        files_total: Option<u64>,
        /// Whether a peer expands the archive.
        streamed: bool,
    },
    /// An install is complete and durable.
    #[serde(rename = "install_finished")]
    InstallGameFinished(InstallSummary),
    /// An install failed: what was installed before is as it was, and the download too.
    #[serde(rename = "install_failed")]
    InstallGameFailed {
        /// The game.
        game: GameId,
        /// Why.
        error: Failure,
        /// Whether a peer expanded the archive.
        streamed: bool,
    },
    /// An install was taken back: what was installed before is as it was, and the download too.
    #[serde(rename = "install_cancelled")]
    InstallGameCancelled {
        /// The game.
        game: GameId,
        /// Whether a peer expanded the archive.
        streamed: bool,
    },
    /// An uninstall has begun.
    #[serde(rename = "uninstall_started")]
    UninstallGameBegin {
        /// The game.
        game: GameId,
    },
    /// Nothing of the game is installed any more; the download stays.
    #[serde(rename = "uninstall_finished")]
    UninstallGameFinished {
        /// The game.
        game: GameId,
    },
    /// An uninstall failed.
    #[serde(rename = "uninstall_failed")]
    UninstallGameFailed {
        /// The game.
        game: GameId,
        /// Why.
        error: Failure,
    },
    /// A verification has ended.
    VerifyFinished(VerifySummary),
    /// A verification could not be carried out.
    VerifyFailed {
        /// The game.
        game: GameId,
        /// Why.
        error: Failure,
    },
    /// A download was removed from the disk.
    Removed {
        /// The game.
        game: GameId,
    },
    /// Files are being hashed for the first time, or again because they changed.
    IndexProgress {
        /// The game.
        game: GameId,
        /// Bytes hashed.
        bytes_done: u64,
        /// Bytes to hash.
        bytes_total: u64,
    },
    /// A folder of the game directory is not announced.
    GameRefused {
        /// The folder's name.
        folder: String,
        /// Which rule it breaks, and with which path.
        reason: String,
    },
    /// Recovery left something of a game for a person to look at.
    RecoveryReport {
        /// The game.
        game: GameId,
        /// What it is about.
        path: PathBuf,
        /// What was found.
        what: RecoveryFinding,
    },
    /// A peer sent wrong bytes, or is not used any more, for a download or at all.
    PeerDistrusted {
        /// The peer, if it has proved who it is.
        peer: Option<PeerId>,
        /// Its display name, if it is known.
        name: Option<String>,
        /// Where it was reached.
        addr: Option<SocketAddr>,
        /// The game, if the distrust is limited to one.
        game: Option<GameId>,
        /// Why.
        reason: DistrustReason,
        /// Whether it is not used any more; false for the first wrong chunk, which may be a bad disk.
        dropped: bool,
    },
    /// A command that came through the channel was refused or failed at once.
    CommandFailed {
        /// The command's name.
        command: String,
        /// The game it was for.
        game: Option<GameId>,
        /// Why.
        error: Failure,
    },
    /// A part of the runtime failed; it is being restarted.
    RuntimeFailed {
        /// Which part.
        task: String,
        /// Why.
        message: String,
    },
    /// This subscriber was too slow and missed events: read the snapshots again.
    Lagged {
        /// How many it missed.
        missed: u64,
    },
    /// The peer is going.
    ShuttingDown,
}

/// What recovery leaves for a person to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecoveryFinding {
    /// Something under a name that is reserved for installs, and that no install of ours made. It is left
    /// as it is, and the game is not installed or removed while it is there.
    Foreign,
    /// A damaged document of the state directory, which has this name now.
    PutAside,
    /// An update was interrupted and neither the old nor the new version is there: somebody else removed
    /// them.
    InstallLost,
    /// The game could not be recovered; the log says why. The others were.
    Failed,
}

/// How a peer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said goodbye.
    Goodbye,
    /// Nothing came from it any more.
    TimedOut,
    /// The connection broke.
    ConnectionLost,
}

/// Why a peer is not used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DistrustReason {
    /// It sent chunks with wrong bytes.
    WrongBytes,
    /// Its certificate belongs to another party.
    PartyMismatch,
    /// It is not the peer that it was said to be.
    OtherIdentity,
}

/// One manifest on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestOffer {
    /// The manifest.
    pub manifest: ManifestId,
    /// Who offers it.
    pub peers: Vec<PeerId>,
}

/// Where the runtime's parts put events; never blocks.
#[derive(Debug, Clone)]
pub(crate) struct Events(broadcast::Sender<Arc<PeerEvent>>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(EVENTS_BUFFERED_MAX).0)
    }

    pub(crate) fn tell(&self, event: PeerEvent) {
        tracing::debug!(?event, "told");
        // Nobody listening is a fine state of a library.
        let _ = self.0.send(Arc::new(event));
    }

    pub(crate) fn subscribe(&self) -> EventStream {
        EventStream(self.0.subscribe())
    }

    /// Forwards to an embedder's channel; a full channel costs the embedder events, never us time.
    pub(crate) fn forward_to(&self, subscriber: mpsc::Sender<PeerEvent>) {
        let mut stream = self.subscribe();
        tokio::spawn(async move {
            let mut missed = 0_u64;
            while let Some(event) = stream.next().await {
                if missed > 0 && subscriber.try_send(PeerEvent::Lagged { missed }).is_ok() {
                    missed = 0;
                }
                match subscriber.try_send(event) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(_)) => missed += 1,
                    Err(mpsc::error::TrySendError::Closed(_)) => return,
                }
            }
        });
    }
}

/// A subscription to a peer's events.
#[derive(Debug)]
pub struct EventStream(broadcast::Receiver<Arc<PeerEvent>>);

impl EventStream {
    /// The next event; [`PeerEvent::Lagged`] after this subscriber was too slow; `None` when the peer
    /// is gone.
    pub async fn next(&mut self) -> Option<PeerEvent> {
        match self.0.recv().await {
            Ok(event) => Some(Arc::unwrap_or_clone(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(PeerEvent::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
