//! The side that is asked: accepting lanes, within limits, and their streams.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lanspread_proto::{PeerId, frame::FrameDecoder, limits};
use rustls::{
    ServerConfig,
    quic::{ServerConnection, Version},
};
use serde::de::DeserializeOwned;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{End, Lane, broken};
use crate::transport::{
    error::{ResetCode, WireError},
    seats::{Seat, Seats},
    stream::SendHalf,
};

/// After an error of `accept`, which comes from the system and not from a caller.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A request is a short frame.
const REQUEST_BYTES: usize = 4 * 1024;

/// Where lanes are dialled.
#[derive(Debug)]
pub(crate) struct LaneListener {
    tcp: TcpListener,
    acceptor: Acceptor,
    /// One for each handshake that may be in flight.
    handshakes: Arc<Semaphore>,
    callers: Seats<IpAddr>,
    per_address_max: usize,
    loopback_exempt: bool,
}

#[derive(Clone)]
struct Acceptor {
    tls: Arc<ServerConfig>,
    guests: Seats<PeerId>,
    /// One for each lane that there may be.
    places: Arc<Semaphore>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor")
            .field("guests", &self.guests)
            .finish_non_exhaustive()
    }
}

/// Listens at `addr`, where the server of QUIC listens, too.
pub(in crate::transport) fn bind(
    addr: SocketAddr,
    tls: Arc<ServerConfig>,
    per_address_max: usize,
    loopback_exempt: bool,
) -> io::Result<LaneListener> {
    let tcp = std::net::TcpListener::bind(addr)?;
    tcp.set_nonblocking(true)?;
    Ok(LaneListener {
        tcp: TcpListener::from_std(tcp)?,
        acceptor: Acceptor {
            tls,
            guests: Seats::default(),
            places: Arc::new(Semaphore::new(limits::LANES_MAX)),
        },
        handshakes: Arc::new(Semaphore::new(limits::HANDSHAKES_IN_FLIGHT_MAX)),
        callers: Seats::default(),
        per_address_max,
        loopback_exempt,
    })
}

impl LaneListener {
    /// The next caller; whoever has too many handshakes in flight is turned away.
    pub(crate) async fn accept(&mut self) -> LaneCaller {
        loop {
            let handshakes = self.handshakes.clone().acquire_owned().await;
            let in_flight = handshakes.expect("the semaphore is never closed");
            let (tcp, addr) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "no lane can be accepted");
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let exempt = self.loopback_exempt && addr.ip().is_loopback();
            let most = if exempt {
                usize::MAX
            } else {
                self.per_address_max
            };
            if let Some(seat) = self.callers.take(addr.ip(), most) {
                return LaneCaller {
                    tcp,
                    acceptor: self.acceptor.clone(),
                    _seat: seat,
                    _in_flight: in_flight,
                };
            }
        }
    }
}

/// A connection before its handshake; do that outside of the accept loop.
#[derive(Debug)]
pub(crate) struct LaneCaller {
    tcp: TcpStream,
    acceptor: Acceptor,
    _seat: Seat<IpAddr>,
    _in_flight: OwnedSemaphorePermit,
}

impl LaneCaller {
    /// The lane, once the handshake is complete; `None` if that fails, or the peer or all together have enough lanes.
    pub(crate) async fn authenticate(self) -> Option<ServedLane> {
        let tls = self.acceptor.tls.clone();
        let handshake = ServerConnection::new(tls, Version::V1, Vec::new()).ok()?;
        let accepting = Lane::establish(handshake.into(), self.tcp, REQUEST_BYTES);
        let accepted = timeout(limits::HANDSHAKE_TIMEOUT, accepting).await;
        let lane = accepted.ok()?.ok()?;
        let peer = lane.peer();
        let seat = self
            .acceptor
            .guests
            .take(peer, limits::LANES_PER_PEER_MAX)?;
        let place = self.acceptor.places.clone().try_acquire_owned().ok()?;
        let asker = Asker {
            peer,
            decoder: FrameDecoder::new(),
            _seat: seat,
            _place: place,
        };
        Some(ServedLane { lane, asker })
    }
}

