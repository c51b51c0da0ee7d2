//! A download from its manifest to its sentinel: the driver around [`lanspread_swarm::Plan`] and the
//! transaction of [`lanspread_install`].
//!
//! The plan decides, the transaction writes, [`receive`] moves bytes. This module feeds the one with what
//! the others report, and settles the end: committed, failed, cancelled, or left for the next start.

mod fly;
mod progress;
mod receive;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lanspread_disk::{RealDisk, StoredPayload};
use lanspread_install::{
    self as install, DownloadError, DownloadTransaction, Recovered, RecoveredGame,
};
use lanspread_proto::{ChunkMap, ChunkSet, GameId};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

pub use progress::DownloadProgressTracker;

use crate::{
    command::DownloadRequest,
    context::{Context, Home},
    error::{ErrorCode, OperationError},
    event::PeerEvent,
    exchange::Membership,
    fetch,
    operation::Progress,
    recovery,
    shelf::Partial,
    view::DownloadSummary,
};

/// How somebody ends a download from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stops {
    /// Take back what was written.
    pub(crate) cancel: CancellationToken,
    /// Keep what was verified for the next start.
    pub(crate) suspend: CancellationToken,
}

impl Stops {
    /// Waits for either.
    pub(crate) async fn any(&self) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.suspend.cancelled() => {}
        }
    }
}

/// What a download is, besides what everyone shares.
pub(crate) struct Download {
    pub(crate) context: Arc<Context>,
    pub(crate) request: DownloadRequest,
    pub(crate) stops: Stops,
    pub(crate) progress: watch::Sender<Progress>,
}

/// A download whose transaction is open.
struct Open {
    context: Arc<Context>,
    home: Arc<Home>,
    payload: StoredPayload,
    map: Arc<ChunkMap>,
    transaction: DownloadTransaction<RealDisk>,
    stored: ChunkSet,
    /// Payload bytes that were here already.
    kept_bytes: u64,
}

/// How the flight of chunks ended.
enum Landed {
    /// Every chunk is stored.
    Complete { peers: usize },
    /// Somebody wants it to end.
    Stopped,
    /// It cannot go on.
    Failed(OperationError),
}

impl Download {
    /// Runs the download to its end; [`tale`] is what to tell of it once the game is free again.
    pub(crate) async fn run(self) -> Result<DownloadSummary, OperationError> {
        let context = self.context.clone();
        let game = self.request.game.clone();
        // An update removes the files that the old version had and the new one has not.
        tokio::select! {
            () = context.until_indexed(&game) => {}
            () = self.stops.any() => {}
        }
        // While it lives, the library looks away from the folder.
        let home = context.home();
        let _hold = home.library.hold(&game);
        let ended = self.carry_out().await;
        if ended.is_err() {
            home.refresh(&game).await;
        }
        ended
    }

    async fn carry_out(self) -> Result<DownloadSummary, OperationError> {
        let start = Instant::now();
        let game = &self.request.game;
        let (payload, has_source) = self.target().await?;
        let version = payload.manifest().version().clone();
        let bytes = payload.manifest().bytes();
        let Some(open) = self.open(payload).await? else {
            self.tell_begin(&version, bytes, bytes);
            return Ok(DownloadSummary {
                game: game.clone(),
                version,
                bytes,
                fetched_bytes: 0,
                kept_bytes: bytes,
                seconds: start.elapsed().as_secs_f64(),
                peers: 0,
                installing: false,
                streamed: false,
            });
        };
        if !has_source && !open.stored.is_full() {
            self.on_disk(move || {
                open.transaction.suspend();
                Ok(())
            })
            .await?;
            return Err(OperationError::NoSource { game: game.clone() });
        }
        let kept_bytes = open.kept_bytes;
        self.tell_begin(&version, bytes, kept_bytes);
        let peers = self.fly_and_commit(open).await?;
        Ok(DownloadSummary {
            game: game.clone(),
            version,
            bytes,
            fetched_bytes: bytes - kept_bytes,
            kept_bytes,
            seconds: start.elapsed().as_secs_f64(),
            peers,
            installing: false,
            streamed: false,
        })
    }

    /// Settles on what to fetch. Without any source, what an earlier run recorded may still be complete.
    async fn target(&self) -> Result<(StoredPayload, bool), OperationError> {
        let game = &self.request.game;
        match fetch::choose(&self.context, &self.request) {
            Ok(choice) => tokio::select! {
                payload = fetch::manifest(&self.context, game, &choice) => Ok((payload?, true)),
                () = self.stops.cancel.cancelled() => Err(self.cancelled()),
                () = self.stops.suspend.cancelled() => Err(OperationError::Stopped),
            },
            Err(no_source) => {
                let (context, id) = (self.context.clone(), game.clone());
                let recorded = self
                    .on_disk(move || Ok(recorded_payload(&context, &id)))
                    .await?;
                recorded.map(|payload| (payload, false)).ok_or(no_source)
            }
        }
    }

