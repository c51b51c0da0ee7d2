//! Requests under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Instant,
};

use lanspread_proto::PeerId;

use crate::{pick::Shelf, words::RequestId};

/// One request under way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) peer: PeerId,
    /// The first chunk that is not answered yet, to the end of the run.
    pub(crate) left: Range<u32>,
    /// Bytes of the chunks in `left` that did not arrive yet.
    pub(crate) left_bytes: u64,
    /// Bytes that arrived of the chunk at the front.
    partial_bytes: u64,
    pub(crate) last_progress: Instant,
    pub(crate) started: bool,
}

/// All requests under way, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    by_id: BTreeMap<RequestId, Flight>,
    bytes: u64,
    next_id: u64,
    /// Chunks that two requests ask for, which the end phase alone does.
    pub(crate) asked_twice: BTreeSet<u32>,
}

impl Flights {
    /// The bytes asked for that did not arrive yet.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// One request, unless it ended.
    pub(crate) fn get(&self, request: RequestId) -> Option<&Flight> {
        self.by_id.get(&request)
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, &Flight)> {
        self.by_id
            .iter()
            .map(|(request, flight)| (*request, flight))
    }

    /// The requests to one peer.
    pub(crate) fn of(&self, peer: PeerId) -> Vec<RequestId> {
        self.iter()
            .filter(|(_, flight)| flight.peer == peer)
            .map(|(request, _)| request)
            .collect()
    }

    /// Starts a request for chunks of so many bytes together.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        peer: PeerId,
        chunks: Range<u32>,
        bytes: u64,
    ) -> RequestId {
        let request = RequestId(self.next_id);
        self.next_id += 1;
        self.bytes += bytes;
        let flight = Flight {
            peer,
            left: chunks,
            left_bytes: bytes,
            partial_bytes: 0,
            last_progress: now,
            started: false,
        };
        self.by_id.insert(request, flight);
        request
    }

    /// Counts bytes of an incomplete chunk; gives the peer and how many of them were still missing.
    pub(crate) fn take_bytes(
        &mut self,
        now: Instant,
        request: RequestId,
        bytes: u64,
    ) -> Option<(PeerId, u64)> {
        let flight = self.by_id.get_mut(&request)?;
        let fresh = bytes.min(flight.left_bytes);
        flight.partial_bytes += fresh;
        flight.left_bytes -= fresh;
        self.bytes -= fresh;
        flight.last_progress = now;
        flight.started = true;
        Some((flight.peer, fresh))
    }

    /// Counts a chunk as answered, whether it was right or wrong.
    pub(crate) fn take_chunk(
        &mut self,
        now: Instant,
        request: RequestId,
        chunk: u32,
        sizes: &Shelf,
    ) -> Option<Taken> {
        let flight = self.by_id.get_mut(&request)?;
        if !flight.left.contains(&chunk) {
            return None;
        }
        let skipped = flight.left.start..chunk;
        let answered = sizes.bytes_of(flight.left.start..chunk + 1);
        flight.left.start = chunk + 1;
        let fresh = answered.saturating_sub(flight.partial_bytes);
        flight.partial_bytes = flight.partial_bytes.saturating_sub(answered);
        flight.left_bytes -= fresh;
        self.bytes -= fresh;
        flight.last_progress = now;
        flight.started = true;
        Some(Taken {
            peer: flight.peer,
            fresh_bytes: fresh,
            skipped,
        })
    }

    /// Forgets a request and gives what it was.
    pub(crate) fn end(&mut self, request: RequestId) -> Option<Flight> {
        let flight = self.by_id.remove(&request)?;
        self.bytes -= flight.left_bytes;
        Some(flight)
    }
}

/// What an answered chunk changed.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) peer: PeerId,
    /// Bytes that were not counted before.
    pub(crate) fresh_bytes: u64,
    /// Chunks of the request before this one that were never answered.
    pub(crate) skipped: Range<u32>,
}
