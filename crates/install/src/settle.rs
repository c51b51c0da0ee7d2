//! Where an install, an update or an uninstall ends, however it got there: what the names of the
//! reserved folders say is carried out. The transactions take their last steps by it, take back what
//! failed by it, and [`crate::recover`] does after a crash what they would have done.

use lanspread_disk::{Disk, DiskError, StateDir, StateError};
use lanspread_proto::Version;

use crate::{
    download::remove_folder_if_empty,
    installed,
    intent::Intent,
    marker::{self, Marker, Role},
    root::{GameRoot, Slot},
    slots::{self, Found, Local, Slots},
};

/// What became of an install, an update or an uninstall that was under way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveredInstall {
    /// None was, or it had changed nothing yet.
    Untouched,
    /// The new version is installed.
    Committed {
        /// Which it is, if that is known.
        version: Option<Version>,
    },
    /// The game is as it was before.
    TakenBack,
    /// What was left of an earlier version, or of an uninstalled one, is deleted.
    Swept,
    /// The game is uninstalled.
    Uninstalled,
    /// An update was under way, and there is neither the old version nor the new one: somebody else
    /// took them away.
    Lost,
}

/// What was done, and what is not ours.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) install: RecoveredInstall,
    /// Relative to the game directory.
    pub(crate) foreign: Vec<String>,
}

/// Whether the names in the game root are known to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// They were just synced.
    Synced,
    /// Whoever renamed the folders may have died before a sync.
    Doubtful,
}

/// Settles a game root, and clears the intent unless it is a removal's. Run twice it changes nothing
/// the second time; it may be interrupted anywhere.
pub(crate) fn settle<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    root: &GameRoot,
    intent: Option<&Intent>,
    names: Names,
) -> Result<Settled, StateError> {
    let slots = Slots::look(disk, state, root, intent)?;
    let foreign = slots.foreign(root);
    let intent = intent.filter(|intent| intent.transaction().is_some());
    if intent.is_none() && slots.are_quiet() {
        let install = RecoveredInstall::Untouched;
        return Ok(Settled { install, foreign });
    }
    if slots.root && names == Names::Doubtful {
        disk.sync_folder(root.path())?;
    }
    let settling = Settling {
        disk,
        state,
        root,
        intent,
        slots,
    };
    let install = settling.run()?;
    if intent.is_some() {
        state.remove(&Intent::path::<D>(root.game()))?;
    }
    Ok(Settled { install, foreign })
}

struct Settling<'a, D: Disk> {
    disk: &'a D,
    state: &'a StateDir<D>,
    root: &'a GameRoot,
    /// Never that of a removal.
    intent: Option<&'a Intent>,
    slots: Slots,
}

