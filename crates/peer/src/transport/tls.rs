//! TLS 1.3 with certificates on both sides, as s2n-quic and lanes take it.

use std::sync::Arc;

use rustls::{
    CipherSuite, ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite,
    client::Resumption,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use s2n_quic::provider::tls::{self, rustls as provider};

use super::{error::TransportError, identity::Identity};
use crate::party::Party;

/// The application protocol, its version included.
const ALPN: &[u8] = b"lanspread/1";

/// The same for lanes.
const LANE_ALPN: &[u8] = b"lanspread-lane/1";

/// The configurations of both sides; a connection is resumed by neither, so that the certificates are
/// shown every time.
#[derive(Clone)]
pub(super) struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    pub(super) fn new(identity: &Identity, party: &Party) -> Result<Self, TransportError> {
        let mut provider = aws_lc_rs::default_provider();
        // The dialling side's order decides. AES of 128 bits is what QUIC begins with, and ten rounds instead of fourteen.
        let is_other =
            |suite: &SupportedCipherSuite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256;
        provider.cipher_suites.sort_by_key(is_other);
        let provider = Arc::new(provider);
        let ca = CertificateDer::from_pem_slice(party.ca_pem().as_bytes())
            .map_err(TransportError::Party)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca).map_err(TransportError::Tls)?;
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| TransportError::Start(error.to_string()))?;
        let chain = || vec![identity.certificate.clone()];

        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| {
                builder
                    .with_client_cert_verifier(verifier)
                    .with_single_cert(chain(), identity.key.clone_key())
            })
            .map_err(TransportError::Tls)?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| {
                builder
                    .with_root_certificates(roots)
                    .with_client_auth_cert(chain(), identity.key.clone_key())
            })
            .map_err(TransportError::Tls)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();

        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

impl Tls {
    /// For the side of a lane that is dialled.
    pub(super) fn lane_server(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.server);
        config.alpn_protocols = vec![LANE_ALPN.to_vec()];
        config.into()
    }

    /// For the side of a lane that dials.
    pub(super) fn lane_client(&self) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.client);
        config.alpn_protocols = vec![LANE_ALPN.to_vec()];
        config.into()
    }
}

impl tls::Provider for Tls {
    type Server = provider::Server;
    type Client = provider::Client;
    type Error = std::convert::Infallible;

    fn start_server(self) -> Result<Self::Server, Self::Error> {
        Ok(self.server.into())
    }

    fn start_client(self) -> Result<Self::Client, Self::Error> {
        Ok(self.client.into())
    }
}
