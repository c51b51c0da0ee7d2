//! The game directory: opened as a whole (locked, recovered, scanned), watched, and exchanged as a whole.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Duration,
};

use lanspread_disk::{
    DirLock, DiskError, GAME_DIR_LOCK_NAME, Holder, LockError, RealDisk, StateDir,
};
use lanspread_library::{Catalog, Library, LibraryConfig, LibraryError, LibraryEvent};
use lanspread_proto::GameId;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    context::{Context, Home},
    error::{ErrorCode, OperationError, StartError},
    event::PeerEvent,
    recovery::{self, Finding},
    supervise::supervise,
};

/// The library saves what it has hashed when it ends: a piece of 32 MiB per thread, on a slow disk.
const SAVING_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a game directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HomeError {
    #[error("it cannot be locked")]
    Lock(#[source] LockError),
    #[error("it cannot be opened")]
    Disk(#[source] DiskError),
    #[error("it cannot be scanned")]
    Library(#[source] LibraryError),
}

/// A game directory that was just opened, and what its library tells.
pub(crate) struct Opened {
    pub(crate) home: Home,
    pub(crate) lock: DirLock,
    pub(crate) events: mpsc::Receiver<LibraryEvent>,
    /// What recovery left for a person to look at; nobody has been told yet.
    pub(crate) findings: Vec<Finding>,
}

/// Locks, recovers and scans a game directory; makes it if it is missing. Blocking.
pub(crate) fn open(
    path: &Path,
    state: &Arc<StateDir>,
    catalog: &Arc<Catalog>,
    holder: &Holder,
) -> Result<Opened, HomeError> {
    let disk = RealDisk::open_or_create(path).map_err(HomeError::Disk)?;
    let lock = DirLock::acquire(path, GAME_DIR_LOCK_NAME, holder).map_err(HomeError::Lock)?;
    let findings = recovery::recover_all(&disk, state);
    let config = LibraryConfig::new(disk.clone(), state.clone(), catalog.clone());
    let (library, events) = Library::open(config).map_err(HomeError::Library)?;
    let home = Home {
        path: path.to_owned(),
        disk: Arc::new(disk),
        library,
        cancel: CancellationToken::new(),
    };
    Ok(Opened {
        home,
        lock,
        events,
        findings,
    })
}

impl Home {
    /// Looks at what an operation on `game` has left in its folder. The operation still holds the game: who
    /// hears of its end then finds the list as it says.
    pub(crate) async fn refresh(self: &Arc<Self>, game: &GameId) {
        let (home, game) = (self.clone(), game.clone());
        let looking = tokio::task::spawn_blocking(move || home.library.refresh_folder(&game));
        if let Err(panic) = looking.await {
            tracing::error!(%panic, "the library could not look at a game");
        }
    }
}

impl HomeError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Lock(LockError::Held { .. }) => ErrorCode::InUse,
            _ => ErrorCode::Io,
        }
    }

    pub(crate) fn at_start(self, path: &Path) -> StartError {
        match self {
            Self::Lock(error) => lock_error(error, path),
            error => StartError::Directory {
                path: path.to_owned(),
                source: Box::new(error),
            },
        }
    }
}

/// A lock that was not given, as the start tells it.
pub(crate) fn lock_error(error: LockError, path: &Path) -> StartError {
    match error {
        LockError::Held { by, .. } => StartError::InUse {
            path: path.to_owned(),
            holder: by.map_or_else(
                || "another process".to_owned(),
                |by| format!("{} (process {})", by.name, by.pid),
            ),
        },
        error => StartError::Directory {
            path: path.to_owned(),
            source: Box::new(error),
        },
    }
}

/// Watches the current game directory, and exchanges it for another one.
pub(crate) struct HomeKeeper {
    context: Arc<Context>,
    holder: Holder,
    /// Held here and not in [`Home`], which the handle keeps alive after the peer has stopped.
    lock: DirLock,
    monitor: JoinHandle<()>,
}

