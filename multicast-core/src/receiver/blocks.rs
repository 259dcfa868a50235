//! Which symbols of which blocks are here.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::bitmap::Bitmap;
use crate::layout::{BlockSource, BlockSpan};
use crate::types::{BlockIndex, SymbolIndex};

/// What has become of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intake {
    /// New; the block needs more.
    New,
    /// New, and the block's `k` symbols are here now.
    Ready,
    /// Already here, or its block is.
    Useless,
    /// The pool for parity is full.
    NoRoom,
}

/// A block of which some symbols are here.
#[derive(Debug)]
pub(super) struct Partial {
    source: Bitmap,
    parity: Vec<(SymbolIndex, Bytes)>,
    /// Its source symbols; without a buffer they are in the store.
    staged: Option<Vec<u8>>,
}

impl Partial {
    fn new(symbols: u16, staged: Option<Vec<u8>>) -> Self {
        Self { source: Bitmap::new(symbols.into()), parity: Vec::new(), staged }
    }

    fn have(&self) -> usize {
        self.source.count_ones() + self.parity.len()
    }

    /// Whether every source symbol is here, so that nothing is to be decoded.
    pub(super) fn is_whole(&self) -> bool {
        self.source.is_full()
    }

    /// Which source symbols are here.
    pub(super) fn present(&self) -> Vec<bool> {
        (0..self.source.len()).map(|i| self.source.get(i)).collect()
    }

    /// The parity symbols, and the buffer of the source symbols.
    pub(super) fn into_parts(self) -> (Vec<(SymbolIndex, Bytes)>, Option<Vec<u8>>) {
        (self.parity, self.staged)
    }
}

/// Where a source symbol's bytes go.
pub(super) enum Place<'a> {
    /// Into the buffer of its block.
    Staged(&'a mut [u8]),
    /// Into the store.
    Store,
    /// Nowhere: it is here already.
    Nowhere,
}

/// A block that had to give its buffer to another one: what is here of it goes to the store.
pub(super) struct Spilled {
    pub(super) block: BlockIndex,
    pub(super) present: Vec<bool>,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Missing,
    Partial(Box<Partial>),
    /// All symbols are here; a job rebuilds or hashes it, with so many bytes of parity.
    Checking {
        parity: u32,
    },
    /// Hashed, but the manifest is not here yet.
    Hashed(Box<[u8; 32]>),
    Held,
}

/// The state of every block.
#[derive(Debug)]
pub(super) struct BlockTable {
    states: Vec<State>,
    held: u32,
    /// Below it every block is held.
    low: u32,
    /// Nothing of any block from here on was ever here.
    untouched: u32,
    /// Partial blocks that hold parity.
    pooled: BTreeSet<BlockIndex>,
    /// Bytes of parity, that of blocks being checked included.
    pool_used: usize,
    pool_limit: usize,
    staging: Staging,
}

/// Buffers in which blocks are put together: most become complete there, without a byte read back.
#[derive(Debug)]
struct Staging {
    /// Blocks that have a buffer, oldest first.
    order: VecDeque<BlockIndex>,
    free: Vec<Vec<u8>>,
    /// Buffers that may yet be made.
    unmade: usize,
    block_bytes: usize,
}

impl BlockTable {
    /// Nothing of `blocks` blocks is here; parity symbols of at most `pool_limit` bytes are kept, and
    /// blocks of `block_bytes` bytes are put together in `buffers` buffers.
    pub(super) fn new(blocks: u32, pool_limit: usize, buffers: usize, block_bytes: usize) -> Self {
        let states = std::iter::repeat_with(|| State::Missing).take(blocks as usize).collect();
        let staging = Staging { order: VecDeque::new(), free: Vec::new(), unmade: buffers, block_bytes };
        Self { states, held: 0, low: 0, untouched: 0, pooled: BTreeSet::new(), pool_used: 0, pool_limit, staging }
    }

    pub(super) fn len(&self) -> u32 {
        self.states.len() as u32
    }

    /// Blocks verified.
    pub(super) fn held(&self) -> u32 {
        self.held
    }

    pub(super) fn is_full(&self) -> bool {
        self.held == self.len()
    }

    /// Lets a block begin whose first symbol has come: it gets a buffer, if need be that of the block
    /// that waits longest. Blocks of the manifest need none.
    pub(super) fn begin(&mut self, span: &BlockSpan) -> Option<Spilled> {
        if !matches!(self.states[span.block.index()], State::Missing) {
            return None;
        }
        self.untouched = self.untouched.max(span.block.0 + 1);
        let mut spilled = None;
        let mut buffer = None;
        if span.source != BlockSource::Manifest {
            buffer = self.staging.buffer();
            if buffer.is_none()
                && let Some(block) = self.staging.order.pop_front()
                && let State::Partial(partial) = &mut self.states[block.index()]
            {
                let bytes = partial.staged.take().unwrap_or_default();
                spilled = Some(Spilled { block, present: partial.present(), bytes });
            }
        }
        if buffer.is_some() {
            self.staging.order.push_back(span.block);
        }
        self.states[span.block.index()] = State::Partial(Box::new(Partial::new(span.symbols, buffer)));
        spilled
    }

