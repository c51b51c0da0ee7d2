//! The events that are one sentence for people.

use lanspread_peer::{DistrustReason, LeaveReason, PeerEvent, RecoveryFinding};

use crate::units;

/// The events that are one sentence, whatever is shown besides.
pub(super) fn sentence(event: &PeerEvent) -> Option<String> {
    Some(match event {
        PeerEvent::Ready {
            peer, name, listen, ..
        } => {
            format!("{name} ({}) listens on {listen}", peer.short())
        }
        PeerEvent::PeerJoined { name, addr, .. } => format!("{name} joined from {addr}"),
        PeerEvent::PeerLeft { name, reason, .. } => format!("{name} left: {}", left(*reason)),
        PeerEvent::ManifestConflict {
            game,
            version,
            others,
            ..
        } => format!(
            "{game}: the peers disagree about version {version}; {} of it not used",
            units::count(others.len(), "other form")
        ),
        PeerEvent::Removed { game } => format!("{game}: removed"),
        PeerEvent::RecoveryReport { game, path, what } => {
            format!("{game}: {} {}", path.display(), found(*what))
        }
        PeerEvent::GameRefused { folder, reason } => {
            format!("the folder {folder:?} is not announced: {reason}")
        }
        PeerEvent::PeerDistrusted {
            peer,
            name,
            addr,
            game,
            reason,
            dropped,
        } => {
            let who = match (name, peer, addr) {
                (Some(name), Some(peer), _) => format!("{name} ({})", peer.short()),
                (Some(name), None, _) => name.clone(),
                (None, _, Some(addr)) => addr.to_string(),
                (None, Some(peer), None) => peer.short(),
                (None, None, None) => "a peer".into(),
            };
            let what = game
                .as_ref()
                .map(|game| format!(" for {game}"))
                .unwrap_or_default();
            let verdict = if *dropped {
                "is not used"
            } else {
                "is watched"
            };
            format!("{who} {verdict}{what}: {}", distrusted(*reason))
        }
        PeerEvent::RuntimeFailed { task, message } => {
            format!("the {task} failed and is being restarted: {message}")
        }
        PeerEvent::Lagged { missed } => format!("{missed} events were missed"),
        PeerEvent::ShuttingDown => "shutting down".into(),
        event => return of_work(event),
    })
}

/// The same for events of downloads, installs and uninstalls.
fn of_work(event: &PeerEvent) -> Option<String> {
    Some(match event {
        PeerEvent::DownloadGameFilesBegin {
            game,
            version,
            bytes_total,
            streamed: true,
            ..
        } => match bytes_total {
            0 => format!("{game}: version {version} comes expanded"),
            bytes => format!(
                "{game}: version {version} comes expanded, {}",
                units::size(*bytes)
            ),
        },
        PeerEvent::DownloadGameFilesBegin {
            game,
            version,
            bytes_total,
            bytes_done,
            ..
        } => {
            let here = match bytes_done {
                0 => String::new(),
                bytes => format!(", {} of it here already", units::size(*bytes)),
            };
            format!(
                "{game}: downloading version {version}, {}{here}",
                units::size(*bytes_total)
            )
        }
        PeerEvent::DownloadStalled {
            game,
            bytes_done,
            bytes_total,
        } => format!(
            "{game}: stalled at {} of {}; it goes on by itself when a source returns",
            units::size(*bytes_done),
            units::size(*bytes_total)
        ),
        PeerEvent::Queued {
            game,
            peer,
            position,
        } => format!(
            "{game}: {} has others to serve first, place {position} in its queue",
            peer.short()
        ),
        PeerEvent::InstallGameBegin { game, version, .. } => {
            format!("{game}: installing version {version}")
        }
        PeerEvent::UninstallGameFinished { game } => format!("{game}: uninstalled"),
        PeerEvent::UninstallGameFailed { game, error } => {
            format!("{game}: uninstall failed: {error}")
        }
        _ => return None,
    })
}

const fn left(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Goodbye => "it said goodbye",
        LeaveReason::TimedOut => "nothing came from it any more",
        LeaveReason::ConnectionLost => "the connection broke",
    }
}

const fn distrusted(reason: DistrustReason) -> &'static str {
    match reason {
        DistrustReason::WrongBytes => "it sent wrong bytes",
        DistrustReason::PartyMismatch => "it belongs to another party",
        DistrustReason::OtherIdentity => "it is not who it was said to be",
        _ => "it broke the rules",
    }
}

/// What recovery says about a path.
const fn found(what: RecoveryFinding) -> &'static str {
    match what {
        RecoveryFinding::Foreign => "is in the way of installs and not ours; it is left alone",
        RecoveryFinding::PutAside => "is what a damaged document is called now",
        RecoveryFinding::InstallLost => {
            "is not there any more, and an update of it was interrupted"
        }
        RecoveryFinding::Failed => "could not be brought in order; the log says why",
        _ => "needs a look",
    }
}