impl HomeKeeper {
    /// Starts watching the context's game directory.
    pub(crate) fn start(
        context: Arc<Context>,
        holder: Holder,
        lock: DirLock,
        events: mpsc::Receiver<LibraryEvent>,
    ) -> Self {
        let monitor = watch(&context, events);
        Self {
            context,
            holder,
            lock,
            monitor,
        }
    }

    /// Uses another game directory. The new one is locked, recovered and scanned first, so that a
    /// refusal changes nothing; the old one's games are withdrawn before the new one's are announced.
    pub(crate) async fn move_to(&mut self, path: PathBuf) -> Result<(), OperationError> {
        if path == self.context.home().path {
            return Ok(());
        }
        let (state, catalog) = (self.context.state.clone(), self.context.catalog.clone());
        let (target, holder) = (path.clone(), self.holder.clone());
        let opening =
            tokio::task::spawn_blocking(move || open(&target, &state, &catalog, &holder)).await;
        let failed = |code, source| OperationError::GameDir {
            path: path.clone(),
            code,
            source,
        };
        let opened = match opening {
            Ok(opened) => opened.map_err(|error| failed(error.code(), Box::new(error)))?,
            Err(panic) => return Err(failed(ErrorCode::Internal, Box::new(panic))),
        };
        self.context.shelf.clear();
        let old = {
            let mut home = self
                .context
                .home
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *home, Arc::new(opened.home))
        };
        old.cancel.cancel();
        let monitor = watch(&self.context, opened.events);
        // Waits for the old one, which may be hashing; a panic in it was told already.
        let _ = std::mem::replace(&mut self.monitor, monitor).await;
        self.lock = opened.lock;
        self.context.library_changed();
        recovery::tell(&self.context.events, opened.findings);
        Ok(())
    }

    /// Stops watching and unlocks the game directory.
    pub(crate) async fn close(self) {
        self.context.home().cancel.cancel();
        let _ = self.monitor.await;
        drop(self.lock);
    }
}

fn watch(context: &Arc<Context>, events: mpsc::Receiver<LibraryEvent>) -> JoinHandle<()> {
    let home = context.home();
    let events = Arc::new(Mutex::new(events));
    let (telling, cancel) = (context.clone(), home.cancel.clone());
    supervise(
        "library monitor",
        context.events.clone(),
        cancel,
        SAVING_TIMEOUT,
        move || run_local_game_monitor(telling.clone(), home.clone(), events.clone()),
    )
}

/// Keeps what is announced in step with the game directory: scans, watches, hashes, tells. One of the
/// long-lived tasks.
pub(crate) async fn run_local_game_monitor(
    context: Arc<Context>,
    home: Arc<Home>,
    events: Arc<Mutex<mpsc::Receiver<LibraryEvent>>>,
) -> Result<(), LibraryError> {
    let mut events = events.lock().await;
    let mut snapshots = home.library.subscribe();
    context.library_changed();
    let monitor = home.library.run(home.cancel.clone());
    tokio::pin!(monitor);
    loop {
        tokio::select! {
            ended = &mut monitor => return ended,
            Ok(()) = snapshots.changed() => {
                snapshots.mark_unchanged();
                context.library_changed();
            }
            Some(event) = events.recv() => tell(&context, event),
        }
    }
}

fn tell(context: &Context, event: LibraryEvent) {
    match event {
        LibraryEvent::Refused(refusal) => {
            context.events.tell(PeerEvent::GameRefused {
                folder: refusal.folder.clone(),
                reason: refusal.to_string(),
            });
        }
        LibraryEvent::IndexProgress {
            game,
            bytes_done,
            bytes_total,
        } => {
            context.events.tell(PeerEvent::IndexProgress {
                game,
                bytes_done,
                bytes_total,
            });
        }
        LibraryEvent::IndexDiscarded { error } => {
            tracing::warn!(%error, "the library index is damaged and made anew");
        }
        LibraryEvent::IndexNotSaved { error } => {
            let message = error.to_string();
            context.events.tell(PeerEvent::RuntimeFailed {
                task: "library index".into(),
                message,
            });
        }
        LibraryEvent::WatchesExhausted { folders } => {
            tracing::warn!(
                folders,
                "no notices about changes in some folders; they are looked at now and then"
            );
        }
        _ => {}
    }
}
