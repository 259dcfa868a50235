//! A store for thousands of clients: it keeps only how a client's copy differs from the image.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    blocks: Range<BlockIndex>,
    copy: Mutex<Copy>,
}

struct Copy {
    /// Symbols written as they are in the image.
    right: Bitmap,
    /// Symbols written otherwise.
    wrong: HashMap<usize, Vec<u8>>,
    verified: Vec<BlockIndex>,
    committed: bool,
    /// Symbols that may yet be written before the disk is full.
    space: Option<usize>,
}

impl SharedStore {
    /// An empty copy of `image`.
    pub fn new(image: Arc<Vec<u8>>, layout: &Layout) -> Self {
        let symbol_size = usize::from(layout.geometry().symbol_size);
        let symbols = image.len().div_ceil(symbol_size);
        let copy = Copy {
            right: Bitmap::new(symbols),
            wrong: HashMap::new(),
            verified: Vec::new(),
            committed: false,
            space: None,
        };
        let blocks = BlockIndex(layout.manifest_blocks())..BlockIndex(layout.blocks());
        Self { image, symbol_size, blocks, copy: Mutex::new(copy) }
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

    /// From now on the disk takes only so many symbols more.
    pub fn limit_space(&self, symbols: usize) {
        self.copy().space = Some(symbols);
    }

    fn copy(&self) -> MutexGuard<'_, Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn range(&self, symbol: usize) -> Range<usize> {
        let start = symbol * self.symbol_size;
        start..(start + self.symbol_size).min(self.image.len())
    }

    /// Notes one symbol that differs from the image, or may have.
    fn write_symbol(&self, copy: &mut Copy, symbol: usize, bytes: &[u8]) {
        if bytes == &self.image[self.range(symbol)] {
            copy.right.set(symbol);
            copy.wrong.remove(&symbol);
        } else {
            copy.right.clear(symbol);
            copy.wrong.insert(symbol, bytes.to_vec());
        }
    }
}

impl Store for SharedStore {
    fn write(&self, _file: usize, offset: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let mut copy = self.copy();
        let offset = offset as usize;
        assert_eq!(offset % self.symbol_size, 0, "symbols are written whole");
        let first = offset / self.symbol_size;
        if let Some(space) = &mut copy.space {
            let symbols = slices.iter().map(|slice| slice.len().div_ceil(self.symbol_size)).sum::<usize>();
            *space = space.checked_sub(symbols).ok_or_else(|| disk_is_full(offset, slices))?;
        }
        let mut at = offset;
        let mut same = copy.wrong.is_empty();
        for slice in slices {
            same &= self.image.get(at..at + slice.len()) == Some(&**slice);
            at += slice.len();
        }
        let whole = at.is_multiple_of(self.symbol_size) || at == self.image.len();
        assert!(whole, "symbols are written whole");
        if same {
            copy.right.set_range(first..at.div_ceil(self.symbol_size));
            return Ok(());
        }
        let symbols = slices.iter().flat_map(|slice| slice.chunks(self.symbol_size));
        symbols.enumerate().for_each(|(i, bytes)| self.write_symbol(&mut copy, first + i, bytes));
        Ok(())
    }

    fn read(&self, _file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let copy = self.copy();
        let (offset, size) = (offset as usize, self.symbol_size);
        let symbols = offset / size..(offset + buf.len()).div_ceil(size);
        buf.copy_from_slice(&self.image[offset..offset + buf.len()]);
        let mut next = copy.right.next_zero(symbols.start);
        while let Some(symbol) = next.filter(|symbol| symbols.contains(symbol)) {
            let range = self.range(symbol);
            let out = &mut buf[range.start - offset..range.end - offset];
            match copy.wrong.get(&symbol) {
                Some(bytes) => out.copy_from_slice(bytes),
                None => out.fill(UNWRITTEN),
            }
            next = copy.right.next_zero(symbol + 1);
        }
        Ok(())
    }

    fn window(&self) -> Range<BlockIndex> {
        self.blocks.clone()
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

fn disk_is_full(offset: usize, slices: &[IoSlice<'_>]) -> StoreError {
    StoreError::Write {
        path: "image".into(),
        offset: offset as u64,
        len: slices.iter().map(|slice| slice.len() as u64).sum(),
        source: io::ErrorKind::StorageFull.into(),
    }
}
