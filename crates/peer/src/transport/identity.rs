//! Who this machine is: an Ed25519 key that is made at first start and a leaf certificate for it.

use lanspread_disk::{Disk, DiskError, FileMode, StateDir};
use lanspread_proto::{Hash, PeerId};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, PublicKeyData,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::party::{self, Party};

/// The one name that every leaf carries: QUIC wants a server name, and a peer's identity is its key.
pub(super) const SERVER_NAME: &str = "peer.lanspread";

const KEY_FILE: &str = "identity/key.pem";
const CERTIFICATE_FILE: &str = "identity/cert.pem";

/// A PEM file of an identity has a few hundred bytes.
const PEM_BYTES_MAX: u64 = 64 * 1024;

/// A key, its certificate, and the id that follows from it.
pub(crate) struct Identity {
    pub(crate) id: PeerId,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Why this machine has no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum IdentityError {
    #[error("the identity cannot be read or written")]
    Disk(#[from] DiskError),
    #[error("{KEY_FILE} is not a key that can be used; remove it to become another peer")]
    Key(#[source] rcgen::Error),
    #[error("the certificate cannot be signed with the party's key")]
    Sign(#[source] rcgen::Error),
}

impl Identity {
    /// The identity in the state directory, made if there is none; signed anew for `party` each time,
    /// which costs nothing and keeps the certificate right after a change of party.
    pub(crate) fn load_or_make(state: &StateDir, party: &Party) -> Result<Self, IdentityError> {
        let stored = state.disk().read_file(KEY_FILE, PEM_BYTES_MAX)?;
        let key = if let Some(pem) = stored {
            KeyPair::from_pem(&String::from_utf8_lossy(&pem)).map_err(IdentityError::Key)?
        } else {
            let key = KeyPair::generate_for(&PKCS_ED25519).map_err(IdentityError::Key)?;
            let pem = key.serialize_pem();
            state.write(KEY_FILE, pem.as_bytes(), FileMode::Private)?;
            key
        };
        let certificate = sign(&key, party).map_err(IdentityError::Sign)?;
        state.write(
            CERTIFICATE_FILE,
            certificate.pem().as_bytes(),
            FileMode::Plain,
        )?;
        Ok(Self {
            id: id_of(&key.subject_public_key_info()),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }
}

fn sign(key: &KeyPair, party: &Party) -> Result<rcgen::Certificate, rcgen::Error> {
    let issuer = Issuer::from_ca_cert_pem(party.ca_pem(), party.key()?)?;
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
    params
        .distinguished_name
        .push(DnType::CommonName, "lanspread peer");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    party::valid_always(&mut params);
    params.signed_by(key, &issuer)
}

/// The id of whoever holds the key of this certificate; `None` when it is not a certificate.
pub(super) fn id_of_certificate(der: &[u8]) -> Option<PeerId> {
    let certificate = CertificateDer::from(der);
    let parsed = rustls::server::ParsedCertificate::try_from(&certificate).ok()?;
    Some(id_of(&parsed.subject_public_key_info()))
}

fn id_of(subject_public_key_info: &[u8]) -> PeerId {
    PeerId::new(Hash::of(subject_public_key_info))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_stays_and_is_what_its_certificate_says() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let made = Identity::load_or_make(&state, &Party::open()).unwrap();
        let again = Identity::load_or_make(&state, &Party::open()).unwrap();
        assert_eq!(made.id, again.id);
        assert_eq!(id_of_certificate(&made.certificate), Some(made.id));
    }

    #[test]
    fn a_broken_key_is_an_error_and_stays_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        state
            .write(KEY_FILE, b"nonsense", FileMode::Private)
            .unwrap();
        let refused = Identity::load_or_make(&state, &Party::open());
        assert!(matches!(refused, Err(IdentityError::Key(_))));
        let kept = state.disk().read_file(KEY_FILE, PEM_BYTES_MAX).unwrap();
        assert_eq!(kept.as_deref(), Some(b"nonsense".as_slice()));
    }

    #[test]
    fn what_is_no_certificate_has_no_id() {
        assert_eq!(id_of_certificate(b"nonsense"), None);
    }
}
