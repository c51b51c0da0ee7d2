//! Pushes: what is here already, then every change; changes that follow each other closely go together.
//!
//! Each subscriber's task keeps what it has told, and tells the difference: nothing is queued for a
//! slow subscriber but the latest state.

use std::{collections::HashMap, sync::Arc, time::Duration};

use lanspread_proto::{
    ChunkIndex, ManifestId, PeerId,
    message::{Answer, GAMES_PER_PAGE, Push, RUNS_PER_PUSH},
};
use tokio::time::{Instant, sleep_until};

use crate::{
    context::Context,
    shelf::Shown,
    transport::{SendHalf, WireError},
};

/// Between two pushes of changes passes at least this, so that a fast download is a few pushes a second. What comes
/// later than that after the last push is told at once: who is told late asks late.
const SPACING: Duration = Duration::from_millis(100);

/// Runs until the subscriber goes away, which the next write notices; keep-alive pings end a
/// connection on which there is nothing to write.
pub(super) async fn push(
    context: &Arc<Context>,
    peer: PeerId,
    mut send: SendHalf,
) -> Result<(), WireError> {
    send.message(&Answer::Subscribed).await?;
    let (mut shown, mut gained) = (context.shelf.shown(), context.shelf.gained());
    let mut exchanges = context.exchanges.changed();
    let mut told = Told::default();
    loop {
        let now = shown.borrow_and_update().clone();
        gained.mark_unchanged();
        exchanges.mark_unchanged();
        for push in told
            .games(&now)
            .into_iter()
            .chain(told.chunks(context, peer, &now))
        {
            send.message(&push).await?;
        }
        let earliest = Instant::now() + SPACING;
        tokio::select! {
            changed = shown.changed() => if changed.is_err() { return send.finish() },
            changed = gained.changed() => if changed.is_err() { return send.finish() },
            changed = exchanges.changed() => if changed.is_err() { return send.finish() },
            () = context.cancel.cancelled() => return send.finish(),
        }
        sleep_until(earliest).await;
    }
}

/// What a subscriber knows.
#[derive(Default)]
struct Told {
    games: Option<Arc<Shown>>,
    /// Per partial payload, how much of its log of stored chunks was told.
    logs: HashMap<ManifestId, usize>,
}

impl Told {
    /// The difference of the games, in as many pushes as it needs; at first all of them.
    fn games(&mut self, now: &Arc<Shown>) -> Vec<Push> {
        if self
            .games
            .as_ref()
            .is_some_and(|told| Arc::ptr_eq(told, now))
        {
            return Vec::new();
        }
        let first = self.games.is_none();
        let before = self.games.replace(now.clone()).unwrap_or_default();
        let upserted: Vec<_> = now
            .games
            .values()
            .filter(|game| before.games.get(&game.id) != Some(game))
            .cloned()
            .collect();
        let mut removed: Vec<_> = before
            .games
            .keys()
            .filter(|id| !now.games.contains_key(*id))
            .cloned()
            .collect();
        if upserted.is_empty() && removed.is_empty() && !first {
            return Vec::new();
        }
        let mut pages: Vec<_> = upserted.chunks(GAMES_PER_PAGE).map(<[_]>::to_vec).collect();
        if pages.is_empty() {
            pages.push(Vec::new());
        }
        let page = |(at, upserted)| Push::Games {
            revision: now.revision,
            reset: first && at == 0,
            upserted,
            removed: if at == 0 {
                std::mem::take(&mut removed)
            } else {
                Vec::new()
            },
        };
        pages.into_iter().enumerate().map(page).collect()
    }

    /// What those of the announced partial payloads gained that are exchanged with the subscriber.
    fn chunks(&mut self, context: &Context, peer: PeerId, now: &Shown) -> Vec<Push> {
        let mut partial = context.shelf.partials();
        partial.retain(|partial| {
            let manifest = partial.payload.id();
            let shown = now.games.get(&partial.game);
            shown.is_some_and(|game| game.manifest == manifest && !game.complete)
                && context.exchanges.has(manifest, peer)
        });
        self.logs
            .retain(|manifest, _| partial.iter().any(|one| one.payload.id() == *manifest));
        let mut pushes = Vec::new();
        for partial in partial {
            let manifest = partial.payload.id();
            let told = self.logs.entry(manifest).or_default();
            let (gained, now_told) = partial.gained_since(*told);
            *told = now_told;
            for gained in runs(&gained).chunks(RUNS_PER_PUSH) {
                let gained = gained.to_vec();
                pushes.push(Push::Chunks {
                    manifest,
                    of: partial.map.count(),
                    gained,
                });
            }
        }
        pushes
    }
}

/// Sorted chunks as runs of first number and count.
fn runs(chunks: &[ChunkIndex]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for chunk in chunks {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == chunk.get() => *count += 1,
            _ => runs.push((chunk.get(), 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use lanspread_proto::{ChunkMap, Hash, message::GameSummary};

    use super::*;

    fn shown(revision: u64, ids: &[&str]) -> Arc<Shown> {
        let games = ids.iter().map(|id| {
            let summary = GameSummary {
                id: id.parse().unwrap(),
                name: None,
                version: "1".parse().unwrap(),
                manifest: ManifestId::new(Hash::of(id.as_bytes())),
                bytes: 1,
                complete: true,
            };
            (summary.id.clone(), summary)
        });
        Arc::new(Shown {
            revision,
            games: games.collect(),
        })
    }

    #[test]
    fn everything_is_told_first_and_only_differences_afterwards() {
        let mut told = Told::default();
        let first = told.games(&shown(1, &["a", "b"]));
        assert!(
            matches!(&first[..], [Push::Games { reset: true, upserted, .. }] if upserted.len() == 2)
        );
        assert!(told.games(&shown(1, &["a", "b"])).is_empty());
        let second = told.games(&shown(2, &["b", "c"]));
        let [
            Push::Games {
                reset: false,
                upserted,
                removed,
                ..
            },
        ] = &second[..]
        else {
            panic!("{second:?}")
        };
        assert_eq!((upserted[0].id.as_str(), removed[0].as_str()), ("c", "a"));
    }

    #[test]
    fn an_empty_library_is_told_too_so_that_what_was_known_before_is_void() {
        let first = Told::default().games(&shown(0, &[]));
        assert!(matches!(&first[..], [Push::Games { reset: true, .. }]));
    }

    #[test]
    fn neighbours_travel_as_one_run() {
        let map = ChunkMap::new(vec![1; 10]);
        let chunks: Vec<_> = [0, 1, 2, 5, 7, 8]
            .map(|raw| map.check(raw).unwrap())
            .to_vec();
        assert_eq!(runs(&chunks), [(0, 3), (5, 1), (7, 2)]);
    }
}
