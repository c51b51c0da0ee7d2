//! [`ArchiveUnpacker`]: archives into the staging folder of an install.

use lanspread_install::{
    ArchiveFile, StagedFile, Staging, StagingError, Totals, UnpackError, Unpacker,
};

use crate::{
    format::Format,
    input::{Input, Watch},
    limits::ArchiveLimits,
    sink::{EntryKind, EntryMeta, EntrySink},
    walk::walk_by,
};

/// Unpacks every format of this crate into a [`Staging`]. One object serves many installs at once.
#[derive(Debug, Clone, Default)]
pub struct ArchiveUnpacker {
    limits: ArchiveLimits,
}

impl ArchiveUnpacker {
    /// An unpacker with limits of its own.
    pub const fn new(limits: ArchiveLimits) -> Self {
        Self { limits }
    }

    pub(crate) const fn limits(&self) -> &ArchiveLimits {
        &self.limits
    }
}

impl Unpacker for ArchiveUnpacker {
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError> {
        let watch = Watch::new(std::sync::Arc::default());
        Format::detect(Input::new(archive, &watch), &self.limits)
            .map(|format| format.is_some())
            .map_err(|problem| problem.of(archive, None))
    }

    fn unpack(&self, archives: &[ArchiveFile], staging: &dyn Staging) -> Result<(), UnpackError> {
        let mut sink = StagingSink {
            staging,
            file: None,
        };
        let cancelled = staging.cancelled();
        walk_by(
            archives,
            &self.limits,
            &cancelled,
            &mut sink,
            |driver, guard| {
                if let Some(zip) = driver.as_zip() {
                    return zip.unpack_in_parallel(guard, staging);
                }
                driver
                    .walk(guard)
                    .map_err(|problem| (problem, guard.entry()))
            },
        )
    }
}

/// Writes what a walk yields.
struct StagingSink<'a> {
    staging: &'a dyn Staging,
    file: Option<Box<dyn StagedFile + 'a>>,
}

impl EntrySink for StagingSink<'_> {
    fn expect(&mut self, totals: Totals) -> Result<(), StagingError> {
        self.staging.expect(totals)
    }

    fn begin(&mut self, entry: &EntryMeta) -> Result<(), StagingError> {
        match entry.kind {
            EntryKind::Folder => self.staging.create_folder(&entry.path),
            EntryKind::File { executable, .. } => {
                self.file = Some(self.staging.create_file(&entry.path, executable)?);
                Ok(())
            }
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), StagingError> {
        self.file.as_mut().map_or(Ok(()), |file| file.write(bytes))
    }

    fn end(&mut self) -> Result<(), StagingError> {
        self.file.take().map_or(Ok(()), StagedFile::finish)
    }
}
