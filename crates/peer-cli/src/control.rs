//! The control socket: other processes of this user send lines and get JSON, as in the shell.
//!
//! It is `control.sock` in the state directory, for its owner only; on Windows a named pipe whose name
//! comes from that directory. A socket that a dead process left behind is replaced, which is safe
//! because the state directory's lock is held by then.
#![expect(
    clippy::disallowed_methods,
    reason = "a socket file that is not a game's"
)]

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use interprocess::local_socket::{
    ListenerOptions,
    tokio::{Listener, Stream, prelude::*},
};
use lanspread_peer::{PeerEvent, PeerRuntimeHandle};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{Semaphore, mpsc, watch},
    task::JoinHandle,
};

use crate::{
    lines::{Line, Splitter},
    message::Message,
    render::{Json, Output},
    session::{End, Events, Session},
};

/// The socket's name in the state directory.
pub(crate) const SOCKET_FILE: &str = "control.sock";

/// Clients at once; a script that leaks connections must not take the peer down.
const CLIENTS_MAX: usize = 64;

/// Lines and messages between a client and its session; the socket holds the rest back.
pub(crate) const QUEUE: usize = 64;

/// The listening socket and the task that accepts on it.
pub(crate) struct Control {
    accepting: JoinHandle<()>,
    place: Place,
}

impl Control {
    /// Listens for this peer. Call it only while holding the state directory's lock.
    ///
    /// # Errors
    /// The socket cannot be made, for one because the directory's file system has none.
    pub(crate) fn listen(
        state_dir: &Path,
        handle: PeerRuntimeHandle,
        ready: watch::Receiver<Option<PeerEvent>>,
    ) -> io::Result<Self> {
        let place = Place::of(state_dir)?;
        place.clear()?;
        let listener = listener(&place)?;
        let accepting = tokio::spawn(accept(listener, handle, ready));
        Ok(Self { accepting, place })
    }

    /// Stops accepting and takes the socket away; clients that are connected stay until the peer goes.
    pub(crate) fn close(self) {
        self.accepting.abort();
        if let Err(error) = self.place.clear() {
            tracing::warn!(%error, "the control socket is left behind");
        }
    }
}

/// Connects to the peer that runs on this state directory.
///
/// # Errors
/// None runs there, or it cannot be talked to.
pub(crate) async fn connect(state_dir: &Path) -> io::Result<Stream> {
    let place = Place::of(state_dir)?;
    Stream::connect(place.name()?).await
}

async fn accept(
    listener: Listener,
    handle: PeerRuntimeHandle,
    ready: watch::Receiver<Option<PeerEvent>>,
) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(stream) => {
                let client = serve(stream, handle.clone(), ready.clone());
                tokio::spawn(async move {
                    client.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a control client could not be accepted");
                // Out of descriptors, most likely: busy waiting would not bring any back.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// One client from its first line to its last; `quit` from it shuts the peer down.
async fn serve(
    stream: Stream,
    handle: PeerRuntimeHandle,
    mut ready: watch::Receiver<Option<PeerEvent>>,
) {
    let events = Events::Subscribed(handle.events());
    let Ok(greeting) = ready
        .wait_for(Option::is_some)
        .await
        .map(|event| event.clone())
    else {
        return;
    };
    let (read, write) = tokio::io::split(stream);
    let (to_session, lines) = mpsc::channel(QUEUE);
    let (to_client, messages) = mpsc::channel(QUEUE);
    let reading = tokio::spawn(read_lines(read, to_session));
    let writing = tokio::spawn(write_messages(write, messages));
    let mut session = Session::new(handle, events, to_client);
    if let Some(event) = greeting {
        session.greet(event).await;
    }
    let end = session.run(lines).await;
    if end == End::Quit {
        session.shut_down().await;
    }
    drop(session);
    reading.abort();
    // The writer ends with the session's last message, or with the client.
    let _ = writing.await;
}

async fn read_lines(mut from: ReadHalf<Stream>, to: mpsc::Sender<Line>) {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; 4096];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let lines = match count {
            0 => splitter.finish().into_iter().collect(),
            count => splitter.push(&buffer[..count]),
        };
        for line in lines {
            if to.send(line).await.is_err() {
                return;
            }
        }
        if count == 0 {
            return;
        }
    }
}

async fn write_messages(mut to: WriteHalf<Stream>, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        let Some(mut line) = Json.render(&message) else {
            continue;
        };
        line.push('\n');
        if to.write_all(line.as_bytes()).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

#[cfg(unix)]
use on_unix::{Place, listener};
#[cfg(windows)]
use on_windows::{Place, listener};

#[cfg(unix)]
mod on_unix {
    use std::{fs::File, os::fd::AsRawFd, os::unix::ffi::OsStrExt};

    use interprocess::{
        local_socket::{GenericFilePath, Name, ToFsName},
        os::unix::local_socket::ListenerOptionsExt,
    };

    use super::{Listener, ListenerOptions, Path, PathBuf, SOCKET_FILE, io};

    /// Bytes of the longest socket path that every Unix takes.
    const SOCKET_PATH_BYTES_MAX: usize = 100;

    /// Where the socket is.
    pub(super) struct Place {
        file: PathBuf,
        /// The path that the system is told: another way to the same file where the plain one is too
        /// long for a socket.
        short: PathBuf,
        /// What keeps that way open.
        _dir: Option<File>,
    }

    impl Place {
        pub(super) fn of(state_dir: &Path) -> io::Result<Self> {
            let file = state_dir.join(SOCKET_FILE);
            if file.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES_MAX
                || !cfg!(target_os = "linux")
            {
                return Ok(Self {
                    short: file.clone(),
                    file,
                    _dir: None,
                });
            }
            let dir = File::open(state_dir)?;
            let short = format!("/proc/self/fd/{}/{SOCKET_FILE}", dir.as_raw_fd()).into();
            Ok(Self {
                file,
                short,
                _dir: Some(dir),
            })
        }

        pub(super) fn name(&self) -> io::Result<Name<'_>> {
            self.short.as_path().to_fs_name::<GenericFilePath>()
        }

        /// Takes a socket away that is there.
        pub(super) fn clear(&self) -> io::Result<()> {
            match std::fs::remove_file(&self.file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        }
    }

    pub(super) fn listener(place: &Place) -> io::Result<Listener> {
        ListenerOptions::new()
            .name(place.name()?)
            .mode(0o600)
            .reclaim_name(false)
            .create_tokio()
    }
}

#[cfg(windows)]
mod on_windows {
    use interprocess::local_socket::{GenericNamespaced, Name, ToNsName};
    use lanspread_peer::proto::Hash;

    use super::{Listener, ListenerOptions, Path, io};

    /// The pipe's name. Its default access rights are the owner's, the system's and reading for others.
    pub(super) struct Place {
        name: String,
    }

    impl Place {
        pub(super) fn of(state_dir: &Path) -> io::Result<Self> {
            let whole = std::path::absolute(state_dir)?;
            let digits = Hash::of(whole.to_string_lossy().to_lowercase().as_bytes());
            Ok(Self {
                name: format!("lanspread-{digits}"),
            })
        }

        pub(super) fn name(&self) -> io::Result<Name<'_>> {
            self.name.as_str().to_ns_name::<GenericNamespaced>()
        }

        /// A pipe goes with the process that made it.
        pub(super) fn clear(&self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn listener(place: &Place) -> io::Result<Listener> {
        ListenerOptions::new().name(place.name()?).create_tokio()
    }
}
