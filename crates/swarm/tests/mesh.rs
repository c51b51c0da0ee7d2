//! Rooms of meshes under hundreds of seeds: hosts come, go and finish, invitations cross, messages are lost. A failing
//! test names its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use lanspread_proto::{Hash, PeerId};
use lanspread_swarm::{Mesh, MeshAction, MeshConfig, MeshInput};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const NEIGHBOURS_MOST: usize = 16;
const EVERYONE_MAX: usize = 32;

fn id(host: usize) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&host.to_be_bytes());
    PeerId::new(Hash::from_bytes(bytes))
}

fn host_of(peer: PeerId) -> usize {
    let mut number = [0; 8];
    number.copy_from_slice(&peer.hash().as_bytes()[..8]);
    usize::from_be_bytes(number)
}

struct Member {
    mesh: Mesh,
    group: usize,
    complete: bool,
}

/// A room in virtual time; messages take a few milliseconds, and some are lost.
struct Room {
    now: Instant,
    rng: StdRng,
    loss: f64,
    members: BTreeMap<usize, Member>,
    mail: BTreeMap<(Instant, u64), (usize, usize, MeshInput)>,
    posted: u64,
}

impl Room {
    fn new(seed: u64, loss: f64) -> Self {
        Self {
            now: Instant::now(),
            rng: StdRng::seed_from_u64(seed),
            loss,
            members: BTreeMap::new(),
            mail: BTreeMap::new(),
            posted: 0,
        }
    }

    fn join(&mut self, host: usize, group: usize, complete: bool) {
        let config = MeshConfig {
            me: id(host),
            seed: self.rng.random(),
            wants: !complete,
        };
        let mesh = Mesh::new(&config);
        let member = Member {
            mesh,
            group,
            complete,
        };
        let others: Vec<usize> = self.members.keys().copied().collect();
        self.members.insert(host, member);
        for other in others {
            self.introduce(host, other);
            self.introduce(other, host);
        }
    }

    fn introduce(&mut self, host: usize, other: usize) {
        let (one, two) = (&self.members[&host], &self.members[&other]);
        let input = MeshInput::Known {
            peer: id(other),
            near: one.group == two.group,
            complete: two.complete,
        };
        self.tell(host, input);
    }

    fn leave(&mut self, host: usize) {
        self.members.remove(&host);
        self.mail
            .retain(|_, (from, to, _)| *from != host && *to != host);
        for other in self.hosts() {
            self.tell(other, MeshInput::Gone { peer: id(host) });
        }
    }

    fn finish(&mut self, host: usize) {
        if let Some(member) = self.members.get_mut(&host) {
            member.complete = true;
        }
        self.tell(host, MeshInput::Finished);
        for other in self.hosts().into_iter().filter(|other| *other != host) {
            self.introduce(other, host);
        }
    }

    fn hosts(&self) -> Vec<usize> {
        self.members.keys().copied().collect()
    }

