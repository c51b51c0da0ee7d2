//! [`ExpandedReader`]: only a well-formed stream gets through.

use super::{
    ExpandedError, ExpandedFailure, ExpandedFrame, ExpandedSums, ExpandedTotals, ExpandedWriter,
};
use crate::{
    GamePath, Hash, ManifestId, limits, names,
    path::{EntryKind, PathSet},
};

/// Characters of a sender's message that are kept.
const MESSAGE_CHARS_MAX: usize = 400;

/// What a frame that was let through means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpandedStep {
    /// Others come first.
    Queued {
        /// 1 is next.
        position: u32,
    },
    /// It begins.
    Begin {
        /// What will come, where it is known.
        totals: ExpandedTotals,
    },
    /// Make this folder, if it is not there.
    Directory(GamePath),
    /// Make this file.
    File {
        /// Where.
        path: GamePath,
        /// Its size in bytes.
        size: u64,
        /// Whether its owner may run it.
        executable: bool,
    },
    /// So many raw bytes of the file follow; pass them to [`ExpandedReader::data`].
    Data {
        /// How many.
        bytes: u32,
    },
    /// The file is complete and has its hash.
    FileEnd,
    /// Everything came, and it is what was sent.
    Complete(ExpandedSums),
}

/// Checks one stream, frame by frame.
#[derive(Debug)]
pub struct ExpandedReader {
    asked: ManifestId,
    place: Place,
    totals: ExpandedTotals,
    paths: PathSet,
    entries: u64,
    /// Bytes that the files so far declare.
    declared_bytes: u64,
    sums: ExpandedWriter,
}

#[derive(Debug)]
enum Place {
    BeforeBegin,
    Between,
    Inside(Arriving),
    Closed,
}

#[derive(Debug)]
struct Arriving {
    path: GamePath,
    size: u64,
    executable: bool,
    arrived: u64,
    /// Raw bytes that the last data frame announced and that have not come yet.
    announced: u64,
    hasher: Box<blake3::Hasher>,
}

impl ExpandedReader {
    /// A stream that shall expand the payload `asked`.
    pub fn new(asked: ManifestId) -> Self {
        Self {
            asked,
            place: Place::BeforeBegin,
            totals: ExpandedTotals::default(),
            paths: PathSet::new(),
            entries: 0,
            declared_bytes: 0,
            sums: ExpandedWriter::new(),
        }
    }

    /// Takes the next frame.
    ///
    /// # Errors
    /// [`ExpandedError`]
    pub fn frame(&mut self, frame: ExpandedFrame) -> Result<ExpandedStep, ExpandedError> {
        if matches!(&self.place, Place::Inside(file) if file.announced > 0) {
            return Err(self.out_of_place(&frame));
        }
        match (frame, &mut self.place) {
            (ExpandedFrame::Failed { code, message }, _) => Err(failed(code, &message)),
            (ExpandedFrame::Queued { position }, Place::BeforeBegin) => {
                Ok(ExpandedStep::Queued { position })
            }
            (ExpandedFrame::Begin { manifest, totals }, Place::BeforeBegin) => {
                self.begin(manifest, totals)
            }
            (ExpandedFrame::Directory { path }, Place::Between) => self.directory(&path),
            (
                ExpandedFrame::File {
                    path,
                    size,
                    executable,
                },
                Place::Between,
            ) => self.file(&path, size, executable),
            (ExpandedFrame::Data { bytes }, Place::Inside(file)) => {
                limits::check(
                    "bytes of a data frame",
                    bytes.into(),
                    limits::EXPANDED_DATA_BYTES_MAX as u64,
                )?;
                if u64::from(bytes) > file.size - file.arrived {
                    return Err(ExpandedError::Longer {
                        path: file.path.to_string(),
                        size: file.size,
                    });
                }
                file.announced = bytes.into();
                Ok(ExpandedStep::Data { bytes })
            }
            (ExpandedFrame::FileEnd { hash }, Place::Inside(_)) => self.file_end(hash),
            (ExpandedFrame::Complete(sums), Place::Between) => self.complete(sums),
            (frame, _) => Err(self.out_of_place(&frame)),
        }
    }

