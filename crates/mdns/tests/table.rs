//! The candidate table, rule by rule, and under random histories.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use lanspread_mdns::{
    CANDIDATES_MAX, Candidate, CandidateTable, DIAL_TIMEOUT, Dial, DialOutcome, FRESH_DIALS_MAX,
};
use lanspread_proto::{Hash, PeerId, limits};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn peer(number: usize) -> PeerId {
    PeerId::new(Hash::of(&number.to_be_bytes()))
}

fn at(number: usize) -> SocketAddr {
    SocketAddr::from((
        Ipv4Addr::from(0x0a00_0000 | u32::try_from(number).expect("few candidates")),
        9,
    ))
}

fn claim(number: usize, addresses: &[SocketAddr]) -> Candidate {
    let (addresses, party) = (addresses.to_vec(), "open".parse().expect("a party hint"));
    Candidate {
        peer: peer(number),
        addresses,
        protocol: 1,
        party,
        digest: 0,
    }
}

fn single(number: usize) -> Candidate {
    claim(number, &[at(number)])
}

/// A table with one verified peer, number 0.
fn with_one_connected() -> (CandidateTable, Instant) {
    let (mut table, now) = (CandidateTable::new(), Instant::now());
    assert!(table.sighted(now, single(0)));
    let dial = table.next_dial(now).expect("a dial");
    assert_eq!(
        dial,
        Dial {
            peer: peer(0),
            address: at(0),
            timeout: DIAL_TIMEOUT
        }
    );
    table.dialled(now, dial.peer, dial.address, DialOutcome::Verified);
    (table, now)
}

#[test]
fn a_connected_peer_is_not_dialled() {
    let (mut table, now) = with_one_connected();
    table.sighted(now, single(0));
    table.said_goodbye(peer(0));
    assert_eq!(table.next_dial(now + 1_000 * SECOND), None);
    assert_eq!(table.next_deadline(now), None);
    assert_eq!(table.len(), 1);
}

#[test]
fn a_peer_that_came_by_itself_is_not_dialled_until_it_is_lost() {
    let (mut table, now) = (CandidateTable::new(), Instant::now());
    table.connected(peer(1));
    table.sighted(now, single(1));
    assert_eq!(table.next_dial(now), None);
    table.lost(now, peer(1));
    assert_eq!(table.next_dial(now).unwrap().peer, peer(1));
}

#[test]
fn a_peer_that_came_by_itself_and_was_never_announced_is_forgotten_when_lost() {
    let mut table = CandidateTable::new();
    table.connected(peer(1));
    assert_eq!((table.len(), table.get(&peer(1))), (1, None));
    table.lost(Instant::now(), peer(1));
    assert!(table.is_empty());
}

#[test]
fn an_inbound_connection_ends_the_wait_for_a_dial() {
    let (mut table, now) = (CandidateTable::new(), Instant::now());
    table.sighted(now, single(1));
    let dial = table.next_dial(now).unwrap();
    table.connected(dial.peer);
    assert_eq!(table.dials_in_flight(), 0);
    table.dialled(now, dial.peer, dial.address, DialOutcome::Failed);
    assert_eq!(
        (table.dials_in_flight(), table.next_dial(now + 10 * SECOND)),
        (0, None)
    );
}

