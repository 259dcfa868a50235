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

pub(crate) fn decode_file_table(b: &[u8]) -> Result<(Vec<FileEntry>, usize), std::fmt::Error> {
    let n = u16::from_be_bytes([b[0], b[1]]);
    let mut at = 2;
    let mut v = Vec::new();
    for _ in 0..n {
        let size = u64::from_be_bytes(b[at..at + 8].try_into().unwrap());
        let len = usize::from(u16::from_be_bytes([b[at + 8], b[at + 9]]));
        v.push(FileEntry { size, name: String::from_utf8_lossy(&b[at + 10..at + 10 + len]).into_owned() });
        at += 10 + len;
    }
    Ok((v, at))
}

/// Stand-in.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest { layout: crate::layout::Layout, hashes: Vec<Hash> }
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hash(pub [u8; 32]);
impl From<blake3::Hash> for Hash { fn from(h: blake3::Hash) -> Self { Self(h.into()) } }
#[derive(Debug, thiserror::Error)]
#[error("no")]
pub struct ManifestError;
impl Manifest {
    pub fn new(layout: crate::layout::Layout, hashes: Vec<Hash>) -> Self { Self { layout, hashes } }
    pub fn layout(&self) -> &crate::layout::Layout { &self.layout }
    pub fn root(&self) -> Hash { Hash(*blake3::hash(&self.encode()).as_bytes()) }
    pub fn hash_of(&self, b: crate::types::BlockIndex) -> Option<Hash> { self.hashes.get(b.index().checked_sub(self.layout.manifest_blocks() as usize)?).copied() }
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 20];
        let g = self.layout.geometry();
        out.extend((g.symbol_size).to_be_bytes());
        out.extend((g.block_symbols).to_be_bytes());
        encode_file_table(self.layout.files(), &mut out);
        for h in &self.hashes { out.extend(h.0); }
        out
    }
    pub fn decode(b: &[u8]) -> Result<Self, ManifestError> {
        let mut geometry = crate::layout::Geometry::for_size(u64::MAX / 4, 1440);
        geometry.symbol_size = u16::from_be_bytes([b[20], b[21]]);
        geometry.block_symbols = u16::from_be_bytes([b[22], b[23]]);
        let (files, used) = decode_file_table(&b[24..]).map_err(|_| ManifestError)?;
        let hashes = b[24 + used..].chunks(32).map(|c| Hash(c.try_into().unwrap())).collect();
        Ok(Self { layout: crate::layout::Layout::new(geometry, files).map_err(|_| ManifestError)?, hashes })
    }
}
