//! The life of the multicast DNS daemon: [`Session`] is one, [`Driver`] starts one after another.
//!
//! The daemon's cache has no bound, and its event channel closes when a flood overflows it; browsing
//! again would replay that cache and overflow at once. So a closed channel ends the session, and a
//! new daemon with an empty cache takes its place, after a back-off.

use std::time::Duration;

use lanspread_proto::PeerId;
use mdns_sd::{
    DaemonEvent, IfPredicate, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    Announcement, DiscoveryStatus, MdnsConfig, Reach, Sighting,
    record::{self, Heard, SERVICE_TYPE},
};

/// Between two announcements: a busy library must not become a multicast storm.
const ANNOUNCE_SPACING: Duration = Duration::from_secs(1);

/// An announcement that no interface confirmed after this long went nowhere.
const REACH_TIMEOUT: Duration = Duration::from_secs(2);

/// The first pause before a new session; it doubles up to [`RESTART_PAUSE_MAX`].
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(500);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A session that lasted this long was healthy: the next pause is short again.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// Between two warnings; what comes sooner is logged for debugging only.
const WARNING_SPACING: Duration = Duration::from_mins(1);

/// The daemon repeats a goodbye after 120 ms; it must live that long.
const GOODBYE_REPEATED: Duration = Duration::from_millis(150);

/// One daemon. Dropping it ends its thread.
pub(crate) struct Session {
    daemon: ServiceDaemon,
    monitor: Receiver<DaemonEvent>,
}

impl Session {
    /// Starts a daemon that uses only the interfaces of `config`, also those that appear later.
    pub(crate) fn open(config: &MdnsConfig) -> mdns_sd::Result<Self> {
        let daemon = ServiceDaemon::new_with_port(config.port)?;
        let monitor = daemon.monitor()?;
        let session = Self { daemon, monitor };
        let filter = config.interfaces.clone();
        let refused =
            IfPredicate::new(move |interface| !filter.accepts(&interface.name, interface.ip()));
        session
            .daemon
            .disable_interface(mdns_sd::IfKind::Predicate(refused))?;
        Ok(session)
    }

    /// The peer is sure of its names, so nothing is probed, which would cost most of a second.
    fn register(&self, me: &PeerId, announcement: &Announcement) -> mdns_sd::Result<()> {
        let properties = record::properties(me, announcement);
        let (instance, host) = (record::instance(me), record::host(me));
        let port = announcement.port;
        let info = ServiceInfo::new(
            SERVICE_TYPE,
            &instance,
            &host,
            (),
            port,
            properties.as_slice(),
        )?;
        let mut info = info.enable_addr_auto();
        info.set_requires_probe(false);
        self.daemon.register(info)
    }

    /// Says goodbye twice and waits for the daemon's end. The caller bounds the time.
    async fn close(self, me: &PeerId) {
        if let Ok(done) = self.daemon.unregister(&record::fullname(me))
            && done.recv_async().await.is_ok()
        {
            sleep(GOODBYE_REPEATED).await;
        }
        if let Ok(done) = self.daemon.shutdown() {
            drop(done.recv_async().await);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A daemon that has ended already refuses, which is as good.
        drop(self.daemon.shutdown());
    }
}

/// Why a session is over.
enum End {
    Withdrawn,
    Broken(String),
}

/// The task behind the public handle.
pub(crate) struct Driver {
    config: MdnsConfig,
    announcements: watch::Receiver<Option<Announcement>>,
    readers: watch::Receiver<Option<mpsc::Sender<Sighting>>>,
    status: watch::Sender<DiscoveryStatus>,
    cancel: CancellationToken,
    warned: Option<Instant>,
}

/// What one session remembers between two events.
struct Progress {
    events: Option<Receiver<ServiceEvent>>,
    reader: Option<mpsc::Sender<Sighting>>,
    /// Heard, and not yet taken by the reader; nothing more is heard meanwhile.
    pending: Option<Sighting>,
    announce_at: Option<Instant>,
    announced_at: Option<Instant>,
    confirm_by: Option<Instant>,
}

impl Driver {
    pub(crate) fn new(
        config: MdnsConfig,
        announcements: watch::Receiver<Option<Announcement>>,
        readers: watch::Receiver<Option<mpsc::Sender<Sighting>>>,
        status: watch::Sender<DiscoveryStatus>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            config,
            announcements,
            readers,
            status,
            cancel,
            warned: None,
        }
    }

