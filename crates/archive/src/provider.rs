//! The same archives, expanded for a receiver instead of into a staging folder.

use lanspread_install::{
    ArchiveFile, StagingError, StreamInstallFrameSink, StreamInstallProvider, Totals, UnpackError,
    Unpacker,
};

use crate::{
    sink::{EntryKind, EntryMeta, EntrySink},
    unpacker::ArchiveUnpacker,
    walk::walk,
};

impl StreamInstallProvider for ArchiveUnpacker {
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError> {
        Unpacker::recognises(self, archive)
    }

    fn expand(
        &self,
        archives: &[ArchiveFile],
        sink: &mut StreamInstallFrameSink,
    ) -> Result<(), UnpackError> {
        let cancelled = sink.cancelled();
        walk(archives, self.limits(), &cancelled, &mut FrameSink(sink))
    }
}

/// Frames of what a walk yields.
struct FrameSink<'a>(&'a mut StreamInstallFrameSink);

impl EntrySink for FrameSink<'_> {
    fn expect(&mut self, totals: Totals) -> Result<(), StagingError> {
        self.0.begin(totals)
    }

    fn begin(&mut self, entry: &EntryMeta) -> Result<(), StagingError> {
        match entry.kind {
            EntryKind::Folder => self.0.directory(&entry.path),
            EntryKind::File { bytes, executable } => self.0.file(&entry.path, bytes, executable),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), StagingError> {
        self.0.data(bytes)
    }

    fn end(&mut self) -> Result<(), StagingError> {
        self.0.file_end()
    }
}
