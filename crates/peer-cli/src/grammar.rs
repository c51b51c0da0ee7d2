//! The one grammar of shell lines, control-socket lines and one-shot verbs.
//!
//! A line is a command word and its arguments. Words are cut at white space; a word in double quotes
//! keeps its spaces and is never an option; there are no escapes, so that Windows paths need none. A
//! command that takes one argument takes the rest of the line for it, so `download Age of Empires II`
//! needs no quotes.

use std::{fmt, path::PathBuf, time::Duration};

use lanspread_peer::proto::{GameId, Version};
use serde::{Deserialize, Serialize};

use crate::{
    events::{self, Work},
    units,
};

/// How long `wait` waits unless told otherwise.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// Bytes of the longest line that is read; ids and paths are far shorter.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024;

/// What one line asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    List,
    Game(GameId),
    Fetch(GameId),
    Download(Download),
    Install(GameId),
    StreamInstall(StreamInstall),
    Uninstall(GameId),
    Remove(GameId),
    Cancel(GameId),
    Verify { game: GameId, repair: bool },
    SetGameDir(PathBuf),
    Peers,
    PeerCount,
    Connect(String),
    Status,
    Wait(Wait),
    Sleep(Duration),
    Help,
    Quit,
}

/// The arguments of `download`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Download {
    pub(crate) game: GameId,
    pub(crate) version: Option<Version>,
    pub(crate) no_install: bool,
}

/// The arguments of `stream-install`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamInstall {
    pub(crate) game: GameId,
    pub(crate) version: Option<Version>,
}

/// The arguments of `wait`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    /// One of [`events::NAMES`].
    pub(crate) event: &'static str,
    /// What it must be about: a game id, a peer's id or name, a folder.
    pub(crate) id: Option<String>,
    pub(crate) timeout: Duration,
}

/// What a command's argument is, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Argument {
    None,
    Game,
    Event,
    Other,
}

/// One entry of `help`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommandHelp {
    /// How it is written.
    pub(crate) usage: String,
    /// What it does.
    pub(crate) does: String,
}

/// Every command: word, arguments as they are written, what the first one is, what it does.
pub(crate) const COMMANDS: [(&str, &str, Argument, &str); 19] = [
    (
        "list",
        "",
        Argument::None,
        "every game that is known, here or at a peer",
    ),
    ("game", "ID", Argument::Game, "one game's files"),
    (
        "fetch",
        "ID",
        Argument::Game,
        "one game's files, asked of the peers alone",
    ),
    (
        "download",
        "ID [--version VERSION] [--no-install]",
        Argument::Game,
        "download a game from every peer that has it; an archive is installed afterwards",
    ),
    (
        "install",
        "ID",
        Argument::Game,
        "install what is downloaded, over what is installed",
    ),
    (
        "stream-install",
        "ID [--version VERSION]",
        Argument::Game,
        "install straight from a peer that expands its archive; no archive comes here",
    ),
    (
        "uninstall",
        "ID",
        Argument::Game,
        "remove what is installed; the download stays",
    ),
    (
        "remove",
        "ID",
        Argument::Game,
        "delete a downloaded game from the disk",
    ),
    (
        "cancel",
        "ID",
        Argument::Game,
        "cancel what runs on a game, or discard a partial download",
    ),
    (
        "verify",
        "ID [--repair]",
        Argument::Game,
        "check every byte of a downloaded game; --repair fetches again what is wrong",
    ),
    (
        "set-game-dir",
        "PATH",
        Argument::Other,
        "use another game directory",
    ),
    ("peers", "", Argument::None, "the connected peers"),
    (
        "peer-count",
        "",
        Argument::None,
        "how many peers are connected",
    ),
    (
        "connect",
        "HOST:PORT",
        Argument::Other,
        "connect to a peer, and keep trying",
    ),
    ("status", "", Argument::None, "what this peer is doing"),
    (
        "wait",
        "EVENT [ID] [--timeout SECONDS]",
        Argument::Event,
        "wait for an event, also one that has happened already (60 s unless told otherwise)",
    ),
    (
        "sleep",
        "SECONDS",
        Argument::Other,
        "do nothing for a while",
    ),
    ("help", "", Argument::None, "this list"),
    (
        "quit",
        "",
        Argument::None,
        "shut down now; a download keeps what it has",
    ),
];

/// A line that is not a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Its first word, which may be an unknown one.
    pub(crate) command: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

/// `help`'s entries.
pub(crate) fn help() -> Vec<CommandHelp> {
    COMMANDS
        .iter()
        .map(|(word, arguments, _, does)| CommandHelp {
            usage: format!("{word} {arguments}").trim_end().to_owned(),
            does: (*does).to_owned(),
        })
        .collect()
}

