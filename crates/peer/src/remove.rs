//! Removing what is on the disk: a downloaded game, or what an interrupted download left.

use std::sync::Arc;

use lanspread_install::{self as install, RemoveError};
use lanspread_proto::GameId;

use crate::{
    context::Context,
    download,
    error::{ErrorCode, OperationError},
    event::PeerEvent,
    recovery,
};

/// Removes a downloaded game that is not installed. The catalog has admitted it.
pub(crate) async fn remove(context: Arc<Context>, game: GameId) -> Result<(), OperationError> {
    let home = context.home();
    let hold = home.library.hold(&game);
    // Nobody is to fetch from what is going.
    home.library.changed_on_disk(&game);
    context.library_changed();
    let id = game.clone();
    let removing = tokio::task::spawn_blocking(move || {
        recovery::before_operation(&context, &home, &id)
            .map_err(|error| failed(&id, ErrorCode::Io, Box::new(error)))?;
        let removed = install::remove_download(&*home.disk, &context.state, &id)
            .map_err(|error| refusal(&id, error));
        home.library.refresh_folder(&id);
        removed
    });
    let removed = removing.await;
    drop(hold);
    removed.unwrap_or_else(|panic| Err(failed(&game, ErrorCode::Internal, Box::new(panic))))
}

/// Takes back what an interrupted download wrote.
pub(crate) async fn discard_partial(
    context: Arc<Context>,
    game: GameId,
) -> Result<(), OperationError> {
    let home = context.home();
    let hold = home.library.hold(&game);
    let id = game.clone();
    let discarding = tokio::task::spawn_blocking(move || {
        let discarded = install::discard_partial(&*home.disk, &context.state, &id)
            .map_err(|error| download::store_error(&id, error));
        home.library.refresh_folder(&id);
        discarded
    });
    let discarded = discarding.await;
    drop(hold);
    discarded.unwrap_or_else(|panic| Err(internal(game, panic)))
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
        .then_some(PeerEvent::DownloadGameFilesCancelled {
            game,
            streamed: false,
        })
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
                // Recovery did not take it for ours, and it may hold an installed game.
                RemoveError::InstallLeftover { .. } => ErrorCode::Installed,
                _ => ErrorCode::Io,
            };
            failed(&game, code, Box::new(error))
        }
    }
}

fn failed(
    game: &GameId,
    code: ErrorCode,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> OperationError {
    OperationError::Remove {
        game: game.clone(),
        code,
        source,
    }
}

fn internal(game: GameId, panic: tokio::task::JoinError) -> OperationError {
    OperationError::Store {
        game,
        code: ErrorCode::Internal,
        source: Box::new(panic),
    }
}
