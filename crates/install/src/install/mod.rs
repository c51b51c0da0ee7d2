//! The install transaction: a new version beside the old one, and then in its place.
//!
//! | step | what | after a crash here |
//! |---|---|---|
//! | I0 | recover; refuse what is not ours under reserved names; want the sentinel | unchanged |
//! | I1 | write the intent, durably | the intent goes |
//! | I2 | make `.local.installing` | it goes |
//! | I3 | the marker in it, **synced** | it goes |
//! | I4 | unpack, copy or receive into it, create-only | it goes |
//! | I5 | look at all of it; **sync its files, its folders, itself** | it goes |
//! | I6 | an update: rename `local` to `.local.backup`, sync the root, mark the backup | the backup comes back |
//! | I7 | rename `.local.installing` to `local`: the commit | the new version |
//! | I8 | **sync the root** | the new version |
//! | I9 | put the version on record; rename the backup to `.local.trash`, sync the root | the new version |
//! | I10 | delete the trash, its marker last | the new version |
//! | I11 | remove the marker from `local`, and the intent | the new version |
//!
//! I9 to I11 and every way back are `settle`, which is recovery: what fails there is left to it.

pub(crate) mod archives;
mod error;
mod payload;
mod plain;
mod publish;
mod staging;
mod verify;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lanspread_disk::{Disk, StateDir};
use lanspread_proto::{GameId, Version, limits::SENTINEL_BYTES_MAX};

use self::staging::{Work, explain_state};
pub use self::{
    archives::archives,
    error::{ContentFault, InstallError},
};
use crate::{
    installed,
    intent::Intent,
    marker::{self, Marker, RandomId, Role},
    recover::recover,
    root::{GameRoot, Slot},
    settle::{Names, settle},
    survey,
    unpack::{Totals, Unpacker},
};

/// What to install.
#[derive(Debug, Clone)]
pub struct InstallRequest {
    /// The game.
    pub game: GameId,
    /// Bytes to leave free on the disk; `None` for the larger of 1 % and 1 GiB.
    pub reserve_bytes: Option<u64>,
}

/// Where the bytes of an install come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstallSource {
    /// What is downloaded here: the sentinel says which version that is.
    Downloaded,
    /// Somebody else: no sentinel is needed, nor a game root.
    Streamed {
        /// What it is.
        version: Version,
    },
}

/// What a caller holds while an install runs.
#[derive(Clone)]
pub struct InstallControl {
    /// To be set to stop; the install is rolled back then, unless it is committed already.
    pub cancelled: Arc<AtomicBool>,
    /// Called from any thread, at every piece that was written: it must be cheap.
    pub progress: Arc<dyn Fn(InstallProgress) + Send + Sync>,
}

impl Default for InstallControl {
    fn default() -> Self {
        Self {
            cancelled: Arc::default(),
            progress: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for InstallControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstallControl")
            .field("cancelled", &self.cancelled)
            .finish_non_exhaustive()
    }
}

/// How far an install is. Totals are `None` while they are not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstallProgress {
    /// Bytes that are written.
    pub bytes_done: u64,
    /// Bytes that will be written.
    pub bytes_total: Option<u64>,
    /// Files that are complete.
    pub files_done: u64,
    /// Files that there will be.
    pub files_total: Option<u64>,
}

/// An install that is committed and durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// What is installed now.
    pub version: Version,
    /// What was installed before; `None` if nothing was, or it is not known what.
    pub replaced: Option<Version>,
    /// Whether anything was installed before.
    pub updated: bool,
    /// How many files are installed.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
}

/// Installs what is downloaded, over nothing or over what is installed: the archives of the game root
/// through `unpacker`, or, where it holds none, the payload itself, shared with the download where the
/// file system can, else copied.
///
/// # Errors
/// [`InstallError`]; what was installed before is as it was.
pub fn install<D: Disk>(
    disk: &Arc<D>,
    state: &Arc<StateDir<D>>,
    unpacker: &dyn Unpacker,
    request: &InstallRequest,
    control: &InstallControl,
) -> Result<Installed, InstallError> {
    let source = InstallSource::Downloaded;
    let transaction = InstallTransaction::begin(disk, state, request, source, control)?;
    match transaction.fill(unpacker) {
        Ok(()) => transaction.publish(),
        Err(error) => {
            transaction.settle_or_warn(Names::Doubtful);
            Err(error)
        }
    }
}

/// An install under way: a [`Staging`](crate::Staging) to be filled, and then published or discarded.
///
/// Dropping it leaves the staging folder to recovery, as a crash would.
#[must_use = "an install does nothing until its staging folder is filled and it is published"]
pub struct InstallTransaction<D: Disk> {
    disk: Arc<D>,
    state: Arc<StateDir<D>>,
    root: GameRoot,
    owner: RandomId,
    transaction: RandomId,
    intent: Intent,
    version: Version,
    replaced: Option<Version>,
    reserve_bytes: Option<u64>,
    control: InstallControl,
    totals: OnceLock<Totals>,
    bytes_done: AtomicU64,
    files_done: AtomicU64,
    work: Mutex<Work>,
}

