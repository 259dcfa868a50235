//! A store for thousands of clients: it keeps only how a client's copy differs from the image.

use std::collections::HashMap;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::bitmap::Bitmap;
use crate::layout::{BlockSpan, Layout};
use crate::store::{Store, StoreError};
use crate::types::BlockIndex;

/// What an unwritten byte reads as.
const UNWRITTEN: u8 = 0xEE;

/// The copy of one client of a delivery of one file. Behaves as a file of its own would, bytes
/// that were never written or were written wrongly included.
pub struct SharedStore {
    image: Arc<Vec<u8>>,
    symbol_size: usize,
    blocks: u32,
    copy: Mutex<Copy>,
}

struct Copy {
    /// Symbols written as they are in the image.
    right: Bitmap,
    /// Symbols written otherwise.
    wrong: HashMap<usize, Vec<u8>>,
    verified: Vec<BlockIndex>,
    committed: bool,
}

impl SharedStore {
    /// An empty copy of `image`.
    pub fn new(image: Arc<Vec<u8>>, layout: &Layout) -> Self {
        let symbol_size = usize::from(layout.geometry().symbol_size);
        let symbols = image.len().div_ceil(symbol_size);
        let copy = Copy { right: Bitmap::new(symbols), wrong: HashMap::new(), verified: Vec::new(), committed: false };
        Self { image, symbol_size, blocks: layout.blocks(), copy: Mutex::new(copy) }
    }

    /// Whether the copy was committed and every byte of it is the image's.
    pub fn is_identical(&self) -> bool {
        let copy = self.copy();
        copy.committed && copy.wrong.is_empty() && copy.right.is_full()
    }

    /// Blocks that were told to be verified, as a journal keeps them.
    pub fn verified_blocks(&self) -> Vec<BlockIndex> {
        self.copy().verified.clone()
    }

    fn copy(&self) -> std::sync::MutexGuard<'_, Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn range(&self, symbol: usize) -> Range<usize> {
        let start = symbol * self.symbol_size;
        start..(start + self.symbol_size).min(self.image.len())
    }
}

impl Store for SharedStore {
    fn write(&self, _file: usize, offset: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let mut copy = self.copy();
        let mut symbol = offset as usize / self.symbol_size;
        assert_eq!(offset as usize % self.symbol_size, 0, "symbols are written whole");
        for bytes in slices.iter().flat_map(|slice| slice.chunks(self.symbol_size)) {
            let range = self.range(symbol);
            assert_eq!(bytes.len(), range.len(), "symbols are written whole");
            if bytes == &self.image[range] {
                copy.right.set(symbol);
                copy.wrong.remove(&symbol);
            } else {
                copy.right.clear(symbol);
                copy.wrong.insert(symbol, bytes.to_vec());
            }
            symbol += 1;
        }
        Ok(())
    }

    fn read(&self, _file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let copy = self.copy();
        let first = offset as usize / self.symbol_size;
        for (i, out) in buf.chunks_mut(self.symbol_size).enumerate() {
            let symbol = first + i;
            if copy.right.get(symbol) {
                out.copy_from_slice(&self.image[self.range(symbol)]);
            } else if let Some(bytes) = copy.wrong.get(&symbol) {
                out.copy_from_slice(bytes);
            } else {
                out.fill(UNWRITTEN);
            }
        }
        Ok(())
    }

    fn window(&self) -> Range<BlockIndex> {
        BlockIndex(0)..BlockIndex(self.blocks)
    }

    fn verified(&self, span: &BlockSpan) -> Result<(), StoreError> {
        self.copy().verified.push(span.block);
        Ok(())
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.copy().committed = true;
        Ok(())
    }
}
