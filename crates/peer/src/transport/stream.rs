//! The two halves of a stream: frames and raw bytes, each with its own clock.

use std::time::Duration;

use bytes::Bytes;
use lanspread_proto::{
    frame::{self, FrameDecoder},
    limits,
};
use s2n_quic::stream::{ReceiveStream, SendStream};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::error::{ResetCode, WireError};

/// The sending half. Dropped before [`SendHalf::finish`] it resets the stream.
#[derive(Debug)]
pub(crate) struct SendHalf {
    stream: SendStream,
    finished: bool,
}

impl SendHalf {
    pub(super) const fn new(stream: SendStream) -> Self {
        Self {
            stream,
            finished: false,
        }
    }

    /// Queues a message as one frame; waits for room.
    pub(crate) async fn message<T: Serialize + Sync>(
        &mut self,
        message: &T,
    ) -> Result<(), WireError> {
        self.bytes(frame::encode(message)?).await
    }

    /// Queues raw bytes; waits for room, but not for a reader that has stopped reading. Not queued at
    /// all when it is cancelled.
    pub(crate) async fn bytes(&mut self, data: Bytes) -> Result<(), WireError> {
        let (what, after) = ("reader", limits::PROGRESS_TIMEOUT);
        match timeout(after, self.stream.send(data)).await {
            Ok(sent) => sent.map_err(WireError::of_stream),
            Err(_) => Err(WireError::Timeout { what, after }),
        }
    }

    /// Ends the stream on purpose. What is queued is still delivered.
    pub(crate) fn finish(mut self) -> Result<(), WireError> {
        self.finished = true;
        self.stream.finish().map_err(WireError::of_stream)
    }

    /// Ends the stream as broken, with a reason.
    pub(crate) fn reset(mut self, code: ResetCode) {
        self.finished = true;
        // The other side may be gone already, which is as good.
        let _ = self.stream.reset(code.into());
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.stream.reset(ResetCode::Abandoned.into());
        }
    }
}

/// The receiving half. Dropped before the end it tells the other side to stop.
#[derive(Debug)]
pub(crate) struct RecvHalf {
    stream: ReceiveStream,
    decoder: FrameDecoder,
    ended: bool,
}

impl RecvHalf {
    pub(super) fn new(stream: ReceiveStream) -> Self {
        Self {
            stream,
            decoder: FrameDecoder::new(),
            ended: false,
        }
    }

    /// The next message; its first byte must come within `first`, all of it within
    /// [`limits::WHOLE_FRAME_TIMEOUT`] after that.
    pub(crate) async fn message<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        first: Duration,
    ) -> Result<T, WireError> {
        if !self.decoder.is_mid_frame() && !self.more(what, first).await? {
            return Err(WireError::EndedEarly { what });
        }
        self.rest_of_message(what).await
    }

    /// The next message of a stream on which nothing may come for any time; `None` at its end.
    pub(crate) async fn pushed<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
    ) -> Result<Option<T>, WireError> {
        if !self.decoder.is_mid_frame() {
            match self.receive().await? {
                Some(data) => self.decoder.push(&data),
                None => return Ok(None),
            }
        }
        self.rest_of_message(what).await.map(Some)
    }

    async fn rest_of_message<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
    ) -> Result<T, WireError> {
        let after = limits::WHOLE_FRAME_TIMEOUT;
        let whole = async {
            loop {
                if let Some(message) = self.decoder.next_message()? {
                    return Ok(message);
                }
                match self.receive().await? {
                    Some(data) => self.decoder.push(&data),
                    None => return Err(WireError::EndedEarly { what }),
                }
            }
        };
        timeout(after, whole)
            .await
            .unwrap_or(Err(WireError::Timeout { what, after }))
    }

    /// The next raw bytes, after the last frame; `None` at the stream's end.
    pub(crate) async fn bytes(&mut self) -> Result<Option<Bytes>, WireError> {
        if self.decoder.is_mid_frame() {
            return Ok(Some(self.decoder.take_rest()));
        }
        self.receive().await
    }

    /// Exactly `count` raw bytes, each piece within the progress time-out.
    pub(crate) async fn exactly(
        &mut self,
        count: usize,
        what: &'static str,
    ) -> Result<Vec<u8>, WireError> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let after = limits::PROGRESS_TIMEOUT;
            let piece = timeout(after, self.bytes())
                .await
                .map_err(|_| WireError::Timeout { what, after })??
                .ok_or(WireError::EndedEarly { what })?;
            all.extend_from_slice(&piece);
        }
        if all.len() > count {
            Err(WireError::TooManyBytes)
        } else {
            Ok(all)
        }
    }

    async fn more(&mut self, what: &'static str, after: Duration) -> Result<bool, WireError> {
        let data = timeout(after, self.receive())
            .await
            .map_err(|_| WireError::Timeout { what, after })??;
        if let Some(data) = &data {
            self.decoder.push(data);
        }
        Ok(data.is_some())
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, WireError> {
        let received = self.stream.receive().await.map_err(WireError::of_stream);
        self.ended |= !matches!(received, Ok(Some(_)));
        received
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        if !self.ended {
            // The connection may be gone already, which is as good.
            let _ = self.stream.stop_sending(ResetCode::Abandoned.into());
        }
    }
}
