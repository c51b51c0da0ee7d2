//! One message of every kind, for the tests of everything that reads or writes them.

use std::{collections::BTreeMap, net::SocketAddr};

use lanspread_peer::{
    DistrustReason, DownloadSummary, ErrorCode, Failure, GameDetails, GameFileDescription,
    GameState, GameView, InstallSummary, LeaveReason, ManifestOffer, OperationKind, OperationView,
    PeerEvent, PeerView, RecoveryFinding, Status, VerifySummary,
    proto::{GameId, Hash, ManifestId, PeerId, Version},
};

use crate::{
    grammar::CommandHelp,
    message::{Answer, Message, Reply},
};

pub(crate) fn game() -> GameId {
    "Age of Empires II".parse().unwrap()
}

pub(crate) fn peer(number: u8) -> PeerId {
    PeerId::new(Hash::from_bytes([number; Hash::LEN]))
}

fn manifest(number: u8) -> ManifestId {
    ManifestId::new(Hash::from_bytes([number; Hash::LEN]))
}

fn version() -> Version {
    "1.5".parse().unwrap()
}

fn addr() -> SocketAddr {
    "192.168.1.5:40123".parse().unwrap()
}

pub(crate) fn failure() -> Failure {
    Failure {
        code: ErrorCode::NoSource,
        message: "no reachable peer has cnctw".into(),
    }
}

fn details() -> GameDetails {
    GameDetails {
        game: game(),
        manifest: manifest(0xaa),
        version: version(),
        bytes: 3,
        peers: vec![peer(1)],
        files: vec![GameFileDescription {
            path: "bin/run.sh".parse().unwrap(),
            size: 3,
            executable: true,
            hash: Hash::from_bytes([9; Hash::LEN]),
        }],
    }
}

pub(crate) fn game_view() -> GameView {
    GameView {
        id: game(),
        name: "The Age".into(),
        version: None,
        latest_version: Some(version()),
        state: GameState::Remote,
        installed: false,
        installed_version: None,
        peers: 2,
        bytes: 1_500_000_000,
    }
}

pub(crate) fn peer_view() -> PeerView {
    PeerView {
        id: peer(1),
        name: "pc-7".into(),
        addr: addr(),
        rtt_ms: Some(0.5),
        games: 3,
    }
}

pub(crate) fn summary() -> DownloadSummary {
    DownloadSummary {
        game: game(),
        version: version(),
        bytes: 1000,
        fetched_bytes: 900,
        kept_bytes: 100,
        seconds: 2.5,
        peers: 2,
        installing: false,
        streamed: false,
    }
}

pub(crate) fn installed(replaced: Option<&str>) -> InstallSummary {
    InstallSummary {
        game: game(),
        version: version(),
        replaced: replaced.map(|version| version.parse().unwrap()),
        bytes: 3000,
        files: 12,
        seconds: 1.5,
        streamed: false,
    }
}

pub(crate) fn verified(intact: bool) -> VerifySummary {
    let bad = if intact {
        vec![]
    } else {
        vec!["data/one.bin".parse().unwrap()]
    };
    VerifySummary {
        game: game(),
        intact,
        bytes: 1000,
        bad,
        repaired: !intact,
    }
}

fn status() -> Status {
    Status {
        peer: peer(1),
        name: "pc-7".into(),
        listen: addr(),
        peers: 2,
        game_dir: "/srv/games".into(),
        operations: vec![OperationView {
            game: game(),
            kind: OperationKind::Download,
            bytes_done: 250,
            bytes_total: 1000,
            files_done: 0,
            files_total: 0,
            bytes_per_second: 100,
            peers: 2,
            stalled: false,
        }],
        outbound_transfers: BTreeMap::from([(game(), 1)]),
        neighbours: BTreeMap::from([(game(), 12)]),
        queued_receivers: BTreeMap::from([(game(), 3)]),
        sent_bytes: BTreeMap::from([(game(), 42)]),
        received_bytes: BTreeMap::new(),
        hashed_bytes: 7,
    }
}

/// One event of every kind, also of those that are no line.
pub(crate) fn events() -> Vec<PeerEvent> {
    [
        events_of_peers(),
        events_of_downloads(),
        events_of_installs(),
        events_of_games(),
        events_of_trouble(),
    ]
    .concat()
}

fn events_of_peers() -> Vec<PeerEvent> {
    let peer_name = "pc-7".to_owned();
    vec![
        PeerEvent::Ready {
            peer: peer(1),
            name: peer_name.clone(),
            listen: addr(),
            version: "0.1.0".into(),
        },
        PeerEvent::PeerJoined {
            peer: peer(2),
            name: peer_name.clone(),
            addr: addr(),
        },
        PeerEvent::PeerLeft {
            peer: peer(2),
            name: peer_name,
            reason: LeaveReason::TimedOut,
        },
        PeerEvent::LibraryChanged {
            revision: 3,
            games: 2,
        },
        PeerEvent::GamesListed {
            games: vec![game_view()],
        },
        PeerEvent::PeerCount { count: 1 },
        PeerEvent::OperationsChanged {
            operations: status().operations,
        },
    ]
}

