//! The handle of a running peer: the same verbs as [`PeerCommand`], typed and awaitable.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use lanspread_proto::{GameId, PeerId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    command::{DownloadRequest, PeerCommand, StreamInstallRequest},
    context::Context,
    error::OperationError,
    event::EventStream,
    fetch,
    game_db::PeerGameDB,
    launch,
    operation::Operation,
    runtime::Message,
    view::{
        DownloadSummary, GameDetails, GameView, InstallSummary, PeerView, Status, VerifySummary,
    },
};

/// A running peer. Cheap to clone; the peer runs until [`PeerRuntimeHandle::shutdown`], whoever drops
/// what.
#[derive(Debug, Clone)]
pub struct PeerRuntimeHandle {
    pub(crate) context: Arc<Context>,
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) commands: mpsc::Sender<PeerCommand>,
    pub(crate) stopped: CancellationToken,
}

impl PeerRuntimeHandle {
    /// This machine's identity.
    pub fn id(&self) -> PeerId {
        self.context.id
    }

    /// Where the peer listens.
    pub fn listen_addr(&self) -> SocketAddr {
        self.context.listen
    }

    /// The channel for commands whose answers come as events.
    pub fn sender(&self) -> mpsc::Sender<PeerCommand> {
        self.commands.clone()
    }

    /// A subscription to everything that happens from now on.
    pub fn events(&self) -> EventStream {
        self.context.events.subscribe()
    }

    /// What is known of remote games.
    pub fn game_db(&self) -> &PeerGameDB {
        &self.context.game_db
    }

    // # Snapshots

    /// Every title that is known, here or elsewhere, ordered by id.
    pub fn games(&self) -> Vec<GameView> {
        self.context.games()
    }

    /// The connected peers, ordered by name.
    pub fn peers(&self) -> Vec<PeerView> {
        self.context.game_db.peers()
    }

    /// How many peers are connected. Told as [`crate::PeerEvent::PeerCount`] too.
    pub fn peer_count(&self) -> usize {
        self.context.tell_peer_count()
    }

    /// What the peer is doing.
    pub fn status(&self) -> Status {
        self.context.status()
    }

    // # Questions to other peers

    /// What a download of `game` would fetch; from the local library when the game is here, else from
    /// the peers.
    pub async fn game(&self, game: &GameId) -> Result<GameDetails, OperationError> {
        fetch::details(&self.context, game).await
    }

    /// What a download of `game` would fetch, asked of the peers alone.
    pub async fn fetch_latest(&self, game: &GameId) -> Result<GameDetails, OperationError> {
        fetch::latest_details(&self.context, game).await
    }

    /// Connects to `HOST:PORT`, and goes on trying for as long as the peer runs.
    ///
    /// # Errors
    /// [`OperationError::Connect`] when the first attempt fails: the name does not resolve, nobody
    /// answers, or the party is another one.
    pub async fn connect(&self, addr: &str) -> Result<PeerView, OperationError> {
        let addr = addr.to_owned();
        self.ask(|reply| Message::Connect { addr, reply }).await?
    }

    // # Operations

    /// Starts a download, and the install that follows it unless the request says otherwise. It goes on when
    /// the returned object is dropped. The object ends when the last of it does: an install that failed is
    /// its error, and [`crate::PeerEvent::DownloadGameFilesFinished`] has told before that the download itself
    /// is complete.
    pub async fn download(
        &self,
        request: DownloadRequest,
    ) -> Result<Operation<DownloadSummary>, OperationError> {
        self.ask(|reply| Message::Download { request, reply })
            .await?
    }

    /// Starts an install of what is downloaded, over what is installed: after it `local/` is the new
    /// version, and the old one, with whatever it held, is gone. A failure or a cancel leaves it as it was.
    ///
    /// # Errors
    /// Refuses a game that the catalog does not admit, is not downloaded or is busy.
    pub async fn install(&self, game: GameId) -> Result<Operation<InstallSummary>, OperationError> {
        self.ask(|reply| Message::Install { game, reply }).await?
    }

