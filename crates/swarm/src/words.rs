//! What goes into a [`Plan`](crate::Plan) and what comes out.

use std::{sync::Arc, time::Duration};

use lanspread_proto::{ChunkIndex, ChunkMap, ChunkRun, ChunkSet, GroupName, PeerId, limits};

/// Somebody who has some of the payload or wants it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Who.
    pub peer: PeerId,
    /// The group that it says it is in.
    pub group: Option<GroupName>,
    /// Whether it lacks something, or did until lately.
    pub lacks_some: bool,
}

/// What a plan is made from.
#[derive(Debug, Clone)]
pub struct PlanConfig {
    /// Decides ties and starting places. Receivers need different ones, so that those that fetch from
    /// one source at the same time fetch different parts and can serve each other.
    pub seed: u64,
    /// The payload.
    pub chunks: Arc<ChunkMap>,
    /// The chunks that are here already, verified and stored; of the payload's size.
    pub stored: ChunkSet,
    /// Bytes that may be asked for or waiting for the disk at once, over all peers.
    pub outstanding_bytes_max: u64,
}

impl PlanConfig {
    /// A plan that may use half of what the process may buffer, which leaves the other half to serving.
    pub fn new(seed: u64, chunks: Arc<ChunkMap>, stored: ChunkSet) -> Self {
        Self {
            seed,
            chunks,
            stored,
            outstanding_bytes_max: limits::BUFFERED_BYTES_MAX / 2,
        }
    }
}

/// One request for one run, unique within its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// Which chunks a peer says that it can send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    /// All of them.
    Everything,
    /// These; what is beyond the payload is ignored.
    Only(ChunkSet),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A connected peer offers this manifest, or says anew what it has of it. Requests that are under
    /// way go on.
    PeerJoined {
        /// Who.
        peer: PeerId,
        /// What it has.
        has: Holding,
    },
    /// A peer has more chunks than it had.
    PeerGained {
        /// Who.
        peer: PeerId,
        /// The new ones.
        chunks: Vec<ChunkRun>,
    },
    /// A peer is gone, or offers this manifest no longer. Its requests are cancelled.
    PeerLeft {
        /// Who.
        peer: PeerId,
    },
    /// Which hosts thin links part from ours: those of other groups. Across them each chunk is fetched by one member.
    /// Said anew when that changes; until it is said, everybody is near.
    Groups {
        /// Ourselves.
        me: PeerId,
        /// The group that we are in.
        ours: GroupName,
        /// All who have some of the payload or want it, ourselves or not.
        members: Arc<[Member]>,
    },
    /// Others are fetching these chunks now, so that somebody will soon have them: they are as good as
    /// held by one peer more. Forgotten after a while.
    Expected {
        /// Which.
        chunks: Vec<ChunkRun>,
    },
    /// A measured round trip.
    RoundTrip {
        /// To whom.
        peer: PeerId,
        /// How long.
        rtt: Duration,
    },
    /// Bytes of a chunk that is not complete yet arrived: what keeps a slow peer alive. Each byte is
    /// reported here or by its `ChunkArrived`; a byte reported here is not counted again there.
    BytesArrived {
        /// Which request.
        request: RequestId,
        /// How many, since the last report.
        bytes: u64,
    },
    /// A whole chunk arrived with the right hash and is being written. A request's chunks come in order.
    ChunkArrived {
        /// Which request; one that the plan has forgotten counts too.
        request: RequestId,
        /// Which chunk.
        chunk: ChunkIndex,
    },
    /// A chunk is written and can be served.
    ChunkStored {
        /// Which.
        chunk: ChunkIndex,
    },
    /// A whole chunk arrived with a wrong hash and was thrown away.
    ChunkRejected {
        /// Which request.
        request: RequestId,
        /// Which chunk.
        chunk: ChunkIndex,
    },
    /// A request's stream ended as it should.
    RequestFinished {
        /// Which.
        request: RequestId,
    },
    /// A request ended early.
    RequestFailed {
        /// Which.
        request: RequestId,
        /// Why.
        reason: RunFailure,
    },
    /// The time of [`Plan::next_deadline`](crate::Plan::next_deadline) has come.
    Tick,
}

