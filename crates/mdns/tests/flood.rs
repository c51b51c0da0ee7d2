//! Thousands of false candidates delay the real peer by seconds, not for ever.
//!
//! A small event heap plays the network: nobody answers at a false address, which a dial finds out at
//! its timeout; the real peer answers within 5 ms. Time is virtual.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use lanspread_mdns::{
    Candidate, CandidateTable, Dial, DialOutcome, FRESH_DIALS_MAX, RETRY_DIALS_MAX,
};
use lanspread_proto::{Hash, PeerId};
use proptest::prelude::*;

const FAKES: u32 = 5_000;
const ANSWER: Duration = Duration::from_millis(5);

fn peer(number: u32) -> PeerId {
    PeerId::new(Hash::of(&number.to_be_bytes()))
}

fn candidate(peer: PeerId, address: SocketAddr) -> Candidate {
    let party = "open".parse().expect("a party hint");
    Candidate {
        peer,
        addresses: vec![address],
        protocol: 1,
        party,
        digest: 0,
    }
}

fn address(ip: u32, port: u16) -> SocketAddr {
    SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 | ip), port))
}

/// How the fakes spread over addresses.
#[derive(Debug, Clone, Copy)]
enum Claim {
    /// Each on an IP address of its own.
    OwnIp,
    /// All on one IP address, different ports.
    OneIp,
    /// All on one IP address and port.
    OneSocket,
    /// Over a class C network, the real peer's IP among them.
    Subnet,
    /// All on the real peer's own IP, different ports.
    RealIp,
    /// All exactly where the real peer is.
    RealSocket,
}

const CLAIMS: [Claim; 6] = [
    Claim::OwnIp,
    Claim::OneIp,
    Claim::OneSocket,
    Claim::Subnet,
    Claim::RealIp,
    Claim::RealSocket,
];

impl Claim {
    fn address(self, fake: u32) -> SocketAddr {
        let port = 1_000 + u16::try_from(fake).expect("few fakes");
        match self {
            Self::OwnIp => address(0x10_0000 + fake, 9),
            Self::OneIp => address(66, port),
            Self::OneSocket => address(66, 9),
            Self::Subnet => address(fake % 254 + 1, port),
            Self::RealIp => address(REAL_IP, port),
            Self::RealSocket => real_address(),
        }
    }
}

const REAL_IP: u32 = 200;
const REAL: u32 = u32::MAX;

fn real_address() -> SocketAddr {
    address(REAL_IP, 9)
}

struct Network {
    table: CandidateTable,
    start: Instant,
    ends: BinaryHeap<Reverse<(Duration, PeerId, SocketAddr)>>,
    answers: HashMap<SocketAddr, PeerId>,
    dials_by_second: HashMap<u64, u32>,
}

impl Network {
    fn new() -> Self {
        let table = CandidateTable::new();
        let answers = HashMap::from([(real_address(), peer(REAL))]);
        let (ends, dials_by_second) = (BinaryHeap::new(), HashMap::new());
        Self {
            table,
            start: Instant::now(),
            ends,
            answers,
            dials_by_second,
        }
    }

    fn dial_all(&mut self, now: Duration) {
        while let Some(Dial {
            peer,
            address,
            timeout,
        }) = self.table.next_dial(self.start + now)
        {
            *self.dials_by_second.entry(now.as_secs()).or_default() += 1;
            let takes = if self.answers.contains_key(&address) {
                ANSWER
            } else {
                timeout
            };
            self.ends.push(Reverse((now + takes, peer, address)));
        }
    }

