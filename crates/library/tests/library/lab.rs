//! A game directory and a state directory that go away again, and a library that runs on them.

use std::{
    fs, mem,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lanspread_disk::{Disk, FileStamp, RealDisk, StateDir, StoredPayload};
use lanspread_library::{
    Catalog, Library, LibraryConfig, LibraryError, LibraryEvent, LibrarySnapshot, LocalGame,
    LocalState, Timing,
};
use lanspread_proto::{FileEntry, GameId, Hash, Manifest, ManifestId, chunk};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Debouncing in milliseconds, and no fallback that could hide a missed notice.
pub(crate) const TIMING: Timing = Timing {
    quiet: Duration::from_millis(20),
    quiet_max: Duration::from_millis(100),
    fallback: Duration::from_hours(1),
    progress: Duration::from_millis(1),
    save: Duration::from_hours(1),
};

pub(crate) fn id(text: &str) -> GameId {
    text.parse().unwrap()
}

pub(crate) struct Lab {
    dir: TempDir,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) timing: Timing,
    pub(crate) hash_threads: NonZeroUsize,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("games")).unwrap();
        Self {
            dir,
            catalog: Arc::default(),
            timing: TIMING,
            hash_threads: NonZeroUsize::new(2).unwrap(),
        }
    }

    // # The disk

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join("games").join(inside)
    }

    pub(crate) fn state_path(&self, inside: &str) -> PathBuf {
        self.dir.path().join("state").join(inside)
    }

    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A file of zeros, which takes no room.
    pub(crate) fn put_sparse(&self, path: &str, bytes: u64) {
        self.put(path, "");
        let file = fs::File::options().write(true).open(self.path(path));
        file.unwrap().set_len(bytes).unwrap();
    }

    /// A small complete game; its payload has 10 bytes.
    pub(crate) fn put_game(&self, game: &str, version: &str) {
        self.put(&format!("{game}/data/a.bin"), "alpha");
        self.put(&format!("{game}/b.bin"), "bravo");
        self.put(&format!("{game}/version.ini"), version);
    }

    /// Makes a file's content `content` without a trace in its stamp: what a failing disk does.
    pub(crate) fn corrupt(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        let before = fs::metadata(&path).unwrap();
        assert_eq!(before.len(), content.len() as u64);
        fs::write(&path, content).unwrap();
        set_modified(&path, before.modified().unwrap());
    }

    pub(crate) fn state(&self) -> Arc<StateDir> {
        Arc::new(StateDir::open(&self.state_path("")).unwrap())
    }

    // # The library

    pub(crate) fn config(&self) -> LibraryConfig {
        let game_dir = RealDisk::open(&self.path("")).unwrap();
        let mut config = LibraryConfig::new(game_dir, self.state(), Arc::clone(&self.catalog));
        config.timing = self.timing;
        config.hash_threads = self.hash_threads;
        config
    }

    pub(crate) fn open(&self) -> (Library, mpsc::Receiver<LibraryEvent>) {
        Library::open(self.config()).unwrap()
    }

    pub(crate) fn run(&self) -> Run {
        Run::begin(self.open())
    }

    /// Runs until every game that is here is announced or refused, and stops.
    pub(crate) async fn index(&self) -> Arc<LibrarySnapshot> {
        let run = self.run();
        let settled = |snapshot: &LibrarySnapshot| {
            let indexing = |game: &LocalGame| game.state == LocalState::Indexing;
            !snapshot.games.is_empty() && !snapshot.games.values().any(indexing)
        };
        let snapshot = run.until(settled).await;
        run.stop().await;
        snapshot
    }

    /// What a download of what lies in `game` would have published: its files, the sentinel's content.
    pub(crate) fn stored(&self, game: &str, paths: &[&str]) -> (StoredPayload, Vec<FileStamp>) {
        let root = RealDisk::open(&self.path(game)).unwrap();
        let mut paths = paths.to_vec();
        paths.sort_unstable();
        let mut files = Vec::new();
        let mut chunk_hashes = Vec::new();
        let mut stamps = Vec::new();
        for path in paths {
            let content = fs::read(self.path(game).join(path)).unwrap();
            let sole = content.len() <= 1 << 20;
            let chunks = content.chunks(1 << 20).enumerate();
            chunk_hashes
                .extend(chunks.map(|(at, data)| chunk::chunk_hash(data, (at << 20) as u64, sole)));
            files.push(FileEntry {
                path: path.parse().unwrap(),
                size: content.len() as u64,
                executable: false,
                hash: Hash::of(&content),
            });
            stamps.push(root.stat(path).unwrap().unwrap().stamp);
        }
        let sentinel = fs::read(self.path(game).join("version.ini")).unwrap();
        let manifest = Arc::new(Manifest::new(sentinel, files, Vec::new()).unwrap());
        (
            StoredPayload::new(manifest, chunk_hashes.into()).unwrap(),
            stamps,
        )
    }
}

