//! Which piece is hashed next: a pure machine. Pieces of the first game in the queue come first, so a game that
//! moves to the front overtakes a large one in the middle of it.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    ops::Range,
    sync::Arc,
};

use lanspread_disk::{DiskError, RealDisk};
use lanspread_proto::{CHUNK_BYTES, GameId, Hash};

use super::{
    piece::{FileToHash, PIECE_CHUNKS_MAX, PieceError},
    pieces::{Hashed, Pieces},
};

/// The files of one game that have to be hashed.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) game: GameId,
    /// The game root.
    pub(crate) root: RealDisk,
    pub(crate) files: Vec<FileToHash>,
    /// What is hashed of some of these files already.
    pub(crate) begun: HashMap<FileToHash, Pieces>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobProgress {
    pub(crate) game: GameId,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: u64,
}

/// A job that left the queue.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) progress: JobProgress,
    /// What is hashed; after [`Ending::Done`] all of the job's files, whole.
    pub(crate) hashed: Hashed,
    pub(crate) ending: Ending,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Everything is hashed.
    Done,
    /// A file changed meanwhile.
    Changed,
    /// The disk does not give a file.
    Failed(DiskError),
}

/// Chunks of one file of one job.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) job: Arc<Job>,
    pub(super) file: usize,
    pub(super) chunks: Range<u64>,
}

/// The jobs in the order in which they are worked on.
#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: VecDeque<Running>,
}

#[derive(Debug)]
struct Running {
    job: Arc<Job>,
    /// Where the next piece begins: a file and a chunk in it.
    next: (usize, u64),
    /// Pieces that threads have.
    out: usize,
    /// Per file, its finished pieces.
    files: Vec<Pieces>,
    /// Whether pieces were finished since [`Queue::hashed`] told of them.
    news: bool,
    chunks_left: u64,
    bytes_done: u64,
    bytes_total: u64,
    failure: Option<PieceError>,
}

impl Queue {
    /// Adds a job, in front of the others if it is `urgent`. A game has one job at a time: a new one takes over
    /// the pieces of the old one that it has use for. Gives the job back if they are all it needs.
    pub(super) fn push(&mut self, job: Job, urgent: bool) -> Option<Outcome> {
        let at = self
            .jobs
            .iter()
            .position(|running| running.job.game == job.game);
        if let Some(at) = at
            && self.jobs[at].failure.is_none()
            && self.jobs[at].job.files == job.files
        {
            if urgent {
                self.prioritise(&job.game);
            }
            return None;
        }
        let old = at.and_then(|at| self.jobs.remove(at));
        let running = Running::new(job, old);
        if running.is_over() {
            return Some(running.finish());
        }
        if urgent {
            self.jobs.push_front(running);
        } else {
            self.jobs.push_back(running);
        }
        None
    }

    /// Works on this game before all others from now on.
    pub(super) fn prioritise(&mut self, game: &GameId) {
        let at = self
            .jobs
            .iter()
            .position(|running| running.job.game == *game);
        if let Some(running) = at.and_then(|at| self.jobs.remove(at)) {
            self.jobs.push_front(running);
        }
    }

    /// Forgets a game's job; pieces that threads have come to nothing. Gives back those that are finished.
    pub(super) fn remove(&mut self, game: &GameId) -> Hashed {
        let at = self
            .jobs
            .iter()
            .position(|running| running.job.game == *game);
        let running = at.and_then(|at| self.jobs.remove(at));
        running.map(Running::into_hashed).unwrap_or_default()
    }

    /// Forgets all jobs and gives back what is finished of them.
    pub(super) fn take(&mut self) -> Vec<(GameId, Hashed)> {
        let jobs = mem::take(&mut self.jobs).into_iter();
        jobs.map(|running| (running.job.game.clone(), running.into_hashed()))
            .collect()
    }

