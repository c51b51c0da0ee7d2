//! One attempt at a streamed install, with one peer.
//!
//! The stream is read here, and the bytes go through a bounded channel to a blocking thread on which the
//! transaction takes them: a slow disk slows the sender, and nothing piles up.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::{Bytes, BytesMut};
use lanspread_install::{
    InstallControl, StreamInstallError, StreamStep, StreamedInstallRequest,
    StreamedInstallTransaction, WireSource,
};
use lanspread_proto::{
    PeerId, limits,
    message::{Answer, RefusalCode, Request},
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::timeout,
};

use super::{Received, Target};
use crate::{
    context::Context,
    download::Stops,
    session,
    transport::{LinkClosed, RecvHalf, SendHalf, WireError},
};

/// Pieces between the wire and the disk.
const PIECES_BUFFERED_MAX: usize = 8;

/// While the disk is behind, what arrives is gathered up to this before the wire waits.
const PIECE_BYTES_MAX: usize = 512 * 1024;

pub(super) struct Attempt {
    pub(super) context: Arc<Context>,
    pub(super) target: Arc<Target>,
    pub(super) peer: PeerId,
    pub(super) stops: Stops,
}

/// Why an attempt came to nothing. Everything that it wrote is gone.
pub(super) enum AttemptError {
    /// The peer has enough to do.
    Busy,
    /// Somebody asked for an end.
    Stopped,
    /// The connection closed, before it began or in the middle.
    Closed(LinkClosed),
    /// The peer could not be asked, or refused.
    Wire(WireError),
    /// It began and did not end well.
    Failed(StreamInstallError),
}

impl From<WireError> for AttemptError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Refused(refusal) if refusal.code == RefusalCode::Busy => Self::Busy,
            WireError::Closed(how) => Self::Closed(how),
            error => Self::Wire(error),
        }
    }
}

impl From<StreamInstallError> for AttemptError {
    fn from(error: StreamInstallError) -> Self {
        let closed = match &error {
            StreamInstallError::Broken { source, .. } => match source.downcast_ref() {
                Some(WireError::Closed(how)) => Some(*how),
                _ => None,
            },
            _ => None,
        };
        closed.map_or(Self::Failed(error), Self::Closed)
    }
}

/// What comes from the wire: bytes, or how it broke. Its end is the channel's end after [`Piece::End`].
enum Piece {
    Bytes(Bytes),
    End,
    Broken(WireError),
}

impl Attempt {
    pub(super) async fn run(self) -> Result<Received, AttemptError> {
        let (asking, stream) = tokio::select! {
            asked = self.ask() => asked?,
            () = self.stops.any() => return Err(AttemptError::Stopped),
        };
        let (channel, pieces) = mpsc::channel(PIECES_BUFFERED_MAX);
        let cancelled = Arc::new(AtomicBool::new(false));
        let receiving = tokio::task::spawn_blocking({
            let (context, target, peer) = (self.context.clone(), self.target.clone(), self.peer);
            let cancelled = cancelled.clone();
            move || receive(&context, &target, peer, pieces, cancelled)
        });
        let stopped = tokio::select! {
            () = self.carry(stream, channel) => false,
            () = self.stops.any() => true,
        };
        if stopped {
            cancelled.store(true, Ordering::Relaxed);
        }
        // Broken off only now: that is how the sender knows at once that nobody reads any more.
        drop(asking);
        match receiving.await {
            Ok(Err(_)) if stopped => Err(AttemptError::Stopped),
            Ok(received) => Ok(received?),
            Err(panic) => Err(AttemptError::Failed(StreamInstallError::Broken {
                game: self.target.game.clone(),
                source: Box::new(panic),
            })),
        }
    }