/// Why a request for a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RunFailure {
    /// The peer does not serve this game to us.
    #[error("the peer refused")]
    Refused,
    /// The peer serves others and asks to come back later; never counted against it.
    #[error("the peer was busy")]
    Busy,
    /// The peer is sending these chunks to others, and would rather send what nobody has; `Expected` has
    /// said which they are. Never counted against it.
    #[error("the peer sends that to others first")]
    Elsewhere,
    /// The peer does not have these chunks; it is not asked for them again until it says that it has.
    #[error("the peer did not have it")]
    NotHere,
    /// The stream was reset or ended short.
    #[error("the stream was reset")]
    Reset,
    /// The peer's files changed, so that it has nothing of this manifest until it says so again.
    #[error("the game changed at the peer")]
    GameChanged,
    /// The connection broke; `PeerLeft` follows if it stays so.
    #[error("the connection was lost")]
    ConnectionLost,
}

/// What the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Open a stream and ask for a run of at most [`limits::RUN_BYTES_MAX`].
    Request {
        /// Its id from now on.
        request: RequestId,
        /// Whom to ask.
        peer: PeerId,
        /// What for.
        run: ChunkRun,
    },
    /// Stop a request's stream. The plan has forgotten it; inputs that cross this action are harmless.
    Cancel {
        /// Which.
        request: RequestId,
    },
    /// Drop a peer for the rest of this download: it sent wrong bytes too often. `Cancel` was said for
    /// each of its requests.
    Distrust {
        /// Who.
        peer: PeerId,
        /// How many wrong chunks it sent.
        bad_chunks: u32,
    },
    /// Nothing came from anyone for [`limits::STALL_TIMEOUT`], or nobody has offered this manifest for
    /// [`limits::NO_SOURCE_TIMEOUT`]. The plan goes on trying.
    Stalled,
    /// Bytes came again.
    Resumed,
    /// The download cannot be completed. The last action.
    Failed(PlanFailure),
    /// All chunks are stored. The last action.
    Finished,
}

/// Why a plan gave up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFailure {
    /// Every peer that had what is missing was dropped for wrong bytes.
    #[error("every source sent wrong bytes ({distrusted} dropped)")]
    AllSourcesCorrupt {
        /// How many peers were dropped.
        distrusted: u32,
    },
    /// No peer is left that has not failed at this chunk [`limits::RUN_RETRIES_MAX`] times.
    #[error(
        "chunk {} failed {} times at every peer that has it",
        chunk.get(),
        limits::RUN_RETRIES_MAX
    )]
    RetriesExhausted {
        /// A chunk that cannot be had.
        chunk: ChunkIndex,
        /// The last peer that failed.
        peer: PeerId,
        /// How it failed.
        #[source]
        cause: RunFailure,
    },
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes stored, those that were there at the start included.
    pub stored_bytes: u64,
    /// Bytes of the whole payload.
    pub total_bytes: u64,
    /// Chunks stored, those that were there at the start included.
    pub stored_chunks: u32,
    /// Chunks of the whole payload.
    pub total_chunks: u32,
    /// Peers that sent something within the last two seconds and still have something to send.
    pub peers_streaming: u32,
    /// What arrives from all peers together, smoothed over half a second.
    pub bytes_per_second: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_says_what_happened() {
        let map = ChunkMap::new(vec![1]);
        let causes = [
            (RunFailure::Refused, "the peer refused"),
            (RunFailure::Busy, "the peer was busy"),
            (RunFailure::Elsewhere, "the peer sends that to others first"),
            (RunFailure::NotHere, "the peer did not have it"),
            (RunFailure::Reset, "the stream was reset"),
            (RunFailure::GameChanged, "the game changed at the peer"),
            (RunFailure::ConnectionLost, "the connection was lost"),
        ];
        for (cause, text) in causes {
            assert_eq!(cause.to_string(), text);
        }
        let corrupt = PlanFailure::AllSourcesCorrupt { distrusted: 2 };
        assert_eq!(
            corrupt.to_string(),
            "every source sent wrong bytes (2 dropped)"
        );
        let exhausted = PlanFailure::RetriesExhausted {
            chunk: map.check(0).unwrap(),
            peer: PeerId::new(lanspread_proto::Hash::from_bytes([7; 32])),
            cause: RunFailure::Reset,
        };
        assert_eq!(
            exhausted.to_string(),
            "chunk 0 failed 3 times at every peer that has it"
        );
        let source = std::error::Error::source(&exhausted).unwrap();
        assert_eq!(source.to_string(), "the stream was reset");
    }
}
