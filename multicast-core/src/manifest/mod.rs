//! What an image is: its files, their cut, and one BLAKE3 hash a block.

use crate::layout::FileEntry;

/// Encoded bytes of the manifest of `files` cut into `blocks` blocks.
pub(crate) fn encoded_len(files: &[FileEntry], blocks: u64) -> u64 {
    let fixed = 24;
    fixed + file_table_len(files) as u64 + blocks * 32
}

/// Encoded bytes of a table of `files`: its count, and size, length of the name and name of each.
pub(crate) fn file_table_len(files: &[FileEntry]) -> usize {
    2 + files.iter().map(|f| 8 + 2 + f.name.len()).sum::<usize>()
}
