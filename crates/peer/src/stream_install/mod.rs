//! A streamed install from the choice of a payload to a committed `local/`: the receiving side.
//!
//! What is installed is chosen as a download chooses it. Then one peer after the other that has all of it is
//! asked to expand it ([`attempt`]); what arrives goes into a transaction of [`lanspread_install`], which is
//! rolled back before the next peer is tried. A peer that is busy is asked again later. Bytes that arrive are
//! told as a download, the commit as an install.

mod attempt;
mod teller;
mod tried;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lanspread_disk::RealDisk;
use lanspread_install::{InstallError, InstallTransaction, Installed, StreamInstallError};
use lanspread_proto::{GameId, ManifestId, PeerId, Version};
use rand::RngExt as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use self::{
    attempt::{Attempt, AttemptError},
    teller::Teller,
    tried::Tried,
};
use crate::{
    command::StreamInstallRequest,
    context::{Context, Home},
    download::Stops,
    error::{ErrorCode, OperationError},
    event::PeerEvent,
    fetch,
    game_db::Held,
    install,
    links::REPLACEMENT_WAIT,
    operation::Progress,
    operations::End,
    recovery,
    view::{DownloadSummary, InstallSummary},
};

/// After every peer that is left was busy; doubled after each one, up to [`BUSY_WAIT_MAX`].
const BUSY_WAIT_MIN: Duration = Duration::from_millis(500);

/// Nobody waits longer than this to ask a busy peer again.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(8);

/// What a streamed install is, besides what everyone shares.
pub(crate) struct StreamInstall {
    pub(crate) context: Arc<Context>,
    pub(crate) request: StreamInstallRequest,
    pub(crate) stops: Stops,
    pub(crate) progress: watch::Sender<Progress>,
}

/// What is received, and how it is told.
struct Target {
    game: GameId,
    manifest: ManifestId,
    version: Version,
    home: Arc<Home>,
    teller: Arc<Teller>,
}

/// Everything came and is to be committed.
struct Received {
    install: InstallTransaction<RealDisk>,
    bytes: u64,
}

/// Which events tell of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Bytes arrive, or are asked for.
    Receiving,
    /// All came; it is being committed.
    Installing,
}

impl StreamInstall {
    /// Runs it to its end, and says what to tell of that.
    pub(crate) async fn run(self) -> End<InstallSummary> {
        let game = self.request.game.clone();
        let phase = Mutex::new(Phase::Receiving);
        let home = self.context.home();
        // While it lives, the library looks away from the folder.
        let hold = home.library.hold(&game);
        let ended = self.carry_out(&home, &phase).await;
        home.refresh(&game).await;
        drop(hold);
        let phase = *phase.lock().unwrap_or_else(PoisonError::into_inner);
        End::of(&game, ended, |game, end| Some(tale(game, end, phase)))
    }

    async fn carry_out(
        &self,
        home: &Arc<Home>,
        phase: &Mutex<Phase>,
    ) -> Result<InstallSummary, OperationError> {
        let start = Instant::now();
        let target = Arc::new(self.target(home).await?);
        let received = self.receive(&target).await?;
        *phase.lock().unwrap_or_else(PoisonError::into_inner) = Phase::Installing;
        self.tell_received(&target, &received, start);
        let installed = self.publish(received.install).await?;
        Ok(InstallSummary {
            game: target.game.clone(),
            version: installed.version,
            replaced: installed.replaced,
            bytes: installed.bytes,
            files: installed.files,
            seconds: start.elapsed().as_secs_f64(),
            streamed: true,
        })
    }

    /// Settles on what to install, with the manifest from a peer that offers it.
    async fn target(&self, home: &Arc<Home>) -> Result<Target, OperationError> {
        let game = &self.request.game;
        self.recover(home).await?;
        let request = self.request.as_download();
        let choice = fetch::choose(&self.context, &request)?;
        let snapshot = home.library.snapshot();
        let installed = snapshot
            .get(game)
            .and_then(|local| local.installed_version.as_ref());
        fetch::refuse_older(&request, installed, &choice.version)?;
        let payload = tokio::select! {
            payload = fetch::manifest(&self.context, game, &choice) => payload?,
            () = self.stops.any() => return Err(self.stopped()),
        };
        let version = payload.manifest().version().clone();
        let teller = Teller::new(
            self.context.events.clone(),
            game.clone(),
            version.clone(),
            self.progress.clone(),
        );
        Ok(Target {
            game: game.clone(),
            manifest: payload.id(),
            version,
            home: home.clone(),
            teller: Arc::new(teller),
        })
    }

