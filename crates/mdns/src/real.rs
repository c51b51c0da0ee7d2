//! Discovery by multicast DNS: [`MdnsDiscovery`].
//!
//! One task owns the daemon (see [`crate::session`]); this handle talks to it through two watches, so
//! that only the last announcement and the last subscription count and nothing can pile up.

use std::time::Duration;

use lanspread_proto::PeerId;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    Announcement, Discovery, DiscoveryError, DiscoveryStatus, InterfaceFilter, SIGHTINGS_QUEUE_MAX,
    Sighting, Withdrawal,
    session::{Driver, Session},
};

/// The UDP port of multicast DNS.
pub const MDNS_PORT: u16 = 5353;

/// How long a withdrawal may take: two goodbyes 120 ms apart, and the daemon's end.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(1);

/// How to be found.
#[derive(Debug, Clone)]
pub struct MdnsConfig {
    /// This peer.
    pub me: PeerId,
    /// Where to announce and to listen.
    pub interfaces: InterfaceFilter,
    /// The UDP port that all peers share: [`MDNS_PORT`], except in tests that want to be alone.
    pub port: u16,
}

impl MdnsConfig {
    /// The ordinary port, all physical interfaces.
    pub fn new(me: PeerId) -> Self {
        Self {
            me,
            interfaces: InterfaceFilter::default(),
            port: MDNS_PORT,
        }
    }
}

/// Multicast DNS. At most one per process and port is sensible; the daemon is a thread of its own.
///
/// Dropping it without [`Discovery::withdraw`] stops it in the background, with a goodbye if the
/// runtime still runs.
#[derive(Debug)]
pub struct MdnsDiscovery {
    me: PeerId,
    announcement: watch::Sender<Option<Announcement>>,
    reader: watch::Sender<Option<mpsc::Sender<Sighting>>>,
    status: watch::Receiver<DiscoveryStatus>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl MdnsDiscovery {
    /// Starts the daemon and the task that drives it, on the current tokio runtime.
    ///
    /// Whether the sockets can be bound shows only later: see [`MdnsDiscovery::status`].
    ///
    /// # Errors
    /// [`DiscoveryError::Start`], [`DiscoveryError::NoRuntime`].
    pub fn start(config: MdnsConfig) -> Result<Self, DiscoveryError> {
        let me = config.me;
        let runtime = Handle::try_current().map_err(|_| DiscoveryError::NoRuntime { peer: me })?;
        let session =
            Session::open(&config).map_err(|source| DiscoveryError::Start { peer: me, source })?;
        let (announcement, announcements) = watch::channel(None);
        let (reader, readers) = watch::channel(None);
        let (reports, status) = watch::channel(DiscoveryStatus::default());
        let cancel = CancellationToken::new();
        let driver = Driver::new(config, announcements, readers, reports, cancel.clone());
        let tasks = TaskTracker::new();
        let span = tracing::info_span!("mdns", peer = %me.short());
        tasks.spawn_on(driver.run(session).instrument(span), &runtime);
        tasks.close();
        Ok(Self {
            me,
            announcement,
            reader,
            status,
            cancel,
            tasks,
        })
    }

    /// How it fares: the latest value, and word of each change.
    pub fn status(&self) -> watch::Receiver<DiscoveryStatus> {
        self.status.clone()
    }
}

impl Discovery for MdnsDiscovery {
    fn announce(&self, announcement: Announcement) -> Result<(), DiscoveryError> {
        if announcement.port == 0 {
            return Err(DiscoveryError::NoPort { peer: self.me });
        }
        if self.cancel.is_cancelled() {
            return Err(DiscoveryError::Withdrawn { peer: self.me });
        }
        self.announcement.send_if_modified(|current| {
            let changed = current.as_ref() != Some(&announcement);
            *current = Some(announcement);
            changed
        });
        Ok(())
    }

    fn sightings(&self) -> mpsc::Receiver<Sighting> {
        let (sender, receiver) = mpsc::channel(SIGHTINGS_QUEUE_MAX);
        self.reader.send_replace(Some(sender));
        if self.cancel.is_cancelled() {
            self.reader.send_replace(None);
        }
        receiver
    }

    fn rest(&self) {
        self.reader.send_replace(None);
    }

    fn withdraw(&self) -> Withdrawal<'_> {
        Box::pin(async {
            self.cancel.cancel();
            self.reader.send_replace(None);
            timeout(WITHDRAW_TIMEOUT, self.tasks.wait())
                .await
                .map_err(|_| DiscoveryError::GoodbyeTimedOut { peer: self.me })
        })
    }
}

impl Drop for MdnsDiscovery {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
