//! What is said and heard: [`Announcement`], [`Candidate`], [`Sighting`].

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc};

use lanspread_proto::PeerId;

/// Bytes of a [`PartyHint`].
pub const PARTY_HINT_BYTES_MAX: usize = 32;

/// Addresses that are kept of one candidate: a machine on a LAN has one to three.
pub const CANDIDATE_ADDRESSES_MAX: usize = 8;

/// What this peer says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The UDP port where it accepts connections; not 0.
    pub port: u16,
    /// The version of the wire protocol.
    pub protocol: u32,
    /// A digest of the library's revision, so that others notice a change. A hint.
    pub digest: u64,
    /// Which party it belongs to, so that others need not dial in vain. A hint.
    pub party: PartyHint,
}

/// What somebody said about a peer. Every field is a claim that only a handshake can prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The claimed identity.
    pub peer: PeerId,
    /// Where it is said to be: at most [`CANDIDATE_ADDRESSES_MAX`], never empty, IPv4 first.
    pub addresses: Vec<SocketAddr>,
    /// The version of the wire protocol.
    pub protocol: u32,
    /// The party's hint.
    pub party: PartyHint,
    /// The digest of the library's revision.
    pub digest: u64,
}

/// Something that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// A peer announced itself, or changed what it announces.
    Seen(Candidate),
    /// A goodbye, or an announcement that expired. A hint: whom QUIC still reaches is there.
    Gone(PeerId),
}

/// A few characters that tell parties apart at a glance: 1 to [`PARTY_HINT_BYTES_MAX`] bytes of
/// printable ASCII without spaces. It authenticates nobody.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PartyHint(Arc<str>);

/// A text that cannot be a [`PartyHint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a party hint of 1 to {PARTY_HINT_BYTES_MAX} printable ASCII characters")]
pub struct PartyHintError {
    /// The refused text, cut to 80 characters.
    pub text: String,
}

impl PartyHint {
    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartyHint {
    type Err = PartyHintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=PARTY_HINT_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(PartyHintError {
                text: text.chars().take(80).collect(),
            })
        }
    }
}

impl fmt::Display for PartyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PartyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_hint_is_short_and_printable() {
        for good in ["open", "0f3a", &"x".repeat(PARTY_HINT_BYTES_MAX)] {
            assert_eq!(good.parse::<PartyHint>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "\n", "ä", &"x".repeat(PARTY_HINT_BYTES_MAX + 1)] {
            let error = bad.parse::<PartyHint>().unwrap_err();
            assert!(
                error.to_string().contains("party hint of 1 to 32"),
                "{error}"
            );
        }
    }
}
