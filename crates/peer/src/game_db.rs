//! What every other peer serves: the remote half of the library.
//!
//! Filled by the sessions, read by everyone. One short lock; nothing here blocks or waits.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lanspread_proto::{
    ChunkSet, GameId, GroupName, ManifestId, PeerId, Version, limits, message::GameSummary,
};

use crate::view::PeerView;

/// Payloads of which one peer may tell us its chunks at the same time; it downloads that many at once.
const PARTIAL_PAYLOADS_MAX: usize = 64;

/// The games of every connected peer: the newest version of each title, and who has which manifest.
///
/// A cheap handle: clones see the same data. Hand one to [`crate::PeerConfig::game_db`] to read it
/// beside the peer.
#[derive(Debug, Clone, Default)]
pub struct PeerGameDB(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    peers: HashMap<PeerId, RemotePeer>,
}

#[derive(Debug)]
struct RemotePeer {
    name: String,
    group: Option<GroupName>,
    addr: SocketAddr,
    rtt: Option<Duration>,
    games: BTreeMap<GameId, GameSummary>,
    held: HashMap<ManifestId, ChunkSet>,
}

impl RemotePeer {
    fn held(&self, manifest: ManifestId) -> Option<Held> {
        let game = self.games.values().find(|game| game.manifest == manifest)?;
        Some(if game.complete {
            Held::All
        } else {
            let none = || ChunkSet::empty(0);
            Held::Some(self.held.get(&manifest).cloned().unwrap_or_else(none))
        })
    }
}

/// One peer's offer of a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Who offers it.
    pub peer: PeerId,
    /// What is offered.
    pub summary: GameSummary,
}

/// What the peers together know of one title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTitle {
    /// A name that some peer has for it.
    pub name: Option<String>,
    /// The newest version on offer.
    pub newest: Version,
    /// The size in bytes of the newest version.
    pub bytes: u64,
    /// Who offers it, in any version, complete or partial.
    pub offers: Vec<Offer>,
}

/// Which chunks of a payload a peer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    All,
    Some(ChunkSet),
}

impl PeerGameDB {
    /// The connected peers, ordered by name.
    pub fn peers(&self) -> Vec<PeerView> {
        let tables = self.lock();
        let mut peers: Vec<_> = tables
            .peers
            .iter()
            .map(|(id, peer)| PeerView {
                id: *id,
                name: peer.name.clone(),
                addr: peer.addr,
                rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
                games: peer.games.len(),
            })
            .collect();
        peers.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        peers
    }

    /// How many peers are connected.
    pub fn peer_count(&self) -> usize {
        self.lock().peers.len()
    }

    /// Every title that some peer serves.
    pub fn titles(&self) -> BTreeMap<GameId, RemoteTitle> {
        let mut titles: BTreeMap<GameId, RemoteTitle> = BTreeMap::new();
        for (peer, remote) in &self.lock().peers {
            for summary in remote.games.values() {
                let title = titles
                    .entry(summary.id.clone())
                    .or_insert_with(|| RemoteTitle {
                        name: None,
                        newest: summary.version.clone(),
                        bytes: summary.bytes,
                        offers: Vec::new(),
                    });
                if summary.version > title.newest {
                    title.newest = summary.version.clone();
                    title.bytes = summary.bytes;
                }
                title.name = title.name.take().or_else(|| summary.name.clone());
                title.offers.push(Offer {
                    peer: *peer,
                    summary: summary.clone(),
                });
            }
        }
        for title in titles.values_mut() {
            title.offers.sort_by_key(|offer| offer.peer);
        }
        titles
    }

    /// Who offers `game`, ordered by peer.
    pub fn offers(&self, game: &GameId) -> Vec<Offer> {
        let mut offers: Vec<_> = self
            .lock()
            .peers
            .iter()
            .filter_map(|(peer, remote)| {
                let summary = remote.games.get(game)?.clone();
                Some(Offer {
                    peer: *peer,
                    summary,
                })
            })
            .collect();
        offers.sort_by_key(|offer| offer.peer);
        offers
    }

    /// A peer's display name.
    pub fn name_of(&self, peer: PeerId) -> Option<String> {
        self.lock()
            .peers
            .get(&peer)
            .map(|remote| remote.name.clone())
    }

    /// The group that a peer says it is in.
    pub(crate) fn group_of(&self, peer: PeerId) -> Option<GroupName> {
        self.lock().peers.get(&peer)?.group.clone()
    }

    // # Filled by sessions

    pub(crate) fn joined(
        &self,
        peer: PeerId,
        name: String,
        addr: SocketAddr,
        group: Option<GroupName>,
    ) {
        let mut tables = self.lock();
        let remote = tables.peers.entry(peer).or_insert_with(|| RemotePeer {
            name: String::new(),
            group: None,
            addr,
            rtt: None,
            games: BTreeMap::new(),
            held: HashMap::new(),
        });
        remote.name = name;
        remote.group = group;
        remote.addr = addr;
    }

    pub(crate) fn left(&self, peer: PeerId) {
        self.lock().peers.remove(&peer);
    }

    pub(crate) fn measured(&self, peer: PeerId, rtt: Duration) {
        if let Some(remote) = self.lock().peers.get_mut(&peer) {
            remote.rtt = Some(rtt);
        }
    }

    pub(crate) fn rtt(&self, peer: PeerId) -> Option<Duration> {
        self.lock().peers.get(&peer)?.rtt
    }

