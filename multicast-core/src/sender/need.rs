//! What is still to be sent: one number a block, whoever needs it.
//!
//! A block's *need* is the largest number of further symbols that some client was last known to
//! lack. The forward pass, repair, catch-up and resume are the same thing here: needs that reports
//! raised and that sending brings down. Which symbols go out is decided by the block alone: source
//! symbols when somebody has nothing of it, fresh parity otherwise, since one parity symbol repairs
//! a different loss at every client.

use std::collections::VecDeque;

use crate::bitmap::Bitmap;
use crate::layout::Layout;
use crate::types::{BlockIndex, SymbolIndex};

/// Symbols of one block with consecutive indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SymbolRun {
    /// The block.
    pub block: BlockIndex,
    /// The first symbol.
    pub first: SymbolIndex,
    /// How many.
    pub count: u16,
}

/// A block of which a client lacks more than one symbol in so many is not repaired at once.
const REPAIR_LIMIT: u16 = 3;

/// The needs of all blocks, and two queues of the blocks that have one.
#[derive(Debug)]
pub(super) struct NeedMap {
    blocks: Vec<Block>,
    full: u16,
    last_of: LastBlocks,
    parity: u16,
    /// Blocks of which somebody has little or nothing: for the carousel.
    carousel: Bitmap,
    /// Blocks that are needed whole: no report can raise their need.
    whole: Bitmap,
    /// Blocks that a few symbols would repair, oldest report first; may hold stale entries.
    repairs: VecDeque<BlockIndex>,
    in_repairs: Bitmap,
    /// The block begun last goes out with its source symbols.
    replay: bool,
    /// Symbols needed in all.
    total: u64,
}

/// State of one block, six bytes.
#[derive(Debug, Clone, Copy)]
struct Block {
    need: u16,
    /// The next source symbol of a replay; the block's `k` when none is under way.
    source_next: u16,
    /// The next fresh parity symbol, counted from 0.
    parity_next: u16,
}

/// Only a file's last block may be short; a delivery has few.
type LastBlocks = Vec<(BlockIndex, u16)>;

impl NeedMap {
    pub(super) fn new(layout: &Layout) -> Self {
        let full = layout.geometry().block_symbols;
        let mut last_of = LastBlocks::new();
        let blocks = (0..layout.blocks())
            .map(|b| {
                let symbols = layout.symbols_of(BlockIndex(b));
                if symbols != full {
                    last_of.push((BlockIndex(b), symbols));
                }
                Block { need: 0, source_next: symbols, parity_next: 0 }
            })
            .collect::<Vec<_>>();
        let len = blocks.len();
        Self {
            blocks,
            full,
            last_of,
            parity: layout.geometry().parity_symbols,
            carousel: Bitmap::new(len),
            whole: Bitmap::new(len),
            repairs: VecDeque::new(),
            in_repairs: Bitmap::new(len),
            replay: false,
            total: 0,
        }
    }

    /// Source symbols of `block`.
    pub(super) fn symbols_of(&self, block: BlockIndex) -> u16 {
        match self.last_of.iter().find(|(last, _)| *last == block) {
            Some(&(_, symbols)) => symbols,
            None => self.full,
        }
    }

    /// Symbols still needed of `block`.
    pub(super) fn of(&self, block: BlockIndex) -> u16 {
        self.blocks[block.index()].need
    }

    /// Symbols still needed of all blocks.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Blocks that the carousel is to send.
    pub(super) fn carousel(&self) -> &Bitmap {
        &self.carousel
    }

    /// The first block from `from` on that is not needed whole already: only its need can rise.
    pub(super) fn next_to_raise(&self, from: u32) -> u32 {
        self.whole.next_zero(from as usize).map_or(u32::MAX, |block| block as u32)
    }

    /// Somebody lacks `deficit` symbols of `block`.
    pub(super) fn raise(&mut self, block: BlockIndex, deficit: u16) {
        let symbols = self.symbols_of(block);
        let deficit = deficit.min(symbols);
        let state = &mut self.blocks[block.index()];
        if deficit <= state.need {
            return;
        }
        self.total += u64::from(deficit - state.need);
        state.need = deficit;
        if deficit == symbols {
            self.whole.set(block.index());
        }
        if self.carousel.get(block.index()) {
            return;
        }
        // A client that lost so much is too slow for the pass: it is served after it, not by holding
        // up all others.
        if self.is_too_much(deficit, symbols) {
            self.in_repairs.clear(block.index());
            self.carousel.set(block.index());
        } else if self.in_repairs.set(block.index()) {
            self.repairs.push_back(block);
        }
    }

    /// Whether somebody lacks so much of a block that it is not repaired at once.
    fn is_too_much(&self, deficit: u16, symbols: u16) -> bool {
        deficit == symbols || deficit > self.parity.min(symbols / REPAIR_LIMIT)
    }

    /// Forgets all needs; those who have one will say so again.
    pub(super) fn forget(&mut self) {
        for block in &mut self.blocks {
            block.need = 0;
        }
        self.total = 0;
        self.repairs.clear();
        self.in_repairs.clear_range(0..self.blocks.len());
        self.carousel.clear_range(0..self.blocks.len());
        self.whole.clear_range(0..self.blocks.len());
    }

