//! What goes into a [`Mesh`](crate::Mesh) and what comes out.

use lanspread_proto::PeerId;

/// What a mesh is made from.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// Ourselves, who is never invited.
    pub me: PeerId,
    /// Decides whom to invite.
    pub seed: u64,
    /// Whether this host lacks something of the payload.
    pub wants: bool,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MeshInput {
    /// A connected peer offers this payload, or what was said of it has changed.
    Known {
        /// Who.
        peer: PeerId,
        /// Whether no thin link is between us; true where there are no groups.
        near: bool,
        /// Whether it has everything, so that only who lacks something is of use to it.
        complete: bool,
    },
    /// A peer is gone, or offers this payload no longer.
    Gone {
        /// Who.
        peer: PeerId,
    },
    /// A peer asks us to be its neighbour.
    Invited {
        /// Who.
        peer: PeerId,
        /// How many neighbours it has.
        neighbours: u32,
    },
    /// A peer is our neighbour from now on, as we asked.
    Accepted {
        /// Who.
        peer: PeerId,
    },
    /// A peer is not our neighbour.
    Declined {
        /// Who.
        peer: PeerId,
    },
    /// A peer is our neighbour no longer.
    Parted {
        /// Who.
        peer: PeerId,
    },
    /// This host has everything now.
    Finished,
    /// The time of [`Mesh::next_deadline`](crate::Mesh::next_deadline) has come.
    Tick,
}

/// What to tell a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MeshAction {
    /// Ask it to be our neighbour.
    Invite {
        /// Whom.
        peer: PeerId,
        /// How many neighbours we have.
        neighbours: u32,
    },
    /// It is our neighbour, as it asked.
    Accept {
        /// Whom.
        peer: PeerId,
    },
    /// It is not our neighbour.
    Decline {
        /// Whom.
        peer: PeerId,
    },
    /// It is our neighbour no longer.
    Part {
        /// Whom.
        peer: PeerId,
    },
}
