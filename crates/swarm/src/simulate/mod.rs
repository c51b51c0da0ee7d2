//! A room of any size in virtual time, running the real [`Plan`](crate::Plan) of every receiver and the real
//! [`Mesh`](crate::Mesh) of every host.
//!
//! ```
//! use lanspread_swarm::simulate::{Scenario, simulate};
//!
//! // Eight receivers, 64 MiB, 100 Mbit/s.
//! let report = simulate(&Scenario::new(1, 8, 64 << 20, 100_000_000 / 8));
//! assert_eq!(report.unfinished, 0);
//! assert!(report.efficiency() > 0.7);
//! ```
//!
//! An event heap and one seed: the same scenario gives the same trace. Hosts have a link whose capacity
//! is shared equally among their transfers, each way; switches may be joined by thinner links; a server
//! has a number of slots and a queue, a request has a round trip and an overhead, a disk may be slow.
//! Receivers may come late, go and return; others lie or stall.
//!
//! Who sends whom what is decided by real plans and meshes. Connections are simply there: the peer table, pings,
//! the climb of a congestion window, lost packets and the processor are not simulated. Chunks of one wire
//! come in the order in which they were asked for.

mod drive;
mod events;
mod host;
mod meet;
mod network;
mod report;
mod scenario;
mod serve;
mod topology;
mod units;
mod world;

pub use report::{Joint, Report};
pub use scenario::{Hints, Manner, Neighbours, Room, Scenario, Trouble};

/// Runs a scenario to its end.
///
/// # Panics
/// When a plan breaks a promise: asks whom it does not know, or asks for what that peer never said it
/// has, finishes without everything, or fails (which it does when all who have anything lie).
pub fn simulate(scenario: &Scenario) -> Report {
    world::World::new(scenario).run()
}
