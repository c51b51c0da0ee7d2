//! The answer to a request for a streamed install: the archives of a game, expanded while they are sent.
//!
//! A provider expands on a blocking thread, into a bounded channel; the request's task carries the
//! channel's bytes to the wire. When either ends, so does the other: the task drops the channel, which
//! wakes a provider that waits for room in it; the provider drops its sink, which ends the channel. Only
//! then is the place in the queue free and the transfer over.

mod queue;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use lanspread_disk::{Disk, RealDisk};
use lanspread_install::{
    ExpandError, ReceiverGone, StreamInstallFrameSink, StreamInstallProvider, WireChannel, expand,
};
use lanspread_library::LocalPayload;
use lanspread_proto::{
    GameId, ManifestId,
    expanded::ExpandedFrame,
    message::{Answer, Refusal, RefusalCode},
};
use tokio::{sync::mpsc, time::sleep};

pub(crate) use self::queue::ExpandQueue;
use self::queue::Place;
use super::{no, refuse};
use crate::{
    context::{Context, Home},
    ledger::TransferGuard,
    transport::{RecvHalf, SendHalf, WireError},
};

/// Pieces of a quarter of a MiB between a provider and the wire.
const PIECES_BUFFERED_MAX: usize = 8;

/// A receiver that waits is told where it stands at least this often, so that both sides know of each other.
const POSITION_TOLD_EVERY: Duration = Duration::from_secs(3);

/// What one request is answered with.
struct Expansion {
    context: Arc<Context>,
    home: Arc<Home>,
    provider: Arc<dyn StreamInstallProvider>,
    game: GameId,
    manifest: ManifestId,
}

pub(super) async fn stream_install(
    context: &Arc<Context>,
    game: GameId,
    manifest: ManifestId,
    (mut send, receive): (SendHalf, RecvHalf),
) -> Result<(), WireError> {
    let found = Expansion::find(context, game, manifest).await;
    let entered = found.and_then(|expansion| {
        let place = context.expansions.enter(&expansion.game);
        let place = place.map_err(|queue::Full| {
            no(
                RefusalCode::Busy,
                "as many as can be are served or wait already",
            )
        })?;
        Ok((expansion, place))
    });
    let (expansion, mut place) = match entered {
        Ok(entered) => entered,
        Err(Refusal { code, message }) => return refuse(send, code, message).await,
    };
    let mut gone = pin!(gone(receive));
    send.message(&Answer::Expanding).await?;
    tokio::select! {
        turn = wait_for_turn(&mut place, &mut send) => turn?,
        error = &mut gone => return Err(error),
    }
    expansion.send(send, gone).await
}

/// Ends when the receiver breaks its half of the stream off; it may just as well end it, or leave it open.
async fn gone(mut receive: RecvHalf) -> WireError {
    loop {
        match receive.bytes().await {
            Ok(Some(_)) => {}
            Ok(None) => std::future::pending().await,
            Err(error) => return error,
        }
    }
}

/// Tells the receiver where it stands until it is served.
async fn wait_for_turn(place: &mut Place, send: &mut SendHalf) -> Result<(), WireError> {
    loop {
        let position = place.position();
        if position == 0 {
            return Ok(());
        }
        send.message(&ExpandedFrame::Queued { position }).await?;
        tokio::select! {
            () = place.changed() => {}
            () = sleep(POSITION_TOLD_EVERY) => {}
        }
    }
}

impl Expansion {
    async fn find(
        context: &Arc<Context>,
        game: GameId,
        manifest: ManifestId,
    ) -> Result<Self, Refusal> {
        let Some(provider) = context.services.provider.clone() else {
            return Err(no(
                RefusalCode::BadRequest,
                "this peer does not expand archives",
            ));
        };
        let home = context.home();
        let (library, disk) = (home.library.clone(), home.disk.clone());
        let found = tokio::task::spawn_blocking(move || {
            let payload = library.payload(&manifest)?;
            Some((is_unchanged(&disk, &payload), payload))
        });
        match found.await {
            Ok(Some((true, payload))) if *payload.game() == game => Ok(Self {
                context: context.clone(),
                home,
                provider,
                game,
                manifest,
            }),
            Ok(Some((false, payload))) => {
                home.library.changed_on_disk(payload.game());
                let message = "its files are no longer what they were";
                Err(no(RefusalCode::GameChanged, message))
            }
            _ => Err(no(
                RefusalCode::UnknownGame,
                "that payload is not served here",
            )),
        }
    }

    /// Expands and sends until either cannot go on, and returns when both have ended.
    async fn send(
        self,
        mut send: SendHalf,
        gone: impl Future<Output = WireError>,
    ) -> Result<(), WireError> {
        let transfer = self.context.ledger.begin(&self.game);
        let (channel, pieces) = mpsc::channel(PIECES_BUFFERED_MAX);
        let stop = StopOnDrop::default();
        let job = tokio::task::spawn_blocking({
            let sink = StreamInstallFrameSink::new(Channel(channel), self.manifest, stop.0.clone());
            let (home, provider) = (self.home.clone(), self.provider.clone());
            let (state, game) = (self.context.state.clone(), self.game.clone());
            move || expand(home.disk.as_ref(), &state, provider.as_ref(), &game, sink)
        });
        let carried = tokio::select! {
            carried = self.carry(pieces, &mut send, &transfer) => carried,
            error = gone => Err(error),
        };
        drop(stop);
        let expanded = job.await;
        match (carried, expanded) {
            // What the provider could not do, the receiver was told in a frame.
            (Ok(()), Ok(Ok(()) | Err(ExpandError::ReceiverGone(_)))) => send.finish(),
            (Ok(()), Ok(Err(error))) => {
                tracing::warn!(game = %self.game, %error, "a game could not be expanded for a receiver");
                send.finish()
            }
            // A panic in there is a fault of ours; the stream resets as it is dropped.
            (Ok(()), Err(panic)) => {
                tracing::error!(%panic, "an expansion ended abnormally");
                Ok(())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Carries pieces to the wire until there are no more; when it ends, nobody takes pieces any more.
    async fn carry(
        &self,
        mut pieces: mpsc::Receiver<Bytes>,
        send: &mut SendHalf,
        transfer: &TransferGuard,
    ) -> Result<(), WireError> {
        while let Some(piece) = pieces.recv().await {
            let bytes = piece.len() as u64;
            self.context.upload.pass(bytes).await;
            send.bytes(piece).await?;
            transfer.sent(bytes);
        }
        Ok(())
    }
}

/// The provider's end of the channel; waiting for room ends when the other end is dropped.
struct Channel(mpsc::Sender<Bytes>);

impl WireChannel for Channel {
    fn send(&mut self, bytes: Bytes) -> Result<(), ReceiverGone> {
        self.0.blocking_send(bytes).map_err(|_| ReceiverGone)
    }
}

/// Raises the flag that a provider looks at, also when the request's task is dropped in the middle.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether every file is what was hashed, by its stamp; what changes later fails the archive's checksums.
fn is_unchanged(disk: &RealDisk, payload: &LocalPayload) -> bool {
    let files = payload.manifest().files().iter().zip(payload.stamps());
    // Archives lie at the top.
    let mut archives = files.filter(|(file, _)| file.path.parent().is_none());
    archives.all(|(file, stamp)| {
        let path = format!("{}/{}", payload.game(), file.path);
        let found = disk.stat(&path);
        found.is_ok_and(|found| found.is_some_and(|entry| entry.stamp == *stamp))
    })
}
