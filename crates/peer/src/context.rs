//! What all tasks of one peer share. Each part guards itself with a short lock of its own; nothing
//! here waits, and no part knows another's insides.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    future::pending,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use lanspread_disk::{RealDisk, StateDir};
use lanspread_library::{Catalog, Library, LocalGame, LocalState};
use lanspread_proto::{
    CHUNK_BYTES, GameId, GroupName, ManifestId, PeerId, Version, limits,
    message::{FEATURE_LANES, GameSummary, Hello, PROTOCOL_VERSION},
};
use tokio::{
    sync::{Notify, broadcast, watch},
    time::{sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    buffers::Buffers,
    config::{RateLimits, Services},
    event::{DistrustReason, Events, PeerEvent},
    exchange::Exchanges,
    game_db::{PeerGameDB, RemoteTitle},
    ledger::Ledger,
    links::Links,
    serve::{ExpandQueue, Firsts},
    shelf::Shelf,
    throttle::Throttle,
    view::{GameState, GameView, OperationKind, OperationView, Status},
};

/// News about remote payloads that one download driver may be behind before it reads all of it anew.
const NEWS_BUFFERED_MAX: usize = 1024;

/// Changes of the merged list are collected for this long: a room that starts sends hundreds.
const TELL_BATCH: Duration = Duration::from_millis(50);

/// A machine of another party is told of again after this.
const STRANGER_AGAIN: Duration = Duration::from_mins(1);

/// Machines of other parties that are remembered.
const STRANGERS_MAX: usize = 1024;

/// What is read at once to be served: large enough to be worth a thread's while, small enough to share the
/// buffers fairly.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// What all tasks share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) id: PeerId,
    pub(crate) name: String,
    pub(crate) group: Option<GroupName>,
    pub(crate) listen: SocketAddr,
    features: Vec<String>,
    pub(crate) incarnation: u64,
    pub(crate) events: Events,
    pub(crate) game_db: PeerGameDB,
    pub(crate) links: Links,
    pub(crate) ledger: Ledger,
    pub(crate) firsts: Firsts,
    pub(crate) exchanges: Exchanges,
    pub(crate) shelf: Shelf,
    pub(crate) state: Arc<StateDir>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) reserve_bytes: Option<u64>,
    pub(crate) lane_run_bytes_min: u64,
    pub(crate) services: Services,
    pub(crate) expansions: ExpandQueue,
    pub(crate) upload: Throttle,
    pub(crate) download: Throttle,
    pub(crate) news: broadcast::Sender<News>,
    pub(crate) operations: watch::Sender<BTreeMap<GameId, OperationView>>,
    /// Payload read from disk and not yet taken by the transport.
    pub(crate) serving_buffers: Buffers,
    /// Payload received and not yet on the disk.
    pub(crate) receiving_buffers: Buffers,
    pub(crate) home: RwLock<Arc<Home>>,
    stale: Notify,
    calls: AtomicU64,
    /// When a machine of another party was last told of, by its address.
    pub(crate) strangers: Mutex<HashMap<IpAddr, Instant>>,
    pub(crate) cancel: CancellationToken,
}

/// The game directory and what is known of it; another one takes its place as a whole.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<RealDisk>,
    pub(crate) library: Library,
    pub(crate) cancel: CancellationToken,
}

/// A change of what other peers hold.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// A peer's games have changed, or it has come.
    Games(PeerId),
    /// A peer has more chunks of a partial payload, as first number and count.
    Gained(PeerId, ManifestId, Arc<Vec<(u32, u32)>>),
    /// A peer has gone.
    Left(PeerId),
    /// An exchange of a payload with a peer may have begun or ended.
    Exchange(PeerId, ManifestId),
}

/// The parts that come from the outside; the rest is made here.
pub(crate) struct ContextParts {
    pub(crate) id: PeerId,
    pub(crate) name: String,
    pub(crate) group: Option<GroupName>,
    pub(crate) listen: SocketAddr,
    /// Whether others can dial lanes to us.
    pub(crate) lanes: bool,
    pub(crate) incarnation: u64,
    pub(crate) game_db: PeerGameDB,
    pub(crate) state: Arc<StateDir>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) reserve_bytes: Option<u64>,
    pub(crate) lane_run_bytes_min: u64,
    pub(crate) services: Services,
    pub(crate) rate_limits: RateLimits,
    pub(crate) home: Home,
}

/// Sleeps until then, or for ever.
pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