    /// Gives `block`, which has just begun, the buffer of one that was spilled.
    pub(super) fn stage(&mut self, block: BlockIndex, buffer: Vec<u8>) {
        if let State::Partial(partial) = &mut self.states[block.index()] {
            partial.staged = Some(buffer);
            self.staging.order.push_back(block);
        }
    }

    /// Takes back the buffer of a block that was checked.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        self.staging.free.push(buffer);
    }

    /// Where source symbol `symbol` of `span` goes; the block has begun.
    pub(super) fn place(&mut self, span: &BlockSpan, symbol: SymbolIndex) -> Place<'_> {
        match &mut self.states[span.block.index()] {
            State::Partial(partial) if !partial.source.get(symbol.index()) => match &mut partial.staged {
                Some(buffer) => Place::Staged(buffer),
                None => Place::Store,
            },
            _ => Place::Nowhere,
        }
    }

    /// Notes symbol `symbol` of `span`; a source symbol's bytes are the caller's to store first.
    pub(super) fn take(&mut self, span: &BlockSpan, symbol: SymbolIndex, payload: &[u8]) -> Intake {
        if symbol.0 >= span.symbols {
            return self.take_parity(span, symbol, payload);
        }
        let Some(partial) = self.partial(span) else { return Intake::Useless };
        if !partial.source.set(symbol.index()) {
            return Intake::Useless;
        }
        if partial.have() >= usize::from(span.symbols) { Intake::Ready } else { Intake::New }
    }

    fn take_parity(&mut self, span: &BlockSpan, symbol: SymbolIndex, payload: &[u8]) -> Intake {
        let Some(partial) = self.partial(span) else { return Intake::Useless };
        if partial.parity.iter().any(|(have, _)| *have == symbol) {
            return Intake::Useless;
        }
        // The one that completes the block is out of the pool again at once.
        let completes = partial.have() + 1 >= usize::from(span.symbols);
        if !completes && !self.make_room(span.block, payload.len()) {
            return Intake::NoRoom;
        }
        let Some(partial) = self.partial(span) else { return Intake::Useless };
        partial.parity.push((symbol, Bytes::copy_from_slice(payload)));
        self.pool_used += payload.len();
        self.pooled.insert(span.block);
        if completes { Intake::Ready } else { Intake::New }
    }

    /// The block, if it has begun and is neither here nor being checked.
    fn partial(&mut self, span: &BlockSpan) -> Option<&mut Partial> {
        match &mut self.states[span.block.index()] {
            State::Partial(partial) => Some(partial),
            _ => None,
        }
    }

    /// Gives up the parity of later blocks for `block`, so that a full pool cannot keep every block
    /// from completion.
    fn make_room(&mut self, block: BlockIndex, bytes: usize) -> bool {
        while self.pool_used + bytes > self.pool_limit {
            let Some(&last) = self.pooled.last().filter(|&&last| last > block) else { return false };
            self.pooled.remove(&last);
            if let State::Partial(partial) = &mut self.states[last.index()] {
                self.pool_used -= parity_bytes(&std::mem::take(&mut partial.parity));
            }
        }
        true
    }

    /// Hands a ready block over for rebuilding and hashing.
    pub(super) fn check(&mut self, block: BlockIndex) -> Option<Partial> {
        let state = &mut self.states[block.index()];
        let State::Partial(partial) = state else { return None };
        // A block has fewer than 2¹⁶ symbols of less than 2¹⁶ bytes.
        let checking = State::Checking { parity: parity_bytes(&partial.parity) as u32 };
        let State::Partial(partial) = std::mem::replace(state, checking) else { return None };
        self.pooled.remove(&block);
        self.staging.order.retain(|staged| *staged != block);
        Some(*partial)
    }

    /// Puts a block that was checked into its next state.
    fn settle(&mut self, block: BlockIndex, state: State) -> State {
        let was = std::mem::replace(&mut self.states[block.index()], state);
        if let State::Checking { parity } = was {
            self.pool_used -= parity as usize;
        }
        was
    }

    /// Keeps a checked block's hash until the manifest is here.
    pub(super) fn set_hashed(&mut self, block: BlockIndex, hash: [u8; 32]) {
        self.settle(block, State::Hashed(Box::new(hash)));
    }

    /// The hashes that wait for the manifest.
    pub(super) fn hashed(&self) -> Vec<(BlockIndex, [u8; 32])> {
        let waiting = self.states.iter().enumerate().filter_map(|(block, state)| match state {
            State::Hashed(hash) => Some((BlockIndex(block as u32), **hash)),
            _ => None,
        });
        waiting.collect()
    }

    /// The block is verified.
    pub(super) fn set_held(&mut self, block: BlockIndex) {
        if !matches!(self.settle(block, State::Held), State::Held) {
            self.held += 1;
        }
        self.untouched = self.untouched.max(block.0 + 1);
        while self.states.get(self.low as usize).is_some_and(|state| matches!(state, State::Held)) {
            self.low += 1;
        }
    }

    /// The block is wrong: everything of it is forgotten.
    pub(super) fn reset(&mut self, block: BlockIndex) {
        if matches!(self.settle(block, State::Missing), State::Held) {
            self.held -= 1;
        }
        self.low = self.low.min(block.0);
    }

    /// Below it every block is held.
    pub(super) fn low(&self) -> u32 {
        self.low
    }

    /// From here on all is missing.
    pub(super) fn untouched(&self) -> u32 {
        self.untouched
    }

    /// Symbols that a block of `symbols` source symbols lacks.
    pub(super) fn deficit(&self, block: u32, symbols: u16) -> u16 {
        match &self.states[block as usize] {
            State::Missing => symbols,
            State::Partial(partial) => symbols - partial.have().min(symbols.into()) as u16,
            State::Checking { .. } | State::Hashed(_) | State::Held => 0,
        }
    }
}

