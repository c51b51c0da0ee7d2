//! The machine of the table.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use lanspread_proto::{PeerId, limits};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    DropReason, LinkId, TableAction, TableConfig, TableInput, Whereabouts, WhyGone,
    contact::{Contact, State},
    keeps,
};

/// Dials at once. Many, since a dial to nowhere takes the whole handshake time and a flood of false
/// addresses must not hold up the true one; fewer than contacts, so that newcomers find room.
const DIALS_MAX: usize = limits::PEERS_MAX * 3 / 4;

/// The time between two dials, so that a flood of false addresses costs a hundred packets a second.
const DIAL_SPACING: Duration = Duration::from_millis(10);

/// The time between two pings to anybody, on average, while all answer. In a large room each link has its turn less often: a machine
/// that dies is noticed by the transport, pings find a program that hangs, and two hundred of them every few seconds
/// would cost more than all else that an idle machine does.
const PING_SPACING: Duration = Duration::from_millis(500);

/// Who is out there: bounded, rate-limited, and patient with the unreachable.
///
/// After each [`handle`](Self::handle) the driver drains [`poll_action`](Self::poll_action), and calls
/// `handle` with [`TableInput::Tick`] at [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct PeerTable {
    me: PeerId,
    rng: StdRng,
    contacts: BTreeMap<SocketAddr, Contact>,
    links: BTreeMap<LinkId, Link>,
    next_dial_at: Option<Instant>,
    actions: VecDeque<TableAction>,
}

#[derive(Debug)]
struct Link {
    peer: PeerId,
    addr: Option<SocketAddr>,
    dialled: bool,
    since: Instant,
    last_ping: Option<Instant>,
    /// When the first of the pings went out that were not answered yet.
    unanswered: Option<Instant>,
    rtt: Option<Duration>,
}

impl Link {
    /// When it must be pinged or dropped, if one that answers has its turn after `pause`.
    fn due(&self, pause: Duration) -> Instant {
        match (self.last_ping, self.unanswered) {
            (None, _) => self.since,
            (Some(ping), None) => ping + pause,
            (Some(ping), Some(first)) => {
                (ping + limits::KEEP_ALIVE).min(first + limits::IDLE_TIMEOUT)
            }
        }
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.unanswered
            .is_some_and(|first| first + limits::IDLE_TIMEOUT <= now)
    }
}

/// Who is linked, by id and by address.
struct Linked {
    peers: BTreeSet<PeerId>,
    addrs: BTreeSet<SocketAddr>,
}

impl Linked {
    fn has(&self, addr: SocketAddr, contact: &Contact) -> bool {
        self.addrs.contains(&addr) || contact.peer.is_some_and(|peer| self.peers.contains(&peer))
    }
}

impl PeerTable {
    /// A table that knows nobody.
    pub fn new(config: &TableConfig) -> Self {
        Self {
            me: config.me,
            rng: StdRng::seed_from_u64(config.seed),
            contacts: BTreeMap::new(),
            links: BTreeMap::new(),
            next_dial_at: None,
            actions: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, input: &TableInput) {
        debug_assert!(
            self.actions.is_empty(),
            "all actions are drained before the next input"
        );
        match *input {
            TableInput::Candidate { addr, peer, manual } => self.candidate(now, addr, peer, manual),
            TableInput::Withdrawn { addr } => self.withdrawn(addr),
            TableInput::Connected {
                link,
                peer,
                addr,
                dialled,
            } => {
                self.connected(now, link, peer, addr, dialled);
            }
            TableInput::DialFailed { addr, reason } => self.failed(now, addr, reason),
            TableInput::Disconnected { link, reason } => self.disconnected(now, link, reason),
            TableInput::Heard { link } => self.heard(link, None),
            TableInput::Pong { link, rtt } => self.heard(link, Some(rtt)),
            TableInput::Tick => {}
        }
        self.watch_links(now);
        self.dial(now);
    }

    /// The next thing to do, in order.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<TableAction> {
        self.actions.pop_front()
    }

