//! Chunks: a payload cut into pieces of 1 MiB that are asked for, verified and shared one by one.
//!
//! Chunks are numbered through the whole payload, file after file in the manifest's order. An empty
//! file has none; a file's last chunk may be short; no chunk spans two files. A chunk's hash is the
//! BLAKE3 subtree value of its bytes (1 MiB is 1024 BLAKE3 chunks, a power of two, so subtrees merge
//! into the file's hash); a file of one chunk has no subtrees, its chunk's hash is the file's hash.

use std::ops::Range;

use blake3::{
    Hasher,
    hazmat::{self, HasherExt, Mode},
};
use fixedbitset::FixedBitSet;

use crate::{hash::Hash, limits};

/// Bytes of a chunk, but for the last of a file.
pub const CHUNK_BYTES: u64 = 1024 * 1024;

/// The number of a chunk in its payload; made by a [`ChunkMap`], so it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkIndex(u32);

impl ChunkIndex {
    /// The number, from 0.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number, to index a slice.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// Neighbouring chunks: `count` of them from `first`, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRun {
    first: u32,
    count: u32,
}

impl ChunkRun {
    /// The run of one chunk.
    pub const fn one(chunk: ChunkIndex) -> Self {
        Self {
            first: chunk.0,
            count: 1,
        }
    }

    /// The first chunk.
    pub const fn first(self) -> ChunkIndex {
        ChunkIndex(self.first)
    }

    /// How many chunks, at least 1.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The chunks in order.
    pub fn chunks(self) -> impl ExactSizeIterator<Item = ChunkIndex> + Clone {
        (self.first..self.first + self.count).map(ChunkIndex)
    }

    /// Whether `chunk` is one of them.
    pub const fn contains(self, chunk: ChunkIndex) -> bool {
        chunk.0 >= self.first && chunk.0 - self.first < self.count
    }
}

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSpan {
    /// The file's position in the manifest.
    pub file: usize,
    /// Its first byte in that file; a multiple of [`CHUNK_BYTES`].
    pub offset: u64,
    /// Its bytes, 1 to [`CHUNK_BYTES`].
    pub bytes: u32,
    /// Whether it is the file's only chunk, which decides how it is hashed.
    pub sole: bool,
}

/// The map between chunks and files of one payload.
///
/// Made from a checked manifest's sizes, so all sums fit: at most 1 TiB and 200,000 files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkMap {
    sizes: Vec<u64>,
    first_chunk: Vec<u32>,
    count: u32,
}

impl ChunkMap {
    /// The map of files with these sizes in bytes, in the manifest's order.
    ///
    /// # Panics
    /// When the sizes are not those of a checked manifest, so that their chunks overflow a `u32`.
    pub fn new(sizes: Vec<u64>) -> Self {
        let mut count = 0_u32;
        let first_chunk = sizes
            .iter()
            .map(|size| {
                let first = count;
                let chunks = u32::try_from(size.div_ceil(CHUNK_BYTES)).ok();
                count = chunks
                    .and_then(|chunks| count.checked_add(chunks))
                    .expect("a checked manifest has fewer chunks than u32::MAX");
                first
            })
            .collect();
        Self {
            sizes,
            first_chunk,
            count,
        }
    }

    /// How many chunks the payload has.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// How many files the payload has.
    pub const fn file_count(&self) -> usize {
        self.sizes.len()
    }

    /// The bytes of the whole payload.
    pub fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// The size of one file.
    pub fn file_bytes(&self, file: usize) -> u64 {
        self.sizes[file]
    }

    /// The chunk of this number, if there is one.
    pub fn check(&self, raw: u32) -> Option<ChunkIndex> {
        (raw < self.count).then_some(ChunkIndex(raw))
    }

    /// The run of `count` chunks from `first`, if all of them exist and it is not empty.
    pub fn check_run(&self, first: u32, count: u32) -> Option<ChunkRun> {
        let end = first.checked_add(count)?;
        (count > 0 && end <= self.count).then_some(ChunkRun { first, count })
    }

    /// All chunks.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = ChunkIndex> + Clone + use<> {
        (0..self.count).map(ChunkIndex)
    }

    /// The numbers of one file's chunks.
    pub fn chunks_of(&self, file: usize) -> Range<u32> {
        let end = self
            .first_chunk
            .get(file + 1)
            .copied()
            .unwrap_or(self.count);
        self.first_chunk[file]..end
    }

    /// Where a chunk lies.
    pub fn span(&self, chunk: ChunkIndex) -> ChunkSpan {
        // Empty files share their first chunk with the next file: take the last that begins here.
        let file = self.first_chunk.partition_point(|first| *first <= chunk.0) - 1;
        let offset = u64::from(chunk.0 - self.first_chunk[file]) * CHUNK_BYTES;
        let bytes = (self.sizes[file] - offset).min(CHUNK_BYTES);
        ChunkSpan {
            file,
            offset,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            sole: self.sizes[file] <= CHUNK_BYTES,
        }
    }

    /// The bytes of one chunk.
    pub fn chunk_bytes(&self, chunk: ChunkIndex) -> u32 {
        self.span(chunk).bytes
    }

    /// The bytes of a run.
    pub fn run_bytes(&self, run: ChunkRun) -> u64 {
        run.chunks()
            .map(|chunk| u64::from(self.chunk_bytes(chunk)))
            .sum()
    }

    /// The longest run from `first` within `chunks_max`, [`limits::RUN_CHUNKS_MAX`] and
    /// [`limits::RUN_BYTES_MAX`].
    pub fn run_from(&self, first: ChunkIndex, chunks_max: u32) -> ChunkRun {
        let mut bytes = u64::from(self.chunk_bytes(first));
        let mut count = 1;
        while count < chunks_max.min(limits::RUN_CHUNKS_MAX) {
            let Some(next) = self.check(first.0 + count) else {
                break;
            };
            bytes += u64::from(self.chunk_bytes(next));
            if bytes > limits::RUN_BYTES_MAX {
                break;
            }
            count += 1;
        }
        ChunkRun {
            first: first.0,
            count,
        }
    }
}