impl Staging {
    /// A buffer that no block has. The one used last is given first: it may still be in a cache.
    fn buffer(&mut self) -> Option<Vec<u8>> {
        if let Some(buffer) = self.free.pop() {
            return Some(buffer);
        }
        self.unmade = self.unmade.checked_sub(1)?;
        Some(vec![0; self.block_bytes])
    }
}

fn parity_bytes(parity: &[(SymbolIndex, Bytes)]) -> usize {
    parity.iter().map(|(_, bytes)| bytes.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::BlockSource;

    fn span(block: u32) -> BlockSpan {
        BlockSpan { block: BlockIndex(block), source: BlockSource::File(0), offset: 0, len: 8, symbols: 4 }
    }

    #[test]
    fn a_full_pool_gives_way_to_earlier_blocks_and_to_what_completes_one() {
        let mut table = BlockTable::new(4, 6, 0, 8);
        (0..4).for_each(|block| assert!(table.begin(&span(block)).is_none()));
        let mut parity = |block, symbol| table.take(&span(block), SymbolIndex(symbol), &[0; 2]);
        assert_eq!([parity(3, 4), parity(3, 5), parity(2, 4)], [Intake::New; 3]);
        assert_eq!(parity(3, 6), Intake::NoRoom, "later blocks wait");
        assert_eq!([parity(1, 4), parity(1, 5), parity(1, 6)], [Intake::New; 3], "earlier ones do not");
        assert_eq!(parity(2, 5), Intake::NoRoom);
        assert_eq!(parity(1, 7), Intake::Ready, "nor does what completes a block");
        table.check(BlockIndex(1));
        assert_eq!(table.take(&span(2), SymbolIndex(5), &[0; 2]), Intake::NoRoom, "it is not used up yet");
        table.set_held(BlockIndex(1));
        assert_eq!([1, 2, 3].map(|block| table.deficit(block, 4)), [0, 4, 4]);
        assert_eq!(table.take(&span(2), SymbolIndex(5), &[0; 2]), Intake::New, "the pool is empty again");
    }

    #[test]
    fn the_oldest_block_gives_its_buffer_to_a_new_one_unless_it_is_complete() {
        let mut table = BlockTable::new(4, 0, 2, 8);
        assert!(table.begin(&span(0)).is_none() && table.begin(&span(1)).is_none());
        assert_eq!(table.take(&span(1), SymbolIndex(2), &[0; 2]), Intake::New);
        for symbol in 0..4 {
            table.take(&span(0), SymbolIndex(symbol), &[0; 2]);
        }
        let whole = table.check(BlockIndex(0)).expect("it is complete");
        let spilled = table.begin(&span(2)).expect("no buffer is free");
        assert_eq!((spilled.block, spilled.present), (BlockIndex(1), vec![false, false, true, false]));
        table.stage(BlockIndex(2), spilled.bytes);
        assert!(matches!(table.place(&span(2), SymbolIndex(0)), Place::Staged(_)));
        assert!(matches!(table.place(&span(1), SymbolIndex(0)), Place::Store));
        assert!(matches!(table.place(&span(1), SymbolIndex(2)), Place::Nowhere));
        table.recycle(whole.into_parts().1.expect("it was put together in a buffer"));
        assert!(table.begin(&span(3)).is_none(), "a buffer is free again");
    }
}
