//! Which symbols of which blocks are here.

use bytes::Bytes;

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
    pool_used: usize,
    pool_limit: usize,
}

impl BlockTable {
    /// Nothing of `blocks` blocks is here; parity symbols of at most `pool_limit` bytes are kept.
    pub(super) fn new(blocks: u32, pool_limit: usize) -> Self {
        let states = std::iter::repeat_with(|| State::Missing).take(blocks as usize).collect();
        Self { states, held: 0, low: 0, pool_used: 0, pool_limit }
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
        let room = self.pool_used + payload.len() <= self.pool_limit;
        let state = &mut self.states[span.block.index()];
        if matches!(state, State::Missing) {
            *state = State::Partial(Box::new(Partial::new(span.symbols)));
        }
        let State::Partial(partial) = state else { return Intake::Useless };
        if symbol.0 < span.symbols {
            if !partial.source.set(symbol.index()) {
                return Intake::Useless;
            }
        } else if partial.parity.iter().any(|(have, _)| *have == symbol) {
            return Intake::Useless;
        } else if !room {
            return Intake::NoRoom;
        } else {
            partial.parity.push((symbol, Bytes::copy_from_slice(payload)));
            self.pool_used += payload.len();
        }
        if partial.have() >= usize::from(span.symbols) { Intake::Ready } else { Intake::New }
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
                self.pool_used -= partial.parity.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
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

    /// Below it every block is held.
    pub(super) fn low(&self) -> u32 {
        self.low
    }

    /// Symbols that a block of `symbols` source symbols lacks.
    pub(super) fn deficit(&self, block: u32, symbols: u16) -> u16 {
        match &self.states[block as usize] {
            State::Missing => symbols,
            State::Partial(partial) => symbols - partial.have().min(symbols.into()) as u16,
            State::Checking | State::Hashed(_) | State::Held => 0,
        }
    }
}