/// The hash of one chunk's bytes, by its place (`offset` in its file, `sole` in it or not).
pub fn chunk_hash(data: &[u8], offset: u64, sole: bool) -> Hash {
    let mut hasher = ChunkHasher::new(offset, sole);
    hasher.update(data);
    hasher.finish()
}

/// Hashes one chunk as its bytes arrive.
#[derive(Debug)]
pub struct ChunkHasher {
    hasher: Hasher,
    sole: bool,
}

impl ChunkHasher {
    /// A hasher for the chunk at `offset` bytes of its file; `sole` if the file has no other.
    pub fn new(offset: u64, sole: bool) -> Self {
        let mut hasher = Hasher::new();
        if !sole {
            hasher.set_input_offset(offset);
        }
        Self { hasher, sole }
    }

    /// Takes the next bytes; a chunk's together are at most [`CHUNK_BYTES`].
    pub fn update(&mut self, data: &[u8]) {
        self.hasher.update(data);
    }

    /// The hash of a chunk that had at least one byte.
    pub fn finish(&self) -> Hash {
        if self.sole {
            self.hasher.finalize().into()
        } else {
            Hash(self.hasher.finalize_non_root())
        }
    }
}

/// The hash of a file from its chunks' hashes in order; the empty list is the empty file.
///
/// Equal to the plain BLAKE3 of the file: a parent covers the largest power of two of chunks on its
/// left that leaves something on its right (BLAKE3 paper, section 2.1).
pub fn file_hash(chunk_hashes: &[Hash]) -> Hash {
    match chunk_hashes {
        [] => Hash::of(b""),
        [sole] => *sole,
        many => {
            let (left, right) = many.split_at(left_subtree(many.len()));
            hazmat::merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).into()
        }
    }
}