    /// The oldest block that waits for repair.
    pub(super) fn next_repair(&mut self) -> Option<BlockIndex> {
        while let Some(&block) = self.repairs.front() {
            if self.in_repairs.get(block.index()) && self.of(block) > 0 {
                return Some(block);
            }
            self.in_repairs.clear(block.index());
            self.repairs.pop_front();
        }
        None
    }

    /// The transmission of `block` begins: if somebody has nothing of it, with its source symbols. What
    /// is lost of these is repaired with the first parity symbols again: for whoever came late they are
    /// fresh, and all others are complete by the replay.
    pub(super) fn begin(&mut self, block: BlockIndex) {
        let symbols = self.symbols_of(block);
        let state = &mut self.blocks[block.index()];
        self.replay = state.need == symbols;
        if self.replay {
            state.source_next = 0;
            state.parity_next = 0;
        }
    }

    /// Whether the block that was begun last is to go on: it is needed, and not only by clients that
    /// lost so much of its replay that the others had to wait for them.
    pub(super) fn goes_on(&self, block: BlockIndex) -> bool {
        let state = &self.blocks[block.index()];
        let symbols = self.symbols_of(block);
        let replayed = self.replay && state.source_next >= symbols;
        state.need > 0 && !(replayed && self.is_too_much(state.need, symbols))
    }

    /// The next symbols of `block`, at most `max` and no more than are needed.
    pub(super) fn peek(&mut self, block: BlockIndex, max: u16) -> SymbolRun {
        let symbols = self.symbols_of(block);
        let parity = self.parity;
        let state = &mut self.blocks[block.index()];
        if state.source_next >= symbols && state.parity_next >= parity {
            // All that exist have been sent: round again.
            state.source_next = 0;
            state.parity_next = 0;
        }
        let wanted = state.need.min(max);
        let (first, left) = if state.source_next < symbols {
            (state.source_next, symbols - state.source_next)
        } else {
            (symbols + state.parity_next, parity - state.parity_next)
        };
        SymbolRun { block, first: SymbolIndex(first), count: wanted.min(left) }
    }

    /// `run`, as just peeked, goes out.
    pub(super) fn sent(&mut self, run: SymbolRun) {
        let symbols = self.symbols_of(run.block);
        let state = &mut self.blocks[run.block.index()];
        if run.first.0 < symbols {
            state.source_next += run.count;
        } else {
            state.parity_next += run.count;
        }
        state.need -= run.count;
        self.total -= u64::from(run.count);
        self.whole.clear(run.block.index());
        if state.need == 0 {
            self.carousel.clear(run.block.index());
            self.in_repairs.clear(run.block.index());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::CodecId;
    use crate::layout::{FileEntry, Geometry};

    fn needs() -> NeedMap {
        let geometry = Geometry { symbol_size: 64, block_symbols: 8, parity_symbols: 4, codec: CodecId::ReedSolomon8 };
        let files = vec![FileEntry { name: "image".into(), size: 8 * 64 * 3 }];
        NeedMap::new(&Layout::new(geometry, files).unwrap())
    }

    /// Sends until `block` is not needed any more.
    fn drain(needs: &mut NeedMap, block: BlockIndex) -> Vec<u16> {
        let mut sent = Vec::new();
        while needs.of(block) > 0 {
            let run = needs.peek(block, 3);
            needs.sent(run);
            sent.extend(run.first.0..run.first.0 + run.count);
        }
        sent
    }

    const BLOCK: BlockIndex = BlockIndex(1);

    #[test]
    fn a_block_goes_out_as_source_first_and_is_repaired_with_fresh_parity() {
        let mut needs = needs();
        needs.raise(BLOCK, 8);
        needs.begin(BLOCK);
        assert_eq!(drain(&mut needs, BLOCK), [0, 1, 2, 3, 4, 5, 6, 7]);
        needs.raise(BLOCK, 2);
        needs.raise(BLOCK, 1);
        assert_eq!(needs.next_repair(), Some(BLOCK));
        assert_eq!(drain(&mut needs, BLOCK), [8, 9]);
        assert_eq!(needs.next_repair(), None);
        needs.raise(BLOCK, 1);
        assert_eq!(drain(&mut needs, BLOCK), [10]);
    }

    #[test]
    fn when_parity_is_used_up_the_symbols_go_round_again() {
        let mut needs = needs();
        needs.raise(BLOCK, 3);
        needs.begin(BLOCK);
        assert_eq!(drain(&mut needs, BLOCK), [8, 9, 10]);
        needs.raise(BLOCK, 3);
        assert_eq!(drain(&mut needs, BLOCK), [11, 0, 1]);
    }

    #[test]
    fn a_client_without_anything_moves_a_block_from_repair_to_the_carousel() {
        let mut needs = needs();
        needs.raise(BLOCK, 2);
        assert_eq!(needs.next_repair(), Some(BLOCK));
        needs.raise(BLOCK, 8);
        assert_eq!(needs.next_repair(), None);
        assert!(needs.carousel().get(1));
        assert_eq!(needs.total(), 8);
        needs.forget();
        assert_eq!((needs.total(), needs.carousel().count_ones()), (0, 0));
    }
}
