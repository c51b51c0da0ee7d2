//! The threads that hash.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use lanspread_proto::GameId;
use tokio::sync::mpsc;

use super::{
    piece::hash_piece,
    pieces::Hashed,
    queue::{Job, JobProgress, Outcome, Piece, Queue},
};

/// Outcomes that wait for the monitor; threads wait with the next one.
const OUTCOMES_MAX: usize = 16;

/// Takes jobs and gives outcomes; the caller lends it threads.
#[derive(Debug)]
pub(crate) struct HashPool {
    queue: Mutex<Queue>,
    work: Condvar,
    closed: AtomicBool,
    /// Counts for as long as the library lives, which is longer than one pool.
    hashed_bytes: Arc<AtomicU64>,
}

impl HashPool {
    pub(crate) fn new(hashed_bytes: Arc<AtomicU64>) -> Self {
        let (queue, work, closed) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Self {
            queue,
            work,
            closed,
            hashed_bytes,
        }
    }

    /// The channel between [`HashPool::work`] and the monitor.
    pub(crate) fn channel() -> (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>) {
        mpsc::channel(OUTCOMES_MAX)
    }

    /// Takes a job; gives it back if its predecessor had already done all of it.
    pub(crate) fn submit(&self, job: Job, urgent: bool) -> Option<Outcome> {
        let outcome = self.lock().push(job, urgent);
        self.work.notify_all();
        outcome
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn prioritise(&self, game: &GameId) {
        self.lock().prioritise(game);
    }

    /// Ends a game's job and gives back what is finished of it.
    pub(crate) fn remove(&self, game: &GameId) -> Hashed {
        self.lock().remove(game)
    }

    /// Ends all jobs and gives back what is finished of them.
    pub(crate) fn take(&self) -> Vec<(GameId, Hashed)> {
        self.lock().take()
    }

    /// What is finished of each job, and whether some of that is news since the last time.
    pub(crate) fn hashed(&self) -> Vec<(GameId, bool, Hashed)> {
        self.lock().hashed()
    }

    pub(crate) fn progress(&self) -> Vec<JobProgress> {
        self.lock().progress()
    }

    /// Hashes until the pool is closed. Occupies the calling thread.
    pub(crate) fn work(&self, outcomes: &mpsc::Sender<Outcome>) {
        while let Some(piece) = self.wait_for_piece() {
            let file = &piece.job.files[piece.file];
            let on_bytes = |bytes| {
                self.hashed_bytes.fetch_add(bytes, Ordering::Relaxed);
                self.lock().advance(&piece.job, bytes);
            };
            let chunks = piece.chunks.clone();
            let result = hash_piece(&piece.job.root, file, chunks, &self.closed, &on_bytes);
            let outcome = self.lock().complete(&piece, result);
            if outcome.is_some_and(|outcome| outcomes.blocking_send(outcome).is_err()) {
                return;
            }
        }
    }

    /// Ends all threads, each after the chunk that it has.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // Under the lock, or a thread that has just looked would sleep through it.
        let _queue = self.lock();
        self.work.notify_all();
    }

    fn wait_for_piece(&self) -> Option<Piece> {
        let mut queue = self.lock();
        loop {
            if self.closed.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(piece) = queue.next_piece() {
                return Some(piece);
            }
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