    /// Opens the transaction and finds out what is here already; `None` when all of it is here and
    /// committed, so that there is nothing to do.
    async fn open(&self, payload: StoredPayload) -> Result<Option<Open>, OperationError> {
        let opener = Opener {
            context: self.context.clone(),
            home: self.context.home(),
            request: self.request.clone(),
            stops: self.stops.clone(),
            progress: self.progress.clone(),
            stop: AtomicBool::new(false),
        };
        let opener = Arc::new(opener);
        let blocking = opener.clone();
        let mut opening = tokio::task::spawn_blocking(move || blocking.open(payload));
        let opened = tokio::select! {
            opened = &mut opening => opened,
            () = self.stops.any() => {
                opener.stop.store(true, Ordering::Relaxed);
                opening.await
            }
        };
        opened.unwrap_or_else(|panic| Err(self.store_error(ErrorCode::Internal, Box::new(panic))))
    }

    fn tell_begin(&self, version: &lanspread_proto::Version, bytes_total: u64, bytes_done: u64) {
        self.context.events.tell(PeerEvent::DownloadGameFilesBegin {
            game: self.request.game.clone(),
            version: version.clone(),
            bytes_total,
            bytes_done,
            streamed: false,
        });
    }

    /// Fetches what is missing while others are served from it, and settles the end. Returns how many
    /// peers took part.
    async fn fly_and_commit(&self, open: Open) -> Result<usize, OperationError> {
        let Open {
            context,
            home,
            payload,
            map,
            transaction,
            stored,
            kept_bytes: _,
        } = open;
        let game = &self.request.game;
        let partial = Arc::new(Partial::new(
            game.clone(),
            payload.clone(),
            map,
            home.disk.clone(),
            stored.clone(),
        ));
        let transaction = Arc::new(transaction);
        context.shelf.add_partial(partial.clone());
        // Before anybody hears of it, and invites us.
        let membership = Membership::begin(&context, payload.id());
        context.library_changed();
        let landed = fly::fly(self, &partial, &transaction, stored).await;
        // The flight has waited for its last write and dropped its handles.
        let settled = match Arc::try_unwrap(transaction) {
            Ok(transaction) => self.settle(landed, transaction, &home).await,
            Err(_) => Err(self.store_error(ErrorCode::Internal, "a write is still running".into())),
        };
        context.shelf.remove_partial(payload.id());
        context.library_changed();
        if settled.is_ok() {
            membership.finish();
        }
        settled
    }

    /// Commits, takes back, or leaves what is there.
    async fn settle(
        &self,
        landed: Landed,
        transaction: DownloadTransaction<RealDisk>,
        home: &Arc<Home>,
    ) -> Result<usize, OperationError> {
        match landed {
            Landed::Complete { peers } => {
                let home = home.clone();
                let game = self.request.game.clone();
                self.on_disk(move || {
                    let published = transaction.publish()?;
                    home.library
                        .committed(&game, published.payload, published.stamps);
                    Ok(())
                })
                .await?;
                Ok(peers)
            }
            Landed::Stopped if self.stops.cancel.is_cancelled() => {
                self.on_disk(move || transaction.discard()).await?;
                Err(self.cancelled())
            }
            Landed::Stopped => self.suspend(transaction, OperationError::Stopped).await,
            Landed::Failed(error) => self.suspend(transaction, error).await,
        }
    }

    /// Keeps what is written for a later attempt, and fails with `cause`.
    async fn suspend(
        &self,
        transaction: DownloadTransaction<RealDisk>,
        cause: OperationError,
    ) -> Result<usize, OperationError> {
        self.on_disk(move || {
            transaction.suspend();
            Ok(())
        })
        .await?;
        Err(cause)
    }

    /// Runs a step of the transaction on a blocking thread.
    async fn on_disk<T: Send + 'static>(
        &self,
        step: impl FnOnce() -> Result<T, DownloadError> + Send + 'static,
    ) -> Result<T, OperationError> {
        match tokio::task::spawn_blocking(step).await {
            Ok(done) => done.map_err(|error| store_error(&self.request.game, error)),
            Err(panic) => Err(self.store_error(ErrorCode::Internal, Box::new(panic))),
        }
    }

    fn store_error(
        &self,
        code: ErrorCode,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> OperationError {
        OperationError::Store {
            game: self.request.game.clone(),
            code,
            source,
        }
    }

    fn cancelled(&self) -> OperationError {
        OperationError::Cancelled {
            game: self.request.game.clone(),
        }
    }
}

