//! Every message through the frame codec: whole, mutated, and at its limits.

use std::{fmt::Debug, net::SocketAddr};

use lanspread_proto::{
    FileEntry, GameId, GamePath, Hash, Manifest, ManifestId, PeerId, Version,
    frame::{FrameDecoder, FrameError, HEADER_BYTES, decode, encode},
    limits,
    message::{
        Answer, ENTRIES_PER_PAGE, GAMES_PER_PAGE, GameHeader, GameSummary, GamesPage, Hello,
        KnownPeer, ManifestPage, Push, RUNS_PER_PUSH, Refusal, RefusalCode, Request,
        hashes_from_bytes, hashes_to_bytes, paginate,
    },
};
use proptest::{prelude::*, sample::Index};
use serde::{Serialize, de::DeserializeOwned};

fn game() -> GameId {
    "Age of Empires II".parse().expect("a good id")
}

fn version() -> Version {
    "1.10".parse().expect("a good version")
}

fn path(text: &str) -> GamePath {
    text.parse().expect("a good path")
}

fn manifest_id() -> ManifestId {
    ManifestId::new(Hash::of(b"manifest"))
}

fn hello() -> Hello {
    Hello {
        name: "Küche \"1\"".into(),
        version: "0.1.0".into(),
        protocol: 1,
        features: vec!["later".into()],
        listen_port: 27184,
        incarnation: 12,
        call: 3,
        library_revision: u64::MAX,
        group: None,
    }
}

fn summary(name: Option<&str>) -> GameSummary {
    GameSummary {
        id: game(),
        name: name.map(String::from),
        version: version(),
        manifest: manifest_id(),
        bytes: limits::GAME_BYTES_MAX,
        complete: false,
    }
}

fn file(at: &str, executable: bool) -> FileEntry {
    FileEntry {
        path: path(at),
        size: 5,
        executable,
        hash: Hash::of(at.as_bytes()),
    }
}

fn requests() -> Vec<Request> {
    let manifest = manifest_id();
    vec![
        Request::Hello(hello()),
        Request::Ping,
        Request::ListGames,
        Request::GetGame { game: game() },
        Request::GetGameFileData { manifest, file: 7 },
        Request::GetGameFileChunk {
            manifest,
            first: 3,
            count: 8,
        },
        Request::Subscribe,
        Request::Exchange {
            manifest,
            neighbours: 12,
        },
        Request::GetPeers,
        Request::StreamInstall {
            game: game(),
            manifest: ManifestId::new(Hash::of(b"m")),
        },
    ]
}

fn answers() -> Vec<Answer> {
    let games = vec![summary(None), summary(Some("AoE"))];
    let header = GameHeader {
        game: game(),
        manifest: manifest_id(),
        sentinel: b"1.10\n\xff\0".to_vec(),
        files: 2,
        empty_folders: 1,
        chunks: 2,
    };
    let files = vec![file("a/b", true), file("ü", false)];
    let addr: SocketAddr = "[fe80::1]:27184".parse().expect("a good address");
    vec![
        Answer::Hello(hello()),
        Answer::Pong,
        Answer::Games(GamesPage { games, last: true }),
        Answer::Game(header),
        Answer::GamePage(ManifestPage {
            files,
            empty_folders: vec![path("none")],
        }),
        Answer::Data { bytes: u64::MAX },
        Answer::Elsewhere {
            out: vec![(0, 1), (7, u32::MAX)],
        },
        Answer::Subscribed,
        Answer::Exchanging,
        Answer::Expanding,
        Answer::Peers {
            peers: vec![KnownPeer {
                peer: PeerId::new(Hash::of(b"peer")),
                addr,
            }],
        },
        Answer::Refused(Refusal {
            code: RefusalCode::NotHere,
            message: "gone".into(),
        }),
    ]
}

