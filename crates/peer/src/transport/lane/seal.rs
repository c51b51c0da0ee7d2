//! Frames that only the other side can read and nobody else can have made: the cryptography of lanes, without a socket.
//!
//! A frame is four bytes of length, big endian, and that many bytes, of which the last [`TAG_BYTES`] are the tag. rustls
//! gives the keys and uses them as QUIC does (RFC 9001, section 5): the packet number is how many frames came before, its
//! header the four bytes. So a frame that was changed, lost, repeated or moved does not open. TLS of its own would take
//! records of 16 KiB and copy each three times; a frame is decrypted where the socket put it.

use std::{io, ops::Range};

use rustls::quic::{PacketKey, PacketKeySet, Secrets};

/// The length of a frame.
pub(super) const HEADER_BYTES: usize = 4;

/// What a frame has besides its bytes.
const TAG_BYTES: usize = 16;

/// What a frame carries at most: decrypted, it is still in the fastest cache when it is copied to where it belongs.
pub(super) const FRAME_BYTES_MAX: usize = 32 * 1024;

/// Both sides go on with the next keys after so many frames, half of what AES-GCM allows for packets of 64 KiB (RFC 9001,
/// appendix B.1.1).
const FRAMES_PER_KEY: u64 = 1 << 22;

/// The keys of one direction, one after another.
pub(super) struct Keys {
    key: Box<dyn PacketKey>,
    /// Frames before the next one.
    count: u64,
    next: Option<Next>,
}

/// Where later keys come from.
struct Next {
    secrets: Secrets,
    of_direction: fn(PacketKeySet) -> Box<dyn PacketKey>,
    frames_per_key: u64,
}

impl Keys {
    /// For the messages of the handshake.
    pub(super) fn of_handshake(key: Box<dyn PacketKey>) -> Self {
        Self {
            key,
            count: 0,
            next: None,
        }
    }

    /// For what is sent after the handshake.
    pub(super) fn sending(key: Box<dyn PacketKey>, secrets: Secrets) -> Self {
        Self::updated(key, secrets, |keys| keys.local)
    }

    /// For what is received after the handshake.
    pub(super) fn receiving(key: Box<dyn PacketKey>, secrets: Secrets) -> Self {
        Self::updated(key, secrets, |keys| keys.remote)
    }

    fn updated(
        key: Box<dyn PacketKey>,
        secrets: Secrets,
        of_direction: fn(PacketKeySet) -> Box<dyn PacketKey>,
    ) -> Self {
        Self {
            key,
            count: 0,
            next: Some(Next {
                secrets,
                of_direction,
                frames_per_key: FRAMES_PER_KEY,
            }),
        }
    }

    /// Makes a frame of what follows its header in `bytes` from `start` on.
    pub(super) fn seal(&mut self, bytes: &mut Vec<u8>, start: usize) -> io::Result<()> {
        let number = self.next_number();
        let (header, data) = bytes[start..].split_at_mut(HEADER_BYTES);
        let length = u32::try_from(data.len() + TAG_BYTES).map_err(io::Error::other)?;
        header.copy_from_slice(&length.to_be_bytes());
        let tag = self.key.encrypt_in_place(number, header, data);
        bytes.extend_from_slice(tag.map_err(io::Error::other)?.as_ref());
        Ok(())
    }

    /// Decrypts the next frame where it is; gives the place of its bytes in it.
    pub(super) fn open(&mut self, frame: &mut [u8]) -> io::Result<Range<usize>> {
        let number = self.next_number();
        let (header, data) = frame.split_at_mut(HEADER_BYTES);
        let opened = self.key.decrypt_in_place(number, header, data);
        let bytes = opened.map_err(io::Error::other)?.len();
        Ok(HEADER_BYTES..HEADER_BYTES + bytes)
    }

    fn next_number(&mut self) -> u64 {
        let number = self.count;
        if let Some(next) = &mut self.next
            && number > 0
            && number.is_multiple_of(next.frames_per_key)
        {
            self.key = (next.of_direction)(next.secrets.next_packet_keys());
        }
        self.count += 1;
        number
    }
}