    /// Tries peers until one has sent everything.
    async fn receive(&self, target: &Arc<Target>) -> Result<Received, OperationError> {
        let (mut tried, mut cause) = (Tried::default(), None);
        let (mut wait, mut full) = (BUSY_WAIT_MIN, false);
        loop {
            // Looked for anew each time: peers come and go.
            let Some(peer) = tried.next_of(&self.sources(target.manifest)) else {
                if !tried.ask_again() {
                    return Err(cause.unwrap_or_else(|| OperationError::NoSource {
                        game: self.request.game.clone(),
                    }));
                }
                self.pause(jittered(wait)).await?;
                wait = (wait * 2).min(BUSY_WAIT_MAX);
                continue;
            };
            let attempt = Attempt {
                context: self.context.clone(),
                target: target.clone(),
                peer,
                stops: self.stops.clone(),
            };
            match attempt.run().await {
                Ok(received) => return Ok(received),
                Err(AttemptError::Stopped) => return Err(self.stopped()),
                Err(AttemptError::Busy) => tried.is_busy(peer),
                Err(AttemptError::Failed(StreamInstallError::Install(error))) => {
                    // How much room is needed is the sender's word, which takes a second one.
                    let is_full = matches!(error, InstallError::DiskFull { .. });
                    if !is_full || std::mem::replace(&mut full, true) {
                        return Err(self.refused(install::not_installed(&target.game, error)));
                    }
                    self.pass_over(peer, &error);
                    cause = Some(install::not_installed(&target.game, error));
                    tried.failed(peer);
                }
                Err(AttemptError::Failed(error)) => {
                    cause = Some(self.pass_over(peer, &error));
                    tried.failed(peer);
                }
                Err(AttemptError::Closed(error)) => {
                    cause = Some(self.pass_over(peer, &error));
                    tried.broke(peer);
                    self.pause(REPLACEMENT_WAIT).await?;
                }
                Err(AttemptError::Wire(error)) => {
                    cause = Some(self.pass_over(peer, &error));
                    tried.failed(peer);
                }
            }
        }
    }

    /// Waits, unless somebody asks for an end.
    async fn pause(&self, time: Duration) -> Result<(), OperationError> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            () = self.stops.any() => Err(self.stopped()),
        }
    }

    /// The peers that have all of the payload. Each receiver begins with another one, so that a room shares
    /// the sources.
    fn sources(&self, manifest: ManifestId) -> Vec<PeerId> {
        let holders = self.context.game_db.holders(manifest).into_iter();
        let complete = holders.filter(|(_, held)| matches!(held, Held::All));
        let mut peers: Vec<PeerId> = complete.map(|(peer, _)| peer).collect();
        if !peers.is_empty() {
            let first = self.context.incarnation % peers.len() as u64;
            peers.rotate_left(usize::try_from(first).unwrap_or_default());
        }
        peers
    }

    fn pass_over(&self, peer: PeerId, error: &(dyn std::error::Error + 'static)) -> OperationError {
        let cause = crate::error::Failure::new(ErrorCode::Internal, error).message;
        tracing::warn!(peer = %peer.short(), game = %self.request.game, cause, "a streamed install goes on with another peer");
        OperationError::AllSourcesFailed {
            game: self.request.game.clone(),
            cause,
        }
    }

    /// The commit. Blocking work on a thread of its own.
    async fn publish(
        &self,
        install: InstallTransaction<RealDisk>,
    ) -> Result<Installed, OperationError> {
        let game = self.request.game.clone();
        match tokio::task::spawn_blocking(move || install.publish()).await {
            Ok(published) => {
                published.map_err(|error| self.refused(install::not_installed(&game, error)))
            }
            Err(panic) => Err(install::panicked(&game, panic)),
        }
    }

    async fn recover(&self, home: &Arc<Home>) -> Result<(), OperationError> {
        let (context, home) = (self.context.clone(), home.clone());
        let game = self.request.game.clone();
        let id = game.clone();
        let recovering =
            tokio::task::spawn_blocking(move || recovery::before_operation(&context, &home, &id));
        match recovering.await {
            Ok(recovered) => recovered.map_err(|error| install::unrecovered(&game, error)),
            Err(panic) => Err(install::panicked(&game, panic)),
        }
    }

    fn tell_received(&self, target: &Target, received: &Received, start: Instant) {
        let summary = DownloadSummary {
            game: target.game.clone(),
            version: target.version.clone(),
            bytes: received.bytes,
            fetched_bytes: received.bytes,
            kept_bytes: 0,
            seconds: start.elapsed().as_secs_f64(),
            peers: 1,
            installing: true,
            streamed: true,
        };
        let events = &self.context.events;
        events.tell(PeerEvent::DownloadGameFilesFinished(summary));
        events.tell(PeerEvent::InstallGameBegin {
            game: target.game.clone(),
            version: target.version.clone(),
            streamed: true,
        });
    }

    // # Ends

    /// Somebody asked for an end.
    fn stopped(&self) -> OperationError {
        if self.stops.cancel.is_cancelled() {
            OperationError::Cancelled {
                game: self.request.game.clone(),
            }
        } else {
            OperationError::Stopped
        }
    }

    /// A transaction that was told to stop says that it was cancelled, whoever asked.
    fn refused(&self, error: OperationError) -> OperationError {
        match error {
            OperationError::Cancelled { .. } => self.stopped(),
            error => error,
        }
    }
}

/// The wait, up to a quarter longer: receivers that were turned away together do not come back together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + rand::rng().random_range(0.0..0.25))
}

/// What is told of the end. One that a shutdown ended is taken back like a cancelled one.
fn tale(game: &GameId, end: &Result<InstallSummary, OperationError>, phase: Phase) -> PeerEvent {
    let (game, streamed) = (game.clone(), true);
    match (end, phase) {
        (Ok(summary), _) => PeerEvent::InstallGameFinished(summary.clone()),
        (Err(OperationError::Cancelled { .. } | OperationError::Stopped), Phase::Receiving) => {
            PeerEvent::DownloadGameFilesCancelled { game, streamed }
        }
        (Err(OperationError::Cancelled { .. } | OperationError::Stopped), Phase::Installing) => {
            PeerEvent::InstallGameCancelled { game, streamed }
        }
        (Err(error), Phase::Receiving) => PeerEvent::DownloadGameFilesFailed {
            game,
            error: error.failure(),
            streamed,
        },
        (Err(error), Phase::Installing) => PeerEvent::InstallGameFailed {
            game,
            error: error.failure(),
            streamed,
        },
    }
}
