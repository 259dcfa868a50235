//! Where a receiver puts the image.
//!
//! [`open_target`] finds the store for a path: a file, a folder, a block device, or a stream.
//! What an interrupted run left comes back as claims, which [`recheck`] hashes again.

use std::io::IoSlice;
use std::ops::Range;

use crate::layout::BlockSpan;
use crate::types::BlockIndex;

mod device;
mod error;
mod file;
mod journal;
mod memory;
mod recheck;
mod stream;
mod sys;
mod target;

pub use device::DeviceStore;
pub use error::{StoreError, StoreErrorKind};
pub use file::FileStore;
pub use journal::{Found, Journal, JournalDamage, JournalState};
pub use memory::MemoryStore;
pub use recheck::recheck;
pub use stream::{DEFAULT_SPOOL_BLOCKS, StreamStore};
pub use target::{Resume, Target, TargetOptions, discard, earlier, open_target};

/// Takes the image's bytes in any order and gives them back for verification.
///
/// All methods take `&self`: the receiving thread writes while another one verifies. Blocks of the
/// manifest never reach a store. After an error of the kind [`StoreErrorKind::Disk`] or
/// [`StoreErrorKind::Closed`] the image cannot be completed in this run; what was verified stays.
pub trait Store: Send + Sync {
    /// Writes `slices`, one after the other, from `offset` of file `file` on; never to a block
    /// that is verified.
    fn write(&self, file: usize, offset: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError>;

    /// Fills `buf` from `offset` of file `file`.
    fn read(&self, file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StoreError>;

    /// The blocks of the image it can take now: all of them, or, for a stream, those its spool has
    /// room for. It only moves forward, and what lies before it is done with.
    fn window(&self) -> Range<BlockIndex>;

    /// The manifest is known and checked: keeps it for the next run. If it is another one than the
    /// earlier run's, that run's claims are void, and what was confirmed is to be reported again.
    fn keep_manifest(&self, _manifest: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    /// `span` matched its hash: journals it, or passes it on. Once a block is enough.
    fn verified(&self, span: &BlockSpan) -> Result<(), StoreError>;

    /// Everything is verified: syncs it and gives it its final name, or waits until the reader of
    /// the stream has it all. After an error it may be tried again.
    fn commit(&self) -> Result<(), StoreError>;
}

/// The image's blocks of `layout`, the window of a store that takes them in any order.
fn all_blocks(layout: &crate::layout::Layout) -> Range<BlockIndex> {
    BlockIndex(layout.manifest_blocks())..BlockIndex(layout.blocks())
}

/// Refuses what is not within the `size` bytes of file `file`.
fn check_bounds(file: usize, size: Option<u64>, offset: u64, len: u64) -> Result<(), StoreError> {
    let within = size.is_some_and(|size| offset.checked_add(len).is_some_and(|end| end <= size));
    if within { Ok(()) } else { Err(StoreError::OutOfBounds { file, offset, len }) }
}

/// Bytes of all `slices`.
fn total_len(slices: &[IoSlice<'_>]) -> u64 {
    slices.iter().map(|slice| slice.len() as u64).sum()
}

#[cfg(test)]
mod testing {
    //! Images and the way a receiver fills a store with them.

    use super::*;
    use crate::codec::CodecId;
    use crate::layout::{BlockSource, FileEntry, Geometry, Layout};
    use crate::types::ClientId;

    pub(super) const CLIENT: ClientId = ClientId(42);

    /// Blocks of 64 bytes.
    pub(super) fn layout(sizes: &[u64]) -> Layout {
        let files = sizes.iter().enumerate().map(|(i, &size)| FileEntry { name: format!("f{i}"), size }).collect();
        let geometry = Geometry { symbol_size: 4, block_symbols: 16, parity_symbols: 16, codec: CodecId::ReedSolomon8 };
        Layout::new(geometry, files).unwrap()
    }

    /// Bytes of file `file`, by which any misplaced one shows.
    pub(super) fn content(file: usize, size: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(file as u64);
        (0..size).map(|_| random.u8(..)).collect()
    }

    pub(super) fn image_spans(layout: &Layout) -> Vec<BlockSpan> {
        (layout.manifest_blocks()..layout.blocks()).map(|block| layout.block(BlockIndex(block)).unwrap()).collect()
    }

    pub(super) fn file_of(span: &BlockSpan) -> usize {
        match span.source {
            BlockSource::File(file) => file,
            BlockSource::Manifest => panic!("{} is of the manifest", span.block),
        }
    }

    pub(super) fn block_bytes(layout: &Layout, span: &BlockSpan) -> Vec<u8> {
        let file = file_of(span);
        let all = content(file, layout.files()[file].size);
        all[span.offset as usize..][..span.len as usize].to_vec()
    }

    /// Writes a block as two slices, reads it back, and reports it.
    pub(super) fn deliver(store: &dyn Store, layout: &Layout, span: &BlockSpan) -> Result<(), StoreError> {
        let bytes = block_bytes(layout, span);
        let (a, b) = bytes.split_at(bytes.len() / 3);
        store.write(file_of(span), span.offset, &[IoSlice::new(a), IoSlice::new(b)])?;
        let mut back = vec![0; bytes.len()];
        store.read(file_of(span), span.offset, &mut back)?;
        assert_eq!(back, bytes);
        store.verified(span)
    }

    pub(super) fn deliver_all(store: &dyn Store, layout: &Layout) {
        let mut spans = image_spans(layout);
        fastrand::Rng::with_seed(1).shuffle(&mut spans);
        spans.iter().for_each(|span| deliver(store, layout, span).unwrap());
    }
}
