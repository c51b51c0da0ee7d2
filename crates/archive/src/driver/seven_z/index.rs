//! A 7z's index, looked at before the crate `sevenz-rust2` reads it: that believes every count, and
//! decodes an index of any size with a dictionary of any size.
//!
//! Only counts are read here, in the order of the format; everything else is skipped.

use std::io::{self, Read, Seek, SeekFrom};

use lanspread_proto::limits;
use lzma_rust2::{Lzma2Reader, LzmaReader};

use super::coder::{self, Coder};
use crate::{error::Problem, input::Input, limits::ArchiveLimits};

/// The signature, the version, and where the index is.
const START_BYTES: usize = 32;

/// What the parts of an index begin with.
mod id {
    pub(super) const END: u8 = 0x00;
    pub(super) const HEADER: u8 = 0x01;
    pub(super) const PROPERTIES: u8 = 0x02;
    pub(super) const STREAMS: u8 = 0x04;
    pub(super) const FILES: u8 = 0x05;
    pub(super) const PACK_INFO: u8 = 0x06;
    pub(super) const UNPACK_INFO: u8 = 0x07;
    pub(super) const SUB_STREAMS: u8 = 0x08;
    pub(super) const SIZES: u8 = 0x09;
    pub(super) const DIGESTS: u8 = 0x0a;
    pub(super) const BLOCKS: u8 = 0x0b;
    pub(super) const UNPACK_SIZES: u8 = 0x0c;
    pub(super) const SUB_STREAM_COUNTS: u8 = 0x0d;
    pub(super) const PACKED_HEADER: u8 = 0x17;
}

/// Packed streams that one block may have: BCJ2 has four.
const STREAMS_OF_A_BLOCK_MAX: u64 = 64;

/// Holds the index against the limits.
pub(super) fn check(input: &mut Input, limits: &ArchiveLimits) -> Result<(), Problem> {
    let index = read_index(input, limits)?;
    match Fields(&index).byte()? {
        id::HEADER => check_counts(&index[1..], limits),
        id::PACKED_HEADER => {
            let index = unpack_index(input, &index[1..], limits)?;
            if Fields(&index).byte()? == id::HEADER {
                check_counts(&index[1..], limits)
            } else {
                Err(Problem::damaged("the packed index holds no index"))
            }
        }
        _ => Err(Problem::damaged("the index begins with an unknown part")),
    }
}

fn read_index(input: &mut Input, limits: &ArchiveLimits) -> Result<Vec<u8>, Problem> {
    let mut start = [0; START_BYTES];
    let read = input.rewind().and_then(|()| input.read_exact(&mut start));
    read.map_err(|error| input.watch().blame(error))?;
    let mut fields = Fields(&start[12..]);
    let (offset, bytes) = (fields.u64()?, fields.u64()?);
    if start[8..].iter().all(|byte| *byte == 0) {
        return Err(Problem::damaged("it was never finished: there is no index"));
    }
    limits::check("bytes of the index", bytes, limits.index_bytes)?;
    let place = offset.checked_add(START_BYTES as u64);
    let end = place.and_then(|place| place.checked_add(bytes));
    match (place, end) {
        (Some(place), Some(end)) if end <= input.len() => read_at(input, place, bytes),
        _ => Err(Problem::cut()),
    }
}

/// So many bytes at a place; the count is held against a limit already.
fn read_at(input: &mut Input, place: u64, count: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let read = input
        .seek(SeekFrom::Start(place))
        .and_then(|_| input.take(count).read_to_end(&mut bytes));
    read.map_err(|error| input.watch().blame(error))?;
    Ok(bytes)
}

/// Decodes an index that is itself packed, as 7-Zip does with all but the smallest.
fn unpack_index(
    input: &mut Input,
    fields: &[u8],
    limits: &ArchiveLimits,
) -> Result<Vec<u8>, Problem> {
    let streams = Streams::read(&mut Fields(fields), limits)?;
    coder::check(&streams.first_coders, limits)?;
    limits::check(
        "bytes of the index",
        streams.first_unpacked_bytes,
        limits.index_bytes,
    )?;
    let place = streams.packed_at.saturating_add(START_BYTES as u64);
    let seek = input.seek(SeekFrom::Start(place));
    seek.map_err(|error| input.watch().blame(error))?;
    let [coder] = &*streams.first_coders else {
        let what = "its index is packed in an unusual way".to_owned();
        return Err(Problem::Unsupported(what));
    };
    let watch = input.watch().clone();
    let packed = input.take(streams.first_packed_bytes);
    let unpacked_bytes = streams.first_unpacked_bytes;
    let mut index = Vec::new();
    let read = decoder(coder, packed, unpacked_bytes)
        .and_then(|decoder| decoder.take(unpacked_bytes).read_to_end(&mut index));
    read.map_err(|error| watch.blame(error))?;
    Ok(index)
}

