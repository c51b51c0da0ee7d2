//! What will happen, in order.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use crate::{MeshInput, words::RequestId};

/// What happens at some time; hosts and wires by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// A receiver begins, or begins again.
    Start { host: u32 },
    /// A host goes away.
    Leave { host: u32 },
    /// A plan asked to be woken.
    Wake { host: u32 },
    /// A request reaches whom it asks.
    Asked { wire: u32, request: RequestId },
    /// A piece on a wire is complete, unless the wire has changed since.
    Flow { wire: u32, version: u32 },
    /// Shares follow what changed.
    Settle,
    /// A host tells its neighbours what it gained.
    Announce { host: u32 },
    /// A host's disk has written a chunk.
    Stored { host: u32, chunk: u32 },
    /// A host's mesh hears of another host.
    Told {
        host: u32,
        by: u32,
        input: MeshInput,
    },
    /// A mesh asked to be woken.
    Tick { host: u32 },
    /// A figure for the curve.
    Sample,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    at: Duration,
    /// Of two events at one time the one that was scheduled first happens first.
    number: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The heap of events.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Entry>>,
    number: u64,
}

impl Events {
    /// Something will happen.
    pub(super) fn at(&mut self, at: Duration, event: Event) {
        self.number += 1;
        let number = self.number;
        self.heap.push(Reverse(Entry { at, number, event }));
    }

    /// The next thing that happens.
    pub(super) fn next(&mut self) -> Option<(Duration, Event)> {
        let Reverse(Entry { at, event, .. }) = self.heap.pop()?;
        Some((at, event))
    }
}
