//! Starting a peer, and stopping it.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use lanspread_disk::{DirLock, Holder, STATE_DIR_LOCK_NAME, StateDir};
use lanspread_library::Catalog;
use lanspread_mdns::{Discovery, MdnsConfig, MdnsDiscovery, PartyHint};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    config::{DiscoveryMode, PeerConfig, Services},
    context::{Context, ContextParts},
    error::StartError,
    event::PeerEvent,
    handle::PeerRuntimeHandle,
    home::{self, HomeKeeper, Opened},
    links::Serial,
    neighbours::{self, Neighbours, Wish, run_peer_discovery},
    recovery,
    runtime::{MESSAGES_BUFFERED_MAX, Runtime},
    serve::{run_lane_server, run_server_component},
    session::{SessionNews, Sessions, run_ping_service},
    supervise::supervise,
    transport::{Endpoint, EndpointConfig, HandshakeRefused, Identity, Incoming, LaneListener},
};

/// Pings that wait to be sent.
const PINGS_BUFFERED_MAX: usize = 64;

/// These tasks have nothing to finish.
const AT_ONCE: Duration = Duration::ZERO;

/// What shutting down waits for discovery's goodbye and for the sessions, each.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Closing a connection sends packets; they need this long to leave before the process may end.
const PACKETS_LEAVE: Duration = Duration::from_millis(150);

/// Everything that touches the disk before the network is used.
struct Grounds {
    state: Arc<StateDir>,
    catalog: Arc<Catalog>,
    identity: Identity,
    opened: Opened,
    holder: Holder,
    lock: DirLock,
}

/// Starts a peer: locks its directories, recovers what a crash interrupted, scans the library, listens,
/// announces itself. Runs on the tokio runtime that calls it, which must have time and IO enabled.
/// Events go to `tx_events` as well, if it is given; a full channel loses events and says so.
///
/// # Errors
/// [`StartError`], naming the directory or address that cannot be used.
pub async fn start_peer(
    config: PeerConfig,
    services: Services,
    tx_events: Option<mpsc::Sender<PeerEvent>>,
) -> Result<PeerRuntimeHandle, StartError> {
    let grounds = prepare(&config).await?;
    let (endpoint, mut incoming) = Endpoint::bind(&EndpointConfig {
        listen: config.listen,
        listen_elsewhere: config.listen_elsewhere,
        identity: &grounds.identity,
        party: &config.party,
        connections_per_address_max: config.connections_per_address_max,
        loopback_exempt: config.loopback_exempt,
    })
    .map_err(|error| StartError::Listen {
        addr: config.listen,
        source: Box::new(error),
    })?;
    let lanes = incoming.take_lanes();
    let discovery = discover(&config, &grounds.identity, endpoint.listen_addr())?;
    let Grounds {
        state,
        catalog,
        identity,
        opened,
        holder,
        lock,
    } = grounds;
    let context = Context::new(ContextParts {
        id: identity.id,
        name: config.name.clone(),
        group: config.group.clone(),
        listen: endpoint.listen_addr(),
        lanes: lanes.is_some(),
        incarnation: rand::random(),
        game_db: config.game_db.clone(),
        state,
        catalog,
        reserve_bytes: config.reserve_bytes,
        lane_run_bytes_min: config.lane_run_bytes_min,
        services,
        rate_limits: config.rate_limits,
        home: opened.home,
    });
    if let Some(subscriber) = tx_events {
        context.events.forward_to(subscriber);
    }
    context.events.tell(PeerEvent::Ready {
        peer: context.id,
        name: context.name.clone(),
        listen: context.listen,
        version: env!("CARGO_PKG_VERSION").into(),
    });
    recovery::tell(&context.events, opened.findings);
    // Whoever connects first is told of what is here already.
    context.library_changed();
    let keeper = HomeKeeper::start(context.clone(), holder, opened.lock, opened.events);
    let party = party_hint(&config);
    let network = Network {
        endpoint,
        incoming,
        lanes,
        discovery,
        party,
        manual: config.manual_peers,
    };
    Ok(launch(context, keeper, network, lock))
}

async fn prepare(config: &PeerConfig) -> Result<Grounds, StartError> {
    let config = config.clone();
    let shown = config.state_dir.clone();
    let preparing = tokio::task::spawn_blocking(move || prepare_blocking(&config));
    preparing.await.unwrap_or_else(|panic| {
        Err(StartError::Directory {
            path: shown,
            source: Box::new(panic),
        })
    })
}

