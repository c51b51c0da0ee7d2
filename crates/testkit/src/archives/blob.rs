//! [`Blob`].

use std::io::{self, Write};

use crc32fast::Hasher;

/// Bytes in which long runs take no room: 10 GiB of zeros are one number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blob {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Bytes(Vec<u8>),
    Zeros(u64),
    /// The same bytes this many times.
    Repeated(Vec<u8>, u64),
}

impl Blob {
    /// `count` bytes of zero.
    pub fn zeros(count: u64) -> Self {
        Self {
            parts: vec![Part::Zeros(count)],
        }
    }

    /// How many bytes it stands for.
    pub fn size(&self) -> u64 {
        self.parts.iter().map(Part::size).sum()
    }

    /// All of it in memory.
    ///
    /// # Panics
    /// When it does not fit.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes).expect("memory takes all bytes");
        bytes
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.parts.iter().try_for_each(|part| part.write_to(out))
    }

    /// Appends bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            Some(Part::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.parts.push(Part::Bytes(bytes.to_vec())),
        }
    }

    pub(super) fn push_repeated(&mut self, bytes: Vec<u8>, times: u64) {
        self.parts.push(Part::Repeated(bytes, times));
    }

    pub(super) fn append(&mut self, other: &Self) {
        for part in &other.parts {
            match part {
                Part::Bytes(bytes) => self.push(bytes),
                other => self.parts.push(other.clone()),
            }
        }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn crc32(&self) -> u32 {
        let mut whole = Hasher::new();
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => whole.update(bytes),
                Part::Zeros(count) => combine_times(&mut whole, &[0], *count),
                Part::Repeated(bytes, times) => combine_times(&mut whole, bytes, *times),
            }
        }
        whole.finalize()
    }
}

impl Part {
    const fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(count) => *count,
            Self::Repeated(bytes, times) => bytes.len() as u64 * *times,
        }
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => out.write_all(bytes),
            Self::Zeros(count) => {
                io::copy(&mut io::Read::take(io::repeat(0), *count), out).map(|_| ())
            }
            Self::Repeated(bytes, times) => (0..*times).try_for_each(|_| out.write_all(bytes)),
        }
    }
}

/// Adds `bytes`, `times` times, to a checksum, in as many steps as `times` has binary digits.
fn combine_times(whole: &mut Hasher, bytes: &[u8], times: u64) {
    let mut power = Hasher::new();
    power.update(bytes);
    let mut left = times;
    while left > 0 {
        if left & 1 == 1 {
            whole.combine(&power);
        }
        let same = power.clone();
        power.combine(&same);
        left >>= 1;
    }
}

impl FromIterator<Self> for Blob {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        let mut whole = Self::default();
        parts.into_iter().for_each(|part| whole.append(&part));
        whole
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        let mut blob = Self::default();
        blob.push(bytes);
        blob
    }
}

impl<const N: usize> From<&[u8; N]> for Blob {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&str> for Blob {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_the_checksum_of_their_bytes() {
        let mut blob = Blob::from("head");
        blob.append(&Blob::zeros(1_000));
        blob.push_repeated(b"abc".to_vec(), 7);
        let bytes = blob.to_vec();
        assert_eq!(bytes.len() as u64, blob.size());
        assert_eq!(crc32fast::hash(&bytes), blob.crc32());
    }
}