/// The bytes of the frame that these begin, with its header; `None` before the header is whole.
pub(super) fn frame_bytes(start: &[u8], sealed: bool) -> io::Result<Option<usize>> {
    let Some(header) = start.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
    let tag = if sealed { TAG_BYTES } else { 0 };
    if (1..=FRAME_BYTES_MAX).contains(&length.saturating_sub(tag)) {
        Ok(Some(HEADER_BYTES + length))
    } else {
        let why = format!(
            "a frame of a lane carries 1 to {FRAME_BYTES_MAX} bytes and a tag of {tag}, this one has {length} in all"
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

#[cfg(test)]
impl Keys {
    /// Goes on with the next keys after so many frames.
    pub(super) fn update_after(&mut self, frames: u64) {
        if let Some(next) = &mut self.next {
            next.frames_per_key = frames;
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::{Side, crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256, quic::Version};

    use super::*;

    /// The keys of a sender and its receiver.
    fn pair() -> (Keys, Keys) {
        let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite();
        let keys = |side| suite.unwrap().keys(b"chosen", side, Version::V1);
        let [sender, receiver] = [keys(Side::Client), keys(Side::Server)];
        (
            Keys::of_handshake(sender.local.packet),
            Keys::of_handshake(receiver.remote.packet),
        )
    }

    fn frames(sender: &mut Keys, all: &[&[u8]]) -> Vec<Vec<u8>> {
        let seal = |data: &&[u8]| {
            let mut frame = [&[0; HEADER_BYTES][..], *data].concat();
            sender.seal(&mut frame, 0).unwrap();
            frame
        };
        all.iter().map(seal).collect()
    }

    #[test]
    fn what_was_sealed_opens_in_order() {
        let (mut sender, mut receiver) = pair();
        let long = vec![7; FRAME_BYTES_MAX];
        let all: [&[u8]; 3] = [b"one", b"two", &long];
        for (mut frame, data) in frames(&mut sender, &all).into_iter().zip(all) {
            let bytes = frame_bytes(&frame, true).unwrap();
            assert_eq!(bytes, Some(frame.len()));
            assert!(!frame.windows(3).any(|window| window == &data[..3]));
            let place = receiver.open(&mut frame).unwrap();
            assert!(&frame[place] == data);
        }
    }

    #[test]
    fn a_frame_that_was_changed_anywhere_does_not_open() {
        let (mut sender, _) = pair();
        let frame = frames(&mut sender, &[b"a few bytes"]).remove(0);
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(pair().1.open(&mut changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_that_was_lost_repeated_or_moved_is_noticed() {
        let sent = frames(&mut pair().0, &[b"one", b"two", b"two"]);
        for (order, opens) in [
            (vec![0, 1, 2], 3),
            (vec![1], 0),
            (vec![0, 0], 1),
            (vec![0, 2], 1),
            (vec![1, 0], 0),
        ] {
            let mut receiver = pair().1;
            let mut opened = order.iter().map(|at| receiver.open(&mut sent[*at].clone()));
            let good = opened.by_ref().take_while(Result::is_ok).count();
            assert_eq!(good, opens, "{order:?}");
        }
    }

    #[test]
    fn what_one_side_sent_it_does_not_take_back() {
        let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite();
        let keys = suite.unwrap().keys(b"chosen", Side::Client, Version::V1);
        let mut frame = frames(&mut Keys::of_handshake(keys.local.packet), &[b"one"]).remove(0);
        let mut own = Keys::of_handshake(keys.remote.packet);
        assert!(own.open(&mut frame).is_err());
    }

    #[test]
    fn a_frame_is_not_empty_and_not_long() {
        let most = FRAME_BYTES_MAX;
        for (length, sealed, fits) in [
            (0, false, false),
            (1, false, true),
            (most, false, true),
            (most + 1, false, false),
            (TAG_BYTES, true, false),
            (TAG_BYTES + 1, true, true),
            (TAG_BYTES + most, true, true),
            (TAG_BYTES + most + 1, true, false),
            (u32::MAX as usize, true, false),
        ] {
            let header = u32::try_from(length).unwrap().to_be_bytes();
            let taken = frame_bytes(&header, sealed).ok();
            let expected = fits.then_some(Some(HEADER_BYTES + length));
            assert_eq!(taken, expected, "{length}, sealed: {sealed}");
        }
        assert_eq!(frame_bytes(&[0, 0, 0], true).unwrap(), None);
    }
}