    /// Takes a change of a peer's games. Games beyond [`limits::GAMES_PER_PEER_MAX`] are not kept.
    pub(crate) fn games_changed(
        &self,
        peer: PeerId,
        reset: bool,
        upserted: Vec<GameSummary>,
        removed: &[GameId],
    ) {
        let mut tables = self.lock();
        let Some(remote) = tables.peers.get_mut(&peer) else {
            return;
        };
        if reset {
            remote.games.clear();
            remote.held.clear();
        }
        for game in removed {
            remote.games.remove(game);
        }
        for summary in upserted {
            let known = remote.games.contains_key(&summary.id);
            if known || remote.games.len() < limits::GAMES_PER_PEER_MAX {
                remote.games.insert(summary.id.clone(), summary);
            }
        }
        let games = &remote.games;
        remote.held.retain(|manifest, _| {
            games
                .values()
                .any(|game| game.manifest == *manifest && !game.complete)
        });
    }

    /// Takes chunks that a peer gained of a payload that it announced as partial.
    /// `of` is how many chunks the payload has, as the peer says.
    pub(crate) fn chunks_gained(
        &self,
        peer: PeerId,
        manifest: ManifestId,
        of: u32,
        gained: &[(u32, u32)],
    ) {
        let mut tables = self.lock();
        let Some(remote) = tables.peers.get_mut(&peer) else {
            return;
        };
        let partial = |game: &GameSummary| game.manifest == manifest && !game.complete;
        let crowded = remote.held.len() >= PARTIAL_PAYLOADS_MAX;
        let announced = remote.games.values().any(partial);
        if !announced || of > limits::CHUNKS_MAX || crowded && !remote.held.contains_key(&manifest)
        {
            return;
        }
        let held = remote
            .held
            .entry(manifest)
            .or_insert_with(|| ChunkSet::empty(of));
        for (first, count) in gained {
            held.insert_raw(*first, *count);
        }
    }

    /// Whether some peer serves all of this payload.
    pub(crate) fn is_complete_at_any(&self, game: &GameId, manifest: ManifestId) -> bool {
        let tables = self.lock();
        let mut offers = tables
            .peers
            .values()
            .filter_map(|remote| remote.games.get(game));
        offers.any(|offer| offer.complete && offer.manifest == manifest)
    }

    /// Every peer that serves this payload, and which chunks of it.
    pub(crate) fn holders(&self, manifest: ManifestId) -> Vec<(PeerId, Held)> {
        let tables = self.lock();
        let holds = |(peer, remote): (&PeerId, &RemotePeer)| Some((*peer, remote.held(manifest)?));
        tables.peers.iter().filter_map(holds).collect()
    }

    /// Which chunks of this payload a peer serves; `None` when it does not serve it at all.
    pub(crate) fn held_by(&self, peer: PeerId, manifest: ManifestId) -> Option<Held> {
        self.lock().peers.get(&peer)?.held(manifest)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::Hash;

    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::new(Hash::from_bytes([n; 32]))
    }

    fn summary(id: &str, version: &str, complete: bool) -> GameSummary {
        GameSummary {
            id: id.parse().unwrap(),
            name: None,
            version: version.parse().unwrap(),
            manifest: ManifestId::new(Hash::of(version.as_bytes())),
            bytes: 10,
            complete,
        }
    }

    fn with_peers(count: u8) -> PeerGameDB {
        let db = PeerGameDB::default();
        for n in 0..count {
            db.joined(
                peer(n),
                format!("peer {n}"),
                ([127, 0, 0, 1], u16::from(n)).into(),
                None,
            );
        }
        db
    }

    #[test]
    fn a_title_shows_its_newest_version_and_everyone_who_has_some() {
        let db = with_peers(2);
        db.games_changed(peer(0), true, vec![summary("doom", "1.9", true)], &[]);
        db.games_changed(peer(1), true, vec![summary("doom", "1.10", true)], &[]);
        let titles = db.titles();
        let title = &titles[&"doom".parse().unwrap()];
        assert_eq!(title.newest.as_str(), "1.10");
        assert_eq!(title.offers.len(), 2);
    }

    #[test]
    fn a_reset_voids_what_was_said_before() {
        let db = with_peers(1);
        db.games_changed(
            peer(0),
            true,
            vec![summary("a", "1", true), summary("b", "1", true)],
            &[],
        );
        db.games_changed(peer(0), false, vec![], &["a".parse().unwrap()]);
        assert_eq!(db.titles().len(), 1);
        db.games_changed(peer(0), true, vec![], &[]);
        assert!(db.titles().is_empty());
    }

    #[test]
    fn chunks_count_only_for_an_announced_partial_payload_and_within_it() {
        let db = with_peers(1);
        let partial = summary("doom", "1", false);
        db.chunks_gained(peer(0), partial.manifest, 8, &[(0, 8)]);
        assert!(db.holders(partial.manifest).is_empty());
        db.games_changed(peer(0), true, vec![partial.clone()], &[]);
        db.chunks_gained(peer(0), partial.manifest, 8, &[(2, 2), (7, u32::MAX)]);
        let holders = db.holders(partial.manifest);
        let [(_, Held::Some(held))] = holders.as_slice() else {
            panic!("{holders:?}")
        };
        assert_eq!(
            held.iter()
                .map(lanspread_proto::ChunkIndex::get)
                .collect::<Vec<_>>(),
            [2, 3, 7]
        );
        db.games_changed(peer(0), false, vec![summary("doom", "1", true)], &[]);
        assert_eq!(db.holders(partial.manifest), [(peer(0), Held::All)]);
    }

    #[test]
    fn a_peer_that_left_offers_nothing() {
        let db = with_peers(1);
        db.games_changed(peer(0), true, vec![summary("doom", "1", true)], &[]);
        db.left(peer(0));
        assert!(db.offers(&"doom".parse().unwrap()).is_empty());
        assert_eq!(db.peer_count(), 0);
    }
}