    fn tell(&mut self, host: usize, input: MeshInput) {
        let Some(member) = self.members.get_mut(&host) else {
            return;
        };
        member.mesh.handle(self.now, input);
        let actions: Vec<MeshAction> = std::iter::from_fn(|| member.mesh.poll_action()).collect();
        for action in actions {
            let me = id(host);
            let (to, input) = match action {
                MeshAction::Invite { peer, neighbours } => {
                    let invited = MeshInput::Invited {
                        peer: me,
                        neighbours,
                    };
                    (peer, invited)
                }
                MeshAction::Accept { peer } => (peer, MeshInput::Accepted { peer: me }),
                MeshAction::Decline { peer } => (peer, MeshInput::Declined { peer: me }),
                MeshAction::Part { peer } => (peer, MeshInput::Parted { peer: me }),
                _ => unreachable!("no other action"),
            };
            // Between two hosts messages keep their order, as on a stream.
            let lost = self.rng.random_bool(self.loss);
            let key = (self.now + Duration::from_millis(3), self.posted);
            self.posted += 1;
            if !lost {
                self.mail.insert(key, (host, host_of(to), input));
            }
        }
        let degree = self.members[&host].mesh.neighbours().count();
        let bound = NEIGHBOURS_MOST.max(EVERYONE_MAX);
        assert!(degree <= bound, "{degree} neighbours");
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let mail = self.mail.first_entry();
            let mail_at = mail.as_ref().map(|mail| mail.key().0);
            let deadlines = self.members.iter().filter_map(|(host, member)| {
                let due = member.mesh.next_deadline()?;
                Some((due, *host))
            });
            let tick = deadlines.min();
            let is_mail = mail_at.is_some_and(|at| tick.is_none_or(|(due, _)| at <= due));
            if let Some(mail) = mail.filter(|mail| is_mail && mail.key().0 <= end) {
                self.now = self.now.max(mail.key().0);
                let (_, to, input) = mail.remove();
                self.tell(to, input);
            } else if let Some((due, host)) = tick.filter(|(due, _)| *due <= end) {
                self.now = self.now.max(due);
                self.tell(host, MeshInput::Tick);
                let next = self.members[&host].mesh.next_deadline();
                assert!(next.is_none_or(|next| next > self.now), "time stands still");
            } else {
                break;
            }
        }
        self.now = end;
    }

    fn neighbours(&self, host: usize) -> BTreeSet<usize> {
        let mesh = &self.members[&host].mesh;
        mesh.neighbours().map(host_of).collect()
    }

    fn assert_mutual(&self, seed: u64) {
        for host in self.hosts() {
            for other in self.neighbours(host) {
                let both = self.neighbours(other).contains(&host);
                assert!(both, "seed {seed}: {host} has {other}, which does not");
                let useless = self.members[&host].complete && self.members[&other].complete;
                assert!(!useless, "seed {seed}: both have everything");
            }
        }
    }

    fn assert_connected(&self, seed: u64) {
        let hosts = self.hosts();
        let mut reached = BTreeSet::from([hosts[0]]);
        let mut fresh = vec![hosts[0]];
        while let Some(host) = fresh.pop() {
            for other in self.neighbours(host) {
                if reached.insert(other) {
                    fresh.push(other);
                }
            }
        }
        assert_eq!(reached.len(), hosts.len(), "seed {seed}: islands");
    }

    fn assert_served(&self, seed: u64) {
        for (host, member) in &self.members {
            let alone = member.complete || self.members.len() == 1;
            let degree = member.mesh.neighbours().count();
            assert!(alone || degree > 0, "seed {seed}: {host} has nobody");
            if self.members.len() > EVERYONE_MAX + 1 {
                assert!(degree <= EVERYONE_MAX, "seed {seed}: {degree}");
            }
        }
    }
}

/// One source, and others that come within two seconds.
fn some_room(seed: u64, loss: f64, groups: usize) -> (Room, usize) {
    let mut room = Room::new(seed, loss);
    let hosts = room.rng.random_range(2..61);
    room.join(0, 0, true);
    for host in 1..hosts {
        room.join(host, host % groups, false);
        let pause = room.rng.random_range(0..4) * 10;
        room.run(Duration::from_millis(pause));
    }
    (room, hosts)
}

#[test]
fn whatever_comes_and_goes_all_who_stay_are_one_room() {
    for seed in 0..150 {
        let groups = if seed % 2 == 0 { 1 } else { 3 };
        let (mut room, hosts) = some_room(seed, 0.0, groups);
        let mut next = hosts;
        for _ in 0..20 {
            let present = room.hosts();
            let one = present[room.rng.random_range(0..present.len())];
            match room.rng.random_range(0..4) {
                0 if one != 0 => room.leave(one),
                1 if one != 0 && !room.members[&one].complete => room.finish(one),
                _ => {
                    room.join(next, next % groups, false);
                    next += 1;
                }
            }
            let pause = room.rng.random_range(0..3_000);
            room.run(Duration::from_millis(pause));
        }
        room.run(Duration::from_secs(5));
        room.assert_served(seed);
        // A redeal may be under way at any moment; in the quiet between two the relation is mutual.
        room.settle();
        room.assert_mutual(seed);
        room.assert_connected(seed);
    }
}

#[test]
fn lost_messages_leave_no_lasting_half_of_a_pair() {
    for seed in 1_000..1_100 {
        let (mut room, _) = some_room(seed, 0.2, 1);
        room.run(Duration::from_mins(1));
        room.loss = 0.0;
        room.run(Duration::from_secs(70));
        room.settle();
        room.assert_mutual(seed);
        room.assert_served(seed);
        room.assert_connected(seed);
    }
}

#[test]
fn a_latecomer_to_a_full_room_has_neighbours_within_seconds() {
    for seed in 2_000..2_040 {
        let mut room = Room::new(seed, 0.0);
        room.join(0, 0, true);
        (1..60).for_each(|host| room.join(host, 0, false));
        room.run(Duration::from_secs(10));
        room.join(60, 0, false);
        room.run(Duration::from_secs(3));
        let degree = room.neighbours(60).len();
        assert!(degree >= 12, "seed {seed}: {degree}");
        let source = room.neighbours(0).len();
        assert!(
            (12..=NEIGHBOURS_MOST).contains(&source),
            "seed {seed}: {source}"
        );
    }
}

