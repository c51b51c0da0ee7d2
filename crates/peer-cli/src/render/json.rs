//! The contract with programs: one JSON object a line.

use lanspread_peer::{Failure, OperationView, PeerEvent};
use serde::Serialize;

use crate::{
    events,
    message::{Answer, Message, Reply},
    render::Output,
};

/// One JSON object a line, nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json;

#[derive(Serialize)]
struct EventLine<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    event: &'a PeerEvent,
}

#[derive(Serialize)]
struct ReplyLine<'a> {
    r#type: &'static str,
    line: u64,
    command: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

impl Output for Json {
    /// Programs ask for the status when they want to know.
    fn progress(&mut self, _operation: &OperationView) -> Option<String> {
        None
    }

    fn render(&mut self, message: &Message) -> Option<String> {
        let line = match message {
            Message::Event(event) => {
                events::name(event)?;
                serde_json::to_string(&EventLine {
                    r#type: "event",
                    event,
                })
            }
            Message::Reply(Reply {
                line,
                command,
                result,
            }) => serde_json::to_string(&ReplyLine {
                r#type: "reply",
                line: *line,
                command,
                ok: result.is_ok(),
                data: result.as_ref().ok(),
                error: result.as_ref().err(),
            }),
        };
        match line {
            Ok(line) => Some(line),
            Err(error) => {
                tracing::error!(%error, ?message, "a message could not be written as JSON");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    /// The contract, line by line. A change here breaks somebody's script.
    const GOLDEN: &str = include_str!("golden.jsonl");

    #[test]
    fn every_message_is_its_golden_line() {
        let lines: Vec<_> = samples::messages()
            .iter()
            .filter_map(|message| Json.render(message))
            .collect();
        let golden: Vec<_> = GOLDEN.lines().collect();
        for (line, golden) in lines.iter().zip(&golden) {
            assert_eq!(line, golden);
        }
        assert_eq!(lines.len(), golden.len(), "{}", lines.join("\n"));
    }

    #[test]
    fn every_line_is_read_back_as_the_same_message() {
        for message in samples::messages() {
            if let Some(line) = Json.render(&message) {
                assert_eq!(Message::from_json(&line).unwrap(), message, "{line}");
            }
        }
    }

    #[test]
    fn what_only_embedders_are_told_is_no_line() {
        for event in [
            PeerEvent::PeerCount { count: 1 },
            PeerEvent::GamesListed { games: vec![] },
        ] {
            assert_eq!(Json.render(&Message::Event(event)), None);
        }
    }

    #[test]
    fn a_line_of_an_unknown_kind_is_an_error_that_can_be_skipped() {
        for line in [
            "",
            "{}",
            "[]",
            r#"{"type":"event","event":"moon_landed"}"#,
            "ready",
        ] {
            assert!(Message::from_json(line).is_err(), "{line}");
        }
    }
}