fn decoder<'a>(
    coder: &Coder,
    packed: impl Read + 'a,
    unpacked_bytes: u64,
) -> io::Result<Box<dyn Read + 'a>> {
    let dictionary = coder.dictionary_bytes().unwrap_or_default();
    let dictionary = u32::try_from(dictionary).unwrap_or(u32::MAX);
    Ok(match (&*coder.id, coder.properties.first()) {
        (coder::COPY, _) => Box::new(packed),
        (coder::LZMA2, _) => Box::new(Lzma2Reader::new(packed, dictionary, None)),
        (coder::LZMA, Some(properties)) => Box::new(LzmaReader::new_with_props(
            packed,
            unpacked_bytes,
            *properties,
            dictionary,
            None,
        )?),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// Reads an index as far as the number of files.
fn check_counts(fields: &[u8], limits: &ArchiveLimits) -> Result<(), Problem> {
    let mut fields = Fields(fields);
    let mut part = fields.byte()?;
    if part == id::PROPERTIES {
        while fields.byte()? != id::END {
            let bytes = fields.number()?;
            fields.skip(bytes)?;
        }
        part = fields.byte()?;
    }
    if part == id::STREAMS {
        Streams::read(&mut fields, limits)?;
        part = fields.byte()?;
    }
    if part == id::FILES {
        limits::check("entries", fields.number()?, limits.entries)?;
    }
    Ok(())
}

/// What a part about streams says of the first block.
#[derive(Debug, Default)]
struct Streams {
    packed_at: u64,
    first_packed_bytes: u64,
    first_coders: Vec<Coder>,
    first_unpacked_bytes: u64,
    /// For each block, whether there is a checksum of all of it.
    has_digest: Vec<bool>,
}

impl Streams {
    fn read(fields: &mut Fields<'_>, limits: &ArchiveLimits) -> Result<Self, Problem> {
        let mut streams = Self::default();
        let mut part = fields.byte()?;
        if part == id::PACK_INFO {
            streams.read_packed(fields, limits)?;
            part = fields.byte()?;
        }
        if part == id::UNPACK_INFO {
            streams.read_blocks(fields, limits)?;
            part = fields.byte()?;
        }
        if part == id::SUB_STREAMS {
            streams.skip_sub_streams(fields, limits)?;
            part = fields.byte()?;
        }
        expect(part, id::END)?;
        Ok(streams)
    }

    fn read_packed(
        &mut self,
        fields: &mut Fields<'_>,
        limits: &ArchiveLimits,
    ) -> Result<(), Problem> {
        self.packed_at = fields.number()?;
        let count = fields.number()?;
        let max = limits.entries.saturating_mul(4);
        limits::check("packed streams", count, max)?;
        let mut part = fields.byte()?;
        if part == id::SIZES {
            for at in 0..count {
                let bytes = fields.number()?;
                if at == 0 {
                    self.first_packed_bytes = bytes;
                }
            }
            part = fields.byte()?;
        }
        if part == id::DIGESTS {
            fields.digests(count)?;
            part = fields.byte()?;
        }
        expect(part, id::END)
    }

    fn read_blocks(
        &mut self,
        fields: &mut Fields<'_>,
        limits: &ArchiveLimits,
    ) -> Result<(), Problem> {
        expect(fields.byte()?, id::BLOCKS)?;
        let count = fields.number()?;
        limits::check("blocks", count, limits.entries)?;
        expect(fields.byte()?, 0)?;
        let mut outputs = Vec::new();
        for at in 0..count {
            let coders = fields.block()?;
            outputs.push(coders.len());
            if at == 0 {
                self.first_coders = coders;
            }
        }
        expect(fields.byte()?, id::UNPACK_SIZES)?;
        for (at, outputs) in outputs.iter().enumerate() {
            for _ in 0..*outputs {
                let bytes = fields.number()?;
                if at == 0 {
                    self.first_unpacked_bytes = bytes;
                }
            }
        }
        self.has_digest = vec![false; outputs.len()];
        let mut part = fields.byte()?;
        if part == id::DIGESTS {
            self.has_digest = fields.digests(count)?;
            part = fields.byte()?;
        }
        expect(part, id::END)
    }

    fn skip_sub_streams(
        &self,
        fields: &mut Fields<'_>,
        limits: &ArchiveLimits,
    ) -> Result<(), Problem> {
        let mut counts = vec![1; self.has_digest.len()];
        let mut part = fields.byte()?;
        if part == id::SUB_STREAM_COUNTS {
            let mut all = 0_u64;
            for count in &mut counts {
                *count = fields.number()?;
                all = all.saturating_add(*count);
                limits::check("entries", all, limits.entries)?;
            }
            part = fields.byte()?;
        }
        if part == id::SIZES {
            for count in &counts {
                // The last one's size is what the others leave.
                for _ in 1..*count {
                    fields.number()?;
                }
            }
            part = fields.byte()?;
        }
        if part == id::DIGESTS {
            let without = counts.iter().zip(&self.has_digest);
            let without = without.filter(|(count, has_digest)| **count != 1 || !**has_digest);
            fields.digests(without.map(|(count, _)| count).sum())?;
            part = fields.byte()?;
        }
        expect(part, id::END)
    }
}

fn expect(found: u8, expected: u8) -> Result<(), Problem> {
    if found == expected {
        Ok(())
    } else {
        let what = format!("the index has the part {found:#04x} where {expected:#04x} belongs");
        Err(Problem::damaged(what))
    }
}

/// The bytes of an index that are not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], Problem> {
        let taken = usize::try_from(count)
            .ok()
            .and_then(|count| self.0.split_at_checked(count));
        let (taken, rest) = taken.ok_or_else(Problem::cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, count: u64) -> Result<(), Problem> {
        self.take(count).map(drop)
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        Ok(self.take(1)?[0])
    }

    fn u64(&mut self) -> Result<u64, Problem> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// A number whose first byte says by its leading ones how many bytes follow.
    fn number(&mut self) -> Result<u64, Problem> {
        let first = self.byte()?;
        let follow = first.leading_ones();
        let mut bytes = [0; 8];
        let low = self.take(follow.into())?;
        bytes[..low.len()].copy_from_slice(low);
        let low = u64::from_le_bytes(bytes);
        let high = match follow {
            0..7 => u64::from(first & (0x7f >> follow)) << (8 * follow),
            _ => 0,
        };
        Ok(low | high)
    }

    /// Which of `count` things have a checksum; the checksums are skipped.
    fn digests(&mut self, count: u64) -> Result<Vec<bool>, Problem> {
        let all = self.byte()? != 0;
        let has: Vec<bool> = if all {
            // Each has four bytes below, so that no count can be larger than the index.
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            if count > self.0.len() {
                return Err(Problem::cut());
            }
            vec![true; count]
        } else {
            let bits = self.take(count.div_ceil(8))?.iter();
            let bits = bits.flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
            bits.take(usize::try_from(count).unwrap_or(usize::MAX))
                .collect()
        };
        let digests = has.iter().filter(|has| **has).count() as u64;
        self.skip(4 * digests)?;
        Ok(has)
    }

    /// One block's coders; each has one output.
    fn block(&mut self) -> Result<Vec<Coder>, Problem> {
        let count = self.number()?;
        if !(1..=STREAMS_OF_A_BLOCK_MAX).contains(&count) {
            return Err(Problem::damaged(
                "a block has an impossible number of coders",
            ));
        }
        let mut inputs = 0;
        let mut coders = Vec::new();
        for _ in 0..count {
            let flags = self.byte()?;
            let id = self.take((flags & 0x0f).into())?.to_vec();
            if flags & 0x10 == 0 {
                inputs += 1;
            } else {
                inputs += self.number()?.min(STREAMS_OF_A_BLOCK_MAX + 1);
                expect(u8::try_from(self.number()?).unwrap_or(u8::MAX), 1)?;
            }
            let properties = if flags & 0x20 == 0 { 0 } else { self.number()? };
            let properties = self.take(properties)?.to_vec();
            coders.push(Coder { id, properties });
        }
        let pairs = count - 1;
        let packed = inputs.checked_sub(pairs).ok_or_else(Problem::cut)?;
        if inputs > STREAMS_OF_A_BLOCK_MAX {
            return Err(Problem::damaged(
                "a block has an impossible number of streams",
            ));
        }
        for _ in 0..2 * pairs + if packed > 1 { packed } else { 0 } {
            self.number()?;
        }
        Ok(coders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_their_first_byte_says() {
        for (bytes, expected) in [
            (&[0x00][..], 0),
            (&[0x7f], 0x7f),
            (&[0x80, 0x80], 0x80),
            (&[0xbf, 0xff], 0x3fff),
            (&[0xc0, 0x34, 0x12], 0x1234),
            (&[0xc1, 0x34, 0x12], 0x01_1234),
            (&[0xfe, 1, 2, 3, 4, 5, 6, 7], 0x07_0605_0403_0201),
            (&[0xff, 1, 2, 3, 4, 5, 6, 7, 8], 0x0807_0605_0403_0201),
        ] {
            let mut fields = Fields(bytes);
            assert_eq!(fields.number().unwrap(), expected, "{bytes:02x?}");
            assert!(fields.0.is_empty(), "{bytes:02x?}");
        }
        assert!(Fields(&[0x80]).number().is_err());
    }

    #[test]
    fn a_count_that_the_index_cannot_hold_is_refused_before_it_costs_memory() {
        assert!(Fields(&[1]).digests(u64::MAX).is_err());
        assert!(Fields(&[0]).digests(u64::MAX).is_err());
    }
}
