//! Peers that speak the protocol and lie, and what an honest peer does about it.
//!
//! An [`Adversary`] is built on the real transport: it calls real peers and sends them what it likes. A
//! [`Liar`] is called by real peers and answers them as [`Lies`] say. Each story ends with a promise:
//! the next honest client is served, the download is byte-identical, nothing grows without bound.

mod clients;
mod connections;
mod expanded;
mod frames;
mod lanes;
mod liar;
mod manifests;
mod pushes;
mod readers;
mod sources;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use lanspread_disk::{StateDir, StoredPayload};
use lanspread_proto::{
    CHUNK_BYTES, ChunkMap, FileEntry, GameId, Hash, Manifest, PeerId,
    chunk::chunk_hash,
    frame,
    message::{Answer, GameSummary, Hello, PROTOCOL_VERSION, RefusalCode, Request},
};
use lanspread_testkit::{GameTree, eventually, tree};
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    DownloadRequest, OperationError, PeerConfig, PeerRuntimeHandle, Services,
    party::Party,
    session, start_peer,
    transport::{Endpoint, EndpointConfig, Identity, Incoming, Link, LinkStreams, WireError},
};

const MIB: usize = 1024 * 1024;

/// What an honest client may wait for while others misbehave.
const HONEST_DEADLINE: Duration = Duration::from_secs(5);

/// Longer than every time-out of the protocol, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A machine on the network that is not one of ours.
struct Adversary {
    id: PeerId,
    endpoint: Endpoint,
    incoming: Incoming,
    _state: TempDir,
}

impl Adversary {
    fn new() -> Self {
        Self::with_state(tempfile::tempdir().unwrap(), Ipv4Addr::LOCALHOST)
    }

    /// One that calls from this address of the loopback network.
    fn calling_from(ip: Ipv4Addr) -> Self {
        Self::with_state(tempfile::tempdir().unwrap(), ip)
    }

    /// One with the identity of a state directory.
    fn with_state(state: TempDir, ip: Ipv4Addr) -> Self {
        let party = Party::open();
        let opened = StateDir::open(state.path()).unwrap();
        let identity = Identity::load_or_make(&opened, &party).unwrap();
        let (endpoint, incoming) = Endpoint::bind(&EndpointConfig {
            listen: SocketAddr::new(IpAddr::V4(ip), 0),
            listen_elsewhere: false,
            identity: &identity,
            party: &party,
            connections_per_address_max: usize::MAX,
            loopback_exempt: true,
        })
        .unwrap();
        Self {
            id: identity.id,
            endpoint,
            incoming,
            _state: state,
        }
    }

    async fn call(&self, peer: &RealPeer) -> (Link, LinkStreams) {
        let dialled = timeout(PATIENCE, self.endpoint.dial(peer.addr(), None)).await;
        dialled.expect("an answer in time").unwrap()
    }
}

/// A real peer, started as an embedder starts one.
struct RealPeer {
    handle: PeerRuntimeHandle,
    dir: TempDir,
}

impl RealPeer {
    /// One that serves `games`.
    async fn serving(games: &[&GameTree]) -> Self {
        Self::start(games, |_| {}).await
    }

    /// One that has nothing and connects to these.
    async fn knowing(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let peers = addresses.into_iter().map(|addr| addr.to_string());
        Self::start(&[], |config| config.manual_peers = peers.collect()).await
    }

    async fn start(games: &[&GameTree], change: impl FnOnce(&mut PeerConfig)) -> Self {
        Self::start_with(Services::default(), games, change).await
    }

    async fn start_with(
        services: Services,
        games: &[&GameTree],
        change: impl FnOnce(&mut PeerConfig),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = PeerConfig::isolated(dir.path());
        for game in games {
            game.write_to(&config.game_dir);
        }
        change(&mut config);
        let handle = start_peer(config, services, None).await.unwrap();
        let peer = Self { handle, dir };
        eventually("all games announced", || {
            peer.handle.context.shelf.shown().borrow().games.len() == games.len()
        })
        .await;
        peer
    }

    fn addr(&self) -> SocketAddr {
        self.handle.listen_addr()
    }

    fn game_dir(&self) -> PathBuf {
        self.dir.path().join("games")
    }

    /// Fails unless a newcomer gets the manifest and a chunk of `wares` soon.
    async fn serves(&self, wares: &Wares) {
        let honest = Adversary::new();
        let served = async {
            let (link, _streams) = dial(&honest, self).await?;
            ask(&link, &Request::Hello(hello(1))).await?;
            let payload = session::fetch_manifest(&link, &wares.game, wares.payload.id()).await?;
            assert_eq!(payload.id(), wares.payload.id());
            let run = Request::GetGameFileChunk {
                manifest: payload.id(),
                first: 0,
                count: 1,
            };
            let mut answer = session::request(&link, &run).await?;
            session::answer(&mut answer).await?;
            answer.exactly(wares.run(0, 1).len(), "a chunk").await
        };
        let served = timeout(HONEST_DEADLINE, served).await;
        let served = served.expect("an honest client is served in time");
        assert!(served.unwrap() == wares.run(0, 1), "the chunk differs");
    }