impl Command {
    /// Parses one line; `None` for a blank line or a comment.
    ///
    /// # Errors
    /// [`BadLine`], which names the word or argument that is wrong.
    pub(crate) fn parse(line: &str) -> Result<Option<Self>, BadLine> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let end = line.find(char::is_whitespace).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        parse_arguments(word, rest)
            .map(Some)
            .map_err(|message| BadLine {
                command: word.chars().take(80).collect(),
                message,
            })
    }

    /// The long operation that the command starts, and the game that it works on.
    pub(crate) const fn starts(&self) -> Option<(&GameId, Work)> {
        match self {
            Self::Download(Download { game, .. }) => Some((game, Work::Download)),
            Self::Install(game) => Some((game, Work::Install)),
            Self::StreamInstall(StreamInstall { game, .. }) => Some((game, Work::StreamInstall)),
            Self::Uninstall(game) => Some((game, Work::Uninstall)),
            Self::Verify { game, .. } => Some((game, Work::Verify)),
            _ => None,
        }
    }

    /// The command's word.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Game(_) => "game",
            Self::Fetch(_) => "fetch",
            Self::Download(_) => "download",
            Self::Install(_) => "install",
            Self::StreamInstall(_) => "stream-install",
            Self::Uninstall(_) => "uninstall",
            Self::Remove(_) => "remove",
            Self::Cancel(_) => "cancel",
            Self::Verify { .. } => "verify",
            Self::SetGameDir(_) => "set-game-dir",
            Self::Peers => "peers",
            Self::PeerCount => "peer-count",
            Self::Connect(_) => "connect",
            Self::Status => "status",
            Self::Wait(_) => "wait",
            Self::Sleep(_) => "sleep",
            Self::Help => "help",
            Self::Quit => "quit",
        }
    }
}

/// The line that parses to this command.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Game(game)
            | Self::Fetch(game)
            | Self::Install(game)
            | Self::Uninstall(game)
            | Self::Remove(game)
            | Self::Cancel(game) => write!(f, " \"{game}\""),
            Self::Download(download) => {
                write!(f, " \"{}\"", download.game)?;
                if let Some(version) = &download.version {
                    write!(f, " --version \"{version}\"")?;
                }
                if download.no_install {
                    f.write_str(" --no-install")
                } else {
                    Ok(())
                }
            }
            Self::StreamInstall(StreamInstall { game, version }) => {
                write!(f, " \"{game}\"")?;
                match version {
                    Some(version) => write!(f, " --version \"{version}\""),
                    None => Ok(()),
                }
            }
            Self::Verify { game, repair } => {
                write!(f, " \"{game}\"{}", if *repair { " --repair" } else { "" })
            }
            Self::SetGameDir(path) => write!(f, " \"{}\"", path.display()),
            Self::Connect(addr) => write!(f, " {addr}"),
            Self::Wait(wait) => {
                write!(f, " {}", wait.event)?;
                if let Some(id) = &wait.id {
                    write!(f, " \"{id}\"")?;
                }
                write!(f, " --timeout {}", wait.timeout.as_secs_f64())
            }
            Self::Sleep(time) => write!(f, " {}", time.as_secs_f64()),
            Self::List | Self::Peers | Self::PeerCount | Self::Status | Self::Help | Self::Quit => {
                Ok(())
            }
        }
    }
}

/// A game id as people type it.
///
/// # Errors
/// A sentence that names the text and the rule.
pub(crate) fn game_id(text: &str) -> Result<GameId, String> {
    text.parse::<GameId>().map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    })
}

fn parse_arguments(word: &str, rest: &str) -> Result<Command, String> {
    let mut arguments = Arguments::split(rest)?;
    let command = match word {
        "list" => Command::List,
        "game" => Command::Game(arguments.game()?),
        "fetch" => Command::Fetch(arguments.game()?),
        "download" => Command::Download(Download {
            no_install: arguments.flag("--no-install"),
            version: arguments.version()?,
            game: arguments.game()?,
        }),
        "install" => Command::Install(arguments.game()?),
        "stream-install" => Command::StreamInstall(StreamInstall {
            version: arguments.version()?,
            game: arguments.game()?,
        }),
        "uninstall" => Command::Uninstall(arguments.game()?),
        "remove" => Command::Remove(arguments.game()?),
        "cancel" => Command::Cancel(arguments.game()?),
        "verify" => Command::Verify {
            repair: arguments.flag("--repair"),
            game: arguments.game()?,
        },
        "set-game-dir" => Command::SetGameDir(arguments.rest("PATH")?.into()),
        "peers" => Command::Peers,
        "peer-count" => Command::PeerCount,
        "connect" => Command::Connect(arguments.address()?),
        "status" => Command::Status,
        "wait" => Command::Wait(arguments.wait()?),
        "sleep" => Command::Sleep(units::seconds(&arguments.rest("SECONDS")?)?),
        "help" => Command::Help,
        "quit" => Command::Quit,
        _ => return Err(format!("there is no command {word:?}; `help` lists them")),
    };
    arguments.end(word)?;
    Ok(command)
}