    /// What is finished of each job, and whether some of that is news since the last time.
    pub(super) fn hashed(&mut self) -> Vec<(GameId, bool, Hashed)> {
        let of_job = |running: &mut Running| {
            let news = mem::take(&mut running.news);
            (running.job.game.clone(), news, running.hashed())
        };
        self.jobs.iter_mut().map(of_job).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The next piece to hash.
    pub(super) fn next_piece(&mut self) -> Option<Piece> {
        self.jobs.iter_mut().find_map(Running::next_piece)
    }

    /// Some bytes of a piece are hashed.
    pub(super) fn advance(&mut self, job: &Arc<Job>, bytes: u64) {
        if let Some(running) = self
            .jobs
            .iter_mut()
            .find(|running| Arc::ptr_eq(&running.job, job))
        {
            running.bytes_done += bytes;
        }
    }

    /// A thread is done with a piece. Gives back the job if that was its last.
    pub(super) fn complete(
        &mut self,
        piece: &Piece,
        result: Result<Vec<Hash>, PieceError>,
    ) -> Option<Outcome> {
        let at = self
            .jobs
            .iter()
            .position(|running| Arc::ptr_eq(&running.job, &piece.job))?;
        let running = &mut self.jobs[at];
        running.out -= 1;
        match result {
            Ok(hashes) => running.add(piece.file, piece.chunks.start, hashes),
            // The pool closes. What is finished is taken from here later.
            Err(PieceError::Cancelled) => {}
            Err(error) => running.failure = Some(error),
        }
        let over = running.is_over();
        over.then(|| self.jobs.remove(at))
            .flatten()
            .map(Running::finish)
    }

    /// How far the jobs are on which work has begun.
    pub(super) fn progress(&self) -> Vec<JobProgress> {
        let begun = self.jobs.iter().filter(|running| running.bytes_done > 0);
        begun.map(Running::progress).collect()
    }
}

impl Running {
    fn new(mut job: Job, old: Option<Self>) -> Self {
        let mut begun = mem::take(&mut job.begun);
        let mut running = Self {
            next: (0, 0),
            out: 0,
            files: vec![Pieces::default(); job.files.len()],
            news: false,
            chunks_left: job.files.iter().map(FileToHash::chunk_count).sum(),
            bytes_done: 0,
            bytes_total: job.files.iter().map(|file| file.stamp.size).sum(),
            failure: None,
            job: Arc::new(job),
        };
        begun.extend(old.map(Self::into_hashed).unwrap_or_default());
        let job = Arc::clone(&running.job);
        for (at, file) in job.files.iter().enumerate() {
            for (first, hashes) in begun.remove(file).unwrap_or_default() {
                if is_piece(file, first, &hashes) {
                    let end = ((first + hashes.len() as u64) * CHUNK_BYTES).min(file.stamp.size);
                    running.bytes_done += end - first * CHUNK_BYTES;
                    running.add(at, first, hashes);
                }
            }
        }
        running
    }

    fn add(&mut self, file: usize, first: u64, hashes: Vec<Hash>) {
        self.chunks_left -= hashes.len() as u64;
        self.files[file].insert(first, hashes);
        self.news = true;
    }

    fn is_over(&self) -> bool {
        self.chunks_left == 0 || self.failure.is_some() && self.out == 0
    }

    fn next_piece(&mut self) -> Option<Piece> {
        while self.failure.is_none() && self.next.0 < self.job.files.len() {
            let (file, start) = self.next;
            let count = self.job.files[file].chunk_count();
            let end = count.min(start + PIECE_CHUNKS_MAX);
            self.next = if end == count {
                (file + 1, 0)
            } else {
                (file, end)
            };
            if start < end && !self.files[file].has_run_at(start) {
                self.out += 1;
                return Some(Piece {
                    job: Arc::clone(&self.job),
                    file,
                    chunks: start..end,
                });
            }
        }
        None
    }

    fn progress(&self) -> JobProgress {
        JobProgress {
            game: self.job.game.clone(),
            bytes_done: self.bytes_done,
            bytes_total: self.bytes_total,
        }
    }

    fn finish(mut self) -> Outcome {
        let progress = self.progress();
        let ending = match self.failure.take() {
            None => Ending::Done,
            Some(PieceError::Disk(error)) => Ending::Failed(error),
            Some(PieceError::Changed | PieceError::Cancelled) => Ending::Changed,
        };
        Outcome {
            progress,
            hashed: self.into_hashed(),
            ending,
        }
    }

    fn hashed(&self) -> Hashed {
        let files = self.job.files.iter().zip(&self.files);
        files
            .filter(|(_, pieces)| !pieces.is_empty())
            .map(|(file, pieces)| (file.clone(), pieces.clone()))
            .collect()
    }

    fn into_hashed(self) -> Hashed {
        let files = self.job.files.iter().cloned().zip(self.files);
        files.filter(|(_, pieces)| !pieces.is_empty()).collect()
    }
}

/// Whether these hashes are what [`Running::next_piece`] would ask for; anything else could not be fitted in.
fn is_piece(file: &FileToHash, first: u64, hashes: &[Hash]) -> bool {
    let count = file.chunk_count();
    let end = count.min(first + PIECE_CHUNKS_MAX);
    first.is_multiple_of(PIECE_CHUNKS_MAX) && first + hashes.len() as u64 == end && first < end
}

#[cfg(test)]
mod tests {
    use lanspread_disk::FileStamp;
    use lanspread_proto::CHUNK_BYTES;

    use super::*;

