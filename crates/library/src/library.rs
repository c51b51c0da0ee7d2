//! The handle that the rest of a peer holds.

use std::{
    collections::BTreeSet,
    mem,
    num::NonZeroUsize,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use lanspread_disk::{Disk, FileStamp, RealDisk, StateDir, StateError, StoredPayload};
use lanspread_proto::{GameId, GamePath, ManifestId};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    catalog::Catalog,
    index::{Index, IndexError},
    payload::{LocalPayload, Origin, PayloadSlot},
    records::Records,
    scan::{ScanError, SentinelScan, scan_folder, scan_local_library},
    schedule::Timing,
    snapshot::{LibraryEvent, LibrarySnapshot},
    unfinished::{Progress, Unfinished},
};

/// Events that wait for a slow receiver; the next ones are dropped.
const EVENTS_MAX: usize = 256;

/// What a [`Library`] works on, and how.
#[derive(Debug, Clone)]
pub struct LibraryConfig {
    /// The game directory.
    pub game_dir: RealDisk,
    /// The state directory: index, manifests, chunk hashes, hashes of games that are not announced yet.
    pub state: Arc<StateDir>,
    /// Which games exist for this peer.
    pub catalog: Arc<Catalog>,
    /// Threads that hash, and games that are walked at once. Default: as many as there are processors; one
    /// thread hashes 2 GB/s, so this matters while files are in memory.
    pub hash_threads: NonZeroUsize,
    /// How long the monitor waits for what.
    pub timing: Timing,
}

impl LibraryConfig {
    /// The configuration with defaults.
    pub fn new(game_dir: RealDisk, state: Arc<StateDir>, catalog: Arc<Catalog>) -> Self {
        let hash_threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            game_dir,
            state,
            catalog,
            hash_threads,
            timing: Timing::default(),
        }
    }
}

/// Why the library cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// The game directory cannot be listed.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The index is of a newer format, or cannot be read at all.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// [`Library::run`] runs already.
    #[error("the library monitor runs already")]
    AlreadyRunning,
    /// A thread of the monitor panicked.
    #[error("a thread of the library monitor failed")]
    Thread(#[source] tokio::task::JoinError),
}

/// The games of one game directory. Cloning gives another handle to the same library.
#[derive(Debug, Clone)]
pub struct Library {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: LibraryConfig,
    records: Mutex<Records>,
    /// A look has saved what it found.
    pub(crate) saved: Condvar,
    pub(crate) unfinished: Unfinished,
    snapshots: watch::Sender<Arc<LibrarySnapshot>>,
    events: mpsc::Sender<LibraryEvent>,
    wishes: Mutex<Wishes>,
    /// Wakes the monitor for [`Wishes`].
    pub(crate) wished: Notify,
    pub(crate) hashed_bytes: Arc<AtomicU64>,
    pub(crate) running: AtomicBool,
}

/// What the monitor was asked for since it last looked.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) everything: bool,
    pub(crate) games: BTreeSet<GameId>,
    pub(crate) urgent: BTreeSet<GameId>,
    pub(crate) save_index: bool,
}

impl Library {
    /// Looks at the game directory, reads the index and announces what it knows. Blocking, for a time that
    /// depends on the number of games, not of their files.
    ///
    /// # Errors
    /// [`LibraryError`] if the game directory cannot be listed or the index must not be touched. A damaged
    /// index is no error: it is put aside, and an event says so.
    pub fn open(
        config: LibraryConfig,
    ) -> Result<(Self, mpsc::Receiver<LibraryEvent>), LibraryError> {
        let scan = scan_local_library(&config.game_dir, &config.state, &config.catalog)?;
        let (mut index, discarded) = Index::load(&config.state)?;
        index.forget_removed(&config.state, |id| scan.games.contains_key(id));
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let shared = Shared {
            records: Mutex::new(Records::open(scan, index)),
            saved: Condvar::new(),
            unfinished: Unfinished::default(),
            config,
            snapshots: watch::Sender::new(Arc::default()),
            events,
            wishes: Mutex::default(),
            wished: Notify::new(),
            hashed_bytes: Arc::default(),
            running: AtomicBool::new(false),
        };
        if let Some(error) = discarded {
            shared.emit(LibraryEvent::IndexDiscarded { error });
        }
        shared.publish(&shared.records());
        Ok((
            Self {
                shared: Arc::new(shared),
            },
            receiver,
        ))
    }

