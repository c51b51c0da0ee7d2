//! Recovery: of all games before anything is served, and of one game before each of its operations.
//!
//! What it leaves for a person to look at is told as [`PeerEvent::RecoveryReport`] and in the log.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
};

use lanspread_disk::{Disk, RealDisk, StateDir};
use lanspread_install::{
    self as transactions, Migrated, RecoverError, Recovered, RecoveredInstall,
};
use lanspread_proto::GameId;

use crate::{
    context::{Context, Home},
    error::{ErrorCode, Failure},
    event::{Events, PeerEvent, RecoveryFinding},
};

/// Games that are recovered at once: mostly they wait for the disk.
const GAMES_AT_ONCE_MAX: usize = 8;

/// Something for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) game: GameId,
    pub(crate) path: PathBuf,
    pub(crate) what: RecoveryFinding,
}

/// Tells of findings.
pub(crate) fn tell(events: &Events, findings: Vec<Finding>) {
    for Finding { game, path, what } in findings {
        events.tell(PeerEvent::RecoveryReport { game, path, what });
    }
}

/// Brings one game in order before an operation on it, and tells what was found. Blocking.
pub(crate) fn before_operation(
    context: &Context,
    home: &Home,
    game: &GameId,
) -> Result<(), RecoverError> {
    let recovered = transactions::recover(&*home.disk, &context.state, game)?;
    let root = home.disk.shown(game.as_str());
    tell(&context.events, findings(game, recovered, root));
    Ok(())
}

/// Brings every game to a state that a person would recognise, several at a time. One game's failure does not
/// stop the others: it is left as it is. Blocking.
pub(crate) fn recover_all(disk: &RealDisk, state: &StateDir) -> Vec<Finding> {
    migrate(disk, state);
    let mut found = Vec::new();
    let games = Mutex::new(known_games(disk, state).into_iter());
    let next = || games.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut found = Vec::new();
        while let Some(game) = next() {
            found.extend(recover_one(disk, state, game));
        }
        found
    };
    let threads = thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .saturating_mul(2)
        .min(GAMES_AT_ONCE_MAX);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if let Ok(findings) = worker.join() {
                found.extend(findings);
            } else {
                tracing::error!("a thread of recovery panicked");
            }
        }
    });
    found.sort_by(|one, other| (&one.game, &one.path).cmp(&(&other.game, &other.path)));
    found
}

fn recover_one(disk: &RealDisk, state: &StateDir, game: GameId) -> Vec<Finding> {
    match transactions::recover(disk, state, &game) {
        Ok(recovered) => findings(&game, recovered, disk.shown(game.as_str())),
        Err(error) => {
            tracing::error!(%game, error = chain(&error), "a game could not be recovered");
            let path = disk.shown(game.as_str());
            vec![Finding {
                game,
                path,
                what: RecoveryFinding::Failed,
            }]
        }
    }
}

/// Moves what older builds left in game folders to the state directory.
fn migrate(disk: &RealDisk, state: &StateDir) {
    for Migrated { path, result } in transactions::migrate_older_files(disk, state) {
        match result {
            Ok(to) => {
                tracing::info!(from = %path.display(), to = %to.display(), "a file of an older build was moved");
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(path = %path.display(), error, "a file of an older build was not moved");
            }
        }
    }
}

/// What a person should know of one game's recovery.
fn findings(game: &GameId, recovered: Recovered, root: PathBuf) -> Vec<Finding> {
    let of = |what| {
        move |path: PathBuf| {
            tracing::warn!(%game, path = %path.display(), ?what, "found by recovery");
            Finding {
                game: game.clone(),
                path,
                what,
            }
        }
    };
    let lost = (recovered.install == RecoveredInstall::Lost).then_some(root);
    let aside = recovered.quarantined.into_iter();
    let foreign = recovered.foreign.into_iter();
    aside
        .map(of(RecoveryFinding::PutAside))
        .chain(foreign.map(of(RecoveryFinding::Foreign)))
        .chain(lost.map(of(RecoveryFinding::InstallLost)))
        .collect()
}

/// An error and its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    Failure::new(ErrorCode::Io, error).message
}

/// Games that have a folder here or documents in the state directory.
fn known_games(disk: &RealDisk, state: &StateDir) -> BTreeSet<GameId> {
    let folders = disk.list("").unwrap_or_default();
    let documents = state.disk().list("games").unwrap_or_default();
    folders
        .into_iter()
        .chain(documents)
        .filter_map(|listed| listed.name.to_str()?.parse().ok())
        .collect()
}
