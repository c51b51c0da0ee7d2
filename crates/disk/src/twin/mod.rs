//! The disk's twins: the same verbs, for tests of what stands on them.
//!
//! * [`RecordingDisk`] wraps any disk, counts and records every operation, and lets a rule decide
//!   about each: go on, fail with some error, or pretend.
//! * [`PowerCutDisk`] lives in memory, knows what was synced, and lists every state that a power cut
//!   could have left.
//!
//! The two go together: record and fail on top, cut the power below.

mod crash;
mod memory;
mod power;
mod recording;
mod tree;

pub use power::{PowerCutDisk, PowerCutFile};
pub use recording::{Operation, RecordingDisk, RecordingFile, Verb, Verdict};
pub use tree::{Image, ImageNode};
