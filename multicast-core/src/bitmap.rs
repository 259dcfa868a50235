//! A set of block numbers, one bit each.
//!
//! The bits live in a `BitVec`, but the work is done on its raw words: bitvec's own bulk operators
//! are 18 to 41 times slower. The number of ones is kept, so that progress costs nothing to ask.

use std::fmt;
use std::ops::Range;

use bitvec::order::Lsb0;
use bitvec::vec::BitVec;

const WORD: usize = u64::BITS as usize;

/// A fixed number of bits; those beyond it are always 0.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Bitmap {
    bits: BitVec<u64, Lsb0>,
    ones: usize,
}

/// Bytes that are no bitmap of the length that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BitmapError {
    /// Too few or too many bytes.
    #[error("a bitmap of {bits} bits takes {need} bytes, here are {found}")]
    Length {
        /// Bits that it must have.
        bits: usize,
        /// Bytes that takes.
        need: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A bit beyond the last one is set.
    #[error("the bitmap has a bit set beyond its last of {bits}")]
    Tail {
        /// Bits that it must have.
        bits: usize,
    },
}

impl Bitmap {
    /// `len` zeros.
    pub fn new(len: usize) -> Self {
        Self { bits: BitVec::repeat(false, len), ones: 0 }
    }

    /// `len` ones.
    pub fn full(len: usize) -> Self {
        let mut full = Self::new(len);
        full.set_range(0..len);
        full
    }

