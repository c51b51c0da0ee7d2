//! Discovery inside one process: [`MemoryNetwork`], [`MemoryDiscovery`].
//!
//! The twin of multicast DNS for tests and for several peers in one program. It keeps the same
//! promises, and lets a test play what a LAN does: a crash without a goodbye, a record that expires,
//! a lie.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lanspread_proto::PeerId;
use tokio::sync::mpsc;

use crate::{
    Announcement, Candidate, Discovery, DiscoveryError, SIGHTINGS_QUEUE_MAX, Sighting, Withdrawal,
};

/// A LAN of one process. Clones are the same network.
#[derive(Debug, Clone, Default)]
pub struct MemoryNetwork {
    members: Arc<Mutex<BTreeMap<PeerId, Member>>>,
}

#[derive(Debug, Default)]
struct Member {
    said: Option<Candidate>,
    reader: Option<mpsc::Sender<Sighting>>,
}

impl Member {
    /// Tells this member; a reader that is gone or too far behind loses its subscription.
    fn tell(&mut self, sighting: &Sighting) {
        if self
            .reader
            .as_ref()
            .is_some_and(|reader| reader.try_send(sighting.clone()).is_err())
        {
            self.reader = None;
        }
    }
}

impl MemoryNetwork {
    /// A network without peers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects `me`, reachable at `address`. Whoever had this id before is replaced.
    pub fn join(&self, me: PeerId, address: IpAddr) -> MemoryDiscovery {
        self.members().insert(me, Member::default());
        MemoryDiscovery {
            me,
            address,
            network: self.clone(),
        }
    }

    /// Tells every member but the one it is about. For lies, and for the expiry of a crashed peer's
    /// records.
    pub fn inject(&self, sighting: &Sighting) {
        let about = match sighting {
            Sighting::Seen(candidate) => candidate.peer,
            Sighting::Gone(peer) => *peer,
        };
        for (peer, member) in self.members().iter_mut() {
            if *peer != about {
                member.tell(sighting);
            }
        }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<PeerId, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One peer's place in a [`MemoryNetwork`]. Dropping it is a crash.
#[derive(Debug)]
pub struct MemoryDiscovery {
    me: PeerId,
    address: IpAddr,
    network: MemoryNetwork,
}

impl MemoryDiscovery {
    /// Vanishes without a goodbye: the others hear nothing.
    pub fn crash(&self) {
        self.network.members().remove(&self.me);
    }
}

impl Discovery for MemoryDiscovery {
    fn announce(&self, announcement: Announcement) -> Result<(), DiscoveryError> {
        let Announcement {
            port,
            protocol,
            digest,
            party,
        } = announcement;
        if port == 0 {
            return Err(DiscoveryError::NoPort { peer: self.me });
        }
        let addresses = vec![SocketAddr::new(self.address, port)];
        let candidate = Candidate {
            peer: self.me,
            addresses,
            protocol,
            party,
            digest,
        };
        match self.network.members().get_mut(&self.me) {
            None => return Err(DiscoveryError::Withdrawn { peer: self.me }),
            Some(member) => member.said = Some(candidate.clone()),
        }
        self.network.inject(&Sighting::Seen(candidate));
        Ok(())
    }

    fn sightings(&self) -> mpsc::Receiver<Sighting> {
        let mut members = self.network.members();
        let present: Vec<_> = members
            .iter()
            .filter(|(peer, _)| **peer != self.me)
            .filter_map(|(_, member)| member.said.clone())
            .collect();
        let (sender, receiver) = mpsc::channel(SIGHTINGS_QUEUE_MAX.max(present.len()));
        if let Some(member) = members.get_mut(&self.me) {
            member.reader = Some(sender);
            for candidate in present {
                member.tell(&Sighting::Seen(candidate));
            }
        }
        receiver
    }

    fn rest(&self) {
        if let Some(member) = self.network.members().get_mut(&self.me) {
            member.reader = None;
        }
    }

    fn withdraw(&self) -> Withdrawal<'_> {
        Box::pin(async {
            if self
                .network
                .members()
                .remove(&self.me)
                .is_some_and(|member| member.said.is_some())
            {
                self.network.inject(&Sighting::Gone(self.me));
            }
            Ok(())
        })
    }
}

impl Drop for MemoryDiscovery {
    fn drop(&mut self) {
        self.crash();
    }
}
