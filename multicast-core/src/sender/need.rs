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

/// A block of which a client lost more than one symbol in so many is not repaired at once.
const REPAIR_LIMIT: u16 = 8;
/// Though so few symbols always are.
const SMALL_REPAIR: u16 = 4;
/// In the carousel a block gets at least one symbol in so many at a time, if it needs them: its parity
/// is made anew for each visit of an image whose parity cannot all be kept, in 0.5 ms, and 1 Gbit/s
/// sends 40 symbols meanwhile.
const LEAST_VISIT: u16 = 8;

/// Which of a block's needs is being served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Those of the clients that have most of it.
    Repair,
    /// All.
    Whole,
}

/// The needs of all blocks, and two queues of the blocks that have one.
#[derive(Debug)]
pub(super) struct NeedMap {
    blocks: Vec<Block>,
    full: u16,
    last_of: LastBlocks,
    parity: u16,
    /// Blocks of which somebody has little or nothing: for the carousel.
    carousel: Bitmap,
    /// Blocks that are needed whole: no other whole need can raise theirs.
    whole: Bitmap,
    /// Of the carousel's, blocks of which somebody has nothing.
    replay: Bitmap,
    /// Blocks that a few symbols would repair, oldest report first; may hold stale entries.
    repairs: VecDeque<BlockIndex>,
    in_repairs: Bitmap,
    /// The carousel's block goes out with its source symbols.
    replaying: bool,
    /// Symbols that the carousel's block may still get before the next one has its turn.
    visit: u16,
    /// Symbols needed in all.
    total: u64,
}

/// State of one block, ten bytes.
#[derive(Debug, Clone, Copy)]
struct Block {
    need: u16,
    /// The part of the need that repairs whoever has most of the block. It does not wait for the
    /// carousel, though somebody else may need the block whole: a late client must not keep the
    /// others waiting.
    repair: u16,
    /// The least that would complete one of those that wait for the carousel, 0 if nobody has told since
    /// that was sent.
    least: u16,
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
                Block { need: 0, repair: 0, least: 0, source_next: symbols, parity_next: 0 }
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
            replay: Bitmap::new(len),
            repairs: VecDeque::new(),
            in_repairs: Bitmap::new(len),
            replaying: false,
            visit: 0,
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

    /// The first block from `from` on whose need or repair a deficit of `deficit` may raise.
    pub(super) fn next_to_raise(&self, from: u32, deficit: u16) -> u32 {
        if deficit < self.full {
            return from;
        }
        self.whole.next_zero(from as usize).map_or(u32::MAX, |block| block as u32)
    }

    /// Somebody lacks `deficit` symbols of `block`.
    pub(super) fn raise(&mut self, block: BlockIndex, deficit: u16) {
        let symbols = self.symbols_of(block);
        let deficit = deficit.min(symbols);
        let state = &mut self.blocks[block.index()];
        if deficit > state.need {
            self.total += u64::from(deficit - state.need);
            state.need = deficit;
        }
        if deficit == symbols {
            self.whole.set(block.index());
            self.replay.set(block.index());
        }
        // Served after the pass, not by holding up all others.
        if deficit == symbols || self.is_too_much(block, deficit) {
            self.carousel.set(block.index());
            let state = &mut self.blocks[block.index()];
            state.least = if state.least == 0 { deficit } else { state.least.min(deficit) };
            return;
        }
        let state = &mut self.blocks[block.index()];
        if deficit > state.repair {
            state.repair = deficit;
            if self.in_repairs.set(block.index()) {
                self.repairs.push_back(block);
            }
        }
    }

    /// Whether somebody needs so much repair of a block, what it had lately included, that it is not
    /// to be had at once. (What is known of a slow client's losses lags behind its queue: it would
    /// get the rest of a block bit by bit.)
    fn is_too_much(&self, block: BlockIndex, deficit: u16) -> bool {
        let limit = self.parity.min((self.symbols_of(block) / REPAIR_LIMIT).max(SMALL_REPAIR));
        u32::from(deficit) + u32::from(self.blocks[block.index()].parity_next) > u32::from(limit)
    }