    /// The bitmap of `len` bits that [`to_bytes`](Self::to_bytes) gave.
    pub fn from_bytes(len: usize, bytes: &[u8]) -> Result<Self, BitmapError> {
        let need = len.div_ceil(8);
        if bytes.len() != need {
            return Err(BitmapError::Length { bits: len, need, found: bytes.len() });
        }
        if !len.is_multiple_of(8) && bytes[need - 1] >> (len % 8) != 0 {
            return Err(BitmapError::Tail { bits: len });
        }
        let mut map = Self::new(len);
        for (word, bytes) in map.bits.as_raw_mut_slice().iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(padded);
        }
        map.recount();
        Ok(map)
    }

    /// One byte for eight bits, the first in the lowest place.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words().iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(self.len().div_ceil(8));
        bytes
    }

    /// Bits, ones and zeros.
    pub fn len(&self) -> usize {
        self.bits.len()
    }

    /// Whether it has no bit at all; a bitmap of zeros has some.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Ones, without counting them.
    pub fn count_ones(&self) -> usize {
        self.ones
    }

    /// Zeros, without counting them.
    pub fn count_zeros(&self) -> usize {
        self.len() - self.ones
    }

    /// Whether no bit is 0.
    pub fn is_full(&self) -> bool {
        self.ones == self.len()
    }

    /// Whether bit `index` is 1; beyond the last there are none.
    pub fn get(&self, index: usize) -> bool {
        index < self.len() && self.words()[index / WORD] >> (index % WORD) & 1 != 0
    }

    /// Makes bit `index` 1 and tells whether it was 0; beyond the last there is nothing to set.
    pub fn set(&mut self, index: usize) -> bool {
        let newly = index < self.len() && !self.get(index);
        if newly {
            self.bits.as_raw_mut_slice()[index / WORD] |= 1 << (index % WORD);
            self.ones += 1;
        }
        newly
    }

    /// Makes bit `index` 0 and tells whether it was 1.
    pub fn clear(&mut self, index: usize) -> bool {
        let was = self.get(index);
        if was {
            self.bits.as_raw_mut_slice()[index / WORD] &= !(1 << (index % WORD));
            self.ones -= 1;
        }
        was
    }

    /// Makes the bits of `range` 1, as far as there are such, and tells how many were 0.
    pub fn set_range(&mut self, range: Range<usize>) -> usize {
        let before = self.ones;
        self.change(range, |word, mask| word | mask);
        self.ones - before
    }

    /// Makes the bits of `range` 0, as far as there are such, and tells how many were 1.
    pub fn clear_range(&mut self, range: Range<usize>) -> usize {
        let before = self.ones;
        self.change(range, |word, mask| word & !mask);
        before - self.ones
    }

    /// The first 1 at `from` or after it.
    pub fn next_one(&self, from: usize) -> Option<usize> {
        self.next(from, 0)
    }

    /// The first 1 at `from` or after it that is 0 in `other`; bits that `other` lacks count as 0.
    pub fn next_one_not_in(&self, from: usize, other: &Self) -> Option<usize> {
        let first = from / WORD;
        let theirs = other.words().iter().copied().chain(std::iter::repeat(0)).skip(first);
        let mut mask = u64::MAX << (from % WORD);
        for (index, (word, theirs)) in self.words().iter().skip(first).zip(theirs).enumerate() {
            let candidates = word & !theirs & mask;
            if candidates != 0 {
                return Some((first + index) * WORD + candidates.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    /// The first 0 at `from` or after it.
    pub fn next_zero(&self, from: usize) -> Option<usize> {
        self.next(from, u64::MAX)
    }

    /// The first 0.
    pub fn first_zero(&self) -> Option<usize> {
        self.next_zero(0)
    }

    /// The ones, as the longest possible runs, in order.
    pub fn runs_of_ones(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.runs(Self::next_one, Self::next_zero)
    }

    /// The zeros, as the longest possible runs, in order.
    pub fn runs_of_zeros(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.runs(Self::next_zero, Self::next_one)
    }

    /// The number of each 1, in order.
    pub fn iter_ones(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.next_one(0), |&last| self.next_one(last + 1))
    }

    /// Ones within `range`, as far as there are such bits.
    pub fn count_ones_in(&self, range: Range<usize>) -> usize {
        let end = range.end.min(self.len());
        if range.start >= end {
            return 0;
        }
        let (first, last) = (range.start / WORD, (end - 1) / WORD);
        let (head, tail) = (u64::MAX << (range.start % WORD), u64::MAX >> (WORD - 1 - (end - 1) % WORD));
        let masked = |index: usize, word: u64| {
            let word = if index == first { word & head } else { word };
            if index == last { word & tail } else { word }
        };
        let words = self.words()[first..=last].iter().enumerate();
        words.map(|(at, &word)| masked(first + at, word).count_ones() as usize).sum()
    }

    /// Of each of `columns` equal parts what is 1, from 0 for nothing to 255 for all of it; a part that is
    /// less than a bit shows the bit that it lies in.
    pub fn shares(&self, columns: usize) -> Vec<u8> {
        let share = |column: usize| {
            let start = column * self.len() / columns;
            let part = start..((column + 1) * self.len() / columns).max(start + 1);
            // Rounded down: 255 is said only of what is whole.
            (self.count_ones_in(part.clone()) * 255 / part.len()) as u8
        };
        if self.is_empty() { vec![0; columns] } else { (0..columns).map(share).collect() }
    }

    /// Keeps the ones that `other` has too; bits that `other` lacks count as 0.
    pub fn intersect(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine & theirs);
    }

    /// Adds the ones of `other`, as far as there are such bits here.
    pub fn union(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine | theirs);
    }

    /// Takes the ones of `other` away.
    pub fn and_not(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine & !theirs);
    }

    fn words(&self) -> &[u64] {
        self.bits.as_raw_slice()
    }

    fn change(&mut self, range: Range<usize>, change: impl Fn(u64, u64) -> u64) {
        let end = range.end.min(self.len());
        if range.start >= end {
            return;
        }
        let (first, last) = (range.start / WORD, (end - 1) / WORD);
        for (index, word) in self.bits.as_raw_mut_slice()[first..=last].iter_mut().enumerate() {
            let low = if index == 0 { u64::MAX << (range.start % WORD) } else { u64::MAX };
            let high = if first + index == last { u64::MAX >> (WORD - 1 - (end - 1) % WORD) } else { u64::MAX };
            let changed = change(*word, low & high);
            self.ones = self.ones + changed.count_ones() as usize - word.count_ones() as usize;
            *word = changed;
        }
    }

    /// The first 1 at `from` or after it, when every word is flipped by `flip`.
    fn next(&self, from: usize, flip: u64) -> Option<usize> {
        if from >= self.len() {
            return None;
        }
        let first = from / WORD;
        let mut mask = u64::MAX << (from % WORD);
        for (index, word) in self.words()[first..].iter().enumerate() {
            let candidates = (word ^ flip) & mask;
            if candidates != 0 {
                let found = (first + index) * WORD + candidates.trailing_zeros() as usize;
                return (found < self.len()).then_some(found);
            }
            mask = u64::MAX;
        }
        None
    }

    fn runs(
        &self,
        start: fn(&Self, usize) -> Option<usize>,
        end: fn(&Self, usize) -> Option<usize>,
    ) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let run = start(self, from)?;
            from = end(self, run).unwrap_or(self.len());
            Some(run..from)
        })
    }

    fn combine(&mut self, other: &Self, op: impl Fn(u64, u64) -> u64) {
        let theirs = other.words().iter().copied().chain(std::iter::repeat(0));
        for (word, theirs) in self.bits.as_raw_mut_slice().iter_mut().zip(theirs) {
            *word = op(*word, theirs);
        }
        let tail = self.len() % WORD;
        if tail != 0
            && let Some(last) = self.bits.as_raw_mut_slice().last_mut()
        {
            *last &= u64::MAX >> (WORD - tail);
        }
        self.recount();
    }

    fn recount(&mut self) {
        self.ones = self.words().iter().map(|word| word.count_ones() as usize).sum();
    }
}

