//! Everything that an embedder decides about a peer.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use lanspread_install::{StreamInstallProvider, Unpacker};
use lanspread_mdns::{InterfaceFilter, MemoryNetwork};
use lanspread_proto::{GroupName, limits};

use crate::{game_db::PeerGameDB, party::Party};

/// The port that peers listen on unless told otherwise: UDP, and TCP for large runs.
pub const DEFAULT_PORT: u16 = 27184;

/// Runs from this size on go over TCP. A run is a quarter of a second at its receiver's rate, so these belong to wires with
/// 24 MiB/s and more for one receiver, over which QUIC waits for the processor; on slower ones, QUIC's small buffers share a
/// link better among many.
const LANE_RUN_BYTES_MIN: u64 = limits::RUN_BYTES_MAX * 3 / 4;

/// How a peer is set up. [`PeerConfig::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The folder whose direct child folders are games. Made if it is missing.
    pub game_dir: PathBuf,
    /// The folder for identity, index and transactions. Made if it is missing. One process at a time.
    pub state_dir: PathBuf,
    /// The catalog file; default none, so every valid game id is admitted.
    pub catalog: Option<PathBuf>,
    /// What is known of remote games; hand in one to read it too. Default: an empty one.
    pub game_db: PeerGameDB,
    /// Whose certificates are accepted. Default: the open party, which everyone is in.
    pub party: Party,
    /// What people call this machine; default `lanspread`.
    pub name: String,
    /// Which machines share a switch with this one; default none. Where several switches are joined by links that are
    /// thinner than all their machines' links together, each switch's machines are given a name of their own: most of
    /// the exchange then stays at the switch, and each byte crosses a joint once or little more.
    pub group: Option<GroupName>,
    /// Where to listen. Default: every IPv4 address, port [`DEFAULT_PORT`].
    pub listen: SocketAddr,
    /// Whether to take any free port when the one of `listen` is taken. Default true: two peers on
    /// one machine should simply work.
    pub listen_elsewhere: bool,
    /// `HOST:PORT` of peers to connect to and to keep trying; for links that multicast does not cross.
    pub manual_peers: Vec<String>,
    /// How peers are found; default mDNS on every suitable interface.
    pub discovery: DiscoveryMode,
    /// Default: no limit in either direction.
    pub rate_limits: RateLimits,
    /// Bytes that a download leaves free. Default `None`: the larger of 1 % and 1 GiB.
    pub reserve_bytes: Option<u64>,
    /// Connections accepted from one address. Default [`limits::CONNECTIONS_PER_ADDRESS_MAX`]; raise it
    /// where machines share an address.
    pub connections_per_address_max: usize,
    /// Whether loopback addresses may connect without that limit. Default true: a demonstration runs
    /// many peers on one machine.
    pub loopback_exempt: bool,
    /// Runs of chunks from so many bytes on are asked for over TCP, from peers that TCP reaches at the number of their UDP
    /// port. Default 6 MiB, which is asked for where one peer sends 24 MiB/s or more; `u64::MAX` is never.
    pub lane_run_bytes_min: u64,
    /// Where the embedder's control socket is, if it has one: written into the lock files, so that a second
    /// process can say where the first one answers. Default none.
    pub control: Option<PathBuf>,
}

/// How peers are found.
#[derive(Debug, Clone)]
pub enum DiscoveryMode {
    /// By mDNS on these interfaces.
    Mdns(InterfaceFilter),
    /// Inside this process, for tests and demonstrations.
    Memory(MemoryNetwork),
    /// Not at all: manual peers only, and the peers that those tell of.
    Off,
}

/// Limits on payload bytes over all peers together, in bytes per second; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// What this machine sends.
    pub upload_bytes_per_second: Option<u64>,
    /// What this machine receives.
    pub download_bytes_per_second: Option<u64>,
}

/// What an embedder injects. Nothing is needed to download, and to install plain trees.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Services {
    /// Who unpacks archives. Default none: a download leaves an archive as it is, and an install of one is
    /// refused with [`crate::ErrorCode::ArchiveUnsupported`].
    pub unpacker: Option<Arc<dyn Unpacker>>,
    /// Who expands archives for others. Default none: other machines cannot install from this one without
    /// downloading.
    pub provider: Option<Arc<dyn StreamInstallProvider>>,
}

impl Services {
    /// The same with somebody who unpacks archives.
    #[must_use]
    pub fn with_unpacker(self, unpacker: Arc<dyn Unpacker>) -> Self {
        Self {
            unpacker: Some(unpacker),
            ..self
        }
    }

    /// The same with somebody who expands archives for others.
    #[must_use]
    pub fn with_provider(self, provider: Arc<dyn StreamInstallProvider>) -> Self {
        Self {
            provider: Some(provider),
            ..self
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("unpacker", &self.unpacker.is_some())
            .field("provider", &self.provider.is_some())
            .finish()
    }
}

impl PeerConfig {
    /// The defaults for these two directories.
    pub fn new(game_dir: impl Into<PathBuf>, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            game_dir: game_dir.into(),
            state_dir: state_dir.into(),
            catalog: None,
            game_db: PeerGameDB::default(),
            party: Party::open(),
            name: "lanspread".into(),
            group: None,
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)),
            listen_elsewhere: true,
            manual_peers: Vec::new(),
            discovery: DiscoveryMode::Mdns(InterfaceFilter::default()),
            rate_limits: RateLimits::default(),
            reserve_bytes: None,
            connections_per_address_max: limits::CONNECTIONS_PER_ADDRESS_MAX,
            loopback_exempt: true,
            lane_run_bytes_min: LANE_RUN_BYTES_MIN,
            control: None,
        }
    }

    /// A peer that only tests on this machine can meet: `games` and `state` under `dir`, no discovery,
    /// loopback, an ephemeral port, and no reserve of free space.
    pub fn isolated(dir: &Path) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            discovery: DiscoveryMode::Off,
            reserve_bytes: Some(0),
            ..Self::new(dir.join("games"), dir.join("state"))
        }
    }
}