impl<D: Disk> Settling<'_, D> {
    fn run(mut self) -> Result<RecoveredInstall, StateError> {
        let restored = self.restore()?;
        let committed = self.record_commit()?;
        let swept = self.sweep()?;
        self.strip_marker()?;
        let is_there = self.slots.local != Local::Absent;
        match self.intent {
            Some(Intent::Uninstall { .. } | Intent::Update { .. }) if !is_there => {
                installed::forget(self.state, self.root.game())?;
            }
            Some(Intent::Install { root_created, .. }) if *root_created && !is_there => {
                remove_folder_if_empty(self.disk, self.root.path())?;
                self.disk.sync_folder("")?;
            }
            _ => {}
        }
        Ok(match (committed, self.intent) {
            (Some(committed), _) => committed,
            (None, Some(Intent::Update { .. })) if !is_there => RecoveredInstall::Lost,
            (None, Some(Intent::Uninstall { .. })) if !is_there => RecoveredInstall::Uninstalled,
            _ if restored || swept.staging => RecoveredInstall::TakenBack,
            _ if swept.old => RecoveredInstall::Swept,
            _ => RecoveredInstall::Untouched,
        })
    }

    /// Without an installed game the one before comes back. It keeps its marker until that is
    /// durable: from then on the name says what it is.
    fn restore(&mut self) -> Result<bool, DiskError> {
        if self.slots.local != Local::Absent {
            return Ok(false);
        }
        let Found::Ours(marker) = &self.slots.backup else {
            return Ok(false);
        };
        let (backup, local) = (self.root.slot(Slot::Backup), self.root.local());
        if marker.is_none() {
            // The intent proves whose it is; half a marker would be seen in `local/`.
            marker::remove(self.disk, &backup)?;
            self.disk.sync_folder(&backup)?;
        }
        self.disk.rename(&backup, &local)?;
        self.disk.sync_folder(self.root.path())?;
        self.slots.local = Local::Folder(marker.clone());
        self.slots.backup = Found::Absent;
        Ok(true)
    }

    /// A `local/` with the marker of a staging folder is a version that was just committed. The
    /// version is on record before anything that tells of it goes.
    fn record_commit(&self) -> Result<Option<RecoveredInstall>, StateError> {
        match &self.slots.local {
            Local::Folder(Some(marker)) if marker.role == Role::Staging => {
                installed::record(self.state, self.root.game(), marker.version.clone())?;
                let version = marker.version.clone();
                Ok(Some(RecoveredInstall::Committed { version }))
            }
            _ => Ok(None),
        }
    }

    /// Deletes what is ours and is not `local/`, durably.
    fn sweep(&mut self) -> Result<Swept, StateError> {
        let mut swept = Swept::default();
        if let Found::Ours(marker) = &self.slots.installing {
            self.throw_away(Slot::Installing, marker.as_ref())?;
            swept.staging = true;
        }
        if let Found::Ours(marker) = &self.slots.trash {
            self.throw_away(Slot::Trash, marker.as_ref())?;
            swept.old = true;
        }
        if let Found::Ours(marker) = &self.slots.backup {
            // Still there, so something is at `local`.
            let is_free = !matches!(self.slots.trash, Found::Foreign);
            if is_free && self.slots.local != Local::Other {
                if swept.old {
                    self.disk.sync_folder(self.root.path())?;
                }
                let (backup, trash) = (self.root.slot(Slot::Backup), self.root.slot(Slot::Trash));
                self.disk.rename(&backup, &trash)?;
                self.disk.sync_folder(self.root.path())?;
                self.throw_away(Slot::Trash, marker.as_ref())?;
                swept.old = true;
            } else if marker.is_none() {
                self.keep(Slot::Backup)?;
            }
        }
        if swept.staging || swept.old {
            // What was deleted must not come back once nothing tells that it was ours.
            self.disk.sync_folder(self.root.path())?;
        }
        Ok(swept)
    }

    fn throw_away(&self, slot: Slot, marked: Option<&Marker>) -> Result<(), StateError> {
        let role = match slot {
            Slot::Installing => Role::Staging,
            Slot::Backup => Role::Backup,
            Slot::Trash => Role::Trash,
        };
        slots::throw_away(self.disk, self.root, slot, marked, || {
            slots::marker_by(self.state, self.intent, role)
        })
    }

    /// A folder of ours that cannot be dealt with now is known as ours when the intent is gone.
    fn keep(&self, slot: Slot) -> Result<(), StateError> {
        if let Some(marker) = slots::marker_by(self.state, self.intent, Role::Backup)? {
            slots::mark(self.disk, &self.root.slot(slot), &marker)?;
        }
        Ok(())
    }

    fn strip_marker(&self) -> Result<(), DiskError> {
        if !matches!(self.slots.local, Local::Folder(Some(_))) {
            return Ok(());
        }
        let local = self.root.local();
        marker::remove(self.disk, &local)?;
        self.disk.sync_folder(&local)
    }
}

/// Which kinds of folders were deleted.
#[derive(Default)]
struct Swept {
    staging: bool,
    old: bool,
}
