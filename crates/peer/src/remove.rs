//! Removing what is on the disk: a downloaded game, or what an interrupted download left.

use std::sync::Arc;

use lanspread_install::{self as install, RemoveError};
use lanspread_proto::GameId;

use crate::{
    context::Context,
    download,
    error::{ErrorCode, OperationError},
    event::PeerEvent,
};

/// Removes a downloaded game that is not installed. The catalog has admitted it.
pub(crate) async fn remove(context: Arc<Context>, game: GameId) -> Result<(), OperationError> {
    let home = context.home();
    let hold = home.library.hold(&game);
    // Nobody is to fetch from what is going.
    home.library.changed_on_disk(&game);
    context.library_changed();
    let (disk, state, id) = (home.disk.clone(), context.state.clone(), game.clone());
    let removing =
        tokio::task::spawn_blocking(move || install::remove_download(&*disk, &state, &id)).await;
    drop(hold);
    match removing {
        Ok(removed) => removed.map_err(|error| refusal(&game, error))?,
        Err(panic) => return Err(internal(game, panic)),
    }
    Ok(())
}

/// Takes back what an interrupted download wrote.
pub(crate) async fn discard_partial(
    context: Arc<Context>,
    game: GameId,
) -> Result<(), OperationError> {
    let home = context.home();
    let hold = home.library.hold(&game);
    let (disk, state, id) = (home.disk.clone(), context.state.clone(), game.clone());
    let discarding =
        tokio::task::spawn_blocking(move || install::discard_partial(&*disk, &state, &id)).await;
    drop(hold);
    match discarding {
        Ok(done) => done.map_err(|error| download::store_error(&game, error))?,
        Err(panic) => return Err(internal(game, panic)),
    }
    Ok(())
}

/// What is told of a removal's end; a failure is the caller's answer and told to nobody else.
pub(crate) fn removed_tale(game: &GameId, end: &Result<(), OperationError>) -> Option<PeerEvent> {
    let game = game.clone();
    end.is_ok().then_some(PeerEvent::Removed { game })
}

/// What is told when an interrupted download was taken back.
pub(crate) fn discarded_tale(game: &GameId, end: &Result<(), OperationError>) -> Option<PeerEvent> {
    let game = game.clone();
    end.is_ok()
        .then_some(PeerEvent::DownloadGameFilesCancelled { game })
}

fn refusal(game: &GameId, error: RemoveError) -> OperationError {
    let game = game.clone();
    match error {
        RemoveError::NoRoot { .. } | RemoveError::NotDownloaded { .. } => {
            OperationError::NotDownloaded { game }
        }
        RemoveError::Installed { .. } => OperationError::Installed { game },
        error => {
            let code = match &error {
                RemoveError::BadSentinel { .. } => ErrorCode::NotDownloaded,
                RemoveError::InstallLeftover { .. } => ErrorCode::Installed,
                _ => ErrorCode::Io,
            };
            let source = Box::new(error);
            OperationError::Remove { game, code, source }
        }
    }
}

fn internal(game: GameId, panic: tokio::task::JoinError) -> OperationError {
    OperationError::Store {
        game,
        code: ErrorCode::Internal,
        source: Box::new(panic),
    }
}
