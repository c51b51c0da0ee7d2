//! Lanes: TCP beside QUIC, for answers of many mebibytes over a wire that is faster than the processor.
//!
//! A system and its network card carry TCP in pieces of 64 KiB and more; QUIC's datagrams are handled by the program,
//! ten at a time at best, and one by one on Windows and macOS. A lane has the cryptography and the certificates of QUIC's
//! connections ([`secure`], [`seal`]) and belongs to one of them: whoever has no link to us is not served. It carries streams one after
//! another. First the request, a frame; then the answer in *records*: four bytes of length, big endian, and so many
//! bytes. The length 0 ends the stream, and [`RESET`] with four bytes of code ends it as broken; then the next request
//! may come. A lane that ends anywhere else is broken. The dialling side has its lanes in [`Lanes`], the other side
//! gets them from a [`LaneListener`].

mod listener;
mod pool;
mod seal;
mod secure;

use std::io;

use lanspread_proto::PeerId;
use rustls::quic::Connection;
use tokio::net::TcpStream;

#[cfg(test)]
pub(crate) use self::pool::LANES_MAX;
use self::secure::SecureStream;
pub(crate) use self::{
    listener::{LaneListener, ServedLane},
    pool::Lanes,
};
pub(super) use self::{
    listener::{LaneSender, bind},
    pool::LaneAnswer,
};
use super::error::{ResetCode, WireError};

/// The length that announces a reset.
const RESET: u32 = u32::MAX;

/// How a stream on a lane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Finished,
    Reset { code: u32 },
}

/// What comes next in an answer.
#[derive(Debug, PartialEq, Eq)]
enum Record {
    Data { bytes: usize },
    End(End),
}

/// A lane that breaks says no more than that its stream does not go on: the connection may be well.
fn broken(error: &io::Error) -> WireError {
    tracing::debug!(%error, "a lane broke");
    WireError::Reset {
        code: ResetCode::Abandoned as u64,
    }
}

/// One connection whose handshake is complete.
#[derive(Debug)]
struct Lane {
    stream: Box<SecureStream>,
}

impl Lane {
    /// Shakes hands; one system call will read up to `read_bytes`.
    async fn establish(
        handshake: Connection,
        tcp: TcpStream,
        read_bytes: usize,
    ) -> io::Result<Self> {
        let stream = SecureStream::establish(handshake, tcp, read_bytes).await?;
        Ok(Self {
            stream: Box::new(stream),
        })
    }

    /// Who is at the other end, by its certificate.
    fn peer(&self) -> PeerId {
        self.stream.peer
    }

    /// Whether nothing has come over it, not even its end, that nobody has read.
    fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }

    /// Sends bytes outside of records.
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Sends a record, all of it; waits for room.
    async fn send_record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = u32::try_from(data.len())
            .ok()
            .filter(|length| *length < RESET);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        if length > 0 {
            self.stream.write_all(&length.to_be_bytes()).await?;
            self.stream.write_all(data).await?;
            self.stream.flush().await?;
        }
        Ok(())
    }

    async fn send_end(&mut self, end: End) -> io::Result<()> {
        match end {
            End::Finished => self.stream.write_all(&0_u32.to_be_bytes()).await?,
            End::Reset { code } => {
                self.stream.write_all(&RESET.to_be_bytes()).await?;
                self.stream.write_all(&code.to_be_bytes()).await?;
            }
        }
        self.stream.flush().await?;
        self.stream.rest();
        Ok(())
    }

    async fn next_record(&mut self) -> io::Result<Record> {
        Ok(match self.stream.read_u32().await? {
            0 => Record::End(End::Finished),
            RESET => Record::End(End::Reset {
                code: self.stream.read_u32().await?,
            }),
            length => Record::Data {
                bytes: usize::try_from(length).unwrap_or(usize::MAX),
            },
        })
    }

    /// The next bytes; no end is expected here.
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(into).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}
