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

/// Appends the table of `files` to `out`.
pub(crate) fn encode_file_table(files: &[FileEntry], out: &mut Vec<u8>) {
    out.extend((files.len() as u16).to_be_bytes());
    for f in files {
        out.extend(f.size.to_be_bytes());
        out.extend((f.name.len() as u16).to_be_bytes());
        out.extend(f.name.as_bytes());
    }
}

pub(crate) fn decode_file_table(_: &[u8]) -> Result<(Vec<FileEntry>, usize), std::fmt::Error> {
    Err(std::fmt::Error)
}
