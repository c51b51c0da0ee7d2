//! The shell on a terminal: a prompt with history and completion, and output above it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use lanspread_peer::PeerRuntimeHandle;
use rustyline::{
    Context, Editor, ExternalPrinter, Helper, completion::Completer, error::ReadlineError,
    highlight::Highlighter, hint::Hinter, history::DefaultHistory, validate::Validator,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    control::QUEUE,
    events,
    grammar::{Argument, COMMANDS},
    lines::Line,
    print::Printer,
};

const PROMPT: &str = "lanspread> ";

/// Where the lines of earlier shells are, in the state directory.
const HISTORY_FILE: &str = "shell_history";

/// The terminal while the shell has it.
pub(crate) struct Terminal {
    before: Modes,
    to_printer: mpsc::Sender<String>,
}

impl Terminal {
    /// Shows the prompt and sends what is typed to `lines`; the second value comes when the user has
    /// pressed Ctrl-C.
    ///
    /// # Errors
    /// The terminal cannot be used.
    pub(crate) fn open(
        handle: PeerRuntimeHandle,
        state_dir: &Path,
        lines: mpsc::Sender<Line>,
    ) -> Result<(Self, oneshot::Receiver<()>)> {
        let before = Modes::read();
        let mut editor = Editor::<Completion, DefaultHistory>::new()?;
        editor.set_helper(Some(Completion { handle }));
        let history = state_dir.join(HISTORY_FILE);
        // The first shell has no history yet.
        let _ = editor.load_history(&history);
        let mut printer = editor.create_external_printer()?;
        let (to_printer, mut texts) = mpsc::channel::<String>(QUEUE);
        std::thread::Builder::new()
            .name("printer".into())
            .spawn(move || {
                while let Some(text) = texts.blocking_recv() {
                    if printer.print(text).is_err() {
                        return;
                    }
                }
            })?;
        let (interrupt, interrupted) = oneshot::channel();
        std::thread::Builder::new()
            .name("prompt".into())
            .spawn(move || prompt(editor, &history, &lines, interrupt))?;
        Ok((Self { before, to_printer }, interrupted))
    }

    /// What prints above the prompt.
    pub(crate) fn printer(&self) -> Printer {
        Printer::AbovePrompt(self.to_printer.clone())
    }

    /// Gives the terminal back as it was; the prompt's thread may be in the middle of a line.
    pub(crate) fn restore(self) {
        self.before.write();
    }
}

fn prompt(
    mut editor: Editor<Completion, DefaultHistory>,
    history: &PathBuf,
    lines: &mpsc::Sender<Line>,
    interrupt: oneshot::Sender<()>,
) {
    for number in 1.. {
        let text = match editor.readline(PROMPT) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => {
                // Nobody waits for it when the shell is ending already.
                let _ = interrupt.send(());
                return;
            }
            Err(ReadlineError::Eof) => return,
            Err(error) => {
                tracing::error!(%error, "the terminal cannot be read");
                return;
            }
        };
        if !text.trim().is_empty()
            && editor.add_history_entry(text.as_str()).is_ok_and(|new| new)
            && let Err(error) = editor.append_history(history)
        {
            tracing::debug!(%error, "the history could not be written");
        }
        let over = text.trim() == "quit";
        if lines
            .blocking_send(Line {
                number,
                text: Ok(text),
            })
            .is_err()
            || over
        {
            return;
        }
    }
}

/// Completes commands, and then what their first argument is.
struct Completion {
    handle: PeerRuntimeHandle,
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let games = || {
            self.handle
                .games()
                .into_iter()
                .map(|game| game.id.to_string())
                .collect()
        };
        Ok(candidates(&line[..at], games))
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

/// Where the word begins that is being typed, and what it may become.
fn candidates(typed: &str, games: impl FnOnce() -> Vec<String>) -> (usize, Vec<String>) {
    let start = typed.len() - typed.trim_start().len();
    let Some(space) = typed[start..].find(char::is_whitespace) else {
        let words = COMMANDS.iter().map(|(word, ..)| format!("{word} "));
        return (
            start,
            words
                .filter(|word| word.starts_with(&typed[start..]))
                .collect(),
        );
    };
    let word = &typed[start..start + space];
    let argument = typed[start + space..].trim_start();
    let known = COMMANDS.iter().find(|(command, ..)| *command == word);
    let all = match known.map_or(Argument::None, |(_, _, argument, _)| *argument) {
        Argument::Game => games(),
        Argument::Event => events::NAMES.map(str::to_owned).to_vec(),
        Argument::None | Argument::Other => Vec::new(),
    };
    let begins = |candidate: &String| candidate.starts_with(argument);
    (
        typed.len() - argument.len(),
        all.into_iter().filter(begins).collect(),
    )
}

/// The terminal's modes, which the line editor changes.
#[cfg(unix)]
struct Modes(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Modes {
    fn read() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }

    fn write(&self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Some(modes) = &self.0
            && let Err(error) = tcsetattr(std::io::stdin(), OptionalActions::Now, modes)
        {
            tracing::warn!(%error, "the terminal could not be reset");
        }
    }
}

/// Elsewhere the console forgets the modes with the process.
#[cfg(not(unix))]
struct Modes;

#[cfg(not(unix))]
impl Modes {
    const fn read() -> Self {
        Self
    }

    const fn write(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(typed: &str) -> (usize, Vec<String>) {
        candidates(typed, || {
            ["Age of Empires II", "Anno", "cnctw"]
                .map(str::to_owned)
                .to_vec()
        })
    }

    #[test]
    fn commands_are_completed() {
        assert_eq!(complete("dow"), (0, vec!["download ".to_owned()]));
        assert_eq!(
            complete("  pe"),
            (2, vec!["peers ".to_owned(), "peer-count ".to_owned()])
        );
        assert_eq!(complete("").1.len(), COMMANDS.len());
        assert_eq!(complete("nothing").1, Vec::<String>::new());
    }

    #[test]
    fn arguments_are_completed_by_what_they_are() {
        assert_eq!(complete("download A").1, ["Age of Empires II", "Anno"]);
        assert_eq!(
            complete("download Age of"),
            (9, vec!["Age of Empires II".to_owned()])
        );
        assert_eq!(
            complete("wait peer_").1,
            ["peer_joined", "peer_left", "peer_distrusted"]
        );
        assert!(complete("list ").1.is_empty());
        assert!(complete("sleep 1").1.is_empty());
    }
}
