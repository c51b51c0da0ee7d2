//! A lane's connection: TCP, and on it the handshake and the keys of TLS 1.3, used as QUIC uses them.
//!
//! The messages of the handshake come in frames, too: the first of each side as it is, all others under the keys that
//! rustls gives for them. After it one direction is a sequence of bytes, in frames of any size up to
//! [`FRAME_BYTES_MAX`]. Its end is not protected: who reads must know where it may be.

use std::{io, ops::Range};

use lanspread_proto::PeerId;
use rustls::quic::{Connection, KeyChange};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::seal::{FRAME_BYTES_MAX, HEADER_BYTES, Keys, frame_bytes};
use crate::transport::identity;

/// What is encrypted ahead of the socket, for one system call to take: a piece of a run, and its length in a frame more.
const WRITE_BYTES: usize = 256 * 1024 + FRAME_BYTES_MAX;

/// A connection whose other side is known.
pub(super) struct SecureStream {
    /// Who that is, proved by its certificate.
    pub(super) peer: PeerId,
    wire: Wire,
}

/// The socket, and what came from it or is to go to it.
struct Wire {
    tcp: TcpStream,
    opener: Option<Keys>,
    sealer: Option<Keys>,
    incoming: Incoming,
    outgoing: Vec<u8>,
    /// Where in `outgoing` the frame begins that is not full yet.
    unsealed: usize,
}

/// Frames as they came, in a buffer that is used again and again.
struct Incoming {
    buffer: Vec<u8>,
    /// What came and was not looked at.
    raw: Range<usize>,
    /// What was decrypted and not read yet; it lies before `raw`.
    plain: Range<usize>,
}

impl std::fmt::Debug for SecureStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecureStream")
            .field("peer", &self.peer)
            .field("tcp", &self.wire.tcp)
            .finish_non_exhaustive()
    }
}

impl SecureStream {
    /// Shakes hands; one system call will read up to `read_bytes`.
    pub(super) async fn establish(
        mut handshake: Connection,
        tcp: TcpStream,
        read_bytes: usize,
    ) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let mut wire = Wire::new(tcp, read_bytes);
        let mut receiving = None;
        loop {
            receiving = wire.say(&mut handshake).await?.or(receiving);
            if !handshake.is_handshaking() {
                break;
            }
            if !wire.next_frame().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let message = wire.incoming.take_plain();
            handshake.read_hs(message).map_err(io::Error::other)?;
        }
        let unsealed = || io::Error::other("the handshake ended without keys");
        wire.opener = Some(receiving.ok_or_else(unsealed)?);
        let certificates = handshake.peer_certificates();
        let first = certificates.and_then(<[_]>::first);
        let peer = first.and_then(|certificate| identity::id_of_certificate(certificate));
        let nobody = || io::Error::other("the other side has no certificate of a peer");
        Ok(Self {
            peer: peer.ok_or_else(nobody)?,
            wire,
        })
    }

    /// Whether nothing has come, not even the end, that nobody has read.
    pub(super) fn is_quiet(&self) -> bool {
        let Incoming { raw, plain, .. } = &self.wire.incoming;
        let nothing = self.wire.tcp.try_read(&mut [0]);
        let would_block = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        raw.is_empty() && plain.is_empty() && nothing.is_err_and(would_block)
    }

    /// Fills the start of `into`; 0 at the end, if that comes between frames. Nothing is lost when it is cancelled.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.wire.incoming.plain.is_empty() {
            if !self.wire.next_frame().await? {
                return Ok(0);
            }
        }
        let incoming = &mut self.wire.incoming;
        let read = incoming.plain.len().min(into.len());
        let start = incoming.plain.start;
        into[..read].copy_from_slice(&incoming.buffer[start..start + read]);
        incoming.plain.start += read;
        Ok(read)
    }

    /// The next four bytes as a number, big endian; some may be lost when it is cancelled.
    pub(super) async fn read_u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        let mut there = 0;
        while there < bytes.len() {
            match self.read(&mut bytes[there..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => there += read,
            }
        }
        Ok(u32::from_be_bytes(bytes))
    }

    /// Sends bytes, the last of them not before [`flush`](Self::flush); waits for room.
    pub(super) async fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        if data.len() > FRAME_BYTES_MAX {
            self.wire.outgoing.reserve(WRITE_BYTES + FRAME_BYTES_MAX);
        }
        while !data.is_empty() {
            let room = self.wire.room();
            let (part, rest) = data.split_at(data.len().min(room));
            self.wire.outgoing.extend_from_slice(part);
            data = rest;
            if part.len() == room {
                self.wire.seal()?;
            }
            if self.wire.outgoing.len() >= WRITE_BYTES {
                self.wire.send().await?;
            }
        }
        Ok(())
    }

    /// Gives everything to the socket.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.wire.seal()?;
        self.wire.send().await
    }

    /// Keeps no memory for sending until more is sent. Everything was flushed.
    pub(super) fn rest(&mut self) {
        self.wire.outgoing.shrink_to_fit();
    }
}

