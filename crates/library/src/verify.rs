//! Reading every byte of a downloaded game again, whatever its stamps say.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use lanspread_disk::{Disk, DiskError, Kind, RealDisk};
use lanspread_proto::{ChunkIndex, GameId, GamePath, ManifestId};

use crate::{
    Library,
    hash::{FileToHash, PieceError, hash_piece},
    payload::LocalPayload,
};

/// Chunks that a thread verifies at a time.
const PIECE_CHUNKS_MAX: u32 = 32;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The payload that was compared with.
    pub manifest: ManifestId,
    /// Bytes of that payload.
    pub bytes: u64,
    /// Files that are there with wrong content, sorted by path.
    pub bad: Vec<BadFile>,
    /// Files and empty folders that are not there, or are something else, sorted by path.
    pub missing: Vec<GamePath>,
}

/// A file with wrong content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// Where it is.
    pub path: GamePath,
    /// Which chunks of the payload are wrong in it. All of a file whose size is wrong; an empty file has none.
    pub chunks: Vec<ChunkIndex>,
}

/// Why a game could not be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is nothing to compare with.
    #[error("{game} is not downloaded")]
    NotDownloaded {
        /// The game.
        game: GameId,
    },
    /// A file was written while it was read.
    #[error("{path} of {game} changed while it was verified")]
    Changed {
        /// The game.
        game: GameId,
        /// The file.
        path: GamePath,
    },
    /// The disk does not give a file.
    #[error("could not verify {game}")]
    Disk {
        /// The game.
        game: GameId,
        /// What the disk said.
        #[source]
        source: DiskError,
    },
    /// The caller asked to stop.
    #[error("verification was cancelled")]
    Cancelled,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.bad.is_empty() && self.missing.is_empty()
    }
}

/// One file as it is on disk, and its place in the manifest.
struct Candidate {
    at: usize,
    file: FileToHash,
}

