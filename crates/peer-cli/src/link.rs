//! A conversation with a peer from the other end: lines go in, messages come out, wherever the peer is.

use std::{io, path::Path, time::Duration};

use anyhow::Result;
use interprocess::local_socket::tokio::Stream;
use lanspread_peer::StartError;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    control::{self, QUEUE},
    host::Host,
    lines::Line,
    message::Message,
    options::Options,
    session::{Events, Session},
};

/// A peer that holds the state directory but does not answer yet is starting; it is asked for this long.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait before asking again.
const ATTACH_PAUSE: Duration = Duration::from_millis(100);

/// One end of a conversation.
pub(crate) struct Link {
    lines: mpsc::Sender<Line>,
    messages: mpsc::Receiver<Message>,
    sent: u64,
    /// The session of the peer that was started for this, `None` when one ran already.
    started: Option<JoinHandle<()>>,
}

impl Link {
    /// Attaches to the peer that runs on this state directory, or starts one.
    ///
    /// # Errors
    /// Neither is possible; when another process holds the game directory, [`StartError::InUse`].
    pub(crate) async fn open(options: &Options) -> Result<Self> {
        let deadline = Instant::now() + ATTACH_TIMEOUT;
        loop {
            if let Ok(stream) = control::connect(&options.state_dir).await {
                return Ok(Self::attached(stream));
            }
            match Host::start(options).await {
                Ok(host) => return Ok(Self::started(host)),
                Err(error) if is_ours(&error, &options.state_dir) && Instant::now() < deadline => {
                    sleep(ATTACH_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn attached(stream: Stream) -> Self {
        let (read, write) = tokio::io::split(stream);
        let (lines, from_us) = mpsc::channel(QUEUE);
        let (to_us, messages) = mpsc::channel(QUEUE);
        tokio::spawn(write_lines(write, from_us));
        tokio::spawn(read_messages(read, to_us));
        Self {
            lines,
            messages,
            sent: 0,
            started: None,
        }
    }

    fn started(host: Host) -> Self {
        let Host {
            handle,
            events,
            door,
        } = host;
        let (lines, from_us) = mpsc::channel(QUEUE);
        let (to_us, messages) = mpsc::channel(QUEUE);
        let session = tokio::spawn(async move {
            let mut session = Session::new(handle, Events::FromStart(events), to_us);
            session.run(from_us).await;
            door.close();
            session.shut_down().await;
        });
        Self {
            lines,
            messages,
            sent: 0,
            started: Some(session),
        }
    }

    /// Whether the peer ran before and goes on afterwards.
    pub(crate) const fn is_attached(&self) -> bool {
        self.started.is_none()
    }

    /// Sends a line and returns the number that its reply will have.
    pub(crate) async fn send(&mut self, text: String) -> u64 {
        self.sent += 1;
        // A peer that is gone shows as the end of messages.
        let _ = self
            .lines
            .send(Line {
                number: self.sent,
                text: Ok(text),
            })
            .await;
        self.sent
    }

    /// What the peer says next; `None` when it is gone.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// Ends the conversation: a peer that was started for it shuts down, one that ran already goes on.
    pub(crate) async fn close(self) {
        let Self {
            lines,
            mut messages,
            started,
            ..
        } = self;
        drop(lines);
        if let Some(session) = started {
            while messages.recv().await.is_some() {}
            if let Err(error) = session.await {
                tracing::error!(%error, "the peer did not shut down in order");
            }
        }
    }
}

/// Whether the peer could not start because one holds this very state directory.
fn is_ours(error: &anyhow::Error, state_dir: &Path) -> bool {
    let Some(StartError::InUse { path, .. }) = error.downcast_ref() else {
        return false;
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(path).starts_with(real(state_dir))
}

async fn write_lines(mut to: WriteHalf<Stream>, mut lines: mpsc::Receiver<Line>) -> io::Result<()> {
    while let Some(line) = lines.recv().await {
        let Ok(text) = line.text else { continue };
        to.write_all(format!("{text}\n").as_bytes()).await?;
        to.flush().await?;
    }
    to.shutdown().await
}

async fn read_messages(from: ReadHalf<Stream>, to: mpsc::Sender<Message>) -> io::Result<()> {
    let mut lines = BufReader::new(from).lines();
    while let Some(line) = lines.next_line().await? {
        match Message::from_json(&line) {
            Ok(message) => {
                if to.send(message).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => tracing::debug!(%error, line, "a line that this version does not know"),
        }
    }
    Ok(())
}
