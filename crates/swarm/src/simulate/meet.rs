//! Who comes and goes, who knows whom, and who exchanges chunks with whom.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    events::Event,
    host::host_of,
    scenario::Neighbours,
    topology,
    world::{SOURCE, World},
};
use crate::{Holding, Input, Member, Mesh, MeshAction, MeshConfig, MeshInput, Plan, PlanConfig};

impl World<'_> {
    // # Coming and going

    /// Who knows whom, whenever both are there.
    pub(super) fn acquaint(&mut self) {
        let hosts: Vec<u32> = (0..u32::try_from(self.hosts.len()).unwrap_or(u32::MAX)).collect();
        let pairs = topology::pairs(&mut self.rng, &hosts, self.scenario.manner.known);
        for (one, other) in pairs {
            self.hosts[one as usize].known.push(other);
            self.hosts[other as usize].known.push(one);
        }
    }

    fn seed(&self, host: u32) -> u64 {
        let seed = self.scenario.seed.wrapping_mul(0x1_0001);
        seed.wrapping_add(u64::from(host))
    }

    pub(super) fn start(&mut self, host: u32) {
        let at = host as usize;
        let wants = self.hosts[at].ledger.is_none() && self.hosts[at].finished.is_none();
        if wants {
            let config = PlanConfig::new(
                self.seed(host),
                self.map.clone(),
                self.hosts[at].has.clone(),
            );
            self.hosts[at].plan = Some(Plan::new(self.epoch + self.now, config));
            self.hosts[at].started.get_or_insert(self.now);
        }
        if !self.hosts[at].present {
            self.hosts[at].present = true;
            let config = MeshConfig {
                me: self.hosts[at].id,
                seed: self.seed(host),
                wants,
            };
            let is_mesh = self.scenario.manner.neighbours == Neighbours::Mesh;
            self.hosts[at].mesh = is_mesh.then(|| Mesh::new(&config));
            for other in self.those_there(host) {
                if is_mesh {
                    self.tell_known(host, other);
                    self.tell_known(other, host);
                } else {
                    self.meet(host, other);
                    self.meet(other, host);
                }
            }
        }
        self.drain(host);
        self.tell_groups();
    }

    /// All plans are told who is where.
    fn tell_groups(&mut self) {
        if !self.scenario.room.groups || self.trunks.is_empty() {
            return;
        }
        let here = self.hosts.iter().filter(|host| host.present);
        let members: Arc<[Member]> = here
            .map(|host| Member {
                peer: host.id,
                group: Some(self.trunks[host.switch].name.clone()),
                lacks_some: host.plan.is_some(),
            })
            .collect();
        for at in 0..self.hosts.len() {
            let host = &self.hosts[at];
            if host.present && host.plan.is_some() {
                let input = Input::Groups {
                    me: host.id,
                    ours: self.trunks[host.switch].name.clone(),
                    members: members.clone(),
                };
                self.feed(host_of(host.id), input);
            }
        }
    }

    pub(super) fn leave(&mut self, host: u32) {
        let at = host as usize;
        if self.hosts[at].finished.is_some() && host != SOURCE {
            return;
        }
        self.hosts[at].present = false;
        self.hosts[at].mesh = None;
        self.hosts[at].ticks_at = None;
        let peer = self.hosts[at].id;
        for other in self.those_there(host) {
            self.part(host, other);
            self.part(other, host);
            self.tell(other, MeshInput::Gone { peer });
        }
        self.hosts[at].plan = None;
        self.hosts[at].wakes_at = None;
        self.tell_groups();
    }

    fn those_there(&self, host: u32) -> Vec<u32> {
        let known = self.hosts[host as usize].known.iter().copied();
        known
            .filter(|other| self.hosts[*other as usize].present)
            .collect()
    }

    // # What meshes are told

    fn tell_known(&mut self, host: u32, other: u32) {
        let told_of = &self.hosts[other as usize];
        let near = told_of.switch == self.hosts[host as usize].switch;
        let input = MeshInput::Known {
            peer: told_of.id,
            near: near || !self.scenario.room.groups,
            complete: told_of.has.is_full(),
        };
        self.tell(host, input);
    }

    /// A host has everything from now on.
    pub(super) fn tell_of_the_end(&mut self, host: u32) {
        self.tell(host, MeshInput::Finished);
        for other in self.those_there(host) {
            self.tell_known(other, host);
        }
        self.tell_groups();
    }

    /// A message reaches a host, unless its sender is gone since.
    pub(super) fn told(&mut self, host: u32, by: u32, input: MeshInput) {
        if self.hosts[by as usize].present {
            self.tell(host, input);
        }
    }

    fn tell(&mut self, host: u32, input: MeshInput) {
        let now = self.epoch + self.now;
        let at = host as usize;
        let Some(mesh) = &mut self.hosts[at].mesh else {
            return;
        };
        mesh.handle(now, input);
        let mut actions = Vec::new();
        actions.extend(std::iter::from_fn(|| mesh.poll_action()));
        let due = mesh.next_deadline();
        let neighbours: BTreeSet<u32> = mesh.neighbours().map(host_of).collect();
        let due = due.map(|due| due.saturating_duration_since(self.epoch).max(self.now));
        let sooner = |due: &Duration| self.hosts[at].ticks_at.is_none_or(|at| *due < at);
        if let Some(due) = due.filter(sooner) {
            self.hosts[at].ticks_at = Some(due);
            self.events.at(due, Event::Tick { host });
        }
        if neighbours != self.hosts[at].neighbours {
            let before = self.hosts[at].neighbours.clone();
            for other in before.difference(&neighbours) {
                self.part(host, *other);
            }
            for other in neighbours.difference(&before) {
                self.meet(host, *other);
            }
        }
        for action in actions {
            self.pass_on(host, action);
        }
    }

    pub(super) fn tick(&mut self, host: u32) {
        let at = host as usize;
        if self.hosts[at].ticks_at.is_none_or(|due| due > self.now) {
            return;
        }
        self.hosts[at].ticks_at = None;
        self.tell(host, MeshInput::Tick);
    }

    fn pass_on(&mut self, host: u32, action: MeshAction) {
        let me = self.hosts[host as usize].id;
        let (other, input) = match action {
            MeshAction::Invite { peer, neighbours } => {
                let peer_is_told = MeshInput::Invited {
                    peer: me,
                    neighbours,
                };
                (peer, peer_is_told)
            }
            MeshAction::Accept { peer } => (peer, MeshInput::Accepted { peer: me }),
            MeshAction::Decline { peer } => (peer, MeshInput::Declined { peer: me }),
            MeshAction::Part { peer } => (peer, MeshInput::Parted { peer: me }),
        };
        let arrives = self.now + self.scenario.room.round_trip / 2;
        let (by, host) = (host, host_of(other));
        self.events.at(arrives, Event::Told { host, by, input });
    }

    // # Neighbours

    /// A host exchanges chunks with another from now on.
    fn meet(&mut self, host: u32, other: u32) {
        if !self.hosts[other as usize].present {
            return;
        }
        for (src, dst) in [(host, other), (other, host)] {
            if !self.hosts[src as usize].wires.contains_key(&dst) {
                let wire = u32::try_from(self.wires.len()).unwrap_or(u32::MAX);
                self.wires.push(super::host::Wire::new(src, dst));
                self.hosts[src as usize].wires.insert(dst, wire);
            }
        }
        let at = host as usize;
        self.hosts[at].neighbours.insert(other);
        let most = self.hosts[at].neighbours.len();
        self.hosts[at].most_neighbours = self.hosts[at].most_neighbours.max(most);
        self.introduce(other, host);
    }

    /// A host exchanges no more chunks with another, which may hear of it later and is served until then.
    fn part(&mut self, host: u32, other: u32) {
        if !self.hosts[host as usize].neighbours.remove(&other) {
            return;
        }
        let peer = self.hosts[other as usize].id;
        self.feed(host, Input::PeerLeft { peer });
        if self.hosts[other as usize].neighbours.contains(&host) {
            return;
        }
        for (src, dst) in [(host, other), (other, host)] {
            if let Some(wire) = self.hosts[src as usize].wires.remove(&dst) {
                self.cut(wire);
            }
        }
    }

    /// Tells `host` what its neighbour `other` has.
    fn introduce(&mut self, other: u32, host: u32) {
        if self.hosts[host as usize].plan.is_none() {
            return;
        }
        let (peer, has) = (
            self.hosts[other as usize].id,
            &self.hosts[other as usize].has,
        );
        let has = if has.is_full() {
            Holding::Everything
        } else {
            Holding::Only(has.clone())
        };
        self.feed(host, Input::PeerJoined { peer, has });
        let rtt = self.scenario.room.round_trip;
        self.feed(host, Input::RoundTrip { peer, rtt });
    }
}
