//! Answers that carry payload: runs of chunks and whole files.
//!
//! Pieces are read, at most half of [`limits::BUFFERED_BYTES_MAX`] of them at a time
//! over all transfers, and sent as they are. A file that is no longer what was hashed resets the
//! stream with `game_changed`.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use lanspread_disk::{Disk, DiskError, DiskFile, RealDisk};
use lanspread_library::LocalPayload;
use lanspread_proto::{
    ChunkMap, ChunkRun, ManifestId, PeerId,
    limits::{self, LimitExceeded},
    message::{Answer, Refusal, RefusalCode, Request},
};

use super::{firsts::SendingRun, no, refuse, reply};
use crate::{
    blocking,
    buffers::Buffer,
    context::{Context, PIECE_BYTES},
    shelf::Partial,
    transport::{ResetCode, SendHalf, WireError},
};

/// A part that is queued at once has at least this; see [`part_bytes`].
const PART_BYTES_MIN: u64 = 64 * 1024;

/// A payload that can be read from, complete or arriving.
#[derive(Clone)]
enum Source {
    Complete {
        payload: Arc<LocalPayload>,
        disk: Arc<RealDisk>,
    },
    Partial(Arc<Partial>),
}

/// A part of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    file: usize,
    offset: u64,
    bytes: u64,
}

enum ReadError {
    Disk(DiskError),
    Changed,
}

/// What a request asks for, checked: it is here and within the limits.
struct Portion {
    source: Source,
    extents: Vec<Extent>,
    bytes: u64,
}

/// A request for a run of chunks; nothing of it is checked.
pub(super) struct AskedRun {
    pub(super) peer: PeerId,
    pub(super) manifest: ManifestId,
    pub(super) first: u32,
    pub(super) count: u32,
}

impl AskedRun {
    /// What a request asks for, if it is one for a run.
    pub(super) fn of(peer: PeerId, request: &Request) -> Option<Self> {
        match *request {
            Request::GetGameFileChunk {
                manifest,
                first,
                count,
            } => Some(Self {
                peer,
                manifest,
                first,
                count,
            }),
            _ => None,
        }
    }
}

pub(super) async fn send_run(
    context: &Arc<Context>,
    asked: AskedRun,
    send: SendHalf,
) -> Result<(), WireError> {
    let found = Source::find(context, asked.manifest).await;
    let checked = found.and_then(|source| {
        let run = source.check_run(asked.first, asked.count)?;
        Ok((source, run))
    });
    let (source, run) = match checked {
        Ok(checked) => checked,
        Err(Refusal { code, message }) => return refuse(send, code, message).await,
    };
    let sending = match &source {
        Source::Complete { payload, .. }
            if !context
                .game_db
                .is_complete_at_any(payload.game(), payload.id()) =>
        {
            match context
                .firsts
                .admit(Instant::now(), asked.peer, payload, run)
            {
                Ok(sending) => Some(sending),
                Err(out) => return reply(send, &Answer::Elsewhere { out }).await,
            }
        }
        _ => None,
    };
    send_portion(context, source.run(run), sending, send).await
}

pub(super) async fn send_file(
    context: &Arc<Context>,
    manifest: ManifestId,
    file: u32,
    send: SendHalf,
) -> Result<(), WireError> {
    let found = Source::find(context, manifest).await;
    match found.and_then(|source| source.file(file as usize)) {
        Ok(portion) => send_portion(context, portion, None, send).await,
        Err(Refusal { code, message }) => refuse(send, code, message).await,
    }
}

async fn send_portion(
    context: &Arc<Context>,
    portion: Portion,
    mut sending: Option<SendingRun>,
    mut send: SendHalf,
) -> Result<(), WireError> {
    let Portion {
        source,
        extents,
        bytes,
    } = portion;
    let transfer = context.ledger.begin(source.game());
    let part_bytes = part_bytes(bytes);
    send.message(&Answer::Data { bytes }).await?;
    for piece in pieces(extents) {
        let piece_bytes: u64 = piece.iter().map(|extent| extent.bytes).sum();
        let buffer_bytes = usize::try_from(piece_bytes).unwrap_or(usize::MAX);
        let room = context.serving_buffers.room(buffer_bytes).await;
        context.upload.pass(piece_bytes).await;
        let reading = source.clone();
        let buffer = context.serving_buffers.buffer(buffer_bytes);
        let read = blocking::on_the_spot(move || reading.read(&piece, buffer)).await;
        match read {
            Ok(Ok(data)) => queue(&mut send, data, part_bytes).await?,
            Ok(Err(error)) => {
                error.report(context, &source);
                send.reset(ResetCode::GameChanged);
                return Ok(());
            }
            // A panic in there is a fault of ours; the stream resets as it is dropped.
            Err(_) => return Ok(()),
        }
        drop(room);
        transfer.sent(piece_bytes);
        if let Some(sending) = &mut sending {
            sending.sent(piece_bytes);
        }
    }
    send.finish()
}

