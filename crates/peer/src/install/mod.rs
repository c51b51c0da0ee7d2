//! Installs and uninstalls: the driver around the transactions of [`lanspread_install`].
//!
//! The transaction runs on a blocking thread. While it does, the library looks away from the game's folder
//! and the game goes on being announced and served: nothing but `local/` changes.

mod refusal;
mod teller;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use lanspread_install::{
    self as transactions, ArchiveFile, InstallControl, InstallRequest, Installed, Staging,
    UnpackError, Unpacker,
};
use lanspread_library::LocalGame;
use lanspread_proto::{GameId, Version};
use tokio::sync::watch;

pub(crate) use self::refusal::{not_installed, panicked, unrecovered};
use self::teller::Teller;
use crate::{
    context::{Context, Home},
    download::{self, Download, Stops},
    error::OperationError,
    event::PeerEvent,
    fetch,
    operation::Progress,
    operations::{self, End},
    recovery,
    view::{DownloadSummary, InstallSummary, OperationKind},
};

// # Admission

/// Refuses a game that is not downloaded, as far as the library knows.
pub(crate) fn refuse_not_downloaded(
    context: &Context,
    game: &GameId,
) -> Result<(), OperationError> {
    fetch::admit(context, game)?;
    match version_here(context, game) {
        Some(_) => Ok(()),
        None => Err(OperationError::NotDownloaded { game: game.clone() }),
    }
}

/// Refuses a game that is not installed, as far as the library knows.
pub(crate) fn refuse_not_installed(context: &Context, game: &GameId) -> Result<(), OperationError> {
    fetch::admit(context, game)?;
    if local(context, game).is_some_and(|local| local.installed) {
        Ok(())
    } else {
        Err(OperationError::NotInstalled { game: game.clone() })
    }
}

fn local(context: &Context, game: &GameId) -> Option<LocalGame> {
    context.home().library.snapshot().get(game).cloned()
}

fn version_here(context: &Context, game: &GameId) -> Option<Version> {
    local(context, game)?.version
}

// # Install

/// What an install is, besides what everyone shares.
pub(crate) struct Installation {
    pub(crate) context: Arc<Context>,
    pub(crate) game: GameId,
    pub(crate) stops: Stops,
    pub(crate) progress: watch::Sender<Progress>,
}

/// Downloads, and goes on to install what has arrived if that is due.
pub(crate) async fn download_and_install(download: Download) -> End<DownloadSummary> {
    let installation = Installation {
        context: download.context.clone(),
        game: download.request.game.clone(),
        stops: download.stops.clone(),
        progress: download.progress.clone(),
    };
    let wanted = download.request.install;
    let downloaded = download.run().await;
    let game = installation.game.clone();
    match downloaded {
        Ok(summary) if wanted && installation.is_due(&summary).await => {
            installation.follow(summary).await
        }
        ended => End::of(&game, ended, download::tale),
    }
}

impl Installation {
    /// Installs, and says what to tell of it.
    pub(crate) async fn run(self) -> End<InstallSummary> {
        let installed = self.install().await;
        End::of(&self.game, installed, |game, end| Some(tale(game, end)))
    }

    /// Installs what a download has brought, in the slot of the download.
    async fn follow(self, downloaded: DownloadSummary) -> End<DownloadSummary> {
        let downloaded = DownloadSummary {
            installing: true,
            ..downloaded
        };
        let told = PeerEvent::DownloadGameFilesFinished(downloaded.clone());
        self.context.events.tell(told);
        self.progress.send_replace(Progress::default());
        operations::goes_on_as(&self.context, &self.game, OperationKind::Install);
        let End { result, event } = self.run().await;
        End {
            result: result.map(|_| downloaded),
            event,
        }
    }

    /// Whether a download is followed by an install: the game is an archive and not installed in this
    /// version. What is installed in an unknown version is replaced only by something new.
    async fn is_due(&self, downloaded: &DownloadSummary) -> bool {
        let Some(unpacker) = self.context.services.unpacker.clone() else {
            return false;
        };
        if self.stops.cancel.is_cancelled() || self.stops.suspend.is_cancelled() {
            return false;
        }
        if let Some(local) = local(&self.context, &self.game).filter(|local| local.installed) {
            let outdated = match &local.installed_version {
                Some(installed) => *installed != downloaded.version,
                None => downloaded.fetched_bytes > 0,
            };
            if !outdated {
                return false;
            }
        }
        let (home, state) = (self.context.home(), self.context.state.clone());
        let game = self.game.clone();
        let archives = tokio::task::spawn_blocking(move || {
            transactions::archives(&home.disk, &state, &*unpacker, &game)
        });
        // What cannot be looked at cannot be installed either, which the install tells.
        !matches!(archives.await, Ok(Ok(archives)) if archives.is_empty())
    }

