//! QUIC, TCP and TLS: the only place that names `s2n_quic`. Another transport could take its place.
//!
//! An [`Endpoint`] dials, an [`Incoming`] yields connections that others dialled, both as a [`Link`]
//! and its [`LinkStreams`]: authenticated, with the peer's identity read from its certificate. A stream
//! that is dropped before [`SendHalf::finish`] is reset, so that truncation never looks like an end.

mod endpoint;
mod error;
mod guard;
mod identity;
mod lane;
mod seats;
mod stream;
mod tls;

pub(crate) use endpoint::{
    Endpoint, EndpointConfig, HandshakeRefused, Incoming, Link, LinkStreams,
};
pub(crate) use error::{CloseCode, DialError, LinkClosed, ResetCode, WireError};
pub(crate) use identity::Identity;
#[cfg(test)]
pub(crate) use lane::{LANES_MAX, Lanes};
pub(crate) use lane::{LaneListener, ServedLane};
pub(crate) use stream::{RecvHalf, SendHalf};
