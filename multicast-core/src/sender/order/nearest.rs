//! Who lacks least is served first.

use super::{Carousel, Order};
use crate::bitmap::Bitmap;
use crate::types::BlockIndex;

/// Clients whose lacking blocks are searched in vain at most: all that they lack is under way.
/// Bounds the cost of a block, 0.5 µs a search in an image of 64 GiB.
const SEARCHES: u32 = 16;

/// A carousel that sends, of what is wanted, what the client lacks that has fewest to go.
///
/// Among clients that came with nothing it is the plain carousel, of which each of them needs every
/// block until it is complete. It differs for clients that come back with most of the image: they
/// need not wait until their gap has its turn, and a small gap holds up nobody else for long. Not the
/// usual order: under heavy loss, what is left after the pass goes out in bad order and takes longer
/// (see `docs/performance.md`).
#[derive(Debug)]
pub struct Nearest {
    carousel: Carousel,
}

impl Nearest {
    /// With the head and the round of `carousel`.
    pub fn new(carousel: Carousel) -> Self {
        Self { carousel }
    }
}

impl Order for Nearest {
    fn next(&mut self, wanted: &Bitmap, held: &[&Bitmap]) -> Option<BlockIndex> {
        if let Some(block) = self.carousel.head(wanted) {
            return Some(block);
        }
        let from = self.carousel.position();
        let (mut found, mut fewest, mut in_vain) = (None, usize::MAX, 0);
        for client in held {
            let lacks = client.count_zeros();
            if lacks == 0 || lacks >= fewest {
                continue;
            }
            match wanted.next_one_not_in(from, client).or_else(|| wanted.next_one_not_in(0, client)) {
                Some(block) => (found, fewest) = (Some(block), lacks),
                None => in_vain += 1,
            }
            if in_vain == SEARCHES {
                break;
            }
        }
        match found {
            Some(block) => Some(self.carousel.turn_to(block)),
            None => self.carousel.next(wanted, held),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(order: &mut Nearest, mut held: Vec<Bitmap>) -> Vec<u32> {
        let mut wanted = Bitmap::new(held[0].len());
        for client in &held {
            client.runs_of_zeros().for_each(|run| {
                wanted.set_range(run);
            });
        }
        let mut sent = Vec::new();
        while let Some(block) = order.next(&wanted, &held.iter().collect::<Vec<_>>()) {
            wanted.clear(block.index());
            held.iter_mut().for_each(|client| {
                client.set(block.index());
            });
            sent.push(block.0);
        }
        sent
    }

    fn nearest() -> Nearest {
        Nearest::new(Carousel::new(vec![BlockIndex(0)], 16, Vec::new()))
    }

    #[test]
    fn among_clients_without_anything_it_is_the_carousel() {
        assert_eq!(send(&mut nearest(), vec![Bitmap::new(5), Bitmap::new(5)]), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_small_gap_goes_first_and_the_round_goes_on_behind_it() {
        let mut gap = Bitmap::full(6);
        gap.clear_range(3..5);
        assert_eq!(send(&mut nearest(), vec![Bitmap::new(6), gap]), [0, 3, 4, 5, 1, 2]);
    }

    #[test]
    fn a_client_to_which_all_is_under_way_hides_nobody() {
        let (mut under_way, mut gap) = (Bitmap::full(6), Bitmap::full(6));
        under_way.clear(1);
        gap.clear_range(3..5);
        let mut wanted = Bitmap::full(6);
        wanted.clear_range(0..2);
        assert_eq!(nearest().next(&wanted, &[&under_way, &gap]), Some(BlockIndex(3)));
        assert_eq!(nearest().next(&wanted, &[&under_way]), Some(BlockIndex(2)), "nobody is near: the carousel");
    }
}
