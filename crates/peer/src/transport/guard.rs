//! What watches connections from inside the event loop: limits, certificates, refused handshakes.
//!
//! Everything here is constant time: it runs between packets.

use std::net::{IpAddr, SocketAddr};

use lanspread_proto::limits;
use s2n_quic::provider::{
    endpoint_limits::{ConnectionAttempt, Limiter, Outcome},
    event::{
        ConnectionInfo, ConnectionMeta, Subscriber,
        events::{ConnectionClosed, ConnectionStarted, SocketAddress, TlsExporterReady},
    },
};
use tokio::sync::mpsc;

use super::{
    error::LinkClosed,
    seats::{Seat, Seats},
};

/// A handshake that failed because of certificates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandshakeRefused {
    pub(crate) addr: Option<SocketAddr>,
}

/// Decides about connections before they cost anything.
pub(super) struct Doorkeeper {
    pub(super) counts: Seats<IpAddr>,
    pub(super) per_address_max: usize,
    pub(super) loopback_exempt: bool,
}

impl Limiter for Doorkeeper {
    fn on_connection_attempt(&mut self, attempt: &ConnectionAttempt) -> Outcome {
        let full = attempt.connection_count >= limits::CONNECTIONS_MAX;
        let crowded = to_std(&attempt.remote_address).is_some_and(|addr| {
            let exempt = self.loopback_exempt && addr.ip().is_loopback();
            !exempt && self.counts.taken(&addr.ip()) >= self.per_address_max
        });
        if full || crowded {
            Outcome::close()
        } else if attempt.inflight_handshakes >= limits::HANDSHAKES_IN_FLIGHT_MAX {
            Outcome::retry()
        } else {
            Outcome::allow()
        }
    }
}

/// Keeps each connection's certificate, counts addresses, and reports refused certificates.
pub(super) struct Watcher {
    pub(super) counts: Seats<IpAddr>,
    pub(super) refused: mpsc::Sender<HandshakeRefused>,
}

/// What the watcher knows of one connection.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) certificate: Option<Vec<u8>>,
    addr: Option<SocketAddr>,
    /// Its place among the connections from its address.
    seat: Option<Seat<IpAddr>>,
}

impl Subscriber for Watcher {
    type ConnectionContext = Watched;

    fn create_connection_context(
        &mut self,
        _meta: &ConnectionMeta,
        _info: &ConnectionInfo,
    ) -> Self::ConnectionContext {
        Watched {
            certificate: None,
            addr: None,
            seat: None,
        }
    }

    fn on_connection_started(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        event: &ConnectionStarted,
    ) {
        context.addr = to_std(&event.path.remote_addr);
        let ip = context.addr.map(|addr| addr.ip());
        context.seat = ip.and_then(|ip| self.counts.take(ip, usize::MAX));
    }

    fn on_tls_exporter_ready(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        event: &TlsExporterReady,
    ) {
        let chain = event.session.peer_cert_chain_der().unwrap_or_default();
        context.certificate = chain.into_iter().next();
    }

    fn on_connection_closed(
        &mut self,
        context: &mut Self::ConnectionContext,
        _meta: &ConnectionMeta,
        event: &ConnectionClosed,
    ) {
        if LinkClosed::of(event.error) == LinkClosed::PartyMismatch {
            // A full channel means that somebody floods us with strangers: a few reports are enough.
            let _ = self
                .refused
                .try_send(HandshakeRefused { addr: context.addr });
        }
    }
}

fn to_std(addr: &SocketAddress) -> Option<SocketAddr> {
    match addr {
        SocketAddress::IpV4 { ip, port, .. } => Some((**ip, *port).into()),
        SocketAddress::IpV6 { ip, port, .. } => Some((**ip, *port).into()),
        _ => None,
    }
}
