//! What a client lacks, told in as many runs as a report holds.

use crate::layout::Layout;
use crate::types::BlockIndex;
use crate::wire::RunEncoder;

/// What a client lacks of each block.
pub(crate) trait Deficits {
    /// Below it nothing is lacking.
    fn low(&self) -> u32;

    /// From here on all is.
    fn untouched(&self) -> u32;

    /// Symbols that a block of `symbols` source symbols lacks.
    fn deficit(&self, block: u32, symbols: u16) -> u16;
}

/// Source symbols of every block.
pub(crate) struct BlockSizes {
    full: u16,
    /// Blocks of fewer symbols than the others, at most one a file and one of the manifest, in order.
    short: Vec<(u32, u16)>,
}

impl BlockSizes {
    pub(crate) fn new(layout: &Layout) -> Self {
        let full = layout.geometry().block_symbols;
        let symbols = (0..layout.blocks()).map(|block| (block, layout.symbols_of(BlockIndex(block))));
        Self { full, short: symbols.filter(|(_, symbols)| *symbols != full).collect() }
    }

    /// Source symbols of `block`.
    pub(crate) fn of(&self, block: u32) -> u16 {
        self.alike(block, u32::MAX).0
    }

    /// Source symbols of `block`, and up to which block, at most `end`, all have as many.
    fn alike(&self, block: u32, end: u32) -> (u16, u32) {
        match self.short.iter().find(|(short, _)| *short >= block) {
            Some(&(short, symbols)) if short == block => (symbols, block + 1),
            Some(&(short, _)) => (self.full, short.min(end)),
            None => (self.full, end),
        }
    }
}

/// The deficits of the blocks from `cursor` on, below `end`, in at most `limit` bytes: the range that
/// they cover and its runs. The cursor moves to where the next report goes on.
pub(crate) fn tell(
    deficits: &impl Deficits,
    sizes: &BlockSizes,
    cursor: &mut u32,
    end: u32,
    limit: usize,
) -> (BlockIndex, BlockIndex, Vec<u8>) {
    // Before the first gap there is nothing to tell but that.
    let from = if *cursor >= end { 0 } else { *cursor };
    let low = deficits.low().clamp(from, end);
    let mut runs = RunEncoder::new(BlockIndex(from), limit);
    runs.push(low - from, 0);
    let mut block = low;
    while block < end {
        let (symbols, run_end) = sizes.alike(block, end);
        let (count, deficit) = match block >= deficits.untouched() {
            true => (run_end - block, symbols),
            false => (1, deficits.deficit(block, symbols)),
        };
        if !runs.push(count, deficit) {
            break;
        }
        block += count;
    }
    let (from, to, runs) = runs.finish();
    *cursor = if to.0 >= end { 0 } else { to.0 };
    (from, to, runs)
}
