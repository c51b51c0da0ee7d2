//! When an install's progress is told: often enough to watch, rarely enough to be cheap.

use std::{sync::Mutex, time::Instant};

use lanspread_install::InstallProgress;
use lanspread_proto::GameId;
use tokio::sync::watch;

use crate::{
    event::{Events, PeerEvent},
    operation::{Progress, TELL_INTERVAL},
};

/// Tells of one install. Every thread that unpacks calls it for every piece it has written.
pub(super) struct Teller {
    events: Events,
    game: GameId,
    progress: watch::Sender<Progress>,
    told: Mutex<Option<Told>>,
}

struct Told {
    at: Instant,
    bytes: u64,
    files: u64,
}

impl Teller {
    pub(super) fn new(events: Events, game: GameId, progress: watch::Sender<Progress>) -> Self {
        Self {
            events,
            game,
            progress,
            told: Mutex::new(None),
        }
    }

    /// Takes the newest counts, and tells them when it is time to and they say more than the last ones.
    pub(super) fn update(&self, now: Instant, progress: InstallProgress) {
        // Another thread that is telling just now tells enough.
        let Ok(mut told) = self.told.try_lock() else {
            return;
        };
        let InstallProgress {
            bytes_done,
            bytes_total,
            files_done,
            files_total,
        } = progress;
        if let Some(last) = &*told {
            let early = now.duration_since(last.at) < TELL_INTERVAL;
            let late = bytes_done < last.bytes || files_done < last.files;
            let same = bytes_done == last.bytes && files_done == last.files;
            if early || late || same {
                return;
            }
        }
        *told = Some(Told {
            at: now,
            bytes: bytes_done,
            files: files_done,
        });
        self.progress.send_modify(|shown| {
            shown.bytes_done = bytes_done;
            shown.bytes_total = bytes_total.unwrap_or_default();
            shown.files_done = files_done;
            shown.files_total = files_total.unwrap_or_default();
        });
        self.events.tell(PeerEvent::InstallGameProgress {
            game: self.game.clone(),
            bytes_done,
            bytes_total,
            files_done,
            files_total,
            streamed: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counts(bytes_done: u64, files_done: u64) -> InstallProgress {
        InstallProgress {
            bytes_done,
            bytes_total: Some(100),
            files_done,
            files_total: None,
        }
    }

    #[tokio::test]
    async fn progress_is_told_a_few_times_a_second_and_never_goes_back() {
        let events = Events::new();
        let mut told = events.subscribe();
        let (progress, watched) = watch::channel(Progress::default());
        let teller = Teller::new(events, "doom".parse().unwrap(), progress);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        teller.update(at(0), counts(1, 0));
        teller.update(at(249), counts(2, 0));
        teller.update(at(250), counts(3, 0));
        teller.update(at(600), counts(2, 0));
        teller.update(at(600), counts(3, 0));
        teller.update(at(600), counts(3, 1));
        drop(teller);
        let mut counted = Vec::new();
        while let Some(PeerEvent::InstallGameProgress {
            bytes_done,
            files_done,
            bytes_total,
            files_total,
            ..
        }) = told.next().await
        {
            assert_eq!((bytes_total, files_total), (Some(100), None));
            counted.push((bytes_done, files_done));
        }
        assert_eq!(counted, [(1, 0), (3, 0), (3, 1)]);
        let last = *watched.borrow();
        assert_eq!(
            (
                last.bytes_done,
                last.bytes_total,
                last.files_done,
                last.files_total
            ),
            (3, 100, 1, 0)
        );
    }
}
