//! What is told while a streamed install receives: once that it has begun, then how far it is.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use lanspread_install::{InstallProgress, Totals};
use lanspread_proto::{GameId, PeerId, Version};
use tokio::sync::watch;

use crate::{
    event::{Events, PeerEvent},
    operation::{Progress, TELL_INTERVAL},
};

/// The rate is that of about this long.
const RATE_INTERVAL: Duration = Duration::from_secs(2);

/// Tells of one streamed install, over all of its attempts.
pub(super) struct Teller {
    events: Events,
    game: GameId,
    version: Version,
    progress: watch::Sender<Progress>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    begun: bool,
    at: Option<Instant>,
    rate: Rate,
}

/// Bytes per second since a moment in the near past.
#[derive(Debug, Default)]
struct Rate {
    since: Option<(Instant, u64)>,
    bytes_per_second: u64,
}

impl Rate {
    fn update(&mut self, now: Instant, bytes: u64) -> u64 {
        match self.since {
            // Another attempt begins at nothing.
            Some((_, before)) if bytes < before => self.since = None,
            Some((since, before)) => {
                let elapsed = now.duration_since(since);
                if elapsed >= TELL_INTERVAL {
                    let bytes_per_second = u128::from(bytes - before) * 1000 / elapsed.as_millis();
                    self.bytes_per_second = u64::try_from(bytes_per_second).unwrap_or(u64::MAX);
                }
                if elapsed >= RATE_INTERVAL {
                    self.since = None;
                }
            }
            None => {}
        }
        self.since.get_or_insert((now, bytes));
        self.bytes_per_second
    }
}

impl Teller {
    pub(super) fn new(
        events: Events,
        game: GameId,
        version: Version,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self {
            events,
            game,
            version,
            progress,
            told: Mutex::default(),
        }
    }

    /// A peer has others to serve first.
    pub(super) fn queued(&self, peer: PeerId, position: u32) {
        self.events.tell(PeerEvent::Queued {
            game: self.game.clone(),
            peer,
            position,
        });
    }

    /// A peer expands; told of the first one only.
    pub(super) fn begun(&self, totals: Totals) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut told.begun, true) {
            return;
        }
        self.events.tell(PeerEvent::DownloadGameFilesBegin {
            game: self.game.clone(),
            version: self.version.clone(),
            bytes_total: totals.bytes.unwrap_or_default(),
            bytes_done: 0,
            streamed: true,
        });
    }

    /// Takes the newest counts, and tells them when it is time to.
    pub(super) fn update(&self, now: Instant, peer: PeerId, counts: InstallProgress) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let early = told
            .at
            .is_some_and(|at| now.duration_since(at) < TELL_INTERVAL);
        if early || !told.begun {
            return;
        }
        told.at = Some(now);
        let progress = Progress {
            bytes_done: counts.bytes_done,
            bytes_total: counts.bytes_total.unwrap_or_default(),
            files_done: counts.files_done,
            files_total: counts.files_total.unwrap_or_default(),
            bytes_per_second: told.rate.update(now, counts.bytes_done),
            peers: 1,
            stalled: false,
        };
        drop(told);
        self.progress.send_replace(progress);
        self.events.tell(PeerEvent::DownloadGameFilesProgress {
            game: self.game.clone(),
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            bytes_per_second: progress.bytes_per_second,
            peers: progress.peers,
            streamed: true,
            files_done: Some(progress.files_done),
            peer: Some(peer),
        });
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::Hash;

    use super::*;

    #[tokio::test]
    async fn it_begins_once_and_progress_is_told_a_few_times_a_second() {
        let events = Events::new();
        let mut told = events.subscribe();
        let (progress, watched) = watch::channel(Progress::default());
        let version = "1".parse().unwrap();
        let teller = Teller::new(events, "doom".parse().unwrap(), version, progress);
        let peer = PeerId::new(Hash::of(b"peer"));
        let start = Instant::now();
        let update = |ms, bytes_done| {
            let counts = InstallProgress {
                bytes_done,
                ..InstallProgress::default()
            };
            teller.update(start + Duration::from_millis(ms), peer, counts);
        };
        teller.begun(Totals::default());
        update(0, 0);
        update(100, 100);
        update(1000, 3000);
        // Another peer begins anew.
        teller.begun(Totals::default());
        update(2000, 0);
        update(3000, 500);
        let last = *watched.borrow();
        assert_eq!((last.bytes_done, last.bytes_per_second), (500, 500));
        drop(teller);
        let mut kinds = Vec::new();
        while let Some(event) = told.next().await {
            kinds.push(match event {
                PeerEvent::DownloadGameFilesBegin { .. } => None,
                PeerEvent::DownloadGameFilesProgress {
                    bytes_done,
                    bytes_per_second,
                    ..
                } => Some((bytes_done, bytes_per_second)),
                other => panic!("{other:?}"),
            });
        }
        let expected = [
            None,
            Some((0, 0)),
            Some((3000, 3000)),
            Some((0, 0)),
            Some((500, 500)),
        ];
        assert_eq!(kinds, expected);
    }
}
