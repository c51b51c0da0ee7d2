//! Candidates that were never dialled, in turns by IP address: [`FreshQueue`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
};

use lanspread_proto::PeerId;

/// One lane for every IP address; the lanes take turns, within a lane the oldest goes first.
#[derive(Debug, Default)]
pub(super) struct FreshQueue {
    lanes: BTreeMap<IpAddr, BTreeSet<(u64, PeerId)>>,
    served: Option<IpAddr>,
}

impl FreshQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub(super) fn insert(&mut self, lane: IpAddr, age: u64, peer: PeerId) {
        self.lanes.entry(lane).or_default().insert((age, peer));
    }

    pub(super) fn remove(&mut self, lane: IpAddr, age: u64, peer: PeerId) {
        if let Some(waiting) = self.lanes.get_mut(&lane) {
            waiting.remove(&(age, peer));
            if waiting.is_empty() {
                self.lanes.remove(&lane);
            }
        }
    }

    /// Whose turn it is. The caller removes it.
    pub(super) fn turn(&mut self) -> Option<PeerId> {
        let after = self.served.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.lanes.range((after, Bound::Unbounded)).next();
        let (lane, waiting) = next.or_else(|| self.lanes.first_key_value())?;
        self.served = Some(*lane);
        waiting.first().map(|(_, peer)| *peer)
    }
}
