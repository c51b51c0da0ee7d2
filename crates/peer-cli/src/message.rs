//! What a session says: events and replies, as values. [`crate::render`] turns them into lines, and
//! [`Message::from_json`] turns the lines of another process back.

use lanspread_peer::{Failure, GameDetails, GameView, PeerEvent, PeerView, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::grammar::CommandHelp;

/// One thing that a session says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    /// Something happened.
    Event(PeerEvent),
    /// A line was answered.
    Reply(Reply),
}

/// The answer to one line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    /// The line's number, from 1.
    pub(crate) line: u64,
    /// The line's first word.
    pub(crate) command: String,
    /// How it went.
    pub(crate) result: Result<Answer, Failure>,
}

/// What a reply's `data` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// Accepted, or done; nothing to tell.
    Done {},
    /// `list`.
    Games { games: Vec<GameView> },
    /// `game` and `fetch`.
    Game(Box<GameDetails>),
    /// `peers`.
    Peers { peers: Vec<PeerView> },
    /// `peer-count`.
    PeerCount { count: usize },
    /// `connect`.
    Peer(PeerView),
    /// `status`.
    Status(Box<Status>),
    /// `wait` and `cancel`: the event that ended it.
    Event(Box<PeerEvent>),
    /// `help`.
    Help { commands: Vec<CommandHelp> },
}

impl Answer {
    fn from_json(command: &str, data: Value) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Games {
            games: Vec<GameView>,
        }
        #[derive(Deserialize)]
        struct Peers {
            peers: Vec<PeerView>,
        }
        #[derive(Deserialize)]
        struct PeerCount {
            count: usize,
        }
        #[derive(Deserialize)]
        struct Help {
            commands: Vec<CommandHelp>,
        }
        Ok(match command {
            "list" => {
                let Games { games } = serde_json::from_value(data)?;
                Self::Games { games }
            }
            "game" | "fetch" => Self::Game(serde_json::from_value(data)?),
            "peers" => {
                let Peers { peers } = serde_json::from_value(data)?;
                Self::Peers { peers }
            }
            "peer-count" => {
                let PeerCount { count } = serde_json::from_value(data)?;
                Self::PeerCount { count }
            }
            "connect" => Self::Peer(serde_json::from_value(data)?),
            "status" => Self::Status(serde_json::from_value(data)?),
            "wait" | "cancel" => Self::Event(serde_json::from_value(data)?),
            "help" => {
                let Help { commands } = serde_json::from_value(data)?;
                Self::Help { commands }
            }
            _ => Self::Done {},
        })
    }
}

impl Message {
    /// Reads what [`crate::render::Json`] wrote.
    ///
    /// # Errors
    /// The line is not JSON, or not of a kind that this version knows; a newer peer may say more than
    /// we understand, so the caller skips such a line.
    pub(crate) fn from_json(line: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Head {
            r#type: String,
        }
        #[derive(Deserialize)]
        struct ReplyLine {
            line: u64,
            command: String,
            data: Option<Value>,
            error: Option<Failure>,
        }
        let value: Value = serde_json::from_str(line)?;
        if Head::deserialize(&value)?.r#type == "event" {
            return serde_json::from_value(value).map(Self::Event);
        }
        let ReplyLine {
            line,
            command,
            data,
            error,
        } = serde_json::from_value(value)?;
        let result = match error {
            Some(failure) => Err(failure),
            None => Ok(Answer::from_json(&command, data.unwrap_or_default())?),
        };
        Ok(Self::Reply(Reply {
            line,
            command,
            result,
        }))
    }
}
