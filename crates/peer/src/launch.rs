//! Launch settings: a small document that an embedder keeps for an installed game. An install that commits
//! clears it, because it was made for another version.

use std::sync::Arc;

use lanspread_disk::{LAUNCH_SETTINGS_NAME, RealDisk, StateDir, StateDocument};
use lanspread_proto::{GameId, limits};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    context::Context, error::OperationError, install::refuse_not_installed, view::OperationKind,
};

/// `games/<id>/launch_settings.json`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct LaunchSettings(Value);

impl StateDocument for LaunchSettings {
    const FORMAT: u32 = 1;
}

/// Reads them.
pub(crate) async fn settings(
    context: &Arc<Context>,
    game: &GameId,
) -> Result<Option<Value>, OperationError> {
    refuse_not_installed(context, game)?;
    on_state(context, game, |state, path| {
        let settings = state.read_document::<LaunchSettings>(path)?;
        Ok(settings.map(|LaunchSettings(settings)| settings))
    })
    .await
}

/// Writes them.
pub(crate) async fn set_settings(
    context: &Arc<Context>,
    game: &GameId,
    settings: Value,
) -> Result<(), OperationError> {
    refuse_not_installed(context, game)?;
    refuse_changing(context, game)?;
    let text = settings.to_string();
    limits::check(
        "bytes of launch settings",
        text.len() as u64,
        limits::LAUNCH_SETTINGS_BYTES_MAX,
    )?;
    on_state(context, game, move |state, path| {
        // What is nested too deeply to be read again is not written.
        serde_json::from_str::<[Value; 1]>(&format!("[{text}]"))?;
        Ok(state.write_document(path, &LaunchSettings(settings))?)
    })
    .await
}

/// Refuses while an operation runs that ends the settings' life.
fn refuse_changing(context: &Context, game: &GameId) -> Result<(), OperationError> {
    match context.running(game) {
        Some(
            kind @ (OperationKind::Install
            | OperationKind::StreamInstall
            | OperationKind::Uninstall
            | OperationKind::Remove),
        ) => Err(OperationError::Busy {
            game: game.clone(),
            running: kind.as_str(),
        }),
        _ => Ok(()),
    }
}

/// Works on the document on a blocking thread.
async fn on_state<T: Send + 'static>(
    context: &Context,
    game: &GameId,
    work: impl FnOnce(&StateDir, &str) -> Result<T, Box<dyn std::error::Error + Send + Sync>>
    + Send
    + 'static,
) -> Result<T, OperationError> {
    let state = context.state.clone();
    let path = StateDir::<RealDisk>::game_path(game, LAUNCH_SETTINGS_NAME);
    let worked = tokio::task::spawn_blocking(move || work(&state, &path))
        .await
        .unwrap_or_else(|panic| Err(panic.into()));
    worked.map_err(|source| OperationError::LaunchSettings {
        game: game.clone(),
        source,
    })
}
