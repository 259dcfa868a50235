//! How the bytes of a delivery are cut: files into blocks, blocks into symbols.
//!
//! The stream's blocks are numbered through: first those of the manifest, then those of each
//! file. No block spans two files, so only the last block of a file is short.

use crate::codec::CodecId;
use crate::types::BlockIndex;

/// Payload bytes of a symbol where the path carries 1,500-byte frames:
/// 1,500 − 20 (IPv4) − 8 (UDP) − 16 (our header) − 16 (room for a tag of encryption).
pub const DEFAULT_SYMBOL_SIZE: u16 = 1440;

/// Encoded bytes of a delivery's file table at most, so that an offer fits one datagram.
pub const FILE_TABLE_LIMIT: usize = 1024;

/// Sizes by which an image is cut, and the code that repairs its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Geometry {
    /// Payload bytes of a symbol; even, at least 2.
    pub symbol_size: u16,
    /// Source symbols of a full block, `k`.
    pub block_symbols: u16,
    /// Parity symbols that exist for every block, `r`.
    pub parity_symbols: u16,
    /// The code that makes the parity symbols.
    pub codec: CodecId,
}

impl Geometry {
    /// The geometry for a delivery of `size` bytes: GF(2⁸) blocks of up to 127 symbols for what
    /// fits one such block, GF(2¹⁶) blocks of 1,024 symbols (1.4 MiB) beyond.
    pub fn for_size(size: u64, symbol_size: u16) -> Self {
        let symbols = size.div_ceil(u64::from(symbol_size));
        if symbols <= 127 {
            Self { symbol_size, block_symbols: 127, parity_symbols: 128, codec: CodecId::ReedSolomon8 }
        } else {
            Self { symbol_size, block_symbols: 1024, parity_symbols: 1024, codec: CodecId::ReedSolomon16 }
        }
    }

    /// Bytes of a full block.
    pub fn block_size(&self) -> u32 {
        u32::from(self.symbol_size) * u32::from(self.block_symbols)
    }

    fn check(&self) -> Result<(), LayoutError> {
        let bound = |field, value: u16, ok: bool, limit| {
            if ok { Ok(()) } else { Err(LayoutError::Geometry { field, value, limit }) }
        };
        bound(
            "symbol size",
            self.symbol_size,
            self.symbol_size >= 2 && self.symbol_size.is_multiple_of(2) && self.symbol_size <= 9000,
            "an even number from 2 to 9000",
        )?;
        let (k, r) = self.codec.limits();
        bound("symbols a block", self.block_symbols, (1..=k).contains(&self.block_symbols), "1 to the codec's limit")?;
        bound(
            "parity symbols a block",
            self.parity_symbols,
            (1..=r).contains(&self.parity_symbols)
                && usize::from(self.block_symbols) + usize::from(self.parity_symbols) <= self.codec.total_limit(),
            "1 to the codec's limit less the block's symbols",
        )
    }
}

/// A file of the delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FileEntry {
    /// Its name, without a folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// Where a block's bytes belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockSource {
    /// The encoded manifest.
    Manifest,
    /// The file of this index in [`Layout::files`].
    File(usize),
}

/// One block of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSpan {
    /// Its number in the stream.
    pub block: BlockIndex,
    /// What it is a part of.
    pub source: BlockSource,
    /// Its first byte within that source.
    pub offset: u64,
    /// Its bytes; the last symbol is filled up with zeros.
    pub len: u32,
    /// Its source symbols, `k` of this block.
    pub symbols: u16,
}

/// The cut of a whole delivery; everything that both ends must agree upon before the first symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    geometry: Geometry,
    files: Vec<FileEntry>,
    /// The first block of each file, and the number of blocks at the end.
    first_blocks: Vec<u32>,
    manifest_len: u64,
}

