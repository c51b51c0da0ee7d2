//! Groups: hosts that a thin link parts from the others fetch each chunk across it once.
//!
//! It is one member's turn, changing twice a second, to fetch four chunks from afar; the others wait until they appear
//! near. When nothing at all has come for a while, anybody may fetch anything.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use fixedbitset::FixedBitSet;
use lanspread_proto::PeerId;

use super::Plan;
use crate::pick::Held;

/// When nothing has come for so long, the rule that one member fetches is off until something appears near. From afar
/// one helps, in the end, only to save more than this.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Neighbouring chunks that one member fetches.
const SHARE_CHUNKS: usize = 4;

/// The turns change after this. Who has a turn may know nobody yet that has the chunk; the next one may.
const TURN: Duration = Duration::from_millis(500);

/// The hosts on our side of a thin link.
#[derive(Debug)]
pub(super) struct Group {
    me: PeerId,
    near: BTreeSet<PeerId>,
    wanting: Vec<PeerId>,
    /// The chunks that are ours to fetch from afar.
    ours: FixedBitSet,
    turn: u32,
    turn_ends: Instant,
    /// Whether patience is at an end.
    is_open: bool,
}

impl Group {
    fn deal(&mut self) {
        self.ours.clear();
        let count = self.ours.len();
        for share in (0..count).step_by(SHARE_CHUNKS) {
            let weigh = |member: PeerId| (weight(share, self.turn, member), member);
            let mine = weigh(self.me);
            let mut others = self.wanting.iter().filter(|other| **other != self.me);
            if others.all(|other| weigh(*other) < mine) {
                self.ours
                    .insert_range(share..count.min(share + SHARE_CHUNKS));
            }
        }
    }
}

impl Plan {
    pub(super) fn grouped(
        &mut self,
        now: Instant,
        me: PeerId,
        members: Vec<PeerId>,
        wanting: Vec<PeerId>,
    ) {
        let mut group = Group {
            me,
            near: members.into_iter().collect(),
            wanting,
            ours: FixedBitSet::with_capacity(self.stored.capacity()),
            turn: 0,
            turn_ends: now + TURN,
            is_open: false,
        };
        group.deal();
        self.group = Some(group);
        self.wake_by(now + TURN);
        self.ask_everyone(now);
    }

    /// Whether a thin link is between us and a peer.
    pub(super) fn is_far(&self, id: PeerId) -> bool {
        let group = self.group.as_ref();
        group.is_some_and(|group| !group.near.contains(&id))
    }

    /// Whether everything may be fetched from afar.
    pub(super) fn is_open(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.is_open)
    }

    /// Ends the turn and the patience when it is time.
    pub(super) fn wait_for_the_group(&mut self, now: Instant) {
        let silence = now.saturating_duration_since(self.last_progress);
        let Some(group) = &mut self.group else {
            return;
        };
        group.is_open |= silence >= PATIENCE;
        if group.turn_ends <= now {
            group.turn = group.turn.wrapping_add(1);
            group.turn_ends = now + TURN;
            group.deal();
        }
        let turn_ends = group.turn_ends;
        self.wake_by(turn_ends);
    }

    /// Something has appeared near.
    pub(super) fn be_patient(&mut self, by: PeerId) {
        if let Some(group) = &mut self.group
            && group.near.contains(&by)
        {
            group.is_open = false;
        }
    }

    /// What of a far peer's chunks is ours to fetch; `None` for one that is near.
    pub(super) fn offer_from_afar(&self, now: Instant, id: PeerId) -> Option<Held> {
        let group = self.group.as_ref().filter(|_| self.is_far(id))?;
        let peer = self.peers.get(&id)?;
        let mut offer = FixedBitSet::with_capacity(self.stored.capacity());
        match &peer.held {
            Held::Everything => offer.insert_range(..),
            Held::Only(bits) => offer.union_with(bits),
        }
        if !group.is_open {
            offer.intersect_with(&group.ours);
            for near in group.near.iter().filter_map(|near| self.peers.get(near)) {
                match &near.held {
                    Held::Everything => offer.clear(),
                    Held::Only(bits) => offer.difference_with(bits),
                }
            }
        }
        if peer.only_rare_until.is_some_and(|until| now < until) {
            let common: Vec<usize> = offer.ones().filter(|at| !self.shelf.is_rare(*at)).collect();
            for at in common {
                offer.remove(at);
            }
        }
        Some(Held::Only(offer))
    }
}

/// The member with the greatest weight fetches the share: rendezvous hashing, so that who comes or goes changes little.
fn weight(share: usize, turn: u32, member: PeerId) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&member.hash().as_bytes()[..8]);
    let place = (share as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut mixed = u64::from_le_bytes(half) ^ place ^ (u64::from(turn) << 48);
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
        mixed = (mixed ^ (mixed >> shift)).wrapping_mul(factor);
    }
    mixed ^ (mixed >> 31)
}
