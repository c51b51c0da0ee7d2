//! Events by name: which of them the contract knows, what each is about, and the ones that a `wait` may
//! still take.

use std::collections::VecDeque;

use lanspread_peer::{PeerEvent, proto::GameId};

use crate::{exit::Exit, grammar::Wait};

/// Events that one session remembers for a later `wait`; far more than a script leaves lying about.
const REMEMBERED_MAX: usize = 4096;

/// Every event that is shown, by the name that it has on a line.
pub(crate) const NAMES: [&str; 31] = [
    "ready",
    "peer_joined",
    "peer_left",
    "library_changed",
    "game_details",
    "manifest_conflict",
    "download_started",
    "download_progress",
    "download_finished",
    "download_failed",
    "download_cancelled",
    "download_stalled",
    "install_started",
    "install_progress",
    "install_finished",
    "install_failed",
    "install_cancelled",
    "queued",
    "uninstall_started",
    "uninstall_finished",
    "uninstall_failed",
    "verify_finished",
    "verify_failed",
    "removed",
    "index_progress",
    "game_refused",
    "recovery_report",
    "peer_distrusted",
    "runtime_failed",
    "lagged",
    "shutting_down",
];

/// The event's name on a line; `None` for the ones that embedders alone are told, because replies say
/// the same here.
pub(crate) const fn name(event: &PeerEvent) -> Option<&'static str> {
    Some(match event {
        PeerEvent::Ready { .. } => "ready",
        PeerEvent::PeerJoined { .. } => "peer_joined",
        PeerEvent::PeerLeft { .. } => "peer_left",
        PeerEvent::LibraryChanged { .. } => "library_changed",
        PeerEvent::GotGameFiles(_) => "game_details",
        PeerEvent::ManifestConflict { .. } => "manifest_conflict",
        PeerEvent::DownloadGameFilesBegin { .. } => "download_started",
        PeerEvent::DownloadGameFilesProgress { .. } => "download_progress",
        PeerEvent::DownloadGameFilesFinished(_) => "download_finished",
        PeerEvent::DownloadGameFilesFailed { .. } => "download_failed",
        PeerEvent::DownloadGameFilesCancelled { .. } => "download_cancelled",
        PeerEvent::DownloadStalled { .. } => "download_stalled",
        PeerEvent::InstallGameBegin { .. } => "install_started",
        PeerEvent::InstallGameProgress { .. } => "install_progress",
        PeerEvent::InstallGameFinished(_) => "install_finished",
        PeerEvent::InstallGameFailed { .. } => "install_failed",
        PeerEvent::InstallGameCancelled { .. } => "install_cancelled",
        PeerEvent::Queued { .. } => "queued",
        PeerEvent::UninstallGameBegin { .. } => "uninstall_started",
        PeerEvent::UninstallGameFinished { .. } => "uninstall_finished",
        PeerEvent::UninstallGameFailed { .. } => "uninstall_failed",
        PeerEvent::VerifyFinished(_) => "verify_finished",
        PeerEvent::VerifyFailed { .. } => "verify_failed",
        PeerEvent::Removed { .. } => "removed",
        PeerEvent::IndexProgress { .. } => "index_progress",
        PeerEvent::GameRefused { .. } => "game_refused",
        PeerEvent::RecoveryReport { .. } => "recovery_report",
        PeerEvent::PeerDistrusted { .. } => "peer_distrusted",
        PeerEvent::RuntimeFailed { .. } => "runtime_failed",
        PeerEvent::Lagged { .. } => "lagged",
        PeerEvent::ShuttingDown => "shutting_down",
        _ => return None,
    })
}

/// The game that the event is about.
pub(crate) fn game(event: &PeerEvent) -> Option<&str> {
    match event {
        PeerEvent::GotGameFiles(details) => Some(details.game.as_str()),
        PeerEvent::DownloadGameFilesFinished(summary) => Some(summary.game.as_str()),
        PeerEvent::InstallGameFinished(summary) => Some(summary.game.as_str()),
        PeerEvent::VerifyFinished(summary) => Some(summary.game.as_str()),
        PeerEvent::PeerDistrusted { game, .. } => game.as_ref().map(GameId::as_str),
        PeerEvent::ManifestConflict { game, .. }
        | PeerEvent::DownloadGameFilesBegin { game, .. }
        | PeerEvent::DownloadGameFilesProgress { game, .. }
        | PeerEvent::DownloadGameFilesFailed { game, .. }
        | PeerEvent::DownloadGameFilesCancelled { game, .. }
        | PeerEvent::DownloadStalled { game, .. }
        | PeerEvent::InstallGameBegin { game, .. }
        | PeerEvent::InstallGameProgress { game, .. }
        | PeerEvent::InstallGameFailed { game, .. }
        | PeerEvent::InstallGameCancelled { game, .. }
        | PeerEvent::Queued { game, .. }
        | PeerEvent::UninstallGameBegin { game }
        | PeerEvent::UninstallGameFinished { game }
        | PeerEvent::UninstallGameFailed { game, .. }
        | PeerEvent::RecoveryReport { game, .. }
        | PeerEvent::VerifyFailed { game, .. }
        | PeerEvent::Removed { game }
        | PeerEvent::IndexProgress { game, .. } => Some(game.as_str()),
        _ => None,
    }
}