/// What the threads share.
struct Job<'a> {
    game: &'a GameId,
    payload: &'a LocalPayload,
    root: RealDisk,
    candidates: Vec<Candidate>,
    /// Pieces, each as a candidate and a range of the payload's chunks.
    pieces: Vec<(usize, Range<u32>)>,
    next: AtomicU64,
    bytes_done: AtomicU64,
    wrong: Mutex<Vec<(usize, u32)>>,
    cancel: &'a AtomicBool,
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl Library {
    /// Compares every byte of a game with the payload that was last complete here. Blocking, on as many threads
    /// as hashing has. `progress` is told the bytes done and the bytes of the payload, from any thread. What is
    /// found wrong is not announced any more.
    ///
    /// # Errors
    /// [`VerifyError`]; `cancel` stops before the next chunk.
    pub fn verify(
        &self,
        game: &GameId,
        cancel: &AtomicBool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<VerifyReport, VerifyError> {
        let not_downloaded = || VerifyError::NotDownloaded { game: game.clone() };
        let disk = |source| VerifyError::Disk {
            game: game.clone(),
            source,
        };
        let payload = self.payload_of(game).ok_or_else(not_downloaded)?;
        let root = self
            .shared
            .config
            .game_dir
            .folder(game.as_str())
            .map_err(disk)?;
        let mut report = VerifyReport {
            manifest: payload.id(),
            bytes: payload.manifest().bytes(),
            bad: Vec::new(),
            missing: Vec::new(),
        };
        let candidates = look(&root, &payload, &mut report).map_err(disk)?;
        let pieces = pieces(&payload, &candidates);
        let job = Job {
            game,
            payload: &payload,
            root,
            candidates,
            pieces,
            next: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            wrong: Mutex::default(),
            cancel,
            progress,
        };
        job.run(self.shared.config.hash_threads.get())?;
        job.report_wrong(&mut report);
        if !report.is_whole() {
            let bad: Vec<_> = report.bad.iter().map(|bad| bad.path.clone()).collect();
            self.doubt(game, &bad);
        }
        Ok(report)
    }
}

/// Sorts out what is missing or has a wrong size; the others' content has to be read.
fn look(
    root: &RealDisk,
    payload: &LocalPayload,
    report: &mut VerifyReport,
) -> Result<Vec<Candidate>, DiskError> {
    let mut candidates = Vec::new();
    for (at, expected) in payload.manifest().files().iter().enumerate() {
        let entry = root.stat(expected.path.as_str())?;
        match entry.filter(|entry| entry.kind == Kind::File) {
            None => report.missing.push(expected.path.clone()),
            Some(entry) if entry.stamp.size != expected.size => {
                let chunks = payload.map().chunks_of(at);
                let chunks = chunks.filter_map(|raw| payload.map().check(raw)).collect();
                report.bad.push(BadFile {
                    path: expected.path.clone(),
                    chunks,
                });
            }
            Some(entry) => {
                let file = FileToHash {
                    path: expected.path.clone(),
                    stamp: entry.stamp,
                    doubts: 0,
                };
                candidates.push(Candidate { at, file });
            }
        }
    }
    for path in payload.manifest().empty_folders() {
        let entry = root.stat(path.as_str())?;
        if entry.is_none_or(|entry| entry.kind != Kind::Folder) {
            report.missing.push(path.clone());
        }
    }
    report.missing.sort_unstable();
    Ok(candidates)
}

fn pieces(payload: &LocalPayload, candidates: &[Candidate]) -> Vec<(usize, Range<u32>)> {
    let of = |(which, candidate): (usize, &Candidate)| {
        let chunks = payload.map().chunks_of(candidate.at);
        let starts = chunks.clone().step_by(PIECE_CHUNKS_MAX as usize);
        starts.map(move |start| (which, start..chunks.end.min(start + PIECE_CHUNKS_MAX)))
    };
    candidates.iter().enumerate().flat_map(of).collect()
}

impl Job<'_> {
    fn run(&self, threads: usize) -> Result<(), VerifyError> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work())).collect();
            let ended = threads.into_iter().map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            // All are joined before the first error counts.
            ended.collect::<Vec<_>>().into_iter().collect()
        })
    }

    fn work(&self) -> Result<(), VerifyError> {
        while let Some((which, chunks)) = self.next_piece() {
            let Candidate { at, file } = &self.candidates[*which];
            let first = self.payload.map().chunks_of(*at).start;
            let in_file = u64::from(chunks.start - first)..u64::from(chunks.end - first);
            let on_bytes = |bytes| {
                let done = self.bytes_done.fetch_add(bytes, Ordering::Relaxed) + bytes;
                (self.progress)(done, self.payload.manifest().bytes());
            };
            let hashes = hash_piece(&self.root, file, in_file, self.cancel, &on_bytes)
                .map_err(|error| self.error(file, error))?;
            let expected = &self.payload.chunk_hashes()[chunks.start as usize..chunks.end as usize];
            let differ = chunks.clone().zip(expected.iter().zip(&hashes));
            let wrong = differ.filter(|(_, (expected, found))| expected != found);
            let mut all = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(wrong.map(|(raw, _)| (*at, raw)));
        }
        Ok(())
    }

    fn next_piece(&self) -> Option<&(usize, Range<u32>)> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        usize::try_from(next)
            .ok()
            .and_then(|next| self.pieces.get(next))
    }

    fn error(&self, file: &FileToHash, error: PieceError) -> VerifyError {
        let game = self.game.clone();
        match error {
            PieceError::Changed => VerifyError::Changed {
                game,
                path: file.path.clone(),
            },
            PieceError::Disk(source) => VerifyError::Disk { game, source },
            PieceError::Cancelled => VerifyError::Cancelled,
        }
    }

    fn report_wrong(&self, report: &mut VerifyReport) {
        let mut wrong = self
            .wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        wrong.sort_unstable();
        for of_file in wrong.chunk_by(|a, b| a.0 == b.0) {
            let path = self.payload.manifest().files()[of_file[0].0].path.clone();
            let chunks = of_file
                .iter()
                .filter_map(|(_, raw)| self.payload.map().check(*raw));
            report.bad.push(BadFile {
                path,
                chunks: chunks.collect(),
            });
        }
        report.bad.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    }
}
