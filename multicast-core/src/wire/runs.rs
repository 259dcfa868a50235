//! Run-length coding of what a client lacks, a byte a damaged block at the usual loss.
//!
//! | first byte  | then                    | meaning                                          |
//! |-------------|-------------------------|--------------------------------------------------|
//! | `0x00–0x7F` |                         | one block that lacks `byte + 1` symbols          |
//! | `0x80–0xBF` |                         | `byte − 0x7F` blocks (1 to 64) that lack nothing |
//! | `0xC0`      | varint n, varint d      | `n` blocks that lack `d` symbols each            |
//! | `0xC1`      | varint n                | `n` blocks that lack nothing                     |
//!
//! A varint has seven bits a byte, the lowest first, the top bit set on all but its last byte;
//! `n` is from 1 to 2³²−1, `d` from 1 to 65,535.

use std::ops::Range;

use super::WireError;
use crate::types::BlockIndex;

const LITERAL_LIMIT: u16 = 128;
const SHORT_SKIP: u8 = 0x80;
const SHORT_SKIP_LIMIT: u32 = 64;
const LONG_RUN: u8 = 0xC0;
const LONG_SKIP: u8 = 0xC1;

/// Neighbouring blocks that lack equally many symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Blocks of the stream.
    pub blocks: Range<u32>,
    /// Symbols that each of them lacks, 0 if it is complete.
    pub deficit: u16,
}

/// Reads runs that [`RunDecoder::check`] has passed.
#[derive(Debug, Clone)]
pub struct RunDecoder<'a> {
    rest: &'a [u8],
    next: u32,
}

impl<'a> RunDecoder<'a> {
    pub(super) fn new(runs: &'a [u8], from: BlockIndex) -> Self {
        Self { rest: runs, next: from.0 }
    }

    /// Checks that `runs` cover exactly `from..to`.
    pub(super) fn check(runs: &'a [u8], from: BlockIndex, to: BlockIndex) -> Result<(), WireError> {
        let mut decoder = Self::new(runs, from);
        while !decoder.rest.is_empty() {
            decoder.step()?;
            if decoder.next > to.0 {
                return Err(WireError::Value {
                    field: "end of the runs",
                    value: decoder.next.into(),
                    bound: "the report's end block",
                });
            }
        }
        match decoder.next == to.0 {
            true => Ok(()),
            false => Err(WireError::Truncated { what: "the runs" }),
        }
    }

    fn step(&mut self) -> Result<Run, WireError> {
        let (&first, rest) = self.rest.split_first().ok_or(WireError::Truncated { what: "a run" })?;
        self.rest = rest;
        let (count, deficit) = match first {
            0..SHORT_SKIP => (1, u16::from(first) + 1),
            SHORT_SKIP..LONG_RUN => (u32::from(first - SHORT_SKIP) + 1, 0),
            LONG_RUN => (self.varint(u32::MAX)?, self.varint(u16::MAX.into())? as u16),
            LONG_SKIP => (self.varint(u32::MAX)?, 0),
            other => return Err(WireError::Value { field: "run", value: other.into(), bound: "at most 0xC1" }),
        };
        let end = self.next.checked_add(count).ok_or(WireError::Value {
            field: "length of a run",
            value: count.into(),
            bound: "within 2^32 blocks",
        })?;
        let run = Run { blocks: self.next..end, deficit };
        self.next = end;
        Ok(run)
    }

    fn varint(&mut self, max: u32) -> Result<u32, WireError> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(WireError::Truncated { what: "a run's number" })?;
            self.rest = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return match value {
                    1.. if value <= u64::from(max) => Ok(value as u32),
                    _ => Err(WireError::Value { field: "a run's number", value, bound: "from 1 to its maximum" }),
                };
            }
        }
        Err(WireError::Value { field: "a run's number", value, bound: "at most five bytes" })
    }
}

impl Iterator for RunDecoder<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        self.step().ok()
    }
}

/// Writes runs into a bounded number of bytes.
#[derive(Debug)]
pub struct RunEncoder {
    out: Vec<u8>,
    limit: usize,
    from: u32,
    /// The run that may still grow.
    open: Run,
}

