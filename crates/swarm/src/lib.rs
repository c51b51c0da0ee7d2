//! Decides which peer sends which chunk, and which peers are alive. Nothing here opens a socket,
//! reads a file or asks the time: the driver in `lanspread-peer` feeds inputs and carries out actions.
//!
//! * [`Plan`] is one download of one manifest. It promises that a chunk is wanted, in flight, or here,
//!   never two of these; that it is asked for twice only when nothing else is left to ask; and that the
//!   download finishes while one honest peer with every chunk stays reachable.
//! * [`FirstCopies`] is the sender's side of many downloads of one payload: what it would rather send.
//! * [`Mesh`] is with whom a host exchanges chunks of one payload: few, mutual, and dealt anew.
//! * [`PeerTable`] is who is out there: whom to dial, when to try again, whom to ping, whom to drop.
//!
//! # Policy
//!
//! * Rarest first; a chunk that others are known to be fetching counts as held once.
//! * Every neighbour that has something to offer is asked. Asking some of many at random was worse (30 receivers of
//!   1 GiB at 1 Gbit/s: 1.63 floors instead of 1.09), since some were then asked by many and others by nobody. So the
//!   bound is on *mutual* neighbours, as many for everybody ([`Mesh`]): 200 receivers of 50 GiB take 1.03 floors with 16.
//! * Who is told of a thin link ([`Input::Groups`]) leaves what no near peer has to the member whose turn it is, and
//!   what no group has fetched yet to the group whose share it is: four switches of 50 with 2 GiB each then take 1.20
//!   floors instead of 2.95, and at most 1.4 copies over a joint either way instead of 6.7.
//! * A source sends each byte once before any twice: it refuses what it has sent to another while two
//!   or more are being sent what nobody had ([`FirstCopies`], [`RunFailure::Elsewhere`]), and says what
//!   is out ([`Input::Expected`]). Eight receivers of 256 MiB at 100 Mbit/s, five seeds: at worst 1.04 floors,
//!   against 1.09 when receivers tell each other what they ask for, and 1.25 without hints.
//! * Everybody serves everybody at once, in equal shares. Fewer uploads at a time, each faster, were worse: some links
//!   then stand idle while others are asked by many (16 receivers of 128 MiB at 50 Mbit/s, with 12 slots each 1.27
//!   floors, with 4 of them 1.34, without a bound 1.13). What is asked of a peer that was never asked before is one
//!   chunk, so that in the beginning the first whole chunks come as early as they can. Serving the first runs in turn
//!   was worse too (at best 1.19); smaller chunks are what helps (256 KiB: 1.05).
//!
//! [`simulate`] measured these; `docs/simulator.md` has the table and the commands.
//!
//! Plan, mesh and table have one way in (`handle`) and one way out (`poll_action`); everywhere time is an argument
//! and chance is a seed, so that the same inputs give the same actions. Neither ever believes a peer:
//! a chunk counts when the driver says that its hash was right and that it is stored.

mod firsts;
mod flight;
mod mesh;
mod peer;
mod pick;
mod plan;
mod rate;
pub mod simulate;
mod table;
mod words;

pub use firsts::{AdmittedRun, FirstCopies};
pub use mesh::{Mesh, MeshAction, MeshConfig, MeshInput};
pub use plan::Plan;
pub use table::{
    DropReason, LinkId, PeerTable, TableAction, TableConfig, TableInput, Whereabouts, WhyGone,
    keeps,
};
pub use words::{
    Action, Holding, Input, Member, PlanConfig, PlanFailure, Progress, RequestId, RunFailure,
};
