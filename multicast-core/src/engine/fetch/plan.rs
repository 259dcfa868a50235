//! Which blocks are fetched next; it knows nothing of sources, stores and time.

use std::collections::HashMap;
use std::ops::Range;

use crate::bitmap::Bitmap;
use crate::layout::Layout;
use crate::types::BlockIndex;

/// Bytes of a run at most, unless a single block is larger: large enough that the time between two
/// requests does not show, small enough that the server hears how it goes.
const RUN_LIMIT: u64 = 16 << 20;

/// Neighbouring blocks that are fetched by one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Numbered in the stream.
    pub(super) blocks: Range<u32>,
    /// In the delivery, its files one after the other.
    pub(super) bytes: Range<u64>,
}

/// What is verified, what is on its way, and how often a block was wrong.
pub(super) struct Plan {
    layout: Layout,
    /// Where each file begins in the delivery.
    file_starts: Vec<u64>,
    verified: Bitmap,
    verified_bytes: u64,
    /// Verified, or on its way.
    taken: Bitmap,
    wrong: HashMap<BlockIndex, u32>,
}

impl Plan {
    /// For `layout`, of whose image blocks `held` are verified already, and those of the manifest too.
    pub(super) fn new(layout: Layout, held: &[BlockIndex]) -> Self {
        let blocks = layout.blocks() as usize;
        let mut start = 0;
        let mut file_starts = Vec::with_capacity(layout.files().len());
        for file in layout.files() {
            file_starts.push(start);
            start += file.size;
        }
        let mut verified = Bitmap::new(blocks);
        verified.set_range(0..layout.manifest_blocks() as usize);
        let taken = verified.clone();
        let mut plan = Self { layout, file_starts, verified, verified_bytes: 0, taken, wrong: HashMap::new() };
        held.iter().for_each(|block| plan.verified(*block));
        plan
    }

    /// The first blocks of `window` that nobody fetches yet; they are on their way from now on.
    pub(super) fn next_run(&mut self, window: Range<BlockIndex>) -> Option<Run> {
        let first = self.taken.next_zero(window.start.index()).filter(|block| *block < window.end.index())? as u32;
        let mut run = Run { blocks: first..first, bytes: self.start_of(first)?..self.start_of(first)? };
        while run.blocks.end < window.end.0 && !self.taken.get(run.blocks.end as usize) {
            let Some(span) = self.layout.block(BlockIndex(run.blocks.end)) else { break };
            let len = u64::from(span.len);
            if run.bytes.end > run.bytes.start && run.bytes.end + len - run.bytes.start > RUN_LIMIT {
                break;
            }
            run.blocks.end += 1;
            run.bytes.end += len;
        }
        self.taken.set_range(run.blocks.start as usize..run.blocks.end as usize);
        Some(run)
    }

    /// These did not come.
    pub(super) fn give_back(&mut self, blocks: Range<u32>) {
        self.taken.clear_range(blocks.start as usize..blocks.end as usize);
    }

    /// The block is right.
    pub(super) fn verified(&mut self, block: BlockIndex) {
        let Some(span) = self.layout.block(block) else { return };
        self.taken.set(block.index());
        if self.verified.set(block.index()) {
            self.verified_bytes += u64::from(span.len);
        }
    }

    /// The block is wrong; how often it was by now.
    pub(super) fn damaged(&mut self, block: BlockIndex) -> u32 {
        self.taken.clear(block.index());
        let times = self.wrong.entry(block).or_default();
        *times += 1;
        *times
    }

    pub(super) fn is_complete(&self) -> bool {
        self.verified.is_full()
    }

    /// Blocks verified, the manifest's included.
    pub(super) fn verified_blocks(&self) -> u32 {
        self.verified.count_ones() as u32
    }

    /// Bytes of the image verified.
    pub(super) fn verified_bytes(&self) -> u64 {
        self.verified_bytes
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where an image block begins in the delivery.
    fn start_of(&self, block: u32) -> Option<u64> {
        let span = self.layout.block(BlockIndex(block))?;
        match span.source {
            crate::layout::BlockSource::File(file) => Some(self.file_starts.get(file)? + span.offset),
            crate::layout::BlockSource::Manifest => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::CodecId;
    use crate::layout::{FileEntry, Geometry};

    /// Blocks of 4 MiB, four a run.
    fn layout(sizes: &[u64]) -> Layout {
        let files = sizes.iter().enumerate().map(|(i, &size)| FileEntry { name: format!("f{i}"), size }).collect();
        let (symbol_size, block_symbols) = (4096, 1024);
        let codec = CodecId::ReedSolomon16;
        Layout::new(Geometry { symbol_size, block_symbols, parity_symbols: 1024, codec }, files).unwrap()
    }

    const MIB: u64 = 1 << 20;

    fn everything(layout: &Layout) -> Range<BlockIndex> {
        BlockIndex(layout.manifest_blocks())..BlockIndex(layout.blocks())
    }

    #[test]
    fn runs_are_bounded_go_over_the_ends_of_files_and_leave_out_what_is_here() {
        let layout = layout(&[9 * MIB, 5 * MIB, 40 * MIB]);
        let (first, all) = (layout.manifest_blocks(), everything(&layout));
        // Blocks of 4, 4, 1 | 4, 1 | 4, 4, … MiB.
        let mut plan = Plan::new(layout.clone(), &[BlockIndex(first), BlockIndex(first + 6)]);
        let run = plan.next_run(all.clone()).unwrap();
        assert_eq!(run, Run { blocks: first + 1..first + 6, bytes: 4 * MIB..18 * MIB });
        let run = plan.next_run(all.clone()).unwrap();
        assert_eq!(run, Run { blocks: first + 7..first + 11, bytes: 22 * MIB..38 * MIB });
        plan.give_back(first + 9..first + 11);
        assert_eq!(plan.next_run(all).unwrap().bytes, 30 * MIB..46 * MIB);
        assert_eq!(plan.verified_bytes(), 8 * MIB);
    }

    #[test]
    fn every_block_is_fetched_once_and_a_wrong_one_again() {
        let layout = layout(&[33 * MIB + 7]);
        let all = everything(&layout);
        let mut plan = Plan::new(layout.clone(), &[]);
        let mut bytes = 0;
        while let Some(run) = plan.next_run(all.clone()) {
            bytes += run.bytes.end - run.bytes.start;
            run.blocks.for_each(|block| plan.verified(BlockIndex(block)));
        }
        assert_eq!(bytes, layout.image_size());
        assert!(plan.is_complete());
        let mut plan = Plan::new(layout.clone(), &[]);
        while plan.next_run(all.clone()).is_some() {}
        let wrong = BlockIndex(layout.blocks() - 1);
        assert_eq!((plan.damaged(wrong), plan.next_run(all.clone()).unwrap().blocks), (1, wrong.0..wrong.0 + 1));
        assert_eq!(plan.damaged(wrong), 2);
    }

    #[test]
    fn what_the_store_cannot_take_yet_is_not_fetched() {
        let layout = layout(&[40 * MIB]);
        let first = layout.manifest_blocks();
        let mut plan = Plan::new(layout, &[]);
        let window = |range: Range<u32>| BlockIndex(first + range.start)..BlockIndex(first + range.end);
        assert_eq!(plan.next_run(window(0..2)).unwrap().blocks, first..first + 2);
        assert_eq!(plan.next_run(window(0..2)), None);
        assert_eq!(plan.next_run(window(1..3)).unwrap().blocks, first + 2..first + 3);
    }
}