#[test]
fn most_neighbours_are_near_and_some_are_far() {
    for seed in 3_000..3_020 {
        let mut room = Room::new(seed, 0.0);
        room.join(0, 0, true);
        (1..100).for_each(|host| room.join(host, host % 4, false));
        room.run(Duration::from_secs(10));
        for host in room.hosts() {
            let far = room
                .neighbours(host)
                .iter()
                .filter(|other| **other % 4 != host % 4)
                .count();
            assert!((1..=3).contains(&far), "seed {seed}: {far} far ones");
        }
    }
}

impl Room {
    /// Lets messages that are under way arrive.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            if self.mail.is_empty() {
                return;
            }
            self.run(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_room_that_fills_slowly_ends_with_as_few_neighbours_as_one_that_begins_full() {
    for seed in 0..20 {
        let mut room = Room::new(seed, 0.0);
        room.join(0, 0, true);
        for host in 1..48 {
            room.join(host, 0, false);
            room.run(Duration::from_millis(20));
        }
        room.run(Duration::from_secs(8));
        for (host, member) in &room.members {
            let degree = member.mesh.neighbours().count();
            let few = 8..=NEIGHBOURS_MOST;
            assert!(few.contains(&degree), "seed {seed}: {host} has {degree}");
        }
    }
}

/// A mesh that knows one other host and stands to it as the name says.
fn standing(name: &str, now: Instant) -> Mesh {
    let mut mesh = Mesh::new(&MeshConfig {
        me: id(0),
        seed: 1,
        wants: true,
    });
    let peer = id(1);
    let known = MeshInput::Known {
        peer,
        near: true,
        complete: false,
    };
    let so_far = match name {
        "unknown" => vec![],
        "invited" => vec![known],
        "stranger" => vec![known, MeshInput::Declined { peer }],
        _ => vec![known, MeshInput::Accepted { peer }],
    };
    for input in so_far {
        mesh.handle(now, input);
        while mesh.poll_action().is_some() {}
    }
    mesh
}

#[test]
fn every_state_answers_every_event() {
    let peer = id(1);
    let events = [
        (
            "invites us",
            MeshInput::Invited {
                peer,
                neighbours: 3,
            },
        ),
        ("accepts", MeshInput::Accepted { peer }),
        ("declines", MeshInput::Declined { peer }),
        ("parts", MeshInput::Parted { peer }),
        ("goes", MeshInput::Gone { peer }),
        ("4 s pass", MeshInput::Tick),
    ];
    let mut table = String::new();
    for state in ["unknown", "stranger", "invited", "neighbour"] {
        for (event, input) in events {
            let mut now = Instant::now();
            let mut mesh = standing(state, now);
            if input == MeshInput::Tick {
                now += Duration::from_secs(4);
            }
            mesh.handle(now, input);
            let said = std::iter::from_fn(|| mesh.poll_action()).map(|action| match action {
                MeshAction::Invite { .. } => "invite ",
                MeshAction::Accept { .. } => "accept ",
                MeshAction::Decline { .. } => "decline ",
                _ => "part ",
            });
            let said: String = said.collect();
            let is_neighbour = if mesh.contains(peer) {
                "neighbour"
            } else {
                "-"
            };
            let row = format!("{state:9} | {event:10} | {said:12} | {is_neighbour}\n");
            table.push_str(&row);
        }
    }
    let expected = "\
unknown   | invites us | accept       | neighbour\n\
unknown   | accepts    | part         | -\n\
unknown   | declines   |              | -\n\
unknown   | parts      |              | -\n\
unknown   | goes       |              | -\n\
unknown   | 4 s pass   |              | -\n\
stranger  | invites us | accept       | neighbour\n\
stranger  | accepts    | part         | -\n\
stranger  | declines   |              | -\n\
stranger  | parts      |              | -\n\
stranger  | goes       |              | -\n\
stranger  | 4 s pass   | invite       | -\n\
invited   | invites us | accept       | neighbour\n\
invited   | accepts    |              | neighbour\n\
invited   | declines   |              | -\n\
invited   | parts      |              | -\n\
invited   | goes       |              | -\n\
invited   | 4 s pass   | part         | -\n\
neighbour | invites us | accept       | neighbour\n\
neighbour | accepts    |              | neighbour\n\
neighbour | declines   |              | -\n\
neighbour | parts      |              | -\n\
neighbour | goes       |              | -\n\
neighbour | 4 s pass   |              | neighbour\n\
";
    assert_eq!(table, expected, "\n{table}");
}
