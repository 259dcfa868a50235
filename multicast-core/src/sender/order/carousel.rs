//! Round and round through the image.

use std::collections::VecDeque;

use super::Order;
use crate::bitmap::Bitmap;
use crate::types::BlockIndex;

/// The blocks that say what all others mean first, then round and round through the image.
#[derive(Debug)]
pub struct Carousel {
    always: Vec<BlockIndex>,
    once: VecDeque<BlockIndex>,
    position: usize,
}

impl Carousel {
    /// `always` goes out before everything else whenever it is wanted, in its order: the manifest,
    /// without which no client can verify anything. `once` goes before the rest of the first pass: a
    /// WIM's metadata. A client that comes late gets it in its turn: it may be a hundredth of the
    /// image, and fifty such clients would hold up everybody else by half the image.
    pub fn new(always: Vec<BlockIndex>, once: Vec<BlockIndex>) -> Self {
        Self { always, once: once.into(), position: 0 }
    }

    /// The next block of those that go before all others.
    pub(super) fn head(&mut self, wanted: &Bitmap) -> Option<BlockIndex> {
        if let Some(&block) = self.always.iter().find(|block| wanted.get(block.index())) {
            return Some(block);
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

    #[test]
    fn the_head_goes_first_and_the_rest_round_and_round() {
        let mut order = Carousel::new(vec![BlockIndex(4)], Vec::new());
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
        let mut order = Carousel::new(vec![BlockIndex(0)], vec![BlockIndex(4)]);
        let mut wanted = Bitmap::full(5);
        let mut sent = Vec::new();
        while let Some(block) = order.next(&wanted, &[]) {
            wanted.clear(block.index());
            sent.push(block.0);
            if sent.len() == 3 {
                wanted.set_range(0..5);
            }
        }
        assert_eq!(sent, [0, 4, 1, 0, 2, 3, 4, 1]);
    }
}