impl Context {
    pub(crate) fn new(parts: ContextParts) -> Arc<Self> {
        let buffers = |size| Buffers::new(size, limits::BUFFERED_BYTES_MAX / 2);
        let chunk_bytes = usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX);
        Arc::new(Self {
            id: parts.id,
            name: parts.name,
            group: parts.group,
            listen: parts.listen,
            features: parts
                .lanes
                .then(|| FEATURE_LANES.to_owned())
                .into_iter()
                .collect(),
            incarnation: parts.incarnation,
            events: Events::new(),
            game_db: parts.game_db,
            links: Links::new(parts.id),
            ledger: Ledger::default(),
            firsts: Firsts::default(),
            exchanges: Exchanges::new(),
            shelf: Shelf::new(),
            state: parts.state,
            catalog: parts.catalog,
            reserve_bytes: parts.reserve_bytes,
            lane_run_bytes_min: parts.lane_run_bytes_min,
            services: parts.services,
            expansions: ExpandQueue::default(),
            upload: Throttle::new(parts.rate_limits.upload_bytes_per_second),
            download: Throttle::new(parts.rate_limits.download_bytes_per_second),
            news: broadcast::channel(NEWS_BUFFERED_MAX).0,
            operations: watch::Sender::new(BTreeMap::new()),
            serving_buffers: buffers(PIECE_BYTES),
            receiving_buffers: buffers(chunk_bytes),
            home: RwLock::new(Arc::new(parts.home)),
            stale: Notify::new(),
            calls: AtomicU64::new(0),
            strangers: Mutex::default(),
            cancel: CancellationToken::new(),
        })
    }

    /// The game directory as it is now; hold on to it for one operation, not for longer.
    pub(crate) fn home(&self) -> Arc<Home> {
        self.home
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The number of the next call to another peer, from 1.
    pub(crate) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How this peer introduces itself, in its call of this number or, with 0, in an answer.
    pub(crate) fn hello(&self, call: u64) -> Hello {
        Hello {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: PROTOCOL_VERSION,
            features: self.features.clone(),
            listen_port: self.listen.port(),
            incarnation: self.incarnation,
            call,
            library_revision: self.shelf.shown().borrow().revision,
            group: self.group.clone(),
        }
    }

    /// Whether a peer is at the same switch, as far as is known: without groups everybody is.
    pub(crate) fn is_near(&self, peer: PeerId) -> bool {
        self.group.is_none() || self.game_db.group_of(peer) == self.group
    }

    /// Tells the download drivers; nobody downloading is a fine state.
    pub(crate) fn tell_news(&self, news: News) {
        let _ = self.news.send(news);
    }

    pub(crate) fn tell_peer_count(&self) -> usize {
        let count = self.game_db.peer_count();
        self.events.tell(PeerEvent::PeerCount { count });
        count
    }

    /// Works out what is announced; the merged list may have changed.
    pub(crate) fn library_changed(&self) {
        let home = self.home();
        self.shelf.refresh(&home.library, &self.catalog);
        self.games_changed();
    }

    /// The merged list may have changed: whoever listens is told soon if it has.
    pub(crate) fn games_changed(&self) {
        self.stale.notify_one();
    }

    /// Tells the embedder of each change of the merged list; those within [`TELL_BATCH`] are one. One of
    /// the long-lived tasks.
    pub(crate) async fn tell_library(self: Arc<Self>) -> Result<(), Infallible> {
        let (mut revision, mut told) = (0, Vec::new());
        loop {
            self.stale.notified().await;
            sleep(TELL_BATCH).await;
            let games = self.games();
            if games != told {
                revision += 1;
                self.events.tell(PeerEvent::LibraryChanged {
                    revision,
                    games: games.len(),
                });
                told = games;
            }
        }
    }

    /// Waits until what is here of a game has been hashed, and has it hashed before all others.
    pub(crate) async fn until_indexed(&self, game: &GameId) {
        let library = self.home().library.clone();
        let mut snapshots = library.subscribe();
        let indexed = snapshots.wait_for(|snapshot| {
            let indexing = |local: &LocalGame| local.state == LocalState::Indexing;
            let waiting = snapshot.get(game).is_some_and(indexing);
            if waiting {
                library.prioritise(game);
            }
            !waiting
        });
        // The library, which holds the sender, is alive.
        let _ = indexed.await;
    }

    /// Tells that a machine of another party was met; once a minute for each address.
    pub(crate) fn met_stranger(&self, addr: Option<SocketAddr>) {
        let now = Instant::now();
        if let Some(addr) = addr {
            let mut strangers = self
                .strangers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            strangers.retain(|_, told| now.duration_since(*told) < STRANGER_AGAIN);
            let full = strangers.len() >= STRANGERS_MAX;
            if full || strangers.insert(addr.ip(), now).is_some() {
                return;
            }
        }
        tracing::warn!(
            ?addr,
            "a machine of another party: its certificates do not match ours"
        );
        self.events.tell(PeerEvent::PeerDistrusted {
            peer: None,
            name: None,
            addr,
            game: None,
            reason: DistrustReason::PartyMismatch,
            dropped: true,
        });
    }

    // # Snapshots

    /// Local and remote games merged, ordered by id.
    pub(crate) fn games(&self) -> Vec<GameView> {
        let snapshot = self.home().library.snapshot();
        let mut remote = self.game_db.titles();
        remote.retain(|id, _| self.catalog.admits(id));
        let mut games: BTreeMap<GameId, GameView> = BTreeMap::new();
        for (id, title) in &remote {
            games.insert(id.clone(), self.remote_view(id, title));
        }
        for (id, local) in &snapshot.games {
            let view = games.entry(id.clone()).or_insert_with(|| GameView {
                id: id.clone(),
                name: self.catalog.name(id).unwrap_or(id.as_str()).to_owned(),
                version: None,
                latest_version: None,
                state: GameState::Remote,
                installed: false,
                installed_version: None,
                peers: 0,
                bytes: local.bytes,
            });
            view.version.clone_from(&local.version);
            view.installed = local.installed;
            view.installed_version.clone_from(&local.installed_version);
            view.state = match local.state {
                LocalState::Absent => GameState::Remote,
                LocalState::Partial | LocalState::Refused => GameState::Partial,
                LocalState::Indexing | LocalState::Downloaded => GameState::Downloaded,
            };
            if matches!(view.state, GameState::Downloaded) {
                view.bytes = local.bytes;
            }
            let latest = [view.latest_version.take(), local.version.clone()];
            view.latest_version = latest.into_iter().flatten().max();
        }
        let operations = self.operations.borrow();
        for operation in operations
            .values()
            .filter(|op| op.kind == OperationKind::Download)
        {
            if let Some(view) = games.get_mut(&operation.game) {
                view.state = GameState::Downloading;
            }
        }
        for view in games.values_mut() {
            if let Some(version) = self.catalog.version(&view.id) {
                view.latest_version = Some(version.clone());
            }
        }
        games.into_values().collect()
    }

    fn remote_view(&self, id: &GameId, title: &RemoteTitle) -> GameView {
        let name = self
            .catalog
            .name(id)
            .or(title.name.as_deref())
            .unwrap_or(id.as_str());
        GameView {
            id: id.clone(),
            name: name.to_owned(),
            version: None,
            latest_version: Some(title.newest.clone()),
            state: GameState::Remote,
            installed: false,
            installed_version: None,
            peers: title
                .offers
                .iter()
                .filter(|offer| self.is_usable(id, &offer.summary.version))
                .count(),
            bytes: title.bytes,
        }
    }

    /// Whether a download would look at this version at all: a catalog that names one admits no other.
    pub(crate) fn is_usable(&self, game: &GameId, version: &Version) -> bool {
        self.catalog
            .version(game)
            .is_none_or(|wanted| wanted == version)
    }

    /// What runs on `game`.
    pub(crate) fn running(&self, game: &GameId) -> Option<OperationKind> {
        self.operations
            .borrow()
            .get(game)
            .map(|operation| operation.kind)
    }

    fn neighbours(&self) -> BTreeMap<GameId, usize> {
        let shown = self.shelf.shown();
        let shown = shown.borrow();
        let count = |(id, game): (&GameId, &GameSummary)| {
            let count = self.exchanges.neighbours(game.manifest).len();
            (count > 0).then(|| (id.clone(), count))
        };
        shown.games.iter().filter_map(count).collect()
    }

    pub(crate) fn status(&self) -> Status {
        let home = self.home();
        Status {
            peer: self.id,
            name: self.name.clone(),
            listen: self.listen,
            peers: self.game_db.peer_count(),
            game_dir: home.path.clone(),
            operations: self.operations.borrow().values().cloned().collect(),
            outbound_transfers: self.ledger.outbound_transfers(),
            neighbours: self.neighbours(),
            queued_receivers: self.expansions.waiting(),
            sent_bytes: self.ledger.sent_bytes(),
            received_bytes: self.ledger.received_bytes(),
            hashed_bytes: home.library.hashed_bytes(),
        }
    }
}
