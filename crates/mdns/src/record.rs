//! How a peer is written into DNS records, and read back.
//!
//! The instance name is the peer id in 52 characters, so that a goodbye, which carries nothing but
//! that name, tells who left without a table to look it up in. Names are lower case throughout: the
//! daemon finds an instance again only then. The TXT record carries `id` (hexadecimal), `v` (the
//! protocol), `party` and `digest` (16 hexadecimal digits); unknown keys are left to newer peers.

use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE32_DNSSEC;
use lanspread_proto::{Hash, PeerId};

use crate::{
    Announcement, CANDIDATE_ADDRESSES_MAX, Candidate, PartyHint, interface::is_v6_link_local,
};

/// The service type, with its domain.
pub(crate) const SERVICE_TYPE: &str = "_lanspread._udp.local.";

/// An announcement of our type that does not make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the instance name is no peer id")]
    Instance,
    #[error("the TXT key {key:?} is missing or not what it should be")]
    Property { key: &'static str },
    #[error("the instance name and the TXT record name different peers")]
    TwoPeers,
    #[error("the port is 0")]
    NoPort,
    #[error("no address can be dialled")]
    NoAddress,
}

/// What a resolved service says, before anything in it is believed.
pub(crate) struct Heard<'a, P> {
    pub(crate) fullname: &'a str,
    pub(crate) port: u16,
    pub(crate) addresses: Vec<IpAddr>,
    /// The value of a TXT key.
    pub(crate) property: P,
    /// Whether loopback addresses mean anything here.
    pub(crate) loopback: bool,
}

/// The instance name of `peer`, one DNS label of at most 63 bytes.
pub(crate) fn instance(peer: &PeerId) -> String {
    BASE32_DNSSEC.encode(peer.hash().as_bytes())
}

/// The host name of `peer`. One of its own, so that its address records are about this process.
pub(crate) fn host(peer: &PeerId) -> String {
    format!("{}.local.", instance(peer))
}

/// The instance name with the service type.
pub(crate) fn fullname(peer: &PeerId) -> String {
    format!("{}.{SERVICE_TYPE}", instance(peer))
}

/// Whose instance this is.
pub(crate) fn peer_of(fullname: &str) -> Result<PeerId, Malformed> {
    let label = fullname.split('.').next().unwrap_or_default();
    let bytes = BASE32_DNSSEC
        .decode(label.as_bytes())
        .map_err(|_| Malformed::Instance)?;
    let bytes: [u8; Hash::LEN] = bytes.try_into().map_err(|_| Malformed::Instance)?;
    Ok(PeerId::new(Hash::from_bytes(bytes)))
}

