//! Finding other peers and staying connected to them.
//!
//! Two tables decide. [`CandidateTable`] has everyone who is known by id: announced, heard of from
//! others, or connected once; it withstands floods. [`PeerTable`] has the addresses that the operator
//! named and every live connection; it notices who has fallen silent. This module dials what they say.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use lanspread_mdns::{
    Announcement, Candidate, CandidateTable, Dial, DialOutcome, Discovery, PartyHint, Sighting,
};
use lanspread_proto::{
    PeerId,
    message::{KnownPeer, PROTOCOL_VERSION},
};
use lanspread_swarm::{LinkId, PeerTable, TableAction, TableConfig, TableInput, WhyGone};
use tokio::{
    net::lookup_host,
    sync::{Mutex, mpsc, oneshot},
    time::{sleep_until, timeout},
};

use crate::{
    context::Context,
    ears::{Change, Ears},
    error::{ErrorCode, OperationError},
    links::Serial,
    session::{SessionNews, Sessions},
    transport::{CloseCode, DialError, Endpoint, LinkClosed},
    view::PeerView,
};

/// Messages that wait for the loop.
pub(crate) const NEWS_BUFFERED_MAX: usize = 1024;

/// A named host that does not resolve is looked up again after this.
const RESOLVE_AGAIN: Duration = Duration::from_secs(30);

/// A peer that was dialled by hand has this long to introduce itself.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A dial to an address that the operator named is given up after this and tried again soon: it outlives
/// the transport's first seven packets, and whoever comes back is met within seconds.
const NAMED_DIAL_TIMEOUT: Duration = Duration::from_secs(4);

/// Discovery is announced and subscribed to again this often at the least; also the loop's pulse.
const PULSE: Duration = Duration::from_secs(1);

/// A wish from outside.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Connect to `HOST:PORT` now, tell how that went, and keep trying.
    Connect {
        addr: String,
        reply: oneshot::Sender<Result<PeerView, OperationError>>,
    },
}

/// What the loop needs.
#[derive(Clone)]
pub(crate) struct Neighbours {
    pub(crate) context: Arc<Context>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) sessions: Sessions,
    pub(crate) discovery: Option<Arc<dyn Discovery>>,
    pub(crate) party: PartyHint,
    pub(crate) manual_peers: Vec<String>,
    pub(crate) pings: mpsc::Sender<Serial>,
}

/// A dial that has ended.
struct Dialled {
    expected: Option<PeerId>,
    addr: SocketAddr,
    result: Result<PeerId, DialError>,
}

/// A host that the operator named.
struct Named {
    addr: String,
    due: Instant,
}

struct Loop {
    with: Neighbours,
    candidates: CandidateTable,
    table: PeerTable,
    ears: Ears,
    /// While listening.
    sightings: Option<mpsc::Receiver<Sighting>>,
    named: Vec<Named>,
    resolved: mpsc::Sender<(String, Vec<SocketAddr>)>,
    dialled: mpsc::Sender<Dialled>,
}

/// Runs for as long as the peer does. One of the long-lived tasks.
pub(crate) async fn run_peer_discovery(
    with: Neighbours,
    inputs: Arc<Mutex<(mpsc::Receiver<SessionNews>, mpsc::Receiver<Wish>)>>,
) -> Result<(), Infallible> {
    let mut inputs = inputs.lock().await;
    let (news, wishes) = &mut *inputs;
    let (resolved, mut addresses) = mpsc::channel(NEWS_BUFFERED_MAX);
    let (dialled, mut dials) = mpsc::channel(NEWS_BUFFERED_MAX);
    let config = TableConfig {
        seed: with.context.incarnation,
        me: with.context.id,
    };
    let now = Instant::now();
    let named = with.manual_peers.iter().map(|addr| Named {
        addr: addr.clone(),
        due: now,
    });
    let mut state = Loop {
        candidates: CandidateTable::new(),
        table: PeerTable::new(&config),
        ears: Ears::new(now),
        sightings: None,
        named: named.collect(),
        resolved,
        dialled,
        with,
    };
    state.listen();
    let mut shown = state.with.context.shelf.shown();
    state.announce();
    let cancel = state.with.context.cancel.clone();
    loop {
        state.act();
        state.adjust_ears();
        let deadline = state.next_deadline();
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            sighting = next(&mut state.sightings) => match sighting {
                Some(sighting) => state.sighted(sighting),
                // Too far behind: everything that is present is told anew.
                None => state.listen(),
            },
            Some(news) = news.recv() => state.take_news(news),
            Some(dialled) = dials.recv() => state.take_dialled(dialled),
            Some((name, found)) = addresses.recv() => state.take_resolved(&name, &found),
            Some(wish) = wishes.recv() => state.take_wish(wish),
            Ok(()) = shown.changed() => {
                shown.mark_unchanged();
                state.announce();
            }
            () = sleep_until(deadline.into()) => state.tell_table(&TableInput::Tick),
        }
    }
}