    fn job(game: &str, sizes: &[u64]) -> Job {
        let file = |(at, size): (usize, &u64)| FileToHash {
            path: format!("file{at}").parse().unwrap(),
            stamp: FileStamp {
                size: *size,
                modified_ns: 0,
                file_id: 0,
            },
            doubts: 0,
        };
        let root = RealDisk::open(std::path::Path::new("/")).unwrap();
        let files = sizes.iter().enumerate().map(file).collect();
        Job {
            game: game.parse().unwrap(),
            root,
            files,
            begun: HashMap::new(),
        }
    }

    /// What an outcome says about its file number `at`, which is whole.
    fn whole(outcome: &Outcome, at: usize) -> Vec<Hash> {
        let (file, pieces) = outcome.hashed[at].clone();
        pieces.into_whole(&file).unwrap()
    }

    fn told(piece: &Piece) -> (&str, usize, Range<u64>) {
        (piece.job.game.as_str(), piece.file, piece.chunks.clone())
    }

    fn hashes(chunks: Range<u64>) -> Vec<Hash> {
        chunks.map(|chunk| Hash::of(&chunk.to_be_bytes())).collect()
    }

    #[test]
    fn a_large_file_is_shared_and_its_hashes_come_in_order() {
        let mut queue = Queue::default();
        queue.push(job("a", &[70 * CHUNK_BYTES, 1]), false);
        let pieces: Vec<_> = std::iter::from_fn(|| queue.next_piece()).collect();
        let ranges: Vec<_> = pieces.iter().map(told).collect();
        assert_eq!(
            ranges,
            [
                ("a", 0, 0..32),
                ("a", 0, 32..64),
                ("a", 0, 64..70),
                ("a", 1, 0..1)
            ]
        );
        let mut outcome = None;
        for piece in pieces.into_iter().rev() {
            assert!(outcome.is_none(), "over before the last piece");
            let chunks = piece.chunks.clone();
            outcome = queue.complete(&piece, Ok(hashes(chunks)));
        }
        let outcome = outcome.unwrap();
        assert!(matches!(outcome.ending, Ending::Done));
        assert_eq!(whole(&outcome, 0), hashes(0..70));
        assert_eq!(whole(&outcome, 1), hashes(0..1));
        assert!(queue.next_piece().is_none());
    }

    #[test]
    fn a_requested_game_overtakes_in_the_middle_of_a_large_one() {
        let mut queue = Queue::default();
        queue.push(job("large", &[100 * CHUNK_BYTES]), false);
        queue.push(job("small", &[1, 1]), false);
        assert_eq!(told(&queue.next_piece().unwrap()), ("large", 0, 0..32));
        queue.prioritise(&"small".parse().unwrap());
        assert_eq!(told(&queue.next_piece().unwrap()), ("small", 0, 0..1));
        queue.push(job("urgent", &[1]), true);
        assert_eq!(told(&queue.next_piece().unwrap()), ("urgent", 0, 0..1));
        assert_eq!(told(&queue.next_piece().unwrap()), ("small", 1, 0..1));
        assert_eq!(told(&queue.next_piece().unwrap()), ("large", 0, 32..64));
    }

    #[test]
    fn after_a_change_no_piece_is_begun_and_what_is_hashed_is_kept() {
        let mut queue = Queue::default();
        queue.push(job("a", &[1, 1, 1]), false);
        let (first, second) = (queue.next_piece().unwrap(), queue.next_piece().unwrap());
        assert!(
            queue.complete(&first, Err(PieceError::Changed)).is_none(),
            "one piece is out"
        );
        assert!(queue.next_piece().is_none());
        let outcome = queue.complete(&second, Ok(hashes(0..1))).unwrap();
        assert!(matches!(outcome.ending, Ending::Changed));
        let kept: Vec<_> = outcome
            .hashed
            .iter()
            .map(|(file, _)| file.path.as_str())
            .collect();
        assert_eq!(kept, ["file1"]);
    }

    #[test]
    fn a_job_that_is_replaced_hands_on_its_pieces() {
        let mut queue = Queue::default();
        queue.push(job("a", &[70 * CHUNK_BYTES, 1, 2]), false);
        let (first, lost) = (queue.next_piece().unwrap(), queue.next_piece().unwrap());
        assert!(queue.complete(&first, Ok(hashes(0..32))).is_none());
        queue.push(job("a", &[70 * CHUNK_BYTES, 3]), false);
        let [progress] = &queue.progress()[..] else {
            panic!("one job")
        };
        assert_eq!(progress.bytes_done, 32 * CHUNK_BYTES);
        assert_eq!(progress.bytes_total, 70 * CHUNK_BYTES + 3);
        assert!(
            queue.complete(&lost, Ok(hashes(32..64))).is_none(),
            "the old job's piece"
        );
        let pieces: Vec<_> = std::iter::from_fn(|| queue.next_piece()).collect();
        let ranges: Vec<_> = pieces.iter().map(told).collect();
        assert_eq!(ranges, [("a", 0, 32..64), ("a", 0, 64..70), ("a", 1, 0..1)]);
        let chunks: Vec<_> = pieces.iter().map(|piece| piece.chunks.clone()).collect();
        let mut outcomes = pieces
            .into_iter()
            .zip(chunks)
            .filter_map(|(piece, chunks)| queue.complete(&piece, Ok(hashes(chunks))));
        assert_eq!(whole(&outcomes.next().unwrap(), 0), hashes(0..70));
    }

