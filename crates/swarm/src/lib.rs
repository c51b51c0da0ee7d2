//! Decides which peer sends which chunk, and which peers are alive. Nothing here opens a socket,
//! reads a file or asks the time: the driver in `lanspread-peer` feeds inputs and carries out actions.
//!
//! * [`Plan`] is one download of one manifest. It promises that a chunk is wanted, in flight, or here,
//!   never two of these; that it is asked for twice only when nothing else is left to ask; and that the
//!   download finishes while one honest peer with every chunk stays reachable.
//! * [`PeerTable`] is who is out there: whom to dial, when to try again, whom to ping, whom to drop.
//!
//! Both are machines with one way in (`handle`) and one way out (`poll_action`); time is an argument
//! and chance is a seed, so that the same inputs give the same actions. Neither ever believes a peer:
//! a chunk counts when the driver says that its hash was right and that it is stored.

mod flight;
mod peer;
mod pick;
mod plan;
mod rate;
mod table;
mod words;

pub use plan::Plan;
pub use table::{
    DropReason, LinkId, PeerTable, TableAction, TableConfig, TableInput, Whereabouts, WhyGone,
    keeps,
};
pub use words::{Action, Holding, Input, PlanConfig, PlanFailure, Progress, RequestId, RunFailure};
