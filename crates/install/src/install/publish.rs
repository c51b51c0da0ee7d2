//! I5 to I8: from a full staging folder to a durable `local/`.

use lanspread_disk::{Disk, DiskError};

use super::{InstallError, InstallTransaction, Installed, verify::Verified};
use crate::{marker::Role, root::Slot, settle::Names, slots};

impl<D: Disk> InstallTransaction<D> {
    /// Makes what is in the staging folder the installed game. When this returns, it is, durably.
    ///
    /// # Errors
    /// [`InstallError`]; the staging folder is gone then, and what was installed before is as it was.
    pub fn publish(self) -> Result<Installed, InstallError> {
        match self.try_publish() {
            Ok(installed) => {
                self.settle_or_warn(Names::Synced);
                Ok(installed)
            }
            Err(error) => {
                // Without a staging folder it is neither done nor taken back: nothing may be deleted
                // before the disk is well.
                if matches!(
                    self.disk.stat(&self.root.slot(Slot::Installing)),
                    Ok(Some(_))
                ) {
                    self.settle_or_warn(Names::Doubtful);
                }
                Err(error)
            }
        }
    }

    fn try_publish(&self) -> Result<Installed, InstallError> {
        self.check_cancelled()?;
        let verified = self.verify()?;
        self.make_durable(&verified)
            .map_err(|error| self.explain(error))?;
        self.check_cancelled()?;
        self.commit().map_err(|error| self.explain(error))?;
        Ok(Installed {
            version: self.version.clone(),
            replaced: self.replaced.clone(),
            updated: self.is_update(),
            files: verified.files,
            bytes: verified.bytes,
        })
    }

    /// The syncs of I5.
    fn make_durable(&self, verified: &Verified) -> Result<(), DiskError> {
        let paths: Vec<&str> = verified.paths.iter().map(String::as_str).collect();
        let folders: Vec<&str> = verified.folders.iter().map(String::as_str).collect();
        self.disk.sync_tree(&paths, &folders)?;
        if self.makes_root() {
            self.disk.sync_folder("")?;
        }
        Ok(())
    }

    /// I6 to I8.
    fn commit(&self) -> Result<(), DiskError> {
        let (disk, root) = (self.disk.as_ref(), &self.root);
        let (staging, local) = (root.slot(Slot::Installing), root.local());
        if self.is_update() {
            let backup = root.slot(Slot::Backup);
            disk.rename(&local, &backup)?;
            disk.sync_folder(root.path())?;
            slots::mark(disk, &backup, &self.marker(Role::Backup))?;
        }
        disk.rename(&staging, &local)?;
        disk.sync_folder(root.path()).inspect_err(|_| {
            // Not known to be durable, so the version before must not go.
            if let Err(error) = disk.rename(&local, &staging) {
                tracing::warn!(game = %root.game(), %error, "an install may be finished later");
            }
        })
    }
}
