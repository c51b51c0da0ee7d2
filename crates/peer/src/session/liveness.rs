//! Pings: the round trip to a peer, and a sign of life that goes through its whole program.

use std::{convert::Infallible, sync::Arc};

use tokio::{
    sync::{Mutex, mpsc},
    time::Instant,
};

use super::{SessionNews, ask};
use crate::{context::Context, links::Serial, transport::Link};

/// Sends the pings that the peer table asks for, each in a task of its own, so that a silent peer holds
/// nobody up. One of the long-lived tasks; ends when nobody asks any more.
pub(crate) async fn run_ping_service(
    context: Arc<Context>,
    wanted: Arc<Mutex<mpsc::Receiver<Serial>>>,
    news: mpsc::Sender<SessionNews>,
) -> Result<(), Infallible> {
    while let Some(serial) = wanted.lock().await.recv().await {
        let Some(link) = context.links.by_serial(serial) else {
            continue;
        };
        let (context, news) = (context.clone(), news.clone());
        tokio::spawn(async move { measure(&context, &link, serial, &news).await });
    }
    Ok(())
}

/// Measures one peer's round trip. A ping that fails is told by its silence.
pub(super) async fn measure(
    context: &Context,
    link: &Link,
    serial: Serial,
    news: &mpsc::Sender<SessionNews>,
) {
    let start = Instant::now();
    match ask::ping(link).await {
        Ok(()) => {
            let rtt = start.elapsed();
            context.game_db.measured(link.peer, rtt);
            // A closed channel means that the peer is shutting down.
            let _ = news.send(SessionNews::Pong { serial, rtt }).await;
        }
        Err(error) => tracing::debug!(peer = %link.peer.short(), %error, "a ping failed"),
    }
}