fn prepare_blocking(config: &PeerConfig) -> Result<Grounds, StartError> {
    let unusable =
        |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| StartError::Directory {
            path: path.to_owned(),
            source,
        };
    let holder = Holder {
        pid: std::process::id(),
        name: config.name.clone(),
        control: config.control.clone(),
    };
    let state = StateDir::open(&config.state_dir)
        .map_err(|error| unusable(&config.state_dir, Box::new(error)))?;
    let lock = DirLock::acquire(&config.state_dir, STATE_DIR_LOCK_NAME, &holder)
        .map_err(|error| home::lock_error(error, &config.state_dir))?;
    let catalog = match &config.catalog {
        Some(path) => Catalog::load(path).map_err(|error| StartError::Catalog(Box::new(error)))?,
        None => Catalog::default(),
    };
    let identity = Identity::load_or_make(&state, &config.party)
        .map_err(|error| StartError::Identity(Box::new(error)))?;
    let (state, catalog) = (Arc::new(state), Arc::new(catalog));
    let opened = home::open(&config.game_dir, &state, &catalog, &holder)
        .map_err(|error| error.at_start(&config.game_dir))?;
    Ok(Grounds {
        state,
        catalog,
        identity,
        opened,
        holder,
        lock,
    })
}

fn discover(
    config: &PeerConfig,
    identity: &Identity,
    listen: SocketAddr,
) -> Result<Option<Arc<dyn Discovery>>, StartError> {
    match &config.discovery {
        DiscoveryMode::Mdns(interfaces) => {
            let interfaces = interfaces.clone().listening_on(listen.ip());
            let mdns = MdnsDiscovery::start(MdnsConfig {
                interfaces,
                ..MdnsConfig::new(identity.id)
            })
            .map_err(|error| StartError::Discovery(Box::new(error)))?;
            Ok(Some(Arc::new(mdns)))
        }
        DiscoveryMode::Memory(network) => {
            Ok(Some(Arc::new(network.join(identity.id, listen.ip()))))
        }
        DiscoveryMode::Off => Ok(None),
    }
}

fn party_hint(config: &PeerConfig) -> PartyHint {
    config
        .party
        .short()
        .parse()
        .expect("ten hexadecimal digits are a party hint")
}

struct Network {
    endpoint: Endpoint,
    incoming: Incoming,
    lanes: Option<LaneListener>,
    discovery: Option<Arc<dyn Discovery>>,
    party: PartyHint,
    manual: Vec<String>,
}

/// Starts the long-lived tasks and the loop that ends them.
fn launch(
    context: Arc<Context>,
    keeper: HomeKeeper,
    network: Network,
    lock: DirLock,
) -> PeerRuntimeHandle {
    let (messages, inbox) = mpsc::channel(MESSAGES_BUFFERED_MAX);
    let (commands, orders) = mpsc::channel(MESSAGES_BUFFERED_MAX);
    let (news, heard) = mpsc::channel(neighbours::NEWS_BUFFERED_MAX);
    let (wishes, wished) = mpsc::channel(MESSAGES_BUFFERED_MAX);
    let (pings, wanted) = mpsc::channel(PINGS_BUFFERED_MAX);
    let stopped = CancellationToken::new();
    let handle = PeerRuntimeHandle {
        context: context.clone(),
        messages,
        commands,
        stopped: stopped.clone(),
    };
    let sessions = Sessions::new(context.clone(), news.clone());
    let discovery = network.discovery.clone();
    let mut incoming = network.incoming;
    tokio::spawn(report_strangers(context.clone(), incoming.take_refused()));
    let neighbours = Neighbours {
        context: context.clone(),
        endpoint: Arc::new(network.endpoint),
        sessions: sessions.clone(),
        discovery: network.discovery,
        party: network.party,
        manual_peers: network.manual,
        pings,
    };
    let lanes = network.lanes.map(|lanes| serve_lanes(&context, lanes));
    let mut tasks = vec![
        serve(&context, incoming, sessions.clone()),
        ping(&context, wanted, news),
        find(&context, neighbours, (heard, wished)),
        tell(&context),
    ];
    tasks.extend(lanes);
    let life = Life {
        context,
        discovery,
        sessions,
        tasks,
        lock,
    };
    let runtime = Runtime::new(handle.clone(), keeper, wishes);
    let span = tracing::info_span!("peer", id = %handle.id().short());
    let living = async move {
        life.live(runtime, inbox, orders).await;
        stopped.cancel();
    };
    tokio::spawn(living.instrument(span));
    handle
}

