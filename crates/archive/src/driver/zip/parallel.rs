//! A ZIP's entries decoded on all cores, straight into a staging folder.

use std::{
    num::NonZero,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use lanspread_install::Staging;

use super::{Zip, piece_buffer};
use crate::{
    error::Problem,
    guard::{ByteCount, Guard},
    sink::{EntryKind, EntryMeta},
};

/// More threads than this only compete for the disk, and each has half a MiB of buffers.
const THREADS_MAX: usize = 16;

/// Entries from this size on are begun first, the largest first, so that none is left alone at the end.
/// The smaller ones stay in the order of the archive, which disks like.
const LARGE_BYTES: u64 = 4 * 1024 * 1024;

/// A file that is to be decoded.
struct Job {
    index: usize,
    entry: EntryMeta,
    bytes: u64,
    executable: bool,
}

/// A problem and the entry that had it.
type Failure = (Problem, Option<String>);

impl Zip {
    /// Unpacks everything, the entries in any order. An error names its entry.
    pub(crate) fn unpack_in_parallel(
        &self,
        guard: &mut Guard<'_>,
        staging: &dyn Staging,
    ) -> Result<(), Failure> {
        let jobs = self.jobs(guard, staging);
        let jobs = jobs.map_err(|problem| (problem, guard.entry()))?;
        let threads = thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(THREADS_MAX)
            .min(jobs.len());
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| self.work(&jobs, &next, &failed, staging)))
                .collect();
            let results = workers.into_iter().map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            results.fold(Ok(()), Result::and)
        })
    }

    /// Lets every entry in and makes the folders; what is left are files.
    fn jobs(&self, guard: &mut Guard<'_>, staging: &dyn Staging) -> Result<Vec<Job>, Problem> {
        self.check_overlap(guard)?;
        let mut jobs = Vec::with_capacity(self.order.len());
        for &index in &self.order {
            let listed = self.listed(index)?;
            let Some(entry) = guard.admit(&listed.raw()?)? else {
                continue;
            };
            match entry.kind {
                EntryKind::Folder => staging.create_folder(&entry.path)?,
                EntryKind::File { bytes, executable } => jobs.push(Job {
                    index,
                    entry,
                    bytes,
                    executable,
                }),
            }
        }
        jobs.sort_by_key(|job| {
            let is_large = job.bytes >= LARGE_BYTES;
            std::cmp::Reverse(if is_large { job.bytes } else { 0 })
        });
        Ok(jobs)
    }

    /// One thread: takes jobs until there are none, or somebody failed.
    fn work(
        &self,
        jobs: &[Job],
        next: &AtomicUsize,
        failed: &AtomicBool,
        staging: &dyn Staging,
    ) -> Result<(), Failure> {
        let mut archive = self.archive.clone();
        let mut piece = piece_buffer();
        while !failed.load(Ordering::Relaxed)
            && let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let done = self.unpack_one(job, &mut archive, &mut piece, failed, staging);
            if let Err(problem) = done {
                // Who comes second is not heard: its failure may only be that it was told to stop.
                if failed.swap(true, Ordering::Relaxed) {
                    return Ok(());
                }
                return Err((problem, Some(job.entry.path.as_str().to_owned())));
            }
        }
        Ok(())
    }

    fn unpack_one(
        &self,
        job: &Job,
        archive: &mut zip::ZipArchive<crate::input::Input>,
        piece: &mut [u8],
        failed: &AtomicBool,
        staging: &dyn Staging,
    ) -> Result<(), Problem> {
        let mut file = staging.create_file(&job.entry.path, job.executable)?;
        let mut count = ByteCount::new(job.bytes);
        self.decode(archive, job.index, piece, |bytes| {
            if failed.load(Ordering::Relaxed) {
                return Err(Problem::cancelled());
            }
            count.add(bytes.len())?;
            Ok(file.write(bytes)?)
        })?;
        count.finish()?;
        Ok(file.finish()?)
    }
}
