//! The sockets: one server and one client endpoint per process, a listener for lanes, and the connections over them.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use lanspread_proto::{PeerId, limits};
use rustls::ClientConfig;
use s2n_quic::{
    Client, Connection, Server,
    client::Connect,
    connection,
    provider::{io::tokio as net, limits::Limits},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, timeout},
};

use super::{
    error::{CloseCode, DialError, LinkClosed, TransportError, WireError},
    guard::{Doorkeeper, Watched, Watcher},
    identity::{self, Identity, SERVER_NAME},
    lane::{self, LaneListener, Lanes},
    seats::Seats,
    stream::{RecvHalf, SendHalf},
    tls::Tls,
};
use crate::party::Party;

pub(crate) use super::guard::HandshakeRefused;

/// What we ask the system to hold for us per socket; a burst of several peers fits.
const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// The ring between the socket and the endpoint, for many senders that meet one receiver.
const RECEIVE_RING_BYTES: usize = 32 * 1024 * 1024;

/// Unacknowledged bytes per stream. Little, so that a receiver gets equal shares from all who send to it, and the queue
/// before its link does not overflow: eight receivers of 256 MiB at 100 Mbit/s took 24.4 s with this and 25.7 s with
/// 512 KiB. Who sends alone, and fast, is asked for several runs at once, each on a stream of its own.
const SEND_BUFFER_BYTES: u32 = 64 * 1024;

/// A LAN's Ethernet carries this much; smaller paths are found by probing.
const MTU: u16 = 1500;

/// A LAN's round trip before any was measured; the default of 333 ms is for the internet.
const INITIAL_RTT: Duration = Duration::from_millis(20);

/// Streams served in a row per wake-up of a connection.
const STREAM_BATCH: u8 = 8;

/// Opening a stream waits silently at the peer's limit; this ends the wait.
const OPEN_TIMEOUT: Duration = limits::PROGRESS_TIMEOUT;

/// The certificate may become readable a moment after `accept`.
const CERTIFICATE_WAIT: Duration = Duration::from_secs(2);
const CERTIFICATE_POLL: Duration = Duration::from_millis(2);

/// Refused handshakes that wait to be reported.
const REFUSED_BUFFERED_MAX: usize = 16;

/// Where and as whom to listen.
pub(crate) struct EndpointConfig<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) listen_elsewhere: bool,
    pub(crate) identity: &'a Identity,
    pub(crate) party: &'a Party,
    pub(crate) connections_per_address_max: usize,
    pub(crate) loopback_exempt: bool,
}

/// The side that dials.
pub(crate) struct Endpoint {
    client: Client,
    lanes: Arc<ClientConfig>,
    listen: SocketAddr,
}

/// The side that is dialled.
pub(crate) struct Incoming {
    server: Server,
    lanes: Arc<ClientConfig>,
    listener: Option<LaneListener>,
    refused: Option<mpsc::Receiver<HandshakeRefused>>,
}

impl Endpoint {
    /// Binds both sockets. Must run inside a tokio runtime, on which the endpoints live.
    pub(crate) fn bind(config: &EndpointConfig<'_>) -> Result<(Self, Incoming), TransportError> {
        let tls = Tls::new(config.identity, config.party)?;
        let (report, refused) = mpsc::channel(REFUSED_BUFFERED_MAX);
        let counts = Seats::default();
        let doorkeeper = Doorkeeper {
            counts: counts.clone(),
            per_address_max: config.connections_per_address_max,
            loopback_exempt: config.loopback_exempt,
        };
        let server_io = io(bind_socket(config.listen, config.listen_elsewhere)?)?;
        let watcher = Watcher {
            counts,
            refused: report.clone(),
        };
        let lanes = tls.lane_client();
        let lane_server = tls.lane_server();
        let server = start_server(server_io, tls.clone(), doorkeeper, watcher)
            .map_err(|error| TransportError::Start(error.to_string()))?;
        let client_io = io(bind_socket(SocketAddr::new(config.listen.ip(), 0), false)?)?;
        let watcher = Watcher {
            counts: Seats::default(),
            refused: report,
        };
        let client = start_client(client_io, tls, watcher)
            .map_err(|error| TransportError::Start(error.to_string()))?;
        let listen = server.local_addr().map_err(TransportError::Bind)?;
        let (most, exempt) = (config.connections_per_address_max, config.loopback_exempt);
        let listener = lane::bind(listen, lane_server, most, exempt)
            .inspect_err(|error| tracing::info!(%listen, %error, "QUIC alone will carry what this peer sends"))
            .ok();
        Ok((
            Self {
                client,
                lanes: lanes.clone(),
                listen,
            },
            Incoming {
                server,
                lanes,
                listener,
                refused: Some(refused),
            },
        ))
    }