    /// Runs until `wanted` is verified: when that was.
    fn find(&mut self, wanted: PeerId, from: Duration, limit: Duration) -> Option<Duration> {
        let mut now = from;
        while now <= limit {
            while let Some(Reverse((at, peer, address))) = self.ends.peek().copied() {
                if at > now {
                    break;
                }
                self.ends.pop();
                let outcome = match self.answers.get(&address) {
                    None => DialOutcome::Failed,
                    Some(there) if *there == peer => DialOutcome::Verified,
                    Some(there) => DialOutcome::OtherPeer(*there),
                };
                self.table.dialled(self.start + now, peer, address, outcome);
                if outcome == DialOutcome::Verified && peer == wanted {
                    return Some(now);
                }
            }
            self.dial_all(now);
            let end = self.ends.peek().map(|Reverse((at, ..))| *at);
            let due = self
                .table
                .next_deadline(self.start + now)
                .map(|due| due - self.start);
            now = end
                .into_iter()
                .chain(due)
                .min()?
                .max(now + Duration::from_nanos(1));
        }
        None
    }
}

fn found_after(claim: Claim, position: u32) -> Option<Duration> {
    let mut network = Network::new();
    for fake in 0..=FAKES {
        if fake == position {
            network
                .table
                .sighted(network.start, candidate(peer(REAL), real_address()));
        }
        if fake < FAKES {
            network
                .table
                .sighted(network.start, candidate(peer(fake), claim.address(fake)));
        }
    }
    network.find(peer(REAL), Duration::ZERO, Duration::from_secs(10))
}

#[test]
fn among_5000_fakes_the_real_peer_is_found_within_10_seconds() {
    for claim in CLAIMS {
        for position in [0, FAKES / 2, FAKES] {
            let found = found_after(claim, position).expect("found within 10 seconds");
            let documented = Duration::from_secs(8);
            assert!(
                found < documented,
                "{claim:?}, position {position}: {found:?}"
            );
        }
    }
}

#[test]
fn fakes_on_one_address_hardly_delay_anybody_else() {
    for claim in [Claim::OneIp, Claim::OneSocket, Claim::RealSocket] {
        let found = found_after(claim, FAKES).unwrap();
        assert!(found < Duration::from_secs(2), "{claim:?}: {found:?}");
    }
}

#[test]
fn a_flood_does_not_make_us_flood_the_lan() {
    let mut network = Network::new();
    for fake in 0..FAKES {
        network.table.sighted(
            network.start,
            candidate(peer(fake), Claim::OwnIp.address(fake)),
        );
    }
    network.find(peer(REAL), Duration::ZERO, Duration::from_mins(10));
    let per_second_max = 2 * (FRESH_DIALS_MAX + RETRY_DIALS_MAX);
    for (second, dials) in &network.dials_by_second {
        assert!(*dials <= per_second_max, "{dials} dials in second {second}");
    }
    let late: u32 = (540..600)
        .filter_map(|second| network.dials_by_second.get(&second))
        .sum();
    assert!(late <= 60 * FAKES / 150, "{late} dials in the tenth minute");
    assert!(late > 0, "silent addresses are tried again some time");
}

#[test]
fn a_lost_peer_is_dialled_again_before_all_fakes() {
    let mut network = Network::new();
    let real = peer(REAL);
    network
        .table
        .sighted(network.start, candidate(real, real_address()));
    let second = Duration::from_secs(1);
    network.find(real, Duration::ZERO, second).unwrap();
    for fake in 0..FAKES {
        network.table.sighted(
            network.start + second,
            candidate(peer(fake), Claim::OwnIp.address(fake)),
        );
    }
    network.dial_all(second);
    network.table.lost(network.start + second, real);
    let found = network.find(real, second, 2 * second).unwrap();
    assert!(found < second + 4 * ANSWER, "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_real_peer_is_found_whatever_the_mixture(
        claims in prop::collection::vec(0..CLAIMS.len(), FAKES as usize), position in 0..FAKES,
    ) {
        let mut network = Network::new();
        for (fake, claim) in (0..).zip(claims) {
            if fake == position {
                network.table.sighted(network.start, candidate(peer(REAL), real_address()));
            }
            let heard = candidate(peer(fake), CLAIMS[claim].address(fake));
            network.table.sighted(network.start, heard);
        }
        let found = network.find(peer(REAL), Duration::ZERO, Duration::from_secs(10));
        prop_assert!(found.is_some());
    }
}