    // # Answers

    /// What is here now.
    pub fn snapshot(&self) -> Arc<LibrarySnapshot> {
        self.shared.snapshots.borrow().clone()
    }

    /// What is here, as it changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<LibrarySnapshot>> {
        self.shared.snapshots.subscribe()
    }

    /// The announced payload with this manifest, to be served. Reads the manifest from the state directory if
    /// it was not needed since the start (10 ms for some thousand files); the monitor does so for every game
    /// right after the start.
    pub fn payload(&self, manifest: &ManifestId) -> Option<Arc<LocalPayload>> {
        let (game, slot) = self.shared.records().announcing(*manifest)?;
        let payload = slot.load(&game, &self.shared.config.state);
        if payload.is_none() {
            self.changed_on_disk(&game);
        }
        payload
    }

    /// The last complete payload of a game, announced or not: what a download compares with, what a repair
    /// restores. Reads like [`Library::payload`].
    pub fn payload_of(&self, game: &GameId) -> Option<Arc<LocalPayload>> {
        let slot = self.shared.records().slot(game)?;
        slot.load(game, &self.shared.config.state)
    }

    /// Bytes that were hashed since the start.
    pub fn hashed_bytes(&self) -> u64 {
        self.shared.hashed_bytes.load(Ordering::Relaxed)
    }

    // # Operations on a game

    /// A download of this payload was just published: announces it without hashing. `stamps` has one element
    /// per file of the manifest. The payload is already saved in the state directory. Works under a [hold](Self::hold).
    /// Blocking: looks at the game's folder, not at its files.
    pub fn committed(&self, game: &GameId, payload: StoredPayload, stamps: Vec<FileStamp>) {
        let LibraryConfig {
            game_dir,
            state,
            catalog,
            ..
        } = &self.shared.config;
        let folder = scan_folder(game_dir, state, game);
        let fits = |content: &[u8]| {
            payload.manifest().sentinel() == content
                && payload.manifest().files().len() == stamps.len()
                && catalog.admits(game)
        };
        match folder {
            Some(folder) => match &folder.sentinel {
                SentinelScan::Valid(sentinel) if fits(&sentinel.content) => {
                    let stamp = sentinel.stamp;
                    let payload =
                        LocalPayload::new(game.clone(), payload, stamps, Origin::Downloaded);
                    let slot = Arc::new(PayloadSlot::loaded(Arc::new(payload), stamp));
                    let mut records = self.shared.records();
                    records.commit(game, &folder, slot);
                    self.shared.publish(&records);
                    drop(records);
                    self.shared.wish(|wishes| wishes.save_index = true);
                }
                _ => self.rescan(game),
            },
            None => self.rescan(game),
        }
    }

    /// Looks at the game's sentinel and its `local/` and publishes what it finds, also under a [hold](Self::hold); the
    /// payload stays as it is announced. For an operation that has installed or uninstalled the game and does not
    /// wait for the look that follows its hold. Blocking, for a few system calls.
    pub fn refresh_folder(&self, game: &GameId) {
        let config = &self.shared.config;
        let folder = scan_folder(&config.game_dir, &config.state, game);
        let mut records = self.shared.records();
        records.refresh(game, folder.as_ref());
        self.shared.publish(&records);
    }

    /// The files of this game are no longer what is announced, or are about to change: takes the announcement
    /// back at once and looks at the game as soon as nothing holds it.
    pub fn changed_on_disk(&self, game: &GameId) {
        self.doubt(game, &[]);
    }

    /// Like [`Library::changed_on_disk`], for files whose content is wrong although their stamps are right: a
    /// failing disk. They are hashed again; what is being hashed of them meanwhile does not count.
    pub fn doubt(&self, game: &GameId, files: &[GamePath]) {
        let mut records = self.shared.records();
        records.withdraw(game, files);
        self.shared.publish(&records);
        drop(records);
        self.rescan(game);
    }

    /// Hashes this game before all others.
    pub fn prioritise(&self, game: &GameId) {
        self.shared
            .wish(|wishes| _ = wishes.urgent.insert(game.clone()));
    }

    /// Looks at this game now, or when the last [hold](Self::hold) on it is dropped.
    pub fn rescan(&self, game: &GameId) {
        self.shared
            .wish(|wishes| _ = wishes.games.insert(game.clone()));
    }

    /// Looks at everything now.
    pub fn rescan_all(&self) {
        self.shared.wish(|wishes| wishes.everything = true);
    }
}

