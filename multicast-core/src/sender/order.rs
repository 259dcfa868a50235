//! In which order the blocks go out that somebody lacks as a whole.

use crate::bitmap::Bitmap;
use crate::types::BlockIndex;

/// Chooses the next block; a new policy is a new implementation.
pub trait Order: Send {
    /// The next one of the `wanted` blocks, or `None` if no block is.
    fn next(&mut self, wanted: &Bitmap) -> Option<BlockIndex>;
}

/// The blocks that say what all others mean first, then round and round through the image.
#[derive(Debug)]
pub struct Carousel {
    head: Vec<BlockIndex>,
    position: usize,
}

impl Carousel {
    /// `head` goes out before everything else, in its order: the manifest, then a WIM's metadata.
    pub fn new(head: Vec<BlockIndex>) -> Self {
        Self { head, position: 0 }
    }
}

impl Order for Carousel {
    fn next(&mut self, wanted: &Bitmap) -> Option<BlockIndex> {
        if let Some(&block) = self.head.iter().find(|block| wanted.get(block.index())) {
            return Some(block);
        }
        let next = wanted.next_one(self.position).or_else(|| wanted.next_one(0))?;
        self.position = next + 1;
        Some(BlockIndex(next as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_goes_first_and_the_rest_round_and_round() {
        let mut order = Carousel::new(vec![BlockIndex(4)]);
        let mut wanted = Bitmap::full(5);
        let mut sent = Vec::new();
        while let Some(block) = order.next(&wanted) {
            wanted.clear(block.index());
            sent.push(block.0);
            if sent.len() == 3 {
                wanted.set(0);
            }
        }
        assert_eq!(sent, [4, 0, 1, 2, 3, 0]);
    }
}