    /// When to send [`TableInput::Tick`], if nothing else comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let pause = self.ping_pause();
        let links = self.links.values().map(|link| link.due(pause));
        let dials = self
            .waiting()
            .map(|(_, contact)| contact.due())
            .min()
            .map(|due| self.next_dial_at.map_or(due, |next| due.max(next)));
        let dialling = self
            .contacts
            .values()
            .filter(|contact| contact.is_dialling());
        let timeouts = dialling.map(Contact::due);
        links.chain(dials).chain(timeouts).min()
    }

    /// The peers that are linked now, with their measured round trip.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, Option<Duration>)> + '_ {
        self.links.values().map(|link| (link.peer, link.rtt))
    }

    /// Where the contact at an address is in its life; `None` if it is not known.
    pub fn whereabouts(&self, now: Instant, addr: SocketAddr) -> Option<Whereabouts> {
        let contact = self.contacts.get(&addr)?;
        Some(match contact.state {
            _ if self.linked().has(addr, contact) => Whereabouts::Connected,
            State::Dialling { .. } => Whereabouts::Dialling,
            State::BackingOff { until } if now < until => Whereabouts::BackingOff { until },
            State::Ready { .. } | State::BackingOff { .. } => Whereabouts::Known,
        })
    }

    // # Contacts

    fn candidate(&mut self, now: Instant, addr: SocketAddr, peer: Option<PeerId>, manual: bool) {
        if peer == Some(self.me) {
            return;
        }
        if let Some(contact) = self.contacts.get_mut(&addr) {
            contact.manual |= manual;
            if peer.is_some() && peer != contact.peer {
                // Somebody else is said to be there: past failures were another's.
                contact.peer = peer;
                if matches!(contact.state, State::BackingOff { .. }) && contact.failures > 1 {
                    contact.failures = 1;
                }
            }
        } else if self.make_room() {
            self.contacts.insert(addr, Contact::new(now, peer, manual));
        }
    }

    /// Forgets a contact if the table is full: one that failed most, or by chance one that was never
    /// reached. Tells whether there is room now.
    fn make_room(&mut self) -> bool {
        if self.contacts.len() < limits::PEERS_MAX {
            return true;
        }
        let linked = self.linked();
        let evictable = || {
            self.contacts.iter().filter(|(addr, contact)| {
                !contact.manual && !contact.is_dialling() && !linked.has(**addr, contact)
            })
        };
        let Some(worst) = evictable().map(|(_, contact)| contact.failures).max() else {
            return false;
        };
        let equals: Vec<SocketAddr> = evictable()
            .filter(|(_, contact)| contact.failures == worst)
            .map(|(addr, _)| *addr)
            .collect();
        let chosen = equals[self.rng.random_range(0..equals.len())];
        self.contacts.remove(&chosen);
        true
    }

    fn withdrawn(&mut self, addr: SocketAddr) {
        if self
            .contacts
            .get(&addr)
            .is_some_and(|contact| !contact.manual && !contact.is_dialling())
        {
            self.contacts.remove(&addr);
        }
    }

    fn failed(&mut self, now: Instant, addr: SocketAddr, reason: WhyGone) {
        let Some(contact) = self.contacts.get_mut(&addr) else {
            return;
        };
        contact.failed(now, reason, &mut self.rng);
        if reason == WhyGone::WrongPeer {
            // Whom we expected is not here; whoever is may be found on the next dial.
            contact.peer = None;
        }
        if contact.is_hopeless() {
            self.contacts.remove(&addr);
        }
    }

    /// Contacts that may be dialled when their time has come.
    fn waiting(&self) -> impl Iterator<Item = (SocketAddr, &Contact)> {
        let dialling = self
            .contacts
            .values()
            .filter(|contact| contact.is_dialling())
            .count();
        let full = dialling >= DIALS_MAX || self.links.len() >= limits::PEERS_MAX;
        let linked = self.linked();
        self.contacts
            .iter()
            .filter(move |(addr, contact)| {
                !full && !contact.is_dialling() && !linked.has(**addr, contact)
            })
            .map(|(addr, contact)| (*addr, contact))
    }

    fn dial(&mut self, now: Instant) {
        let overdue: Vec<SocketAddr> = self
            .contacts
            .iter()
            .filter(|(_, contact)| contact.is_dialling() && contact.due() <= now)
            .map(|(addr, _)| *addr)
            .collect();
        for addr in overdue {
            self.failed(now, addr, WhyGone::Unreachable);
        }
        if self.next_dial_at.is_some_and(|next| now < next) {
            return;
        }
        let next = self
            .waiting()
            .filter(|(_, contact)| contact.due() <= now)
            .min_by_key(|(_, contact)| (!contact.manual, contact.failures, contact.due()))
            .map(|(addr, contact)| (addr, contact.peer));
        if let Some((addr, expected)) = next
            && let Some(contact) = self.contacts.get_mut(&addr)
        {
            contact.state = State::Dialling { since: now };
            self.next_dial_at = Some(now + DIAL_SPACING);
            self.actions.push_back(TableAction::Dial { addr, expected });
        }
    }

    // # Links

    fn linked(&self) -> Linked {
        Linked {
            peers: self.links.values().map(|link| link.peer).collect(),
            addrs: self.links.values().filter_map(|link| link.addr).collect(),
        }
    }

    fn connected(
        &mut self,
        now: Instant,
        id: LinkId,
        peer: PeerId,
        addr: Option<SocketAddr>,
        dialled: bool,
    ) {
        if let Some(addr) = addr {
            self.found(now, addr, peer);
        }
        if peer == self.me {
            if let Some(addr) = addr {
                self.failed(now, addr, WhyGone::Myself);
            }
            self.actions.push_back(TableAction::Drop {
                link: id,
                peer,
                reason: DropReason::Myself,
            });
            return;
        }
        if let Some((other, before)) = self.links.iter().find(|(_, link)| link.peer == peer) {
            // When the same side dialled again, it lost the first connection or began anew.
            let newcomer_stays = before.dialled == dialled
                || if dialled {
                    keeps(self.me, peer)
                } else {
                    keeps(peer, self.me)
                };
            let link = if newcomer_stays { *other } else { id };
            self.links.remove(&link);
            self.actions.push_back(TableAction::Drop {
                link,
                peer,
                reason: DropReason::Duplicate,
            });
            if !newcomer_stays {
                return;
            }
        } else if self.links.len() >= limits::PEERS_MAX {
            self.actions.push_back(TableAction::Drop {
                link: id,
                peer,
                reason: DropReason::Full,
            });
            return;
        }
        let link = Link {
            peer,
            addr,
            dialled,
            since: now,
            last_ping: None,
            unanswered: None,
            rtt: None,
        };
        self.links.insert(id, link);
    }

    /// Notes who was found at an address.
    fn found(&mut self, now: Instant, addr: SocketAddr, peer: PeerId) {
        if !self.contacts.contains_key(&addr) && self.make_room() {
            self.contacts.insert(addr, Contact::new(now, None, false));
        }
        if let Some(contact) = self.contacts.get_mut(&addr) {
            contact.peer = Some(peer);
            contact.failures = 0;
            contact.state = State::Ready { since: now };
        }
    }

    fn disconnected(&mut self, now: Instant, id: LinkId, reason: WhyGone) {
        if let Some(addr) = self.links.remove(&id).and_then(|link| link.addr) {
            self.failed(now, addr, reason);
        }
    }

    /// How long a link that answers is left alone.
    fn ping_pause(&self) -> Duration {
        let links = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        limits::KEEP_ALIVE.max(PING_SPACING.saturating_mul(links))
    }

    fn heard(&mut self, id: LinkId, rtt: Option<Duration>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.unanswered = None;
            link.rtt = rtt.or(link.rtt);
        }
    }

    fn watch_links(&mut self, now: Instant) {
        let (pause, mut silent) = (self.ping_pause(), Vec::new());
        for (id, link) in &mut self.links {
            if link.is_silent(now) {
                silent.push((*id, link.peer));
            } else if link.due(pause) <= now {
                link.last_ping = Some(now);
                link.unanswered.get_or_insert(now);
                self.actions.push_back(TableAction::Ping { link: *id });
            }
        }
        for (link, peer) in silent {
            self.disconnected(now, link, WhyGone::Lost);
            self.actions.push_back(TableAction::Drop {
                link,
                peer,
                reason: DropReason::Silent,
            });
        }
    }
}
