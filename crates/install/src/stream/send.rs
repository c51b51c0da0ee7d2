//! The sending side: from a provider's entries to bytes for the wire.

use std::{
    fmt,
    path::{MAIN_SEPARATOR, Path},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{BufMut, Bytes, BytesMut};
use lanspread_disk::{Disk, StateDir};
use lanspread_proto::{
    GameId, GamePath, ManifestId,
    expanded::{ExpandedFailure, ExpandedFrame, ExpandedTotals, ExpandedWriter},
    frame,
    limits::EXPANDED_DATA_BYTES_MAX,
};

use crate::{
    InstallError,
    install::archives::find,
    root::GameRoot,
    unpack::{ArchiveFile, StagingError, Totals, UnpackError},
};

/// Bytes that are gathered before they go into the channel: many small files share one piece, and a slow
/// decoder is still heard of in time.
const GATHERED_BYTES: usize = 64 * 1024;

/// Expands archives entry by entry, with bounded memory and without writing any entry to disk. All
/// calls block; one object serves many jobs at once.
pub trait StreamInstallProvider: Send + Sync + 'static {
    /// Whether this file is an archive, by its content.
    ///
    /// # Errors
    /// [`UnpackError::Read`] when the file cannot be read.
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError>;

    /// Expands these archives, in this order, into `sink`: [`StreamInstallFrameSink::begin`] first, then
    /// every entry. `Ok` means that all of them were handed over with the bytes that their checksums are
    /// of.
    ///
    /// # Errors
    /// [`UnpackError`]; the receiver is told. [`StagingError::Cancelled`] in it when the receiver is gone.
    fn expand(
        &self,
        archives: &[ArchiveFile],
        sink: &mut StreamInstallFrameSink,
    ) -> Result<(), UnpackError>;
}

/// What carries the bytes; bounded, so that a slow receiver slows the decoder.
pub trait WireChannel: Send {
    /// Waits for room.
    ///
    /// # Errors
    /// [`ReceiverGone`], at once, also in the middle of waiting.
    fn send(&mut self, bytes: Bytes) -> Result<(), ReceiverGone>;
}

/// Nobody reads what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receiver is gone")]
pub struct ReceiverGone;

/// Where a provider puts what it expands. Dropped, it closes the channel, whatever was sent.
pub struct StreamInstallFrameSink {
    channel: Box<dyn WireChannel>,
    cancelled: Arc<AtomicBool>,
    payload: ManifestId,
    gathered: BytesMut,
    sums: ExpandedWriter,
    file: Option<Outgoing>,
    begun: bool,
}

struct Outgoing {
    path: GamePath,
    size: u64,
    executable: bool,
    hasher: blake3::Hasher,
}

impl fmt::Debug for StreamInstallFrameSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamInstallFrameSink")
            .field("payload", &self.payload)
            .field("sums", &self.sums)
            .finish_non_exhaustive()
    }
}

impl StreamInstallFrameSink {
    /// A sink for one receiver, who asked for `payload`. `cancelled` is to be set by whoever finds out
    /// first that nobody reads any more.
    pub fn new(
        channel: impl WireChannel + 'static,
        payload: ManifestId,
        cancelled: Arc<AtomicBool>,
    ) -> Self {
        Self {
            channel: Box::new(channel),
            cancelled,
            payload,
            gathered: BytesMut::new(),
            sums: ExpandedWriter::new(),
            file: None,
            begun: false,
        }
    }

    /// Raised when nobody reads any more: a decoder that hands nothing over for long looks at it itself.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// Says what will come, as far as the formats tell, once and before the first entry.
    ///
    /// # Errors
    /// [`StagingError::Cancelled`]
    pub fn begin(&mut self, totals: Totals) -> Result<(), StagingError> {
        self.begun = true;
        self.frame(&ExpandedFrame::Begin {
            manifest: self.payload,
            totals: ExpandedTotals {
                files: totals.files,
                bytes: totals.bytes,
            },
        })?;
        self.flush()
    }

    /// A folder; those above a file need not be told.
    ///
    /// # Errors
    /// [`StagingError::Cancelled`]
    pub fn directory(&mut self, path: &GamePath) -> Result<(), StagingError> {
        self.sums.directory(path);
        self.frame(&ExpandedFrame::Directory {
            path: path.to_string(),
        })
    }

    /// A file of `size` bytes begins.
    ///
    /// # Errors
    /// [`StagingError::Cancelled`]
    pub fn file(
        &mut self,
        path: &GamePath,
        size: u64,
        executable: bool,
    ) -> Result<(), StagingError> {
        self.file = Some(Outgoing {
            path: path.clone(),
            size,
            executable,
            hasher: blake3::Hasher::new(),
        });
        self.frame(&ExpandedFrame::File {
            path: path.to_string(),
            size,
            executable,
        })
    }

