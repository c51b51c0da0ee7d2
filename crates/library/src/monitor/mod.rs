//! The monitor: keeps the library true while the disk changes. One loop; walking and hashing happen on blocking
//! threads, the loop itself only decides.

mod save;
mod settle;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Instant,
};

use lanspread_proto::GameId;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    hash::{HashPool, JobProgress, Outcome},
    library::{Library, LibraryError, Shared, Wishes},
    look::{GameLook, RootLook, look_at_game, look_at_root},
    schedule::{Schedule, Target},
    snapshot::LibraryEvent,
    watch::{Hints, Inbox, Watches},
};

impl Library {
    /// Looks at every game once, then watches, rescans and hashes until `cancel`. What was hashed by then is
    /// saved, also of games and files that are half hashed: the next run goes on there. Ends within the time
    /// that a chunk, a look at a game and saving take. One run at a time; after an error it may be started
    /// again.
    ///
    /// # Errors
    /// [`LibraryError`] when the game directory cannot be listed any more, or a thread panicked.
    pub async fn run(&self, cancel: CancellationToken) -> Result<(), LibraryError> {
        if self.shared.running.swap(true, Ordering::AcqRel) {
            return Err(LibraryError::AlreadyRunning);
        }
        let _running = Running(Arc::clone(&self.shared));
        let pool = ClosedAtLast(Arc::new(HashPool::new(Arc::clone(
            &self.shared.hashed_bytes,
        ))));
        let (sender, mut outcomes) = HashPool::channel();
        let mut workers = JoinSet::new();
        for _ in 0..self.shared.config.hash_threads.get() {
            let (pool, sender) = (Arc::clone(&pool.0), sender.clone());
            workers.spawn_blocking(move || pool.work(&sender));
        }
        drop(sender);
        let inbox = Arc::new(Inbox::default());
        let mut monitor = Monitor::new(&self.shared, Arc::clone(&pool.0), &inbox);
        let ended = monitor
            .run(&inbox, &mut outcomes, &mut workers, &cancel)
            .await;
        drop(pool);
        // Until the last thread has ended.
        while let Some(outcome) = outcomes.recv().await {
            monitor.settle_hashing(outcome);
        }
        while workers.join_next().await.is_some() {}
        ended.and(monitor.save_at_last().await)
    }
}

/// Frees the place of the one run, also when its future is dropped.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

/// Ends the hashing threads, also when the run's future is dropped.
struct ClosedAtLast(Arc<HashPool>);

impl Drop for ClosedAtLast {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a blocking task came back with.
enum Done {
    Root(Result<RootLook, LibraryError>),
    Game(Box<GameLook>),
    Saved,
}

/// The first look at everything.
enum Round {
    /// The game directory was not listed yet.
    Beginning,
    /// These games were not looked at yet.
    Unseen(BTreeSet<GameId>),
    Over,
}

struct Monitor {
    shared: Arc<Shared>,
    pool: Arc<HashPool>,
    watches: Arc<Mutex<Watches>>,
    schedule: Schedule,
    tasks: JoinSet<Done>,
    /// Targets that a task looks at.
    looking: BTreeSet<Target>,
    /// Folders that may be looked at as games, from the last look at the game directory.
    candidates: BTreeSet<GameId>,
    /// Games that were asked for and are not hashed yet.
    urgent: BTreeSet<GameId>,
    /// The progress that was told last.
    told: HashMap<GameId, u64>,
    round: Round,
    index_dirty: bool,
    /// When hashes of unfinished games are to be saved, if any are new.
    hashing_due: Option<Instant>,
    saving: bool,
    without_watch: usize,
}

impl Monitor {
    fn new(shared: &Arc<Shared>, pool: Arc<HashPool>, inbox: &Arc<Inbox>) -> Self {
        let config = &shared.config;
        let now = now();
        let mut schedule = Schedule::new(now, config.timing);
        schedule.at_once(now, Target::Root);
        let watches = Watches::new(config.game_dir.path(), Arc::clone(inbox));
        Self {
            shared: Arc::clone(shared),
            pool,
            watches: Arc::new(Mutex::new(watches)),
            schedule,
            tasks: JoinSet::new(),
            looking: BTreeSet::new(),
            candidates: BTreeSet::new(),
            urgent: BTreeSet::new(),
            told: HashMap::new(),
            round: Round::Beginning,
            index_dirty: false,
            hashing_due: None,
            saving: false,
            without_watch: 0,
        }
    }

