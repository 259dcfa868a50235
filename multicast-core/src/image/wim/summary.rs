//! A WIM in a line.

use std::fmt;

use super::header::Compression;

/// What a user wants to know of a WIM.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct WimSummary {
    /// 0x10d00 or 0xe00.
    pub version: u32,
    /// How resources are compressed, solid ones aside.
    pub compression: Compression,
    /// Which part of a split WIM it is, from 1.
    pub part: u16,
    /// Parts of the split WIM; 1 if it is whole.
    pub parts: u16,
    /// Images in all parts.
    pub images: u32,
    /// Blobs in this file, metadata not counted.
    pub blobs: u64,
    /// Bytes of this file.
    pub size: u64,
    /// Whether it has a table of SHA-1 sums over the file.
    pub integrity_table: bool,
    /// Whether blobs are compressed together (ESD).
    pub solid: bool,
    /// Whether it can be read from a pipe.
    pub pipable: bool,
}

/// `WIM part 2 of 3, 1 image, LZX, solid, 1234 blobs, 56789 bytes, integrity table`
impl fmt::Display for WimSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.pipable { "pipable WIM" } else { "WIM" })?;
        if self.parts > 1 {
            write!(f, " part {} of {}", self.part, self.parts)?;
        }
        let plural = |n: u64| if n == 1 { "" } else { "s" };
        write!(f, ", {} image{}, {}", self.images, plural(self.images.into()), self.compression)?;
        if self.solid {
            f.write_str(", solid")?;
        }
        write!(f, ", {} blob{}, {} bytes", self.blobs, plural(self.blobs), self.size)?;
        f.write_str(if self.integrity_table { ", integrity table" } else { ", no integrity table" })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Xpress => "XPRESS",
            Self::Lzx => "LZX",
            Self::Lzms => "LZMS",
            Self::Unknown => "unknown compression",
        })
    }
}