/// A long operation that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A download, and the install that follows it.
    Download,
    /// An install.
    Install,
    /// A streamed install.
    StreamInstall,
    /// An uninstall.
    Uninstall,
    /// A check, and the download of what is wrong if that was asked for.
    Verify,
}

impl Work {
    /// How it went, if this event about its game is its last one.
    pub(crate) fn ended_by(self, event: &PeerEvent) -> Option<Exit> {
        match (self, event) {
            (Self::Download, PeerEvent::DownloadGameFilesFinished(summary)) => {
                (!summary.installing).then_some(Exit::Success)
            }
            (
                Self::Download | Self::Install | Self::StreamInstall,
                PeerEvent::InstallGameFinished(_),
            )
            | (Self::Uninstall, PeerEvent::UninstallGameFinished { .. }) => Some(Exit::Success),
            (
                Self::Download | Self::StreamInstall,
                PeerEvent::DownloadGameFilesCancelled { .. },
            )
            | (
                Self::Download | Self::Install | Self::StreamInstall,
                PeerEvent::InstallGameCancelled { .. },
            ) => Some(Exit::Cancelled),
            (
                Self::Download | Self::StreamInstall,
                PeerEvent::DownloadGameFilesFailed { error, .. },
            )
            | (
                Self::Download | Self::Install | Self::StreamInstall,
                PeerEvent::InstallGameFailed { error, .. },
            )
            | (Self::Uninstall, PeerEvent::UninstallGameFailed { error, .. })
            | (Self::Verify, PeerEvent::VerifyFailed { error, .. }) => Some(Exit::of(error.code)),
            (Self::Verify, PeerEvent::VerifyFinished(found)) => {
                Some(if found.intact || found.repaired {
                    Exit::Success
                } else {
                    Exit::Failed
                })
            }
            _ => None,
        }
    }
}

/// Whether the event says that whatever ran on this game has come to its end.
pub(crate) fn ends_operation_on(event: &PeerEvent, game: &str) -> bool {
    let ends = match event {
        PeerEvent::DownloadGameFilesFinished(summary) => !summary.installing,
        PeerEvent::DownloadGameFilesFailed { .. }
        | PeerEvent::DownloadGameFilesCancelled { .. }
        | PeerEvent::InstallGameFinished(_)
        | PeerEvent::InstallGameFailed { .. }
        | PeerEvent::InstallGameCancelled { .. }
        | PeerEvent::UninstallGameFinished { .. }
        | PeerEvent::UninstallGameFailed { .. }
        | PeerEvent::VerifyFinished(_)
        | PeerEvent::VerifyFailed { .. }
        | PeerEvent::Removed { .. } => true,
        _ => false,
    };
    ends && self::game(event) == Some(game)
}

/// Whether the event is of a kind of which only the latest is worth remembering.
const fn replaces_earlier(event: &PeerEvent) -> bool {
    matches!(
        event,
        PeerEvent::DownloadGameFilesProgress { .. }
            | PeerEvent::InstallGameProgress { .. }
            | PeerEvent::Queued { .. }
            | PeerEvent::IndexProgress { .. }
            | PeerEvent::LibraryChanged { .. }
    )
}

/// Whether `event` is what this `wait` waits for.
pub(crate) fn satisfies(event: &PeerEvent, wait: &Wait) -> bool {
    let about = |id: &str| match event {
        PeerEvent::PeerJoined { peer, name, .. } | PeerEvent::PeerLeft { peer, name, .. } => {
            name == id || peer.to_string() == id
        }
        PeerEvent::GameRefused { folder, .. } => folder == id,
        PeerEvent::RuntimeFailed { task, .. } => task == id,
        _ => game(event) == Some(id),
    };
    name(event) == Some(wait.event) && wait.id.as_deref().is_none_or(about)
}

/// What has happened in a session and no `wait` has taken yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<PeerEvent>);