pub(crate) fn set_modified(path: &Path, time: std::time::SystemTime) {
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

pub(crate) struct Run {
    pub(crate) library: Library,
    pub(crate) events: mpsc::Receiver<LibraryEvent>,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), LibraryError>>,
}

impl Run {
    pub(crate) fn begin((library, events): (Library, mpsc::Receiver<LibraryEvent>)) -> Self {
        let cancel = CancellationToken::new();
        let (running, stop) = (library.clone(), cancel.clone());
        let task = tokio::spawn(async move { running.run(stop).await });
        Self {
            library,
            events,
            cancel,
            task,
        }
    }

    pub(crate) async fn until(
        &self,
        wanted: impl Fn(&LibrarySnapshot) -> bool,
    ) -> Arc<LibrarySnapshot> {
        let mut snapshots = self.library.subscribe();
        match timeout(DEADLINE, snapshots.wait_for(|snapshot| wanted(snapshot))).await {
            Ok(snapshot) => Arc::clone(&snapshot.unwrap()),
            Err(late) => panic!("{late}: {:#?}", self.library.snapshot()),
        }
    }

    /// Waits until the game is announced with another manifest than `other`.
    pub(crate) async fn announced(&self, game: &str, other: Option<ManifestId>) -> ManifestId {
        let game = id(game);
        let found = |snapshot: &LibrarySnapshot| {
            snapshot
                .get(&game)
                .and_then(|game| game.manifest)
                .filter(|found| Some(*found) != other)
        };
        found(&*self.until(|snapshot| found(snapshot).is_some()).await).unwrap()
    }

    pub(crate) async fn state(&self, game: &str, state: LocalState) -> Arc<LibrarySnapshot> {
        let game = id(game);
        self.until(|snapshot| snapshot.get(&game).is_some_and(|game| game.state == state))
            .await
    }

    pub(crate) async fn gone(&self, game: &str) {
        let game = id(game);
        self.until(|snapshot| snapshot.get(&game).is_none()).await;
    }

    /// The next event that `wanted` takes.
    pub(crate) async fn event<T>(
        &mut self,
        mut wanted: impl FnMut(LibraryEvent) -> Option<T>,
    ) -> T {
        let found = async {
            loop {
                if let Some(found) = wanted(self.events.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        timeout(DEADLINE, found)
            .await
            .expect("the event did not come")
    }

    /// Waits until so many bytes are hashed of a game.
    pub(crate) async fn hashed(&mut self, bytes: u64) {
        let enough = |event| match event {
            LibraryEvent::IndexProgress { bytes_done, .. } => (bytes_done >= bytes).then_some(()),
            _ => None,
        };
        self.event(enough).await;
    }

    pub(crate) async fn everything_seen(&mut self) {
        let seen = |event| matches!(event, LibraryEvent::EverythingSeen).then_some(());
        self.event(seen).await;
    }

    pub(crate) async fn stop(self) -> Library {
        self.cancel.cancel();
        timeout(DEADLINE, self.task)
            .await
            .expect("the monitor did not stop")
            .unwrap()
            .unwrap();
        self.library
    }

    /// Ends the monitor as the end of the process would: without its last words.
    pub(crate) async fn cut_off(self) -> Library {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        self.library
    }
}

/// What an announcing library says about one game, for comparison.
pub(crate) fn manifest_of(snapshot: &LibrarySnapshot, game: &str) -> Option<ManifestId> {
    snapshot.get(&id(game)).and_then(|game| game.manifest)
}

pub(crate) fn take_events(events: &mut mpsc::Receiver<LibraryEvent>) -> Vec<LibraryEvent> {
    let mut all = Vec::new();
    while let Ok(event) = events.try_recv() {
        all.push(event);
    }
    mem::take(&mut all)
}
