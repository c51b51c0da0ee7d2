//! What is there already: every chunk on the disk that has its hash need not be fetched.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use lanspread_disk::{Disk, hash_chunk_at, piece_buffer};
use lanspread_proto::{CHUNK_BYTES, ChunkIndex, ChunkSet};

use super::{DownloadTransaction, files::FileState};
use crate::error::DownloadError;

/// Chunks of one file that a thread hashes before it takes other work, so that one large file keeps
/// all of them busy.
const UNIT_CHUNKS: u32 = 64;

/// Threads beyond this only make the disk seek.
const THREADS_MAX: usize = 8;

/// Neighbouring chunks of one file that was there.
struct Unit {
    file: usize,
    first: u32,
    end: u32,
    /// The file's size on the disk.
    size: u64,
}

impl<D: Disk> DownloadTransaction<D> {
    /// The bytes that [`Self::reconcile`] has to read.
    pub fn reconcile_bytes(&self) -> u64 {
        let files = self.work().files.clone();
        let sizes = files.iter().zip(self.payload.manifest().files());
        sizes
            .map(|(state, entry)| match state {
                FileState::Found { size, .. } => entry.size.min(*size),
                FileState::Absent | FileState::Ready => 0,
            })
            .sum()
    }

    /// Hashes what is there, several threads at once, and returns the chunks that need not be
    /// fetched. Files of the right content but a wrong length get theirs. `progress` is told the
    /// bytes of each chunk that was read; once `cancel` is true, the threads stop at the next one.
    ///
    /// # Errors
    /// [`DownloadError::Cancelled`], or what the disk says.
    pub fn reconcile(
        &self,
        cancel: &AtomicBool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<ChunkSet, DownloadError> {
        let units = self.units();
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<DownloadError>> = Mutex::default();
        let stop = AtomicBool::new(false);
        let work = || {
            while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                let stopped = || cancel.load(Ordering::Relaxed) || stop.load(Ordering::Relaxed);
                if let Err(error) = self.hash_unit(unit, &stopped, progress) {
                    stop.store(true, Ordering::Relaxed);
                    failed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(error);
                    return;
                }
            }
        };
        match threads.min(THREADS_MAX).min(units.len()) {
            0 | 1 => work(),
            threads => thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(work);
                }
            }),
        }
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        self.fit_found_files()
            .map_err(|error| self.explain(error))?;
        Ok(self.held())
    }

    fn units(&self) -> Vec<Unit> {
        let files = self.work().files.clone();
        let mut units = Vec::new();
        for (file, state) in files.into_iter().enumerate() {
            let FileState::Found { size, .. } = state else {
                continue;
            };
            let chunks = self.map.chunks_of(file);
            let mut first = chunks.start;
            while first < chunks.end {
                let end = chunks.end.min(first + UNIT_CHUNKS);
                units.push(Unit {
                    file,
                    first,
                    end,
                    size,
                });
                first = end;
            }
        }
        units
    }

    fn hash_unit(
        &self,
        unit: &Unit,
        stopped: &dyn Fn() -> bool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), DownloadError> {
        let file_bytes = self.map.file_bytes(unit.file);
        let file = self.disk.open_read(&self.file_path(unit.file))?;
        let mut buffer = piece_buffer(file_bytes);
        let mut matching: Vec<ChunkIndex> = Vec::new();
        for chunk in (unit.first..unit.end).filter_map(|raw| self.map.check(raw)) {
            if stopped() {
                return Err(DownloadError::Cancelled);
            }
            let offset = self.map.span(chunk).offset;
            if offset >= unit.size {
                break;
            }
            let found = hash_chunk_at(&file, offset, file_bytes, &mut buffer)?;
            if found == Some(self.payload.chunk_hashes()[chunk.as_usize()]) {
                matching.push(chunk);
            }
            progress(CHUNK_BYTES.min(unit.size.min(file_bytes) - offset));
        }
        let mut work = self.work();
        for chunk in matching {
            work.held.insert(chunk);
        }
        Ok(())
    }

    /// Notes which files that were there will be written to, and cuts those that only are too long.
    fn fit_found_files(&self) -> Result<(), DownloadError> {
        let mut wanting = Vec::new();
        let mut too_long = Vec::new();
        {
            let work = self.work();
            for (file, state) in work.files.iter().enumerate() {
                let FileState::Found { size, .. } = *state else {
                    continue;
                };
                let mut chunks = self
                    .map
                    .chunks_of(file)
                    .filter_map(|raw| self.map.check(raw));
                if !chunks.all(|chunk| work.held.contains(chunk)) {
                    wanting.push(file);
                } else if size != self.map.file_bytes(file) {
                    too_long.push(file);
                }
            }
        }
        self.note_rewritten(&[wanting, too_long.clone()].concat())?;
        // Opening it for writing is what gives it its length.
        too_long
            .into_iter()
            .try_for_each(|file| self.with_file(file, |_| Ok(())))
    }
}
