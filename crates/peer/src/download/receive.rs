//! One request for one run: receives it, verifies each chunk, writes it, and reports.
//!
//! Bytes are gathered into batches of about a MiB, many small files or one chunk of a large one; a batch is hashed and
//! written as soon as it is there, while the transport receives the next one. A request's batches are written one after
//! another; several requests write at the same time.

use std::{sync::Arc, time::Duration};

use lanspread_disk::RealDisk;
use lanspread_install::{DownloadError, DownloadTransaction};
use lanspread_proto::{
    CHUNK_BYTES, ChunkIndex, ChunkRun,
    message::{Answer, RefusalCode, Request},
};
use lanspread_swarm::{RequestId, RunFailure};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    blocking,
    buffers::{Buffer, Room},
    context::Context,
    session::{answer, check_runs, request, request_bulk},
    shelf::Partial,
    transport::{Link, RecvHalf, ResetCode, WireError},
};

/// Arrived bytes are reported in steps of at least this size; see [`report_bytes`].
const REPORT_BYTES_MIN: u64 = 128 * 1024;

/// They are reported this often at least: a slow peer is alive.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What a request tells its driver.
#[derive(Debug)]
pub(super) enum Report {
    /// Bytes of chunks that are not complete yet.
    Bytes { request: RequestId, bytes: u64 },
    /// A batch was looked at: which chunks are stored, which had wrong bytes.
    Batch {
        request: RequestId,
        stored: Vec<ChunkIndex>,
        rejected: Vec<ChunkIndex>,
    },
    /// All of the run came.
    Finished { request: RequestId },
    /// Nothing came: the peer is sending these chunks to others.
    Elsewhere {
        request: RequestId,
        out: Vec<ChunkRun>,
    },
    /// The rest of the run will not come.
    Failed {
        request: RequestId,
        reason: RunFailure,
    },
    /// The disk refused a chunk; nothing can go on.
    StoreFailed(DownloadError),
}

/// What every request of one download needs.
pub(super) struct Receiver {
    pub(super) context: Arc<Context>,
    pub(super) partial: Arc<Partial>,
    pub(super) transaction: Arc<DownloadTransaction<RealDisk>>,
    pub(super) reports: mpsc::Sender<Report>,
    /// Every request and write under way: nothing is committed or removed before the last has ended.
    pub(super) tasks: TaskTracker,
}

/// How a request was answered.
enum Answered {
    /// By the run.
    Run,
    /// By the chunks that the peer is sending to others.
    Elsewhere(Vec<ChunkRun>),
}

/// Neighbouring chunks and their bytes, as far as those came.
struct Batch {
    chunks: Vec<ChunkIndex>,
    data: Buffer,
    /// Frees the buffer's share of memory when the batch is dropped.
    _room: Room,
}

/// The raw bytes of an answer.
struct Incoming {
    stream: RecvHalf,
    unreported: u64,
    reported: Instant,
}

impl Incoming {
    /// Fills the start of `into` with the next bytes, and tells how many.
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, WireError> {
        match self.stream.read(into).await? {
            0 => Err(WireError::EndedEarly {
                what: "a run of chunks",
            }),
            read => Ok(read),
        }
    }

    /// Succeeds at the end of the stream and nowhere else.
    async fn end(mut self) -> Result<(), WireError> {
        if self.stream.read(&mut [0]).await? == 0 {
            Ok(())
        } else {
            Err(WireError::TooManyBytes)
        }
    }
}

impl Receiver {
    /// Carries out one request and reports its end.
    pub(super) async fn fetch(self: Arc<Self>, id: RequestId, link: Link, run: ChunkRun) {
        let end = match self.receive(id, &link, run).await {
            Ok(Answered::Run) => Report::Finished { request: id },
            Ok(Answered::Elsewhere(out)) => Report::Elsewhere { request: id, out },
            Err(error) => {
                tracing::debug!(peer = %link.peer.short(), %error, "a request for chunks failed");
                Report::Failed {
                    request: id,
                    reason: failure_of(&error),
                }
            }
        };
        self.report(end).await;
    }

    /// Reports that the peer of a request has gone before it could be asked.
    pub(super) async fn unreachable(self: Arc<Self>, id: RequestId) {
        self.report(Report::Failed {
            request: id,
            reason: RunFailure::ConnectionLost,
        })
        .await;
    }

    async fn receive(
        self: &Arc<Self>,
        id: RequestId,
        link: &Link,
        run: ChunkRun,
    ) -> Result<Answered, WireError> {
        let expected = self.partial.map.run_bytes(run);
        let question = self.question(run);
        let mut stream = if expected >= self.context.lane_run_bytes_min {
            request_bulk(link, &question).await?
        } else {
            request(link, &question).await?
        };
        match answer(&mut stream).await? {
            Answer::Data { bytes } if bytes == expected => {}
            Answer::Elsewhere { out } => {
                let map = &self.partial.map;
                check_runs(map.count(), &out)?;
                // A lane whose answer was read to its end can be used again.
                let _ = timeout(REPORT_INTERVAL, stream.read(&mut [0])).await;
                let run = |(first, count)| map.check_run(first, count);
                return Ok(Answered::Elsewhere(
                    out.into_iter().filter_map(run).collect(),
                ));
            }
            _ => {
                return Err(WireError::Unexpected {
                    expected: "the bytes of the run",
                });
            }
        }
        let mut incoming = Incoming {
            stream,
            unreported: 0,
            reported: Instant::now(),
        };
        let report_bytes = report_bytes(expected);
        for chunks in self.batches(run) {
            let mut batch = self.empty_batch(chunks).await;
            self.fill(id, &mut incoming, &mut batch, report_bytes)
                .await?;
            let (receiver, under_way) = (self.clone(), self.tasks.token());
            let stored = blocking::on_the_spot(move || {
                receiver.store(id, &batch);
                drop(under_way);
            });
            if let Err(panicked) = stored.await {
                // Nothing was reported, and the chunks are asked for again.
                tracing::error!(%panicked, "a write ended abnormally");
            }
        }
        incoming.end().await?;
        Ok(Answered::Run)
    }

