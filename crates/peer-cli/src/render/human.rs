//! For people: sentences, tables and, on a terminal, progress bars.

use std::{collections::HashMap, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lanspread_peer::{
    DownloadSummary, InstallSummary, OperationView, PeerEvent, VerifySummary, proto::GameId,
};

use crate::{
    message::{Answer, Message, Reply},
    render::{Output, sentences::sentence, tables},
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

    /// Like [`Self::advance`] where nobody knows how far it goes: a bar has no length, and there are no steps
    /// to write lines at.
    fn advance_somewhere(&self, game: &GameId, done: u64, details: &str) {
        if let Progress::Bar(bar) = &self.progress {
            show_counts(bar, game, done, details);
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
            } if *bytes_total > 0 => {
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
            PeerEvent::DownloadGameFilesFailed {
                game,
                error,
                streamed,
            } => {
                self.end_of_progress(game);
                Some(format!("{game}: {} failed: {error}", transfer(*streamed)))
            }
            PeerEvent::DownloadGameFilesCancelled { game, streamed } => {
                self.end_of_progress(game);
                Some(format!("{game}: {} cancelled", transfer(*streamed)))
            }
            PeerEvent::InstallGameProgress {
                game,
                bytes_done,
                bytes_total,
                files_done,
                files_total,
                ..
            } => {
                let details = match files_total {
                    Some(total) => format!("{files_done} of {}", units::count_u64(*total, "file")),
                    None => units::count_u64(*files_done, "file"),
                };
                let Some(total) = bytes_total else {
                    self.advance_somewhere(game, *bytes_done, &details);
                    return None;
                };
                self.advance(game, *bytes_done, *total, &details)
            }
            PeerEvent::InstallGameFinished(summary) => {
                self.end_of_progress(&summary.game);
                Some(installed(summary))
            }
            PeerEvent::InstallGameFailed { game, error, .. } => {
                self.end_of_progress(game);
                Some(format!("{game}: install failed: {error}"))
            }
            PeerEvent::InstallGameCancelled { game, .. } => {
                self.end_of_progress(game);
                Some(format!("{game}: install cancelled, and taken back"))
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

/// A bar without a length: how much has been done.
fn show_counts(bar: &ProgressBar, game: &GameId, done: u64, details: &str) {
    const NO_LENGTH: u64 = u64::MAX;
    if bar.length() != Some(NO_LENGTH) {
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(game.to_string());
        bar.set_length(NO_LENGTH);
    }
    bar.set_message(format!("{}, {details}", units::size(done)));
}

pub(super) fn percent(done: u64, total: u64) -> u64 {
    (done.saturating_mul(100)).checked_div(total).unwrap_or(100)
}

/// `cnctw: version 1.5 is installed in the place of 1.4, 12 files, 3.0 GB in 1s 500ms`.
pub(crate) fn installed(summary: &InstallSummary) -> String {
    let InstallSummary {
        game,
        version,
        replaced,
        bytes,
        files,
        seconds,
        ..
    } = summary;
    let before = match replaced {
        Some(before) if before == version => " again".to_owned(),
        Some(before) => format!(" in the place of {before}"),
        None => String::new(),
    };
    format!(
        "{game}: version {version} is installed{before}, {}, {} in {}",
        units::count_u64(*files, "file"),
        units::size(*bytes),
        took(*seconds)
    )
}

fn took(seconds: f64) -> humantime::FormattedDuration {
    humantime::format_duration(whole_ms(seconds))
}

/// What brings bytes here.
const fn transfer(streamed: bool) -> &'static str {
    if streamed {
        "streamed install"
    } else {
        "download"
    }
}

fn whole_ms(seconds: f64) -> Duration {
    let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
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
        streamed,
        ..
    } = summary;
    if *streamed {
        let rate = units::rate(per_second(*fetched_bytes, whole_ms(*seconds)));
        let (size, took) = (units::size(*bytes), took(*seconds));
        return format!("{game}: version {version} has come expanded, {size} in {took}, {rate}");
    }
    let kept = match kept_bytes {
        0 => String::new(),
        kept => format!(" ({} were here already)", units::size(*kept)),
    };
    let rate = units::rate(per_second(*fetched_bytes, whole_ms(*seconds)));
    format!(
        "{game}: version {version} is here, {}{kept} in {}, {rate} from {}",
        units::size(*bytes),
        took(*seconds),
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
