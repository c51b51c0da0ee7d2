//! The loop that owns what is running: commands in, operations started, ended and cancelled.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lanspread_library::LocalState;
use lanspread_proto::GameId;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    command::{DownloadRequest, PeerCommand},
    commands,
    context::Context,
    download::{self, Download},
    error::OperationError,
    event::PeerEvent,
    fetch,
    handle::PeerRuntimeHandle,
    home::HomeKeeper,
    neighbours::Wish,
    operation::{Operation, Progress},
    operations::{self, Operations},
    remove,
    verify::{self, Verification},
    view::{DownloadSummary, OperationKind, PeerView, VerifySummary},
};

/// Messages and commands that wait for the loop.
pub(crate) const MESSAGES_BUFFERED_MAX: usize = 256;

/// What shutting down waits for running operations: long enough for a commit that has begun.
const OPERATIONS_END_TIMEOUT: Duration = Duration::from_secs(10);

type Reply<T> = oneshot::Sender<Result<T, OperationError>>;

/// What the handle asks of the loop.
#[derive(Debug)]
pub(crate) enum Message {
    Download {
        request: DownloadRequest,
        reply: Reply<Operation<DownloadSummary>>,
    },
    Verify {
        game: GameId,
        repair: bool,
        reply: Reply<Operation<VerifySummary>>,
    },
    Remove {
        game: GameId,
        reply: Reply<()>,
    },
    Cancel {
        game: GameId,
        reply: Reply<()>,
    },
    SetGameDir {
        path: PathBuf,
        reply: Reply<()>,
    },
    Connect {
        addr: String,
        reply: Reply<PeerView>,
    },
    Shutdown,
}

/// The loop's state.
pub(crate) struct Runtime {
    context: Arc<Context>,
    keeper: HomeKeeper,
    operations: Operations,
    tasks: JoinSet<Ended>,
    wishes: mpsc::Sender<Wish>,
    handle: PeerRuntimeHandle,
}

/// What is told of an operation's end.
type Tale<T> = fn(&GameId, &Result<T, OperationError>) -> Option<PeerEvent>;

/// An operation whose body has returned.
struct Ended {
    game: GameId,
    /// Tells everybody, and whoever awaits it.
    tell: Box<dyn FnOnce() + Send>,
}

impl Runtime {
    pub(crate) fn new(
        handle: PeerRuntimeHandle,
        keeper: HomeKeeper,
        wishes: mpsc::Sender<Wish>,
    ) -> Self {
        let context = handle.context.clone();
        let operations = Operations::new(context.clone());
        Self {
            context,
            keeper,
            operations,
            tasks: JoinSet::new(),
            wishes,
            handle,
        }
    }