    #[test]
    fn pieces_from_before_a_doubt_are_not_handed_on() {
        let mut queue = Queue::default();
        queue.push(job("a", &[1, 2]), false);
        let pieces: Vec<_> = std::iter::from_fn(|| queue.next_piece()).collect();
        assert!(queue.complete(&pieces[0], Ok(hashes(0..1))).is_none());
        let mut doubted = job("a", &[1, 2]);
        doubted.files[0].doubts = 1;
        queue.push(doubted, false);
        assert!(
            queue.complete(&pieces[1], Ok(hashes(0..1))).is_none(),
            "the old job's piece"
        );
        let pieces: Vec<_> = std::iter::from_fn(|| queue.next_piece()).collect();
        let ranges: Vec<_> = pieces.iter().map(told).collect();
        assert_eq!(ranges, [("a", 0, 0..1), ("a", 1, 0..1)]);
    }

    #[test]
    fn what_is_finished_can_be_taken_at_any_time_and_begun_with() {
        let mut queue = Queue::default();
        queue.push(job("a", &[70 * CHUNK_BYTES, 1, 2]), false);
        queue.push(job("b", &[1]), false);
        let pieces: Vec<_> = std::iter::from_fn(|| queue.next_piece()).collect();
        assert!(queue.hashed().iter().all(|(_, news, _)| !news));
        queue.complete(&pieces[1], Ok(hashes(32..64)));
        queue.complete(&pieces[4], Ok(hashes(0..1)));
        let cut_off = queue.complete(&pieces[0], Err(PieceError::Cancelled));
        assert!(cut_off.is_none(), "a job that is cut off stays");
        let hashed = queue.hashed();
        assert!(hashed[0].1 && !hashed[1].1, "news of the first job only");
        assert!(!queue.hashed()[0].1, "no news a second time");
        let taken = queue.take();
        assert_eq!(taken[0].1, hashed[0].2);
        assert!(queue.is_empty() && taken[1].1.is_empty());

        let mut again = job("a", &[70 * CHUNK_BYTES, 1, 2]);
        again.begun = taken.into_iter().flat_map(|(_, hashed)| hashed).collect();
        assert_eq!(again.begun.len(), 2);
        queue.push(again, false);
        let pieces: Vec<_> = std::iter::from_fn(|| queue.next_piece()).collect();
        let ranges: Vec<_> = pieces.iter().map(told).collect();
        assert_eq!(ranges, [("a", 0, 0..32), ("a", 0, 64..70), ("a", 1, 0..1)]);
        let kept = queue.remove(&"a".parse().unwrap());
        assert_eq!(kept, hashed[0].2, "a job that is removed gives them back");
    }

    #[test]
    fn runs_that_are_no_pieces_are_hashed_again() {
        let mut queue = Queue::default();
        let mut job = job("a", &[70 * CHUNK_BYTES]);
        let mut runs = Pieces::run(1, hashes(1..32));
        runs.insert(32, hashes(32..63));
        runs.insert(64, hashes(64..71));
        job.begun.insert(job.files[0].clone(), runs);
        queue.push(job, false);
        let pieces: Vec<_> = std::iter::from_fn(|| queue.next_piece()).collect();
        let chunks: u64 = pieces
            .iter()
            .map(|piece| piece.chunks.end - piece.chunks.start)
            .sum();
        assert_eq!(chunks, 70);
    }

    #[test]
    fn the_same_job_again_changes_nothing_and_a_smaller_one_may_be_over() {
        let mut queue = Queue::default();
        queue.push(job("a", &[1, 2]), false);
        let piece = queue.next_piece().unwrap();
        assert!(queue.push(job("a", &[1, 2]), true).is_none());
        assert!(queue.complete(&piece, Ok(hashes(0..1))).is_none());
        let outcome = queue.push(job("a", &[1]), false).unwrap();
        assert!(matches!(outcome.ending, Ending::Done) && outcome.hashed.len() == 1);
        assert!(queue.is_empty());
    }
}