fn subtree(chunk_hashes: &[Hash]) -> hazmat::ChainingValue {
    match chunk_hashes {
        [one] => one.0,
        many => {
            let (left, right) = many.split_at(left_subtree(many.len()));
            hazmat::merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

fn left_subtree(len: usize) -> usize {
    len.next_power_of_two() / 2
}

/// A set of chunks of one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSet {
    bits: FixedBitSet,
    held: u32,
}

impl ChunkSet {
    /// No chunk of a payload of `count`.
    pub fn empty(count: u32) -> Self {
        Self {
            bits: FixedBitSet::with_capacity(count as usize),
            held: 0,
        }
    }

    /// Every chunk of a payload of `count`.
    pub fn full(count: u32) -> Self {
        let mut bits = FixedBitSet::with_capacity(count as usize);
        bits.insert_range(..);
        Self { bits, held: count }
    }

    /// How many chunks are in it.
    pub const fn len(&self) -> u32 {
        self.held
    }

    /// Whether none is.
    pub const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Whether every chunk of the payload is.
    pub fn is_full(&self) -> bool {
        self.held as usize == self.bits.len()
    }

    /// How many chunks the payload has.
    pub fn capacity(&self) -> usize {
        self.bits.len()
    }

    /// Whether `chunk` is in it.
    pub fn contains(&self, chunk: ChunkIndex) -> bool {
        self.bits.contains(chunk.as_usize())
    }

    /// Adds a chunk; tells whether it is new. One beyond the payload is not added.
    pub fn insert(&mut self, chunk: ChunkIndex) -> bool {
        let new = chunk.as_usize() < self.bits.len() && !self.bits.put(chunk.as_usize());
        self.held += u32::from(new);
        new
    }

    /// Takes a chunk out; tells whether it was in.
    pub fn remove(&mut self, chunk: ChunkIndex) -> bool {
        let was = self.contains(chunk);
        self.bits.set(chunk.as_usize(), false);
        self.held -= u32::from(was);
        was
    }

    /// Adds all of a run.
    pub fn insert_run(&mut self, run: ChunkRun) {
        for chunk in run.chunks() {
            self.insert(chunk);
        }
    }

    /// Adds chunks by number as they travel; what is beyond the payload is not added.
    pub fn insert_raw(&mut self, first: u32, count: u32) {
        let end = first
            .saturating_add(count)
            .min(u32::try_from(self.bits.len()).unwrap_or(u32::MAX));
        for chunk in first..end {
            self.insert(ChunkIndex(chunk));
        }
    }

    /// The chunks in order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        self.bits.ones().map(index)
    }

    /// The chunks of the payload that are not in it, in order.
    pub fn missing(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        self.bits.zeroes().map(index)
    }

    /// The set as maximal runs in order, which is how it travels.
    pub fn runs(&self) -> Vec<ChunkRun> {
        let mut runs: Vec<ChunkRun> = Vec::new();
        for chunk in self.iter() {
            match runs.last_mut() {
                Some(run) if run.first + run.count == chunk.0 => run.count += 1,
                _ => runs.push(ChunkRun::one(chunk)),
            }
        }
        runs
    }
}

fn index(bit: usize) -> ChunkIndex {
    ChunkIndex(u32::try_from(bit).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sizes at which something changes.
    const INTERESTING_SIZES: [u64; 9] = [
        0,                   // no chunk at all
        1,                   // one short chunk
        CHUNK_BYTES - 1,     // one chunk, a byte short
        CHUNK_BYTES,         // exactly one
        CHUNK_BYTES + 1,     // a last chunk of one byte
        2 * CHUNK_BYTES,     // the smallest balanced tree
        2 * CHUNK_BYTES + 1, // the smallest unbalanced tree
        4 * CHUNK_BYTES,
        5 * CHUNK_BYTES + 1025, // a ragged right edge, past one BLAKE3 chunk
    ];

    fn data(bytes: u64, seed: u64) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(bytes).unwrap()];
        Hasher::new()
            .update(&seed.to_le_bytes())
            .finalize_xof()
            .fill(&mut out);
        out
    }

    fn merged(data: &[u8]) -> Hash {
        let sole = data.len() as u64 <= CHUNK_BYTES;
        let hashes: Vec<Hash> = data
            .chunks(usize::try_from(CHUNK_BYTES).unwrap())
            .enumerate()
            .map(|(at, chunk)| chunk_hash(chunk, at as u64 * CHUNK_BYTES, sole))
            .collect();
        file_hash(&hashes)
    }

    #[test]
    fn chunk_hashes_merge_into_the_plain_hash_at_every_boundary() {
        for size in INTERESTING_SIZES {
            let data = data(size, size);
            assert_eq!(merged(&data), Hash::of(&data), "{size} bytes");
        }
    }

    #[test]
    fn spans_skip_empty_files_and_cover_every_byte_once() {
        let map = ChunkMap::new(vec![0, 3, 0, CHUNK_BYTES + 1, CHUNK_BYTES, 0]);
        let spans: Vec<_> = map
            .chunks()
            .map(|chunk| map.span(chunk))
            .map(|span| (span.file, span.offset, u64::from(span.bytes), span.sole))
            .collect();
        assert_eq!(
            spans,
            [
                (1, 0, 3, true),
                (3, 0, CHUNK_BYTES, false),
                (3, CHUNK_BYTES, 1, false),
                (4, 0, CHUNK_BYTES, true)
            ]
        );
        assert_eq!(map.chunks_of(0), 0..0);
        assert_eq!(map.chunks_of(3), 1..3);
        assert_eq!(map.chunks_of(5), 4..4);
    }

    #[test]
    fn a_run_is_checked_at_both_ends_and_on_overflow() {
        let map = ChunkMap::new(vec![3 * CHUNK_BYTES]);
        assert!(map.check_run(0, 3).is_some());
        assert!(map.check_run(0, 0).is_none());
        assert!(map.check_run(1, 3).is_none());
        assert!(map.check_run(u32::MAX, 2).is_none());
    }

    #[test]
    fn the_longest_run_ends_at_eight_mebibytes() {
        let map = ChunkMap::new(vec![20 * CHUNK_BYTES]);
        let first = map.check(0).unwrap();
        assert_eq!(map.run_from(first, 100).count(), 8);
        assert_eq!(map.run_from(first, 3).count(), 3);
        let small = ChunkMap::new(vec![10_240; 2000]);
        assert_eq!(small.run_from(small.check(0).unwrap(), 5000).count(), 819);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn chunk_hashes_merge_at_any_size(size in 0_u64..9 * CHUNK_BYTES, seed: u64) {
            let data = data(size, seed);
            prop_assert_eq!(merged(&data), Hash::of(&data));
        }

        #[test]
        fn a_set_survives_its_runs(held in proptest::collection::vec(any::<bool>(), 0..200)) {
            let count = u32::try_from(held.len()).unwrap();
            let mut set = ChunkSet::empty(count);
            for (at, _) in held.iter().enumerate().filter(|(_, held)| **held) {
                set.insert(index(at));
            }
            let mut again = ChunkSet::empty(count);
            for run in set.runs() {
                again.insert_run(run);
            }
            prop_assert_eq!(&again, &set);
            prop_assert_eq!(set.len() as usize, held.iter().filter(|held| **held).count());
            prop_assert_eq!(set.missing().count() + set.iter().count(), held.len());
        }
    }
}
