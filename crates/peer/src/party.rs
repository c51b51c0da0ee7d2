//! Parties: the peers that share one certificate authority.
//!
//! A party is a folder with `ca.pem` and `ca-key.pem`. Whoever has both is a member: each machine
//! signs its own leaf certificate with them. The open party's are compiled in and public, so they keep
//! strangers' eyes off the wire and authenticate nobody.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use lanspread_disk::{Disk, DiskError, DiskFile, FileMode, RealDisk, ambient};
use lanspread_proto::Hash;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};

const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca-key.pem";

/// A PEM file of a party has a few hundred bytes.
const PEM_BYTES_MAX: u64 = 64 * 1024;

/// A certificate authority and the right to sign with it.
#[derive(Clone)]
pub struct Party {
    ca_pem: Arc<str>,
    ca_key_pem: Arc<str>,
}

/// Why a party cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartyError {
    /// The folder or a file in it cannot be read or written.
    #[error("the party in {} cannot be used", dir.display())]
    Disk {
        /// The party's folder.
        dir: PathBuf,
        /// The cause.
        #[source]
        source: DiskError,
    },
    /// The folder holds a party already.
    #[error("{} holds a party already", dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// One of the files is not what it should be.
    #[error("the party in {} is damaged: {file} is not valid", dir.display())]
    Damaged {
        /// The party's folder.
        dir: PathBuf,
        /// The file.
        file: &'static str,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// The certificate could not be made.
    #[error("a certificate authority could not be made")]
    Make(#[source] rcgen::Error),
}

impl Party {
    /// The open party, which every copy of lanspread is in unless told otherwise.
    pub fn open() -> Self {
        Self {
            ca_pem: include_str!("../certs/open/ca.pem").into(),
            ca_key_pem: include_str!("../certs/open/ca-key.pem").into(),
        }
    }

    /// The party whose files are in `dir`.
    ///
    /// # Errors
    /// [`PartyError::Disk`] or [`PartyError::Damaged`], naming the folder and the file.
    pub fn load(dir: &Path) -> Result<Self, PartyError> {
        let read = |file| {
            let content = ambient::read_file(&dir.join(file), PEM_BYTES_MAX).map_err(|source| {
                PartyError::Disk {
                    dir: dir.into(),
                    source,
                }
            })?;
            Ok::<_, PartyError>(String::from_utf8_lossy(&content).into_owned())
        };
        let party = Self {
            ca_pem: read(CA_FILE)?.into(),
            ca_key_pem: read(CA_KEY_FILE)?.into(),
        };
        let damaged = |file| {
            move |source| PartyError::Damaged {
                dir: dir.into(),
                file,
                source,
            }
        };
        let key = party.key().map_err(damaged(CA_KEY_FILE))?;
        Issuer::from_ca_cert_pem(&party.ca_pem, key).map_err(damaged(CA_FILE))?;
        Ok(party)
    }

    /// Makes a new party in `dir`, which is made if it is missing. The key file is for its owner only.
    ///
    /// # Errors
    /// [`PartyError::Exists`] when there is one already; it is left as it is.
    pub fn create(dir: &Path) -> Result<Self, PartyError> {
        let failed = |source| PartyError::Disk {
            dir: dir.into(),
            source,
        };
        let disk = RealDisk::open_or_create(dir).map_err(failed)?;
        let party = Self::generate().map_err(PartyError::Make)?;
        let key_file = match disk.create_new(CA_KEY_FILE, FileMode::Private) {
            Err(error) if error.is_already_there() => {
                return Err(PartyError::Exists { dir: dir.into() });
            }
            created => created.map_err(failed)?,
        };
        key_file
            .write_all_at(party.ca_key_pem.as_bytes(), 0)
            .map_err(failed)?;
        key_file.sync().map_err(failed)?;
        disk.write_atomic(CA_FILE, party.ca_pem.as_bytes(), FileMode::Plain)
            .map_err(failed)?;
        Ok(party)
    }

    /// The first digits of the authority's hash: tells parties apart, proves nothing.
    pub fn short(&self) -> String {
        Hash::of(self.ca_pem.trim().as_bytes()).short()
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(crate) fn key(&self) -> Result<KeyPair, rcgen::Error> {
        KeyPair::from_pem(&self.ca_key_pem)
    }

    fn generate() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "lanspread party");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        valid_always(&mut params);
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            ca_pem: certificate.pem().into(),
            ca_key_pem: key.serialize_pem().into(),
        })
    }
}

/// Machines without internet have wrong clocks: a certificate must not depend on them.
pub(crate) fn valid_always(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Party")
            .field("ca", &self.short())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_party_loads_again_and_is_not_the_open_one() {
        let dir = tempfile::tempdir().unwrap();
        let made = Party::create(dir.path()).unwrap();
        let loaded = Party::load(dir.path()).unwrap();
        assert_eq!(made.short(), loaded.short());
        assert_ne!(made.short(), Party::open().short());
    }

    #[test]
    fn an_existing_party_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let first = Party::create(dir.path()).unwrap();
        assert!(matches!(
            Party::create(dir.path()),
            Err(PartyError::Exists { .. })
        ));
        assert_eq!(Party::load(dir.path()).unwrap().short(), first.short());
    }

    #[test]
    fn a_damaged_party_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        Party::create(dir.path()).unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        disk.write_atomic(CA_FILE, b"nonsense", FileMode::Plain)
            .unwrap();
        let error = Party::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("ca.pem is not valid"), "{error}");
    }
}