    /// Runs until somebody asks for a shutdown; then no operation runs any more.
    pub(crate) async fn run(
        &mut self,
        mut messages: mpsc::Receiver<Message>,
        mut commands: mpsc::Receiver<PeerCommand>,
    ) {
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    None | Some(Message::Shutdown) => break,
                    Some(message) => self.take(message).await,
                },
                Some(command) = commands.recv() => match command {
                    PeerCommand::Shutdown => break,
                    command => commands::spawn(self.handle.clone(), command),
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended),
            }
        }
        self.operations.suspend_all();
        let ending = async {
            while let Some(ended) = self.tasks.join_next().await {
                self.ended(ended);
            }
        };
        if timeout(OPERATIONS_END_TIMEOUT, ending).await.is_err() {
            tracing::warn!("an operation did not end in time and is left to recovery");
        }
    }

    /// Stops watching the game directory.
    pub(crate) async fn close_home(self) {
        self.keeper.close().await;
    }

    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            // In this order: whoever hears of it may start the next one at once.
            Ok(Ended { game, tell }) => {
                self.operations.end(&game);
                tell();
            }
            // Operations catch their own panics' consequences; the game stays busy, which is safe.
            Err(panic) => tracing::error!(%panic, "an operation ended abnormally"),
        }
    }

    async fn take(&mut self, message: Message) {
        // Whoever asked may have gone; what was accepted goes on all the same.
        match message {
            Message::Download { request, reply } => drop(reply.send(self.download(request))),
            Message::Verify {
                game,
                repair,
                reply,
            } => {
                drop(reply.send(self.verify(game, repair)));
            }
            Message::Remove { game, reply } => self.remove(game, reply),
            Message::Cancel { game, reply } => self.cancel(game, reply),
            Message::SetGameDir { path, reply } => {
                drop(reply.send(self.set_game_dir(path).await));
            }
            Message::Connect { addr, reply } => {
                // A full channel makes the caller wait, and nobody else.
                let wishes = self.wishes.clone();
                tokio::spawn(async move {
                    let _ = wishes.send(Wish::Connect { addr, reply }).await;
                });
            }
            Message::Shutdown => {}
        }
    }

    // # Operations

    fn download(
        &mut self,
        request: DownloadRequest,
    ) -> Result<Operation<DownloadSummary>, OperationError> {
        self.operations.refuse_busy(&request.game)?;
        let partial = self.local_state(&request.game) == Some(LocalState::Partial);
        match fetch::check(&self.context, &request) {
            // Perhaps all of it is here already: the download finds out.
            Err(OperationError::NoSource { .. }) if partial => {}
            checked => drop(checked?),
        }
        let game = request.game.clone();
        let stops = self.operations.begin(&game, OperationKind::Download)?;
        let cancel = stops.cancel.clone();
        let (progress, watched) = self.progress(&game);
        let download = Download {
            context: self.context.clone(),
            request,
            stops,
            progress,
        };
        let done = self.spawn(game.clone(), download.run(), download::tale);
        Ok(Operation::new(game, watched, done, cancel))
    }

    fn verify(
        &mut self,
        game: GameId,
        repair: bool,
    ) -> Result<Operation<VerifySummary>, OperationError> {
        self.operations.refuse_busy(&game)?;
        fetch::admit(&self.context, &game)?;
        let stops = self.operations.begin(&game, OperationKind::Verify)?;
        let cancel = stops.cancel.clone();
        let (progress, watched) = self.progress(&game);
        let context = self.context.clone();
        let verification = Verification {
            context,
            game: game.clone(),
            repair,
            stops,
            progress,
        };
        let done = self.spawn(game.clone(), verification.run(), verify::tale);
        Ok(Operation::new(game, watched, done, cancel))
    }

    fn remove(&mut self, game: GameId, reply: Reply<()>) {
        let begun = self
            .operations
            .refuse_busy(&game)
            .and_then(|()| fetch::admit(&self.context, &game))
            .and_then(|()| self.operations.begin(&game, OperationKind::Remove));
        match begun {
            Ok(_) => {
                let removal = remove::remove(self.context.clone(), game.clone());
                let done = self.spawn(game, removal, remove::removed_tale);
                forward(done, reply);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn cancel(&mut self, game: GameId, reply: Reply<()>) {
        if self.operations.cancel(&game) {
            drop(reply.send(Ok(())));
            return;
        }
        if self.local_state(&game) != Some(LocalState::Partial) {
            drop(reply.send(Err(OperationError::NothingToCancel { game })));
            return;
        }
        match self.operations.begin(&game, OperationKind::Remove) {
            Ok(_) => {
                let discard = remove::discard_partial(self.context.clone(), game.clone());
                let done = self.spawn(game, discard, remove::discarded_tale);
                forward(done, reply);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    async fn set_game_dir(&mut self, path: PathBuf) -> Result<(), OperationError> {
        match self.operations.any() {
            Some(game) => Err(OperationError::AnyBusy { game: game.clone() }),
            None => self.keeper.move_to(path).await,
        }
    }

    fn local_state(&self, game: &GameId) -> Option<LocalState> {
        self.context
            .home()
            .library
            .snapshot()
            .get(game)
            .map(|game| game.state)
    }

    fn progress(&self, game: &GameId) -> (watch::Sender<Progress>, watch::Receiver<Progress>) {
        let (progress, watched) = watch::channel(Progress::default());
        operations::mirror(self.context.clone(), game.clone(), watched.clone());
        (progress, watched)
    }

    fn spawn<T: Send + 'static>(
        &mut self,
        game: GameId,
        body: impl Future<Output = Result<T, OperationError>> + Send + 'static,
        tale: Tale<T>,
    ) -> oneshot::Receiver<Result<T, OperationError>> {
        let (done, ended) = oneshot::channel();
        let (events, id) = (self.context.events.clone(), game.clone());
        self.tasks.spawn(async move {
            let result = body.await;
            let tell = Box::new(move || {
                if let Some(event) = tale(&id, &result) {
                    events.tell(event);
                }
                // Dropping the operation's object does not cancel it, so nobody may be waiting.
                drop(done.send(result));
            });
            Ended { game, tell }
        });
        ended
    }
}

fn forward(done: oneshot::Receiver<Result<(), OperationError>>, reply: Reply<()>) {
    tokio::spawn(async move {
        let _ = reply.send(done.await.unwrap_or(Err(OperationError::Stopped)));
    });
}