impl History {
    /// Remembers an event.
    pub(crate) fn record(&mut self, event: PeerEvent) {
        let Some(kind) = name(&event) else { return };
        if replaces_earlier(&event) {
            self.0
                .retain(|earlier| name(earlier) != Some(kind) || game(earlier) != game(&event));
        }
        if self.0.len() == REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    /// Takes the oldest event that this `wait` waits for.
    pub(crate) fn take(&mut self, wait: &Wait) -> Option<PeerEvent> {
        let found = self.0.iter().position(|event| satisfies(event, wait))?;
        self.0.remove(found)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lanspread_peer::{DownloadSummary, VerifySummary};

    use super::*;
    use crate::render::samples;

    fn wait(event: &'static str, id: Option<&str>) -> Wait {
        Wait {
            event,
            id: id.map(str::to_owned),
            timeout: Duration::ZERO,
        }
    }

    #[test]
    fn every_name_is_the_one_that_serialisation_gives() {
        for event in samples::events() {
            let tag = serde_json::to_value(&event).unwrap()["event"]
                .as_str()
                .unwrap()
                .to_owned();
            match name(&event) {
                Some(name) => assert_eq!(name, tag),
                None => assert!(!NAMES.contains(&tag.as_str()), "{tag}"),
            }
        }
    }

    #[test]
    fn every_name_has_a_sample() {
        for known in NAMES {
            assert!(
                samples::events()
                    .iter()
                    .any(|event| name(event) == Some(known)),
                "{known}"
            );
        }
    }

    #[test]
    fn an_event_is_taken_once_and_the_oldest_first() {
        let mut history = History::default();
        for event in samples::events() {
            history.record(event);
        }
        let removed = PeerEvent::Removed {
            game: "other".parse().unwrap(),
        };
        history.record(removed.clone());
        assert_eq!(history.take(&wait("removed", Some("other"))), Some(removed));
        assert_eq!(history.take(&wait("removed", Some("other"))), None);
        assert!(history.take(&wait("removed", None)).is_some());
        assert_eq!(history.take(&wait("removed", None)), None);
    }

    #[test]
    fn each_work_has_its_last_events() {
        let ends = |work: Work| {
            let ends = samples::events()
                .into_iter()
                .filter_map(|event| Some((name(&event)?, work.ended_by(&event)?.number())));
            ends.collect::<Vec<_>>()
        };
        let install = [
            ("install_finished", 0),
            ("install_failed", 1),
            ("install_cancelled", 5),
        ];
        assert_eq!(ends(Work::Install), install);
        let mut download = vec![
            ("download_finished", 0),
            ("download_failed", 3),
            ("download_cancelled", 5),
        ];
        download.extend(install);
        assert_eq!(ends(Work::Download), download);
        assert_eq!(ends(Work::StreamInstall), download[1..]);
        let uninstall = [("uninstall_finished", 0), ("uninstall_failed", 1)];
        assert_eq!(ends(Work::Uninstall), uninstall);
        let goes_on = DownloadSummary {
            installing: true,
            ..samples::summary()
        };
        let goes_on = PeerEvent::DownloadGameFilesFinished(goes_on);
        assert_eq!(Work::Download.ended_by(&goes_on), None);
        assert!(!ends_operation_on(&goes_on, samples::game().as_str()));
        let verify = [
            ("verify_finished", 0),
            ("verify_finished", 0),
            ("verify_failed", 3),
        ];
        assert_eq!(ends(Work::Verify), verify);
        let damaged = VerifySummary {
            repaired: false,
            ..samples::verified(false)
        };
        assert_eq!(
            Work::Verify.ended_by(&PeerEvent::VerifyFinished(damaged)),
            Some(Exit::Failed)
        );
    }

    #[test]
    fn a_wait_for_a_peer_takes_its_name_or_its_id() {
        let joined = samples::events()
            .into_iter()
            .find(|event| name(event) == Some("peer_joined"))
            .unwrap();
        let PeerEvent::PeerJoined { peer, name, .. } = &joined else {
            panic!("{joined:?}")
        };
        assert!(satisfies(&joined, &wait("peer_joined", Some(name))));
        assert!(satisfies(
            &joined,
            &wait("peer_joined", Some(&peer.to_string()))
        ));
        assert!(!satisfies(&joined, &wait("peer_joined", Some("somebody"))));
        assert!(!satisfies(&joined, &wait("peer_left", None)));
    }

    #[test]
    fn memory_is_bounded_and_progress_does_not_push_out_the_rest() {
        let mut history = History::default();
        history.record(PeerEvent::Removed {
            game: "first".parse().unwrap(),
        });
        for revision in 0..10_000 {
            history.record(PeerEvent::LibraryChanged { revision, games: 1 });
        }
        assert_eq!(history.0.len(), 2);
        for number in 0..10_000 {
            history.record(PeerEvent::Removed {
                game: format!("g{number}").parse().unwrap(),
            });
        }
        assert_eq!(history.0.len(), REMEMBERED_MAX);
        assert_eq!(history.take(&wait("removed", Some("first"))), None);
    }
}
