//! [`Mesh`]: with whom one host exchanges chunks of one payload.
//!
//! All hosts know each other; the exchange of chunks is bounded, since a host that is asked by hundreds serves
//! nobody soon. The relation is mutual and random, and dealt anew all the time, so that no island lasts.
//!
//! | another host is | becomes | when |
//! |---|---|---|
//! | stranger | invited | we lack neighbours, and it has not declined just now |
//! | stranger | neighbour | it invites us, and we have room or it has too few |
//! | invited | neighbour | it accepts, or invites us too |
//! | invited | stranger | it declines, or says nothing for some seconds |
//! | neighbour | stranger | either side parts; it declines to go on; both have everything |
//!
//! Messages may be lost: each invitation without an answer is taken back, and from time to time all neighbours are
//! invited again, which changes nothing where both sides agree.

mod quota;
mod words;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use lanspread_proto::{PeerId, limits};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom as _};

pub use words::{MeshAction, MeshConfig, MeshInput};

use quota::{EVERYONE_MAX, NEIGHBOURS_MIN, Quota};

/// An invitation that was not answered by then was declined.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Who declined once is left alone for this long; twice as long each further time.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Who declined often, or parted with us, is left alone for this long.
const PAUSE_MAX: Duration = Duration::from_secs(32);

/// A neighbour is exchanged after a time between this …
const REDEAL_MIN: Duration = Duration::from_secs(20);

/// … and this.
const REDEAL_MAX: Duration = Duration::from_secs(30);

/// Who has more neighbours than it should, because it came to know many only after it had them, parts with one of them
/// each time this has passed: the others do so at the same moment, and nobody is to lose all of them at once.
const SHED_EVERY: Duration = Duration::from_millis(200);

/// With whom this host exchanges chunks of one payload.
///
/// After each [`handle`](Self::handle) the driver drains [`poll_action`](Self::poll_action), reads
/// [`neighbours`](Self::neighbours) anew, and calls `handle` with [`MeshInput::Tick`] at
/// [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct Mesh {
    me: PeerId,
    wants: bool,
    invites: bool,
    rng: StdRng,
    others: BTreeMap<PeerId, Other>,
    redeals_at: Option<Instant>,
    /// While there are too many neighbours, when to part with the next.
    sheds_at: Option<Instant>,
    wake_at: Option<Instant>,
    actions: VecDeque<MeshAction>,
}

/// Another host.
#[derive(Debug)]
struct Other {
    near: bool,
    complete: bool,
    standing: Standing,
    /// Not invited before this.
    paused_until: Option<Instant>,
    declined: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Stranger,
    /// By us, until then.
    Invited(Instant),
    Neighbour,
}

impl Mesh {
    /// A host without neighbours that knows nobody.
    pub fn new(config: &MeshConfig) -> Self {
        Self {
            me: config.me,
            wants: config.wants,
            invites: true,
            rng: StdRng::seed_from_u64(config.seed),
            others: BTreeMap::new(),
            redeals_at: None,
            sheds_at: None,
            wake_at: None,
            actions: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, input: MeshInput) {
        match input {
            MeshInput::Known {
                peer,
                near,
                complete,
            } => self.known(peer, near, complete),
            MeshInput::Gone { peer } => drop(self.others.remove(&peer)),
            MeshInput::Invited { peer, neighbours } => self.invited(now, peer, neighbours),
            MeshInput::Accepted { peer } => self.accepted(now, peer),
            MeshInput::Declined { peer } => self.declined(now, peer),
            MeshInput::Parted { peer } => self.parted(now, peer),
            MeshInput::Finished => (self.wants, self.invites) = (false, false),
            MeshInput::Tick => {}
        }
        self.take_back_invitations(now);
        self.part_with_the_useless();
        self.shed(now);
        self.redeal(now);
        if self.invites {
            self.invite(now, true);
            self.invite(now, false);
        }
        self.wake_at = self.due(now);
    }

    /// The next thing to tell somebody, in order.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<MeshAction> {
        self.actions.pop_front()
    }