impl<D: Disk> InstallTransaction<D> {
    /// Begins an install: recovers the game, writes the intent and makes the staging folder.
    ///
    /// # Errors
    /// [`InstallError`]; the game is as it was.
    pub fn begin(
        disk: &Arc<D>,
        state: &Arc<StateDir<D>>,
        request: &InstallRequest,
        source: InstallSource,
        control: &InstallControl,
    ) -> Result<Self, InstallError> {
        let root = GameRoot::new(request.game.clone());
        let recovered = recover(disk.as_ref(), state, &request.game)?;
        if let Some(path) = recovered.foreign.into_iter().next() {
            return Err(InstallError::Foreign { path });
        }
        let version = match source {
            InstallSource::Downloaded => downloaded_version(disk.as_ref(), &root)?,
            InstallSource::Streamed { version } => version,
        };
        let is_update = disk.stat(&root.local())?.is_some();
        let replaced = if is_update {
            installed::known_version(state, root.game())?
        } else {
            None
        };
        let transaction = RandomId::new();
        let intent = if is_update {
            Intent::Update {
                transaction: transaction.clone(),
                version: version.clone(),
                replaces: replaced.clone(),
            }
        } else {
            Intent::Install {
                transaction: transaction.clone(),
                version: version.clone(),
                root_created: disk.stat(root.path())?.is_none(),
            }
        };
        let install = Self {
            disk: Arc::clone(disk),
            state: Arc::clone(state),
            owner: marker::owner_or_new(state)
                .map_err(|error| explain_state(disk.as_ref(), &root, error))?,
            root,
            transaction,
            intent,
            version,
            replaced,
            reserve_bytes: request.reserve_bytes,
            control: control.clone(),
            totals: OnceLock::new(),
            bytes_done: AtomicU64::new(0),
            files_done: AtomicU64::new(0),
            work: Mutex::default(),
        };
        match install.make_staging() {
            Ok(()) => Ok(install),
            Err(error) => {
                install.settle_or_warn(Names::Doubtful);
                Err(error)
            }
        }
    }

    /// I1 to I3.
    fn make_staging(&self) -> Result<(), InstallError> {
        let path = Intent::path::<D>(self.root.game());
        self.state
            .write_document(&path, &self.intent)
            .map_err(|error| explain_state(self.disk.as_ref(), &self.root, error))?;
        let staging = self.root.slot(Slot::Installing);
        let make = || {
            if self.makes_root() {
                self.disk.create_folder(self.root.path())?;
            }
            self.disk.create_folder(&staging)?;
            marker::write(self.disk.as_ref(), &staging, &self.marker(Role::Staging))
        };
        Ok(make().map_err(|error| self.explain(error))?)
    }

    /// I4 for what is downloaded.
    fn fill(&self, unpacker: &dyn Unpacker) -> Result<(), InstallError> {
        let archives = archives::find(self.disk.as_ref(), &self.state, &self.root, &|archive| {
            unpacker.recognises(archive)
        })?;
        if archives.is_empty() {
            return self.copy_payload();
        }
        Ok(unpacker.unpack(&archives, self)?)
    }

    // # The ends

    /// Gives the install up: the staging folder goes, and the game is as it was.
    ///
    /// # Errors
    /// What the disk says; the rest is left to recovery.
    pub fn discard(self) -> Result<(), InstallError> {
        self.settle(Names::Doubtful)
    }

    /// Takes the first steps back, or takes the last ones; what fails is left to recovery.
    fn settle_or_warn(&self, names: Names) {
        if let Err(error) = self.settle(names) {
            tracing::warn!(game = %self.root.game(), %error, "left for recovery");
        }
    }

    fn settle(&self, names: Names) -> Result<(), InstallError> {
        let (disk, intent) = (self.disk.as_ref(), Some(&self.intent));
        settle(disk, &self.state, &self.root, intent, names)?;
        Ok(())
    }

    // # Inside

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cancelled(&self) -> bool {
        self.control.cancelled.load(Ordering::Relaxed)
    }

    const fn makes_root(&self) -> bool {
        matches!(
            self.intent,
            Intent::Install {
                root_created: true,
                ..
            }
        )
    }

    const fn is_update(&self) -> bool {
        matches!(self.intent, Intent::Update { .. })
    }

    fn marker(&self, role: Role) -> Marker {
        let version = match role {
            Role::Staging => Some(self.version.clone()),
            Role::Backup | Role::Trash => self.replaced.clone(),
        };
        Marker {
            owner: self.owner.clone(),
            transaction: self.transaction.clone(),
            role,
            version,
        }
    }
}

/// The version of a complete download.
fn downloaded_version<D: Disk>(disk: &D, root: &GameRoot) -> Result<Version, InstallError> {
    let path = || disk.shown(&root.sentinel());
    let not_downloaded = || InstallError::NotDownloaded {
        game: root.game().clone(),
    };
    match survey::sentinel(disk, root)? {
        Ok(true) => {}
        Ok(false) => return Err(not_downloaded()),
        Err(fault) => {
            return Err(InstallError::BadSentinel {
                path: path(),
                fault,
            });
        }
    }
    let content = disk
        .read_file(&root.sentinel(), SENTINEL_BYTES_MAX as u64)?
        .ok_or_else(not_downloaded)?;
    Version::from_sentinel(&content).map_err(|source| InstallError::BadVersion {
        path: path(),
        source,
    })
}
