//! A long operation as an object: await it, watch it, or drop it, which does not cancel it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use lanspread_proto::GameId;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::error::OperationError;

/// Between two progress events of one operation: often enough to watch, rarely enough to be cheap.
pub(crate) const TELL_INTERVAL: Duration = Duration::from_millis(250);

/// How far an operation is; the latest value, never a backlog. An install that follows a download starts at
/// 0 again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are done.
    pub bytes_done: u64,
    /// Bytes in all; 0 until it is known.
    pub bytes_total: u64,
    /// Files that an install has written.
    pub files_done: u64,
    /// Files that it will write; 0 until it is known.
    pub files_total: u64,
    /// The rate over the last seconds.
    pub bytes_per_second: u64,
    /// The peers that are sending right now.
    pub peers: usize,
    /// Whether it waits for a source.
    pub stalled: bool,
}

/// A running operation whose end is a `T`.
#[derive(Debug)]
#[must_use = "await it for its end, or drop it to let it run"]
pub struct Operation<T> {
    game: GameId,
    progress: watch::Receiver<Progress>,
    done: oneshot::Receiver<Result<T, OperationError>>,
    cancel: CancellationToken,
}

impl<T> Operation<T> {
    pub(crate) const fn new(
        game: GameId,
        progress: watch::Receiver<Progress>,
        done: oneshot::Receiver<Result<T, OperationError>>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            game,
            progress,
            done,
            cancel,
        }
    }

    /// The game that it works on.
    pub const fn game(&self) -> &GameId {
        &self.game
    }

    /// How far it is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Asks it to stop; it ends with [`OperationError::Cancelled`]. An uninstall ends before it could.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl<T> Future for Operation<T> {
    type Output = Result<T, OperationError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.done)
            .poll(context)
            .map(|done| done.unwrap_or(Err(OperationError::Stopped)))
    }
}
