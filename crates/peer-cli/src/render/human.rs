//! For people: sentences, tables and, on a terminal, progress bars.

use std::{collections::HashMap, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lanspread_peer::{
    DistrustReason, DownloadSummary, LeaveReason, OperationView, PeerEvent, VerifySummary,
    proto::GameId,
};

use crate::{
    message::{Answer, Message, Reply},
    render::{Output, tables},
    units,
};

/// Progress is a line at every step of this many per cent where no bar can be drawn.
const PERCENT_STEP: u64 = 10;

/// Hashing less than this is over before anybody has read the line.
const HASHING_SHOWN_MIN: u64 = 256 << 20;

/// Bad files that are named before the rest is only counted.
const BAD_FILES_SHOWN: usize = 10;

/// Lines for people.
pub(crate) struct Human {
    progress: Progress,
}

enum Progress {
    /// The last step that was shown, by game.
    Lines(HashMap<GameId, u64>),
    /// A bar on standard error.
    Bar(ProgressBar),
}

impl Human {
    /// Plain lines: a pipe, a log, or a terminal whose bottom line is a prompt.
    pub(crate) fn lines() -> Self {
        Self {
            progress: Progress::Lines(HashMap::new()),
        }
    }

    /// A progress bar on the terminal of standard error; everything else is a line above it.
    pub(crate) fn with_bar() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
        Self {
            progress: Progress::Bar(bar),
        }
    }

    fn advance(&mut self, game: &GameId, done: u64, total: u64, details: &str) -> Option<String> {
        match &mut self.progress {
            Progress::Bar(bar) => {
                show_bar(bar, game, done, total, details);
                None
            }
            Progress::Lines(steps) => {
                let percent = percent(done, total);
                let step = percent / PERCENT_STEP;
                if steps
                    .insert(game.clone(), step)
                    .is_some_and(|before| before >= step)
                {
                    return None;
                }
                Some(format!(
                    "{game}: {percent} % of {}, {details}",
                    units::size(total)
                ))
            }
        }
    }

    fn end_of_progress(&mut self, game: &GameId) {
        match &mut self.progress {
            Progress::Bar(bar) => {
                bar.finish_and_clear();
                *self = Self::with_bar();
            }
            Progress::Lines(steps) => {
                steps.remove(game);
            }
        }
    }

    fn event(&mut self, event: &PeerEvent) -> Option<String> {
        match event {
            PeerEvent::DownloadGameFilesProgress {
                game,
                bytes_done,
                bytes_total,
                bytes_per_second,
                peers,
                ..
            } => {
                let left = bytes_total.saturating_sub(*bytes_done);
                let mut details = format!(
                    "{} from {}",
                    units::rate(*bytes_per_second),
                    units::count(*peers, "peer")
                );
                let time_left = units::time_left(left, *bytes_per_second);
                if left > 0 && !time_left.is_empty() {
                    details = format!("{details}, {time_left}");
                }
                self.advance(game, *bytes_done, *bytes_total, &details)
            }
            PeerEvent::IndexProgress {
                game,
                bytes_done,
                bytes_total,
            } if *bytes_total >= HASHING_SHOWN_MIN => {
                self.advance(game, *bytes_done, *bytes_total, "hashing")
            }
            PeerEvent::DownloadGameFilesFinished(summary) => {
                self.end_of_progress(&summary.game);
                Some(downloaded(summary))
            }
            PeerEvent::DownloadGameFilesFailed { game, error } => {
                self.end_of_progress(game);
                Some(format!("{game}: download failed: {error}"))
            }
            PeerEvent::DownloadGameFilesCancelled { game } => {
                self.end_of_progress(game);
                Some(format!("{game}: download cancelled"))
            }
            PeerEvent::VerifyFinished(summary) => {
                self.end_of_progress(&summary.game);
                Some(verified(summary))
            }
            PeerEvent::VerifyFailed { game, error } => {
                self.end_of_progress(game);
                Some(format!("{game}: could not be checked: {error}"))
            }
            other => sentence(other),
        }
    }
}

