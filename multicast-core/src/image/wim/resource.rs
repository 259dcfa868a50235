//! Resource headers: where something lies in a WIM, and how many bytes it has.

use std::ops::Range;

use super::error::{WimError, WimPart};
use super::header::HEADER_SIZE;

/// Bytes of a resource header in the file.
pub(super) const RESOURCE_HEADER_SIZE: usize = 24;

/// Where a resource lies; all numbers little-endian.
///
/// | offset | width | field                                      |
/// |-------:|------:|--------------------------------------------|
/// |      0 |     7 | size: bytes in the file                    |
/// |      7 |     1 | flags                                      |
/// |      8 |     8 | offset: first byte in the file             |
/// |     16 |     8 | original size: bytes when decompressed     |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResourceHeader {
    /// Bytes in the file, below 2^56.
    pub size: u64,
    /// What kind of resource it is.
    pub flags: ResourceFlags,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes when decompressed; [`ResourceHeader::SOLID_MARKER`] marks a solid resource.
    pub original_size: u64,
}

/// Flags of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResourceFlags(pub u8);

impl ResourceFlags {
    /// 0x02: the metadata of an image.
    pub fn metadata(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// 0x04: compressed.
    pub fn compressed(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// 0x10: a solid resource, or a blob within one.
    pub fn solid(self) -> bool {
        self.0 & 0x10 != 0
    }

    fn without_solid(self) -> Self {
        Self(self.0 & !0x10)
    }
}

impl ResourceHeader {
    /// The original size that tells a solid resource from the blobs within it.
    pub const SOLID_MARKER: u64 = 0x1_0000_0000;

    /// Reads one.
    pub fn decode(bytes: &[u8; RESOURCE_HEADER_SIZE]) -> Self {
        let first = le_u64(bytes, 0);
        Self {
            size: first & 0x00FF_FFFF_FFFF_FFFF,
            flags: ResourceFlags((first >> 56) as u8),
            offset: le_u64(bytes, 8),
            original_size: le_u64(bytes, 16),
        }
    }

    /// Its bytes in the file; to be used after [`ResourceHeader::check`].
    pub(super) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.size)
    }

    /// Fails unless it lies behind the header and ends within the file.
    pub(super) fn check(&self, what: WimPart, file_size: u64) -> Result<(), WimError> {
        if self.size > 0 && self.offset < HEADER_SIZE as u64 {
            return Err(WimError::InHeader { what, offset: self.offset });
        }
        if self.offset.checked_add(self.size).is_none_or(|end| end > file_size) {
            return Err(WimError::Outside { what, offset: self.offset, size: self.size, file_size });
        }
        Ok(())
    }

    /// Fails if it is not compressed and yet says that it would change its size.
    pub(super) fn check_sizes(&self, what: WimPart) -> Result<(), WimError> {
        if self.flags.compressed() || self.size == self.original_size {
            return Ok(());
        }
        Err(WimError::Sizes { what, size: self.size, original_size: self.original_size })
    }

    /// As read by a version that knows no solid resources.
    pub(super) fn without_solid(self) -> Self {
        Self { flags: self.flags.without_solid(), ..self }
    }
}

/// The little-endian number at `at`; the callers' arrays are of fixed size and long enough.
pub(super) fn le_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(bytes, at))
}

pub(super) fn le_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(take(bytes, at))
}

pub(super) fn le_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(take(bytes, at))
}

pub(super) fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&bytes[at..at + N]);
    taken
}
