//! The receiving side: from the bytes of the wire to an install transaction.

use std::sync::Arc;

use bytes::Bytes;
use lanspread_disk::{Disk, StateDir};
use lanspread_proto::{
    GameId, ManifestId, Version,
    expanded::{ExpandedDecoder, ExpandedError, ExpandedPiece, ExpandedStep, ExpandedSums},
};

use crate::{
    install::{InstallControl, InstallError, InstallRequest, InstallSource, InstallTransaction},
    unpack::{StagedFile, Staging, StagingError, Totals},
};

/// What to install from a peer.
#[derive(Debug, Clone)]
pub struct StreamedInstallRequest {
    /// The game.
    pub game: GameId,
    /// The payload whose archives are expanded.
    pub payload: ManifestId,
    /// Its version.
    pub version: Version,
    /// Bytes to leave free on the disk; `None` for the larger of 1 % and 1 GiB.
    pub reserve_bytes: Option<u64>,
}

/// What a caller may want to tell while bytes arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamStep {
    /// The sender has others to serve first.
    Queued {
        /// 1 is next.
        position: u32,
    },
    /// The sender expands; there is room for what will come, as far as that is known.
    Begun {
        /// What will come.
        totals: Totals,
    },
    /// Everything came.
    Complete(ExpandedSums),
}

/// Where the bytes come from.
pub trait WireSource {
    /// Waits for the next bytes; `None` at the end.
    ///
    /// # Errors
    /// Whatever ended the stream that is not its end.
    fn next(&mut self) -> Result<Option<Bytes>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Why an attempt at a streamed install failed; it is rolled back then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamInstallError {
    /// This machine cannot install it, or somebody cancelled.
    #[error(transparent)]
    Install(InstallError),
    /// The sender does not send what it should, or says that it cannot.
    #[error("the stream of {game} is of no use")]
    Stream {
        /// The game.
        game: GameId,
        /// What is wrong with it.
        #[source]
        source: ExpandedError,
    },
    /// The stream broke.
    #[error("the stream of {game} broke")]
    Broken {
        /// The game.
        game: GameId,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StreamInstallError {
    /// Whether another peer may do better.
    pub const fn is_worth_another_peer(&self) -> bool {
        matches!(self, Self::Stream { .. } | Self::Broken { .. })
    }
}

impl From<StagingError> for StreamInstallError {
    fn from(error: StagingError) -> Self {
        Self::Install(error.into())
    }
}

/// A streamed install under way: an install transaction that is filled from a peer and needs no
/// download here.
///
/// Dropping it leaves the staging folder to recovery, as a crash would.
#[must_use = "a streamed install does nothing until bytes are received"]
pub struct StreamedInstallTransaction<D: Disk> {
    install: InstallTransaction<D>,
    game: GameId,
    payload: ManifestId,
}

impl<D: Disk> StreamedInstallTransaction<D> {
    /// Begins: recovers the game, writes the intent, makes the staging folder, and the game root where
    /// there is none.
    ///
    /// # Errors
    /// [`InstallError`]; the game is as it was.
    pub fn begin(
        disk: &Arc<D>,
        state: &Arc<StateDir<D>>,
        request: &StreamedInstallRequest,
        control: &InstallControl,
    ) -> Result<Self, InstallError> {
        let source = InstallSource::Streamed {
            version: request.version.clone(),
        };
        let install = InstallRequest {
            game: request.game.clone(),
            reserve_bytes: request.reserve_bytes,
        };
        Ok(Self {
            install: InstallTransaction::begin(disk, state, &install, source, control)?,
            game: request.game.clone(),
            payload: request.payload,
        })
    }

    /// Receives everything. What comes back is complete, has the hashes that were sent with it, and is
    /// to be [published](InstallTransaction::publish).
    ///
    /// # Errors
    /// [`StreamInstallError`]; the staging folder is gone then, and so is a game root that was made for it.
    pub fn receive(
        self,
        wire: &mut dyn WireSource,
        told: &dyn Fn(StreamStep),
    ) -> Result<InstallTransaction<D>, StreamInstallError> {
        match self.fill(wire, told) {
            Ok(()) => Ok(self.install),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Gives it up: the staging folder goes, and the game is as it was.
    pub fn discard(self) {
        if let Err(error) = self.install.discard() {
            tracing::warn!(game = %self.game, %error, "left for recovery");
        }
    }

    fn fill(
        &self,
        wire: &mut dyn WireSource,
        told: &dyn Fn(StreamStep),
    ) -> Result<(), StreamInstallError> {
        let bad = |source| StreamInstallError::Stream {
            game: self.game.clone(),
            source,
        };
        let mut decoder = ExpandedDecoder::new(self.payload);
        let mut file: Option<Box<dyn StagedFile + '_>> = None;
        loop {
            while let Some(piece) = decoder.next_piece().map_err(bad)? {
                match piece {
                    ExpandedPiece::Data(bytes) => {
                        if let Some(file) = &mut file {
                            file.write(&bytes)?;
                        }
                    }
                    ExpandedPiece::Step(step) => self.step(step, &mut file, told)?,
                }
            }
            let next = wire.next().map_err(|source| StreamInstallError::Broken {
                game: self.game.clone(),
                source,
            })?;
            match next {
                Some(bytes) => decoder.push(&bytes),
                None => return decoder.end().map_err(bad),
            }
        }
    }

    fn step<'t>(
        &'t self,
        step: ExpandedStep,
        file: &mut Option<Box<dyn StagedFile + 't>>,
        told: &dyn Fn(StreamStep),
    ) -> Result<(), StreamInstallError> {
        match step {
            ExpandedStep::Queued { position } => told(StreamStep::Queued { position }),
            ExpandedStep::Begin { totals } => {
                let totals = Totals {
                    bytes: totals.bytes,
                    files: totals.files,
                };
                self.install.expect(totals)?;
                told(StreamStep::Begun { totals });
            }
            ExpandedStep::Directory(path) => self.install.create_folder(&path)?,
            ExpandedStep::File {
                path, executable, ..
            } => *file = Some(self.install.create_file(&path, executable)?),
            ExpandedStep::Data { .. } => {}
            ExpandedStep::FileEnd => {
                if let Some(file) = file.take() {
                    file.finish()?;
                }
            }
            ExpandedStep::Complete(sums) => told(StreamStep::Complete(sums)),
        }
        Ok(())
    }
}