/// Whether hearsay of this address may lead to a dial: it must be one machine's.
fn is_dialable(addr: SocketAddr) -> bool {
    let one_machine = match addr.ip() {
        IpAddr::V4(ip) => !ip.is_broadcast() && !ip.is_multicast() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified() && !ip.is_unicast_link_local(),
    };
    one_machine && addr.port() != 0
}

async fn next(sightings: &mut Option<mpsc::Receiver<Sighting>>) -> Option<Sighting> {
    match sightings {
        Some(sightings) => sightings.recv().await,
        None => std::future::pending().await,
    }
}

impl Loop {
    // # What is heard

    fn listen(&mut self) {
        let discovery = self.with.discovery.as_ref();
        self.sightings = discovery.map(|discovery| discovery.sightings());
    }

    fn adjust_ears(&mut self) {
        let connections = self.table.peers().count();
        match self.ears.change(Instant::now(), connections) {
            Some(Change::Rest) => {
                tracing::debug!(
                    connections,
                    "nobody new: not listening for announcements any more"
                );
                self.sightings = None;
                if let Some(discovery) = &self.with.discovery {
                    discovery.rest();
                }
            }
            Some(Change::Listen) => {
                tracing::debug!(connections, "listening for announcements again");
                self.listen();
            }
            Some(Change::AskAround) => self.with.sessions.ask_around(),
            None => {}
        }
    }