#[test]
fn a_silent_address_rests_longer_each_time_for_everyone() {
    let (mut table, mut now) = (CandidateTable::new(), Instant::now());
    table.sighted(now, claim(1, &[at(1)]));
    table.sighted(now, claim(2, &[at(1)]));
    let mut pauses = Vec::new();
    let mut dial = table.next_dial(now).unwrap();
    for _ in 0..10 {
        assert_eq!(table.next_dial(now), None, "one dial per address at a time");
        table.dialled(now, dial.peer, dial.address, DialOutcome::Failed);
        let failed = now;
        dial = loop {
            if let Some(dial) = table.next_dial(now) {
                break dial;
            }
            now += SECOND;
        };
        pauses.push((now - failed).as_secs());
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
}

#[test]
fn the_next_address_is_tried_at_once() {
    let (mut table, now) = (CandidateTable::new(), Instant::now());
    table.sighted(now, claim(1, &["[fd00::1]:9".parse().unwrap(), at(1)]));
    let first = table.next_dial(now).unwrap();
    assert_eq!(first.address, at(1), "IPv4 goes first");
    table.dialled(now, first.peer, first.address, DialOutcome::Failed);
    assert!(table.next_dial(now).unwrap().address.is_ipv6());
}

#[test]
fn a_new_address_wakes_a_resting_candidate() {
    let (mut table, now) = (CandidateTable::new(), Instant::now());
    table.sighted(now, single(1));
    let first = table.next_dial(now).unwrap();
    table.dialled(now, first.peer, first.address, DialOutcome::Failed);
    table.sighted(now, single(1));
    assert_eq!(
        table.next_dial(now),
        None,
        "the same announcement changes nothing"
    );
    table.sighted(now, claim(1, &[at(7)]));
    assert_eq!(table.next_dial(now).unwrap().address, at(7));
}

#[test]
fn an_address_that_belongs_to_a_peer_is_left_to_it() {
    let (mut table, now) = (CandidateTable::new(), Instant::now());
    table.sighted(now, claim(1, &[at(2)]));
    table.sighted(now, claim(2, &[at(2)]));
    let lie = table.next_dial(now).unwrap();
    assert_eq!((lie.peer, table.next_dial(now)), (peer(1), None));
    table.dialled(now, lie.peer, lie.address, DialOutcome::OtherPeer(peer(2)));
    let truth = table.next_dial(now).unwrap();
    assert_eq!((truth.peer, truth.address), (peer(2), at(2)));
    table.dialled(now, truth.peer, truth.address, DialOutcome::Verified);
    assert_eq!(table.next_dial(now + 59 * SECOND), None);
}

#[test]
fn a_goodbye_costs_an_unverified_candidate_its_retries() {
    let (mut table, now) = (CandidateTable::new(), Instant::now());
    table.sighted(now, single(1));
    table.said_goodbye(peer(1));
    let dial = table
        .next_dial(now)
        .expect("a forged goodbye must not prevent the first dial");
    table.dialled(now, dial.peer, dial.address, DialOutcome::Failed);
    assert!(table.is_empty());
}

#[test]
fn a_candidate_without_address_is_not_kept() {
    let mut table = CandidateTable::new();
    assert!(!table.sighted(Instant::now(), claim(1, &[])));
    assert!(table.is_empty());
}

#[test]
fn a_full_table_gives_up_the_oldest_of_the_never_verified_who_failed_most() {
    let (mut table, now) = (CandidateTable::with_capacity(4), Instant::now());
    table.sighted(now, single(0));
    let dial = table.next_dial(now).unwrap();
    table.dialled(now, dial.peer, dial.address, DialOutcome::Verified);
    table.lost(now, peer(0));
    table.sighted(now, single(1));
    table.sighted(now, single(2));
    let dials: Vec<_> = std::iter::from_fn(|| table.next_dial(now)).collect();
    assert_eq!(
        dials.iter().map(|dial| dial.peer).collect::<Vec<_>>(),
        [0, 1, 2].map(peer)
    );
    table.dialled(now, peer(2), at(2), DialOutcome::Failed);
    table.dialled(now, peer(0), at(0), DialOutcome::Failed);
    table.sighted(now, single(3));
    let mut gone = Vec::new();
    for newcomer in 4..7 {
        assert!(table.sighted(now, single(newcomer)));
        gone.push(
            (0..newcomer)
                .find(|old| table.get(&peer(*old)).is_none())
                .unwrap(),
        );
        table.sighted(now, single(newcomer));
    }
    assert_eq!(gone[0], 2, "the one that failed goes first");
    assert!(
        table.get(&peer(0)).is_some(),
        "the one that was verified stays"
    );
    assert!(
        table.get(&peer(1)).is_some(),
        "the one that is being dialled stays"
    );
    assert!(table.get(&peer(3)).is_none(), "then the oldest");
}

#[test]
fn a_newcomer_at_a_silent_address_pushes_nobody_out() {
    let (mut table, now) = (CandidateTable::with_capacity(2), Instant::now());
    table.sighted(now, single(1));
    let dial = table.next_dial(now).unwrap();
    table.dialled(now, dial.peer, dial.address, DialOutcome::Failed);
    table.sighted(now, single(2));
    assert!(!table.sighted(now, claim(3, &[at(1)])), "it rests");
    assert!(
        table.sighted(now, claim(3, &[at(1), at(3)])),
        "another address of it does not"
    );
    assert_eq!(table.get(&peer(1)), None);
    assert!(table.get(&peer(2)).is_some());
}

#[test]
fn a_table_of_connected_peers_refuses_newcomers() {
    let mut table = CandidateTable::with_capacity(2);
    table.connected(peer(1));
    table.connected(peer(2));
    assert!(!table.sighted(Instant::now(), single(3)));
    assert_eq!(table.len(), 2);
}

#[test]
fn limits_hold_at_n_and_n_plus_one() {
    let (mut table, now) = (CandidateTable::new(), Instant::now());
    for number in 0..=CANDIDATES_MAX {
        table.sighted(now, single(number));
        assert_eq!(table.len(), (number + 1).min(CANDIDATES_MAX));
    }
    let dials = std::iter::from_fn(|| table.next_dial(now)).count();
    assert_eq!(dials, FRESH_DIALS_MAX as usize);
}

#[test]
fn nobody_is_dialled_while_as_many_peers_are_connected_as_may_be() {
    let (mut table, now) = (CandidateTable::new(), Instant::now());
    table.sighted(now, single(0));
    for number in 1..limits::PEERS_MAX {
        table.connected(peer(number));
    }
    let dial = table.next_dial(now).unwrap();
    table.dialled(now, dial.peer, dial.address, DialOutcome::Verified);
    table.sighted(now, single(9_999));
    assert_eq!(
        (table.next_dial(now), table.next_deadline(now)),
        (None, None)
    );
    table.lost(now, peer(0));
    assert_eq!(table.next_dial(now).unwrap().peer, peer(0));
}

#[derive(Debug, Clone)]
enum Step {
    Sighted {
        number: usize,
        address: usize,
    },
    Goodbye(usize),
    Connected(usize),
    Lost(usize),
    Dial,
    Ended {
        which: prop::sample::Index,
        outcome: u8,
    },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let number = 0..12_usize;
    prop_oneof![
        4 => (number.clone(), 0..12_usize)
            .prop_map(|(number, address)| Step::Sighted { number, address }),
        1 => number.clone().prop_map(Step::Goodbye),
        1 => number.clone().prop_map(Step::Connected),
        1 => number.prop_map(Step::Lost),
        4 => Just(Step::Dial),
        3 => (any::<prop::sample::Index>(), 0..3_u8)
            .prop_map(|(which, outcome)| Step::Ended { which, outcome }),
        1 => (0..5_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn random_histories_keep_the_promises(history in prop::collection::vec(steps(), 1..200)) {
        let (mut table, mut now) = (CandidateTable::with_capacity(8), Instant::now());
        let mut flying: Vec<Dial> = Vec::new();
        let mut connected = std::collections::HashSet::new();
        for step in history {
            match step {
                Step::Sighted { number, address } => {
                    table.sighted(now, claim(number, &[at(address)]));
                }
                Step::Goodbye(number) => table.said_goodbye(peer(number)),
                Step::Connected(number) => {
                    let known = table.get(&peer(number)).is_some();
                    let flew = flying.len();
                    flying.retain(|dial| dial.peer != peer(number));
                    prop_assert!(known || flew == flying.len());
                    if table.len() < 8 || known {
                        table.connected(peer(number));
                        connected.insert(peer(number));
                    }
                }
                Step::Lost(number) => {
                    table.lost(now, peer(number));
                    connected.remove(&peer(number));
                }
                Step::Dial => {
                    let due = table.next_deadline(now);
                    if let Some(dial) = table.next_dial(now) {
                        prop_assert_eq!(due, Some(now), "a dial was due and the deadline said so");
                        prop_assert!(!connected.contains(&dial.peer));
                        prop_assert!(flying.iter().all(|other| other.peer != dial.peer
                            && other.address != dial.address));
                        flying.push(dial);
                    } else {
                        let next = table.next_deadline(now);
                        prop_assert!(next.is_none_or(|next| next > now), "no busy waiting");
                    }
                }
                Step::Ended { which, outcome } if !flying.is_empty() => {
                    let dial = flying.swap_remove(which.index(flying.len()));
                    let outcome = match outcome {
                        0 => DialOutcome::Verified,
                        1 => DialOutcome::OtherPeer(peer(0)),
                        _ => DialOutcome::Failed,
                    };
                    table.dialled(now, dial.peer, dial.address, outcome);
                    let verified = [DialOutcome::Verified, DialOutcome::OtherPeer(dial.peer)];
                    if verified.contains(&outcome) {
                        connected.insert(dial.peer);
                    }
                }
                Step::Ended { .. } => {}
                Step::Wait(millis) => now += Duration::from_millis(millis),
            }
            prop_assert!(table.len() <= 8);
            prop_assert_eq!(table.dials_in_flight() as usize, flying.len());
        }
    }
}
