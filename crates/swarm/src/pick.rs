//! Which chunks are wanted, how rare each is, and which run comes next.
//!
//! Rarity is the number of partial holders; those who hold everything count once for all chunks. A chunk
//! that nobody holds in part but somebody is fetching is *expected*, and counts as held once. The
//! index keeps, per block of 256 chunks, how many are wanted and a lower bound of their rarity, so that
//! a pick among a million chunks looks at some thousand blocks at most, and usually at one chunk: the
//! one after the last run.

use fixedbitset::FixedBitSet;
use lanspread_proto::limits::RUN_CHUNKS_MAX;
use rand::{RngExt, rngs::StdRng};

/// Chunks whose rarity is summed up in one entry.
const BLOCK: usize = 256;

/// Random places that are tried before all blocks are looked at.
const PROBES: u32 = 12;

/// Chunks of a peer that are compared; of more, which are only had by a late joiner, any will do.
const CANDIDATES_MAX: u32 = 4096;

/// A stretch that goes on this far to both sides of a place is as good as any.
const ELBOW_ROOM_MAX: u32 = 64;

/// Up to here a run goes on through chunks of any rarity: small files come by the hundred, or each
/// would cost a request.
const GRAIN_BYTES: u64 = 1024 * 1024;

/// Which chunks one peer holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// All.
    Everything,
    /// Those with a bit.
    Only(FixedBitSet),
}

impl Held {
    /// Whether it holds this one.
    pub(crate) fn contains(&self, chunk: u32) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(bits) => bits.contains(chunk as usize),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Block {
    wanted: u16,
    /// At most the rarity of any wanted chunk in the block.
    rarity_min: u16,
    /// The bound may be too low.
    stale: bool,
}

/// The wanted chunks of a payload by rarity.
#[derive(Debug)]
pub(crate) struct Shelf {
    bytes: Vec<u32>,
    wanted: FixedBitSet,
    wanted_count: u32,
    full_holders: u32,
    partial_holders: Vec<u16>,
    /// Chunks without a partial holder that somebody is fetching.
    expected: FixedBitSet,
    /// Wanted chunks without a partial holder.
    wanted_unheld: u32,
    /// How many wanted chunks are so rare.
    by_rarity: Vec<u32>,
    blocks: Vec<Block>,
}

impl Shelf {
    /// Nothing wanted, nobody there; `bytes` of each chunk in order.
    pub(crate) fn new(bytes: Vec<u32>) -> Self {
        let count = bytes.len();
        Self {
            wanted: FixedBitSet::with_capacity(count),
            wanted_count: 0,
            full_holders: 0,
            partial_holders: vec![0; count],
            expected: FixedBitSet::with_capacity(count),
            wanted_unheld: 0,
            by_rarity: vec![0],
            blocks: vec![
                Block {
                    wanted: 0,
                    rarity_min: 0,
                    stale: true
                };
                count.div_ceil(BLOCK)
            ],
            bytes,
        }
    }

    /// The bytes of one chunk.
    pub(crate) fn bytes(&self, chunk: u32) -> u64 {
        u64::from(self.bytes[chunk as usize])
    }

    /// The bytes of neighbouring chunks.
    pub(crate) fn bytes_of(&self, chunks: std::ops::Range<u32>) -> u64 {
        chunks.map(|chunk| self.bytes(chunk)).sum()
    }

    // # Who wants

    /// Whether a chunk is wanted.
    pub(crate) fn is_wanted(&self, chunk: u32) -> bool {
        self.wanted.contains(chunk as usize)
    }

    /// How many chunks are wanted that somebody holds.
    pub(crate) fn reachable(&self) -> u32 {
        if self.full_holders > 0 {
            self.wanted_count
        } else {
            self.wanted_count - self.wanted_unheld
        }
    }

    /// How many chunks are wanted.
    pub(crate) fn wanted_count(&self) -> u32 {
        self.wanted_count
    }

