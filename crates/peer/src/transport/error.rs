//! What can go wrong on the wire, and the codes by which peers tell each other.

use std::{fmt, net::SocketAddr, time::Duration};

use lanspread_proto::{PeerId, frame::FrameError, message::Refusal};
use s2n_quic::{application, connection, stream};

/// Crypto errors of QUIC are this plus a TLS alert (RFC 9001, section 4.8).
const CRYPTO_ERROR_BASE: u64 = 0x100;

/// TLS alerts by which one side says that it does not accept the other's certificate (RFC 8446,
/// section 6.2): handshake failure, bad certificate, unsupported, revoked, expired, unknown, unknown
/// authority, access denied, decrypt error, certificate required. s2n-quic tells the other side only
/// the first, whatever the cause; between two copies of this protocol there is no other one.
const CERTIFICATE_ALERTS: [u64; 10] = [40, 42, 43, 44, 45, 46, 48, 49, 51, 116];

/// Why a connection is closed, as told to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// This peer is shutting down.
    Goodbye = 1,
    /// There is another connection to the same peer.
    Duplicate = 2,
    /// What came is not the protocol.
    Protocol = 3,
    /// The peer is not the one that was meant, or it is this machine itself.
    WrongPeer = 4,
    /// A limit on connections was met.
    Limit = 5,
}

/// Why a stream is reset or not read any further, as told to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResetCode {
    /// Whoever wrote or read it has given up.
    Abandoned = 1,
    /// The files changed while they were sent.
    GameChanged = 2,
}

macro_rules! application_code {
    ($name:ident) => {
        impl From<$name> for application::Error {
            fn from(code: $name) -> Self {
                Self::new(code as u64).unwrap_or(Self::UNKNOWN)
            }
        }
    };
}

application_code!(CloseCode);
application_code!(ResetCode);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkClosed {
    /// The other side said goodbye, or we did.
    Goodbye,
    /// The other side kept another connection to us.
    Duplicate,
    /// Nothing came for too long.
    TimedOut,
    /// The two sides do not accept each other's certificates.
    PartyMismatch,
    /// Anything else.
    Lost,
}

impl LinkClosed {
    pub(super) fn of(error: connection::Error) -> Self {
        match error {
            connection::Error::Closed { .. } => Self::Goodbye,
            connection::Error::Application { error, .. } => match *error {
                code if code == CloseCode::Goodbye as u64 => Self::Goodbye,
                code if code == CloseCode::Duplicate as u64 => Self::Duplicate,
                _ => Self::Lost,
            },
            connection::Error::IdleTimerExpired { .. }
            | connection::Error::MaxHandshakeDurationExceeded { .. } => Self::TimedOut,
            connection::Error::Transport { code, .. } if is_certificate_alert(code.as_u64()) => {
                Self::PartyMismatch
            }
            _ => Self::Lost,
        }
    }
}

fn is_certificate_alert(code: u64) -> bool {
    code.checked_sub(CRYPTO_ERROR_BASE)
        .is_some_and(|alert| CERTIFICATE_ALERTS.contains(&alert))
}

impl fmt::Display for LinkClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Goodbye => "the peer said goodbye",
            Self::Duplicate => "another connection to the peer is kept",
            Self::TimedOut => "the peer does not answer",
            Self::PartyMismatch => "the peer belongs to another party",
            Self::Lost => "the connection broke",
        })
    }
}

impl std::error::Error for LinkClosed {}

/// Why a request over a link failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WireError {
    #[error(transparent)]
    Closed(LinkClosed),
    #[error("the other side reset the stream with code {code}")]
    Reset { code: u64 },
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("no {what} within {} s", after.as_secs())]
    Timeout { what: &'static str, after: Duration },
    #[error("the stream ended in the middle of {what}")]
    EndedEarly { what: &'static str },
    #[error("more bytes came than the answer declared")]
    TooManyBytes,
    #[error("the peer answered something else than {expected}")]
    Unexpected { expected: &'static str },
    #[error("the peer refused")]
    Refused(#[source] Refusal),
    #[error("what the peer sent does not hold together")]
    Invalid(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl WireError {
    pub(super) fn of_stream(error: stream::Error) -> Self {
        match error {
            stream::Error::StreamReset { error, .. } => Self::Reset { code: *error },
            stream::Error::ConnectionError { error, .. } => Self::Closed(LinkClosed::of(error)),
            _ => Self::Closed(LinkClosed::Lost),
        }
    }

    /// Whether the connection itself is gone.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

/// Why nobody could be reached at an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DialError {
    #[error("no peer answers at {addr}")]
    Unreachable {
        addr: SocketAddr,
        #[source]
        source: LinkClosed,
    },
    #[error("the peer at {addr} belongs to another party")]
    PartyMismatch { addr: SocketAddr },
    #[error("the peer at {addr} is {found}, not {expected}")]
    OtherIdentity {
        addr: SocketAddr,
        expected: PeerId,
        found: PeerId,
    },
    #[error("the peer at {addr} showed no usable certificate")]
    NoIdentity { addr: SocketAddr },
}

/// Why the network cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TransportError {
    #[error("the address cannot be bound")]
    Bind(#[source] std::io::Error),
    #[error("the certificates cannot be used")]
    Tls(#[source] rustls::Error),
    #[error("the party's certificates cannot be used")]
    Party(#[source] rustls_pki_types::pem::Error),
    #[error("the transport cannot be started: {0}")]
    Start(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_authority_is_another_party_and_a_protocol_error_is_not() {
        assert!(is_certificate_alert(CRYPTO_ERROR_BASE + 48));
        assert!(!is_certificate_alert(CRYPTO_ERROR_BASE + 80));
        assert!(!is_certificate_alert(0x0a));
    }
}
