//! The frame codec: a big-endian `u32` length and that many bytes of JSON.
//!
//! The length is checked before anything is allocated, and the JSON's depth before it is parsed.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use crate::limits::{CONTROL_FRAME_BYTES_MAX, JSON_DEPTH_MAX};

/// Bytes of a frame's length.
pub const HEADER_BYTES: usize = 4;

/// Why bytes are not a frame of ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than [`CONTROL_FRAME_BYTES_MAX`].
    #[error("a control frame has at most {CONTROL_FRAME_BYTES_MAX} bytes, this one says {actual}")]
    TooLong {
        /// What its length says.
        actual: usize,
    },
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    #[error("a message nests at most {JSON_DEPTH_MAX} deep")]
    TooDeep,
    /// Not JSON, or not the message that was expected.
    #[error("a frame does not hold the expected message")]
    Json(#[source] serde_json::Error),
}

/// The frame that carries `message`.
///
/// # Errors
/// [`FrameError::TooLong`] when the message does not fit into one frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Bytes, FrameError> {
    let mut frame = BytesMut::zeroed(HEADER_BYTES).writer();
    serde_json::to_writer(&mut frame, message).map_err(FrameError::Json)?;
    let mut frame = frame.into_inner();
    let length = frame.len() - HEADER_BYTES;
    if length > CONTROL_FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { actual: length });
    }
    let prefix = u32::try_from(length).map_err(|_| FrameError::TooLong { actual: length })?;
    (&mut frame[..HEADER_BYTES]).put_u32(prefix);
    Ok(frame.freeze())
}

/// The message in a frame's body.
///
/// # Errors
/// [`FrameError::TooDeep`] or [`FrameError::Json`].
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    if nests_deeper_than(body, JSON_DEPTH_MAX) {
        return Err(FrameError::TooDeep);
    }
    serde_json::from_slice(body).map_err(FrameError::Json)
}

/// Cuts frames out of bytes that arrive in pieces of any size.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
}

impl FrameDecoder {
    /// A decoder without bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes from the wire.
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next frame's body, if it is complete.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] as soon as the length is known.
    pub fn next_body(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > CONTROL_FRAME_BYTES_MAX {
            return Err(FrameError::TooLong { actual: length });
        }
        if self.buffer.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// The next message, if its frame is complete.
    ///
    /// # Errors
    /// [`FrameError`]; the stream is of no use afterwards.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        self.next_body()?.map(|body| decode(&body)).transpose()
    }

    /// Whether bytes of an incomplete frame are waiting.
    pub fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes at most `count` of the raw bytes that came after the last frame.
    pub fn take_raw(&mut self, count: usize) -> Bytes {
        self.buffer.split_to(count.min(self.buffer.len())).freeze()
    }

    /// Takes what came after the last frame: raw bytes of an answer that has some.
    pub fn take_rest(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }
}

/// Counts brackets outside of strings; what is not JSON at all is left to the parser.
fn nests_deeper_than(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn frames_come_out_whatever_the_pieces() {
        let messages = [json!({"a": 1}), json!("x".repeat(3000)), json!([])];
        let wire: Vec<u8> = messages
            .iter()
            .flat_map(|message| encode(message).unwrap())
            .collect();
        for piece in [1, 3, 4, 5, 1000, wire.len()] {
            let mut decoder = FrameDecoder::new();
            let mut got = Vec::new();
            for part in wire.chunks(piece) {
                decoder.push(part);
                while let Some(message) = decoder.next_message::<Value>().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, messages, "pieces of {piece}");
            assert!(!decoder.is_mid_frame());
        }
    }

    #[test]
    fn the_length_is_refused_before_the_body_comes() {
        let mut decoder = FrameDecoder::new();
        let over = u32::try_from(CONTROL_FRAME_BYTES_MAX + 1).unwrap();
        decoder.push(&over.to_be_bytes());
        assert!(matches!(
            decoder.next_body(),
            Err(FrameError::TooLong { .. })
        ));
    }

    #[test]
    fn a_frame_holds_the_limit_and_not_one_byte_more() {
        let fits = "x".repeat(CONTROL_FRAME_BYTES_MAX - 2);
        assert_eq!(
            encode(&fits).unwrap().len(),
            HEADER_BYTES + CONTROL_FRAME_BYTES_MAX
        );
        assert!(matches!(
            encode(&format!("{fits}x")),
            Err(FrameError::TooLong { .. })
        ));
    }

    #[test]
    fn depth_sixteen_passes_and_seventeen_does_not() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(decode::<Value>(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        let refused = decode::<Value>(nested(JSON_DEPTH_MAX + 1).as_bytes());
        assert!(matches!(refused, Err(FrameError::TooDeep)));
        assert!(decode::<Value>(format!("{:?}", "[\"[".repeat(40)).as_bytes()).is_ok());
    }
}
