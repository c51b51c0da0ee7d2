//! [`Input`]: an archive's bytes, read through a window that notices a cancel and remembers a disk that
//! failed.
//!
//! Decoders report errors in their own words, some as plain text. So what happened below a decoder is
//! kept in a [`Watch`], which is asked first when a decoder fails: was it the archive, or was it us?

use std::{
    error::Error,
    io::{self, BufRead, Read, Seek, SeekFrom},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use lanspread_install::{ArchiveFile, ArchiveReader};

use crate::error::Problem;

/// The first read after a seek: enough for a header, little enough for indexes of many small entries.
const WINDOW_BYTES_MIN: usize = 4 * 1024;

/// What reading on grows to.
const WINDOW_BYTES_MAX: usize = 256 * 1024;

/// The cancel flag, and what went wrong below a decoder.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    cancelled: Arc<AtomicBool>,
    disk_error: Arc<Mutex<Option<io::Error>>>,
}

impl Watch {
    pub(crate) fn new(cancelled: Arc<AtomicBool>) -> Self {
        Self {
            cancelled,
            disk_error: Arc::default(),
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.is_cancelled() {
            Err(Problem::cancelled())
        } else {
            Ok(())
        }
    }

    /// Why a decoder failed that says `error`: a cancel or the disk if it was one of them, else the
    /// archive.
    pub(crate) fn blame(&self, error: impl Into<Box<dyn Error + Send + Sync>>) -> Problem {
        self.own_fault().unwrap_or_else(|| Problem::damaged(error))
    }

    /// A cancel or a failure of the disk, if there was one.
    pub(crate) fn own_fault(&self) -> Option<Problem> {
        if self.is_cancelled() {
            return Some(Problem::cancelled());
        }
        let disk_error = self
            .disk_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        disk_error.map(Problem::Read)
    }

    fn remember(&self, error: io::Error) -> io::Error {
        let told = io::Error::from(error.kind());
        *self
            .disk_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(error);
        told
    }
}

/// Reads one archive. A clone begins at the same position with a window of its own.
#[derive(Debug)]
pub(crate) struct Input {
    reader: ArchiveReader,
    watch: Watch,
    bytes: u64,
    position: u64,
    window: Vec<u8>,
    /// Where in the archive the window begins.
    window_start: u64,
}

impl Input {
    pub(crate) fn new(archive: &ArchiveFile, watch: &Watch) -> Self {
        Self {
            reader: archive.reader(),
            watch: watch.clone(),
            bytes: archive.bytes(),
            position: 0,
            window: Vec::new(),
            window_start: 0,
        }
    }

    /// The archive's size.
    pub(crate) const fn len(&self) -> u64 {
        self.bytes
    }

    pub(crate) const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// What of the window lies at the position.
    fn ready(&self) -> &[u8] {
        self.position
            .checked_sub(self.window_start)
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| self.window.get(offset..))
            .unwrap_or_default()
    }

    fn read_at_position(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.watch.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        self.reader
            .seek(SeekFrom::Start(self.position))
            .and_then(|_| self.reader.read(buffer))
            .map_err(|error| self.watch.remember(error))
    }

    fn fill(&mut self) -> io::Result<()> {
        let reads_on = self.window_start + self.window.len() as u64 == self.position;
        let wanted = if reads_on {
            (4 * self.window.len()).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
        } else {
            WINDOW_BYTES_MIN
        };
        let mut window = std::mem::take(&mut self.window);
        window.resize(wanted, 0);
        let read = self.read_at_position(&mut window)?;
        window.truncate(read);
        self.window = window;
        self.window_start = self.position;
        Ok(())
    }
}

impl Clone for Input {
    fn clone(&self) -> Self {
        Self {
            reader: self.reader.clone(),
            watch: self.watch.clone(),
            bytes: self.bytes,
            position: self.position,
            window: Vec::new(),
            window_start: 0,
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ready().is_empty() && buffer.len() >= WINDOW_BYTES_MAX {
            let read = self.read_at_position(buffer)?;
            self.position += read as u64;
            return Ok(read);
        }
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ready().is_empty() && self.position < self.bytes {
            self.fill()?;
        }
        Ok(self.ready())
    }

    fn consume(&mut self, count: usize) {
        self.position += count as u64;
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
