//! The two halves of a stream, of QUIC or on a lane: frames and raw bytes, each with its own clock.

use std::time::Duration;

use bytes::Bytes;
use lanspread_proto::{
    frame::{self, FrameDecoder},
    limits,
};
use s2n_quic::stream::{ReceiveStream, SendStream};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    error::{ResetCode, WireError},
    lane::{LaneAnswer, LaneSender},
};

/// The sending half. Dropped before [`SendHalf::finish`] it resets the stream.
#[derive(Debug)]
pub(crate) struct SendHalf {
    /// Until it has ended.
    sink: Option<Sink>,
}

#[derive(Debug)]
enum Sink {
    Quic(SendStream),
    Lane(LaneSender),
}

impl SendHalf {
    pub(super) const fn new(stream: SendStream) -> Self {
        Self {
            sink: Some(Sink::Quic(stream)),
        }
    }

    pub(super) const fn on_lane(sender: LaneSender) -> Self {
        Self {
            sink: Some(Sink::Lane(sender)),
        }
    }

    /// Queues a message as one frame; waits for room.
    pub(crate) async fn message<T: Serialize + Sync>(
        &mut self,
        message: &T,
    ) -> Result<(), WireError> {
        self.bytes(frame::encode(message)?).await
    }

    /// Queues raw bytes; waits for room, but not for a reader that has stopped reading. Of QUIC
    /// not queued at all when it is cancelled; a lane is broken then.
    pub(crate) async fn bytes(&mut self, data: Bytes) -> Result<(), WireError> {
        let (what, after) = ("reader", limits::PROGRESS_TIMEOUT);
        let sending = async {
            match &mut self.sink {
                Some(Sink::Quic(stream)) => stream.send(data).await.map_err(WireError::of_stream),
                Some(Sink::Lane(lane)) => lane.send(&data).await,
                None => Ok(()),
            }
        };
        let sent = timeout(after, sending).await;
        sent.unwrap_or(Err(WireError::Timeout { what, after }))
    }

    /// Ends the stream on purpose. What is queued is still delivered.
    pub(crate) fn finish(mut self) -> Result<(), WireError> {
        match self.sink.take() {
            Some(Sink::Quic(mut stream)) => stream.finish().map_err(WireError::of_stream),
            Some(Sink::Lane(lane)) => {
                lane.end(None);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Ends the stream as broken, with a reason.
    pub(crate) fn reset(mut self, code: ResetCode) {
        match self.sink.take() {
            // The other side may be gone already, which is as good.
            Some(Sink::Quic(mut stream)) => drop(stream.reset(code.into())),
            Some(Sink::Lane(lane)) => lane.end(Some(code)),
            None => {}
        }
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        // A lane in the middle of a stream closes by itself.
        if let Some(Sink::Quic(stream)) = &mut self.sink {
            let _ = stream.reset(ResetCode::Abandoned.into());
        }
    }
}

/// The receiving half. Dropped before the end it tells the other side to stop.
#[derive(Debug)]
pub(crate) struct RecvHalf {
    origin: Origin,
    decoder: FrameDecoder,
    /// Raw bytes that came and were not read yet.
    rest: Bytes,
    ended: bool,
}

#[derive(Debug)]
enum Origin {
    Quic(ReceiveStream),
    Lane(LaneAnswer),
}

impl RecvHalf {
    pub(super) fn new(stream: ReceiveStream) -> Self {
        Self::of(Origin::Quic(stream))
    }

    pub(super) fn on_lane(answer: LaneAnswer) -> Self {
        Self::of(Origin::Lane(answer))
    }

    fn of(origin: Origin) -> Self {
        Self {
            origin,
            decoder: FrameDecoder::new(),
            rest: Bytes::new(),
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
        if self.rest.is_empty() {
            return self.receive().await;
        }
        Ok(Some(std::mem::take(&mut self.rest)))
    }

    /// Fills the start of `into` with the next raw bytes, after the last frame; 0 at the stream's end.
    pub(crate) async fn read(&mut self, into: &mut [u8]) -> Result<usize, WireError> {
        if self.rest.is_empty() && self.decoder.is_mid_frame() {
            self.rest = self.decoder.take_rest();
        }
        if self.rest.is_empty() {
            if let Origin::Lane(lane) = &mut self.origin {
                let read = lane.read(into).await;
                self.ended |= !matches!(read, Ok(1..));
                return read;
            }
            match self.receive().await? {
                Some(data) => self.rest = data,
                None => return Ok(0),
            }
        }
        let read = self.rest.len().min(into.len());
        into[..read].copy_from_slice(&self.rest.split_to(read));
        Ok(read)
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
        let received = match &mut self.origin {
            Origin::Quic(stream) => stream.receive().await.map_err(WireError::of_stream),
            Origin::Lane(lane) => lane.receive().await,
        };
        self.ended |= !matches!(received, Ok(Some(_)));
        received
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        if let Origin::Quic(stream) = &mut self.origin
            && !self.ended
        {
            // The connection may be gone already, which is as good.
            let _ = stream.stop_sending(ResetCode::Abandoned.into());
        }
    }
}
