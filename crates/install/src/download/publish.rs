//! D5 to D10: from a complete payload to a durable sentinel.

use lanspread_disk::{Disk, DiskError, DiskFile, FileMode, FileStamp};

use super::{DownloadTransaction, Published, begin::folders_to_sync, discard, files::FileState};
use crate::{error::DownloadError, record::DownloadRecord, survey::Survey};

impl<D: Disk> DownloadTransaction<D> {
    /// Makes the download the game: everything durable, then the sentinel. When this returns, the
    /// game may be announced.
    ///
    /// # Errors
    /// [`DownloadError::Incomplete`] when chunks are missing, [`DownloadError::Changed`] when files
    /// were changed by others. After any error the game is partial.
    pub fn publish(self) -> Result<Published, DownloadError> {
        let missing_chunks = self.map.count() - self.work().held.len();
        if missing_chunks > 0 {
            return Err(DownloadError::Incomplete { missing_chunks });
        }
        let stamps = self
            .make_durable()
            .and_then(|stamps| self.commit().map(|()| stamps))
            .map_err(|error| self.explain(error))?;
        if let Err(error) = self.tidy_up() {
            tracing::warn!(game = %self.root.game(), %error, "left for recovery");
        }
        Ok(Published {
            payload: self.payload,
            stamps,
        })
    }

    /// D5 and D6.
    fn make_durable(&self) -> Result<Vec<FileStamp>, DownloadError> {
        let disk = self.disk.as_ref();
        self.finish_files()?;
        let paths: Vec<String> = (0..self.map.file_count())
            .map(|file| self.file_path(file))
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        disk.sync_files(&paths)
            .map_err(|error| self.distrust(error))?;
        for folder in folders_to_sync(&self.root, self.payload.manifest()) {
            disk.sync_folder(&folder)
                .map_err(|error| self.distrust(error))?;
        }
        self.stamps()
    }

    /// Makes the files that no chunk made, and sets the executable bits of those that were there.
    fn finish_files(&self) -> Result<(), DownloadError> {
        for (file, entry) in self.payload.manifest().files().iter().enumerate() {
            let state = self.work().files[file];
            let is_done = match state {
                FileState::Ready => true,
                FileState::Absent => false,
                FileState::Found { size, .. } => size == entry.size,
            };
            if !is_done {
                self.with_file(file, |_| Ok(()))?;
            }
            if let FileState::Found { executable, .. } = state
                && executable != entry.executable
            {
                self.disk
                    .set_executable(&self.file_path(file), entry.executable)?;
            }
        }
        Ok(())
    }

    /// The files as they lie there now, each of its size.
    fn stamps(&self) -> Result<Vec<FileStamp>, DownloadError> {
        let files = self.payload.manifest().files();
        let survey = Survey::take(self.disk.as_ref(), &self.root, self.payload.manifest())?;
        let stamped = files.iter().zip(&survey.files).map(|(entry, found)| {
            found
                .map(|found| found.stamp)
                .filter(|stamp| stamp.size == entry.size)
                .ok_or_else(|| {
                    let path = self.disk.shown(&self.root.payload(&entry.path));
                    DownloadError::Changed { path }
                })
        });
        stamped.collect()
    }

    /// D7 to D9.
    fn commit(&self) -> Result<(), DownloadError> {
        let disk = self.disk.as_ref();
        self.state.save_payload(self.root.game(), &self.payload)?;
        let temporary = self.root.sentinel_tmp();
        discard::remove_file_if_there(disk, &temporary)?;
        let file = disk.create_new(&temporary, FileMode::Plain)?;
        file.write_all_at(self.payload.manifest().sentinel(), 0)?;
        file.sync()?;
        drop(file);
        disk.rename(&temporary, &self.root.sentinel())?;
        disk.sync_folder(self.root.path()).inspect_err(|_| {
            // Not known to be durable, and never will be: it must not be taken for a commit.
            if let Err(error) = disk.remove_file(&self.root.sentinel()) {
                tracing::warn!(game = %self.root.game(), %error, "a doubtful sentinel stays");
            }
        })?;
        Ok(())
    }

    /// D9 and D10, after the commit: what fails here is finished by recovery.
    fn tidy_up(&self) -> Result<(), DiskError> {
        DownloadRecord::remove(&self.state, self.root.game())?;
        discard::remove_file_if_there(self.disk.as_ref(), &self.root.sentinel_discarded())
    }

    /// The kernel tells of a failed sync once. What was written is bad from now on, also for the next
    /// process, which would read it back from memory and find nothing wrong.
    fn distrust(&self, error: DiskError) -> DiskError {
        let mut record = self.record();
        record.suspect = true;
        if let Err(error) = record.save(&self.state, self.root.game()) {
            tracing::warn!(game = %self.root.game(), %error, "a failed sync could not be recorded");
        }
        error
    }
}