    /// When to send [`MeshInput::Tick`], if nothing else comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.wake_at
    }

    /// With whom chunks are exchanged, by id.
    pub fn neighbours(&self) -> impl Iterator<Item = PeerId> {
        let found = self.others.iter();
        let found = found.filter(|(_, other)| other.standing == Standing::Neighbour);
        found.map(|(peer, _)| *peer)
    }

    /// Whether chunks are exchanged with a peer.
    pub fn contains(&self, peer: PeerId) -> bool {
        self.standing(peer) == Some(Standing::Neighbour)
    }

    fn standing(&self, peer: PeerId) -> Option<Standing> {
        self.others.get(&peer).map(|other| other.standing)
    }

    // # What others say

    fn known(&mut self, peer: PeerId, near: bool, complete: bool) {
        if let Some(other) = self.others.get_mut(&peer) {
            (other.near, other.complete) = (near, complete);
        } else if peer != self.me && self.others.len() < limits::PEERS_MAX {
            let other = Other {
                near,
                complete,
                standing: Standing::Stranger,
                paused_until: None,
                declined: 0,
            };
            self.others.insert(peer, other);
        }
    }

    /// Who invites lacks something or has something; the first word of it may come before the offer that says so.
    fn invited(&mut self, now: Instant, peer: PeerId, neighbours: u32) {
        if !self.others.contains_key(&peer) {
            self.known(peer, true, false);
        }
        let Some(other) = self.others.get(&peer) else {
            return self.actions.push_back(MeshAction::Decline { peer });
        };
        let near = other.near;
        match other.standing {
            Standing::Neighbour => {}
            _ if !self.is_useful(other) => {
                return self.actions.push_back(MeshAction::Decline { peer });
            }
            _ if self.has_room(near) => self.set(peer, Standing::Neighbour),
            _ if neighbours < NEIGHBOURS_MIN => {
                self.part_with_one(now, near);
                self.set(peer, Standing::Neighbour);
            }
            _ => return self.actions.push_back(MeshAction::Decline { peer }),
        }
        self.actions.push_back(MeshAction::Accept { peer });
    }

    /// Who is resting was told that we part, and hears it again: its answer and our word have crossed.
    fn accepted(&mut self, now: Instant, peer: PeerId) {
        let Some(other) = self.others.get(&peer) else {
            return self.actions.push_back(MeshAction::Part { peer });
        };
        if other.standing == Standing::Neighbour {
            return;
        }
        let rests = other.paused_until.is_some_and(|until| now < until);
        if !rests && self.is_useful(other) && self.has_room(other.near) {
            self.set(peer, Standing::Neighbour);
        } else {
            self.actions.push_back(MeshAction::Part { peer });
            self.rest(now, peer, PAUSE_MIN);
        }
    }

    fn declined(&mut self, now: Instant, peer: PeerId) {
        if let Some(other) = self.others.get_mut(&peer) {
            let pause = PAUSE_MIN * (1 << other.declined.min(5));
            other.declined += 1;
            self.rest(now, peer, pause.min(PAUSE_MAX));
        }
    }

    fn parted(&mut self, now: Instant, peer: PeerId) {
        if self.contains(peer) {
            self.rest(now, peer, PAUSE_MAX);
        }
    }

    // # What we decide

    fn set(&mut self, peer: PeerId, standing: Standing) {
        if let Some(other) = self.others.get_mut(&peer) {
            other.standing = standing;
            if standing == Standing::Neighbour {
                other.declined = 0;
                other.paused_until = None;
            }
        }
    }

    /// It is a stranger, and is left alone for a while.
    fn rest(&mut self, now: Instant, peer: PeerId, pause: Duration) {
        if let Some(other) = self.others.get_mut(&peer) {
            other.standing = Standing::Stranger;
            other.paused_until = Some(now + pause);
        }
    }

    /// Two hosts that have everything have nothing to give each other.
    fn is_useful(&self, other: &Other) -> bool {
        self.wants || !other.complete
    }

    fn count(&self, near: bool, is: impl Fn(&Other) -> bool) -> usize {
        let others = self.others.values().filter(|other| other.near == near);
        others.filter(|other| is(other)).count()
    }

    fn quota(&self, near: bool) -> Quota {
        let known = |near| self.count(near, |_| true);
        Quota::of(near, known(true), known(false))
    }

    fn has_room(&self, near: bool) -> bool {
        let neighbours = |near| self.count(near, |other| other.standing == Standing::Neighbour);
        let all = neighbours(true) + neighbours(false);
        neighbours(near) < self.quota(near).most && all < EVERYONE_MAX
    }

    /// Takes back what was not answered; the other side may have accepted and its answer may be lost.
    fn take_back_invitations(&mut self, now: Instant) {
        let late =
            |other: &Other| matches!(other.standing, Standing::Invited(until) if until <= now);
        let late: Vec<PeerId> = self.those(late);
        for peer in late {
            self.actions.push_back(MeshAction::Part { peer });
            self.declined(now, peer);
        }
    }

    fn those(&self, are: impl Fn(&Other) -> bool) -> Vec<PeerId> {
        let found = self.others.iter().filter(|(_, other)| are(other));
        found.map(|(peer, _)| *peer).collect()
    }

    fn part_with_the_useless(&mut self) {
        let useless =
            |other: &Other| other.standing == Standing::Neighbour && !self.is_useful(other);
        for peer in self.those(useless) {
            self.set(peer, Standing::Stranger);
            self.actions.push_back(MeshAction::Part { peer });
        }
    }

    /// Parts with those who are too many, one after the other.
    fn shed(&mut self, now: Instant) {
        let neighbours = |near| self.count(near, |other| other.standing == Standing::Neighbour);
        let too_many = |near: &bool| neighbours(*near) > self.quota(*near).most;
        let Some(near) = [true, false].into_iter().find(too_many) else {
            self.sheds_at = None;
            return;
        };
        let due = self.sheds_at.is_some_and(|at| at <= now);
        if due {
            self.part_with_one(now, near);
        }
        if due || self.sheds_at.is_none() {
            self.sheds_at = Some(now + SHED_EVERY);
        }
    }

    /// With a random one of the near or of the far, or else of all.
    fn part_with_one(&mut self, now: Instant, near: bool) {
        let neighbours = self.those(|other| other.standing == Standing::Neighbour);
        let of_kind = |peer: &&PeerId| self.others[peer].near == near;
        let kind: Vec<PeerId> = neighbours.iter().filter(of_kind).copied().collect();
        let from = if kind.is_empty() { neighbours } else { kind };
        if let Some(peer) = from.choose(&mut self.rng).copied() {
            self.rest(now, peer, PAUSE_MIN);
            self.actions.push_back(MeshAction::Part { peer });
        }
    }

    /// Who wants exchanges one neighbour where there are strangers; all ask the others whether they still are.
    fn redeal(&mut self, now: Instant) {
        let due = self.redeals_at;
        if due.is_some_and(|at| now < at) {
            return;
        }
        if due.is_some() {
            for near in [true, false] {
                if self.wants && self.could_exchange(near) {
                    self.part_with_one(now, near);
                }
            }
            let neighbours = self.neighbour_count();
            for peer in self.those(|other| other.standing == Standing::Neighbour) {
                self.actions
                    .push_back(MeshAction::Invite { peer, neighbours });
            }
        }
        let apart = self.rng.random_range(REDEAL_MIN..REDEAL_MAX);
        let goes_on = self.wants || self.neighbour_count() > 0;
        self.redeals_at = goes_on.then_some(now + apart);
    }

    fn could_exchange(&self, near: bool) -> bool {
        let ours = self.count(near, |other| other.standing == Standing::Neighbour);
        let stranger =
            |other: &Other| other.standing == Standing::Stranger && self.is_useful(other);
        ours > 0 && ours >= self.quota(near).wanted && self.count(near, stranger) > 0
    }

    fn neighbour_count(&self) -> u32 {
        u32::try_from(self.neighbours().count()).unwrap_or(u32::MAX)
    }

    /// Invites half of what is missing, since others invite us meanwhile; all, where all belong together.
    fn invite(&mut self, now: Instant, near: bool) {
        let asked = self.count(near, |other| other.standing != Standing::Stranger);
        let quota = self.quota(near);
        let missing = quota.wanted.saturating_sub(asked);
        let at_once = if quota.is_everyone {
            missing
        } else {
            missing.div_ceil(2)
        };
        if at_once == 0 {
            return;
        }
        let open = |other: &Other| {
            other.near == near
                && other.standing == Standing::Stranger
                && other.paused_until.is_none_or(|until| until <= now)
                && self.is_useful(other)
        };
        let open = self.those(open);
        let chosen: Vec<PeerId> = open.sample(&mut self.rng, at_once).copied().collect();
        let neighbours = self.neighbour_count();
        for peer in chosen {
            self.set(peer, Standing::Invited(now + ANSWER_TIMEOUT));
            self.actions
                .push_back(MeshAction::Invite { peer, neighbours });
        }
    }

    /// When something is to be done next.
    fn due(&self, now: Instant) -> Option<Instant> {
        let ends = self
            .others
            .values()
            .filter_map(|other| match other.standing {
                Standing::Invited(until) => Some(until),
                Standing::Stranger => other.paused_until.filter(|until| *until > now),
                Standing::Neighbour => None,
            });
        ends.chain(self.redeals_at).chain(self.sheds_at).min()
    }
}