    fn question(&self, run: ChunkRun) -> Request {
        Request::GetGameFileChunk {
            manifest: self.partial.payload.id(),
            first: run.first().get(),
            count: run.count(),
        }
    }

    /// The run's chunks in batches: one large chunk, or small ones of together at most a chunk's size.
    fn batches(&self, run: ChunkRun) -> Vec<Vec<ChunkIndex>> {
        let mut batches: Vec<Vec<ChunkIndex>> = Vec::new();
        let mut room = 0;
        for chunk in run.chunks() {
            let bytes = u64::from(self.partial.map.chunk_bytes(chunk));
            match batches.last_mut() {
                Some(batch) if bytes <= room => {
                    batch.push(chunk);
                    room -= bytes;
                }
                _ => {
                    batches.push(vec![chunk]);
                    room = CHUNK_BYTES - bytes;
                }
            }
        }
        batches
    }

    async fn empty_batch(&self, chunks: Vec<ChunkIndex>) -> Batch {
        let bytes: usize = chunks
            .iter()
            .map(|chunk| self.partial.map.chunk_bytes(*chunk) as usize)
            .sum();
        let buffers = &self.context.receiving_buffers;
        let room = buffers.room(bytes).await;
        Batch {
            chunks,
            data: buffers.buffer(bytes),
            _room: room,
        }
    }

    /// Receives the batch's bytes.
    async fn fill(
        &self,
        id: RequestId,
        incoming: &mut Incoming,
        batch: &mut Batch,
        report_bytes: u64,
    ) -> Result<(), WireError> {
        let mut rest = batch.data.as_mut();
        while !rest.is_empty() {
            let read = incoming.read(rest).await?;
            let bytes = read as u64;
            self.context.download.pass(bytes).await;
            rest = &mut rest[read..];
            incoming.unreported += bytes;
            let overdue = incoming.reported.elapsed() >= REPORT_INTERVAL;
            if overdue || incoming.unreported >= report_bytes {
                incoming.reported = Instant::now();
                self.context
                    .ledger
                    .received(&self.partial.game, incoming.unreported);
                let bytes = std::mem::take(&mut incoming.unreported);
                self.report(Report::Bytes { request: id, bytes }).await;
            }
        }
        self.context
            .ledger
            .received(&self.partial.game, incoming.unreported);
        let bytes = std::mem::take(&mut incoming.unreported);
        self.report(Report::Bytes { request: id, bytes }).await;
        Ok(())
    }

    /// Verifies and writes a batch. Blocking.
    fn store(&self, id: RequestId, batch: &Batch) {
        let (mut stored, mut rejected) = (Vec::new(), Vec::new());
        let mut rest = batch.data.as_ref();
        for chunk in &batch.chunks {
            let bytes = self.partial.map.chunk_bytes(*chunk) as usize;
            let (data, after) = rest.split_at(bytes);
            rest = after;
            if self.partial.holds(*chunk) {
                stored.push(*chunk);
                continue;
            }
            match self.transaction.write_chunk(*chunk, data) {
                Ok(()) => stored.push(*chunk),
                Err(error) if error.is_wrong_bytes() => rejected.push(*chunk),
                Err(error) => {
                    // A closed channel means that the download has ended.
                    let _ = self.reports.blocking_send(Report::StoreFailed(error));
                    return;
                }
            }
        }
        self.context.shelf.stored(&self.partial, &stored);
        let _ = self.reports.blocking_send(Report::Batch {
            request: id,
            stored,
            rejected,
        });
    }

    async fn report(&self, report: Report) {
        // A closed channel means that the download has ended.
        let _ = self.reports.send(report).await;
    }
}

/// In which steps the arrived bytes of a run are reported. A run is a quarter of a second at its peer's rate, so that
/// each of its peers wakes the driver some sixty times in a second.
fn report_bytes(run_bytes: u64) -> u64 {
    (run_bytes / 16).max(REPORT_BYTES_MIN)
}

fn failure_of(error: &WireError) -> RunFailure {
    match error {
        WireError::Closed(_) => RunFailure::ConnectionLost,
        WireError::Reset { code } if *code == ResetCode::GameChanged as u64 => {
            RunFailure::GameChanged
        }
        WireError::Refused(refusal) => match refusal.code {
            RefusalCode::Busy => RunFailure::Busy,
            RefusalCode::NotHere => RunFailure::NotHere,
            RefusalCode::GameChanged | RefusalCode::UnknownGame => RunFailure::GameChanged,
            _ => RunFailure::Refused,
        },
        _ => RunFailure::Reset,
    }
}
