//! Checking every byte of a downloaded game, and fetching again what is wrong.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lanspread_library::{VerifyError, VerifyReport};
use lanspread_proto::GameId;
use tokio::sync::watch;

use crate::{
    command::DownloadRequest,
    context::Context,
    download::{self, Download, Stops},
    error::{ErrorCode, OperationError},
    event::PeerEvent,
    operation::Progress,
    view::VerifySummary,
};

/// What a verification is, besides what everyone shares.
pub(crate) struct Verification {
    pub(crate) context: Arc<Context>,
    pub(crate) game: GameId,
    pub(crate) repair: bool,
    pub(crate) stops: Stops,
    pub(crate) progress: watch::Sender<Progress>,
}

impl Verification {
    /// Checks, and repairs if asked to; [`tale`] is what to tell of it once the game is free again.
    pub(crate) async fn run(self) -> Result<VerifySummary, OperationError> {
        let report = self.check().await?;
        let intact = report.is_whole();
        let mut bad: Vec<_> = report.bad.into_iter().map(|file| file.path).collect();
        bad.extend(report.missing);
        bad.sort_unstable();
        let summary = VerifySummary {
            game: self.game.clone(),
            intact,
            bytes: report.bytes,
            bad,
            repaired: false,
        };
        if intact || !self.repair {
            return Ok(summary);
        }
        let request = DownloadRequest {
            manifest: Some(report.manifest),
            reconcile: true,
            ..DownloadRequest::latest(self.game.clone())
        };
        let Self {
            context,
            stops,
            progress,
            ..
        } = self;
        let (events, game) = (context.events.clone(), request.game.clone());
        let download = Download {
            context,
            request,
            stops,
            progress,
        };
        let repaired = download.run().await;
        if let Some(event) = download::tale(&game, &repaired) {
            events.tell(event);
        }
        repaired?;
        Ok(VerifySummary {
            repaired: true,
            ..summary
        })
    }

    /// Reads every byte on blocking threads.
    async fn check(&self) -> Result<VerifyReport, OperationError> {
        let cancel = Arc::new(AtomicBool::new(false));
        let library = self.context.home().library.clone();
        let (game, cancelled, progress) =
            (self.game.clone(), cancel.clone(), self.progress.clone());
        let mut checking = tokio::task::spawn_blocking(move || {
            library.verify(&game, &cancelled, &|bytes_done, bytes_total| {
                progress.send_modify(|progress| {
                    progress.bytes_done = bytes_done;
                    progress.bytes_total = bytes_total;
                });
            })
        });
        let checked = tokio::select! {
            checked = &mut checking => checked,
            () = self.stops.any() => {
                cancel.store(true, Ordering::Relaxed);
                checking.await
            }
        };
        let game = self.game.clone();
        let failed = |code, source| OperationError::Store {
            game: self.game.clone(),
            code,
            source,
        };
        match checked {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(VerifyError::NotDownloaded { .. })) => {
                Err(OperationError::NotDownloaded { game })
            }
            Ok(Err(VerifyError::Cancelled)) => Err(OperationError::Cancelled { game }),
            Ok(Err(error)) => Err(failed(ErrorCode::Io, Box::new(error))),
            Err(panic) => Err(failed(ErrorCode::Internal, Box::new(panic))),
        }
    }
}

/// What is told of a verification's end.
pub(crate) fn tale(
    game: &GameId,
    end: &Result<VerifySummary, OperationError>,
) -> Option<PeerEvent> {
    match end {
        Ok(summary) => Some(PeerEvent::VerifyFinished(summary.clone())),
        Err(OperationError::Stopped) => None,
        Err(error) => Some(PeerEvent::VerifyFailed {
            game: game.clone(),
            error: error.failure(),
        }),
    }
}
