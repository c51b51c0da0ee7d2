//! How lanspread peers find each other on a LAN.
//!
//! A [`Discovery`] announces this peer and tells of others; [`MdnsDiscovery`] does it by multicast
//! DNS, [`MemoryDiscovery`] inside one process. A [`CandidateTable`] decides whom to dial, and when.
//!
//! Promises: everything that is heard is bounded, in memory and in the dials it causes; a flood of
//! false announcements delays a real peer by seconds at most; [`Discovery::withdraw`] ends in time.
//!
//! What this crate never does: it never trusts what it hears. Anybody on the LAN can say anything in
//! multicast DNS, in anybody's name, a goodbye included. All that comes out of here are candidates;
//! who a peer is, the handshake proves, and whether it is alive, the connection shows.
//!
//! This is the only crate that names `mdns_sd`.

mod announcement;
mod interface;
mod memory;
mod real;
mod record;
mod session;
mod status;
mod table;

use std::pin::Pin;

use lanspread_proto::PeerId;
use tokio::sync::mpsc;

pub use announcement::{
    Announcement, CANDIDATE_ADDRESSES_MAX, Candidate, PARTY_HINT_BYTES_MAX, PartyHint,
    PartyHintError, Sighting,
};
pub use interface::InterfaceFilter;
pub use memory::{MemoryDiscovery, MemoryNetwork};
pub use real::{MDNS_PORT, MdnsConfig, MdnsDiscovery};
pub use status::{DiscoveryStatus, Reach};
pub use table::{
    CANDIDATES_MAX, CandidateTable, DIAL_TIMEOUT, Dial, DialOutcome, FRESH_DIALS_MAX,
    RETRY_DIALS_MAX,
};

/// Sightings that wait for their reader.
pub const SIGHTINGS_QUEUE_MAX: usize = 512;

/// A withdrawal under way: resolves when the goodbye is said or its time is over.
pub type Withdrawal<'a> = Pin<Box<dyn Future<Output = Result<(), DiscoveryError>> + Send + 'a>>;

/// Tells the LAN about this peer, and this peer about the LAN.
///
/// One value serves one peer, whose id it was made with; it never reports that peer to itself.
pub trait Discovery: Send + Sync + 'static {
    /// Announces this peer, or replaces what was announced before.
    ///
    /// Returns before the announcement is sent. Frequent updates are merged: the last one counts.
    ///
    /// # Errors
    /// [`DiscoveryError::NoPort`] for port 0, [`DiscoveryError::Withdrawn`] after a withdrawal.
    fn announce(&self, announcement: Announcement) -> Result<(), DiscoveryError>;

    /// Subscribes to what is seen; everything that is present now is told first.
    ///
    /// There is one subscription: a new one ends the former. A receiver ends when it was replaced,
    /// when its reader fell too far behind (subscribe again), or after [`Discovery::withdraw`].
    fn sightings(&self) -> mpsc::Receiver<Sighting>;

    /// Ends the subscription, and with it the traffic that listening costs, until the next
    /// [`sightings`](Self::sightings). This peer is still announced, and seen by whoever listens.
    fn rest(&self);

    /// Says goodbye and stops, within about a second. Again does nothing.
    ///
    /// # Errors
    /// [`DiscoveryError::GoodbyeTimedOut`]; discovery has stopped all the same.
    fn withdraw(&self) -> Withdrawal<'_>;
}

/// Why discovery could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The operating system gave no thread or no poller to the multicast DNS daemon.
    #[error("could not start multicast DNS for {}", peer.short())]
    Start {
        /// The peer that wanted to be found.
        peer: PeerId,
        /// What the daemon said.
        #[source]
        source: mdns_sd::Error,
    },
    /// Started outside of a tokio runtime.
    #[error("multicast DNS for {} needs a running tokio runtime", peer.short())]
    NoRuntime {
        /// The peer that wanted to be found.
        peer: PeerId,
    },
    /// An announcement of port 0, where nobody can be reached.
    #[error("could not announce {}: port 0 cannot be dialled", peer.short())]
    NoPort {
        /// The peer that wanted to be found.
        peer: PeerId,
    },
    /// An announcement after the withdrawal.
    #[error("could not announce {}: it was withdrawn", peer.short())]
    Withdrawn {
        /// The peer that wanted to be found.
        peer: PeerId,
    },
    /// The daemon did not stop in time; other peers learn of it when the records expire.
    #[error("the goodbye of {} was not confirmed in time", peer.short())]
    GoodbyeTimedOut {
        /// The peer that left.
        peer: PeerId,
    },
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use lanspread_proto::Hash;

    use super::*;

    #[test]
    fn every_error_names_the_act_and_the_peer() {
        let peer = PeerId::new(Hash::of(b"a"));
        let errors = [
            DiscoveryError::Start {
                peer,
                source: mdns_sd::Error::Again,
            },
            DiscoveryError::NoRuntime { peer },
            DiscoveryError::NoPort { peer },
            DiscoveryError::Withdrawn { peer },
            DiscoveryError::GoodbyeTimedOut { peer },
        ];
        for error in &errors {
            assert!(error.to_string().contains(&peer.short()), "{error}");
            assert_eq!(
                error.source().is_some(),
                matches!(error, DiscoveryError::Start { .. })
            );
        }
    }
}