fn pushes() -> Vec<Push> {
    vec![
        Push::Games {
            revision: 4,
            reset: true,
            upserted: vec![summary(Some("AoE"))],
            removed: vec![game()],
        },
        Push::Chunks {
            manifest: manifest_id(),
            of: limits::CHUNKS_MAX,
            gained: vec![(0, 1), (u32::MAX, u32::MAX)],
        },
    ]
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(messages: &[T]) {
    let mut decoder = FrameDecoder::new();
    for message in messages {
        decoder.push(&encode(message).expect("the message fits"));
    }
    for message in messages {
        let came: Option<T> = decoder.next_message().expect("what was encoded decodes");
        assert_eq!(came.as_ref(), Some(message));
    }
    assert!(!decoder.is_mid_frame());
}

#[test]
fn every_message_round_trips() {
    round_trip(&requests());
    round_trip(&answers());
    round_trip(&pushes());
}

#[test]
fn unknown_fields_and_reasons_of_newer_peers_are_taken() {
    let ping: Request = decode(br#"{"type":"ping","later":{"x":[1]}}"#).unwrap();
    assert_eq!(ping, Request::Ping);
    let refused: Refusal = decode(br#"{"code":"too_sunny","message":""}"#).unwrap();
    assert_eq!(refused.code, RefusalCode::Other);
    let later = br#"{"type":"later","with":[1]}"#;
    assert_eq!(decode::<Request>(later).unwrap(), Request::Unknown);
    assert_eq!(decode::<Push>(later).unwrap(), Push::Unknown);
    assert!(matches!(decode::<Answer>(later), Err(FrameError::Json(_))));
}

#[test]
fn a_message_nests_sixteen_deep_and_not_seventeen() {
    let ping = |depth: usize| {
        let inner = depth - 1;
        format!(
            r#"{{"type":"ping","x":{}{}}}"#,
            "[".repeat(inner),
            "]".repeat(inner)
        )
    };
    assert_eq!(
        decode::<Request>(ping(limits::JSON_DEPTH_MAX).as_bytes()).unwrap(),
        Request::Ping
    );
    let refused = decode::<Request>(ping(limits::JSON_DEPTH_MAX + 1).as_bytes());
    assert!(matches!(refused, Err(FrameError::TooDeep)), "{refused:?}");
    // Far deeper than any stack, and never closed.
    let refused = decode::<Request>("[{\"a\":".repeat(100_000).as_bytes());
    assert!(matches!(refused, Err(FrameError::TooDeep)), "{refused:?}");
}

#[test]
fn a_message_fills_a_frame_and_not_one_byte_more() {
    let named = |bytes: usize| {
        Request::Hello(Hello {
            name: "x".repeat(bytes),
            ..hello()
        })
    };
    let overhead = encode(&named(0)).unwrap().len() - HEADER_BYTES;
    let largest = named(limits::CONTROL_FRAME_BYTES_MAX - overhead);
    let frame = encode(&largest).unwrap();
    assert_eq!(frame.len(), HEADER_BYTES + limits::CONTROL_FRAME_BYTES_MAX);
    round_trip(&[largest]);

    let refused = encode(&named(limits::CONTROL_FRAME_BYTES_MAX - overhead + 1));
    let over = limits::CONTROL_FRAME_BYTES_MAX + 1;
    assert!(matches!(refused, Err(FrameError::TooLong { actual }) if actual == over));
    let mut decoder = FrameDecoder::new();
    decoder.push(&u32::try_from(over).unwrap().to_be_bytes());
    let refused = decoder.next_message::<Request>();
    assert!(matches!(refused, Err(FrameError::TooLong { actual }) if actual == over));
}

#[test]
fn a_manifest_comes_together_from_its_pages() {
    let files = (0..=2 * ENTRIES_PER_PAGE).map(|at| file(&format!("f{at}"), at % 2 == 0));
    let folders = (0..=ENTRIES_PER_PAGE).map(|at| path(&format!("d{at}")));
    let manifest = Manifest::new(b"1.10".to_vec(), files.collect(), folders.collect()).unwrap();
    let (header, pages) = paginate(&game(), manifest.id(), &manifest);
    assert_eq!(pages.len(), 5);
    assert_eq!(header.chunks, manifest.chunk_map().count());
    let files: Vec<_> = pages.iter().flat_map(|page| page.files.clone()).collect();
    let folders: Vec<_> = pages
        .iter()
        .flat_map(|page| page.empty_folders.clone())
        .collect();
    assert_eq!(
        (files.len(), folders.len()),
        (header.files as usize, header.empty_folders as usize)
    );
    let rebuilt = Manifest::new(header.sentinel, files, folders).unwrap();
    assert_eq!(rebuilt, manifest);
    assert_eq!(rebuilt.id(), header.manifest);
}

#[test]
fn the_largest_pages_fit_into_a_frame() {
    let longest = {
        let mut text = format!("{}/", "ü".repeat(100)).repeat(5);
        text.push_str(&"x".repeat(limits::PATH_BYTES_MAX - text.len()));
        path(&text)
    };
    let entry = FileEntry {
        path: longest.clone(),
        size: limits::FILE_BYTES_MAX,
        executable: true,
        hash: Hash::of(b""),
    };
    let page = ManifestPage {
        files: vec![entry; ENTRIES_PER_PAGE],
        empty_folders: Vec::new(),
    };
    assert!(encode(&Answer::GamePage(page)).is_ok());
    let page = ManifestPage {
        files: Vec::new(),
        empty_folders: vec![longest; ENTRIES_PER_PAGE],
    };
    assert!(encode(&Answer::GamePage(page)).is_ok());

    let summary = GameSummary {
        id: "x".repeat(limits::GAME_ID_BYTES_MAX).parse().unwrap(),
        name: Some("x".repeat(limits::GAME_ID_BYTES_MAX)),
        version: "1".repeat(limits::VERSION_BYTES_MAX).parse().unwrap(),
        ..summary(None)
    };
    let games = vec![summary; GAMES_PER_PAGE];
    assert!(encode(&Answer::Games(GamesPage { games, last: false })).is_ok());

    let gained = vec![(u32::MAX, u32::MAX); RUNS_PER_PUSH];
    assert!(
        encode(&Push::Chunks {
            manifest: manifest_id(),
            of: u32::MAX,
            gained
        })
        .is_ok()
    );

    let addr = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
        .parse()
        .unwrap();
    let peer = KnownPeer {
        peer: PeerId::new(Hash::of(b"")),
        addr,
    };
    let peers = vec![peer; limits::PEER_ADDRESSES_MAX];
    assert!(encode(&Answer::Peers { peers }).is_ok());

    let header = GameHeader {
        game: game(),
        manifest: manifest_id(),
        sentinel: vec![0xff; limits::SENTINEL_BYTES_MAX],
        files: u32::MAX,
        empty_folders: u32::MAX,
        chunks: u32::MAX,
    };
    assert!(encode(&Answer::Game(header)).is_ok());
}

#[test]
fn chunk_hashes_travel_as_raw_bytes() {
    let hashes: Vec<_> = (0..5_u8).map(|at| Hash::of(&[at])).collect();
    let mut bytes = hashes_to_bytes(&hashes);
    assert_eq!(bytes.len(), 5 * Hash::LEN);
    assert_eq!(hashes_from_bytes(&bytes), hashes);
    bytes.pop();
    assert_eq!(hashes_from_bytes(&bytes), hashes[..4]);
}

/// One damage to a frame.
#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    FlipBit(Index, u8),
    Insert(Index, &'static str),
    Remove(Index, Index),
    Repeat(Index, Index),
    Truncate(Index),
}

/// Pieces of JSON that parsers trip over.
const TOKENS: [&str; 14] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "\\u0000",
    "\\ud800",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\u{feff}",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::FlipBit(at, bit)),
        (at(), proptest::sample::select(&TOKENS[..]))
            .prop_map(|(at, text)| Mutation::Insert(at, text)),
        (at(), at()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        (at(), at()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        at().prop_map(Mutation::Truncate),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len() + 1;
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(len), to.index(len));
            from.min(to)..from.max(to)
        };
        match self {
            Self::Set(at, byte) => bytes
                .iter_mut()
                .skip(at.index(len))
                .take(1)
                .for_each(|old| *old = *byte),
            Self::FlipBit(at, bit) => {
                bytes
                    .iter_mut()
                    .skip(at.index(len))
                    .take(1)
                    .for_each(|old| *old ^= 1 << bit);
            }
            Self::Insert(at, text) => {
                let at = at.index(len);
                bytes.splice(at..at, text.bytes());
            }
            Self::Remove(from, to) => drop(bytes.drain(range(from, to))),
            Self::Repeat(from, to) => bytes.extend_from_within(range(from, to)),
            Self::Truncate(at) => bytes.truncate(at.index(len)),
        }
    }
}

/// Damages the frame of each message and decodes what is left: an error or a message that is good
/// enough to be encoded and decoded again.
fn survive<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    messages: &[T],
    mutations: &[Mutation],
    keep_length_right: bool,
) {
    for message in messages {
        let mut frame = encode(message).expect("the message fits").to_vec();
        if keep_length_right {
            let mut body = frame.split_off(HEADER_BYTES);
            for mutation in mutations {
                mutation.apply(&mut body);
            }
            let length = u32::try_from(body.len()).expect("a short body");
            frame = [&length.to_be_bytes(), &body[..]].concat();
        } else {
            for mutation in mutations {
                mutation.apply(&mut frame);
            }
        }
        let mut decoder = FrameDecoder::new();
        decoder.push(&frame);
        while let Ok(Some(message)) = decoder.next_message::<T>() {
            round_trip(&[message]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn mutated_requests_never_panic(
        mutations in proptest::collection::vec(mutation(), 1..4),
        keep_length_right in any::<bool>(),
    ) {
        survive(&requests(), &mutations, keep_length_right);
    }

    #[test]
    fn mutated_answers_never_panic(
        mutations in proptest::collection::vec(mutation(), 1..4),
        keep_length_right in any::<bool>(),
    ) {
        survive(&answers(), &mutations, keep_length_right);
    }

    #[test]
    fn mutated_pushes_never_panic(
        mutations in proptest::collection::vec(mutation(), 1..4),
        keep_length_right in any::<bool>(),
    ) {
        survive(&pushes(), &mutations, keep_length_right);
    }
}
