//! One folder of the game directory, without its payload.

use std::sync::Arc;

use lanspread_disk::{
    DOWNLOAD_NAME, Disk, FileStamp, INSTALLED_NAME, Kind, RealDisk, StateDir, StateDocument,
};
use lanspread_proto::{
    GameId, Version, limits,
    names::{LOCAL_NAME, SENTINEL_NAME},
};
use serde::{Deserialize, Serialize};

use crate::refusal::{Refusal, RefusalReason};

/// What a folder says about itself.
#[derive(Debug, Clone)]
pub struct FolderScan {
    /// The sentinel.
    pub sentinel: SentinelScan,
    /// Whether `local/` is a directory.
    pub installed: bool,
    /// Which version `local/` was installed from, if that was recorded.
    pub installed_version: Option<Version>,
    /// Whether a download began here and has not finished.
    pub partial: bool,
}

/// What stands under the name `version.ini`.
#[derive(Debug, Clone)]
pub enum SentinelScan {
    /// Nothing: the game is not downloaded.
    Absent,
    /// A sentinel.
    Valid(Sentinel),
    /// Something that is no sentinel, or a folder that cannot be looked into.
    Refused(Arc<Refusal>),
}

/// A sentinel that names a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinel {
    /// Its first line.
    pub version: Version,
    /// Its whole content.
    pub content: Arc<[u8]>,
    /// How it was when it was read.
    pub stamp: FileStamp,
}

/// What the state directory says about an installed game. Only the version matters here.
#[derive(Serialize, Deserialize)]
struct InstalledRecord {
    #[serde(default)]
    version: Option<Version>,
}

impl StateDocument for InstalledRecord {
    const FORMAT: u32 = 1;
}

/// Looks at one folder. `None` if nothing of the game is here: no sentinel, no `local/`, no download begun.
pub(crate) fn scan_folder(
    game_dir: &RealDisk,
    state: &StateDir,
    id: &GameId,
) -> Option<FolderScan> {
    let refused = |reason| SentinelScan::Refused(Arc::new(Refusal::new(id, reason)));
    let root = match game_dir.folder(id.as_str()) {
        Ok(root) => Some(root),
        Err(error) if error.is_not_found() || error.is_wrong_kind() => None,
        Err(error) => {
            let sentinel = refused(RefusalReason::Unreadable(error));
            return Some(FolderScan {
                sentinel,
                installed: false,
                installed_version: None,
                partial: false,
            });
        }
    };
    let sentinel = match root.as_ref().map(read_sentinel) {
        None | Some(Ok(None)) => SentinelScan::Absent,
        Some(Ok(Some(sentinel))) => SentinelScan::Valid(sentinel),
        Some(Err(reason)) => refused(reason),
    };
    let local = root.and_then(|root| root.stat(LOCAL_NAME).ok().flatten());
    let installed = local.is_some_and(|entry| entry.kind == Kind::Folder);
    let installed_version = if installed {
        read_installed_version(state, id)
    } else {
        None
    };
    let absent = matches!(sentinel, SentinelScan::Absent);
    let partial = absent && {
        let download = StateDir::<RealDisk>::game_path(id, DOWNLOAD_NAME);
        state
            .disk()
            .stat(&download)
            .is_ok_and(|entry| entry.is_some())
    };
    (!absent || installed || partial).then_some(FolderScan {
        sentinel,
        installed,
        installed_version,
        partial,
    })
}

fn read_sentinel<D: Disk>(root: &D) -> Result<Option<Sentinel>, RefusalReason> {
    let entry = root
        .stat(SENTINEL_NAME)
        .map_err(RefusalReason::Unreadable)?;
    let Some(entry) = entry else { return Ok(None) };
    if let Some(found) = unlike_a_file(entry.kind) {
        return Err(RefusalReason::SentinelKind { found });
    }
    let limit = limits::SENTINEL_BYTES_MAX;
    if entry.stamp.size > limit as u64 {
        return Err(RefusalReason::SentinelTooLong { limit });
    }
    let content = root
        .read_file(SENTINEL_NAME, limit as u64)
        .map_err(RefusalReason::Unreadable)?;
    let Some(content) = content else {
        return Ok(None);
    };
    let version = Version::from_sentinel(&content).map_err(RefusalReason::SentinelVersion)?;
    Ok(Some(Sentinel {
        version,
        content: content.into(),
        stamp: entry.stamp,
    }))
}

/// What to call something that is not a regular file; `None` for one that is.
pub(super) fn unlike_a_file(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::File => None,
        Kind::Folder => Some("a folder"),
        Kind::Link => Some("a link"),
        Kind::Other => Some("a device or pipe"),
    }
}

fn read_installed_version(state: &StateDir, id: &GameId) -> Option<Version> {
    let path = StateDir::<RealDisk>::game_path(id, INSTALLED_NAME);
    match state.read_document::<InstalledRecord>(&path) {
        Ok(record) => record?.version,
        Err(error) => {
            tracing::warn!(%error, "the installed version is unknown");
            None
        }
    }
}