impl Shared {
    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_wishes(&self) -> Wishes {
        mem::take(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn wish(&self, what: impl FnOnce(&mut Wishes)) {
        what(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        self.wished.notify_one();
    }

    /// Publishes what the records say; each refusal that is new becomes an event.
    pub(crate) fn publish(&self, records: &Records) {
        self.snapshots.send_if_modified(|last| {
            let Some(next) = records.snapshot(last) else {
                return false;
            };
            for (folder, refusal) in &next.refused {
                if last.refused.get(folder) != Some(refusal) {
                    self.emit(LibraryEvent::Refused(Arc::clone(refusal)));
                }
            }
            *last = Arc::new(next);
            true
        });
    }

    /// Tells the receiver, unless it is slow or gone; snapshots carry what counts.
    pub(crate) fn emit(&self, event: LibraryEvent) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            tracing::debug!(?event, "nobody reads the library's events, one is dropped");
        }
    }

    pub(crate) fn report_unsaved(&self, error: StateError) {
        tracing::warn!(%error, "could not save what is known of the local games");
        self.emit(LibraryEvent::IndexNotSaved {
            error: Arc::new(error),
        });
    }

    /// Whether a folder has the game's name, or cannot be looked at.
    pub(crate) fn has_folder(&self, id: &GameId) -> bool {
        !matches!(self.config.game_dir.stat(id.as_str()), Ok(None))
    }

    /// Saves hashes of unfinished games, and the index if asked to. Blocking; one thread at a time.
    pub(crate) fn save(&self, progress: &[Progress], index: bool) {
        let state = &self.config.state;
        for progress in progress {
            let game = &progress.game;
            if let Err(error) = self.unfinished.store(state, game, progress.encode()) {
                self.records().not_saved(game);
                self.report_unsaved(error.into());
            }
        }
        if index {
            self.save_index();
        }
    }

    /// Saves the index and removes what is of no use beside it.
    fn save_index(&self) {
        let mut records = self.records();
        let (index, vanished) = (records.index(), records.take_vanished());
        let here: BTreeSet<_> = records.ids().cloned().collect();
        drop(records);
        if let Err(error) = index.save(&self.config.state) {
            return self.report_unsaved(error);
        }
        let is_over =
            |id: &GameId| index.announces(id) || !here.contains(id) && !self.has_folder(id);
        self.unfinished.note_gone(vanished);
        self.unfinished.discard(&self.config.state, is_over);
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, path::Path};

    use super::*;

    #[test]
    fn every_error_says_what_failed_and_why() {
        let disk = || RealDisk::open(Path::new("/missing")).map(drop).unwrap_err();
        let scan = LibraryError::from(ScanError(disk()));
        assert_eq!(scan.to_string(), "could not look for games");
        assert!(scan.source().unwrap().to_string().contains("/missing"));
        let index = LibraryError::from(IndexError(StateError::from(disk())));
        assert_eq!(index.to_string(), "could not use the index of local games");
        assert!(index.source().unwrap().to_string().contains("/missing"));
        let twice = LibraryError::AlreadyRunning.to_string();
        assert_eq!(twice, "the library monitor runs already");
    }

    #[tokio::test]
    async fn a_panicked_thread_is_named_as_the_cause() {
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        let error = LibraryError::Thread(task.await.unwrap_err());
        assert_eq!(error.to_string(), "a thread of the library monitor failed");
        assert!(error.source().is_some());
    }
}
