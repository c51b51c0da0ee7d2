//! Which peers are still worth an attempt. Pure.

use std::collections::{BTreeMap, BTreeSet};

use lanspread_proto::PeerId;

use crate::links::CONNECTIONS_TRIED_MAX;

/// What came of the attempts so far.
#[derive(Debug, Default)]
pub(super) struct Tried {
    failed: BTreeSet<PeerId>,
    busy: BTreeSet<PeerId>,
    /// How many connections broke.
    broken: BTreeMap<PeerId, u32>,
}

impl Tried {
    /// The first of `sources` that may be asked now.
    pub(super) fn next_of(&self, sources: &[PeerId]) -> Option<PeerId> {
        let mut left = sources.iter();
        left.find(|peer| !self.failed.contains(peer) && !self.busy.contains(peer))
            .copied()
    }

    /// It cannot send what it should.
    pub(super) fn failed(&mut self, peer: PeerId) {
        self.failed.insert(peer);
    }

    /// It has enough to do.
    pub(super) fn is_busy(&mut self, peer: PeerId) {
        self.busy.insert(peer);
    }

    /// The connection to it closed; another one may do.
    pub(super) fn broke(&mut self, peer: PeerId) {
        let broken = self.broken.entry(peer).or_default();
        *broken += 1;
        if *broken >= CONNECTIONS_TRIED_MAX {
            self.failed.insert(peer);
        }
    }

    /// The busy ones may be asked again; false if none was.
    pub(super) fn ask_again(&mut self) -> bool {
        let any = !self.busy.is_empty();
        self.busy.clear();
        any
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::Hash;

    use super::*;

    #[test]
    fn a_peer_is_asked_until_it_fails_is_busy_or_breaks_too_often() {
        let peers: Vec<PeerId> = (1..=3_u8)
            .map(|number| PeerId::new(Hash::from_bytes([number; 32])))
            .collect();
        let mut tried = Tried::default();
        assert_eq!(tried.next_of(&peers), Some(peers[0]));
        tried.failed(peers[0]);
        tried.is_busy(peers[1]);
        for _ in 0..CONNECTIONS_TRIED_MAX {
            assert_eq!(tried.next_of(&peers), Some(peers[2]));
            tried.broke(peers[2]);
        }
        assert_eq!(tried.next_of(&peers), None);
        assert!(tried.ask_again());
        assert_eq!(tried.next_of(&peers), Some(peers[1]));
        assert!(!tried.ask_again());
    }
}