    /// Whether the block that the carousel began last is to go on: it is needed, it has not had what is
    /// due to it at a time, and it is not only needed by clients that lost so much of its replay that the
    /// others had to wait for them.
    pub(super) fn goes_on(&self, block: BlockIndex) -> bool {
        let state = &self.blocks[block.index()];
        let replayed = self.replaying && state.source_next >= self.symbols_of(block);
        state.need > 0 && self.visit > 0 && !(replayed && self.is_too_much(block, state.need))
    }

    /// Forgets all needs; those who have one will say so again.
    pub(super) fn forget(&mut self) {
        for block in &mut self.blocks {
            block.need = 0;
            block.repair = 0;
            block.least = 0;
        }
        self.total = 0;
        self.repairs.clear();
        self.in_repairs.clear_range(0..self.blocks.len());
        self.carousel.clear_range(0..self.blocks.len());
        self.whole.clear_range(0..self.blocks.len());
        self.replay.clear_range(0..self.blocks.len());
    }

    /// The oldest block that waits for repair.
    pub(super) fn next_repair(&mut self) -> Option<BlockIndex> {
        while let Some(&block) = self.repairs.front() {
            if self.in_repairs.get(block.index()) {
                return Some(block);
            }
            self.repairs.pop_front();
        }
        None
    }

    /// The transmission of `block` in the carousel begins: if somebody has nothing of it, with its
    /// source symbols. Otherwise it gets what completes whoever lacks least: the next block is as useful
    /// to those who lack more, and they would keep the others waiting. What is lost of these is repaired
    /// with the first parity symbols again: for whoever came late they are fresh, and all others are
    /// complete by the replay.
    pub(super) fn begin(&mut self, block: BlockIndex) {
        self.replaying = self.replay.clear(block.index());
        let symbols = self.symbols_of(block);
        let state = &mut self.blocks[block.index()];
        let least = std::mem::take(&mut state.least);
        if !self.replaying {
            self.visit = least.max(symbols / LEAST_VISIT).max(SMALL_REPAIR);
            return;
        }
        self.visit = symbols;
        state.source_next = 0;
        if state.need == symbols {
            state.parity_next = 0;
        }
    }

    /// Symbols of `block` that are to be sent on end: for its repair, or all.
    pub(super) fn left(&self, block: BlockIndex, part: Part) -> u16 {
        match part {
            Part::Repair => self.blocks[block.index()].repair,
            Part::Whole => self.of(block),
        }
    }

    /// The next symbols of `block`, at most `max` and no more than are needed.
    pub(super) fn peek(&mut self, block: BlockIndex, part: Part, max: u16) -> SymbolRun {
        let symbols = self.symbols_of(block);
        let parity = self.parity;
        let due = if part == Part::Whole { self.visit } else { u16::MAX };
        let wanted = self.left(block, part).min(due).min(max);
        let state = &mut self.blocks[block.index()];
        if state.source_next >= symbols && state.parity_next >= parity {
            // All that exist have been sent: round again.
            state.source_next = 0;
            state.parity_next = 0;
        }
        let (first, left) = if state.source_next < symbols {
            (state.source_next, symbols - state.source_next)
        } else {
            (symbols + state.parity_next, parity - state.parity_next)
        };
        SymbolRun { block, first: SymbolIndex(first), count: wanted.min(left) }
    }