    /// Where the server listens.
    pub(crate) const fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Lanes to a peer, whether there is a link to it or not.
    #[cfg(test)]
    pub(crate) fn lanes_to(&self, peer: PeerId, addr: SocketAddr) -> Lanes {
        let lanes = Lanes::new(peer, self.lanes.clone());
        lanes.lead_to(addr);
        lanes
    }

    /// Connects to `addr`; when `expected` is given, to that peer and no other.
    pub(crate) async fn dial(
        &self,
        addr: SocketAddr,
        expected: Option<PeerId>,
    ) -> Result<(Link, LinkStreams), DialError> {
        let unreachable = |source| DialError::Unreachable { addr, source };
        let connect = Connect::new(addr).with_server_name(SERVER_NAME);
        let connection = timeout(limits::HANDSHAKE_TIMEOUT, self.client.connect(connect))
            .await
            .map_err(|_| unreachable(LinkClosed::TimedOut))?
            .map_err(|error| match LinkClosed::of(error) {
                LinkClosed::PartyMismatch => DialError::PartyMismatch { addr },
                closed => unreachable(closed),
            })?;
        let lanes = self.lanes.clone();
        let (link, streams) =
            authenticate(connection, lanes, addr, true)
                .await
                .map_err(|closed| match closed {
                    Some(LinkClosed::PartyMismatch) => DialError::PartyMismatch { addr },
                    Some(closed) => unreachable(closed),
                    None => DialError::NoIdentity { addr },
                })?;
        match expected {
            Some(expected) if expected != link.peer => {
                link.close(CloseCode::WrongPeer);
                Err(DialError::OtherIdentity {
                    addr,
                    expected,
                    found: link.peer,
                })
            }
            _ => Ok((link, streams)),
        }
    }
}

impl Incoming {
    /// Handshakes that failed because of certificates, in both directions; to be taken once.
    pub(crate) fn take_refused(&mut self) -> mpsc::Receiver<HandshakeRefused> {
        self.refused.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// Where others dial lanes to us, if that port could be had; to be taken once.
    pub(crate) fn take_lanes(&mut self) -> Option<LaneListener> {
        self.listener.take()
    }

    /// The next connection that somebody dialled, before it is authenticated; `None` when the
    /// endpoint is gone.
    pub(crate) async fn accept(&mut self) -> Option<Caller> {
        let connection = self.server.accept().await?;
        let lanes = self.lanes.clone();
        Some(Caller { connection, lanes })
    }
}

/// A connection whose identity is still to be read; do that outside of the accept loop.
pub(crate) struct Caller {
    connection: Connection,
    lanes: Arc<ClientConfig>,
}

impl Caller {
    /// The authenticated connection; `None` when it is gone or shows no certificate.
    pub(crate) async fn authenticate(self) -> Option<(Link, LinkStreams)> {
        let addr = self.connection.remote_addr().ok()?;
        authenticate(self.connection, self.lanes, addr, false)
            .await
            .ok()
    }
}

/// Waits for the certificate. The error is how the connection ended, or `None` for no certificate.
async fn authenticate(
    mut connection: Connection,
    lanes: Arc<ClientConfig>,
    remote: SocketAddr,
    dialled: bool,
) -> Result<(Link, LinkStreams), Option<LinkClosed>> {
    let deadline = Instant::now() + CERTIFICATE_WAIT;
    let mut poll = interval(CERTIFICATE_POLL);
    let certificate = loop {
        let seen = connection.query_event_context(|watched: &Watched| watched.certificate.clone());
        match seen {
            Ok(Some(certificate)) => break certificate,
            _ if Instant::now() >= deadline => {
                connection.close(CloseCode::WrongPeer.into());
                return Err(None);
            }
            _ => {
                poll.tick().await;
                connection
                    .ping()
                    .map_err(|error| Some(LinkClosed::of(error)))?;
            }
        }
    };
    let Some(peer) = identity::id_of_certificate(&certificate) else {
        connection.close(CloseCode::WrongPeer.into());
        return Err(None);
    };
    // One side is enough: the other one hears its packets, and it hears that they were received.
    connection
        .keep_alive(dialled)
        .map_err(|error| Some(LinkClosed::of(error)))?;
    let (handle, acceptor) = connection.split();
    let streams = LinkStreams {
        acceptor,
        handle: handle.clone(),
    };
    let link = Link {
        lanes: Lanes::new(peer, lanes),
        peer,
        remote,
        dialled,
        handle,
    };
    Ok((link, streams))
}

/// An authenticated connection to one peer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// Who is at the other end, proved by its certificate.
    pub(crate) peer: PeerId,
    /// Where it calls from or was called.
    pub(crate) remote: SocketAddr,
    /// Whether this side dialled.
    pub(crate) dialled: bool,
    /// The TCP connections that belong to it.
    pub(crate) lanes: Lanes,
    handle: connection::Handle,
}

