//! Which symbols of which blocks are here.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::deficits::Deficits;
use crate::bitmap::Bitmap;
use crate::layout::BlockSpan;
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
}

impl Partial {
    fn new(symbols: u16) -> Self {
        Self { source: Bitmap::new(symbols.into()), parity: Vec::new() }
    }

    fn have(&self) -> usize {
        self.source.count_ones() + self.parity.len()
    }

    /// Whether every source symbol is here, so that nothing is to be decoded.
    pub(super) fn is_whole(&self) -> bool {
        self.source.is_full()
    }

    /// Which source symbols are here, and the parity symbols.
    pub(super) fn into_parts(self) -> (Vec<bool>, Vec<(SymbolIndex, Bytes)>) {
        let present = (0..self.source.len()).map(|i| self.source.get(i)).collect();
        (present, self.parity)
    }
}

#[derive(Debug)]
enum State {
    Missing,
    Partial(Box<Partial>),
    /// All symbols are here; a job rebuilds or hashes it.
    Checking,
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
    pool_used: usize,
    pool_limit: usize,
}

impl BlockTable {
    /// Nothing of `blocks` blocks is here; parity symbols of at most `pool_limit` bytes are kept.
    pub(super) fn new(blocks: u32, pool_limit: usize) -> Self {
        let states = std::iter::repeat_with(|| State::Missing).take(blocks as usize).collect();
        Self { states, held: 0, low: 0, untouched: 0, pooled: BTreeSet::new(), pool_used: 0, pool_limit }
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

    /// The block, if it is neither here nor being checked.
    fn partial(&mut self, span: &BlockSpan) -> Option<&mut Partial> {
        let state = &mut self.states[span.block.index()];
        if matches!(state, State::Missing) {
            *state = State::Partial(Box::new(Partial::new(span.symbols)));
            self.untouched = self.untouched.max(span.block.0 + 1);
        }
        match state {
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

    /// Whether `symbol` of `span` would bring something new.
    pub(super) fn wants(&self, span: &BlockSpan, symbol: SymbolIndex) -> bool {
        match &self.states[span.block.index()] {
            State::Missing => true,
            State::Partial(partial) => symbol.0 >= span.symbols || !partial.source.get(symbol.index()),
            _ => false,
        }
    }

    /// Hands a ready block over for rebuilding and hashing.
    pub(super) fn check(&mut self, block: BlockIndex) -> Option<Partial> {
        match std::mem::replace(&mut self.states[block.index()], State::Checking) {
            State::Partial(partial) => {
                self.pool_used -= parity_bytes(&partial.parity);
                self.pooled.remove(&block);
                Some(*partial)
            }
            other => {
                self.states[block.index()] = other;
                None
            }
        }
    }

    /// Keeps a checked block's hash until the manifest is here.
    pub(super) fn set_hashed(&mut self, block: BlockIndex, hash: [u8; 32]) {
        self.states[block.index()] = State::Hashed(Box::new(hash));
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
        if !matches!(std::mem::replace(&mut self.states[block.index()], State::Held), State::Held) {
            self.held += 1;
        }
        self.untouched = self.untouched.max(block.0 + 1);
        while self.states.get(self.low as usize).is_some_and(|state| matches!(state, State::Held)) {
            self.low += 1;
        }
    }

    /// The block is wrong: everything of it is forgotten.
    pub(super) fn reset(&mut self, block: BlockIndex) {
        if matches!(std::mem::replace(&mut self.states[block.index()], State::Missing), State::Held) {
            self.held -= 1;
        }
        self.low = self.low.min(block.0);
    }
}

impl Deficits for BlockTable {
    fn low(&self) -> u32 {
        self.low
    }

    fn untouched(&self) -> u32 {
        self.untouched
    }

    fn deficit(&self, block: u32, symbols: u16) -> u16 {
        match &self.states[block as usize] {
            State::Missing => symbols,
            State::Partial(partial) => symbols - partial.have().min(symbols.into()) as u16,
            State::Checking | State::Hashed(_) | State::Held => 0,
        }
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
        let mut table = BlockTable::new(4, 6);
        let mut parity = |block, symbol| table.take(&span(block), SymbolIndex(symbol), &[0; 2]);
        assert_eq!([parity(3, 4), parity(3, 5), parity(2, 4)], [Intake::New; 3]);
        assert_eq!(parity(3, 6), Intake::NoRoom, "later blocks wait");
        assert_eq!([parity(1, 4), parity(1, 5), parity(1, 6)], [Intake::New; 3], "earlier ones do not");
        assert_eq!(parity(2, 5), Intake::NoRoom);
        assert_eq!(parity(1, 7), Intake::Ready, "nor does what completes a block");
        table.check(BlockIndex(1));
        assert_eq!([1, 2, 3].map(|block| table.deficit(block, 4)), [0, 4, 4]);
        assert_eq!(table.take(&span(2), SymbolIndex(5), &[0; 2]), Intake::New, "the pool is empty again");
    }
}
