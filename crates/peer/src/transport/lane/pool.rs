//! The side that asks: the lanes to one peer.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use lanspread_proto::{PeerId, frame, limits};
use rustls::{
    ClientConfig,
    quic::{ClientConnection, Version},
};
use rustls_pki_types::ServerName;
use serde::Serialize;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{End, Lane, Record, broken};
use crate::transport::{error::WireError, identity::SERVER_NAME, stream::RecvHalf};

/// As many requests of full size as one peer is ever asked at once. Half of what the other side allows: it may learn later
/// than we that a lane is no more.
pub(crate) const LANES_MAX: usize = limits::LANES_PER_PEER_MAX / 2;

/// A LAN answers within milliseconds.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// A request waits for a new lane no longer than a run of this kind takes, and then goes over QUIC.
const DIAL_PATIENCE: Duration = Duration::from_millis(100);

/// A lane that nobody used for so long is not used again: the other side closes it soon.
const IDLE_MAX: Duration = limits::LANE_IDLE_TIMEOUT.checked_div(3).unwrap();

/// What one system call may bring.
const READ_BYTES: usize = 256 * 1024;

/// An answer that is given up after so long without a byte was not simply needed no more.
const SILENT_AFTER: Duration = Duration::from_secs(2);

/// The most that [`LaneAnswer::receive`] gives at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The lanes to one peer, of which there are none until somebody asks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lanes(Arc<Way>);

struct Way {
    peer: PeerId,
    tls: Arc<ClientConfig>,
    /// Where the peer listens for lanes, if it says so.
    addr: OnceLock<SocketAddr>,
    /// One for each lane that there may be.
    places: Arc<Semaphore>,
    pool: Mutex<Pool>,
}

/// What nobody uses now.
#[derive(Debug, Default)]
struct Pool {
    idle: Vec<(Held, Instant)>,
    /// Set when TCP does not get through or stops in the middle, for as long as the connection lasts.
    given_up: bool,
    /// Whether somebody comes to close what is idle for too long.
    is_swept: bool,
}

impl Pool {
    /// Closes what was idle for too long.
    fn forget_old(&mut self) {
        self.idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
    }

    /// The same, for who comes to do so; tells whether to come again.
    fn sweep(&mut self) -> bool {
        self.forget_old();
        self.is_swept = !self.idle.is_empty();
        self.is_swept
    }
}

/// A lane and its place.
#[derive(Debug)]
struct Held {
    lane: Lane,
    _place: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way")
            .field("addr", &self.addr)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

impl Lanes {
    /// None, until it is known where they lead.
    pub(in crate::transport) fn new(peer: PeerId, tls: Arc<ClientConfig>) -> Self {
        Self(Arc::new(Way {
            peer,
            tls,
            addr: OnceLock::new(),
            places: Arc::new(Semaphore::new(LANES_MAX)),
            pool: Mutex::default(),
        }))
    }

    /// The peer listens for lanes at this address.
    pub(crate) fn lead_to(&self, addr: SocketAddr) {
        // The first introduction counts.
        let _ = self.0.addr.set(addr);
    }

    /// Sends a request over a lane, an idle one or a new one. `None` when there is none soon: then this request goes another
    /// way, and the lane that is dialled is for later ones.
    pub(crate) async fn request<T: Serialize + Sync>(
        &self,
        request: &T,
    ) -> Result<Option<RecvHalf>, WireError> {
        let held = match self.take() {
            Some(held) => Some(held),
            None => self.dialled_soon().await,
        };
        let Some(mut held) = held else {
            return Ok(None);
        };
        let frame = frame::encode(request)?;
        let Ok(Ok(())) = timeout(DIAL_TIMEOUT, held.lane.send(&frame)).await else {
            self.give_up();
            return Ok(None);
        };
        Ok(Some(RecvHalf::on_lane(LaneAnswer {
            held: Some(held),
            lanes: self.clone(),
            left: 0,
            waiting: None,
        })))
    }

    /// Whether QUIC carries all from now on.
    #[cfg(test)]
    pub(crate) fn are_given_up(&self) -> bool {
        self.pool().given_up
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        LANES_MAX - self.0.places.available_permits()
    }

    /// An idle lane that is still alive.
    fn take(&self) -> Option<Held> {
        let mut pool = self.pool();
        pool.forget_old();
        let (held, _) = pool.idle.pop()?;
        if held.lane.is_quiet() {
            return Some(held);
        }
        // Not for its age: the other side wants no lanes from us.
        drop(pool);
        self.give_up();
        None
    }

