//! The in-memory twin keeps the promises of `Discovery`.

use std::net::{IpAddr, Ipv4Addr};

use lanspread_mdns::{
    Announcement, Discovery, DiscoveryError, MemoryNetwork, SIGHTINGS_QUEUE_MAX, Sighting,
};
use lanspread_proto::{Hash, PeerId};

fn peer(name: &str) -> PeerId {
    PeerId::new(Hash::of(name.as_bytes()))
}

fn here() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

fn announcement(digest: u64) -> Announcement {
    Announcement {
        port: 7,
        protocol: 1,
        digest,
        party: "open".parse().expect("a party hint"),
    }
}

fn seen(sighting: Option<Sighting>) -> (PeerId, u64) {
    match sighting {
        Some(Sighting::Seen(candidate)) => (candidate.peer, candidate.digest),
        other => panic!("not seen: {other:?}"),
    }
}

#[tokio::test]
async fn peers_see_each_other_and_not_themselves() {
    let network = MemoryNetwork::new();
    let [a, b] = ["a", "b"].map(|name| network.join(peer(name), here()));
    a.announce(announcement(1)).unwrap();
    let mut at_b = b.sightings();
    assert_eq!(
        seen(at_b.recv().await),
        (peer("a"), 1),
        "whoever is there is told first"
    );
    a.announce(announcement(2)).unwrap();
    assert_eq!(seen(at_b.recv().await), (peer("a"), 2), "an update is told");
    b.announce(announcement(3)).unwrap();
    assert_eq!(seen(a.sightings().recv().await), (peer("b"), 3));
    assert!(at_b.try_recv().is_err(), "nobody hears of itself");
}

#[tokio::test]
async fn a_goodbye_is_heard_and_a_crash_is_not() {
    let network = MemoryNetwork::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| network.join(peer(name), here()));
    a.announce(announcement(1)).unwrap();
    b.announce(announcement(1)).unwrap();
    let mut at_c = c.sightings();
    seen(at_c.recv().await);
    seen(at_c.recv().await);
    a.withdraw().await.unwrap();
    a.withdraw().await.unwrap();
    assert_eq!(at_c.recv().await, Some(Sighting::Gone(peer("a"))));
    b.crash();
    drop(b);
    assert!(at_c.try_recv().is_err());
    network.inject(&Sighting::Gone(peer("b")));
    assert_eq!(
        at_c.recv().await,
        Some(Sighting::Gone(peer("b"))),
        "its records expired"
    );
}

#[tokio::test]
async fn what_cannot_be_announced_is_refused() {
    let a = MemoryNetwork::new().join(peer("a"), here());
    let nowhere = Announcement {
        port: 0,
        ..announcement(1)
    };
    assert!(matches!(
        a.announce(nowhere),
        Err(DiscoveryError::NoPort { .. })
    ));
    a.withdraw().await.unwrap();
    assert!(matches!(
        a.announce(announcement(1)),
        Err(DiscoveryError::Withdrawn { .. })
    ));
    assert_eq!(a.sightings().recv().await, None);
}

#[tokio::test]
async fn a_new_subscription_ends_the_former() {
    let network = MemoryNetwork::new();
    let a: Box<dyn Discovery> = Box::new(network.join(peer("a"), here()));
    let mut first = a.sightings();
    let _second = a.sightings();
    assert_eq!(first.recv().await, None);
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_cut_off_and_may_come_again() {
    let network = MemoryNetwork::new();
    let [a, b] = ["a", "b"].map(|name| network.join(peer(name), here()));
    let mut behind = b.sightings();
    for digest in 0..=SIGHTINGS_QUEUE_MAX as u64 {
        a.announce(announcement(digest)).unwrap();
    }
    let mut read = 0;
    while behind.recv().await.is_some() {
        read += 1;
    }
    assert_eq!(read, SIGHTINGS_QUEUE_MAX);
    assert_eq!(
        seen(b.sightings().recv().await),
        (peer("a"), SIGHTINGS_QUEUE_MAX as u64)
    );
}

#[tokio::test]
async fn who_rests_hears_nothing_and_is_seen() {
    let network = MemoryNetwork::new();
    let (a, b) = (
        network.join(peer("a"), here()),
        network.join(peer("b"), here()),
    );
    let mut at_a = a.sightings();
    a.rest();
    assert_eq!(at_a.recv().await, None);
    a.announce(announcement(1)).unwrap();
    b.announce(announcement(2)).unwrap();
    assert_eq!(seen(b.sightings().recv().await), (peer("a"), 1));
    assert_eq!(seen(a.sightings().recv().await), (peer("b"), 2));
}