    /// Wants a chunk.
    pub(crate) fn want(&mut self, chunk: u32) {
        let at = chunk as usize;
        if self.wanted.put(at) {
            return;
        }
        let rarity = self.rarity(at);
        self.wanted_count += 1;
        self.wanted_unheld += u32::from(self.partial_holders[at] == 0);
        self.by_rarity[usize::from(rarity)] += 1;
        let block = &mut self.blocks[at / BLOCK];
        block.rarity_min = if block.wanted == 0 {
            rarity
        } else {
            block.rarity_min.min(rarity)
        };
        block.wanted += 1;
    }

    /// No longer wants a chunk.
    pub(crate) fn unwant(&mut self, chunk: u32) {
        let at = chunk as usize;
        if !self.wanted.contains(at) {
            return;
        }
        self.wanted.remove(at);
        let rarity = self.rarity(at);
        self.wanted_count -= 1;
        self.wanted_unheld -= u32::from(self.partial_holders[at] == 0);
        self.by_rarity[usize::from(rarity)] -= 1;
        let block = &mut self.blocks[at / BLOCK];
        block.wanted -= 1;
        block.stale |= block.rarity_min == rarity;
    }

    // # Who holds

    /// How many peers hold a chunk.
    pub(crate) fn holders(&self, chunk: u32) -> u32 {
        self.full_holders + u32::from(self.partial_holders[chunk as usize])
    }

    /// A peer came with these chunks.
    pub(crate) fn join(&mut self, held: &Held) {
        match held {
            Held::Everything => self.full_holders += 1,
            Held::Only(bits) => bits.ones().for_each(|at| self.add_holder(at)),
        }
    }

    /// A peer with these chunks is gone.
    pub(crate) fn leave(&mut self, held: &Held) {
        match held {
            Held::Everything => self.full_holders -= 1,
            Held::Only(bits) => bits.ones().for_each(|at| self.remove_holder(at)),
        }
    }

    /// A peer has one chunk more.
    pub(crate) fn gain(&mut self, held: &mut Held, chunk: u32) {
        let at = chunk as usize;
        if let Held::Only(bits) = held
            && at < bits.len()
            && !bits.put(at)
        {
            self.add_holder(at);
        }
    }

    /// A peer has one chunk less. One that held everything is from now on counted chunk by chunk.
    pub(crate) fn lose(&mut self, held: &mut Held, chunk: u32) {
        if matches!(held, Held::Everything) {
            let mut bits = FixedBitSet::with_capacity(self.bytes.len());
            bits.insert_range(..);
            let counted = Held::Only(bits);
            self.join(&counted);
            self.leave(held);
            *held = counted;
        }
        if let Held::Only(bits) = held
            && bits.contains(chunk as usize)
        {
            bits.remove(chunk as usize);
            self.remove_holder(chunk as usize);
        }
    }

    /// Somebody is fetching a chunk; tells whether that is news.
    pub(crate) fn expect(&mut self, chunk: u32) -> bool {
        let at = chunk as usize;
        let news = at < self.bytes.len() && self.partial_holders[at] == 0;
        let news = news && !self.expected.contains(at);
        if news {
            self.change(at, |shelf| shelf.expected.insert(at));
        }
        news
    }

    /// Nobody has come to hold a chunk that was expected.
    pub(crate) fn no_longer_expect(&mut self, chunk: u32) {
        let at = chunk as usize;
        self.change(at, |shelf| shelf.expected.remove(at));
    }

    fn add_holder(&mut self, at: usize) {
        self.change(at, |shelf| {
            shelf.partial_holders[at] += 1;
            shelf.expected.remove(at);
        });
    }

    fn remove_holder(&mut self, at: usize) {
        self.change(at, |shelf| shelf.partial_holders[at] -= 1);
    }

    fn rarity(&self, at: usize) -> u16 {
        self.partial_holders[at].max(u16::from(self.expected.contains(at)))
    }

    /// Changes how rare a chunk is.
    fn change(&mut self, at: usize, change: impl FnOnce(&mut Self)) {
        let (before, unheld_before) = (self.rarity(at), self.partial_holders[at] == 0);
        change(self);
        let (rarity, unheld) = (self.rarity(at), self.partial_holders[at] == 0);
        if self.by_rarity.len() <= usize::from(rarity) {
            self.by_rarity.push(0);
        }
        if self.wanted.contains(at) {
            self.by_rarity[usize::from(before)] -= 1;
            self.by_rarity[usize::from(rarity)] += 1;
            self.wanted_unheld -= u32::from(unheld_before);
            self.wanted_unheld += u32::from(unheld);
            let block = &mut self.blocks[at / BLOCK];
            block.rarity_min = block.rarity_min.min(rarity);
            block.stale |= rarity > before && before == block.rarity_min;
        }
    }