/// Bytes of the longest single run: mark, two varints of five and three bytes.
const LONGEST: usize = 9;

impl RunEncoder {
    /// Runs from block `from` on, of at most `limit` bytes.
    pub fn new(from: BlockIndex, limit: usize) -> Self {
        Self { out: Vec::new(), limit, from: from.0, open: Run { blocks: from.0..from.0, deficit: 0 } }
    }

    /// Appends `count` blocks that lack `deficit` symbols each; false, and nothing is appended, if
    /// they would not fit.
    pub fn push(&mut self, count: u32, deficit: u16) -> bool {
        if count == 0 {
            return true;
        }
        if deficit == self.open.deficit && !self.open.blocks.is_empty() {
            self.open.blocks.end += count;
            return true;
        }
        // Room for the run that is now closed and for the one that is opened.
        if self.out.len() + 2 * LONGEST > self.limit {
            return false;
        }
        self.close();
        self.open = Run { blocks: self.open.blocks.end..self.open.blocks.end + count, deficit };
        true
    }

    /// The range covered and its runs.
    pub fn finish(mut self) -> (BlockIndex, BlockIndex, Vec<u8>) {
        self.close();
        (BlockIndex(self.from), BlockIndex(self.open.blocks.end), self.out)
    }

    fn close(&mut self) {
        let count = self.open.blocks.end - self.open.blocks.start;
        match (count, self.open.deficit) {
            (0, _) => {}
            (1..=SHORT_SKIP_LIMIT, 0) => self.out.push(SHORT_SKIP + (count - 1) as u8),
            (_, 0) => {
                self.out.push(LONG_SKIP);
                self.varint(count);
            }
            (1, deficit @ 1..=LITERAL_LIMIT) => self.out.push((deficit - 1) as u8),
            (_, deficit) => {
                self.out.push(LONG_RUN);
                self.varint(count);
                self.varint(deficit.into());
            }
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(deficits: &[(u32, u16)], limit: usize) -> (usize, BlockIndex, BlockIndex, Vec<u8>) {
        let mut encoder = RunEncoder::new(BlockIndex(7), limit);
        let fitted = deficits.iter().take_while(|&&(count, deficit)| encoder.push(count, deficit)).count();
        let (from, to, runs) = encoder.finish();
        (fitted, from, to, runs)
    }

    proptest! {
        #[test]
        fn runs_come_back_as_they_were(deficits in prop::collection::vec((1u32..300, 0u16..2000), 0..200)) {
            let (fitted, from, to, runs) = encode(&deficits, 1300);
            prop_assert!(runs.len() <= 1300);
            RunDecoder::check(&runs, from, to).unwrap();
            let flat = |pairs: &[(u32, u16)]| pairs.iter().flat_map(|&(n, d)| std::iter::repeat_n(d, n as usize)).collect::<Vec<_>>();
            let decoded: Vec<(u32, u16)> = RunDecoder::new(&runs, from).map(|r| (r.blocks.end - r.blocks.start, r.deficit)).collect();
            prop_assert_eq!(flat(&decoded), flat(&deficits[..fitted]));
        }

        #[test]
        fn arbitrary_runs_never_panic(runs in prop::collection::vec(any::<u8>(), 0..64), from: u32, to: u32) {
            let _ = RunDecoder::check(&runs, BlockIndex(from), BlockIndex(to));
            let _ = RunDecoder::new(&runs, BlockIndex(from)).count();
        }
    }

    #[test]
    fn a_damaged_block_costs_one_byte() {
        let (_, _, _, runs) = encode(&[(1, 9), (1, 12), (1, 11), (64, 0), (1, 128)], 100);
        assert_eq!(runs, [8, 11, 10, 0xBF, 127]);
    }

    #[test]
    fn a_client_that_has_nothing_needs_six_bytes_for_any_image() {
        let (_, _, _, runs) = encode(&[(46_000, 1024)], 100);
        assert_eq!(runs.len(), 6);
    }
}
