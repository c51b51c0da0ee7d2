//! What is simulated.

use std::time::Duration;

/// How receivers learn what others are fetching already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Hints {
    /// Not at all.
    Off,
    /// Each tells its neighbours what it has asked for, with what it gained.
    Pushed,
    /// Who has everything refuses what it has sent to another, while others wait for what it has sent
    /// to nobody, and says what is out.
    #[default]
    Source,
}

/// Who exchanges chunks with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Neighbours {
    /// Everyone with everyone whom it knows.
    All,
    /// As the [`Mesh`](crate::Mesh) of each host decides.
    #[default]
    Mesh,
}

/// Who is in the room and what joins them.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// Hosts that want everything; one more has it.
    pub receivers: u32,
    /// The sizes of the payload's files in bytes.
    pub sizes: Vec<u64>,
    /// Each host's capacity, up and down alike, in bytes per second.
    pub link: u64,
    /// The part of what a wire carries that is not payload, 0 to 1: 0.05 on a real network.
    pub headers: f64,
    /// From a request to its answer's first byte.
    pub round_trip: Duration,
    /// What a request costs its sender's wire before the first byte: headers, and a moment's work.
    pub request_overhead: Duration,
    /// What a host's disk writes, in bytes per second; `None`: faster than any wire.
    pub disk: Option<u64>,
    /// Switches, at least 1; the source is at the first, receivers are dealt out in turn.
    pub switches: u32,
    /// What joins each switch to the core, each way, in bytes per second.
    pub joint: u64,
    /// Whether hosts know who is at their switch, and have most of their neighbours there.
    pub groups: bool,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trouble {
    /// Receivers that begin late, when this part of the floor is over.
    pub late: u32,
    /// That part, 0 to 1.
    pub late_at: f64,
    /// Receivers that go away once, for a twentieth of the floor, at a random time.
    pub churning: u32,
    /// Further hosts that claim to have everything and send wrong bytes.
    pub liars: u32,
    /// Further hosts that claim to have everything and send nothing.
    pub stallers: u32,
    /// Receivers whose link has a tenth of the capacity; their end is not waited for.
    pub slow: u32,
    /// Whether the source goes once it has sent every chunk.
    pub source_leaves: bool,
}

/// How hosts behave.
#[derive(Debug, Clone, PartialEq)]
pub struct Manner {
    /// Who exchanges chunks with whom.
    pub neighbours: Neighbours,
    /// Other hosts that a host knows; `None`: everyone.
    pub known: Option<u32>,
    /// Transfers that a host serves at once; who is more waits in turn.
    pub slots: u32,
    /// How receivers learn what others fetch.
    pub hints: Hints,
    /// The least time between two announcements of gained chunks.
    pub batch: Duration,
}

/// One simulation: the same scenario and seed give the same trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Who and where.
    pub room: Room,
    /// What goes wrong.
    pub trouble: Trouble,
    /// How hosts behave.
    pub manner: Manner,
    /// Chunks of a part of a MiB, this being the divisor.
    pub fine: u64,
    /// Virtual time after which the simulation gives up.
    pub limit: Duration,
}

impl Scenario {
    /// So many receivers that start together in a quiet room, one source, one file.
    pub fn new(seed: u64, receivers: u32, size_bytes: u64, link_bytes_per_second: u64) -> Self {
        Self {
            seed,
            room: Room {
                receivers,
                sizes: vec![size_bytes],
                link: link_bytes_per_second,
                headers: 0.0,
                round_trip: Duration::from_millis(1),
                request_overhead: Duration::from_micros(200),
                disk: None,
                switches: 1,
                joint: u64::MAX,
                groups: false,
            },
            trouble: Trouble::default(),
            manner: Manner {
                neighbours: Neighbours::default(),
                known: None,
                slots: 32,
                hints: Hints::default(),
                batch: Duration::from_millis(10),
            },
            fine: 1,
            limit: Duration::from_hours(24),
        }
    }

    /// The least time in which anybody can have everything.
    pub fn floor(&self) -> Duration {
        let bytes: u64 = self.room.sizes.iter().sum();
        super::units::time_for(
            super::units::fraction(bytes),
            super::units::fraction(self.room.link),
        )
    }

    /// Bytes in the unit of the chunks that are simulated, of which one always has a MiB.
    pub(super) fn chunked(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(self.fine.max(1))
    }

    /// The other way round.
    pub(super) fn unchunked(&self, bytes: u64) -> u64 {
        bytes / self.fine.max(1)
    }

    /// What a wire carries of payload, in the unit of the chunks.
    pub(super) fn payload_rate(&self, wire: u64) -> u64 {
        let payload = super::units::fraction(wire) * (1.0 - self.room.headers);
        self.chunked(super::units::whole(payload)).max(1)
    }
}