// # The long-lived tasks, besides the library monitor that comes with the game directory

fn serve(context: &Context, incoming: Incoming, sessions: Sessions) -> JoinHandle<()> {
    let incoming = Arc::new(Mutex::new(incoming));
    let body = move || run_server_component(incoming.clone(), sessions.clone());
    let (events, cancel) = (context.events.clone(), context.cancel.clone());
    supervise("server", events, cancel, AT_ONCE, body)
}

fn serve_lanes(context: &Arc<Context>, lanes: LaneListener) -> JoinHandle<()> {
    let (serving, lanes) = (context.clone(), Arc::new(Mutex::new(lanes)));
    let body = move || run_lane_server(serving.clone(), lanes.clone());
    let (events, cancel) = (context.events.clone(), context.cancel.clone());
    supervise("lane server", events, cancel, AT_ONCE, body)
}

fn ping(
    context: &Arc<Context>,
    wanted: mpsc::Receiver<Serial>,
    news: mpsc::Sender<SessionNews>,
) -> JoinHandle<()> {
    let (pinging, wanted) = (context.clone(), Arc::new(Mutex::new(wanted)));
    let body = move || run_ping_service(pinging.clone(), wanted.clone(), news.clone());
    let (events, cancel) = (context.events.clone(), context.cancel.clone());
    supervise("ping service", events, cancel, AT_ONCE, body)
}

fn find(
    context: &Context,
    neighbours: Neighbours,
    inputs: (mpsc::Receiver<SessionNews>, mpsc::Receiver<Wish>),
) -> JoinHandle<()> {
    let inputs = Arc::new(Mutex::new(inputs));
    let body = move || run_peer_discovery(neighbours.clone(), inputs.clone());
    let (events, cancel) = (context.events.clone(), context.cancel.clone());
    supervise("discovery", events, cancel, AT_ONCE, body)
}

fn tell(context: &Arc<Context>) -> JoinHandle<()> {
    let telling = context.clone();
    let body = move || telling.clone().tell_library();
    let (events, cancel) = (context.events.clone(), context.cancel.clone());
    supervise("library news", events, cancel, AT_ONCE, body)
}

async fn report_strangers(context: Arc<Context>, mut refused: mpsc::Receiver<HandshakeRefused>) {
    while let Some(HandshakeRefused { addr }) = refused.recv().await {
        context.met_stranger(addr);
    }
}

/// A peer's life from the first event to the last.
struct Life {
    context: Arc<Context>,
    discovery: Option<Arc<dyn Discovery>>,
    sessions: Sessions,
    tasks: Vec<JoinHandle<()>>,
    lock: DirLock,
}

impl Life {
    async fn live(
        mut self,
        mut runtime: Runtime,
        inbox: mpsc::Receiver<crate::runtime::Message>,
        orders: mpsc::Receiver<crate::command::PeerCommand>,
    ) {
        let context = &self.context;
        runtime.run(inbox, orders).await;
        context.events.tell(PeerEvent::ShuttingDown);
        runtime.close_home().await;
        self.say_goodbye().await;
        tracing::info!("stopped");
        drop(self.lock);
    }

    /// Withdraws the announcement, has every session say goodbye, and waits for them.
    async fn say_goodbye(&mut self) {
        let farewell = async {
            if let Some(discovery) = &self.discovery
                && let Err(error) = discovery.withdraw().await
            {
                tracing::debug!(%error, "discovery did not confirm the goodbye");
            }
        };
        // Each session closes its connection when it sees this.
        self.context.cancel.cancel();
        let parting = async {
            self.sessions.ended().await;
            tokio::time::sleep(PACKETS_LEAVE).await;
        };
        let both = async { tokio::join!(farewell, parting) };
        if timeout(FAREWELL_TIMEOUT, both).await.is_err() {
            tracing::debug!("some goodbyes were not said in time");
        }
        for task in &mut self.tasks {
            if timeout(FAREWELL_TIMEOUT, &mut *task).await.is_err() {
                task.abort();
            }
        }
    }
}