/// What of a run is queued at once. A stream takes whatever it is given as soon as it has any room, so a part is what
/// may be on its way beyond the transport's own buffer. A run is a quarter of a second at the receiver's rate, a part
/// a sixteenth of it: a fast receiver costs few turns, and one that many send to is not flooded by anybody.
fn part_bytes(run_bytes: u64) -> usize {
    let bytes = (run_bytes / 16).max(PART_BYTES_MIN);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Queues bytes part by part, each when there is room.
async fn queue(send: &mut SendHalf, mut data: Bytes, part_bytes: usize) -> Result<(), WireError> {
    while !data.is_empty() {
        let part = data.split_to(data.len().min(part_bytes));
        send.bytes(part).await?;
    }
    Ok(())
}

impl Source {
    async fn find(context: &Arc<Context>, manifest: ManifestId) -> Result<Self, Refusal> {
        if let Some(partial) = context.shelf.partial(manifest) {
            return Ok(Self::Partial(partial));
        }
        let home = context.home();
        let library = home.library.clone();
        let payload = tokio::task::spawn_blocking(move || library.payload(&manifest)).await;
        match payload {
            Ok(Some(payload)) => Ok(Self::Complete {
                payload,
                disk: home.disk.clone(),
            }),
            _ => Err(no(
                RefusalCode::UnknownGame,
                "that payload is not served here",
            )),
        }
    }

    /// A run of chunks that is here and within the limits.
    fn check_run(&self, first: u32, count: u32) -> Result<ChunkRun, Refusal> {
        let over = |limit: LimitExceeded| no(RefusalCode::Limit, limit.to_string());
        let run = self.map().check_run(first, count).ok_or_else(|| {
            let chunks = self.map().count();
            let message = format!("chunks {first} to {first}+{count} are not among its {chunks}");
            no(RefusalCode::BadRequest, message)
        })?;
        limits::check(
            "a run's chunks",
            count.into(),
            limits::RUN_CHUNKS_MAX.into(),
        )
        .map_err(over)?;
        let bytes = self.map().run_bytes(run);
        limits::check("a run's size in bytes", bytes, limits::RUN_BYTES_MAX).map_err(over)?;
        if !self.holds(run) {
            let message = "not all of these chunks are here";
            return Err(no(RefusalCode::NotHere, message));
        }
        Ok(run)
    }

    /// A checked run.
    fn run(self, run: ChunkRun) -> Portion {
        Portion {
            extents: extents(self.map(), run),
            bytes: self.map().run_bytes(run),
            source: self,
        }
    }

    /// A whole file.
    fn file(self, file: usize) -> Result<Portion, Refusal> {
        let files = self.map().file_count();
        if file >= files {
            let message = format!("file {file} is not among its {files}");
            return Err(no(RefusalCode::BadRequest, message));
        }
        let chunks = self.map().chunks_of(file);
        let run = self
            .map()
            .check_run(chunks.start, chunks.end - chunks.start);
        if run.is_some_and(|run| !self.holds(run)) {
            return Err(no(RefusalCode::NotHere, "not all of that file is here"));
        }
        let bytes = self.map().file_bytes(file);
        let whole = Extent {
            file,
            offset: 0,
            bytes,
        };
        Ok(Portion {
            source: self,
            extents: vec![whole],
            bytes,
        })
    }

    fn map(&self) -> &ChunkMap {
        match self {
            Self::Complete { payload, .. } => payload.map(),
            Self::Partial(partial) => &partial.map,
        }
    }

    fn game(&self) -> &lanspread_proto::GameId {
        match self {
            Self::Complete { payload, .. } => payload.game(),
            Self::Partial(partial) => &partial.game,
        }
    }

    fn holds(&self, run: ChunkRun) -> bool {
        match self {
            Self::Complete { .. } => true,
            Self::Partial(partial) => run.chunks().all(|chunk| partial.holds(chunk)),
        }
    }

    /// Reads extents one after another into one buffer of their length.
    fn read(&self, extents: &[Extent], mut buffer: Buffer) -> Result<Bytes, ReadError> {
        let mut rest = buffer.as_mut();
        for extent in extents {
            let (part, after) =
                rest.split_at_mut(usize::try_from(extent.bytes).unwrap_or(usize::MAX));
            self.read_extent(*extent, part)?;
            rest = after;
        }
        Ok(Bytes::from_owner(buffer))
    }

    fn read_extent(&self, extent: Extent, buffer: &mut [u8]) -> Result<(), ReadError> {
        let (manifest, disk) = match self {
            Self::Complete { payload, disk } => (payload.manifest(), disk),
            Self::Partial(partial) => (partial.payload.manifest(), &partial.disk),
        };
        let path = format!("{}/{}", self.game(), manifest.files()[extent.file].path);
        let file = disk.open_read(&path).map_err(ReadError::Disk)?;
        if let Self::Complete { payload, .. } = self
            && file.stamp().map_err(ReadError::Disk)? != payload.stamps()[extent.file]
        {
            return Err(ReadError::Changed);
        }
        let read = file
            .read_at(buffer, extent.offset)
            .map_err(ReadError::Disk)?;
        if read == buffer.len() {
            Ok(())
        } else {
            Err(ReadError::Changed)
        }
    }
}

impl ReadError {
    /// Tells the operator, and has the game looked at again.
    fn report(&self, context: &Context, source: &Source) {
        let game = source.game();
        match self {
            Self::Disk(error) => {
                tracing::warn!(%game, %error, "a file that is served cannot be read");
            }
            Self::Changed => {
                tracing::warn!(%game, "a file changed while it was served");
            }
        }
        if matches!(source, Source::Complete { .. }) {
            context.home().library.changed_on_disk(game);
        }
    }
}

/// The parts of files that a run covers; neighbouring chunks of one file are one extent.
fn extents(map: &ChunkMap, run: ChunkRun) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for chunk in run.chunks() {
        let span = map.span(chunk);
        match extents.last_mut() {
            Some(last) if last.file == span.file => last.bytes += u64::from(span.bytes),
            _ => extents.push(Extent {
                file: span.file,
                offset: span.offset,
                bytes: span.bytes.into(),
            }),
        }
    }
    extents
}

