//! Peers on loopback, each with folders of its own.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lanspread_peer::{
    DiscoveryMode, DownloadRequest, DownloadSummary, MemoryNetwork, PeerConfig, PeerEvent,
    PeerRuntimeHandle, Services, StreamInstallProvider, Unpacker, start_peer,
};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

use crate::tree::GameTree;

/// What must happen at all must happen within this, on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_mins(1);

/// Between two looks at something that tells no events.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A temporary folder in which peers live, and the network by which those find each other that want to.
#[derive(Debug)]
pub struct Lab {
    dir: TempDir,
    network: MemoryNetwork,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// An empty lab.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self {
            dir,
            network: MemoryNetwork::new(),
        }
    }

    /// A peer of this name, not started yet. The same name again is the same machine, later.
    ///
    /// # Panics
    /// When its game directory cannot be made.
    pub fn peer(&self, name: &str) -> PeerSetup {
        let dir = self.dir.path().join(name);
        let mut config = PeerConfig::isolated(&dir);
        config.name = name.into();
        fs::create_dir_all(&config.game_dir).expect("a game directory");
        PeerSetup {
            dir,
            config,
            services: Services::default(),
            network: self.network.clone(),
        }
    }
}

/// A peer before its start.
#[derive(Debug)]
#[must_use = "a peer does nothing before it is started"]
pub struct PeerSetup {
    dir: PathBuf,
    network: MemoryNetwork,
    /// What it will be started with.
    pub config: PeerConfig,
    services: Services,
}

impl PeerSetup {
    /// Puts a game into its game directory.
    pub fn has(self, game: &GameTree) -> Self {
        game.write_to(&self.config.game_dir);
        self
    }

    /// Has it connect to a running peer.
    pub fn knows(mut self, other: &TestPeer) -> Self {
        self.config
            .manual_peers
            .push(other.handle.listen_addr().to_string());
        self
    }

    /// Has it find the lab's other peers that do so.
    pub fn discovers(mut self) -> Self {
        self.config.discovery = DiscoveryMode::Memory(self.network.clone());
        self
    }

    /// Gives it a catalog.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn catalog(mut self, json: &str) -> Self {
        let path = self.dir.join("catalog.json");
        fs::write(&path, json).expect("write the catalog");
        self.config.catalog = Some(path);
        self
    }

    /// Has it unpack archives.
    pub fn unpacks(mut self, unpacker: Arc<dyn Unpacker>) -> Self {
        self.services = self.services.with_unpacker(unpacker);
        self
    }

    /// Has it expand archives for others.
    pub fn expands(mut self, provider: Arc<dyn StreamInstallProvider>) -> Self {
        self.services = self.services.with_provider(provider);
        self
    }

    /// Changes anything else.
    pub fn with(mut self, change: impl FnOnce(&mut PeerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> TestPeer {
        let game_dir = self.config.game_dir.clone();
        let (tx_events, mut events) = mpsc::channel(lanspread_peer::EVENTS_BUFFERED_MAX);
        let log = Log::default();
        let written = log.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                written.push(event);
            }
        });
        let handle = start_peer(self.config, self.services, Some(tx_events))
            .await
            .unwrap_or_else(|error| panic!("the peer does not start: {error:?}"));
        TestPeer {
            handle,
            dir: self.dir,
            game_dir,
            log,
        }
    }
}

/// A running peer and everything that it told.
#[derive(Debug)]
pub struct TestPeer {
    /// The peer.
    pub handle: PeerRuntimeHandle,
    dir: PathBuf,
    game_dir: PathBuf,
    log: Log,
}

impl TestPeer {
    /// Its folder; `games` and `state` are in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its game directory.
    pub fn game_dir(&self) -> PathBuf {
        self.game_dir.clone()
    }

    /// Everything that it told so far.
    pub fn told(&self) -> Vec<PeerEvent> {
        self.log.all()
    }

    /// Waits for an event that `picks` likes, also an earlier one, and returns what it made of it.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn event<T>(&self, what: &str, picks: impl Fn(&PeerEvent) -> Option<T>) -> T {
        let mut grown = self.log.grown.subscribe();
        let found = async {
            loop {
                grown.mark_unchanged();
                if let Some(found) = self.log.all().iter().find_map(&picks) {
                    return found;
                }
                grown
                    .changed()
                    .await
                    .expect("the log lives as long as its peer");
            }
        };
        let Ok(found) = timeout(DEADLINE, found).await else {
            panic!("no {what} within {DEADLINE:?}; told: {:#?}", self.told())
        };
        found
    }

    /// Waits until `count` other peers can serve `game`.
    ///
    /// # Panics
    /// When that does not happen in time.
    pub async fn sees(&self, game: &str, count: usize) {
        eventually(&format!("{count} sources of {game}"), || {
            self.handle
                .games()
                .iter()
                .any(|view| view.id.as_str() == game && view.peers >= count)
        })
        .await;
    }

    /// Downloads a game that some peer has or is about to have.
    ///
    /// # Panics
    /// When it fails.
    pub async fn downloads(&self, game: &str) -> DownloadSummary {
        self.sees(game, 1).await;
        let request = DownloadRequest::latest(game.parse().expect("a game id"));
        let download = self
            .handle
            .download(request)
            .await
            .expect("the download is accepted");
        match timeout(DEADLINE, download)
            .await
            .expect("the download ends in time")
        {
            Ok(summary) => summary,
            Err(error) => panic!("the download failed: {error:?}; told: {:#?}", self.told()),
        }
    }
}

/// Waits until `holds` does.
///
/// # Panics
/// When it does not in time.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "no {what} within {DEADLINE:?}");
        sleep(LOOK_INTERVAL).await;
    }
}

/// Events in the order in which they were told.
#[derive(Debug, Clone, Default)]
struct Log {
    events: Arc<Mutex<Vec<PeerEvent>>>,
    grown: watch::Sender<()>,
}

impl Log {
    fn push(&self, event: PeerEvent) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
        self.grown.send_replace(());
    }

    fn all(&self) -> Vec<PeerEvent> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