impl Output for Human {
    fn progress(&mut self, operation: &OperationView) -> Option<String> {
        let OperationView {
            game,
            kind,
            bytes_done,
            bytes_total,
            ..
        } = operation;
        if *bytes_total == 0 {
            return None;
        }
        let details = format!("{} running", kind.as_str());
        self.advance(game, *bytes_done, *bytes_total, &details)
    }

    fn render(&mut self, message: &Message) -> Option<String> {
        let text = match message {
            Message::Event(event) => self.event(event)?,
            Message::Reply(reply) => answered(reply)?,
        };
        match &self.progress {
            Progress::Bar(bar) if !bar.is_finished() && bar.length() != Some(0) => {
                bar.println(text);
                None
            }
            _ => Some(text),
        }
    }
}

fn show_bar(bar: &ProgressBar, game: &GameId, done: u64, total: u64, details: &str) {
    if bar.length() != Some(total) {
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3} % {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(game.to_string());
        bar.set_length(total);
    }
    bar.set_position(done);
    bar.set_message(format!(
        "{} of {}, {details}",
        units::size(done),
        units::size(total)
    ));
}

pub(super) fn percent(done: u64, total: u64) -> u64 {
    (done.saturating_mul(100)).checked_div(total).unwrap_or(100)
}

/// The events that are one sentence, whatever is shown besides.
fn sentence(event: &PeerEvent) -> Option<String> {
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
        PeerEvent::Removed { game } => format!("{game}: removed"),
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

/// `cnctw: version 1.5 is here, 1.5 GB in 12.5s, 120.0 MB/s from 3 peers`.
pub(crate) fn downloaded(summary: &DownloadSummary) -> String {
    let DownloadSummary {
        game,
        version,
        bytes,
        fetched_bytes,
        kept_bytes,
        seconds,
        peers,
    } = summary;
    let kept = match kept_bytes {
        0 => String::new(),
        kept => format!(" ({} were here already)", units::size(*kept)),
    };
    let took = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
    let took = Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let rate = units::rate(per_second(*fetched_bytes, took));
    format!(
        "{game}: version {version} is here, {}{kept} in {}, {rate} from {}",
        units::size(*bytes),
        humantime::format_duration(took),
        units::count(*peers, "peer")
    )
}

/// `bytes` in `time` as a rate; no time at all counts as a millisecond.
pub(crate) fn per_second(bytes: u64, time: Duration) -> u64 {
    let rate = u128::from(bytes) * 1000 / time.as_millis().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

fn verified(summary: &VerifySummary) -> String {
    let VerifySummary {
        game,
        intact,
        bytes,
        bad,
        repaired,
    } = summary;
    if *intact {
        return format!("{game}: intact, {} checked", units::size(*bytes));
    }
    let mut text = format!(
        "{game}: {} damaged or missing",
        units::count(bad.len(), "file")
    );
    for path in bad.iter().take(BAD_FILES_SHOWN) {
        text = format!("{text}\n  {path}");
    }
    if bad.len() > BAD_FILES_SHOWN {
        text = format!("{text}\n  and {} more", bad.len() - BAD_FILES_SHOWN);
    }
    if *repaired {
        format!("{text}\n{game}: fetched again, and intact now")
    } else {
        text
    }
}

fn answered(
    Reply {
        line,
        command,
        result,
    }: &Reply,
) -> Option<String> {
    Some(match result {
        Err(failure) => format!("line {line}: {command}: {failure}"),
        Ok(Answer::Games { games }) => tables::game_table(games),
        Ok(Answer::Game(details)) => tables::game_files(details),
        Ok(Answer::Peers { peers }) => tables::peer_table(peers),
        Ok(Answer::PeerCount { count }) => units::count(*count, "peer"),
        Ok(Answer::Peer(peer)) => format!("connected to {} at {}", peer.name, peer.addr),
        Ok(Answer::Status(status)) => tables::status_lines(status),
        Ok(Answer::Help { commands }) => tables::help_lines(commands),
        Ok(Answer::Done {} | Answer::Event(_)) => return None,
    })
}

#[cfg(test)]
mod tests;