    async fn install(&self) -> Result<InstallSummary, OperationError> {
        let start = Instant::now();
        let game = &self.game;
        let version = version_here(&self.context, game)
            .ok_or_else(|| OperationError::NotDownloaded { game: game.clone() })?;
        let home = self.context.home();
        // While it lives, the library looks away from the folder.
        let _hold = home.library.hold(game);
        self.context.events.tell(PeerEvent::InstallGameBegin {
            game: game.clone(),
            version,
            streamed: false,
        });
        let installed = self.carry_out(&home).await;
        let Installed {
            version,
            replaced,
            files,
            bytes,
            ..
        } = installed?;
        Ok(InstallSummary {
            game: game.clone(),
            version,
            replaced,
            bytes,
            files,
            seconds: start.elapsed().as_secs_f64(),
            streamed: false,
        })
    }

    /// Runs the transaction on a blocking thread, and has it taken back when somebody asks for an end.
    async fn carry_out(&self, home: &Arc<Home>) -> Result<Installed, OperationError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let teller = Teller::new(
            self.context.events.clone(),
            self.game.clone(),
            self.progress.clone(),
        );
        let control = InstallControl {
            cancelled: cancelled.clone(),
            progress: Arc::new(move |progress| teller.update(Instant::now(), progress)),
        };
        let (context, home, game) = (self.context.clone(), home.clone(), self.game.clone());
        let mut installing = tokio::task::spawn_blocking(move || {
            let installed = transact(&context, &home, &game, &control);
            home.library.refresh_folder(&game);
            installed
        });
        let ended = tokio::select! {
            ended = &mut installing => ended,
            () = self.stops.any() => {
                cancelled.store(true, Ordering::Relaxed);
                installing.await
            }
        };
        match ended {
            Err(panic) => Err(refusal::panicked(&self.game, panic)),
            Ok(Err(OperationError::Cancelled { .. })) if !self.stops.cancel.is_cancelled() => {
                Err(OperationError::Stopped)
            }
            Ok(ended) => ended,
        }
    }
}

/// The transaction, after recovery. Blocking.
fn transact(
    context: &Context,
    home: &Home,
    game: &GameId,
    control: &InstallControl,
) -> Result<Installed, OperationError> {
    recovery::before_operation(context, home, game)
        .map_err(|error| refusal::unrecovered(game, error))?;
    let request = InstallRequest {
        game: game.clone(),
        reserve_bytes: context.reserve_bytes,
    };
    let unpacker = context.services.unpacker.as_deref().unwrap_or(&NoUnpacker);
    transactions::install(&home.disk, &context.state, unpacker, &request, control)
        .map_err(|error| refusal::not_installed(game, error))
}

/// What is told of an install's end. One that a shutdown ended is taken back like a cancelled one.
fn tale(game: &GameId, end: &Result<InstallSummary, OperationError>) -> PeerEvent {
    let (game, streamed) = (game.clone(), false);
    match end {
        Ok(summary) => PeerEvent::InstallGameFinished(summary.clone()),
        Err(OperationError::Cancelled { .. } | OperationError::Stopped) => {
            PeerEvent::InstallGameCancelled { game, streamed }
        }
        Err(error) => PeerEvent::InstallGameFailed {
            game,
            error: error.failure(),
            streamed,
        },
    }
}

/// Stands in where nobody was injected.
struct NoUnpacker;

impl Unpacker for NoUnpacker {
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError> {
        Err(nobody_unpacks(archive.path().to_owned()))
    }

    fn unpack(&self, archives: &[ArchiveFile], _staging: &dyn Staging) -> Result<(), UnpackError> {
        archives.first().map_or(Ok(()), |archive| {
            Err(nobody_unpacks(archive.path().to_owned()))
        })
    }
}

fn nobody_unpacks(archive: PathBuf) -> UnpackError {
    UnpackError::Unsupported {
        archive,
        what: "this program was built without anything that unpacks archives".into(),
    }
}

// # Uninstall

/// Removes what is installed, and says what to tell of it. The catalog has admitted the game.
pub(crate) async fn uninstall(context: Arc<Context>, game: GameId) -> End<()> {
    let home = context.home();
    let hold = home.library.hold(&game);
    let told = PeerEvent::UninstallGameBegin { game: game.clone() };
    context.events.tell(told);
    let id = game.clone();
    let removing = tokio::task::spawn_blocking(move || {
        let removed = recovery::before_operation(&context, &home, &id)
            .map_err(|error| refusal::unrecovered_uninstall(&id, error))
            .and_then(|()| {
                transactions::uninstall(&*home.disk, &context.state, &id)
                    .map_err(|error| refusal::not_uninstalled(&id, error))
            });
        home.library.refresh_folder(&id);
        removed
    });
    let removed = removing
        .await
        .unwrap_or_else(|panic| Err(refusal::panicked(&game, panic)));
    drop(hold);
    End::of(&game, removed, |game, end| {
        let game = game.clone();
        Some(match end {
            Ok(()) => PeerEvent::UninstallGameFinished { game },
            Err(error) => PeerEvent::UninstallGameFailed {
                game,
                error: error.failure(),
            },
        })
    })
}
