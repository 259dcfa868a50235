//! Which symbols of which blocks are here, and where.
//!
//! A block of `k` source symbols has `k` slots, in a buffer or in the store, and any `k` symbols give
//! it back: so whatever arrives finds a slot. A source symbol takes its own; parity, and a source
//! symbol whose slot is taken, one that is empty.

use std::collections::VecDeque;

use super::deficits::Deficits;
use crate::bitmap::Bitmap;
use crate::layout::{BlockSource, BlockSpan, Geometry};
use crate::types::{BlockIndex, SymbolIndex};

/// Where a symbol's bytes go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// Here, in the buffer of its block.
    Staged(&'a mut [u8]),
    /// Into this slot of the block in the store.
    Store(u16),
    /// They were kept: the slot has no room for a whole symbol.
    Kept,
}

/// A symbol that was new.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken<'a> {
    pub(super) place: Place<'a>,
    /// With it `k` symbols of the block are here.
    pub(super) ready: bool,
}

/// Symbols that are not in their own slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Slot and symbol.
    pub(super) moved: Vec<(u16, SymbolIndex)>,
    /// The bytes of the one in the last slot, which is shorter than a symbol at a file's end.
    pub(super) last: Option<Vec<u8>>,
}

/// A block of which some symbols are here.
#[derive(Debug)]
struct Partial {
    /// Source and parity symbols that are here.
    have: Bitmap,
    /// Slots that are taken.
    slots: Bitmap,
    strays: Strays,
    /// The slots' bytes; without a buffer they are in the store.
    staged: Option<Vec<u8>>,
}

impl Partial {
    /// Notes a symbol that is new: its slot, and whether that is its own.
    fn note(&mut self, symbol: SymbolIndex) -> Option<(u16, bool)> {
        if !self.have.set(symbol.index()) {
            return None;
        }
        let own = symbol.index() < self.slots.len() && !self.slots.get(symbol.index());
        // The source symbols of the first empty slots have most likely gone by.
        let slot = if own { symbol.0 } else { self.slots.next_zero(0)? as u16 };
        self.slots.set(slot.into());
        if !own {
            self.strays.moved.push((slot, symbol));
        }
        Some((slot, own))
    }

    fn taken_slots(&self) -> Vec<bool> {
        (0..self.slots.len()).map(|slot| self.slots.get(slot)).collect()
    }
}

/// A block that had to give its buffer to another one: what is in its slots goes to the store.
#[derive(Debug)]
pub(super) struct Spilled {
    pub(super) block: BlockIndex,
    pub(super) slots: Vec<bool>,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Missing,
    Partial(Box<Partial>),
    /// `k` symbols are here; a job rebuilds or hashes it.
    Checking,
    /// Hashed, but the manifest is not here yet.
    Hashed(Box<[u8; 32]>),
    Held,
}

/// The state of every block.
#[derive(Debug)]
pub(super) struct BlockTable {
    states: Vec<State>,
    geometry: Geometry,
    held: u32,
    /// Below it every block is held.
    low: u32,
    /// Nothing of any block from here on was ever here.
    untouched: u32,
    staging: Staging,
}

/// Buffers in which blocks are put together: most become complete there, without a byte read back.
#[derive(Debug)]
struct Staging {
    /// Blocks that have a buffer, oldest first.
    order: VecDeque<BlockIndex>,
    free: Vec<Vec<u8>>,
    /// Buffers that may yet be made, and that are with a block's job.
    unmade: usize,
    lent: usize,
    limit: usize,
    block_bytes: usize,
}

impl BlockTable {
    /// Nothing of `blocks` blocks is here; they are put together in `staging` bytes of buffers.
    pub(super) fn new(blocks: u32, geometry: Geometry, staging: usize) -> Self {
        let states = std::iter::repeat_with(|| State::Missing).take(blocks as usize).collect();
        let block_bytes = usize::from(geometry.block_symbols) * usize::from(geometry.symbol_size);
        let limit = staging / block_bytes;
        let staging = Staging { order: VecDeque::new(), free: Vec::new(), unmade: limit, lent: 0, limit, block_bytes };
        Self { states, geometry, held: 0, low: 0, untouched: 0, staging }
    }

    pub(super) fn len(&self) -> u32 {
        self.states.len() as u32
    }

    /// Blocks verified.
    pub(super) fn held(&self) -> u32 {
        self.held
    }

    pub(super) fn is_held(&self, block: BlockIndex) -> bool {
        matches!(self.states[block.index()], State::Held)
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
        let mut staged = None;
        if span.source != BlockSource::Manifest {
            staged = self.staging.buffer();
            if staged.is_none()
                && let Some(block) = self.staging.order.pop_front()
                && let State::Partial(partial) = &mut self.states[block.index()]
            {
                let bytes = partial.staged.take().unwrap_or_default();
                spilled = Some(Spilled { block, slots: partial.taken_slots(), bytes });
            }
        }
        if staged.is_some() {
            self.staging.order.push_back(span.block);
        }
        let k = usize::from(span.symbols);
        let have = Bitmap::new(k + usize::from(self.geometry.parity_symbols));
        let partial = Partial { have, slots: Bitmap::new(k), strays: Strays::default(), staged };
        self.states[span.block.index()] = State::Partial(Box::new(partial));
        spilled
    }

    /// Gives `block`, which has just begun, the buffer of one that was spilled.
    pub(super) fn stage(&mut self, block: BlockIndex, buffer: Vec<u8>) {
        if let State::Partial(partial) = &mut self.states[block.index()] {
            partial.staged = Some(buffer);
            self.staging.order.push_back(block);
        }
    }

