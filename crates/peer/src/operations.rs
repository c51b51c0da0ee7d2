//! What is running: one operation per game at a time, and the snapshot that tells of it.

use std::{collections::HashMap, sync::Arc};

use lanspread_proto::GameId;
use tokio::sync::watch;

use crate::{
    context::Context,
    download::Stops,
    error::OperationError,
    event::PeerEvent,
    operation::Progress,
    view::{OperationKind, OperationView},
};

/// The running operations; only the runtime's loop changes them.
#[derive(Debug)]
pub(crate) struct Operations {
    context: Arc<Context>,
    running: HashMap<GameId, Stops>,
    /// Nothing may begin.
    forbidden: bool,
}

impl Operations {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            running: HashMap::new(),
            forbidden: false,
        }
    }

    /// Enters an operation; refuses a second one on the same game.
    pub(crate) fn begin(
        &mut self,
        game: &GameId,
        kind: OperationKind,
    ) -> Result<Stops, OperationError> {
        self.refuse_busy(game)?;
        let stops = Stops::default();
        self.running.insert(game.clone(), stops.clone());
        self.context.operations.send_modify(|operations| {
            let view = OperationView {
                game: game.clone(),
                kind,
                bytes_done: 0,
                bytes_total: 0,
                files_done: 0,
                files_total: 0,
                bytes_per_second: 0,
                peers: 0,
                stalled: false,
            };
            operations.insert(game.clone(), view);
        });
        tell(&self.context);
        Ok(stops)
    }

    /// Whether operations are refused, because the whole game directory is being exchanged.
    pub(crate) fn forbid(&mut self, forbidden: bool) {
        self.forbidden = forbidden;
    }

    pub(crate) fn refuse_busy(&self, game: &GameId) -> Result<(), OperationError> {
        if self.forbidden {
            return Err(OperationError::Moving);
        }
        if !self.running.contains_key(game) {
            return Ok(());
        }
        let running = self.context.running(game);
        Err(OperationError::Busy {
            game: game.clone(),
            running: running.map_or("operation", OperationKind::as_str),
        })
    }

    pub(crate) fn end(&mut self, game: &GameId) {
        self.running.remove(game);
        self.context
            .operations
            .send_modify(|operations| drop(operations.remove(game)));
        tell(&self.context);
        self.context.games_changed();
    }

    /// Asks the operation on `game` to stop; false if there is none.
    pub(crate) fn cancel(&self, game: &GameId) -> bool {
        let running = self.running.get(game);
        if let Some(stops) = running {
            stops.cancel.cancel();
        }
        running.is_some()
    }

    /// Asks everything to stop and to keep what it has.
    pub(crate) fn suspend_all(&self) {
        for stops in self.running.values() {
            stops.suspend.cancel();
        }
    }

    /// The game of some running operation.
    pub(crate) fn any(&self) -> Option<&GameId> {
        self.running.keys().next()
    }
}

/// The operation on `game` goes on as one of another kind, which begins anew.
pub(crate) fn goes_on_as(context: &Context, game: &GameId, kind: OperationKind) {
    context.operations.send_modify(|operations| {
        if let Some(view) = operations.get_mut(game) {
            view.kind = kind;
            show(view, Progress::default());
        }
    });
    tell(context);
    context.games_changed();
}

fn tell(context: &Context) {
    let operations = context.operations.borrow().values().cloned().collect();
    context
        .events
        .tell(PeerEvent::OperationsChanged { operations });
}

fn show(view: &mut OperationView, now: Progress) {
    view.bytes_done = now.bytes_done;
    view.bytes_total = now.bytes_total;
    view.files_done = now.files_done;
    view.files_total = now.files_total;
    view.bytes_per_second = now.bytes_per_second;
    view.peers = now.peers;
    view.stalled = now.stalled;
}

/// How an operation's body ended.
pub(crate) struct End<T> {
    /// For whoever awaits it.
    pub(crate) result: Result<T, OperationError>,
    /// What everybody is told once the game is free again.
    pub(crate) event: Option<PeerEvent>,
}

impl<T> End<T> {
    /// An end of which `tale` knows what to tell.
    pub(crate) fn of(
        game: &GameId,
        result: Result<T, OperationError>,
        tale: impl FnOnce(&GameId, &Result<T, OperationError>) -> Option<PeerEvent>,
    ) -> Self {
        let event = tale(game, &result);
        Self { result, event }
    }
}

/// Copies an operation's progress into the snapshot for as long as the operation tells of it.
pub(crate) fn mirror(context: Arc<Context>, game: GameId, mut progress: watch::Receiver<Progress>) {
    tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let now = *progress.borrow_and_update();
            context.operations.send_modify(|operations| {
                if let Some(view) = operations.get_mut(&game) {
                    show(view, now);
                }
            });
        }
    });
}
