//! An image in memory, for tests, examples and the simulator.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use super::{Store, StoreError, all_blocks, check_bounds, total_len};
use crate::layout::{BlockSpan, Layout};
use crate::types::BlockIndex;

/// Keeps every file of a delivery as a vector of bytes.
#[derive(Debug)]
pub struct MemoryStore {
    files: Vec<RwLock<Vec<u8>>>,
    blocks: Range<BlockIndex>,
    committed: AtomicBool,
}

impl MemoryStore {
    /// Zeros, as many as the files of `layout` have bytes.
    pub fn new(layout: &Layout) -> Self {
        Self {
            files: layout.files().iter().map(|file| RwLock::new(vec![0; file.size as usize])).collect(),
            blocks: all_blocks(layout),
            committed: AtomicBool::new(false),
        }
    }

    /// Whether the receiver reported the image as complete.
    pub fn is_committed(&self) -> bool {
        self.committed.load(Ordering::Acquire)
    }

    /// A copy of the bytes of file `file`; nothing if there is no such file.
    pub fn file(&self, file: usize) -> Vec<u8> {
        let read = |bytes: &RwLock<Vec<u8>>| bytes.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.files.get(file).map(read).unwrap_or_default()
    }

    /// The bytes of all files, in order.
    pub fn into_files(self) -> Vec<Vec<u8>> {
        self.files.into_iter().map(|bytes| bytes.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

impl Store for MemoryStore {
    fn write(&self, file: usize, offset: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let len = total_len(slices);
        let bytes = self.files.get(file).ok_or(StoreError::OutOfBounds { file, offset, len })?;
        let mut bytes = bytes.write().unwrap_or_else(PoisonError::into_inner);
        check_bounds(file, Some(bytes.len() as u64), offset, len)?;
        let mut at = offset as usize;
        for slice in slices {
            bytes[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        Ok(())
    }

    fn read(&self, file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let len = buf.len() as u64;
        let bytes = self.files.get(file).ok_or(StoreError::OutOfBounds { file, offset, len })?;
        let bytes = bytes.read().unwrap_or_else(PoisonError::into_inner);
        check_bounds(file, Some(bytes.len() as u64), offset, len)?;
        buf.copy_from_slice(&bytes[offset as usize..][..buf.len()]);
        Ok(())
    }

    fn window(&self) -> Range<BlockIndex> {
        self.blocks.clone()
    }

    fn verified(&self, _span: &BlockSpan) -> Result<(), StoreError> {
        Ok(())
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.committed.store(true, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{content, deliver_all, layout};
    use super::*;

    #[test]
    fn it_gives_the_bytes_of_every_file_back() {
        let layout = layout(&[200, 64, 1]);
        let store = MemoryStore::new(&layout);
        deliver_all(&store, &layout);
        store.commit().unwrap();
        assert!(store.is_committed());
        assert_eq!(store.file(1), content(1, 64));
        assert_eq!(store.into_files(), [content(0, 200), content(1, 64), content(2, 1)]);
    }

    #[test]
    fn bytes_outside_a_file_are_refused() {
        let store = MemoryStore::new(&layout(&[100]));
        let bytes = [IoSlice::new(&[1, 2])];
        for (file, offset) in [(0, 99), (0, u64::MAX), (1, 0)] {
            assert!(matches!(store.write(file, offset, &bytes), Err(StoreError::OutOfBounds { .. })));
            assert!(matches!(store.read(file, offset, &mut [0; 2]), Err(StoreError::OutOfBounds { .. })));
        }
    }
}
