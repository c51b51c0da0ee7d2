//! Two daemons in one process find each other over real multicast on loopback, where it works.

use std::{
    io::{Result, Write as _},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use lanspread_mdns::{
    Announcement, Candidate, Discovery, DiscoveryError, InterfaceFilter, MdnsConfig, MdnsDiscovery,
    Reach, Sighting,
};
use lanspread_proto::{Hash, PeerId};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{sync::mpsc, time::timeout};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends a datagram to the group over loopback: the port on which it came back.
fn multicast_port_on_loopback() -> Result<u16> {
    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    receiver.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
    receiver.set_read_timeout(Some(Duration::from_secs(1)))?;
    let port = receiver.local_addr()?.port();
    let sender = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    sender.send_to(b"lanspread", &SocketAddr::from((GROUP, port)).into())?;
    let mut buffer = [0; 16];
    receiver.recv(&mut buffer)?;
    Ok(port)
}

fn start(name: &str, port: u16) -> MdnsDiscovery {
    let interfaces = InterfaceFilter::physical().listening_on(Ipv4Addr::LOCALHOST.into());
    let me = PeerId::new(Hash::of(name.as_bytes()));
    MdnsDiscovery::start(MdnsConfig {
        me,
        interfaces,
        port,
    })
    .expect("it starts")
}

fn announcement(port: u16, digest: u64) -> Announcement {
    Announcement {
        port,
        protocol: 1,
        digest,
        party: "open".parse().expect("a party hint"),
    }
}

/// The first candidate that passes.
async fn until(
    sightings: &mut mpsc::Receiver<Sighting>,
    wanted: impl Fn(&Candidate) -> bool,
) -> Candidate {
    loop {
        let heard = timeout(PATIENCE, sightings.recv())
            .await
            .expect("heard in time");
        match heard.expect("the subscription lives") {
            Sighting::Seen(candidate) if wanted(&candidate) => return candidate,
            _ => {}
        }
    }
}

#[tokio::test]
async fn two_peers_find_each_other_update_and_say_goodbye() {
    let port = match multicast_port_on_loopback() {
        Ok(port) => port,
        Err(error) => {
            let text = "skipped: no multicast on loopback here";
            writeln!(std::io::stderr(), "{text}: {error}").unwrap();
            return;
        }
    };
    let (a, b) = (start("a", port), start("b", port));
    let mut at_b = b.sightings();
    a.announce(announcement(4_001, 1)).unwrap();
    b.announce(announcement(4_002, 1)).unwrap();

    let [id_a, id_b] = ["a", "b"].map(|name| PeerId::new(Hash::of(name.as_bytes())));
    let first = until(&mut at_b, |_| true).await;
    assert_eq!(first.peer, id_a, "and not itself");
    assert_eq!(
        first.addresses,
        [SocketAddr::from((Ipv4Addr::LOCALHOST, 4_001))]
    );
    let mut at_a = a.sightings();
    let late = until(&mut at_a, |_| true).await;
    assert_eq!((late.peer, late.addresses[0].port()), (id_b, 4_002));

    a.announce(announcement(4_001, 2)).unwrap();
    until(&mut at_b, |candidate| candidate.digest == 2).await;
    let mut status = a.status();
    timeout(
        PATIENCE,
        status.wait_for(|status| status.reach == Reach::Announced),
    )
    .await
    .expect("in time")
    .expect("it runs");

    a.withdraw().await.unwrap();
    a.withdraw().await.unwrap();
    assert!(matches!(
        a.announce(announcement(1, 1)),
        Err(DiscoveryError::Withdrawn { .. })
    ));
    assert_eq!(a.sightings().recv().await, None);
    loop {
        let heard = timeout(PATIENCE, at_b.recv())
            .await
            .expect("a goodbye in time");
        if heard.expect("the subscription lives") == Sighting::Gone(id_a) {
            break;
        }
    }
    b.withdraw().await.unwrap();
    assert_eq!(
        at_b.recv().await,
        None,
        "a withdrawal ends the subscription"
    );
}

#[tokio::test]
async fn an_announcement_that_no_interface_takes_is_reported() {
    let interfaces = InterfaceFilter::only(["no such interface"]);
    let me = PeerId::new(Hash::of(b"alone"));
    let port = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let alone = MdnsDiscovery::start(MdnsConfig {
        me,
        interfaces,
        port,
    })
    .unwrap();
    alone.announce(announcement(4_003, 1)).unwrap();
    let mut status = alone.status();
    timeout(
        PATIENCE,
        status.wait_for(|status| status.reach == Reach::NoInterface),
    )
    .await
    .expect("in time")
    .expect("it runs");
    alone.withdraw().await.unwrap();
}

#[test]
fn without_a_runtime_it_does_not_start() {
    let me = PeerId::new(Hash::of(b"a"));
    let refused = MdnsDiscovery::start(MdnsConfig::new(me));
    assert!(matches!(refused, Err(DiscoveryError::NoRuntime { .. })));
}

#[tokio::test]
async fn who_rests_is_seen_and_hears_everybody_when_it_listens_again() {
    let Ok(port) = multicast_port_on_loopback() else {
        // The story above says so.
        return;
    };
    let (a, b) = (start("a", port), start("b", port));
    let [id_a, id_b] = ["a", "b"].map(|name| PeerId::new(Hash::of(name.as_bytes())));
    a.announce(announcement(4_001, 1)).unwrap();
    let mut at_a = a.sightings();
    let mut at_b = b.sightings();
    until(&mut at_b, |candidate| candidate.peer == id_a).await;
    a.rest();
    let ended = async { while at_a.recv().await.is_some() {} };
    timeout(PATIENCE, ended)
        .await
        .expect("the subscription ends");
    b.announce(announcement(4_002, 1)).unwrap();
    let c = start("c", port);
    let mut at_c = c.sightings();
    until(&mut at_c, |candidate| candidate.peer == id_a).await;
    let mut again = a.sightings();
    until(&mut again, |candidate| candidate.peer == id_b).await;
}
