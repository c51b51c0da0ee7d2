//! Following a peer's pushes: what it serves, as it changes.

use std::sync::Arc;

use lanspread_proto::message::{Answer, Push, Request};

use super::ask::{answer, request};
use crate::{
    context::{Context, News},
    transport::{CloseCode, Link, WireError},
};

/// Reads pushes until the connection ends. A peer that does not push is not worth a connection.
pub(super) async fn follow(context: Arc<Context>, link: Link) {
    match read_pushes(&context, &link).await {
        Ok(()) => tracing::debug!("the peer ended its pushes"),
        Err(error) if error.is_closed() => {}
        Err(error) => {
            tracing::warn!(%error, "closing a connection whose pushes cannot be read");
            link.close(CloseCode::Protocol);
        }
    }
}

async fn read_pushes(context: &Context, link: &Link) -> Result<(), WireError> {
    let mut receive = request(link, &Request::Subscribe).await?;
    let Answer::Subscribed = answer(&mut receive).await? else {
        return Err(WireError::Unexpected { expected: "pushes" });
    };
    let peer = link.peer;
    while let Some(push) = receive.pushed("push").await? {
        match push {
            Push::Games {
                reset,
                mut upserted,
                removed,
                ..
            } => {
                upserted.retain(|game| context.catalog.admits(&game.id));
                context
                    .game_db
                    .games_changed(peer, reset, upserted, &removed);
                context.tell_news(News::Games(peer));
                context.tell_library();
            }
            Push::Chunks {
                manifest,
                of,
                gained,
            } => {
                context.game_db.chunks_gained(peer, manifest, of, &gained);
                context.tell_news(News::Gained(peer, manifest, Arc::new(gained)));
            }
            // A newer peer may push what this version does not know.
            _ => {}
        }
    }
    Ok(())
}