/// Cuts extents into reads of at most [`PIECE_BYTES`]; small files share one.
fn pieces(extents: Vec<Extent>) -> impl Iterator<Item = Vec<Extent>> {
    let mut rest = extents.into_iter().peekable();
    std::iter::from_fn(move || {
        let (mut piece, mut room) = (Vec::new(), PIECE_BYTES as u64);
        while let Some(extent) = rest.peek_mut() {
            if room == 0 {
                break;
            }
            let taken = extent.bytes.min(room);
            piece.push(Extent {
                bytes: taken,
                ..*extent
            });
            room -= taken;
            extent.offset += taken;
            extent.bytes -= taken;
            if extent.bytes == 0 {
                rest.next();
            }
        }
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use lanspread_proto::CHUNK_BYTES;

    use super::*;

    #[test]
    fn pieces_cover_a_run_once_and_in_order() {
        let map = ChunkMap::new(vec![100, 0, 3 * CHUNK_BYTES + 7, 200]);
        let run = map.check_run(0, map.count()).unwrap();
        let extents = extents(&map, run);
        assert_eq!(extents.len(), 3);
        let all: Vec<Extent> = pieces(extents).flatten().collect();
        assert_eq!(
            all.iter().map(|extent| extent.bytes).sum::<u64>(),
            map.bytes()
        );
        for piece in pieces(vec![Extent {
            file: 0,
            offset: 5,
            bytes: 3 * PIECE_BYTES as u64 + 1,
        }]) {
            let bytes: u64 = piece.iter().map(|extent| extent.bytes).sum();
            assert!(bytes <= PIECE_BYTES as u64);
        }
        let of_large: Vec<_> = all.iter().filter(|extent| extent.file == 2).collect();
        let mut offset = 0;
        for extent in of_large {
            assert_eq!(extent.offset, offset);
            offset += extent.bytes;
        }
    }

    #[test]
    fn an_empty_file_is_one_empty_piece_or_none() {
        let empty = vec![Extent {
            file: 0,
            offset: 0,
            bytes: 0,
        }];
        let bytes: u64 = pieces(empty).flatten().map(|extent| extent.bytes).sum();
        assert_eq!(bytes, 0);
    }
}