/// One word of a line and where it stands.
#[derive(Debug, Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    quoted: bool,
}

/// The words after the command that nobody has taken yet.
struct Arguments<'a> {
    line: &'a str,
    words: Vec<Word<'a>>,
}

impl<'a> Arguments<'a> {
    fn split(line: &'a str) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut at = 0;
        loop {
            at += line[at..].len() - line[at..].trim_start().len();
            let rest = &line[at..];
            if rest.is_empty() {
                return Ok(Self { line, words });
            }
            let (text, length, quoted) = if let Some(inner) = rest.strip_prefix('"') {
                let close = inner.find('"').ok_or("a quote is not closed")?;
                if !inner[close + 1..].is_empty()
                    && !inner[close + 1..].starts_with(char::is_whitespace)
                {
                    return Err("after a closing quote comes a space".into());
                }
                (&inner[..close], close + 2, true)
            } else {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (&rest[..end], end, false)
            };
            words.push(Word {
                text,
                start: at,
                end: at + length,
                quoted,
            });
            at += length;
        }
    }

    /// Takes an option without a value.
    fn flag(&mut self, name: &str) -> bool {
        let found = self
            .words
            .iter()
            .position(|word| !word.quoted && word.text == name);
        found.map(|at| self.words.remove(at)).is_some()
    }

    /// Takes an option with a value, `--name value` or `--name=value`.
    fn value(&mut self, name: &str) -> Result<Option<&'a str>, String> {
        let is_it = |word: &Word<'_>| {
            let after = word.text.strip_prefix(name);
            !word.quoted && after.is_some_and(|after| after.is_empty() || after.starts_with('='))
        };
        let Some(at) = self.words.iter().position(is_it) else {
            return Ok(None);
        };
        let word = self.words.remove(at);
        if let Some((_, value)) = word.text.split_once('=') {
            return Ok(Some(value));
        }
        if at < self.words.len() {
            Ok(Some(self.words.remove(at).text))
        } else {
            Err(format!("{name} needs a value"))
        }
    }

    /// Takes all that is left as one argument called `what`.
    fn rest(&mut self, what: &str) -> Result<String, String> {
        self.refuse_options()?;
        let words = std::mem::take(&mut self.words);
        let (Some(first), Some(last)) = (words.first(), words.last()) else {
            return Err(format!("{what} is missing"));
        };
        if words.len() == 1 {
            return Ok(first.text.to_owned());
        }
        if let Some(quoted) = words.iter().find(|word| word.quoted) {
            return Err(format!(
                "{:?} is one {what} already, and there is more",
                quoted.text
            ));
        }
        Ok(self.line[first.start..last.end].to_owned())
    }

    fn game(&mut self) -> Result<GameId, String> {
        game_id(&self.rest("ID")?)
    }

    fn version(&mut self) -> Result<Option<Version>, String> {
        let parse = |text: &str| {
            text.parse::<Version>()
                .map_err(|error| format!("{text:?}: {error}"))
        };
        self.value("--version")?.map(parse).transpose()
    }

    fn address(&mut self) -> Result<String, String> {
        address(&self.rest("HOST:PORT")?)
    }

    fn wait(&mut self) -> Result<Wait, String> {
        let timeout = self.value("--timeout")?.map(units::seconds).transpose()?;
        if self.words.is_empty() {
            return Err("EVENT is missing".into());
        }
        let name = self.words.remove(0).text;
        let event = events::NAMES
            .iter()
            .find(|known| **known == name)
            .ok_or_else(|| format!("there is no event {name:?}"))?;
        let id = if self.words.is_empty() {
            None
        } else {
            Some(self.rest("ID")?)
        };
        Ok(Wait {
            event,
            id,
            timeout: timeout.unwrap_or(WAIT_TIMEOUT),
        })
    }

    fn refuse_options(&self) -> Result<(), String> {
        match self
            .words
            .iter()
            .find(|word| !word.quoted && word.text.starts_with("--"))
        {
            Some(word) => Err(format!("there is no option {:?} here", word.text)),
            None => Ok(()),
        }
    }

    /// Refuses what nobody has taken.
    fn end(&self, command: &str) -> Result<(), String> {
        self.refuse_options()?;
        match self.words.first() {
            Some(word) => Err(format!("{command} takes no {:?}", word.text)),
            None => Ok(()),
        }
    }
}

/// `HOST:PORT`, checked for its form only: whether the host exists, the network says.
///
/// # Errors
/// A sentence that names the text.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let well_formed = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.starts_with('[') && host.ends_with(']') || !host.contains(':');
        let port = port.parse::<u16>().is_ok_and(|port| port != 0);
        !host.is_empty() && bare && port && !host.contains(char::is_whitespace)
    });
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is not HOST:PORT, such as 192.168.1.5:27184"
        ))
    }
}

#[cfg(test)]
mod tests;