    /// A new block would find no buffer, because most are with jobs.
    pub(super) fn waits_for_jobs(&self) -> bool {
        let staging = &self.staging;
        staging.free.is_empty() && staging.unmade == 0 && 2 * staging.lent > staging.limit
    }

    /// Takes back the buffer of a block that was checked.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        self.staging.lent = self.staging.lent.saturating_sub(1);
        self.staging.free.push(buffer);
    }

    /// Notes a symbol of a block that has begun, and tells where its bytes are to go; `None` if it is
    /// here already, or its block is.
    pub(super) fn take(&mut self, span: &BlockSpan, symbol: SymbolIndex, payload: &[u8]) -> Option<Taken<'_>> {
        let State::Partial(partial) = &mut self.states[span.block.index()] else { return None };
        let (slot, own) = partial.note(symbol)?;
        let ready = partial.have.count_ones() >= usize::from(span.symbols);
        let size = usize::from(self.geometry.symbol_size);
        let place = match &mut partial.staged {
            _ if !own && slot + 1 == span.symbols => {
                partial.strays.last = Some(payload.to_vec());
                Place::Kept
            }
            Some(buffer) => Place::Staged(&mut buffer[usize::from(slot) * size..][..size]),
            None => Place::Store(slot),
        };
        Some(Taken { place, ready })
    }

    /// Hands a ready block over for rebuilding and hashing: what is not in its place, and its buffer.
    pub(super) fn check(&mut self, block: BlockIndex) -> Option<(Strays, Option<Vec<u8>>)> {
        let state = &mut self.states[block.index()];
        if !matches!(state, State::Partial(_)) {
            return None;
        }
        let State::Partial(partial) = std::mem::replace(state, State::Checking) else { return None };
        self.staging.order.retain(|staged| *staged != block);
        self.staging.lent += usize::from(partial.staged.is_some());
        Some((partial.strays, partial.staged))
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
            State::Partial(partial) => symbols - partial.have.count_ones().min(symbols.into()) as u16,
            State::Checking | State::Hashed(_) | State::Held => 0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::CodecId;

    const GEOMETRY: Geometry =
        Geometry { symbol_size: 2, block_symbols: 4, parity_symbols: 4, codec: CodecId::ReedSolomon8 };

    fn span(block: u32) -> BlockSpan {
        BlockSpan { block: BlockIndex(block), source: BlockSource::File(0), offset: 0, len: 7, symbols: 4 }
    }

    /// A table of four blocks with `buffers` buffers, the first `begun` of which have begun.
    fn table(buffers: usize, begun: u32) -> BlockTable {
        let mut table = BlockTable::new(4, GEOMETRY, buffers * 8);
        (0..begun).for_each(|block| assert!(table.begin(&span(block)).is_none()));
        table
    }

    fn take(table: &mut BlockTable, block: u32, symbol: u16) -> Option<(Option<u16>, bool)> {
        let taken = table.take(&span(block), SymbolIndex(symbol), &[7; 2])?;
        let slot = match taken.place {
            Place::Store(slot) => Some(slot),
            Place::Staged(_) | Place::Kept => None,
        };
        Some((slot, taken.ready))
    }

    #[test]
    fn whatever_arrives_finds_a_slot() {
        let mut table = table(0, 1);
        assert_eq!(take(&mut table, 0, 1), Some((Some(1), false)), "its own");
        assert_eq!(take(&mut table, 0, 5), Some((Some(0), false)), "parity takes an empty one");
        assert_eq!(take(&mut table, 0, 0), Some((Some(2), false)), "a source symbol whose slot is taken, too");
        assert_eq!(take(&mut table, 0, 5), None, "it is here");
        assert_eq!(table.deficit(0, 4), 1);
        assert_eq!(take(&mut table, 0, 6), Some((None, true)), "the last slot is shorter than a symbol");
        let (strays, staged) = table.check(BlockIndex(0)).unwrap();
        let moved = [(0, 5), (2, 0), (3, 6)].map(|(slot, symbol)| (slot, SymbolIndex(symbol)));
        assert_eq!((strays.moved, strays.last, staged), (moved.to_vec(), Some(vec![7; 2]), None));
        assert_eq!(take(&mut table, 0, 7), None);
    }

    #[test]
    fn the_oldest_block_gives_its_buffer_to_a_new_one_unless_it_is_complete() {
        let mut table = table(2, 2);
        assert_eq!(take(&mut table, 1, 2), Some((None, false)));
        (0..4).for_each(|symbol| assert!(take(&mut table, 0, symbol).is_some()));
        let (_, buffer) = table.check(BlockIndex(0)).expect("it is complete");
        let spilled = table.begin(&span(2)).expect("no buffer is free");
        assert_eq!((spilled.block, spilled.slots), (BlockIndex(1), vec![false, false, true, false]));
        table.stage(BlockIndex(2), spilled.bytes);
        assert_eq!(take(&mut table, 2, 0), Some((None, false)));
        assert_eq!(take(&mut table, 1, 0), Some((Some(0), false)), "what was spilled goes on in the store");
        table.recycle(buffer.expect("it was put together in a buffer"));
        assert!(table.begin(&span(3)).is_none(), "a buffer is free again");
    }

    #[test]
    fn it_waits_for_jobs_while_these_have_most_of_the_buffers_and_none_is_left() {
        let mut table = table(3, 3);
        let check = |table: &mut BlockTable, block| {
            (0..4).for_each(|symbol| assert!(take(table, block, symbol).is_some()));
            table.check(BlockIndex(block)).unwrap().1.unwrap()
        };
        let first = check(&mut table, 0);
        assert!(!table.waits_for_jobs(), "one of three is with a job");
        check(&mut table, 1);
        assert!(table.waits_for_jobs());
        table.recycle(first);
        assert!(!table.waits_for_jobs());
    }
}