    /// The next bytes of the file.
    ///
    /// # Errors
    /// [`StagingError::Cancelled`]
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), StagingError> {
        for piece in bytes.chunks(EXPANDED_DATA_BYTES_MAX) {
            if let Some(file) = &mut self.file {
                file.hasher.update(piece);
            }
            self.frame(&ExpandedFrame::Data {
                bytes: u32::try_from(piece.len()).unwrap_or(u32::MAX),
            })?;
            self.gathered.put_slice(piece);
            self.flush_if_full()?;
        }
        Ok(())
    }

    /// The file is complete and its bytes were those of its checksum.
    ///
    /// # Errors
    /// [`StagingError::Cancelled`]
    pub fn file_end(&mut self) -> Result<(), StagingError> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let hash = file.hasher.finalize().into();
        self.sums.file(&file.path, file.size, file.executable, hash);
        self.frame(&ExpandedFrame::FileEnd { hash })
    }

    // # The end

    /// Everything was handed over.
    fn complete(mut self) -> Result<(), StagingError> {
        if !self.begun {
            self.begin(Totals::default())?;
        }
        let sums = self.sums.sums();
        self.frame(&ExpandedFrame::Complete(sums))?;
        self.flush()
    }

    /// It cannot go on; the receiver is told, if there still is one.
    fn fail(mut self, error: &ExpandError) {
        let failed = ExpandedFrame::Failed {
            code: error.code(),
            message: error.told(),
        };
        let told = self.frame(&failed).and_then(|()| self.flush());
        if told.is_err() {
            tracing::debug!("nobody is left to be told of a failure");
        }
    }

    // # Inside

    fn frame(&mut self, message: &ExpandedFrame) -> Result<(), StagingError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(StagingError::Cancelled);
        }
        // Paths and sums are far below the limit of a frame.
        let frame = frame::encode(message).map_err(|_| StagingError::Cancelled)?;
        self.gathered.put_slice(&frame);
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<(), StagingError> {
        if self.gathered.len() < GATHERED_BYTES {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StagingError> {
        let bytes = self.gathered.split().freeze();
        if bytes.is_empty() {
            return Ok(());
        }
        self.gathered
            .reserve(GATHERED_BYTES + EXPANDED_DATA_BYTES_MAX);
        self.channel.send(bytes).map_err(|ReceiverGone| {
            self.cancelled.store(true, Ordering::Relaxed);
            StagingError::Cancelled
        })
    }
}

/// Why a payload was not expanded to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// It holds no archive.
    #[error("{game} has no archive that could be expanded")]
    NoArchive {
        /// The game.
        game: GameId,
    },
    /// Its archives could not be looked for.
    #[error(transparent)]
    Find(InstallError),
    /// An archive could not be expanded; never [`UnpackError::Staging`].
    #[error(transparent)]
    Unpack(UnpackError),
    /// Nobody reads any more.
    #[error(transparent)]
    ReceiverGone(ReceiverGone),
}

impl ExpandError {
    /// The reason as it travels.
    pub const fn code(&self) -> ExpandedFailure {
        match self {
            Self::NoArchive { .. } => ExpandedFailure::NoArchive,
            Self::Unpack(UnpackError::Unsupported { .. }) => ExpandedFailure::Unsupported,
            Self::Unpack(UnpackError::Damaged { .. }) => ExpandedFailure::Damaged,
            Self::Unpack(UnpackError::Unsafe { .. }) => ExpandedFailure::Unsafe,
            Self::Unpack(UnpackError::Limit { .. }) => ExpandedFailure::Limit,
            Self::Find(_) | Self::Unpack(_) | Self::ReceiverGone(_) => ExpandedFailure::Internal,
        }
    }

    /// The message as it travels: with its causes, and without the folders of this machine.
    fn told(&self) -> String {
        let mut told = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !told.ends_with(&text) {
                told = format!("{told}: {text}");
            }
            cause = error.source();
        }
        let folder = match self {
            Self::Unpack(error) => error.archive().and_then(Path::parent),
            _ => None,
        };
        folder.map_or(told.clone(), |folder| {
            told.replace(&format!("{}{MAIN_SEPARATOR}", folder.display()), "")
        })
    }
}

impl From<UnpackError> for ExpandError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Staging(_) => Self::ReceiverGone(ReceiverGone),
            error => Self::Unpack(error),
        }
    }
}

/// Expands the archives of a downloaded game into `sink`, and closes it: with the sums, or with the
/// reason why it cannot go on.
///
/// # Errors
/// [`ExpandError`], which the receiver was told, unless it is gone.
pub fn expand<D: Disk>(
    disk: &D,
    state: &StateDir<D>,
    provider: &dyn StreamInstallProvider,
    game: &GameId,
    mut sink: StreamInstallFrameSink,
) -> Result<(), ExpandError> {
    let root = GameRoot::new(game.clone());
    let expanded = find(disk, state, &root, &|archive| provider.recognises(archive))
        .map_err(ExpandError::Find)
        .and_then(|archives| {
            if archives.is_empty() {
                return Err(ExpandError::NoArchive { game: game.clone() });
            }
            Ok(provider.expand(&archives, &mut sink)?)
        });
    match expanded {
        Ok(()) => sink
            .complete()
            .map_err(|_| ExpandError::ReceiverGone(ReceiverGone)),
        Err(error) => {
            sink.fail(&error);
            Err(error)
        }
    }
}
