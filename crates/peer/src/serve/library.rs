//! Answers about games: summaries and manifests.

use std::sync::Arc;

use lanspread_disk::StoredPayload;
use lanspread_proto::{
    GameId,
    message::{self, Answer, GAMES_PER_PAGE, GameSummary, GamesPage, RefusalCode},
};

use super::refuse;
use crate::{
    context::Context,
    transport::{SendHalf, WireError},
};

/// Chunk hashes that are queued at once, so that a slow reader costs no copy of all of them.
const HASHES_PER_PIECE: usize = 8192;

pub(super) async fn list_games(context: &Context, mut send: SendHalf) -> Result<(), WireError> {
    let shown = context.shelf.shown().borrow().clone();
    let games: Vec<GameSummary> = shown.games.values().cloned().collect();
    let mut pages = games.chunks(GAMES_PER_PAGE).peekable();
    loop {
        let games = pages.next().unwrap_or_default().to_vec();
        let last = pages.peek().is_none();
        send.message(&Answer::Games(GamesPage { games, last }))
            .await?;
        if last {
            return send.finish();
        }
    }
}

pub(super) async fn get_game(
    context: &Arc<Context>,
    game: &GameId,
    mut send: SendHalf,
) -> Result<(), WireError> {
    let Some(payload) = served_payload(context, game).await else {
        return refuse(
            send,
            RefusalCode::UnknownGame,
            format!("{game} is not served here"),
        )
        .await;
    };
    let (header, pages) = message::paginate(game, payload.id(), payload.manifest());
    send.message(&Answer::Game(header)).await?;
    for page in pages {
        send.message(&Answer::GamePage(page)).await?;
    }
    for piece in payload.chunk_hashes().chunks(HASHES_PER_PIECE) {
        send.bytes(message::hashes_to_bytes(piece).into()).await?;
    }
    send.finish()
}

/// The payload that is announced for a game. Reading its manifest may touch the disk.
async fn served_payload(context: &Arc<Context>, game: &GameId) -> Option<StoredPayload> {
    if let Some(partial) = context.shelf.partial_of(game) {
        return Some(partial.payload.clone());
    }
    let library = context.home().library.clone();
    let game = game.clone();
    let payload = tokio::task::spawn_blocking(move || library.payload_of(&game))
        .await
        .ok()??;
    Some(payload.stored().clone())
}
