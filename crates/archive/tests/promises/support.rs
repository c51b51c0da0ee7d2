//! Archives in memory, and what becomes of them.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lanspread_archive::{ArchiveLimits, ArchiveUnpacker};
use lanspread_install::{
    ArchiveFile, StagedFile, Staging, StagingError, Totals, UnpackError, Unpacker,
};
use lanspread_proto::GamePath;
use lanspread_testkit::{
    MemoryStaging, archive_in_memory,
    archives::{Blob, Entry, Form},
};

/// What came out of archives: files with their contents, by path.
pub(crate) type Files = Vec<(String, String)>;

/// An archive of these entries.
pub(crate) fn packed(form: Form, entries: &[Entry]) -> ArchiveFile {
    in_memory("game.eti", &form.pack(entries).unwrap())
}

pub(crate) fn in_memory(name: &str, archive: &Blob) -> ArchiveFile {
    archive_in_memory(name, archive.to_vec())
}

/// Unpacks one archive.
pub(crate) fn unpack(archive: &Blob) -> Result<Files, UnpackError> {
    unpack_all(&[in_memory("game.eti", archive)])
}

/// Unpacks several archives into one place.
pub(crate) fn unpack_all(archives: &[ArchiveFile]) -> Result<Files, UnpackError> {
    let staging = MemoryStaging::new();
    ArchiveUnpacker::default().unpack(archives, &staging)?;
    let files = staging.files().into_iter();
    Ok(files
        .map(|(path, file)| {
            assert!(file.finished, "{path}");
            (path, String::from_utf8_lossy(&file.bytes).into_owned())
        })
        .collect())
}

pub(crate) fn files(expected: &[(&str, &str)]) -> Files {
    let owned = |(path, content): &(&str, &str)| ((*path).to_owned(), (*content).to_owned());
    expected.iter().map(owned).collect()
}

/// No limit on what a small archive unpacks to.
pub(crate) fn any_ratio() -> ArchiveLimits {
    ArchiveLimits {
        ratio: u64::MAX,
        ..ArchiveLimits::default()
    }
}

/// A staging folder that keeps nothing, and has somebody cancel after so many bytes.
pub(crate) struct Nowhere {
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) bytes: AtomicU64,
    cancel_at: u64,
}

impl Nowhere {
    pub(crate) fn cancelling_at(bytes: u64) -> Self {
        Self {
            cancelled: Arc::default(),
            bytes: AtomicU64::new(0),
            cancel_at: bytes,
        }
    }
}

impl Staging for Nowhere {
    fn path(&self) -> PathBuf {
        PathBuf::new()
    }

    fn cancelled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    fn expect(&self, _totals: Totals) -> Result<(), StagingError> {
        Ok(())
    }

    fn create_folder(&self, _path: &GamePath) -> Result<(), StagingError> {
        Ok(())
    }

    fn create_file(
        &self,
        _path: &GamePath,
        _executable: bool,
    ) -> Result<Box<dyn StagedFile + '_>, StagingError> {
        Ok(Box::new(NowhereFile(self)))
    }
}

struct NowhereFile<'a>(&'a Nowhere);

impl StagedFile for NowhereFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StagingError> {
        let before = self
            .0
            .bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if before + bytes.len() as u64 >= self.0.cancel_at {
            self.0.cancelled.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StagingError> {
        Ok(())
    }
}
