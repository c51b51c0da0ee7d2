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
    running: HashMap<GameId, Running>,
}

#[derive(Debug)]
struct Running {
    kind: OperationKind,
    stops: Stops,
}

impl Operations {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            running: HashMap::new(),
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
        self.running.insert(
            game.clone(),
            Running {
                kind,
                stops: stops.clone(),
            },
        );
        self.context.operations.send_modify(|operations| {
            let view = OperationView {
                game: game.clone(),
                kind,
                bytes_done: 0,
                bytes_total: 0,
                bytes_per_second: 0,
                peers: 0,
                stalled: false,
            };
            operations.insert(game.clone(), view);
        });
        self.tell();
        Ok(stops)
    }

    pub(crate) fn refuse_busy(&self, game: &GameId) -> Result<(), OperationError> {
        match self.running.get(game) {
            Some(running) => Err(OperationError::Busy {
                game: game.clone(),
                running: running.kind.as_str(),
            }),
            None => Ok(()),
        }
    }

    pub(crate) fn end(&mut self, game: &GameId) {
        self.running.remove(game);
        self.context
            .operations
            .send_modify(|operations| drop(operations.remove(game)));
        self.tell();
        self.context.games_changed();
    }

    /// Asks the operation on `game` to stop; false if there is none.
    pub(crate) fn cancel(&self, game: &GameId) -> bool {
        let running = self.running.get(game);
        if let Some(running) = running {
            running.stops.cancel.cancel();
        }
        running.is_some()
    }

    /// Asks everything to stop and to keep what it has.
    pub(crate) fn suspend_all(&self) {
        for running in self.running.values() {
            running.stops.suspend.cancel();
        }
    }

    /// The game of some running operation.
    pub(crate) fn any(&self) -> Option<&GameId> {
        self.running.keys().next()
    }

    fn tell(&self) {
        let operations = self.context.operations.borrow().values().cloned().collect();
        self.context
            .events
            .tell(PeerEvent::OperationsChanged { operations });
    }
}

/// Copies an operation's progress into the snapshot for as long as the operation tells of it.
pub(crate) fn mirror(context: Arc<Context>, game: GameId, mut progress: watch::Receiver<Progress>) {
    tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let now = *progress.borrow_and_update();
            context.operations.send_modify(|operations| {
                if let Some(view) = operations.get_mut(&game) {
                    view.bytes_done = now.bytes_done;
                    view.bytes_total = now.bytes_total;
                    view.bytes_per_second = now.bytes_per_second;
                    view.peers = now.peers;
                    view.stalled = now.stalled;
                }
            });
        }
    });
}