    /// Takes raw bytes of the file, at most as many as the last data frame announced and did not get.
    ///
    /// # Errors
    /// [`ExpandedError::Longer`] or [`ExpandedError::OutOfPlace`]
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), ExpandedError> {
        let place = self.place_shown();
        let Place::Inside(file) = &mut self.place else {
            return Err(ExpandedError::OutOfPlace {
                frame: "data",
                place,
            });
        };
        let length = bytes.len() as u64;
        if length > file.announced {
            return Err(ExpandedError::Longer {
                path: file.path.to_string(),
                size: file.size,
            });
        }
        file.announced -= length;
        file.arrived += length;
        file.hasher.update(bytes);
        Ok(())
    }

    /// The stream ended.
    ///
    /// # Errors
    /// [`ExpandedError::Unfinished`] unless the closing frame came.
    pub const fn end(&self) -> Result<(), ExpandedError> {
        match self.place {
            Place::Closed => Ok(()),
            _ => Err(ExpandedError::Unfinished {
                place: self.place_shown(),
            }),
        }
    }

    // # Frames

    fn begin(
        &mut self,
        offered: ManifestId,
        totals: ExpandedTotals,
    ) -> Result<ExpandedStep, ExpandedError> {
        if offered != self.asked {
            return Err(ExpandedError::OtherPayload {
                asked: self.asked,
                offered,
            });
        }
        let files = totals.files.unwrap_or_default();
        limits::check("files", files, limits::MANIFEST_ENTRIES_MAX as u64)?;
        let bytes = totals.bytes.unwrap_or_default();
        limits::check("bytes of all files", bytes, limits::GAME_BYTES_MAX)?;
        self.totals = totals;
        self.place = Place::Between;
        Ok(ExpandedStep::Begin { totals })
    }

    fn directory(&mut self, path: &str) -> Result<ExpandedStep, ExpandedError> {
        let path = self.parse(path)?;
        self.paths
            .insert_folder(&path)
            .map_err(ExpandedError::Path)?;
        self.sums.directory(&path);
        Ok(ExpandedStep::Directory(path))
    }

    fn file(
        &mut self,
        path: &str,
        size: u64,
        executable: bool,
    ) -> Result<ExpandedStep, ExpandedError> {
        let path = self.parse(path)?;
        limits::check("bytes of a file", size, limits::FILE_BYTES_MAX)?;
        self.declared_bytes += size;
        limits::check(
            "bytes of all files",
            self.declared_bytes,
            limits::GAME_BYTES_MAX,
        )?;
        over("bytes", self.declared_bytes, self.totals.bytes)?;
        over("files", self.sums.files() + 1, self.totals.files)?;
        self.paths
            .insert(&path, EntryKind::File)
            .map_err(ExpandedError::Path)?;
        self.place = Place::Inside(Arriving {
            path: path.clone(),
            size,
            executable,
            arrived: 0,
            announced: 0,
            hasher: Box::default(),
        });
        Ok(ExpandedStep::File {
            path,
            size,
            executable,
        })
    }

    fn file_end(&mut self, hash: Hash) -> Result<ExpandedStep, ExpandedError> {
        let Place::Inside(file) = std::mem::replace(&mut self.place, Place::Between) else {
            return Ok(ExpandedStep::FileEnd);
        };
        if file.arrived < file.size {
            return Err(ExpandedError::Shorter {
                path: file.path.to_string(),
                size: file.size,
                actual: file.arrived,
            });
        }
        if Hash::from(file.hasher.finalize()) != hash {
            return Err(ExpandedError::WrongHash {
                path: file.path.to_string(),
            });
        }
        self.sums.file(&file.path, file.size, file.executable, hash);
        Ok(ExpandedStep::FileEnd)
    }

    fn complete(&mut self, sums: ExpandedSums) -> Result<ExpandedStep, ExpandedError> {
        let came = self.sums.sums();
        let told = ExpandedTotals {
            files: self.totals.files.map(|_| came.files),
            bytes: self.totals.bytes.map(|_| came.bytes),
        };
        if sums != came || told != self.totals {
            return Err(ExpandedError::WrongSums);
        }
        self.place = Place::Closed;
        Ok(ExpandedStep::Complete(sums))
    }

    fn parse(&mut self, path: &str) -> Result<GamePath, ExpandedError> {
        self.entries += 1;
        limits::check("entries", self.entries, limits::MANIFEST_ENTRIES_MAX as u64)?;
        let path: GamePath = path.parse().map_err(ExpandedError::Path)?;
        if path.components().next().is_some_and(names::is_owned_marker) {
            return Err(ExpandedError::Reserved {
                path: path.to_string(),
            });
        }
        Ok(path)
    }

    // # Words

    fn out_of_place(&self, frame: &ExpandedFrame) -> ExpandedError {
        ExpandedError::OutOfPlace {
            frame: frame.name(),
            place: self.place_shown(),
        }
    }

    const fn place_shown(&self) -> &'static str {
        match self.place {
            Place::BeforeBegin => "before the beginning",
            Place::Between => "between the entries",
            Place::Inside(_) => "inside of a file",
            Place::Closed => "after the end",
        }
    }
}

impl ExpandedFrame {
    const fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queue",
            Self::Begin { .. } => "beginning",
            Self::Directory { .. } => "directory",
            Self::File { .. } => "file",
            Self::Data { .. } => "data",
            Self::FileEnd { .. } => "file end",
            Self::Complete(_) => "closing",
            Self::Failed { .. } => "failure",
        }
    }
}

fn over(what: &'static str, actual: u64, total: Option<u64>) -> Result<(), ExpandedError> {
    match total {
        Some(total) if actual > total => Err(ExpandedError::OverTotals { what, total }),
        _ => Ok(()),
    }
}

/// A sender's words are shown to people: cut, and without control characters.
fn failed(code: ExpandedFailure, message: &str) -> ExpandedError {
    let shown = message.chars().filter(|char| !char.is_control());
    ExpandedError::Failed {
        code,
        message: shown.take(MESSAGE_CHARS_MAX).collect(),
    }
}
