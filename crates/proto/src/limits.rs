//! Every limit of lanspread, each with its reason. An error that comes from one names it.
//!
//! Nothing here is a knob: what an operator may change (connections per address, the free-space
//! reserve) is a field of the runtime's configuration whose default stands here.

use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// One control frame: large enough for a page of a few thousand files, small enough that 512 peers
/// can each have one in memory.
pub const CONTROL_FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Files and empty folders of one manifest; a larger game exists nowhere and would only eat memory.
pub const MANIFEST_ENTRIES_MAX: usize = 200_000;

/// The pages of one manifest's header together.
pub const MANIFEST_HEADER_BYTES_MAX: u64 = 64 * MIB;

/// The sentinel's content travels inside the manifest.
pub const SENTINEL_BYTES_MAX: usize = 4 * 1024;

/// A whole path in UTF-8: the shortest limit of the systems we serve, with room for the game root.
pub const PATH_BYTES_MAX: usize = 1024;

/// One component in UTF-8: 255 on Linux, less the room for a temporary suffix.
pub const COMPONENT_BYTES_MAX: usize = 240;

/// One component in UTF-16 units: 255 on Windows and macOS, less the room for a temporary suffix.
pub const COMPONENT_UTF16_MAX: usize = 240;

/// Folders in folders; deeper trees only serve to exhaust stacks.
pub const PATH_DEPTH_MAX: usize = 32;

/// A game id is a folder's name and travels in every message.
pub const GAME_ID_BYTES_MAX: usize = 64;

/// A version is one short line.
pub const VERSION_BYTES_MAX: usize = 64;

/// One file.
pub const FILE_BYTES_MAX: u64 = 256 * GIB;

/// All files of one game together; keeps every sum of sizes far below `u64::MAX`.
pub const GAME_BYTES_MAX: u64 = 1024 * GIB;

/// Chunks of the largest game: one per MiB, and a short one per file.
pub const CHUNKS_MAX: u32 = 1024 * 1024 + 200_000;

/// One request for chunks: long enough to amortise the request, short enough to reassign.
pub const RUN_BYTES_MAX: u64 = 8 * MIB;

/// Chunks of one request: each may be a file of its own that has to be opened.
pub const RUN_CHUNKS_MAX: u32 = 4096;

/// One data frame of an expanded archive: large enough to amortise the frame, small enough that a
/// queue of them is little memory.
pub const EXPANDED_DATA_BYTES_MAX: usize = 256 * 1024;

/// Archives that a peer expands for others at once: each costs a core and a dictionary.
pub const EXPAND_JOBS_MAX: usize = 2;

/// Receivers that wait for such a job; the next one is told that the peer is busy.
pub const EXPAND_QUEUE_MAX: usize = 8;

/// Nesting of a JSON message; ours need four.
pub const JSON_DEPTH_MAX: usize = 16;

/// Games that one peer may announce.
pub const GAMES_PER_PEER_MAX: usize = 10_000;

/// A peer's display name, shown to people; longer ones are cut.
pub const PEER_NAME_BYTES_MAX: usize = 64;

/// A group's name: one word or two of an operator, repeated in every introduction.
pub const GROUP_NAME_BYTES_MAX: usize = 64;

/// Addresses in one answer to `GetPeers`.
pub const PEER_ADDRESSES_MAX: usize = 512;

/// Wrong chunks before a peer is dropped for the rest of the download: one may be a bad disk.
pub const BAD_CHUNKS_MAX: u32 = 3;

/// Failures of one run at one peer before that pair is not tried again.
pub const RUN_RETRIES_MAX: u32 = 3;

/// Streams that a peer may hold open towards us at once.
pub const REMOTE_STREAMS_MAX: u64 = 32;

/// Connections that this process accepts in total.
pub const CONNECTIONS_MAX: usize = 512;

/// Connections from one address; loopback, where a whole demo lives, is exempt.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 8;

/// Lanes that one peer may have to us: twice the requests of full size that we ask one peer for at once.
pub const LANES_PER_PEER_MAX: usize = 32;

/// Lanes from all peers together: each is a file descriptor and a few hundred KiB while it sends.
pub const LANES_MAX: usize = 512;

/// Handshakes in flight before a newcomer must first prove its address (QUIC Retry).
pub const HANDSHAKES_IN_FLIGHT_MAX: usize = 64;

/// Peers that the tables remember.
pub const PEERS_MAX: usize = 512;

/// Payload bytes that the whole process holds between network and disk.
pub const BUFFERED_BYTES_MAX: u64 = 128 * MIB;

/// What an embedder keeps for one installed game, as JSON: settings, not data.
pub const LAUNCH_SETTINGS_BYTES_MAX: u64 = 64 * 1024;

/// From the first packet to an authenticated connection.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// From an opened stream to its first complete frame.
pub const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// From a frame's first byte to its last.
pub const WHOLE_FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// Without a byte for this long, a run goes to another peer.
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Without progress from anyone for this long, a download is reported as stalled.
pub const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Without any source for this long, a download is reported as stalled: long enough for a connection
/// that broke to come back, and no longer.
pub const NO_SOURCE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection without any packet is gone.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A lane on which nobody asks for anything is closed after this.
pub const LANE_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A quiet connection is pinged this often.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// What a download leaves free on the disk, at least.
pub const RESERVE_BYTES_MIN: u64 = GIB;

/// What a download leaves free on the disk, as a fraction of the whole: one in this many.
pub const RESERVE_FRACTION: u64 = 100;

/// A value met a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {actual}, the limit is {limit}")]
pub struct LimitExceeded {
    /// What was measured, in words: `"manifest entries"`.
    pub what: &'static str,
    /// What was found, in the unit of `what`.
    pub actual: u64,
    /// The limit, in the same unit.
    pub limit: u64,
}

/// Refuses `actual` above `limit`.
///
/// # Errors
/// [`LimitExceeded`] with the three values.
pub fn check(what: &'static str, actual: u64, limit: u64) -> Result<(), LimitExceeded> {
    if actual > limit {
        Err(LimitExceeded {
            what,
            actual,
            limit,
        })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_at_n_and_refuses_n_plus_one() {
        assert_eq!(check("things", 7, 7), Ok(()));
        let refused = check("things", 8, 7).unwrap_err();
        assert_eq!(refused.to_string(), "things is 8, the limit is 7");
    }
}