    async fn run(
        &mut self,
        inbox: &Inbox,
        outcomes: &mut mpsc::Receiver<Outcome>,
        workers: &mut JoinSet<()>,
        cancel: &CancellationToken,
    ) -> Result<(), LibraryError> {
        let shared = Arc::clone(&self.shared);
        let mut progress = interval(shared.config.timing.progress);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.begin_what_is_due();
            let deadline = self.next_deadline();
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = sleep_until(deadline.into()) => {}
                () = inbox.arrived.notified() => self.note_hints(&inbox.take()),
                () = shared.wished.notified() => self.grant(shared.take_wishes()),
                Some(outcome) = outcomes.recv() => self.settle_hashing(outcome),
                Some(done) = self.tasks.join_next() => self.settle_task(done)?,
                Some(ended) = workers.join_next() => ended.map_err(LibraryError::Thread)?,
                _ = progress.tick(), if !self.pool.is_idle() => self.tell_progress(),
            }
        }
    }

    // # What to look at, and when

    fn note_hints(&mut self, hints: &Hints) {
        let now = now();
        if hints.everything {
            self.schedule.note(now, Target::Root);
            self.each_candidate(|schedule, target| schedule.note(now, target));
        }
        if hints.root {
            self.schedule.note(now, Target::Root);
        }
        let folders = hints
            .folders
            .iter()
            .filter_map(|name| name.to_str()?.parse().ok());
        for id in folders.filter(|id| self.candidates.contains(id)) {
            self.schedule.note(now, Target::Game(id));
        }
    }

    fn grant(&mut self, wishes: Wishes) {
        let now = now();
        if wishes.everything {
            self.look_at_everything(now);
        }
        for id in wishes.games {
            if !self.candidates.contains(&id) {
                self.schedule.at_once(now, Target::Root);
            }
            self.schedule.at_once(now, Target::Game(id));
        }
        for id in wishes.urgent {
            self.pool.prioritise(&id);
            self.urgent.insert(id);
        }
        self.index_dirty |= wishes.save_index;
    }

    fn look_at_everything(&mut self, now: Instant) {
        self.schedule.at_once(now, Target::Root);
        self.each_candidate(|schedule, target| schedule.at_once(now, target));
    }

    fn each_candidate(&mut self, mark: impl Fn(&mut Schedule, Target)) {
        for id in &self.candidates {
            mark(&mut self.schedule, Target::Game(id.clone()));
        }
    }

    fn next_deadline(&self) -> Instant {
        let busy = self.looking.len() >= self.shared.config.hash_threads.get();
        let look = self
            .schedule
            .next_deadline(|target| busy || is_blocked(&self.shared, &self.looking, target));
        self.saving_deadline().map_or(look, |save| save.min(look))
    }

    fn begin_what_is_due(&mut self) {
        let now = now();
        if self.schedule.take_fallback(now) {
            self.look_at_everything(now);
        }
        while self.looking.len() < self.shared.config.hash_threads.get() {
            let Self {
                schedule,
                looking,
                shared,
                ..
            } = self;
            let due = schedule.take_due(now, |target| is_blocked(shared, looking, target));
            let Some(target) = due else { break };
            self.begin(target);
        }
        self.begin_saving(now);
    }

    fn begin(&mut self, target: Target) {
        let shared = Arc::clone(&self.shared);
        match &target {
            Target::Root => {
                let watches = Arc::clone(&self.watches);
                let first = matches!(self.round, Round::Beginning);
                self.tasks.spawn_blocking(move || {
                    let mut watches = watches.lock().unwrap_or_else(PoisonError::into_inner);
                    Done::Root(look_at_root(&shared, &mut watches, first))
                });
            }
            Target::Game(id) if self.candidates.contains(id) => {
                let id = id.clone();
                self.tasks
                    .spawn_blocking(move || Done::Game(Box::new(look_at_game(&shared, &id))));
            }
            Target::Game(_) => return,
        }
        self.looking.insert(target);
    }
}

/// A held game waits for its release; no game is looked at while the list of folders is.
fn is_blocked(shared: &Shared, looking: &BTreeSet<Target>, target: &Target) -> bool {
    let must_wait = match target {
        Target::Root => false,
        Target::Game(id) => looking.contains(&Target::Root) || shared.records().is_held(id),
    };
    must_wait || looking.contains(target)
}

fn event(progress: JobProgress) -> LibraryEvent {
    let JobProgress {
        game,
        bytes_done,
        bytes_total,
    } = progress;
    LibraryEvent::IndexProgress {
        game,
        bytes_done,
        bytes_total,
    }
}

/// The clock of the runtime, which tests may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
