//! Groups: hosts that a thin link parts from the others fetch each chunk across it once.
//!
//! It is one member's turn, changing twice a second, to fetch a share of four chunks from afar; the others wait until
//! they appear near. Nor does every group fetch a share from where all of it is: the groups that lack it stand in a
//! row, another for each share, and only the first fetches there, the others from those before them. So the link of
//! the group with the source carries little more than one copy out, too. When nothing at all has come for a while,
//! anybody may fetch anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use fixedbitset::FixedBitSet;
use lanspread_proto::{GroupName, PeerId};

use super::Plan;
use crate::{pick::Held, words::Member};

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
    /// The chunks that our group may fetch from somebody far; any from those who are not here.
    from: BTreeMap<PeerId, Arc<FixedBitSet>>,
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

/// The chunks that the group `ours` may fetch from each member of another one, of `count`.
fn rows(ours: &GroupName, members: &[Member], count: usize) -> BTreeMap<PeerId, Arc<FixedBitSet>> {
    let named = |member: &Member| member.group.clone();
    let complete = members.iter().filter(|member| !member.lacks_some);
    let origins: BTreeSet<Option<GroupName>> = complete.map(named).collect();
    let lacking: BTreeSet<GroupName> = members
        .iter()
        .filter_map(named)
        .chain([ours.clone()])
        .filter(|group| !origins.contains(&Some(group.clone())))
        .collect();
    let places = lacking.len();
    let place = |group: &GroupName| lacking.iter().position(|other| other == group);
    let Some(our_place) = place(ours).filter(|_| !origins.is_empty()) else {
        return BTreeMap::new();
    };
    // The row begins one place later for each share.
    let rank = |place: usize, share: usize| (place + share) % places;
    let shares = |may: &dyn Fn(usize) -> bool| {
        let mut chunks = FixedBitSet::with_capacity(count);
        for share in (0..count.div_ceil(SHARE_CHUNKS)).filter(|share| may(*share)) {
            let first = share * SHARE_CHUNKS;
            chunks.insert_range(first..count.min(first + SHARE_CHUNKS));
        }
        Arc::new(chunks)
    };
    let first_ones = shares(&|share| rank(our_place, share) == 0);
    let after: Vec<_> = (0..places)
        .map(|theirs| shares(&|share| rank(theirs, share) < rank(our_place, share)))
        .collect();
    let may = |member: &Member| match &member.group {
        group if origins.contains(group) => Some((member.peer, first_ones.clone())),
        Some(group) => Some((member.peer, after[place(group)?].clone())),
        None => None,
    };
    members.iter().filter_map(may).collect()
}

impl Plan {
    pub(super) fn grouped(
        &mut self,
        now: Instant,
        me: PeerId,
        ours: &GroupName,
        members: &[Member],
    ) {
        let near = || {
            let is_near = |member: &&Member| member.group.as_ref() == Some(ours);
            members.iter().filter(is_near)
        };
        let wanting = near().filter(|member| member.lacks_some);
        let count = self.stored.capacity();
        let mut group = Group {
            me,
            near: near().map(|member| member.peer).collect(),
            wanting: wanting.map(|member| member.peer).collect(),
            ours: FixedBitSet::with_capacity(count),
            from: rows(ours, members, count),
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
            if let Some(from) = group.from.get(&id) {
                offer.intersect_with(from);
            }
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

#[cfg(test)]
mod tests {
    use lanspread_proto::Hash;

    use super::*;

    const COUNT: usize = 4 * SHARE_CHUNKS * 3 + 1;

    /// One member of each group; the first of them has everything. The last one is in no group.
    fn room(groups: &[GroupName]) -> Vec<Member> {
        let group_of = |at: usize| groups.get(at).cloned();
        let at = 0..=groups.len();
        at.map(|at| Member {
            peer: PeerId::new(Hash::of(&[u8::try_from(at).unwrap()])),
            group: group_of(at),
            lacks_some: at > 0,
        })
        .collect()
    }

    #[test]
    fn one_group_fetches_a_chunk_from_the_origin_and_the_others_from_those_before_them() {
        let groups: Vec<GroupName> = ["hall", "bar", "attic", "cellar"]
            .map(|name| name.parse().unwrap())
            .to_vec();
        let members = room(&groups);
        let all = |ours: &GroupName| rows(ours, &members, COUNT);
        let may = |ours: &GroupName, from: usize, chunk: usize| {
            all(ours)[&members[from].peer].contains(chunk)
        };
        let mut firsts = [0; 4];
        for chunk in 0..COUNT {
            let first: Vec<usize> = (1..4).filter(|at| may(&groups[*at], 0, chunk)).collect();
            assert_eq!(first.len(), 1, "chunk {chunk}");
            firsts[first[0]] += 1;
            // Of two that lack it, one fetches from the other, and somebody from the first.
            for (one, other) in [(1, 2), (2, 3), (3, 1)] {
                assert_ne!(
                    may(&groups[one], other, chunk),
                    may(&groups[other], one, chunk)
                );
                assert!(!may(&groups[first[0]], other, chunk) || other == first[0]);
            }
        }
        assert_eq!(firsts[1..].iter().max(), Some(&(COUNT / 3 + 1)));
        assert!(
            all(&groups[1]).len() == 4,
            "who is in no group is not in it"
        );
    }

    #[test]
    fn without_somebody_who_has_everything_any_group_fetches_from_any() {
        let groups: Vec<GroupName> = ["hall", "bar"].map(|name| name.parse().unwrap()).to_vec();
        let members = room(&groups);
        assert!(rows(&groups[1], &members[1..], COUNT).is_empty());
        // Nor is there a rule for those who have everything in their own group.
        assert!(rows(&groups[0], &members, COUNT).is_empty());
    }
}