/// What is told of a download's end.
pub(crate) fn tale(
    game: &GameId,
    end: &Result<DownloadSummary, OperationError>,
) -> Option<PeerEvent> {
    let game = game.clone();
    match end {
        Ok(summary) => Some(PeerEvent::DownloadGameFilesFinished(summary.clone())),
        Err(OperationError::Cancelled { .. }) => Some(PeerEvent::DownloadGameFilesCancelled {
            game,
            streamed: false,
        }),
        // It goes on after the next start.
        Err(OperationError::Stopped) => None,
        Err(error) => Some(PeerEvent::DownloadGameFilesFailed {
            game,
            error: error.failure(),
            streamed: false,
        }),
    }
}

/// The payload of an interrupted download, if all that is needed to go on with it was kept. Blocking.
fn recorded_payload(context: &Context, game: &GameId) -> Option<StoredPayload> {
    match install::recover(&*context.home().disk, &context.state, game) {
        Ok(Recovered {
            game: RecoveredGame::Partial { payload, .. },
            ..
        }) => payload,
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(%game, %error, "an interrupted download cannot be looked at");
            None
        }
    }
}

/// What opening a transaction needs, on its blocking thread.
struct Opener {
    context: Arc<Context>,
    home: Arc<Home>,
    request: DownloadRequest,
    stops: Stops,
    progress: watch::Sender<Progress>,
    /// Ends the hashing of what is here.
    stop: AtomicBool,
}

impl Opener {
    /// Steps D0 to D3 and the comparison of what is here with the manifest. Blocking.
    fn open(&self, payload: StoredPayload) -> Result<Option<Open>, OperationError> {
        let game = &self.request.game;
        let library = &self.home.library;
        let snapshot = library.snapshot();
        let local = snapshot.get(game);
        let version_here = local.and_then(|local| local.version.as_ref());
        fetch::refuse_older(&self.request, version_here, payload.manifest().version())?;
        if local.and_then(|local| local.manifest) == Some(payload.id()) && !self.request.reconcile {
            return Ok(None);
        }
        // What others fetch from here is about to change.
        library.changed_on_disk(game);
        let transaction = self
            .begin(payload.clone())
            .map_err(|error| store_error(game, error))?;
        let stored = match self.reconcile(&transaction, payload.manifest().bytes()) {
            Ok(stored) => stored,
            Err(DownloadError::Cancelled) => return Err(self.stopped(transaction)),
            Err(error) => {
                transaction.suspend();
                return Err(store_error(game, error));
            }
        };
        let map = Arc::new(payload.manifest().chunk_map());
        let kept_bytes = stored
            .iter()
            .map(|chunk| u64::from(map.chunk_bytes(chunk)))
            .sum();
        let (context, home) = (self.context.clone(), self.home.clone());
        Ok(Some(Open {
            context,
            home,
            payload,
            map,
            transaction,
            stored,
            kept_bytes,
        }))
    }

    fn begin(
        &self,
        payload: StoredPayload,
    ) -> Result<DownloadTransaction<RealDisk>, DownloadError> {
        let game = &self.request.game;
        let (disk, state) = (&self.home.disk, &self.context.state);
        if let Err(error) = recovery::before_operation(&self.context, &self.home, game) {
            // What it says, `begin` says again if it matters.
            tracing::warn!(%game, %error, "recovery before a download failed");
        }
        let previous = self
            .home
            .library
            .payload_of(game)
            .map(|here| here.manifest().clone());
        let reserve_bytes = self.context.reserve_bytes;
        let request = install::DownloadRequest {
            game: game.clone(),
            payload,
            previous,
            reserve_bytes,
        };
        DownloadTransaction::begin(disk.clone(), state.clone(), request)
    }

    fn reconcile(
        &self,
        transaction: &DownloadTransaction<RealDisk>,
        bytes_total: u64,
    ) -> Result<ChunkSet, DownloadError> {
        self.progress
            .send_modify(|progress| progress.bytes_total = bytes_total);
        transaction.reconcile(&self.stop, &|checked| {
            self.progress
                .send_modify(|progress| progress.bytes_done += checked);
        })
    }

    /// Somebody ended the download while what is here was compared.
    fn stopped(&self, transaction: DownloadTransaction<RealDisk>) -> OperationError {
        let game = &self.request.game;
        if !self.stops.cancel.is_cancelled() {
            transaction.suspend();
            return OperationError::Stopped;
        }
        match transaction.discard() {
            Ok(()) => OperationError::Cancelled { game: game.clone() },
            Err(error) => store_error(game, error),
        }
    }
}

/// The caller's view of a failure of the transaction.
pub(crate) fn store_error(game: &GameId, error: DownloadError) -> OperationError {
    let code = code_of(&error);
    OperationError::Store {
        game: game.clone(),
        code,
        source: Box::new(error),
    }
}

fn code_of(error: &DownloadError) -> ErrorCode {
    if error.missing_bytes().is_some() {
        ErrorCode::DiskFull
    } else {
        ErrorCode::Io
    }
}