/// A lane that somebody dialled, between two streams.
#[derive(Debug)]
pub(crate) struct ServedLane {
    lane: Lane,
    asker: Asker,
}

/// Who asks over a lane, and what the lane takes up: a seat among its peer's, and a place among all.
#[derive(Debug)]
struct Asker {
    peer: PeerId,
    /// What came of the next request.
    decoder: FrameDecoder,
    _seat: Seat<PeerId>,
    _place: OwnedSemaphorePermit,
}

impl ServedLane {
    /// Who is at the other end, proved by its certificate.
    pub(crate) fn peer(&self) -> PeerId {
        self.asker.peer
    }

    /// The next request; its first byte must come within [`limits::LANE_IDLE_TIMEOUT`], all of it within
    /// [`limits::WHOLE_FRAME_TIMEOUT`] after that. `None` when the other side has closed the lane.
    pub(crate) async fn request<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let what = "request";
        let decoder = &mut self.asker.decoder;
        let mut after = if decoder.is_mid_frame() {
            limits::WHOLE_FRAME_TIMEOUT
        } else {
            limits::LANE_IDLE_TIMEOUT
        };
        let mut deadline = Instant::now() + after;
        let mut piece = [0; REQUEST_BYTES];
        loop {
            if let Some(request) = decoder.next_message()? {
                return Ok(Some(request));
            }
            let read = timeout_at(deadline, self.lane.stream.read(&mut piece)).await;
            match read.map_err(|_| WireError::Timeout { what, after })? {
                Ok(0) | Err(_) => return Ok(None),
                Ok(read) => decoder.push(&piece[..read]),
            }
            if after == limits::LANE_IDLE_TIMEOUT {
                after = limits::WHOLE_FRAME_TIMEOUT;
                deadline = Instant::now() + after;
            }
        }
    }

    /// Where the answer goes, and what gives the lane back after it.
    pub(crate) fn answer(self) -> (SendHalf, Answering) {
        let (back, returned) = oneshot::channel();
        let Self { lane, asker } = self;
        let sender = LaneSender { lane, back };
        (SendHalf::on_lane(sender), Answering { returned, asker })
    }
}

/// A lane that is being answered on.
#[derive(Debug)]
pub(crate) struct Answering {
    returned: oneshot::Receiver<(Lane, End)>,
    asker: Asker,
}

impl Answering {
    /// Ends the stream when its sender has, and gives the lane back; `None` when it broke.
    pub(crate) async fn over(self) -> Option<ServedLane> {
        let (mut lane, end) = self.returned.await.ok()?;
        let ended = timeout(limits::PROGRESS_TIMEOUT, lane.send_end(end)).await;
        ended.ok()?.ok()?;
        let asker = self.asker;
        Some(ServedLane { lane, asker })
    }
}

/// The sending end of a stream; dropped before [`end`](Self::end) it closes the lane.
#[derive(Debug)]
pub(in crate::transport) struct LaneSender {
    lane: Lane,
    back: oneshot::Sender<(Lane, End)>,
}

impl LaneSender {
    /// Sends bytes; waits for room. A lane on which this was cancelled is broken.
    pub(in crate::transport) async fn send(&mut self, data: &[u8]) -> Result<(), WireError> {
        self.lane
            .send_record(data)
            .await
            .map_err(|error| broken(&error))
    }

    /// Gives the lane back to end its stream, broken if there is a code.
    pub(in crate::transport) fn end(self, reset: Option<ResetCode>) {
        let end = reset.map_or(End::Finished, |code| End::Reset { code: code as u32 });
        // Whoever serves the lane may have been cancelled.
        let _ = self.back.send((self.lane, end));
    }
}
