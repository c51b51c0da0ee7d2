//! [`ExpandedDecoder`]: from the bytes of a stream to what they mean.

use bytes::Bytes;

use super::{ExpandedError, ExpandedReader, ExpandedStep};
use crate::{ManifestId, frame::FrameDecoder};

/// Something that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpandedPiece {
    /// A frame, which was let through.
    Step(ExpandedStep),
    /// The next bytes of the file.
    Data(Bytes),
}

/// Cuts one stream into frames and raw bytes, and checks them.
#[derive(Debug)]
pub struct ExpandedDecoder {
    frames: FrameDecoder,
    reader: ExpandedReader,
    /// Raw bytes that were announced and have not come yet.
    raw_bytes: u32,
}

impl ExpandedDecoder {
    /// A stream that shall expand the payload `asked`.
    pub fn new(asked: ManifestId) -> Self {
        Self {
            frames: FrameDecoder::new(),
            reader: ExpandedReader::new(asked),
            raw_bytes: 0,
        }
    }

    /// Takes the next bytes from the wire.
    pub fn push(&mut self, wire: &[u8]) {
        self.frames.push(wire);
    }

    /// The next piece; `None` when more bytes must come first.
    ///
    /// # Errors
    /// [`ExpandedError`]; the stream is of no use then.
    pub fn next_piece(&mut self) -> Result<Option<ExpandedPiece>, ExpandedError> {
        if self.raw_bytes > 0 {
            return self.raw();
        }
        let Some(frame) = self.frames.next_message()? else {
            return Ok(None);
        };
        let step = self.reader.frame(frame)?;
        if let ExpandedStep::Data { bytes } = step {
            self.raw_bytes = bytes;
        }
        Ok(Some(ExpandedPiece::Step(step)))
    }

    /// The wire ended.
    ///
    /// # Errors
    /// [`ExpandedError::Unfinished`] unless all came.
    pub const fn end(&self) -> Result<(), ExpandedError> {
        self.reader.end()
    }

    fn raw(&mut self) -> Result<Option<ExpandedPiece>, ExpandedError> {
        let data = self.frames.take_raw(self.raw_bytes as usize);
        if data.is_empty() {
            return Ok(None);
        }
        self.reader.data(&data)?;
        self.raw_bytes -= u32::try_from(data.len()).unwrap_or(self.raw_bytes);
        Ok(Some(ExpandedPiece::Data(data)))
    }
}
