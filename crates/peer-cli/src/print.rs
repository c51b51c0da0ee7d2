//! The way to standard output. Nothing here blocks the peer: a reader that is slow makes the session
//! slow, and the session's events are dropped and counted.

use std::io;

use tokio::{io::AsyncWriteExt, sync::mpsc};

use crate::{message::Message, render::Output};

/// Where text for people and programs goes.
pub(crate) enum Printer {
    /// Straight to standard output.
    Stdout(tokio::io::Stdout),
    /// To the thread that keeps the prompt below it.
    AbovePrompt(mpsc::Sender<String>),
}

impl Printer {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::Stdout(tokio::io::stdout())
    }

    /// Prints one text and a line break.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub(crate) async fn print(&mut self, text: &str) -> io::Result<()> {
        let line = format!("{text}\n");
        match self {
            Self::Stdout(stdout) => {
                stdout.write_all(line.as_bytes()).await?;
                stdout.flush().await
            }
            Self::AbovePrompt(lines) => lines
                .send(line)
                .await
                .map_err(|_| io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// Prints messages until there are no more, or nobody reads.
pub(crate) async fn print_all(
    mut messages: mpsc::Receiver<Message>,
    mut output: Box<dyn Output>,
    mut printer: Printer,
) {
    while let Some(message) = messages.recv().await {
        if let Some(text) = output.render(&message)
            && let Err(error) = printer.print(&text).await
        {
            tracing::debug!(%error, "nobody reads standard output any more");
            return;
        }
    }
}
