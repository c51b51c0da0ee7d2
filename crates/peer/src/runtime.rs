//! The loop that owns what is running: commands in, operations started, ended and cancelled.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lanspread_library::LocalState;
use lanspread_proto::GameId;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
    time::timeout,
};

use crate::{
    command::{DownloadRequest, PeerCommand, StreamInstallRequest},
    commands,
    context::Context,
    download::{Download, Stops},
    error::OperationError,
    event::PeerEvent,
    fetch,
    handle::PeerRuntimeHandle,
    home::HomeKeeper,
    install::{self, Installation},
    neighbours::Wish,
    operation::{Operation, Progress},
    operations::{self, End, Operations},
    remove,
    stream_install::StreamInstall,
    verify::{self, Verification},
    view::{DownloadSummary, InstallSummary, OperationKind, PeerView, VerifySummary},
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
    Install {
        game: GameId,
        reply: Reply<Operation<InstallSummary>>,
    },
    StreamInstall {
        request: StreamInstallRequest,
        reply: Reply<Operation<InstallSummary>>,
    },
    Uninstall {
        game: GameId,
        reply: Reply<Operation<()>>,
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
    /// `None` while the game directory is exchanged, and after that has gone wrong.
    keeper: Option<HomeKeeper>,
    /// The exchange of the game directory.
    moving: JoinSet<Moved>,
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

/// An exchange of the game directory that is over.
struct Moved {
    keeper: HomeKeeper,
    /// How it went.
    result: Result<(), OperationError>,
    reply: Reply<()>,
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
            keeper: Some(keeper),
            moving: JoinSet::new(),
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
                    Some(message) => self.take(message),
                },
                Some(command) = commands.recv() => match command {
                    PeerCommand::Shutdown => break,
                    command => commands::spawn(self.handle.clone(), command),
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                Some(moved) = self.moving.join_next() => self.moved(moved),
            }
        }
        self.operations.suspend_all();
        let ending = async {
            while let Some(ended) = self.tasks.join_next().await {
                self.ended(ended);
            }
            while let Some(moved) = self.moving.join_next().await {
                self.moved(moved);
            }
        };
        if timeout(OPERATIONS_END_TIMEOUT, ending).await.is_err() {
            tracing::warn!("an operation did not end in time and is left to recovery");
        }
    }

    /// Stops watching the game directory.
    pub(crate) async fn close_home(self) {
        if let Some(keeper) = self.keeper {
            keeper.close().await;
        }
    }

    fn ended(&mut self, ended: Result<Ended, JoinError>) {
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

    fn take(&mut self, message: Message) {
        // Whoever asked may have gone; what was accepted goes on all the same.
        match message {
            Message::Download { request, reply } => drop(reply.send(self.download(request))),
            Message::Install { game, reply } => drop(reply.send(self.install(game))),
            Message::StreamInstall { request, reply } => {
                drop(reply.send(self.stream_install(request)));
            }
            Message::Uninstall { game, reply } => drop(reply.send(self.uninstall(game))),
            Message::Verify {
                game,
                repair,
                reply,
            } => drop(reply.send(self.verify(game, repair))),
            Message::Remove { game, reply } => self.remove(game, reply),
            Message::Cancel { game, reply } => self.cancel(game, reply),
            Message::SetGameDir { path, reply } => self.set_game_dir(path, reply),
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
        let (context, game) = (self.context.clone(), request.game.clone());
        self.start(game, OperationKind::Download, |stops, progress| {
            install::download_and_install(Download {
                context,
                request,
                stops,
                progress,
            })
        })
    }

    fn install(&mut self, game: GameId) -> Result<Operation<InstallSummary>, OperationError> {
        self.operations.refuse_busy(&game)?;
        install::refuse_not_downloaded(&self.context, &game)?;
        let (context, id) = (self.context.clone(), game.clone());
        self.start(game, OperationKind::Install, |stops, progress| {
            let installation = Installation {
                context,
                game: id,
                stops,
                progress,
            };
            installation.run()
        })
    }

    fn stream_install(
        &mut self,
        request: StreamInstallRequest,
    ) -> Result<Operation<InstallSummary>, OperationError> {
        self.operations.refuse_busy(&request.game)?;
        fetch::check(&self.context, &request.as_download())?;
        let (context, game) = (self.context.clone(), request.game.clone());
        self.start(game, OperationKind::StreamInstall, |stops, progress| {
            let install = StreamInstall {
                context,
                request,
                stops,
                progress,
            };
            install.run()
        })
    }

    fn uninstall(&mut self, game: GameId) -> Result<Operation<()>, OperationError> {
        self.operations.refuse_busy(&game)?;
        install::refuse_not_installed(&self.context, &game)?;
        let (context, id) = (self.context.clone(), game.clone());
        self.start(game, OperationKind::Uninstall, |_, progress| async move {
            let end = install::uninstall(context, id).await;
            // Nothing is told of its progress; whoever watches sees that it has ended.
            drop(progress);
            end
        })
    }

    fn verify(
        &mut self,
        game: GameId,
        repair: bool,
    ) -> Result<Operation<VerifySummary>, OperationError> {
        self.operations.refuse_busy(&game)?;
        fetch::admit(&self.context, &game)?;
        let (context, id) = (self.context.clone(), game.clone());
        self.start(game, OperationKind::Verify, |stops, progress| async move {
            let verification = Verification {
                context,
                game: id.clone(),
                repair,
                stops,
                progress,
            };
            End::of(&id, verification.run().await, verify::tale)
        })
    }

    fn remove(&mut self, game: GameId, reply: Reply<()>) {
        let begun = self
            .operations
            .refuse_busy(&game)
            .and_then(|()| fetch::admit(&self.context, &game));
        self.delete(game, reply, begun, remove::remove, remove::removed_tale);
    }

    fn cancel(&mut self, game: GameId, reply: Reply<()>) {
        if self.operations.cancel(&game) {
            drop(reply.send(Ok(())));
            return;
        }
        let left_over = self.local_state(&game) == Some(LocalState::Partial);
        let begun = if left_over {
            Ok(())
        } else {
            Err(OperationError::NothingToCancel { game: game.clone() })
        };
        self.delete(
            game,
            reply,
            begun,
            remove::discard_partial,
            remove::discarded_tale,
        );
    }

    /// Runs an operation that takes away, unless it is refused already; the reply comes when it is done.
    fn delete<F>(
        &mut self,
        game: GameId,
        reply: Reply<()>,
        admitted: Result<(), OperationError>,
        body: fn(Arc<Context>, GameId) -> F,
        tale: Tale<()>,
    ) where
        F: Future<Output = Result<(), OperationError>> + Send + 'static,
    {
        match admitted.and_then(|()| self.operations.begin(&game, OperationKind::Remove)) {
            Ok(_) => {
                let (removal, id) = (body(self.context.clone(), game.clone()), game.clone());
                let done = self.spawn(game, async move { End::of(&id, removal.await, tale) });
                forward(done, reply);
            }
            Err(error) => drop(reply.send(Err(error))),
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

    /// Enters an operation and runs its body.
    fn start<T, F>(
        &mut self,
        game: GameId,
        kind: OperationKind,
        body: impl FnOnce(Stops, watch::Sender<Progress>) -> F,
    ) -> Result<Operation<T>, OperationError>
    where
        T: Send + 'static,
        F: Future<Output = End<T>> + Send + 'static,
    {
        let stops = self.operations.begin(&game, kind)?;
        let (progress, watched) = watch::channel(Progress::default());
        operations::mirror(self.context.clone(), game.clone(), watched.clone());
        let done = self.spawn(game.clone(), body(stops.clone(), progress));
        Ok(Operation::new(game, watched, done, stops.cancel))
    }

    fn spawn<T: Send + 'static>(
        &mut self,
        game: GameId,
        body: impl Future<Output = End<T>> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, OperationError>> {
        let (done, ended) = oneshot::channel();
        let events = self.context.events.clone();
        self.tasks.spawn(async move {
            let End { result, event } = body.await;
            let tell = Box::new(move || {
                if let Some(event) = event {
                    events.tell(event);
                }
                // Dropping the operation's object does not cancel it, so nobody may be waiting.
                drop(done.send(result));
            });
            Ended { game, tell }
        });
        ended
    }

    // # The game directory

    /// Exchanges it in a task of its own, while no operation may begin.
    fn set_game_dir(&mut self, path: PathBuf, reply: Reply<()>) {
        if let Some(game) = self.operations.any() {
            let game = game.clone();
            drop(reply.send(Err(OperationError::AnyBusy { game })));
            return;
        }
        let Some(mut keeper) = self.keeper.take() else {
            drop(reply.send(Err(OperationError::Moving)));
            return;
        };
        self.operations.forbid(true);
        self.moving.spawn(async move {
            let result = keeper.move_to(path).await;
            Moved {
                keeper,
                result,
                reply,
            }
        });
    }

    fn moved(&mut self, moved: Result<Moved, JoinError>) {
        match moved {
            // In this order: whoever hears of it may start an operation at once.
            Ok(Moved {
                keeper,
                result,
                reply,
            }) => {
                self.keeper = Some(keeper);
                self.operations.forbid(false);
                drop(reply.send(result));
            }
            // Which directory is used nobody knows now, so nothing begins any more.
            Err(panic) => tracing::error!(%panic, "the game directory was not exchanged in order"),
        }
    }
}

fn forward(done: oneshot::Receiver<Result<(), OperationError>>, reply: Reply<()>) {
    tokio::spawn(async move {
        let _ = reply.send(done.await.unwrap_or(Err(OperationError::Stopped)));
    });
}