    /// Starts an install straight from a peer that expands its archive: nothing is downloaded, and no
    /// archive needs room here. What was installed before stays until all has come.
    ///
    /// # Errors
    /// Refuses a game that the catalog does not admit, that no peer offers or that is busy.
    pub async fn stream_install(
        &self,
        request: StreamInstallRequest,
    ) -> Result<Operation<InstallSummary>, OperationError> {
        self.ask(|reply| Message::StreamInstall { request, reply })
            .await?
    }

    /// Starts the removal of `local/`, whatever it holds; the download stays.
    ///
    /// # Errors
    /// Refuses a game that the catalog does not admit, is not installed or is busy.
    pub async fn uninstall(&self, game: GameId) -> Result<Operation<()>, OperationError> {
        self.ask(|reply| Message::Uninstall { game, reply }).await?
    }

    /// Starts a check of every byte of a downloaded game, and its repair if asked for.
    pub async fn verify(
        &self,
        game: GameId,
        repair: bool,
    ) -> Result<Operation<VerifySummary>, OperationError> {
        self.ask(|reply| Message::Verify {
            game,
            repair,
            reply,
        })
        .await?
    }

    /// Removes a downloaded game from the disk.
    ///
    /// # Errors
    /// Refuses a game that the catalog does not admit, is not downloaded, is installed or is busy.
    pub async fn remove(&self, game: GameId) -> Result<(), OperationError> {
        self.ask(|reply| Message::Remove { game, reply }).await?
    }

    /// Cancels what runs on `game`, or discards an idle partial download. Returns once it is accepted;
    /// [`crate::PeerEvent::DownloadGameFilesCancelled`] or [`crate::PeerEvent::InstallGameCancelled`] tells
    /// that it is done.
    pub async fn cancel(&self, game: GameId) -> Result<(), OperationError> {
        self.ask(|reply| Message::Cancel { game, reply }).await?
    }

    /// Uses another game directory from now on: the old one's games are withdrawn first.
    ///
    /// # Errors
    /// Refuses while any operation runs, and a directory that another process holds.
    pub async fn set_game_dir(&self, path: PathBuf) -> Result<(), OperationError> {
        self.ask(|reply| Message::SetGameDir { path, reply })
            .await?
    }

    // # Installed games

    /// What an embedder keeps for an installed game; `None` if nothing, or a new version was installed since.
    ///
    /// # Errors
    /// Refuses a game that is not installed.
    pub async fn launch_settings(
        &self,
        game: &GameId,
    ) -> Result<Option<serde_json::Value>, OperationError> {
        launch::settings(&self.context, game).await
    }

    /// Keeps `settings` for an installed game, until it is installed again or uninstalled; at most
    /// [`LAUNCH_SETTINGS_BYTES_MAX`] of JSON.
    ///
    /// # Errors
    /// Refuses a game that is not installed, or that is being installed, uninstalled or removed.
    ///
    /// [`LAUNCH_SETTINGS_BYTES_MAX`]: lanspread_proto::limits::LAUNCH_SETTINGS_BYTES_MAX
    pub async fn set_launch_settings(
        &self,
        game: &GameId,
        settings: serde_json::Value,
    ) -> Result<(), OperationError> {
        launch::set_settings(&self.context, game, settings).await
    }

    // # Shutdown

    /// Says goodbye, lets a commit that has begun finish, stops everything else and waits for it, for
    /// a few seconds at most. Downloads keep their verified chunks, installs are taken back. Calling it again waits too.
    pub async fn shutdown(&self) {
        // A closed channel means that it is already stopping.
        let _ = self.messages.send(Message::Shutdown).await;
        self.stopped.cancelled().await;
    }

    /// Waits until the peer has stopped, whoever stopped it.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, OperationError> {
        let (reply, answer) = oneshot::channel();
        self.messages
            .send(message(reply))
            .await
            .map_err(|_| OperationError::Stopped)?;
        answer.await.map_err(|_| OperationError::Stopped)
    }
}
