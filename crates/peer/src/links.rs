//! The connections: one per pair of peers.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lanspread_proto::{PeerId, message::Hello};
use lanspread_swarm::keeps;
use tokio::{sync::Notify, time::timeout};

use crate::transport::{CloseCode, Link};

/// Connections to one peer that may break under one request, one after the other: two that dial each other
/// keep one of two, and the other one is closed.
pub(crate) const CONNECTIONS_TRIED_MAX: u32 = 3;

/// A connection that was closed may have been replaced; this is enough to know of the other one.
pub(crate) const REPLACEMENT_WAIT: Duration = Duration::from_millis(250);

/// Every introduced peer's connection. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    us: PeerId,
    table: Arc<Mutex<HashMap<PeerId, Entry>>>,
    serials: Arc<AtomicU64>,
    /// Wakes who waits for a peer to come in.
    admitted: Arc<Notify>,
}

#[derive(Debug)]
struct Entry {
    link: Link,
    incarnation: u64,
    call: u64,
    serial: Serial,
    /// Whether everybody was told that the peer has joined.
    told: bool,
}

/// What became of a connection that introduced itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// The peer was not connected.
    Joined(Serial),
    /// The peer was connected; this connection has taken the place of the other, which is closed.
    Replaced { new: Serial, old: Serial },
    /// Another connection to the peer stays; this one is to be closed.
    Duplicate,
}

/// Tells a connection from others to the same peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Serial(pub(crate) u64);

impl Links {
    pub(crate) fn new(us: PeerId) -> Self {
        Self {
            us,
            table: Arc::default(),
            serials: Arc::default(),
            admitted: Arc::default(),
        }
    }

    /// Takes in a connection whose peer has introduced itself; `call` is its number at the dialling side.
    ///
    /// Of two that cross, the one that the smaller id dialled stays; of two in one direction, the later
    /// call: both sides decide alike. A peer that was restarted, which its incarnation shows, has lost
    /// its older connections. `entered` runs before anybody else can come or go.
    pub(crate) fn admit(
        &self,
        link: &Link,
        call: u64,
        hello: &Hello,
        entered: impl FnOnce(),
    ) -> Admitted {
        let mut table = self.lock();
        let serial = Serial(self.serials.fetch_add(1, Ordering::Relaxed));
        let mut entry = Entry {
            link: link.clone(),
            incarnation: hello.incarnation,
            call,
            serial,
            told: false,
        };
        let Some(other) = table.get(&link.peer) else {
            table.insert(link.peer, entry);
            entered();
            self.admitted.notify_waiters();
            return Admitted::Joined(serial);
        };
        let rank = |entry: &Entry| (entry.link.dialled == keeps(self.us, link.peer), entry.call);
        if other.incarnation == entry.incarnation && rank(other) > rank(&entry) {
            return Admitted::Duplicate;
        }
        other.link.close(CloseCode::Duplicate);
        let old = other.serial;
        entry.told = other.told;
        table.insert(link.peer, entry);
        entered();
        Admitted::Replaced { new: serial, old }
    }

    /// Runs `tell` if this is the connection to the peer and nobody was told of the peer yet.
    pub(crate) fn introduce(&self, peer: PeerId, serial: Serial, tell: impl FnOnce()) {
        let mut table = self.lock();
        let entry = table.get_mut(&peer);
        if let Some(entry) = entry.filter(|entry| entry.serial == serial && !entry.told) {
            entry.told = true;
            tell();
        }
    }

    /// Whether everybody was told that this peer has joined.
    pub(crate) fn is_introduced(&self, peer: PeerId) -> bool {
        self.lock().get(&peer).is_some_and(|entry| entry.told)
    }

    /// Forgets a connection; false when another has taken its place. If not, `left` runs before the peer
    /// can come back, with whether anybody was told that the peer had joined.
    pub(crate) fn remove(&self, peer: PeerId, serial: Serial, left: impl FnOnce(bool)) -> bool {
        let mut table = self.lock();
        let is_this = table.get(&peer).is_some_and(|entry| entry.serial == serial);
        if is_this && let Some(entry) = table.remove(&peer) {
            left(entry.told);
        }
        is_this
    }

    pub(crate) fn get(&self, peer: PeerId) -> Option<Link> {
        self.lock().get(&peer).map(|entry| entry.link.clone())
    }

    /// Whether this peer is connected within so long.
    pub(crate) async fn is_in_within(&self, peer: PeerId, longest: Duration) -> bool {
        let coming = async {
            loop {
                let admitted = self.admitted.notified();
                if self.get(peer).is_some() {
                    return;
                }
                admitted.await;
            }
        };
        timeout(longest, coming).await.is_ok()
    }

    /// One connection, drawn at random.
    pub(crate) fn any(&self) -> Option<Link> {
        let table = self.lock();
        let drawn = (!table.is_empty()).then(|| rand::random_range(0..table.len()))?;
        table.values().nth(drawn).map(|entry| entry.link.clone())
    }

    /// The connection of this serial, if it is still the one to its peer.
    pub(crate) fn by_serial(&self, serial: Serial) -> Option<Link> {
        self.lock()
            .values()
            .find(|entry| entry.serial == serial)
            .map(|entry| entry.link.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