    /// `run`, as just peeked for `part`, goes out.
    pub(super) fn sent(&mut self, run: SymbolRun, part: Part) {
        let symbols = self.symbols_of(run.block);
        if part == Part::Whole {
            self.visit -= run.count;
        }
        let state = &mut self.blocks[run.block.index()];
        if run.first.0 < symbols {
            state.source_next += run.count;
        } else {
            state.parity_next += run.count;
        }
        state.need -= run.count;
        state.repair = state.repair.saturating_sub(run.count);
        self.total -= u64::from(run.count);
        self.whole.clear(run.block.index());
        if state.repair == 0 {
            self.in_repairs.clear(run.block.index());
        }
        if state.need == 0 {
            self.carousel.clear(run.block.index());
            self.replay.clear(run.block.index());
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

    /// Sends until nothing of `part` of `block` is needed any more.
    fn drain(needs: &mut NeedMap, block: BlockIndex, part: Part) -> Vec<u16> {
        let mut sent = Vec::new();
        while needs.left(block, part) > 0 {
            let run = needs.peek(block, part, 3);
            needs.sent(run, part);
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
        assert_eq!(drain(&mut needs, BLOCK, Part::Whole), [0, 1, 2, 3, 4, 5, 6, 7]);
        needs.raise(BLOCK, 2);
        needs.raise(BLOCK, 1);
        assert_eq!(needs.next_repair(), Some(BLOCK));
        assert_eq!(drain(&mut needs, BLOCK, Part::Repair), [8, 9]);
        assert_eq!(needs.next_repair(), None);
        needs.raise(BLOCK, 1);
        assert_eq!(drain(&mut needs, BLOCK, Part::Repair), [10]);
        assert_eq!(needs.total(), 0);
    }

    #[test]
    fn when_parity_is_used_up_the_symbols_go_round_again() {
        let mut needs = needs();
        needs.raise(BLOCK, 3);
        assert_eq!(drain(&mut needs, BLOCK, Part::Repair), [8, 9, 10]);
        needs.raise(BLOCK, 3);
        needs.begin(BLOCK);
        assert_eq!(drain(&mut needs, BLOCK, Part::Whole), [11, 0, 1]);
    }

    #[test]
    fn a_client_without_anything_puts_no_repair_off() {
        let mut needs = needs();
        needs.raise(BLOCK, 8);
        needs.raise(BLOCK, 2);
        assert_eq!((needs.next_repair(), needs.carousel().get(1), needs.total()), (Some(BLOCK), true, 8));
        assert_eq!(drain(&mut needs, BLOCK, Part::Repair), [8, 9]);
        assert_eq!((needs.next_repair(), needs.carousel().get(1), needs.total()), (None, true, 6));
        needs.begin(BLOCK);
        assert_eq!(drain(&mut needs, BLOCK, Part::Whole), [0, 1, 2, 3, 4, 5], "of any eight symbols");
        assert_eq!((needs.total(), needs.carousel().count_ones()), (0, 0));
    }

    #[test]
    fn a_replay_is_repaired_with_the_first_parity_again() {
        let mut needs = needs();
        needs.raise(BLOCK, 3);
        drain(&mut needs, BLOCK, Part::Repair);
        needs.raise(BLOCK, 8);
        needs.begin(BLOCK);
        drain(&mut needs, BLOCK, Part::Whole);
        needs.raise(BLOCK, 2);
        assert_eq!(drain(&mut needs, BLOCK, Part::Repair), [8, 9]);
    }

    #[test]
    fn what_is_forgotten_goes_on_where_it_was_when_it_is_asked_for_again() {
        let mut needs = needs();
        needs.raise(BLOCK, 8);
        needs.begin(BLOCK);
        let run = needs.peek(BLOCK, Part::Whole, 3);
        needs.sent(run, Part::Whole);
        needs.forget();
        assert_eq!((needs.total(), needs.carousel().count_ones(), needs.next_repair()), (0, 0, None));
        needs.raise(BLOCK, 5);
        needs.begin(BLOCK);
        assert_eq!(drain(&mut needs, BLOCK, Part::Whole), [3, 4, 5, 6, 7]);
    }

    #[test]
    fn the_carousel_gives_a_block_what_completes_whoever_lacks_least() {
        let geometry =
            Geometry { symbol_size: 64, block_symbols: 64, parity_symbols: 64, codec: CodecId::ReedSolomon8 };
        let files = vec![FileEntry { name: "image".into(), size: 64 * 64 * 3 }];
        let mut needs = NeedMap::new(&Layout::new(geometry, files).unwrap());
        for deficit in [60, 20, 40] {
            needs.raise(BLOCK, deficit);
        }
        let visit = |needs: &mut NeedMap| {
            needs.begin(BLOCK);
            let mut sent = 0;
            while needs.goes_on(BLOCK) {
                let run = needs.peek(BLOCK, Part::Whole, 8);
                needs.sent(run, Part::Whole);
                sent += run.count;
            }
            sent
        };
        assert_eq!((visit(&mut needs), needs.of(BLOCK)), (20, 40));
        needs.raise(BLOCK, 22);
        assert_eq!((visit(&mut needs), needs.of(BLOCK)), (22, 18));
        assert_eq!((visit(&mut needs), needs.of(BLOCK)), (64 / LEAST_VISIT, 10), "nobody has told what it lacks now");
    }
}
