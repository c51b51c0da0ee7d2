//! Commands that come through the channel: the handle's methods, answered by events.

use lanspread_proto::GameId;

use crate::{
    command::PeerCommand, error::OperationError, event::PeerEvent, handle::PeerRuntimeHandle,
};

/// Carries out a command in a task of its own; a refusal is told as an event.
pub(crate) fn spawn(handle: PeerRuntimeHandle, command: PeerCommand) {
    let (name, game) = describe(&command);
    tokio::spawn(async move {
        if let Err(error) = carry_out(&handle, command).await {
            handle.context.events.tell(PeerEvent::CommandFailed {
                command: name.to_owned(),
                game,
                error: error.failure(),
            });
        }
    });
}

async fn carry_out(handle: &PeerRuntimeHandle, command: PeerCommand) -> Result<(), OperationError> {
    match command {
        PeerCommand::ListGames => {
            handle.context.events.tell(PeerEvent::GamesListed {
                games: handle.games(),
            });
        }
        PeerCommand::GetGame { game } => {
            let details = handle.game(&game).await?;
            handle.context.events.tell(PeerEvent::GotGameFiles(details));
        }
        PeerCommand::FetchLatestFromPeers { game } => drop(handle.fetch_latest(&game).await?),
        PeerCommand::DownloadGameFiles(request) => drop(handle.download(request).await?),
        PeerCommand::StreamInstallGame(request) => drop(handle.stream_install(request).await?),
        PeerCommand::InstallGame { game } => drop(handle.install(game).await?),
        PeerCommand::UninstallGame { game } => drop(handle.uninstall(game).await?),
        PeerCommand::CancelDownload { game } => handle.cancel(game).await?,
        PeerCommand::RemoveDownloadedGame { game } => handle.remove(game).await?,
        PeerCommand::VerifyGame { game, repair } => drop(handle.verify(game, repair).await?),
        PeerCommand::SetGameDir { path } => handle.set_game_dir(path).await?,
        PeerCommand::GetPeerCount => drop(handle.peer_count()),
        PeerCommand::Connect { addr } => drop(handle.connect(&addr).await?),
        PeerCommand::Shutdown => handle.shutdown().await,
    }
    Ok(())
}

fn describe(command: &PeerCommand) -> (&'static str, Option<GameId>) {
    match command {
        PeerCommand::ListGames => ("list_games", None),
        PeerCommand::GetGame { game } => ("get_game", Some(game.clone())),
        PeerCommand::FetchLatestFromPeers { game } => {
            ("fetch_latest_from_peers", Some(game.clone()))
        }
        PeerCommand::DownloadGameFiles(request) => {
            ("download_game_files", Some(request.game.clone()))
        }
        PeerCommand::StreamInstallGame(request) => {
            ("stream_install_game", Some(request.game.clone()))
        }
        PeerCommand::InstallGame { game } => ("install_game", Some(game.clone())),
        PeerCommand::UninstallGame { game } => ("uninstall_game", Some(game.clone())),
        PeerCommand::CancelDownload { game } => ("cancel_download", Some(game.clone())),
        PeerCommand::RemoveDownloadedGame { game } => {
            ("remove_downloaded_game", Some(game.clone()))
        }
        PeerCommand::VerifyGame { game, .. } => ("verify_game", Some(game.clone())),
        PeerCommand::SetGameDir { .. } => ("set_game_dir", None),
        PeerCommand::GetPeerCount => ("get_peer_count", None),
        PeerCommand::Connect { .. } => ("connect", None),
        PeerCommand::Shutdown => ("shutdown", None),
    }
}
