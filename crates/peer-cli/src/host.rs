//! A peer of this process together with its control socket.

use std::sync::Arc;

use anyhow::Result;
use lanspread_archive::ArchiveUnpacker;
use lanspread_peer::{PeerEvent, PeerRuntimeHandle, Services, start_peer};
use tokio::sync::{mpsc, watch};

use crate::{control::Control, options::Options};

/// Events between the runtime and the session of this process; the runtime counts what it has to drop.
const EVENTS_BUFFERED: usize = 4096;

/// A running peer, and the way for other processes of this user to talk to it.
pub(crate) struct Host {
    /// The peer.
    pub(crate) handle: PeerRuntimeHandle,
    /// Everything that it tells, from its first event on.
    pub(crate) events: mpsc::Receiver<PeerEvent>,
    /// Its socket.
    pub(crate) door: Door,
}

/// The control socket of a running peer, if it could be made: the peer does its work without.
pub(crate) struct Door(Option<Control>);

impl Door {
    /// Takes the socket away, so that nobody attaches to a peer that is going.
    pub(crate) fn close(self) {
        if let Some(control) = self.0 {
            control.close();
        }
    }
}

impl Host {
    /// Starts the peer, and the control socket once the state directory is ours.
    ///
    /// # Errors
    /// A directory is in use, or something else that [`lanspread_peer::StartError`] or
    /// [`lanspread_peer::PartyError`] names.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let (tell, told) = mpsc::channel(EVENTS_BUFFERED);
        let archives = Arc::new(ArchiveUnpacker::default());
        let services = Services::default()
            .with_unpacker(archives.clone())
            .with_provider(archives);
        let handle = start_peer(options.peer_config()?, services, Some(tell)).await?;
        let (ready, is_ready) = watch::channel(None);
        let (forward, events) = mpsc::channel(1);
        tokio::spawn(pass_on(told, forward, ready));
        let control = match Control::listen(&options.state_dir, handle.clone(), is_ready) {
            Ok(control) => Some(control),
            Err(error) => {
                tracing::warn!(%error, "no control socket: other commands cannot attach");
                None
            }
        };
        Ok(Self {
            handle,
            events,
            door: Door(control),
        })
    }
}

/// Hands events to the session, the one that says that the peer is ready first, and remembers that one.
async fn pass_on(
    mut from: mpsc::Receiver<PeerEvent>,
    to: mpsc::Sender<PeerEvent>,
    ready: watch::Sender<Option<PeerEvent>>,
) {
    let mut early = Vec::new();
    while let Some(event) = from.recv().await {
        let is_ready = matches!(event, PeerEvent::Ready { .. });
        if is_ready {
            ready.send_replace(Some(event.clone()));
        } else if ready.borrow().is_none() && early.len() < EVENTS_BUFFERED {
            early.push(event);
            continue;
        }
        for event in std::iter::once(event).chain(early.drain(..)) {
            if to.send(event).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[tokio::test]
    async fn ready_comes_first_and_nothing_is_lost() {
        let (tell, told) = mpsc::channel(16);
        let (forward, mut events) = mpsc::channel(16);
        let (ready, is_ready) = watch::channel(None);
        let mut all: Vec<_> = samples::events().into_iter().take(5).collect();
        all.rotate_left(1);
        for event in &all {
            tell.send(event.clone()).await.unwrap();
        }
        drop(tell);
        pass_on(told, forward, ready).await;
        let mut got = Vec::new();
        while let Some(event) = events.recv().await {
            got.push(event);
        }
        all.rotate_right(1);
        assert_eq!(got, all);
        assert_eq!(is_ready.borrow().as_ref(), got.first());
    }
}
