//! What peers say to each other.
//!
//! One bidirectional stream carries one [`Request`] and its answer. The answer begins with an
//! [`Answer`] frame; what follows it is said beside each request. Fields that this version does not
//! know are ignored, so that newer peers may add some.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    group::GroupName,
    hash::Hash,
    id::{GameId, ManifestId, PeerId},
    limits,
    manifest::{FileEntry, Manifest},
    path::GamePath,
    version::Version,
};

/// The protocol's version; the transport's ALPN says `lanspread/1` for it.
pub const PROTOCOL_VERSION: u32 = 1;

/// Entries in one [`ManifestPage`]: the longest paths still fit into one control frame.
pub const ENTRIES_PER_PAGE: usize = 700;

/// Games in one [`GamesPage`].
pub const GAMES_PER_PAGE: usize = 1000;

/// Runs in one [`Push::Chunks`].
pub const RUNS_PER_PUSH: usize = 20_000;

/// What one peer asks of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Request {
    /// Who the asking peer is. Answered by [`Answer::Hello`].
    Hello(Hello),
    /// Are you there? Answered by [`Answer::Pong`].
    Ping,
    /// What do you serve? Answered by [`Answer::Games`] frames until one says that it is the last.
    ListGames,
    /// The manifest of one game. Answered by [`Answer::Game`], then [`Answer::GamePage`] frames until
    /// all entries came, then the raw chunk hashes, 32 bytes each.
    GetGame {
        /// Which game.
        game: GameId,
    },
    /// One whole file. Answered by [`Answer::Data`] and the raw bytes.
    GetGameFileData {
        /// Which payload.
        manifest: ManifestId,
        /// The file's position in the manifest.
        file: u32,
    },
    /// A run of chunks. Answered by [`Answer::Data`] and the raw bytes, or by [`Answer::Elsewhere`].
    GetGameFileChunk {
        /// Which payload.
        manifest: ManifestId,
        /// The first chunk's number.
        first: u32,
        /// How many chunks; together at most [`limits::RUN_BYTES_MAX`] bytes.
        count: u32,
    },
    /// Tell me of changes. Answered by [`Answer::Subscribed`] and [`Push`] frames for as long as the
    /// stream stays open; the first ones repeat what is here already. [`Push::Chunks`] come only of payloads
    /// for which the two exchange chunks.
    Subscribe,
    /// Let us exchange chunks of a payload: each tells the other what it gains, and asks it for what it has.
    /// Answered by [`Answer::Exchanging`], and then in force until one of the two ends its half of the stream; or
    /// refused as [`RefusalCode::Busy`].
    Exchange {
        /// Which payload.
        manifest: ManifestId,
        /// With how many others the asking peer exchanges it.
        neighbours: u32,
    },
    /// Which other peers of this party do you know? Answered by [`Answer::Peers`].
    GetPeers,
    /// The archives of a payload, expanded. Answered by [`Answer::Expanding`] and the frames of
    /// [`crate::expanded`].
    StreamInstall {
        /// Which game.
        game: GameId,
        /// Which payload.
        manifest: ManifestId,
    },
    /// A request of a newer version, which this one refuses.
    #[serde(other)]
    Unknown,
}

/// The first frame of an answer, and the further ones where a request says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// Who the answering peer is.
    Hello(Hello),
    /// I am here.
    Pong,
    /// A page of games.
    Games(GamesPage),
    /// The head of a manifest.
    Game(GameHeader),
    /// A page of a manifest.
    GamePage(ManifestPage),
    /// Exactly this many raw bytes follow.
    Data {
        /// How many.
        bytes: u64,
    },
    /// Not this run now: others are being sent it, and there are chunks that nobody has been sent. Ask for
    /// some of those, and for these whoever has them soon.
    Elsewhere {
        /// The chunks that others were sent first or are being sent, as [`Push::Chunks`] tells them: runs in
        /// order, at most [`RUNS_PER_PUSH`].
        out: Vec<(u32, u32)>,
    },
    /// Pushes follow.
    Subscribed,
    /// Chunks are exchanged from now on.
    Exchanging,
    /// Frames of an expanded archive follow.
    Expanding,
    /// Peers of this party, at most [`limits::PEER_ADDRESSES_MAX`].
    Peers {
        /// Them.
        peers: Vec<KnownPeer>,
    },
    /// No.
    Refused(Refusal),
}

/// Told in [`Hello::features`] by a peer that takes requests for payload over lanes: TCP connections with the TLS of the
/// protocol, to the number of [`Hello::listen_port`].
pub const FEATURE_LANES: &str = "lanes";

/// A peer's introduction. Its identity is the certificate's, never a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What people call it; cut to [`limits::PEER_NAME_BYTES_MAX`] by whoever reads it.
    pub name: String,
    /// The program's version, for people.
    pub version: String,
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// What it can do beyond the protocol's version, like [`FEATURE_LANES`]; what a reader does not know is skipped.
    #[serde(default)]
    pub features: Vec<String>,
    /// The UDP port that it listens on, and the TCP port with [`FEATURE_LANES`], at the address it calls from.
    pub listen_port: u16,
    /// Drawn at random when its process started: tells a restarted peer from the same one calling twice.
    pub incarnation: u64,
    /// Which of the dialling process's calls this is, counted up; 0 in an answer. Of two connections in
    /// one direction the later call stays.
    pub call: u64,
    /// Grows with every change of what it serves.
    pub library_revision: u64,
    /// Which machines it shares a switch with, if its operator says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
}