impl Wire {
    fn new(tcp: TcpStream, read_bytes: usize) -> Self {
        Self {
            tcp,
            opener: None,
            sealer: None,
            incoming: Incoming {
                buffer: vec![0; read_bytes],
                raw: 0..0,
                plain: 0..0,
            },
            outgoing: Vec::new(),
            unsealed: 0,
        }
    }

    /// Sends what rustls has to say, each message under the keys that are for it; gives the keys for what comes after the
    /// handshake as soon as they are known.
    async fn say(&mut self, handshake: &mut Connection) -> io::Result<Option<Keys>> {
        let mut receiving = None;
        loop {
            let mut message = Vec::new();
            let change = handshake.write_hs(&mut message);
            if message.is_empty() && change.is_none() {
                self.send().await?;
                return Ok(receiving);
            }
            for part in message.chunks(FRAME_BYTES_MAX) {
                self.room();
                self.outgoing.extend_from_slice(part);
                self.seal()?;
            }
            match change {
                Some(KeyChange::Handshake { keys }) => {
                    self.sealer = Some(Keys::of_handshake(keys.local.packet));
                    self.opener = Some(Keys::of_handshake(keys.remote.packet));
                }
                Some(KeyChange::OneRtt { keys, next }) => {
                    self.sealer = Some(Keys::sending(keys.local.packet, next.clone()));
                    receiving = Some(Keys::receiving(keys.remote.packet, next));
                }
                None => {}
            }
        }
    }

    /// How much more the frame takes that is not full yet; begins one if there is none.
    fn room(&mut self) -> usize {
        if self.outgoing.len() == self.unsealed {
            self.outgoing.extend_from_slice(&[0; HEADER_BYTES]);
        }
        self.unsealed + HEADER_BYTES + FRAME_BYTES_MAX - self.outgoing.len()
    }

    /// Ends the frame that is not full yet, if there is one.
    fn seal(&mut self) -> io::Result<()> {
        let start = self.unsealed;
        if self.outgoing.len() == start {
            return Ok(());
        }
        if let Some(keys) = &mut self.sealer {
            keys.seal(&mut self.outgoing, start)?;
        } else {
            let length = self.outgoing.len() - start - HEADER_BYTES;
            let length = u32::try_from(length).map_err(io::Error::other)?;
            self.outgoing[start..start + HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
        }
        self.unsealed = self.outgoing.len();
        Ok(())
    }

    /// Sends the frames that are sealed.
    async fn send(&mut self) -> io::Result<()> {
        self.tcp.write_all(&self.outgoing[..self.unsealed]).await?;
        self.outgoing.drain(..self.unsealed);
        self.unsealed = 0;
        Ok(())
    }

    /// Decrypts the next frame; false at an end between two.
    async fn next_frame(&mut self) -> io::Result<bool> {
        let bytes = loop {
            let there = &self.incoming.buffer[self.incoming.raw.clone()];
            let needed = frame_bytes(there, self.opener.is_some())?;
            if let Some(bytes) = needed.filter(|bytes| *bytes <= there.len()) {
                break bytes;
            }
            let between = there.is_empty();
            let room = self.incoming.room(needed.unwrap_or(HEADER_BYTES));
            match self.tcp.read(room).await? {
                0 if between => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.incoming.raw.end += read,
            }
        };
        let start = self.incoming.raw.start;
        let frame = &mut self.incoming.buffer[start..start + bytes];
        let plain = match &mut self.opener {
            Some(keys) => keys.open(frame)?,
            None => HEADER_BYTES..bytes,
        };
        self.incoming.plain = start + plain.start..start + plain.end;
        self.incoming.raw.start += bytes;
        Ok(true)
    }
}

impl Incoming {
    /// Where more is to be read into so that a frame of so many bytes is whole one day. Nothing may be plain then.
    fn room(&mut self, frame: usize) -> &mut [u8] {
        let there = self.raw.len();
        if self.raw.start + frame > self.buffer.len() || there == 0 {
            self.buffer.copy_within(self.raw.clone(), 0);
            self.raw = 0..there;
        }
        if frame > self.buffer.len() {
            self.buffer.resize(frame, 0);
        }
        &mut self.buffer[self.raw.end..]
    }

    fn take_plain(&mut self) -> &[u8] {
        let plain = std::mem::replace(&mut self.plain, 0..0);
        &self.buffer[plain]
    }
}

#[cfg(test)]
#[expect(clippy::print_stdout, reason = "a test that fails shows its seed")]
mod tests {
    use std::{io::ErrorKind, net::Ipv4Addr, sync::Arc};

    use lanspread_disk::StateDir;
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    use rustls::{
        ClientConfig, ServerConfig, SignatureScheme,
        client::ResolvesClientCert,
        quic::{ClientConnection, ServerConnection, Version},
        sign::CertifiedKey,
    };
    use rustls_pki_types::ServerName;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        party::Party,
        transport::{
            identity::{Identity, SERVER_NAME},
            tls::Tls,
        },
    };