    /// Asks for the expanded archives. Our half of the stream stays open while we read.
    async fn ask(&self) -> Result<(SendHalf, RecvHalf), AttemptError> {
        let gone = AttemptError::Closed(LinkClosed::Lost);
        let link = self.context.links.get(self.peer).ok_or(gone)?;
        let (mut send, mut receive) = link.open().await?;
        let request = Request::StreamInstall {
            game: self.target.game.clone(),
            manifest: self.target.manifest,
        };
        send.message(&request).await?;
        match session::answer(&mut receive).await? {
            Answer::Expanding => Ok((send, receive)),
            _ => Err(AttemptError::Wire(WireError::Unexpected {
                expected: "an expanded archive",
            })),
        }
    }

    /// Carries bytes from the wire to the transaction until either ends.
    async fn carry(&self, mut stream: RecvHalf, channel: mpsc::Sender<Piece>) {
        let mut gathered = BytesMut::new();
        loop {
            let last = match next(&mut stream).await {
                Ok(Some(bytes)) => {
                    self.context.download.pass(bytes.len() as u64).await;
                    self.context
                        .ledger
                        .received(&self.target.game, bytes.len() as u64);
                    gathered.extend_from_slice(&bytes);
                    None
                }
                Ok(None) => Some(Piece::End),
                Err(error) => Some(Piece::Broken(error)),
            };
            if !hand_over(&channel, &mut gathered, last.is_some()).await {
                return;
            }
            if let Some(last) = last {
                // A transaction that has ended already needs no end.
                let _ = channel.send(last).await;
                return;
            }
        }
    }
}

/// The next bytes; a sender that waits or expands slowly says so in time.
async fn next(stream: &mut RecvHalf) -> Result<Option<Bytes>, WireError> {
    let after = limits::PROGRESS_TIMEOUT;
    timeout(after, stream.bytes())
        .await
        .unwrap_or(Err(WireError::Timeout {
            what: "piece of an expanded archive",
            after,
        }))
}

/// Hands over what is gathered if there is room, and waits for room only when much is gathered or it must
/// all go. False when nobody takes it any more.
async fn hand_over(channel: &mpsc::Sender<Piece>, gathered: &mut BytesMut, all: bool) -> bool {
    if gathered.is_empty() {
        return true;
    }
    if all || gathered.len() >= PIECE_BYTES_MAX {
        let piece = Piece::Bytes(gathered.split().freeze());
        return channel.send(piece).await.is_ok();
    }
    match channel.try_reserve() {
        Ok(room) => {
            room.send(Piece::Bytes(gathered.split().freeze()));
            true
        }
        Err(TrySendError::Full(())) => true,
        Err(TrySendError::Closed(())) => false,
    }
}

/// The transaction's side of the channel.
struct Pieces(mpsc::Receiver<Piece>);

impl WireSource for Pieces {
    fn next(&mut self) -> Result<Option<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        match self.0.blocking_recv() {
            Some(Piece::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Piece::End) => Ok(None),
            Some(Piece::Broken(error)) => Err(Box::new(error)),
            None => Err("it was given up".into()),
        }
    }
}

/// Begins the transaction and takes everything. Blocking.
fn receive(
    context: &Context,
    target: &Target,
    peer: PeerId,
    pieces: mpsc::Receiver<Piece>,
    cancelled: Arc<AtomicBool>,
) -> Result<Received, StreamInstallError> {
    let teller = target.teller.clone();
    let control = InstallControl {
        cancelled,
        progress: Arc::new(move |progress| {
            teller.update(std::time::Instant::now(), peer, progress);
        }),
    };
    let request = StreamedInstallRequest {
        game: target.game.clone(),
        payload: target.manifest,
        version: target.version.clone(),
        reserve_bytes: context.reserve_bytes,
    };
    let transaction =
        StreamedInstallTransaction::begin(&target.home.disk, &context.state, &request, &control)
            .map_err(StreamInstallError::Install)?;
    let bytes = std::cell::Cell::new(0);
    let told = |step| match step {
        StreamStep::Queued { position } => target.teller.queued(peer, position),
        StreamStep::Begun { totals } => target.teller.begun(totals),
        StreamStep::Complete(sums) => bytes.set(sums.bytes),
        _ => {}
    };
    let install = transaction.receive(&mut Pieces(pieces), &told)?;
    Ok(Received {
        install,
        bytes: bytes.get(),
    })
}