/// The TXT record of `peer`.
pub(crate) fn properties(
    peer: &PeerId,
    announcement: &Announcement,
) -> [(&'static str, String); 4] {
    [
        ("id", peer.to_string()),
        ("v", announcement.protocol.to_string()),
        ("party", announcement.party.to_string()),
        ("digest", format!("{:016x}", announcement.digest)),
    ]
}

/// Reads a resolved service.
pub(crate) fn parse<'a, P>(heard: Heard<'a, P>) -> Result<Candidate, Malformed>
where
    P: Fn(&'static str) -> Option<&'a [u8]>,
{
    let text = |key| {
        let value = (heard.property)(key).and_then(|value| str::from_utf8(value).ok());
        value.ok_or(Malformed::Property { key })
    };
    let peer: PeerId = text("id")?
        .parse()
        .map_err(|_| Malformed::Property { key: "id" })?;
    if peer_of(heard.fullname)? != peer {
        return Err(Malformed::TwoPeers);
    }
    let protocol = text("v")?
        .parse()
        .map_err(|_| Malformed::Property { key: "v" })?;
    let party: PartyHint = text("party")?
        .parse()
        .map_err(|_| Malformed::Property { key: "party" })?;
    let digest = parse_digest(text("digest")?).ok_or(Malformed::Property { key: "digest" })?;
    if heard.port == 0 {
        return Err(Malformed::NoPort);
    }
    let addresses = dialable(heard.addresses, heard.port, heard.loopback);
    if addresses.is_empty() {
        return Err(Malformed::NoAddress);
    }
    Ok(Candidate {
        peer,
        addresses,
        protocol,
        party,
        digest,
    })
}

fn parse_digest(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The addresses that can be dialled, the most promising first, without doubles.
fn dialable(mut addresses: Vec<IpAddr>, port: u16, loopback: bool) -> Vec<SocketAddr> {
    addresses.retain(|ip| {
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        let nowhere = ip.is_unspecified() || ip.is_multicast() || broadcast;
        !nowhere && !is_v6_link_local(*ip) && (loopback || !ip.is_loopback())
    });
    addresses.sort_by_key(|ip| {
        let self_assigned = matches!(ip, IpAddr::V4(ip) if ip.is_link_local());
        (ip.is_ipv6(), self_assigned, *ip)
    });
    addresses.dedup();
    addresses.truncate(CANDIDATE_ADDRESSES_MAX);
    addresses
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(seed: &[u8]) -> PeerId {
        PeerId::new(Hash::of(seed))
    }

    fn announcement() -> Announcement {
        Announcement {
            port: 7,
            protocol: 1,
            digest: 0xabc,
            party: "open".parse().unwrap(),
        }
    }

    fn read(
        fullname: &str,
        properties: &[(&str, Vec<u8>)],
        addresses: &[&str],
        port: u16,
    ) -> Result<Candidate, Malformed> {
        let property = |key: &'static str| {
            properties
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.as_slice())
        };
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        parse(Heard {
            fullname,
            port,
            addresses,
            property,
            loopback: false,
        })
    }

    fn written(peer: &PeerId) -> Vec<(&'static str, Vec<u8>)> {
        properties(peer, &announcement())
            .map(|(key, value)| (key, value.into_bytes()))
            .to_vec()
    }

    #[test]
    fn names_fit_into_a_label_and_are_lower_case() {
        let me = peer(b"me");
        assert_eq!(instance(&me).len(), 52);
        assert_eq!(fullname(&me), fullname(&me).to_lowercase());
        assert_eq!(peer_of(&fullname(&me)), Ok(me));
        assert_eq!(
            peer_of(&fullname(&me).to_uppercase()),
            Ok(me),
            "DNS names have no case"
        );
    }

    #[test]
    fn addresses_are_sorted_and_only_those_that_can_be_dialled() {
        let me = peer(b"me");
        let all = [
            "fd00::1",
            "fe80::1",
            "169.254.1.1",
            "10.0.0.2",
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "10.0.0.2",
            "::1",
        ];
        let seen = read(&fullname(&me), &written(&me), &all, 9).unwrap();
        let shown: Vec<_> = seen.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.2:9", "169.254.1.1:9", "[fd00::1]:9"]);
    }

    #[test]
    fn a_candidate_keeps_a_bounded_number_of_addresses() {
        for given in [CANDIDATE_ADDRESSES_MAX, CANDIDATE_ADDRESSES_MAX + 1] {
            let ips = (1..=given).map(|last| IpAddr::from([10, 0, 0, u8::try_from(last).unwrap()]));
            let kept = dialable(ips.collect(), 9, false);
            assert_eq!(kept.len(), CANDIDATE_ADDRESSES_MAX);
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let (me, other) = (peer(b"me"), peer(b"other"));
        let name = fullname(&me);
        let good = written(&me);
        let without = |key: &str| good.iter().filter(|(k, _)| *k != key).cloned().collect();
        let with = |key: &'static str, value: &[u8]| -> Vec<_> {
            let mut list: Vec<_> = without(key);
            list.push((key, value.to_vec()));
            list
        };
        let ip = ["10.0.0.2"];
        assert!(read(&name, &good, &ip, 9).is_ok());
        for key in ["id", "v", "party", "digest"] {
            let refused = Err(Malformed::Property { key });
            assert_eq!(read(&name, &without(key), &ip, 9), refused);
            assert_eq!(read(&name, &with(key, b"\xff"), &ip, 9), refused);
            assert_eq!(read(&name, &with(key, b""), &ip, 9), refused);
        }
        assert!(read(&name, &with("digest", b"+00000000000000a"), &ip, 9).is_err());
        assert!(read(&name, &with("v", b"4294967296"), &ip, 9).is_err());
        assert_eq!(
            read(&fullname(&other), &good, &ip, 9),
            Err(Malformed::TwoPeers)
        );
        assert_eq!(
            read("printer._ipp", &good, &ip, 9),
            Err(Malformed::Instance)
        );
        assert_eq!(read(&name, &good, &ip, 0), Err(Malformed::NoPort));
        assert_eq!(
            read(&name, &good, &["fe80::1"], 9),
            Err(Malformed::NoAddress)
        );
    }

    #[test]
    fn every_reason_prints() {
        let reasons = [
            Malformed::Instance,
            Malformed::Property { key: "v" },
            Malformed::TwoPeers,
            Malformed::NoPort,
            Malformed::NoAddress,
        ];
        let texts: std::collections::HashSet<_> = reasons.map(|reason| reason.to_string()).into();
        assert_eq!(texts.len(), reasons.len());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            id: [u8; 32], port in 1_u16.., protocol: u32, digest: u64, party in "[!-~]{1,32}",
        ) {
            let me = PeerId::new(Hash::from_bytes(id));
            let said = Announcement { port, protocol, digest, party: party.parse().unwrap() };
            let record = properties(&me, &said).map(|(key, value)| (key, value.into_bytes()));
            let heard = read(&fullname(&me), &record, &["10.0.0.2"], port).unwrap();
            prop_assert_eq!(heard.peer, me);
            prop_assert_eq!(heard.addresses, [SocketAddr::from(([10, 0, 0, 2], port))]);
            prop_assert_eq!((heard.protocol, heard.digest, heard.party), (protocol, digest, said.party));
        }

        #[test]
        fn no_record_makes_it_panic(
            name in ".{0,80}", port: u16, values: [Vec<u8>; 4], ips: Vec<u32>,
        ) {
            let record: Vec<_> = ["id", "v", "party", "digest"].into_iter().zip(values).collect();
            let ips: Vec<_> = ips.iter().map(|ip| std::net::Ipv4Addr::from(*ip).to_string()).collect();
            let ips: Vec<_> = ips.iter().map(String::as_str).collect();
            prop_assert!(read(&name, &record, &ips, port).is_err());
        }
    }
}