/// A delivery that cannot be cut this way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// No file.
    #[error("a delivery needs at least one file")]
    NoFile,
    /// A file without bytes.
    #[error("{name:?} is empty: there is nothing to deliver")]
    EmptyFile {
        /// Its name.
        name: String,
    },
    /// A file name that is empty, has a folder, or is no plain name.
    #[error("{name:?} is not usable as a file name (a plain name without a folder is)")]
    FileName {
        /// The name.
        name: String,
    },
    /// The same name twice.
    #[error("two files of the delivery are named {name:?}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The names together are too long for an offer.
    #[error(
        "the table of {files} files takes {bytes} bytes, the limit is {FILE_TABLE_LIMIT}: fewer files or shorter names are needed"
    )]
    FileTable {
        /// How many files.
        files: usize,
        /// Encoded bytes.
        bytes: usize,
    },
    /// A size that the codec or the wire cannot carry.
    #[error("{field} is {value}, it must be {limit}")]
    Geometry {
        /// Which one.
        field: &'static str,
        /// As given.
        value: u16,
        /// What is allowed.
        limit: &'static str,
    },
    /// More blocks than a block number can name.
    #[error("{size} bytes make more than 2^32 blocks of {block_size} bytes")]
    TooLarge {
        /// Bytes of all files.
        size: u128,
        /// Bytes of a block.
        block_size: u32,
    },
}

impl Layout {
    /// Cuts `files` by `geometry`; this is also the check of what came from outside.
    pub fn new(geometry: Geometry, files: Vec<FileEntry>) -> Result<Self, LayoutError> {
        geometry.check()?;
        check_files(&files)?;
        let block_size = u64::from(geometry.block_size());
        let size: u128 = files.iter().map(|f| u128::from(f.size)).sum();
        let image_blocks: u128 = files.iter().map(|f| u128::from(f.size.div_ceil(block_size))).sum();
        let too_large = LayoutError::TooLarge { size, block_size: geometry.block_size() };
        if image_blocks > u128::from(u32::MAX / 2) || size > u128::from(u64::MAX / 2) {
            return Err(too_large);
        }
        let manifest_len = crate::manifest::encoded_len(&files, image_blocks as u64);
        let manifest_blocks = manifest_len.div_ceil(block_size);
        if u128::from(manifest_blocks) + image_blocks > u128::from(u32::MAX) {
            return Err(too_large);
        }
        let mut next = manifest_blocks as u32;
        let mut first_blocks = Vec::with_capacity(files.len() + 1);
        for file in &files {
            first_blocks.push(next);
            next += file.size.div_ceil(block_size) as u32;
        }
        first_blocks.push(next);
        Ok(Self { geometry, files, first_blocks, manifest_len })
    }

