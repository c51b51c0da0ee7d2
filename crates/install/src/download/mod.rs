//! The download transaction: the payload in place, and then the sentinel.
//!
//! | step | what | after a crash here |
//! |---|---|---|
//! | D0 | look at what is there, check the room, record what existed | unchanged |
//! | D1 | park the old sentinel | partial |
//! | D2 | **sync the game root** | partial |
//! | D3 | remove obsolete files, make folders; files at their first chunk, create-only | partial |
//! | D4 | write verified chunks | partial; what matches is kept |
//! | D5 | **sync every file of the payload** | complete, without a sentinel |
//! | D6 | **sync every folder of the payload**, deepest first | the same |
//! | D7 | save the manifest; write the sentinel under another name, **sync it** | the same |
//! | D8 | rename it: the commit | complete |
//! | D9 | **sync the game root**; remove the record | complete |
//! | D10 | remove the parked sentinel | complete, a leftover |
//!
//! D5 and D6 cover files and folders that were there already: an earlier process may have written
//! them and died before any sync.

mod begin;
mod discard;
mod files;
mod publish;
mod reconcile;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanspread_disk::{Disk, DiskFile, FileStamp, StateDir, StateError, StoredPayload};
use lanspread_proto::{ChunkIndex, ChunkMap, ChunkSet, GameId, Manifest, chunk};

pub use self::discard::discard_partial;
pub(crate) use self::discard::{remove_file_if_there, remove_folder_if_empty};
use self::files::{FileState, OpenFiles};
use crate::{error::DownloadError, record::DownloadRecord, room::room, root::GameRoot};

/// What to download, and over what.
#[derive(Debug, Clone)]
pub struct DownloadRequest {
    /// The game.
    pub game: GameId,
    /// What it shall become.
    pub payload: StoredPayload,
    /// What was complete here before, if that is known: its files that the new payload has not are
    /// removed. `None` for what was downloaded here last, if anything was.
    pub previous: Option<Arc<Manifest>>,
    /// Bytes to leave free on the disk; `None` for the larger of 1 % and 1 GiB.
    pub reserve_bytes: Option<u64>,
}

/// A download that is complete and durable.
#[derive(Debug, Clone)]
pub struct Published {
    /// What the game is now.
    pub payload: StoredPayload,
    /// The stamps of its files, in the manifest's order.
    pub stamps: Vec<FileStamp>,
}

/// A download under way. All calls block; chunks may be written by many threads.
///
/// Dropping it leaves a partial game, as a crash would.
#[must_use = "a download does nothing until chunks are written and it is published"]
pub struct DownloadTransaction<D: Disk> {
    disk: Arc<D>,
    state: Arc<StateDir<D>>,
    root: GameRoot,
    payload: StoredPayload,
    map: ChunkMap,
    reserve_bytes: Option<u64>,
    record: Mutex<DownloadRecord>,
    work: Mutex<Work>,
    open: OpenFiles<D::File>,
}

/// What changes while chunks arrive; the lock is never held across a disk operation.
struct Work {
    files: Vec<FileState>,
    /// Verified and on the disk.
    held: ChunkSet,
    /// Being written by some thread.
    claimed: ChunkSet,
}

impl<D: Disk> DownloadTransaction<D> {
    // # Looking

    /// What is being downloaded.
    pub const fn payload(&self) -> &StoredPayload {
        &self.payload
    }

    /// The map between its chunks and its files.
    pub const fn chunk_map(&self) -> &ChunkMap {
        &self.map
    }

    /// The chunks that are verified and written.
    pub fn held(&self) -> ChunkSet {
        self.work().held.clone()
    }

    // # Chunks

    /// Writes one chunk, if it has its hash. Writing a chunk that is there already does nothing.
    ///
    /// # Errors
    /// [`DownloadError::WrongBytes`] when it has another hash or length: nothing was written, ask
    /// another peer. Anything else is this machine's fault, and the download cannot go on.
    pub fn write_chunk(&self, chunk: ChunkIndex, data: &[u8]) -> Result<(), DownloadError> {
        let span = self.map.span(chunk);
        if self.work().held.contains(chunk) {
            return Ok(());
        }
        let is_whole = data.len() as u64 == u64::from(span.bytes);
        let expected = self.payload.chunk_hashes()[chunk.as_usize()];
        if !is_whole || chunk::chunk_hash(data, span.offset, span.sole) != expected {
            return Err(DownloadError::WrongBytes { chunk });
        }
        if !self.work().claimed.insert(chunk) {
            return Ok(());
        }
        let stored = self.with_file(span.file, |file| Ok(file.write_all_at(data, span.offset)?));
        let mut work = self.work();
        work.claimed.remove(chunk);
        if stored.is_ok() {
            work.held.insert(chunk);
        }
        drop(work);
        stored.map_err(|error| self.explain(error))
    }

    /// Reads a chunk that is held, to serve it while the rest is still arriving.
    ///
    /// # Errors
    /// [`DownloadError::Incomplete`] when it is not held, [`DownloadError::Changed`] when somebody
    /// cut the file.
    pub fn read_chunk(&self, chunk: ChunkIndex) -> Result<Vec<u8>, DownloadError> {
        if !self.work().held.contains(chunk) {
            return Err(DownloadError::Incomplete { missing_chunks: 1 });
        }
        let span = self.map.span(chunk);
        let path = self.file_path(span.file);
        let mut data = vec![0; span.bytes as usize];
        let file = self.disk.open_read(&path)?;
        if file.read_at(&mut data, span.offset)? < data.len() {
            return Err(DownloadError::Changed {
                path: self.disk.shown(&path),
            });
        }
        Ok(data)
    }

    // # The end that is not `publish`

    /// Stops here and keeps what is written, for a later download to go on from.
    pub fn suspend(self) {
        for leftover in [self.root.sentinel_tmp(), self.root.sentinel_discarded()] {
            match self.disk.remove_file(&leftover) {
                Err(error) if !error.is_not_found() => {
                    tracing::warn!(game = %self.root.game(), %error, "left for recovery");
                }
                _ => {}
            }
        }
    }

    // # Inside

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, DownloadRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file_path(&self, file: usize) -> String {
        self.root
            .payload(&self.payload.manifest().files()[file].path)
    }

    /// Turns "no space left" into how much is missing.
    fn explain(&self, error: DownloadError) -> DownloadError {
        let source = match error {
            DownloadError::Disk(error) | DownloadError::State(StateError::Disk(error))
                if error.is_out_of_space() =>
            {
                error
            }
            other => return other,
        };
        let missing = {
            let work = self.work();
            work.held
                .missing()
                .map(|chunk| u64::from(self.map.chunk_bytes(chunk)))
                .sum()
        };
        let missing_bytes = match room(self.disk.as_ref(), self.reserve_bytes) {
            Ok(Some(room)) => room.missing_bytes(missing),
            _ => missing,
        };
        let path = self.disk.shown(self.root.path());
        // The disk said it is full, whatever it tells of its room.
        let missing_bytes = missing_bytes.max(1);
        DownloadError::DiskFull {
            path,
            missing_bytes,
            source: Some(source),
        }
    }
}
