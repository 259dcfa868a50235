//! Any bytes that may be a manifest.

use multicast_core::layout::BlockSource;
use multicast_core::manifest::{Hash, Manifest};
use multicast_core::types::BlockIndex;

/// What decodes encodes to the same bytes, and its blocks tile its files. Whether it decoded.
pub fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = Manifest::decode(bytes) else { return false };
    assert_eq!(manifest.encode(), bytes);
    assert_eq!(manifest.root(), Hash::of(bytes));
    let layout = &manifest.layout;
    assert_eq!(manifest.hashes.len(), layout.image_blocks() as usize);
    let mut ends = vec![0; layout.files().len()];
    let mut manifest_end = 0;
    for block in (0..layout.blocks()).map(BlockIndex) {
        let span = layout.block(block).expect("below the number of blocks");
        assert!(span.len > 0 && span.symbols > 0 && span.symbols <= layout.geometry().block_symbols);
        let end = match span.source {
            BlockSource::Manifest => &mut manifest_end,
            BlockSource::File(file) => &mut ends[file],
        };
        assert_eq!(*end, span.offset);
        *end += u64::from(span.len);
        assert_eq!(manifest.hash_of(block).is_some(), span.source != BlockSource::Manifest);
    }
    assert_eq!(manifest_end, layout.manifest_len());
    assert!(layout.files().iter().zip(ends).all(|(file, end)| file.size == end));
    assert_eq!(layout.block(BlockIndex(layout.blocks())), None);
    true
}