    /// Downloads `wares`; the end, whichever, must come in time.
    async fn fetch(&self, wares: &Wares, deadline: Duration) -> Result<(), OperationError> {
        let request = DownloadRequest::latest(wares.game.clone());
        let download = self.handle.download(request).await.unwrap();
        let ended = timeout(deadline, download).await;
        ended.expect("the download ends in time").map(drop)
    }

    /// Waits until this many peers offer `game`.
    async fn sees(&self, game: &GameId, sources: usize) {
        eventually("sources", || {
            self.handle.game_db().offers(game).len() >= sources
        })
        .await;
    }
}

async fn dial(client: &Adversary, peer: &RealPeer) -> Result<(Link, LinkStreams), WireError> {
    let dialled = client.endpoint.dial(peer.addr(), None).await;
    dialled.map_err(|error| WireError::Invalid(Box::new(error)))
}

/// A game of one file, as a tree on the disk and as it travels.
#[derive(Clone)]
struct Wares {
    game: GameId,
    payload: StoredPayload,
    content: Bytes,
}

/// A game of this id whose one file has `count` bytes.
fn game(id: &str, count: usize) -> (GameTree, Wares) {
    game_of(id, "big.pak", count)
}

/// A game of this id whose one file has this name and `count` bytes.
fn game_of(id: &str, name: &str, count: usize) -> (GameTree, Wares) {
    let tree = tree(id, "1.0").file(name, count);
    let content = lanspread_testkit::bytes(&format!("{id}/1.0/{name}"), count);
    let sole = count as u64 <= CHUNK_BYTES;
    let hashes: Vec<Hash> = content
        .chunks(MIB)
        .zip((0..).step_by(MIB))
        .map(|(data, offset)| chunk_hash(data, offset, sole))
        .collect();
    let file = FileEntry {
        path: name.parse().unwrap(),
        size: count as u64,
        executable: false,
        hash: Hash::of(&content),
    };
    let manifest = Manifest::new(b"1.0\n".to_vec(), vec![file], Vec::new()).unwrap();
    let wares = Wares {
        game: id.parse().unwrap(),
        payload: StoredPayload::new(Arc::new(manifest), hashes.into()).unwrap(),
        content: content.into(),
    };
    (tree, wares)
}

impl Wares {
    fn map(&self) -> ChunkMap {
        self.payload.manifest().chunk_map()
    }

    fn run(&self, first: u32, count: u32) -> Bytes {
        let end = ((first + count) as usize * MIB).min(self.content.len());
        self.content.slice(first as usize * MIB..end)
    }

    fn summary(&self) -> GameSummary {
        GameSummary {
            id: self.game.clone(),
            name: None,
            version: "1.0".parse().unwrap(),
            manifest: self.payload.id(),
            bytes: self.content.len() as u64,
            complete: true,
        }
    }
}

fn hello(listen_port: u16) -> Hello {
    Hello {
        name: "mallory".into(),
        version: "0.0.0".into(),
        protocol: PROTOCOL_VERSION,
        features: Vec::new(),
        listen_port,
        incarnation: 7,
        call: 1,
        library_revision: 0,
        group: None,
    }
}

fn framed<T: Serialize>(message: &T) -> Bytes {
    frame::encode(message).unwrap()
}

/// A frame around bytes that may be anything.
fn frame_of(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

/// Asks as our own protocol does.
async fn ask(link: &Link, request: &Request) -> Result<Answer, WireError> {
    let mut receive = session::request(link, request).await?;
    session::answer(&mut receive).await
}

/// Sends these bytes as a request and returns the first frame of what comes back.
async fn send_raw(link: &Link, bytes: impl Into<Bytes>) -> Result<Answer, WireError> {
    let (mut send, mut receive) = link.open().await?;
    send.bytes(bytes.into()).await?;
    send.finish()?;
    session::answer(&mut receive).await
}

/// The code of a refusal; anything else fails.
fn refusal(answer: Result<Answer, WireError>) -> RefusalCode {
    match answer {
        Err(WireError::Refused(refusal)) => refusal.code,
        other => panic!("not a refusal: {other:?}"),
    }
}

/// Waits until the other side has ended a connection.
async fn closed(streams: &mut LinkStreams) {
    let ended = async { while streams.next().await.is_ok() {} };
    timeout(PATIENCE, ended)
        .await
        .expect("the connection is closed in time");
}
