//! Lanes: TCP beside QUIC, for answers of many mebibytes over a wire that is faster than the processor.
//!
//! A system and its network card carry TCP in pieces of 64 KiB and more; QUIC's datagrams are handled by the program,
//! ten at a time at best, and one by one on Windows and macOS. A lane has the TLS and the certificates of QUIC's
//! connections and belongs to one of them: whoever has no link to us is not served. It carries streams one after
//! another. First the request, a frame; then the answer in *records*: four bytes of length, big endian, and so many
//! bytes. The length 0 ends the stream, and [`RESET`] with four bytes of code ends it as broken; then the next request
//! may come. A lane that ends anywhere else is broken. The dialling side has its lanes in [`Lanes`], the other side
//! gets them from a [`LaneListener`].

mod listener;
mod pool;

use std::io;

use lanspread_proto::PeerId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

#[cfg(test)]
pub(crate) use self::pool::LANES_MAX;
pub(crate) use self::{
    listener::{LaneListener, ServedLane},
    pool::Lanes,
};
pub(super) use self::{
    listener::{LaneSender, bind},
    pool::LaneAnswer,
};
use super::{
    error::{ResetCode, WireError},
    identity,
};

/// What one system call may bring; TLS by itself asks for 4 KiB at a time.
const READ_BYTES: usize = 256 * 1024;

/// What may be encrypted ahead of the socket; with less, each system call takes less.
const WRITE_BYTES: usize = 256 * 1024;

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

/// One connection whose TLS is complete.
#[derive(Debug)]
struct Lane {
    stream: Box<TlsStream<BufReader<TcpStream>>>,
}

impl Lane {
    fn new(mut stream: TlsStream<BufReader<TcpStream>>) -> Self {
        match &mut stream {
            TlsStream::Client(side) => side.get_mut().1.set_buffer_limit(Some(WRITE_BYTES)),
            TlsStream::Server(side) => side.get_mut().1.set_buffer_limit(Some(WRITE_BYTES)),
        }
        Self {
            stream: Box::new(stream),
        }
    }

    /// Who is at the other end, by its certificate.
    fn peer(&self) -> Option<PeerId> {
        let certificates = self.stream.get_ref().1.peer_certificates()?;
        identity::id_of_certificate(certificates.first()?)
    }

    /// Whether nothing has come over it, not even its end, that nobody has read.
    fn is_quiet(&self) -> bool {
        let (buffered, _) = self.stream.get_ref();
        let nothing = buffered.get_ref().try_read(&mut [0]);
        let would_block = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        buffered.buffer().is_empty() && nothing.is_err_and(would_block)
    }

    /// Sends bytes outside of records.
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Sends a record; waits for room.
    async fn send_record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = u32::try_from(data.len())
            .ok()
            .filter(|length| *length < RESET);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        if length > 0 {
            self.stream.write_all(&length.to_be_bytes()).await?;
            self.stream.write_all(data).await?;
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
        self.stream.flush().await
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