    fn sighted(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Seen(candidate) if candidate.peer != self.with.context.id => {
                tracing::debug!(peer = %candidate.peer.short(), addresses = ?candidate.addresses, "sighted");
                self.candidates.sighted(Instant::now(), candidate);
            }
            Sighting::Seen(_) => {}
            Sighting::Gone(peer) => self.candidates.said_goodbye(peer),
        }
    }

    fn heard_of(&mut self, known: &KnownPeer) {
        if known.peer != self.with.context.id && is_dialable(known.addr) {
            let candidate = self.candidate(known.peer, known.addr);
            self.candidates.sighted(Instant::now(), candidate);
        }
    }

    fn candidate(&self, peer: PeerId, addr: SocketAddr) -> Candidate {
        Candidate {
            peer,
            addresses: vec![addr],
            protocol: PROTOCOL_VERSION,
            party: self.with.party.clone(),
            digest: 0,
        }
    }

    fn take_news(&mut self, news: SessionNews) {
        let now = Instant::now();
        match news {
            SessionNews::Joined {
                peer,
                addr,
                serial,
                dialled,
                replaced,
            } => {
                // News of two connections may cross: one that was replaced since is not taken in.
                if self.with.context.links.by_serial(serial).is_none() {
                    return;
                }
                let candidate = self.candidate(peer, addr);
                self.candidates.sighted(now, candidate);
                self.candidates.connected(peer);
                if let Some(old) = replaced {
                    let link = LinkId(old.0);
                    self.tell_table(&TableInput::Disconnected {
                        link,
                        reason: WhyGone::Closed,
                    });
                }
                self.ears.met_somebody(now);
                let link = LinkId(serial.0);
                let addr = Some(addr);
                self.tell_table(&TableInput::Connected {
                    link,
                    peer,
                    addr,
                    dialled,
                });
            }
            SessionNews::Left {
                peer,
                serial,
                closed,
            } => {
                let is_back = self.with.context.links.get(peer).is_some();
                if !is_back {
                    self.candidates.lost(now, peer);
                }
                let reason = match closed {
                    LinkClosed::Goodbye => WhyGone::Closed,
                    _ => WhyGone::Lost,
                };
                if !is_back && reason == WhyGone::Closed {
                    self.candidates.said_goodbye(peer);
                }
                self.tell_table(&TableInput::Disconnected {
                    link: LinkId(serial.0),
                    reason,
                });
            }
            SessionNews::Heard(peers) => peers.iter().for_each(|known| self.heard_of(known)),
            SessionNews::Pong { serial, rtt } => {
                self.tell_table(&TableInput::Pong {
                    link: LinkId(serial.0),
                    rtt,
                });
            }
        }
    }

    // # What is wished for

    fn take_wish(&mut self, wish: Wish) {
        let Wish::Connect { addr, reply } = wish;
        let now = Instant::now();
        if !self.named.iter().any(|named| named.addr == addr) {
            self.named.push(Named {
                addr: addr.clone(),
                due: now + RESOLVE_AGAIN,
            });
        }
        let (endpoint, sessions) = (self.with.endpoint.clone(), self.with.sessions.clone());
        let (resolved, context) = (self.resolved.clone(), self.with.context.clone());
        tokio::spawn(async move {
            let joined = connect_now(&context, &endpoint, &sessions, &addr).await;
            if let Ok(found) = &joined {
                // A closed channel means that the peer is shutting down.
                let _ = resolved.send((addr, vec![found.addr])).await;
            }
            // Whoever asked may have gone.
            let _ = reply.send(joined);
        });
    }

    fn take_resolved(&mut self, name: &str, found: &[SocketAddr]) {
        if found.is_empty() {
            tracing::warn!(name, "this peer's name does not resolve; trying again");
            return;
        }
        // One address a name is enough, and IPv4 first: a socket is bound to one family.
        let preferred = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
        if let Some(addr) = preferred.copied() {
            let peer = None;
            self.tell_table(&TableInput::Candidate {
                addr,
                peer,
                manual: true,
            });
        }
        self.named.retain(|named| named.addr != name);
    }

    // # Acting

    fn act(&mut self) {
        let now = Instant::now();
        while let Some(Dial {
            peer,
            address,
            timeout,
        }) = self.candidates.next_dial(now)
        {
            self.dial(address, Some(peer), timeout);
        }
        while let Some(action) = self.table.poll_action() {
            match action {
                TableAction::Dial { addr, expected } => {
                    self.dial(addr, expected, NAMED_DIAL_TIMEOUT);
                }
                // A full channel means that pings are slow; the next one will do.
                TableAction::Ping { link } => drop(self.with.pings.try_send(Serial(link.0))),
                TableAction::Drop { link, reason, .. } => {
                    if let Some(link) = self.with.context.links.by_serial(Serial(link.0)) {
                        tracing::info!(peer = %link.peer.short(), ?reason, "dropping a connection");
                        link.close(CloseCode::Limit);
                    }
                }
                _ => {}
            }
        }
        for named in self.named.iter_mut().filter(|named| named.due <= now) {
            named.due = now + RESOLVE_AGAIN;
            let (name, resolved) = (named.addr.clone(), self.resolved.clone());
            tokio::spawn(async move {
                let found = lookup_host(&name)
                    .await
                    .map(Iterator::collect)
                    .unwrap_or_default();
                let _ = resolved.send((name, found)).await;
            });
        }
    }

    fn next_deadline(&self) -> Instant {
        let now = Instant::now();
        let deadlines = [
            self.candidates.next_deadline(now),
            self.table.next_deadline(),
        ];
        let named = self.named.iter().map(|named| named.due).min();
        let next = deadlines.into_iter().flatten().chain(named).min();
        next.map_or(now + PULSE, |next| next.min(now + PULSE))
    }

    fn tell_table(&mut self, input: &TableInput) {
        self.table.handle(Instant::now(), input);
        self.act();
    }

    fn dial(&self, addr: SocketAddr, expected: Option<PeerId>, patience: Duration) {
        let (endpoint, sessions) = (self.with.endpoint.clone(), self.with.sessions.clone());
        let dialled = self.dialled.clone();
        tokio::spawn(async move {
            let dial = endpoint.dial(addr, expected);
            let timed_out = DialError::Unreachable {
                addr,
                source: LinkClosed::TimedOut,
            };
            let result = timeout(patience, dial).await.unwrap_or(Err(timed_out));
            let result = result.map(|(link, streams)| {
                let peer = link.peer;
                sessions.start(link, streams);
                peer
            });
            let _ = dialled
                .send(Dialled {
                    expected,
                    addr,
                    result,
                })
                .await;
        });
    }

    fn take_dialled(&mut self, dialled: Dialled) {
        let Dialled {
            expected,
            addr,
            result,
        } = dialled;
        let now = Instant::now();
        if let Err(error) = &result {
            tracing::debug!(%addr, %error, "a dial failed");
            if let DialError::PartyMismatch { addr } = error {
                self.with.context.met_stranger(Some(*addr));
            }
        }
        if let Some(expected) = expected {
            let outcome = match &result {
                Ok(_) => DialOutcome::Verified,
                Err(DialError::OtherIdentity { found, .. }) => DialOutcome::OtherPeer(*found),
                Err(_) => DialOutcome::Failed,
            };
            self.candidates.dialled(now, expected, addr, outcome);
        }
        let reason = match result {
            Ok(found) if found == self.with.context.id => WhyGone::Myself,
            Ok(_) => return,
            Err(DialError::Unreachable { .. }) => WhyGone::Unreachable,
            Err(DialError::PartyMismatch { .. }) => WhyGone::WrongParty,
            Err(DialError::OtherIdentity { .. }) => WhyGone::WrongPeer,
            Err(DialError::NoIdentity { .. }) => WhyGone::Incompatible,
        };
        self.tell_table(&TableInput::DialFailed { addr, reason });
    }

    fn announce(&self) {
        let Some(discovery) = &self.with.discovery else {
            return;
        };
        let announcement = Announcement {
            port: self.with.context.listen.port(),
            protocol: PROTOCOL_VERSION,
            digest: self.with.context.shelf.shown().borrow().revision,
            party: self.with.party.clone(),
        };
        if let Err(error) = discovery.announce(announcement) {
            tracing::warn!(%error, "this peer cannot be announced");
        }
    }
}

