//! One machine of the room, and the wires between two.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::Duration,
};

use lanspread_proto::{ChunkSet, Hash, PeerId};

use super::network::{PortId, TransferId};
use crate::{AdmittedRun, FirstCopies, Mesh, Plan, RequestId};

/// How a host treats those who ask it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Character {
    Honest,
    /// Sends wrong bytes.
    Lies,
    /// Takes requests and sends nothing.
    Stalls,
}

/// One machine.
pub(super) struct Host {
    pub(super) id: PeerId,
    pub(super) up: PortId,
    pub(super) down: PortId,
    pub(super) switch: usize,
    pub(super) character: Character,
    pub(super) present: bool,
    /// Other hosts whom it knows, there or not.
    pub(super) known: Vec<u32>,
    pub(super) mesh: Option<Mesh>,
    pub(super) ticks_at: Option<Duration>,
    /// With whom its plan exchanges chunks.
    pub(super) neighbours: BTreeSet<u32>,
    pub(super) most_neighbours: usize,
    /// The wire on which it sends to each host with which one of the two exchanges chunks.
    pub(super) wires: BTreeMap<u32, u32>,
    pub(super) has: ChunkSet,
    pub(super) plan: Option<Plan>,
    /// Whether the simulation waits for it.
    pub(super) awaited: bool,
    /// When it began for the first time.
    pub(super) started: Option<Duration>,
    pub(super) finished: Option<Duration>,
    /// The wire of each request under way.
    pub(super) requests: BTreeMap<RequestId, u32>,
    pub(super) wakes_at: Option<Duration>,
    /// Gained and not told yet.
    pub(super) news: Vec<u32>,
    /// When it told its neighbours something last.
    pub(super) announced: Option<Duration>,
    /// Asked for and not told yet.
    pub(super) asked: Vec<Range<u32>>,
    pub(super) disk_free_at: Duration,
    /// Its wires that send now.
    pub(super) busy_slots: u32,
    /// Its wires that wait for a slot, first come first.
    pub(super) queue: VecDeque<u32>,
    /// What it has sent, if it began with everything.
    pub(super) ledger: Option<Ledger>,
    pub(super) sent_bytes: u64,
}

/// What a source has sent and to whom.
pub(super) struct Ledger {
    /// By receiving host.
    pub(super) firsts: FirstCopies<u32>,
    /// Chunks that went out at least once.
    pub(super) sent: ChunkSet,
}

/// One direction between two neighbours.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) src: u32,
    pub(super) dst: u32,
    /// Counts what makes an event about it void.
    pub(super) version: u32,
    /// Requests that have not reached the sender yet, oldest first.
    pub(super) coming: VecDeque<Job>,
    /// Requests that it works on, the first one now.
    pub(super) jobs: VecDeque<Job>,
    pub(super) transfer: Option<TransferId>,
    pub(super) queued: bool,
    /// Bytes of the current chunk that its receiver has heard of.
    pub(super) reported: u64,
}

/// What is left of a request.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) request: RequestId,
    pub(super) chunks: Range<u32>,
    /// Set once a source sends it.
    pub(super) admitted: Option<AdmittedRun<u32>>,
}

impl Ledger {
    /// Nothing sent yet.
    pub(super) fn new(chunks: u32) -> Self {
        Self {
            firsts: FirstCopies::new(chunks),
            sent: ChunkSet::empty(chunks),
        }
    }
}

/// An id for a host. Ids come in another order than hosts, or all plans would prefer the same ones.
pub(super) fn peer_id(host: u32) -> PeerId {
    let mut mixed = u64::from(host).wrapping_add(0x9e37_79b9_7f4a_7c15);
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
        mixed = (mixed ^ (mixed >> shift)).wrapping_mul(factor);
    }
    let mut id = [0; 32];
    id[..8].copy_from_slice(&mixed.to_be_bytes());
    id[8..12].copy_from_slice(&host.to_be_bytes());
    PeerId::new(Hash::from_bytes(id))
}

/// The host of an id.
pub(super) fn host_of(peer: PeerId) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&peer.hash().as_bytes()[8..12]);
    u32::from_be_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_host() {
        for host in [0, 1, 255, 256, 9_999, u32::MAX] {
            assert_eq!(host_of(peer_id(host)), host);
        }
        assert!(!(0..20).map(peer_id).is_sorted());
    }
}