    const READ_BYTES: usize = 1024;

    /// What a new member of a party has.
    fn member(party: &Party) -> (PeerId, Tls) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let identity = Identity::load_or_make(&state, party).unwrap();
        (identity.id, Tls::new(&identity, party).unwrap())
    }

    /// Both ends of a connection, the caller's first.
    async fn connected(
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
    ) -> (io::Result<SecureStream>, io::Result<SecureStream>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let calling = async {
            let tcp = TcpStream::connect(listener.local_addr().unwrap()).await?;
            let name = ServerName::try_from(SERVER_NAME).unwrap();
            let handshake = ClientConnection::new(client, Version::V1, name, Vec::new());
            SecureStream::establish(handshake.unwrap().into(), tcp, READ_BYTES).await
        };
        let called = async {
            let (tcp, _) = listener.accept().await?;
            let handshake = ServerConnection::new(server, Version::V1, Vec::new());
            SecureStream::establish(handshake.unwrap().into(), tcp, READ_BYTES).await
        };
        tokio::join!(calling, called)
    }

    /// Two members of the open party.
    async fn friends() -> (SecureStream, SecureStream) {
        let party = Party::open();
        let ((caller, client), (host, server)) = (member(&party), member(&party));
        let (near, far) = connected(client.lane_client(), server.lane_server()).await;
        let (near, far) = (near.unwrap(), far.unwrap());
        assert_eq!((near.peer, far.peer), (host, caller));
        (near, far)
    }

    async fn goes_through(from: &mut SecureStream, to: &mut SecureStream, sent: &[u8]) {
        let sending = async {
            from.write_all(sent).await.unwrap();
            from.flush().await.unwrap();
        };
        let receiving = async {
            let mut received = vec![0; sent.len()];
            let mut there = 0;
            while there < received.len() {
                there += to.read(&mut received[there..]).await.unwrap();
            }
            assert!(received == sent);
        };
        tokio::join!(sending, receiving);
    }

    #[tokio::test]
    async fn bytes_go_both_ways_in_any_sizes_and_past_many_keys() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut near, mut far) = friends().await;
        for side in [&mut near, &mut far] {
            for keys in [&mut side.wire.sealer, &mut side.wire.opener] {
                keys.as_mut().unwrap().update_after(3);
            }
        }
        for nth in 0..200 {
            let most = if nth % 20 == 0 { 1_000_000 } else { 3_000 };
            let mut data = vec![0; rng.random_range(1..most)];
            rng.fill(&mut data[..]);
            goes_through(&mut near, &mut far, &data).await;
            goes_through(&mut far, &mut near, &data).await;
        }
        assert!(near.is_quiet() && far.is_quiet());
    }

    #[tokio::test]
    async fn sides_whose_keys_are_out_of_step_do_not_understand_each_other() {
        let (mut near, mut far) = friends().await;
        near.wire.sealer.as_mut().unwrap().update_after(1);
        goes_through(&mut near, &mut far, b"under the first keys").await;
        near.write_all(b"under the next ones").await.unwrap();
        near.flush().await.unwrap();
        far.read(&mut [0]).await.unwrap_err();
    }

    #[tokio::test]
    async fn an_end_in_the_middle_of_a_frame_is_none() {
        let (mut near, mut far) = friends().await;
        near.write_all(b"whole").await.unwrap();
        near.flush().await.unwrap();
        let (tcp, whole) = (&mut near.wire.tcp, [0, 0, 0, 20, 1]);
        tcp.write_all(&whole).await.unwrap();
        drop(near);
        let mut read = [0; 5];
        assert_eq!(far.read(&mut read).await.unwrap(), read.len());
        let error = far.read(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn nobody_of_another_party_gets_in_and_nothing_but_a_lane() {
        let dir = tempfile::tempdir().unwrap();
        let (open, closed) = (Party::open(), Party::create(dir.path()).unwrap());
        let ((_, us), (_, them)) = (member(&open), member(&closed));
        let (near, far) = connected(us.lane_client(), them.lane_server()).await;
        assert!(near.is_err() && far.is_err());
        // The side that is called looks, too: at a certificate of elsewhere, and at none.
        let friend = us.lane_client();
        for resolver in [
            them.lane_client().client_auth_cert_resolver.clone(),
            Arc::new(NoCertificate),
        ] {
            let mut stranger = ClientConfig::clone(&friend);
            stranger.client_auth_cert_resolver = resolver;
            let (_, far) = connected(stranger.into(), us.lane_server()).await;
            far.unwrap_err();
        }
        let mut other = ClientConfig::clone(&friend);
        other.alpn_protocols = vec![b"lanspread/1".to_vec()];
        let (near, far) = connected(other.into(), us.lane_server()).await;
        assert!(near.is_err() && far.is_err());
    }

    #[derive(Debug)]
    struct NoCertificate;

    impl ResolvesClientCert for NoCertificate {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            None
        }

        fn has_certs(&self) -> bool {
            false
        }
    }
}
