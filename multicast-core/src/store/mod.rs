//! Where a receiver puts the image.

use std::io::IoSlice;
use std::ops::Range;

use crate::layout::BlockSpan;
use crate::types::BlockIndex;

/// Takes the image's bytes in any order and gives them back for verification.
///
/// All methods take `&self`: the receiving thread writes while another one verifies. Blocks of the
/// manifest never reach a store.
pub trait Store: Send + Sync {
    /// Writes `slices`, one after the other, from `offset` of file `file` on.
    fn write(&self, file: usize, offset: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError>;

    /// Fills `buf` from `offset` of file `file`.
    fn read(&self, file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StoreError>;

    /// The blocks it can take now; a stream to a pipe takes only what its spool has room for.
    fn window(&self) -> Range<BlockIndex>;

    /// `span` matched its hash: journals it, or passes it on. Called once a block.
    fn verified(&self, span: &BlockSpan) -> Result<(), StoreError>;

    /// Everything is verified: syncs it and gives it its final name.
    fn commit(&self) -> Result<(), StoreError>;
}

/// Why a store cannot take or give bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {}