/// The count and the runs: a million bits are no help in a failed test.
impl fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} ", self.ones, self.len())?;
        f.debug_list().entries(self.runs_of_ones()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Op {
        Set(usize),
        Clear(usize),
        SetRange(Range<usize>),
        ClearRange(Range<usize>),
    }

    fn op() -> impl Strategy<Value = Op> {
        let index = || 0usize..300;
        prop_oneof![
            index().prop_map(Op::Set),
            index().prop_map(Op::Clear),
            (index(), index()).prop_map(|(a, b)| Op::SetRange(a..b)),
            (index(), index()).prop_map(|(a, b)| Op::ClearRange(a..b)),
        ]
    }

    fn bitmap(bits: &[bool]) -> Bitmap {
        let mut map = Bitmap::new(bits.len());
        for (index, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
            assert!(map.set(index));
        }
        map
    }

    fn bools(map: &Bitmap) -> Vec<bool> {
        (0..map.len()).map(|index| map.get(index)).collect()
    }

    fn fill(bits: &mut [bool], range: Range<usize>, to: bool) -> usize {
        let end = range.end.min(bits.len());
        let part = bits.get_mut(range.start..end).unwrap_or_default();
        let changed = part.iter().filter(|&&bit| bit != to).count();
        part.fill(to);
        changed
    }

    fn no_bit_beyond_the_last(map: &Bitmap) -> bool {
        map.words().iter().map(|word| word.count_ones() as usize).sum::<usize>()
            == bools(map).iter().filter(|&&bit| bit).count()
    }

    #[test]
    fn a_share_is_whole_only_if_every_bit_is_there() {
        let mut bitmap = Bitmap::full(1000);
        assert_eq!(bitmap.shares(3), [255; 3]);
        bitmap.clear(999);
        assert_eq!(bitmap.shares(3), [255, 255, 254]);
        assert_eq!(Bitmap::new(1000).shares(2), [0; 2]);
        let mut small = Bitmap::new(2);
        small.set(1);
        assert_eq!(small.shares(4), [0, 0, 255, 255]);
        assert_eq!(Bitmap::new(0).shares(2), [0; 2]);
    }

    proptest! {
        #[test]
        fn ones_in_a_range_are_counted(ops in proptest::collection::vec(op(), 0..30), len in 0usize..300, a in 0usize..320, b in 0usize..320) {
            let mut bitmap = Bitmap::new(len);
            for op in ops {
                match op {
                    Op::Set(i) => { bitmap.set(i); }
                    Op::Clear(i) => { bitmap.clear(i); }
                    Op::SetRange(r) => { bitmap.set_range(r); }
                    Op::ClearRange(r) => { bitmap.clear_range(r); }
                }
            }
            let range = a.min(b)..a.max(b);
            let counted = range.clone().filter(|&i| bitmap.get(i)).count();
            prop_assert_eq!(bitmap.count_ones_in(range), counted);
        }

        #[test]
        fn it_does_what_a_vector_of_bools_does(len in 0usize..280, ops in prop::collection::vec(op(), 0..40)) {
            let mut map = Bitmap::new(len);
            let mut bits = vec![false; len];
            for op in ops {
                match op {
                    Op::Set(i) => prop_assert_eq!(map.set(i), fill(&mut bits, i..i + 1, true) == 1),
                    Op::Clear(i) => prop_assert_eq!(map.clear(i), fill(&mut bits, i..i + 1, false) == 1),
                    Op::SetRange(range) => prop_assert_eq!(map.set_range(range.clone()), fill(&mut bits, range, true)),
                    Op::ClearRange(range) => {
                        prop_assert_eq!(map.clear_range(range.clone()), fill(&mut bits, range, false));
                    }
                }
                prop_assert_eq!(map.count_ones(), bits.iter().filter(|&&bit| bit).count());
                prop_assert_eq!(map.is_full(), bits.iter().all(|&bit| bit));
                prop_assert!(no_bit_beyond_the_last(&map));
            }
            prop_assert_eq!(bools(&map), bits);
        }

        #[test]
        fn the_next_bit_is_the_one_a_walk_finds(bits in prop::collection::vec(any::<bool>(), 0..200), from in 0usize..210) {
            let map = bitmap(&bits);
            let walk = |wanted| (from..bits.len()).find(|&index| bits[index] == wanted);
            prop_assert_eq!(map.next_one(from), walk(true));
            prop_assert_eq!(map.next_zero(from), walk(false));
            prop_assert_eq!(map.first_zero(), bits.iter().position(|&bit| !bit));
        }

        #[test]
        fn the_next_bit_not_in_another_is_the_one_a_walk_finds(
            bits in prop::collection::vec(any::<bool>(), 0..200),
            other in prop::collection::vec(any::<bool>(), 0..200),
            from in 0usize..210,
        ) {
            let walk = (from..bits.len()).find(|&index| bits[index] && !other.get(index).is_some_and(|&bit| bit));
            prop_assert_eq!(bitmap(&bits).next_one_not_in(from, &bitmap(&other)), walk);
        }

        #[test]
        fn the_runs_of_ones_and_of_zeros_tile_it(
            lens in prop::collection::vec(1usize..90, 0..12),
            first in any::<bool>(),
        ) {
            let bits: Vec<bool> =
                lens.iter().enumerate().flat_map(|(i, &len)| vec![(i % 2 == 0) == first; len]).collect();
            let map = bitmap(&bits);
            let mut runs: Vec<_> = map.runs_of_ones().chain(map.runs_of_zeros()).collect();
            runs.sort_by_key(|run| run.start);
            prop_assert_eq!(runs.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(), lens);
            prop_assert_eq!(map.runs_of_ones().flatten().collect::<Vec<_>>(), map.iter_ones().collect::<Vec<_>>());
            prop_assert_eq!(map.runs_of_ones().map(|run| run.len()).sum::<usize>(), map.count_ones());
        }

        #[test]
        fn bulk_operations_treat_missing_bits_as_zero(
            a in prop::collection::vec(any::<bool>(), 0..200),
            b in prop::collection::vec(any::<bool>(), 0..200),
        ) {
            let (map, other) = (bitmap(&a), bitmap(&b));
            let expected = |op: fn(bool, bool) -> bool| -> Vec<bool> {
                a.iter().enumerate().map(|(i, &mine)| op(mine, b.get(i).copied().unwrap_or(false))).collect()
            };
            let check = |apply: fn(&mut Bitmap, &Bitmap), op: fn(bool, bool) -> bool| {
                let mut result = map.clone();
                apply(&mut result, &other);
                prop_assert_eq!(bools(&result), expected(op));
                prop_assert_eq!(result.count_ones(), expected(op).iter().filter(|&&bit| bit).count());
                prop_assert!(no_bit_beyond_the_last(&result));
                Ok(())
            };
            check(Bitmap::intersect, |a, b| a & b)?;
            check(Bitmap::union, |a, b| a | b)?;
            check(Bitmap::and_not, |a, b| a & !b)?;
        }

        #[test]
        fn bytes_give_the_same_bitmap_back(bits in prop::collection::vec(any::<bool>(), 0..200)) {
            let map = bitmap(&bits);
            prop_assert_eq!(Bitmap::from_bytes(bits.len(), &map.to_bytes()), Ok(map));
        }

        #[test]
        fn any_bytes_are_a_bitmap_or_an_error(len in 0usize..100, bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            if let Ok(map) = Bitmap::from_bytes(len, &bytes) {
                prop_assert_eq!(map.to_bytes(), bytes);
                prop_assert!(no_bit_beyond_the_last(&map));
            }
        }
    }

    #[test]
    fn a_full_one_has_no_zero() {
        for len in [0, 1, 63, 64, 65, 46_000] {
            let map = Bitmap::full(len);
            assert!(map.is_full());
            assert_eq!((map.count_ones(), map.first_zero()), (len, None));
            assert!(no_bit_beyond_the_last(&map));
        }
    }
}