    // # What next

    /// The chunk where the next run for a peer begins: among the rarest wanted ones that it holds, the
    /// one at `cursor` (where its last run ended) if it is one of them, else a random one.
    pub(crate) fn pick(&mut self, held: &Held, cursor: u32, rng: &mut StdRng) -> Option<u32> {
        let rarest = self.rarest()?;
        if self.fits(cursor, held, rarest) {
            return Some(cursor);
        }
        let count = u32::try_from(self.bytes.len()).ok()?;
        (0..PROBES)
            .map(|_| rng.random_range(0..count))
            .filter(|chunk| self.fits(*chunk, held, rarest))
            .max_by_key(|chunk| self.elbow_room(*chunk, held, rarest))
            .or_else(|| self.scan(held, cursor, rarest, rng))
    }

    /// How many chunks a run from `first` has: wanted ones that the peer holds, no less rare than the
    /// first, within `bytes_max` (but at least one) and [`RUN_CHUNKS_MAX`].
    pub(crate) fn extend(&self, first: u32, held: &Held, bytes_max: u64) -> u32 {
        let rarity = self.rarity(first as usize);
        let mut bytes = self.bytes(first);
        let mut end = first + 1;
        let last = first
            .saturating_add(RUN_CHUNKS_MAX)
            .min(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        while end < last && self.is_wanted(end) && held.contains(end) {
            bytes += self.bytes(end);
            let as_rare = self.rarity(end as usize) <= rarity;
            if bytes > bytes_max || (bytes > GRAIN_BYTES && !as_rare) {
                break;
            }
            end += 1;
        }
        end - first
    }

    /// The least rarity of a wanted chunk, of those that somebody may hold.
    pub(crate) fn rarest(&self) -> Option<u16> {
        let nobody = usize::from(self.full_holders == 0);
        let found = self
            .by_rarity
            .iter()
            .skip(nobody)
            .position(|count| *count > 0)?;
        u16::try_from(found + nobody).ok()
    }

    /// Whether no partial holder is known or expected.
    pub(crate) fn is_rare(&self, at: usize) -> bool {
        self.rarity(at) == 0
    }

    fn fits(&self, chunk: u32, held: &Held, rarity: u16) -> bool {
        self.is_wanted(chunk) && self.rarity(chunk as usize) == rarity && held.contains(chunk)
    }

    /// How far the nearer end of the stretch around a chunk is. In the middle of a long stretch a run
    /// gets furthest before it meets what another receiver, coming from behind, has fetched.
    fn elbow_room(&self, chunk: u32, held: &Held, rarity: u16) -> u32 {
        let open = |at: Option<u32>| {
            at.is_some_and(|at| (at as usize) < self.bytes.len() && self.fits(at, held, rarity))
        };
        (1..ELBOW_ROOM_MAX)
            .find(|far| !open(chunk.checked_add(*far)) || !open(chunk.checked_sub(*far)))
            .unwrap_or(ELBOW_ROOM_MAX)
    }

    /// Looks at everything that may be asked for.
    fn scan(&mut self, held: &Held, cursor: u32, rarest: u16, rng: &mut StdRng) -> Option<u32> {
        let chunk = match held {
            Held::Everything => self.scan_blocks(rarest, rng)?,
            Held::Only(bits) => self.scan_held(bits, rng)?,
        };
        let rarity = self.rarity(chunk as usize);
        Some(if self.fits(cursor, held, rarity) {
            cursor
        } else {
            self.grain_start(chunk, held, rarity)
        })
    }

    /// Where the stretch of small chunks around a chunk begins: a run from its middle would leave crumbs.
    fn grain_start(&self, chunk: u32, held: &Held, rarity: u16) -> u32 {
        let (mut start, mut bytes) = (chunk, 0);
        while let Some(before) = start.checked_sub(1)
            && self.fits(before, held, rarity)
            && bytes + self.bytes(before) < GRAIN_BYTES
        {
            bytes += self.bytes(before);
            start = before;
        }
        start
    }

    /// A random one of the rarest wanted chunks of those with a bit; of thousands, some are looked at.
    fn scan_held(&self, bits: &FixedBitSet, rng: &mut StdRng) -> Option<u32> {
        let words = self.wanted.as_slice().len();
        let start = rng.random_range(0..words.max(1));
        let mut best: Option<(u16, u32)> = None;
        let (mut equals, mut seen) = (0, 0);
        for word in (start..words).chain(0..start) {
            let mut left = self.wanted.as_slice()[word] & bits.as_slice().get(word).unwrap_or(&0);
            while left != 0 && seen < CANDIDATES_MAX {
                let at = word * usize::BITS as usize + left.trailing_zeros() as usize;
                left &= left - 1;
                seen += 1;
                let rarity = self.rarity(at);
                let is_rarer = best.is_none_or(|(before, _)| rarity < before);
                if is_rarer {
                    equals = 0;
                } else if best.is_some_and(|(before, _)| rarity > before) {
                    continue;
                }
                equals += 1;
                if is_rarer || rng.random_range(0..equals) == 0 {
                    best = Some((rarity, u32::try_from(at).ok()?));
                }
            }
        }
        best.map(|(_, chunk)| chunk)
    }

    /// A random one of the rarest wanted chunks.
    fn scan_blocks(&mut self, rarest: u16, rng: &mut StdRng) -> Option<u32> {
        let start = rng.random_range(0..self.blocks.len());
        for at in (start..self.blocks.len()).chain(0..start) {
            if self.blocks[at].wanted == 0 || self.blocks[at].rarity_min > rarest {
                continue;
            }
            self.refresh(at);
            if self.blocks[at].rarity_min == rarest {
                return self.scan_block(at, rarest, rng);
            }
        }
        None
    }

    /// A random one of the wanted chunks in a block that are this rare.
    fn scan_block(&self, at: usize, rarity: u16, rng: &mut StdRng) -> Option<u32> {
        let equals = || {
            self.wanted_in(at)
                .filter(|chunk| self.rarity(*chunk as usize) == rarity)
        };
        let chosen = rng.random_range(0..equals().count().max(1));
        equals().nth(chosen)
    }

    fn refresh(&mut self, at: usize) {
        if self.blocks[at].stale {
            let rarities = self.wanted_in(at).map(|chunk| self.rarity(chunk as usize));
            self.blocks[at].rarity_min = rarities.min().unwrap_or(0);
            self.blocks[at].stale = false;
        }
    }

    fn wanted_in(&self, at: usize) -> impl Iterator<Item = u32> + '_ {
        let word_bits = usize::BITS as usize;
        let words = BLOCK / word_bits;
        let base = at * BLOCK;
        self.wanted
            .as_slice()
            .iter()
            .skip(at * words)
            .take(words)
            .enumerate()
            .flat_map(move |(nth, word)| {
                let mut left = *word;
                std::iter::from_fn(move || {
                    let bit = (left != 0).then_some(left.trailing_zeros())?;
                    left &= left - 1;
                    u32::try_from(base + nth * word_bits)
                        .ok()
                        .map(|first| first + bit)
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    const COUNT: u32 = 700;

    fn some(chunks: impl IntoIterator<Item = u32>) -> Held {
        let mut bits = FixedBitSet::with_capacity(COUNT as usize);
        chunks
            .into_iter()
            .for_each(|chunk| bits.insert(chunk as usize));
        Held::Only(bits)
    }

    /// A shelf that wants all of `COUNT` chunks of so many bytes.
    fn wanting(bytes: u32) -> Shelf {
        let mut shelf = Shelf::new(vec![bytes; COUNT as usize]);
        (0..COUNT).for_each(|chunk| shelf.want(chunk));
        shelf
    }

    #[test]
    fn a_run_goes_on_where_the_last_one_ended_while_that_is_as_rare_as_any() {
        let (mut shelf, mut rng) = (wanting(1024 * 1024), StdRng::seed_from_u64(1));
        let source = Held::Everything;
        shelf.join(&source);
        assert_eq!(shelf.pick(&source, 300, &mut rng), Some(300));
        shelf.join(&some(0..310));
        let chunk = shelf.pick(&source, 300, &mut rng).unwrap();
        assert!(chunk >= 310, "{chunk}");
    }

    #[test]
    fn a_run_ends_where_chunks_are_less_rare_unless_they_are_small() {
        const MIB: u64 = 1024 * 1024;
        // (chunk size, first chunk, longest run) and the run's chunks; the first four are rarer.
        let cases = [
            ((1024 * 1024, 0, 8 * MIB), 4),
            ((1024 * 1024, 2, 8 * MIB), 2),
            ((1024 * 1024, 4, 8 * MIB), 8),
            ((1024 * 1024, 0, 1), 1),
            ((1024, 0, 300 * 1024), 300),
            ((1024 * 1024, COUNT - 3, 8 * MIB), 3),
        ];
        for ((bytes, first, bytes_max), expected) in cases {
            let mut shelf = wanting(bytes);
            shelf.join(&Held::Everything);
            shelf.join(&some(4..COUNT));
            assert_eq!(
                shelf.extend(first, &Held::Everything, bytes_max),
                expected,
                "from {first}"
            );
        }
    }

    #[test]
    fn a_run_has_no_more_chunks_than_a_request_may() {
        let count = RUN_CHUNKS_MAX + 10;
        let mut shelf = Shelf::new(vec![1; count as usize]);
        (0..count).for_each(|chunk| shelf.want(chunk));
        shelf.join(&Held::Everything);
        let runs = |first| shelf.extend(first, &Held::Everything, u64::MAX);
        assert_eq!((runs(0), runs(RUN_CHUNKS_MAX)), (RUN_CHUNKS_MAX, 10));
    }

    #[test]
    fn what_nobody_holds_is_wanted_but_not_reachable() {
        let (mut shelf, mut rng) = (wanting(1), StdRng::seed_from_u64(1));
        let part = some(3..5);
        assert_eq!((shelf.wanted_count(), shelf.reachable()), (COUNT, 0));
        shelf.join(&part);
        assert_eq!(shelf.reachable(), 2);
        shelf.unwant(3);
        assert_eq!(shelf.pick(&part, 0, &mut rng), Some(4));
        shelf.unwant(4);
        assert_eq!(
            (shelf.reachable(), shelf.pick(&part, 0, &mut rng)),
            (0, None)
        );
        shelf.leave(&part);
        assert_eq!(shelf.holders(4), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever was wanted, held, gained and lost: the pick is a rarest one that the peer holds.
        #[test]
        fn the_rarest_is_picked(
            steps in proptest::collection::vec((0_u8..5, 0_usize..4, 0..COUNT, 0_u32..200), 1..60),
            seed: u64,
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut shelf = wanting(1);
            let mut peers = [some(0..1), some(100..500), some((0..COUNT).step_by(3)), Held::Everything];
            for held in &peers {
                shelf.join(held);
            }
            for (what, who, first, count) in steps {
                for chunk in first..(first + count).min(COUNT) {
                    match what {
                        0 => shelf.want(chunk),
                        1 | 2 => shelf.unwant(chunk),
                        3 => shelf.gain(&mut peers[who], chunk),
                        _ => shelf.lose(&mut peers[who], chunk),
                    }
                }
                let holders = |chunk: u32| peers.iter().filter(|held| held.contains(chunk)).count();
                let useful = |chunk: &u32| shelf.is_wanted(*chunk) && peers[who].contains(*chunk);
                let rarest = (0..COUNT).filter(useful).map(holders).min();
                let reachable = (0..COUNT).filter(|it| shelf.is_wanted(*it) && holders(*it) > 0);
                prop_assert_eq!(reachable.count(), shelf.reachable() as usize);
                let picked = shelf.pick(&peers[who], first, &mut rng);
                prop_assert_eq!(picked.map(holders), rarest);
                if let Some(chunk) = picked {
                    prop_assert!(shelf.is_wanted(chunk) && peers[who].contains(chunk));
                    prop_assert_eq!(shelf.holders(chunk) as usize, holders(chunk));
                }
            }
        }
    }
}