/// What a peer serves of one game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameSummary {
    /// The game.
    pub id: GameId,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    pub version: Version,
    /// The payload.
    pub manifest: ManifestId,
    /// The payload's size in bytes.
    pub bytes: u64,
    /// Whether every chunk is here; if not, [`Push::Chunks`] tells which are.
    pub complete: bool,
}

/// Some of the games of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GamesPage {
    /// At most [`GAMES_PER_PAGE`].
    pub games: Vec<GameSummary>,
    /// Whether no further page follows.
    pub last: bool,
}

/// The head of a manifest on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameHeader {
    /// The game.
    pub game: GameId,
    /// What the parts must add up to.
    pub manifest: ManifestId,
    /// The sentinel's content.
    #[serde(with = "hex_bytes")]
    pub sentinel: Vec<u8>,
    /// How many files follow in pages.
    pub files: u32,
    /// How many empty folders follow in pages.
    pub empty_folders: u32,
    /// How many chunk hashes follow the pages.
    pub chunks: u32,
}

/// Some of a manifest's entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPage {
    /// Files, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEntry>,
    /// Empty folders, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty_folders: Vec<GamePath>,
}

/// Another peer, as hearsay: whoever dials it checks its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeer {
    /// Who it is said to be.
    pub peer: PeerId,
    /// Where it was reached.
    pub addr: SocketAddr,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
}

/// The reasons of a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// This peer does not serve that game or manifest.
    UnknownGame,
    /// This peer does not hold all of those chunks.
    NotHere,
    /// The files are no longer what the manifest says.
    GameChanged,
    /// Too much at once; try again later.
    Busy,
    /// The request makes no sense, or is not known here.
    BadRequest,
    /// A number in the request is over its limit.
    Limit,
    /// The fault is on the answering side.
    Internal,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownGame => "unknown game",
            Self::NotHere => "chunks not here",
            Self::GameChanged => "game changed",
            Self::Busy => "busy",
            Self::BadRequest => "bad request",
            Self::Limit => "limit",
            Self::Internal => "internal error",
            Self::Other => "refused",
        })
    }
}

/// A change, told to subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Push {
    /// What is served has changed.
    Games {
        /// The library revision after this change.
        revision: u64,
        /// Whether everything said before is void.
        reset: bool,
        /// New or changed.
        upserted: Vec<GameSummary>,
        /// No longer served.
        removed: Vec<GameId>,
    },
    /// Chunks of a payload that is not complete here yet.
    Chunks {
        /// Which payload.
        manifest: ManifestId,
        /// How many chunks it has in all, at most [`limits::CHUNKS_MAX`].
        of: u32,
        /// Runs of chunks, each as its first number and its count.
        gained: Vec<(u32, u32)>,
    },
    /// A push of a newer version, which this one passes over.
    #[serde(other)]
    Unknown,
}

/// The manifest as a header and pages, in the order in which they are sent.
pub fn paginate(
    game: &GameId,
    id: ManifestId,
    manifest: &Manifest,
) -> (GameHeader, Vec<ManifestPage>) {
    let header = GameHeader {
        game: game.clone(),
        manifest: id,
        sentinel: manifest.sentinel().to_vec(),
        files: count(manifest.files().len()),
        empty_folders: count(manifest.empty_folders().len()),
        chunks: manifest.chunk_map().count(),
    };
    let files = manifest
        .files()
        .chunks(ENTRIES_PER_PAGE)
        .map(|files| ManifestPage {
            files: files.to_vec(),
            empty_folders: Vec::new(),
        });
    let folders = manifest
        .empty_folders()
        .chunks(ENTRIES_PER_PAGE)
        .map(|folders| ManifestPage {
            files: Vec::new(),
            empty_folders: folders.to_vec(),
        });
    (header, files.chain(folders).collect())
}

/// An entry count as it travels; a checked manifest has at most [`limits::MANIFEST_ENTRIES_MAX`].
fn count(entries: usize) -> u32 {
    u32::try_from(entries.min(limits::MANIFEST_ENTRIES_MAX)).unwrap_or(u32::MAX)
}

/// Chunk hashes as they travel.
pub fn hashes_to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Chunk hashes from raw bytes; a ragged end is dropped, which the count then shows.
pub fn hashes_from_bytes(bytes: &[u8]) -> Vec<Hash> {
    bytes
        .as_chunks::<{ Hash::LEN }>()
        .0
        .iter()
        .copied()
        .map(Hash::from_bytes)
        .collect()
}

mod hex_bytes {
    use data_encoding::HEXLOWER;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        HEXLOWER.decode(text.as_bytes()).map_err(de::Error::custom)
    }
}
