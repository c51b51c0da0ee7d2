//! Following a peer's pushes: what it serves, as it changes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lanspread_proto::{
    limits,
    message::{Answer, Push, RUNS_PER_PUSH, Request},
};
use tokio::time::{MissedTickBehavior, interval};

use super::ask::{answer, request};
use crate::{
    context::{Context, News},
    event::PeerEvent,
    links::Serial,
    shelf::cut_name,
    transport::{CloseCode, Link, WireError},
};

/// Between two pushes that are taken from one peer: each makes work for everyone who shows the library or
/// downloads, and an honest peer batches its changes.
const PUSH_INTERVAL_MIN: Duration = Duration::from_millis(20);

/// Follows one peer over one connection.
pub(super) struct Follower {
    pub(super) context: Arc<Context>,
    pub(super) link: Link,
    pub(super) serial: Serial,
    pub(super) name: String,
    pub(super) addr: SocketAddr,
}

impl Follower {
    /// Reads pushes until the connection ends. A peer that does not push is not worth a connection.
    pub(super) async fn follow(self) {
        match self.read_pushes().await {
            Ok(()) => tracing::debug!("the peer ended its pushes"),
            Err(error) if error.is_closed() => {}
            Err(error) => {
                tracing::warn!(%error, "closing a connection whose pushes cannot be read");
                self.link.close(CloseCode::Protocol);
            }
        }
    }

    async fn read_pushes(&self) -> Result<(), WireError> {
        let (context, link) = (&self.context, &self.link);
        let mut receive = request(link, &Request::Subscribe).await?;
        let Answer::Subscribed = answer(&mut receive).await? else {
            return Err(WireError::Unexpected { expected: "pushes" });
        };
        let peer = link.peer;
        let mut pace = interval(PUSH_INTERVAL_MIN);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(push) = receive.pushed("push").await? {
            pace.tick().await;
            match push {
                Push::Games {
                    reset,
                    mut upserted,
                    removed,
                    ..
                } => {
                    upserted.retain(|game| context.catalog.admits(&game.id));
                    for game in &mut upserted {
                        game.name = game.name.as_deref().map(cut_name);
                    }
                    context
                        .game_db
                        .games_changed(peer, reset, upserted, &removed);
                    context.tell_news(News::Games(peer));
                    context.games_changed();
                    self.introduce();
                }
                Push::Chunks {
                    manifest,
                    of,
                    gained,
                } => {
                    check_runs(of, &gained)?;
                    context.game_db.chunks_gained(peer, manifest, of, &gained);
                    context.tell_news(News::Gained(peer, manifest, Arc::new(gained)));
                }
                // A newer peer may push what this version does not know.
                _ => {}
            }
        }
        Ok(())
    }

    /// Tells that the peer has joined: only now is it known what it serves, and whoever hears of it may
    /// ask for that at once.
    fn introduce(&self) {
        let (context, peer) = (&self.context, self.link.peer);
        context.links.introduce(peer, self.serial, || {
            tracing::info!(addr = %self.addr, name = self.name, "peer joined");
            context.events.tell(PeerEvent::PeerJoined {
                peer,
                name: self.name.clone(),
                addr: self.addr,
            });
        });
    }
}

/// Refuses runs that are too many, overlap or leave the payload, so that taking them in costs no more than
/// the payload has chunks.
pub(crate) fn check_runs(of: u32, runs: &[(u32, u32)]) -> Result<(), WireError> {
    let mut next = 0;
    let in_order = runs.iter().all(|(first, count)| {
        let follows = *first >= next;
        next = first.saturating_add(*count);
        follows && *count > 0 && next <= of
    });
    if in_order && runs.len() <= RUNS_PER_PUSH && of <= limits::CHUNKS_MAX {
        Ok(())
    } else {
        Err(WireError::Unexpected {
            expected: "runs of a payload's chunks in order",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_in_order_within_the_payload_pass_and_no_others() {
        let taken = |of, runs: &[(u32, u32)]| check_runs(of, runs).is_ok();
        assert!(taken(0, &[]));
        assert!(taken(10, &[(0, 1), (1, 2), (9, 1)]));
        assert!(!taken(10, &[(0, 2), (1, 1)]), "an overlap");
        assert!(!taken(10, &[(5, 1), (4, 1)]), "backwards");
        assert!(!taken(10, &[(9, 2)]), "past the end");
        assert!(!taken(u32::MAX, &[(0, 1)]), "a payload beyond the limit");
        assert!(!taken(10, &[(3, 0)]), "an empty run");
        assert!(!taken(10, &[(1, u32::MAX)]), "an overflow");
        let many: Vec<_> = (0..=20_000).map(|at| (at * 2, 1)).collect();
        assert!(!taken(50_000, &many) && taken(50_000, &many[1..]));
    }
}