    fn put(&self, held: Held) {
        let mut pool = self.pool();
        if pool.given_up {
            return;
        }
        pool.idle.push((held, Instant::now()));
        if !std::mem::replace(&mut pool.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }

    /// A new lane, if it is there within [`DIAL_PATIENCE`]; if not, it joins the idle ones.
    async fn dialled_soon(&self) -> Option<Held> {
        let addr = self.0.addr.get().copied()?;
        if self.pool().given_up {
            return None;
        }
        let place = self.0.places.clone().try_acquire_owned().ok()?;
        let (asker, dialled) = oneshot::channel();
        let lanes = self.clone();
        tokio::spawn(async move {
            let dialled = timeout(DIAL_TIMEOUT, lanes.dial(addr)).await;
            match dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(lane) => {
                    let held = Held {
                        lane,
                        _place: place,
                    };
                    if let Err(not_awaited) = asker.send(held) {
                        lanes.put(not_awaited);
                    }
                }
                Err(error) => {
                    tracing::debug!(peer = %lanes.0.peer.short(), %addr, %error, "no lane to this peer; QUIC carries all");
                    lanes.give_up();
                }
            }
        });
        timeout(DIAL_PATIENCE, dialled).await.ok()?.ok()
    }

    async fn dial(&self, addr: SocketAddr) -> io::Result<Lane> {
        let tcp = TcpStream::connect(addr).await?;
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let handshake = ClientConnection::new(self.0.tls.clone(), Version::V1, name, Vec::new());
        let handshake = handshake.map_err(io::Error::other)?;
        let lane = Lane::establish(handshake.into(), tcp, READ_BYTES).await?;
        if lane.peer() == self.0.peer {
            Ok(lane)
        } else {
            Err(io::Error::other("another peer answered"))
        }
    }

    /// From now on QUIC carries all.
    fn give_up(&self) {
        let mut pool = self.pool();
        pool.given_up = true;
        pool.idle.clear();
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes lanes that nobody uses any more, until there is none.
async fn sweep(way: Weak<Way>) {
    loop {
        sleep(IDLE_MAX).await;
        let Some(way) = way.upgrade() else { return };
        let mut pool = way.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if !pool.sweep() {
            return;
        }
    }
}

/// The answer that comes over a lane; dropped before its end it closes the lane, which tells the other side to stop.
#[derive(Debug)]
pub(in crate::transport) struct LaneAnswer {
    /// Until the end has come.
    held: Option<Held>,
    lanes: Lanes,
    /// What is still to come of the current record.
    left: usize,
    /// Since when its reader waits for bytes.
    waiting: Option<Instant>,
}

impl LaneAnswer {
    /// Fills the start of `into`; 0 at the end.
    pub(in crate::transport) async fn read(&mut self, into: &mut [u8]) -> Result<usize, WireError> {
        self.begin_record().await?;
        let Some(held) = &mut self.held else {
            return Ok(0);
        };
        let most = into.len().min(self.left);
        let read = held.lane.read(&mut into[..most]).await;
        let read = read.map_err(|error| self.broken(&error))?;
        (self.left, self.waiting) = (self.left - read, None);
        Ok(read)
    }

    /// The next bytes; `None` at the end.
    pub(in crate::transport) async fn receive(&mut self) -> Result<Option<Bytes>, WireError> {
        self.begin_record().await?;
        let mut piece = BytesMut::zeroed(self.left.min(PIECE_BYTES));
        let read = self.read(&mut piece).await?;
        piece.truncate(read);
        Ok((read > 0).then(|| piece.freeze()))
    }

    /// Makes sure that bytes of a record are next, or that the answer is over.
    async fn begin_record(&mut self) -> Result<(), WireError> {
        self.waiting.get_or_insert_with(Instant::now);
        let Some(held) = self.held.as_mut().filter(|_| self.left == 0) else {
            return Ok(());
        };
        let record = held.lane.next_record().await;
        let end = match record.map_err(|error| self.broken(&error))? {
            Record::Data { bytes } => {
                self.left = bytes;
                return Ok(());
            }
            Record::End(end) => end,
        };
        if let Some(held) = self.held.take() {
            self.lanes.put(held);
        }
        match end {
            End::Finished => Ok(()),
            End::Reset { code } => Err(WireError::Reset { code: code.into() }),
        }
    }

    fn broken(&self, error: &io::Error) -> WireError {
        self.lanes.give_up();
        broken(error)
    }
}

impl Drop for LaneAnswer {
    fn drop(&mut self) {
        // Whoever gives up a silent answer may find that the next one is silent, too: something on the way stops TCP.
        let waited = self.waiting.map_or(Duration::ZERO, |since| since.elapsed());
        if self.held.is_some() && waited >= SILENT_AFTER {
            self.lanes.give_up();
        }
    }
}