fn events_of_downloads() -> Vec<PeerEvent> {
    let game = game();
    vec![
        PeerEvent::GotGameFiles(details()),
        PeerEvent::ManifestConflict {
            game: game.clone(),
            version: version(),
            chosen: manifest(0xaa),
            others: vec![ManifestOffer {
                manifest: manifest(0xbb),
                peers: vec![peer(3)],
            }],
        },
        PeerEvent::DownloadGameFilesBegin {
            game: game.clone(),
            version: version(),
            bytes_total: 1000,
            bytes_done: 100,
            streamed: false,
        },
        PeerEvent::DownloadGameFilesProgress {
            game: game.clone(),
            bytes_done: 250,
            bytes_total: 1000,
            bytes_per_second: 100,
            peers: 2,
            streamed: false,
            files_done: None,
            peer: None,
        },
        PeerEvent::DownloadGameFilesFinished(summary()),
        PeerEvent::DownloadGameFilesFailed {
            game: game.clone(),
            error: failure(),
            streamed: false,
        },
        PeerEvent::DownloadGameFilesCancelled {
            game: game.clone(),
            streamed: false,
        },
        PeerEvent::DownloadStalled {
            game: game.clone(),
            bytes_done: 250,
            bytes_total: 1000,
        },
    ]
}

fn events_of_installs() -> Vec<PeerEvent> {
    let (game, streamed) = (game(), false);
    let progress = |bytes_total, files_total| PeerEvent::InstallGameProgress {
        game: game.clone(),
        bytes_done: 750,
        bytes_total,
        files_done: 3,
        files_total,
        streamed,
    };
    let error = || Failure {
        code: ErrorCode::ArchiveDamaged,
        message: "setup.zip is damaged".into(),
    };
    vec![
        PeerEvent::InstallGameBegin {
            game: game.clone(),
            version: version(),
            streamed,
        },
        progress(None, None),
        progress(Some(3000), Some(12)),
        PeerEvent::InstallGameFinished(installed(Some("1.4"))),
        PeerEvent::InstallGameFailed {
            game: game.clone(),
            error: error(),
            streamed,
        },
        PeerEvent::InstallGameCancelled {
            game: game.clone(),
            streamed,
        },
        PeerEvent::Queued {
            game: game.clone(),
            peer: peer(1),
            position: 3,
        },
        PeerEvent::UninstallGameBegin { game: game.clone() },
        PeerEvent::UninstallGameFinished { game: game.clone() },
        PeerEvent::UninstallGameFailed {
            game: game.clone(),
            error: error(),
        },
    ]
}

fn events_of_games() -> Vec<PeerEvent> {
    let game = game();
    vec![
        PeerEvent::VerifyFinished(verified(true)),
        PeerEvent::VerifyFinished(verified(false)),
        PeerEvent::VerifyFailed {
            game: game.clone(),
            error: failure(),
        },
        PeerEvent::Removed { game: game.clone() },
        PeerEvent::IndexProgress {
            game,
            bytes_done: 1,
            bytes_total: 2,
        },
    ]
}

fn events_of_trouble() -> Vec<PeerEvent> {
    vec![
        PeerEvent::GameRefused {
            folder: "CON".into(),
            reason: "a device name".into(),
        },
        PeerEvent::RecoveryReport {
            game: game(),
            path: "/srv/games/x/.local.backup".into(),
            what: RecoveryFinding::Foreign,
        },
        PeerEvent::PeerDistrusted {
            peer: Some(peer(2)),
            name: Some("pc-7".into()),
            addr: None,
            game: Some(game()),
            reason: DistrustReason::WrongBytes,
            dropped: false,
        },
        PeerEvent::PeerDistrusted {
            peer: None,
            name: None,
            addr: Some(addr()),
            game: None,
            reason: DistrustReason::PartyMismatch,
            dropped: true,
        },
        PeerEvent::CommandFailed {
            command: "x".into(),
            game: None,
            error: failure(),
        },
        PeerEvent::RuntimeFailed {
            task: "server".into(),
            message: "it fell over".into(),
        },
        PeerEvent::Lagged { missed: 17 },
        PeerEvent::ShuttingDown,
    ]
}

/// One reply of every kind.
pub(crate) fn replies() -> Vec<Reply> {
    let joined = PeerEvent::PeerJoined {
        peer: peer(2),
        name: "pc-7".into(),
        addr: addr(),
    };
    let cancelled = PeerEvent::DownloadGameFilesCancelled {
        game: game(),
        streamed: false,
    };
    let help = CommandHelp {
        usage: "list".into(),
        does: "every game".into(),
    };
    let answers = [
        ("download", Ok(Answer::Done {})),
        (
            "list",
            Ok(Answer::Games {
                games: vec![game_view()],
            }),
        ),
        ("game", Ok(Answer::Game(Box::new(details())))),
        (
            "peers",
            Ok(Answer::Peers {
                peers: vec![peer_view()],
            }),
        ),
        ("peer-count", Ok(Answer::PeerCount { count: 2 })),
        ("connect", Ok(Answer::Peer(peer_view()))),
        ("status", Ok(Answer::Status(Box::new(status())))),
        ("wait", Ok(Answer::Event(Box::new(joined)))),
        ("cancel", Ok(Answer::Event(Box::new(cancelled)))),
        (
            "help",
            Ok(Answer::Help {
                commands: vec![help],
            }),
        ),
        ("download", Err(failure())),
    ];
    answers
        .into_iter()
        .zip(1..)
        .map(|((command, result), line)| Reply {
            line,
            command: command.into(),
            result,
        })
        .collect()
}

/// One message of every kind.
pub(crate) fn messages() -> Vec<Message> {
    let events = events().into_iter().map(Message::Event);
    events
        .chain(replies().into_iter().map(Message::Reply))
        .collect()
}
