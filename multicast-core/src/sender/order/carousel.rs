//! Round and round through the image.

use std::collections::VecDeque;

use super::Order;
use crate::bitmap::Bitmap;
use crate::layout::Layout;
use crate::types::BlockIndex;

/// Of what goes out the part that a block which goes before all others may have, when a client that loses
/// nearly everything wants the manifest again and again: it must not keep the image from the rest.
const SHARE: u32 = 16;

/// The blocks that say what all others mean first, then round and round through the image.
#[derive(Debug)]
pub struct Carousel {
    always: Vec<BlockIndex>,
    /// Other blocks between two times that the same one of these leads.
    rest: u32,
    /// Blocks that went out since each of these last led; as many as are needed at first.
    rested: Vec<u32>,
    once: VecDeque<BlockIndex>,
    position: usize,
}

impl Carousel {
    /// The manifest, without which no client can verify anything, goes out before everything else whenever it
    /// is wanted, but no block of it more often than each sixteenth symbol; a manifest of a few symbols may lead
    /// each other block, so that whoever comes late need not wait for it. `once` goes before the rest of the
    /// first pass: a WIM's metadata. A client that comes late gets it in its turn: it may be a hundredth of the
    /// image, and fifty such clients would hold up everybody else by half the image.
    pub fn of(layout: &Layout, once: Vec<BlockIndex>) -> Self {
        let always: Vec<_> = (0..layout.manifest_blocks()).map(BlockIndex).collect();
        let longest = always.iter().map(|block| layout.symbols_of(*block)).max().unwrap_or_default();
        let full = u32::from(layout.geometry().block_symbols).max(1);
        Self::new(always, (SHARE * u32::from(longest)).div_ceil(full), once)
    }

    /// The same with blocks of one's own, of which none leads again before `rest` others did.
    pub(super) fn new(always: Vec<BlockIndex>, rest: u32, once: Vec<BlockIndex>) -> Self {
        let rested = vec![rest; always.len()];
        Self { always, rest, rested, once: once.into(), position: 0 }
    }

    /// The next block of those that go before all others.
    pub(super) fn head(&mut self, wanted: &Bitmap) -> Option<BlockIndex> {
        let leads = |(block, rested): (&BlockIndex, &u32)| wanted.get(block.index()) && *rested >= self.rest;
        let leader = self.always.iter().zip(&self.rested).position(leads);
        self.rested.iter_mut().for_each(|rested| *rested = rested.saturating_add(1));
        if let Some(at) = leader {
            self.rested[at] = 0;
            return Some(self.always[at]);
        }
        while let Some(block) = self.once.pop_front() {
            if wanted.get(block.index()) {
                return Some(block);
            }
        }
        None
    }

    /// Where the round goes on.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Goes on behind `block`.
    pub(super) fn turn_to(&mut self, block: usize) -> BlockIndex {
        self.position = block + 1;
        BlockIndex(block as u32)
    }
}

impl Order for Carousel {
    fn looks_at_clients(&self) -> bool {
        false
    }

    fn next(&mut self, wanted: &Bitmap, _held: &[&Bitmap]) -> Option<BlockIndex> {
        if let Some(block) = self.head(wanted) {
            return Some(block);
        }
        let next = wanted.next_one(self.position).or_else(|| wanted.next_one(0))?;
        Some(self.turn_to(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{FileEntry, Geometry};

    #[test]
    fn the_head_goes_first_and_the_rest_round_and_round() {
        let mut order = Carousel::new(vec![BlockIndex(4)], 16, Vec::new());
        let mut wanted = Bitmap::full(5);
        let mut sent = Vec::new();
        while let Some(block) = order.next(&wanted, &[]) {
            wanted.clear(block.index());
            sent.push(block.0);
            if sent.len() == 3 {
                wanted.set(0);
            }
        }
        assert_eq!(sent, [4, 0, 1, 2, 3, 0]);
    }

    #[test]
    fn whoever_comes_late_gets_the_manifest_at_once_and_the_metadata_in_its_turn() {
        let mut order = Carousel::new(vec![BlockIndex(0)], 16, vec![BlockIndex(24)]);
        let mut wanted = Bitmap::full(25);
        let mut sent = Vec::new();
        while let Some(block) = order.next(&wanted, &[]) {
            wanted.clear(block.index());
            sent.push(block.0);
            if sent.len() == 20 {
                wanted.set_range(0..25);
            }
        }
        assert_eq!((&sent[..3], &sent[19..23]), (&[0, 24, 1][..], &[18, 0, 19, 20][..]));
        assert_eq!(&sent[sent.len() - 2..], [17, 18]);
    }

    #[test]
    fn the_shorter_the_manifest_the_sooner_it_leads_again() {
        let rest = |size: u64| {
            let files = vec![FileEntry { name: "image".into(), size }];
            Carousel::of(&Layout::new(Geometry::for_size(size, 1456), files).unwrap(), Vec::new()).rest
        };
        assert_eq!([1 << 20, 1 << 30, 16 << 30, 1 << 40].map(rest), [1, 1, 4, 16]);
    }

    #[test]
    fn a_manifest_that_is_wanted_again_and_again_does_not_keep_the_image_back() {
        let mut order = Carousel::new(vec![BlockIndex(0), BlockIndex(1)], 16, Vec::new());
        let wanted = Bitmap::full(1000);
        let sent: Vec<u32> = (0..1000).filter_map(|_| order.next(&wanted, &[])).map(|block| block.0).collect();
        assert_eq!(sent[..2], [0, 1]);
        assert!(sent.iter().filter(|block| **block < 2).count() < 150);
    }
}