    /// The sizes by which the delivery is cut.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The files, in the order of their blocks.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Bytes of all files.
    pub fn image_size(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// Bytes of the encoded manifest.
    pub fn manifest_len(&self) -> u64 {
        self.manifest_len
    }

    /// Blocks of the stream, the manifest's included.
    pub fn blocks(&self) -> u32 {
        self.first_blocks[self.files.len()]
    }

    /// Blocks of the manifest; the image's begin here.
    pub fn manifest_blocks(&self) -> u32 {
        self.first_blocks[0]
    }

    /// Blocks of the files.
    pub fn image_blocks(&self) -> u32 {
        self.blocks() - self.manifest_blocks()
    }

    /// Source symbols of the files, the unit of `sent / image`.
    pub fn image_symbols(&self) -> u64 {
        let symbol = u64::from(self.geometry.symbol_size);
        self.files.iter().map(|f| f.size.div_ceil(symbol)).sum()
    }

    /// The block of this number, or `None` beyond the last.
    pub fn block(&self, block: BlockIndex) -> Option<BlockSpan> {
        if block.0 >= self.blocks() {
            return None;
        }
        let (source, first, total) = if block.0 < self.manifest_blocks() {
            (BlockSource::Manifest, 0, self.manifest_len)
        } else {
            let file = self.first_blocks.partition_point(|&first| first <= block.0) - 1;
            (BlockSource::File(file), self.first_blocks[file], self.files[file].size)
        };
        let block_size = u64::from(self.geometry.block_size());
        let offset = u64::from(block.0 - first) * block_size;
        let len = (total - offset).min(block_size) as u32;
        let symbols = len.div_ceil(u32::from(self.geometry.symbol_size)) as u16;
        Some(BlockSpan { block, source, offset, len, symbols })
    }

    /// Source symbols of `block`; 0 beyond the last block.
    pub fn symbols_of(&self, block: BlockIndex) -> u16 {
        self.block(block).map_or(0, |span| span.symbols)
    }

    /// The blocks that hold bytes `start..end` of file `file`.
    pub fn blocks_of(&self, file: usize, start: u64, end: u64) -> std::ops::Range<u32> {
        let Some(entry) = self.files.get(file) else { return 0..0 };
        let block_size = u64::from(self.geometry.block_size());
        let (start, end) = (start.min(entry.size), end.min(entry.size));
        let first = self.first_blocks[file];
        if start >= end {
            return first..first;
        }
        first + (start / block_size) as u32..first + end.div_ceil(block_size) as u32
    }
}

fn check_files(files: &[FileEntry]) -> Result<(), LayoutError> {
    if files.is_empty() {
        return Err(LayoutError::NoFile);
    }
    let bytes = crate::manifest::file_table_len(files);
    if bytes > FILE_TABLE_LIMIT {
        return Err(LayoutError::FileTable { files: files.len(), bytes });
    }
    let mut names = std::collections::HashSet::new();
    for file in files {
        let name = &file.name;
        let plain = !name.is_empty()
            && name != "."
            && name != ".."
            && !name.contains(['/', '\\', '\0'])
            && !name.chars().any(char::is_control);
        if !plain {
            return Err(LayoutError::FileName { name: name.clone() });
        }
        if file.size == 0 {
            return Err(LayoutError::EmptyFile { name: name.clone() });
        }
        if !names.insert(name) {
            return Err(LayoutError::DuplicateName { name: name.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(sizes: &[u64]) -> Layout {
        let files = sizes.iter().enumerate().map(|(i, &size)| FileEntry { name: format!("f{i}"), size }).collect();
        let geometry = Geometry { symbol_size: 4, block_symbols: 16, parity_symbols: 16, codec: CodecId::ReedSolomon8 };
        Layout::new(geometry, files).unwrap()
    }

    proptest! {
        #[test]
        fn blocks_tile_every_file_without_gap_or_overlap(sizes in prop::collection::vec(1u64..2000, 1..5)) {
            let layout = layout(&sizes);
            let mut ends = vec![0u64; sizes.len()];
            for block in layout.manifest_blocks()..layout.blocks() {
                let span = layout.block(BlockIndex(block)).unwrap();
                let BlockSource::File(file) = span.source else { panic!("an image block") };
                prop_assert_eq!(span.offset, ends[file]);
                prop_assert!(span.len > 0 && span.symbols > 0);
                ends[file] += u64::from(span.len);
                prop_assert_eq!(layout.blocks_of(file, span.offset, ends[file]), block..block + 1);
            }
            prop_assert_eq!(ends, sizes);
        }
    }

    #[test]
    fn blocks_of_image_and_manifest_together_must_have_numbers() {
        let geometry = Geometry { symbol_size: 8, block_symbols: 4, parity_symbols: 4, codec: CodecId::ReedSolomon8 };
        // Blocks of 32 bytes, as large as a hash: the manifest takes as many as the image.
        let cut = |blocks: u64| Layout::new(geometry, vec![FileEntry { name: "f".into(), size: 32 * blocks }]);
        assert!(matches!(cut((1 << 31) - 1), Err(LayoutError::TooLarge { .. })));
        assert_eq!(cut((1 << 31) - 4).unwrap().blocks(), u32::MAX - 5);
    }

    #[test]
    fn a_file_name_with_a_folder_is_refused() {
        for name in ["", "..", "a/b", "a\\b", "a\0"] {
            let files = vec![FileEntry { name: name.into(), size: 1 }];
            assert!(matches!(Layout::new(Geometry::for_size(1, 1440), files), Err(LayoutError::FileName { .. })));
        }
    }
}
