//! Messages as text: exact JSON lines for programs, sentences and tables for people.

mod human;
mod json;
#[cfg(test)]
pub(crate) mod samples;
mod sentences;
mod tables;

pub(crate) use human::Human;
pub(crate) use json::Json;

use lanspread_peer::OperationView;

use crate::message::Message;

/// How messages become lines on standard output.
pub(crate) trait Output: Send {
    /// The text for one message, without the last line break; `None` when there is nothing to show.
    fn render(&mut self, message: &Message) -> Option<String>;

    /// The text for an operation that tells no progress of its own.
    fn progress(&mut self, operation: &OperationView) -> Option<String>;
}

/// The output that `--json` asks for, or the one for people.
pub(crate) fn output(json: bool) -> Box<dyn Output> {
    if json {
        Box::new(Json)
    } else {
        Box::new(Human::lines())
    }
}
