//! [`PeerTable`]: whom to dial, when to try again, whom to ping, whom to drop.
//!
//! An address is not an identity: what is dialled is a *contact* (an address, with the id that is
//! expected there or was found there), what is alive is a *link* (one connection to one [`PeerId`]).
//!
//! | contact | becomes | when |
//! |---|---|---|
//! | known | dialling | its turn has come, and its peer is not linked already |
//! | dialling | linked | `Connected` |
//! | dialling | backing off | `DialFailed`, or no answer in twice the handshake's time |
//! | linked | backing off | its link is gone |
//! | backing off | known | the pause is over |

mod contact;
mod machine;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use lanspread_proto::PeerId;

pub use machine::PeerTable;

/// Whether the connection that `dialler` opened to `accepter` stays when both dialled each other: the
/// smaller id's does. Both sides come to the same answer.
pub fn keeps(dialler: PeerId, accepter: PeerId) -> bool {
    dialler < accepter
}

/// What a table is made from.
#[derive(Debug, Clone)]
pub struct TableConfig {
    /// Spreads the pauses, so that a room whose switch restarts does not dial all at once.
    pub seed: u64,
    /// Ourselves: never dialled, and the tie-breaker of [`keeps`].
    pub me: PeerId,
}

/// One connection; the driver numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableInput {
    /// Somebody might be at an address.
    Candidate {
        /// Where.
        addr: SocketAddr,
        /// Who is said to be there; the handshake decides.
        peer: Option<PeerId>,
        /// Whether the operator named it: tried for ever and never evicted.
        manual: bool,
    },
    /// An address said goodbye; forgotten unless the operator named it.
    Withdrawn {
        /// Which.
        addr: SocketAddr,
    },
    /// A handshake succeeded.
    Connected {
        /// The connection.
        link: LinkId,
        /// Who it is.
        peer: PeerId,
        /// Where it can be dialled again, if that is known.
        addr: Option<SocketAddr>,
        /// Whether we dialled.
        dialled: bool,
    },
    /// A dial ended without a connection.
    DialFailed {
        /// The address.
        addr: SocketAddr,
        /// Why.
        reason: WhyGone,
    },
    /// A connection ended, other than by [`TableAction::Drop`].
    Disconnected {
        /// Which.
        link: LinkId,
        /// Why.
        reason: WhyGone,
    },
    /// Something came over a connection.
    Heard {
        /// Which.
        link: LinkId,
    },
    /// A ping was answered.
    Pong {
        /// Over which connection.
        link: LinkId,
        /// The time it took.
        rtt: Duration,
    },
    /// The time of [`PeerTable::next_deadline`] has come.
    Tick,
}

/// Why a peer is not there, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum WhyGone {
    /// Nobody answered.
    #[error("nobody answered")]
    Unreachable,
    /// The connection broke.
    #[error("the connection broke")]
    Lost,
    /// The other side closed on purpose, for example because it shuts down.
    #[error("the peer closed the connection")]
    Closed,
    /// The other side has no certificate of our party; tried again after ten minutes.
    #[error("the peer belongs to another party")]
    WrongParty,
    /// The other side speaks no protocol that we speak; tried again after ten minutes.
    #[error("the peer speaks another protocol")]
    Incompatible,
    /// It was somebody else than the expected peer.
    #[error("another peer answered")]
    WrongPeer,
    /// It was us; tried again after ten minutes, since addresses move.
    #[error("we dialled ourselves")]
    Myself,
}

/// What the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableAction {
    /// Connect, and answer with `Connected` or `DialFailed`.
    Dial {
        /// Where.
        addr: SocketAddr,
        /// Who must answer; anybody of the party if unknown.
        expected: Option<PeerId>,
    },
    /// Send a ping and answer with `Pong` when it comes back.
    Ping {
        /// Over which connection.
        link: LinkId,
    },
    /// Close a connection, which the table has forgotten. If it was the peer's last, the peer is gone.
    Drop {
        /// Which.
        link: LinkId,
        /// To whom.
        peer: PeerId,
        /// Why.
        reason: DropReason,
    },
}

/// Why the table closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// No sign of life within [`IDLE_TIMEOUT`](lanspread_proto::limits::IDLE_TIMEOUT) of a ping.
    Silent,
    /// A better connection to the same peer exists: see [`keeps`].
    Duplicate,
    /// There are [`PEERS_MAX`](lanspread_proto::limits::PEERS_MAX) peers already.
    Full,
    /// It is a connection to ourselves.
    Myself,
}

/// Where a contact is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Whereabouts {
    /// Waits for its turn to be dialled.
    Known,
    /// Being dialled.
    Dialling,
    /// Linked, through this address or another.
    Connected,
    /// Left alone until then.
    BackingOff {
        /// The end of the pause.
        until: Instant,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_says_what_happened() {
        let reasons = [
            (WhyGone::Unreachable, "nobody answered"),
            (WhyGone::Lost, "the connection broke"),
            (WhyGone::Closed, "the peer closed the connection"),
            (WhyGone::WrongParty, "the peer belongs to another party"),
            (WhyGone::Incompatible, "the peer speaks another protocol"),
            (WhyGone::WrongPeer, "another peer answered"),
            (WhyGone::Myself, "we dialled ourselves"),
        ];
        for (reason, text) in reasons {
            assert_eq!(reason.to_string(), text);
        }
    }
}