/// Resolves, dials and waits until the peer has joined.
async fn connect_now(
    context: &Context,
    endpoint: &Endpoint,
    sessions: &Sessions,
    addr: &str,
) -> Result<PeerView, OperationError> {
    let failed = |code, source: Box<dyn std::error::Error + Send + Sync>| OperationError::Connect {
        addr: addr.to_owned(),
        code,
        source,
    };
    let found = lookup_host(addr)
        .await
        .map_err(|error| failed(ErrorCode::BadInput, Box::new(error)))?
        .min_by_key(|addr| !addr.is_ipv4())
        .ok_or_else(|| failed(ErrorCode::BadInput, "the name has no address".into()))?;
    let mut events = context.events.subscribe();
    let (link, streams) = endpoint.dial(found, None).await.map_err(|error| {
        let code = match error {
            DialError::PartyMismatch { addr } => {
                context.met_stranger(Some(addr));
                ErrorCode::PartyMismatch
            }
            _ => ErrorCode::NoSource,
        };
        failed(code, Box::new(error))
    })?;
    let peer = link.peer;
    sessions.start(link, streams);
    if peer == context.id {
        return Err(failed(
            ErrorCode::BadInput,
            "this is the peer itself".into(),
        ));
    }
    let joined = async {
        while !context.links.is_introduced(peer) {
            events.next().await?;
        }
        context
            .game_db
            .peers()
            .into_iter()
            .find(|view| view.id == peer)
    };
    match timeout(JOIN_TIMEOUT, joined).await {
        Ok(Some(view)) => Ok(view),
        _ => Err(failed(
            ErrorCode::NoSource,
            "the peer did not introduce itself".into(),
        )),
    }
}