    /// Runs sessions, one after another, until the withdrawal.
    pub(crate) async fn run(mut self, first: Session) {
        let mut next: mdns_sd::Result<Session> = Ok(first);
        let mut pause = RESTART_PAUSE_MIN;
        loop {
            let started = Instant::now();
            let reason = match next {
                Ok(session) => match self.serve(&session).await {
                    End::Withdrawn => return session.close(&self.config.me).await,
                    End::Broken(reason) => reason,
                },
                Err(error) => error.to_string(),
            };
            self.report(reason);
            if started.elapsed() >= HEALTHY_AFTER {
                pause = RESTART_PAUSE_MIN;
            }
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = sleep(pause) => pause = (pause * 2).min(RESTART_PAUSE_MAX),
            }
            self.status
                .send_modify(|status| status.restarts = status.restarts.saturating_add(1));
            next = Session::open(&self.config);
        }
    }

    /// Serves one daemon until it breaks or the peer withdraws.
    async fn serve(&mut self, session: &Session) -> End {
        let mut progress = Progress {
            events: None,
            reader: None,
            pending: None,
            announce_at: None,
            announced_at: None,
            confirm_by: None,
        };
        self.announcements.mark_changed();
        self.readers.mark_changed();
        loop {
            let step = tokio::select! {
                () = self.cancel.cancelled() => return End::Withdrawn,
                changed = self.readers.changed() => match changed {
                    Ok(()) => self.subscribe(session, &mut progress),
                    Err(_) => return End::Withdrawn,
                },
                changed = self.announcements.changed() => match changed {
                    Ok(()) => {
                        progress.plan_announcement();
                        Ok(())
                    }
                    Err(_) => return End::Withdrawn,
                },
                () = at(progress.announce_at) => self.announce(session, &mut progress),
                () = at(progress.confirm_by) => {
                    self.went_nowhere(&mut progress);
                    Ok(())
                }
                event = session.monitor.recv_async() => match event {
                    Ok(event) => {
                        self.monitored(event, &mut progress);
                        Ok(())
                    }
                    Err(_) => Err("the daemon ended".to_owned()),
                },
                () = hand_over(&mut progress.reader, &mut progress.pending) => Ok(()),
                event = heard(progress.events.as_ref()), if progress.pending.is_none() => {
                    self.take(event, &mut progress)
                }
            };
            if let Err(reason) = step {
                return End::Broken(reason);
            }
        }
    }

    // # Announcing

    fn announce(&self, session: &Session, progress: &mut Progress) -> Result<(), String> {
        let now = Instant::now();
        progress.announce_at = None;
        let Some(announcement) = self.announcements.borrow().clone() else {
            return Ok(());
        };
        match session.register(&self.config.me, &announcement) {
            Ok(()) => {
                progress.announced_at = Some(now);
                progress.confirm_by = Some(now + REACH_TIMEOUT);
                Ok(())
            }
            Err(mdns_sd::Error::Again) => {
                progress.announce_at = Some(now + ANNOUNCE_SPACING);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn went_nowhere(&mut self, progress: &mut Progress) {
        progress.confirm_by = None;
        self.reach(Reach::NoInterface);
        self.warn("no network interface sent the announcement: other peers cannot see this one");
    }

    fn monitored(&mut self, event: DaemonEvent, progress: &mut Progress) {
        match event {
            DaemonEvent::Announce(..) => {
                progress.confirm_by = None;
                self.reach(Reach::Announced);
            }
            DaemonEvent::IpAdd(ip) => {
                debug!(%ip, "an interface joined");
                if progress.announced_at.is_some() {
                    progress.plan_announcement();
                }
            }
            DaemonEvent::Error(error) => self.report(error.to_string()),
            other => debug!(?other, "the daemon reports"),
        }
    }

    // # Listening

    fn subscribe(&mut self, session: &Session, progress: &mut Progress) -> Result<(), String> {
        progress
            .reader
            .clone_from(&self.readers.borrow_and_update());
        progress.pending = None;
        let done = if progress.reader.is_some() {
            let events = session.daemon.browse(SERVICE_TYPE);
            events.map(|events| progress.events = Some(events))
        } else if progress.events.take().is_some() {
            // Nobody listens: the daemon need not ask the LAN again and again whether all are still there.
            session.daemon.stop_browse(SERVICE_TYPE)
        } else {
            Ok(())
        };
        done.map_err(|error| error.to_string())
    }

    fn take(&mut self, event: Option<ServiceEvent>, progress: &mut Progress) -> Result<(), String> {
        let sighting = match event {
            None => return Err("the event channel closed, probably by a flood".to_owned()),
            Some(ServiceEvent::ServiceResolved(service)) => self.resolved(&service),
            Some(ServiceEvent::ServiceRemoved(_, fullname)) => {
                record::peer_of(&fullname).ok().map(Sighting::Gone)
            }
            Some(_) => None,
        };
        let me = self.config.me;
        progress.pending = sighting.filter(|sighting| match sighting {
            Sighting::Seen(candidate) => candidate.peer != me,
            Sighting::Gone(peer) => *peer != me,
        });
        Ok(())
    }

    fn resolved(&self, service: &ResolvedService) -> Option<Sighting> {
        let heard = Heard {
            fullname: service.get_fullname(),
            port: service.get_port(),
            addresses: service
                .get_addresses()
                .iter()
                .map(mdns_sd::ScopedIp::to_ip_addr)
                .collect(),
            property: |key: &'static str| service.get_property_val(key).flatten(),
            loopback: self.config.interfaces.takes_loopback(),
        };
        match record::parse(heard) {
            Ok(candidate) => Some(Sighting::Seen(candidate)),
            Err(reason) => {
                debug!(instance = service.get_fullname(), %reason, "ignored an announcement");
                self.status
                    .send_modify(|status| status.malformed = status.malformed.saturating_add(1));
                None
            }
        }
    }

    // # Reporting

    fn reach(&self, reach: Reach) {
        self.status
            .send_if_modified(|status| std::mem::replace(&mut status.reach, reach) != reach);
    }

    fn report(&mut self, error: String) {
        self.warn(&error);
        self.status
            .send_modify(|status| status.last_error = Some(error));
    }

    fn warn(&mut self, text: &str) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARNING_SPACING) {
            self.warned = Some(Instant::now());
            warn!("multicast DNS: {text}");
        } else {
            debug!("multicast DNS: {text}");
        }
    }
}

impl Progress {
    /// At once, unless the last announcement was a moment ago.
    fn plan_announcement(&mut self) {
        let now = Instant::now();
        let earliest = self.announced_at.map_or(now, |at| at + ANNOUNCE_SPACING);
        self.announce_at = Some(earliest.max(now));
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The next event; `None` when the daemon closed the channel.
async fn heard(events: Option<&Receiver<ServiceEvent>>) -> Option<ServiceEvent> {
    match events {
        Some(events) => events.recv_async().await.ok(),
        None => std::future::pending().await,
    }
}

/// Gives `pending` to the reader as soon as there is room; a reader that is gone is forgotten.
async fn hand_over(reader: &mut Option<mpsc::Sender<Sighting>>, pending: &mut Option<Sighting>) {
    if pending.is_none() {
        return std::future::pending().await;
    }
    if let Some(open) = reader
        && let Ok(room) = open.reserve().await
    {
        if let Some(sighting) = pending.take() {
            room.send(sighting);
        }
    } else {
        *reader = None;
        *pending = None;
    }
}