impl Link {
    /// Opens a stream for one request.
    pub(crate) async fn open(&self) -> Result<(SendHalf, RecvHalf), WireError> {
        let mut handle = self.handle.clone();
        let what = "free stream";
        let stream = timeout(OPEN_TIMEOUT, handle.open_bidirectional_stream())
            .await
            .map_err(|_| WireError::Timeout {
                what,
                after: OPEN_TIMEOUT,
            })?
            .map_err(|error| WireError::Closed(LinkClosed::of(error)))?;
        let (receive, send) = stream.split();
        Ok((SendHalf::new(send), RecvHalf::new(receive)))
    }

    /// Closes the connection and everything on it.
    pub(crate) fn close(&self, code: CloseCode) {
        self.handle.close(code.into());
    }
}

/// The streams that the other side opens.
#[derive(Debug)]
pub(crate) struct LinkStreams {
    acceptor: connection::StreamAcceptor,
    handle: connection::Handle,
}

impl LinkStreams {
    /// The next one; the error is how the connection ended.
    pub(crate) async fn next(&mut self) -> Result<(SendHalf, RecvHalf), LinkClosed> {
        match self.acceptor.accept_bidirectional_stream().await {
            Ok(Some(stream)) => {
                let (receive, send) = stream.split();
                Ok((SendHalf::new(send), RecvHalf::new(receive)))
            }
            // Also how an idle connection ends; the connection itself knows.
            Ok(None) => Err(match self.handle.ping() {
                Ok(()) => LinkClosed::Goodbye,
                Err(error) => LinkClosed::of(error),
            }),
            Err(error) => Err(LinkClosed::of(error)),
        }
    }
}

/// Why a builder of the transport refused; its errors have nothing in common but their text.
type StartRefused = Box<dyn std::error::Error + Send + Sync>;

fn start_server(
    io: net::Provider,
    tls: Tls,
    doorkeeper: Doorkeeper,
    watcher: Watcher,
) -> Result<Server, StartRefused> {
    Ok(Server::builder()
        .with_io(io)?
        .with_tls(tls)?
        .with_limits(connection_limits())?
        .with_endpoint_limits(doorkeeper)?
        .with_event(watcher)?
        .start()?)
}

fn start_client(io: net::Provider, tls: Tls, watcher: Watcher) -> Result<Client, StartRefused> {
    Ok(Client::builder()
        .with_io(io)?
        .with_tls(tls)?
        .with_limits(connection_limits())?
        .with_event(watcher)?
        .start()?)
}

fn connection_limits() -> Limits {
    let build = || {
        Limits::new()
            .with_max_idle_timeout(limits::IDLE_TIMEOUT)?
            .with_max_keep_alive_period(limits::KEEP_ALIVE)?
            .with_max_handshake_duration(limits::HANDSHAKE_TIMEOUT)?
            .with_max_open_remote_bidirectional_streams(limits::REMOTE_STREAMS_MAX)?
            .with_max_open_remote_unidirectional_streams(0)?
            .with_stream_batch_size(STREAM_BATCH)?
            .with_initial_round_trip_time(INITIAL_RTT)?
            .with_max_send_buffer_size(SEND_BUFFER_BYTES)
    };
    build().expect("constants within QUIC's bounds")
}

fn io(socket: UdpSocket) -> Result<net::Provider, TransportError> {
    let build = || {
        let builder = net::Provider::builder()
            .with_rx_socket(socket.try_clone()?)?
            .with_tx_socket(socket)?
            .with_internal_recv_buffer_size(RECEIVE_RING_BYTES)?;
        let builder = if cfg!(target_os = "linux") {
            builder.with_max_mtu(MTU)?.with_initial_mtu(MTU)?
        } else {
            builder
        };
        builder.build()
    };
    build().map_err(TransportError::Bind)
}

/// A bound socket with large buffers; what the system granted is logged.
fn bind_socket(addr: SocketAddr, elsewhere: bool) -> Result<UdpSocket, TransportError> {
    let open = |addr: SocketAddr| -> io::Result<UdpSocket> {
        let domain = match addr.ip() {
            IpAddr::V4(_) => Domain::IPV4,
            IpAddr::V6(_) => Domain::IPV6,
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        tracing::debug!(
            %addr,
            receive_bytes = socket.recv_buffer_size()?,
            send_bytes = socket.send_buffer_size()?,
            "socket buffers granted"
        );
        Ok(socket.into())
    };
    match open(addr) {
        Err(error) if elsewhere && error.kind() == io::ErrorKind::AddrInUse && addr.port() != 0 => {
            tracing::info!(%addr, "the port is taken, listening on another");
            open(SocketAddr::new(addr.ip(), 0))
        }
        opened => opened,
    }
    .map_err(TransportError::Bind)
}
