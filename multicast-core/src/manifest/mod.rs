//! What an image is: its files, their cut, and one BLAKE3 hash a block.

mod build;
mod cache;
mod file_table;

use std::fmt;

pub use build::{BuildError, build};
pub use cache::{CacheMiss, CachePlace, CacheWriteError, Loaded, Origin, load_or_build};
pub use file_table::FileTableError;

pub(crate) use file_table::{decode_file_table, encode_file_table, file_table_len};

use crate::codec::CodecId;
use crate::layout::{FileEntry, Geometry, Layout, LayoutError};
use crate::types::BlockIndex;

const MAGIC: [u8; 4] = *b"MCMF";
const VERSION: u16 = 1;
const FIXED_LEN: usize = 24;
const HASH_LEN: usize = 32;

/// The image's layout and the hash of every block of it; by it a client knows right bytes from wrong.
///
/// All numbers big-endian:
///
/// | offset | width | field                                                     |
/// |-------:|------:|-----------------------------------------------------------|
/// |      0 |     4 | magic: `MCMF`                                             |
/// |      4 |     2 | version: 1                                                |
/// |      6 |     1 | codec                                                     |
/// |      7 |     1 | protection of the payload: 0, clear                       |
/// |      8 |     2 | symbol size, bytes                                        |
/// |     10 |     2 | symbols a block                                           |
/// |     12 |     2 | parity symbols a block                                    |
/// |     14 |     2 | bytes of the signature at the end: 0, unsigned            |
/// |     16 |     4 | blocks of the image                                       |
/// |     20 |     4 | reserved: 0                                               |
/// |     24 |     2 | files, `n`                                                |
/// |     26 | n × (10 + name) | each file: size 8, length of its name 2, name in UTF-8 |
/// |      … | 32 × blocks | BLAKE3 of each block's bytes, the last symbol's filling not counted |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// How the delivery is cut.
    pub layout: Layout,
    /// One for each block of the image, that of stream block `layout.manifest_blocks()` first.
    pub hashes: Vec<Hash>,
}

/// Bytes read or written, and hashed, at a time: the second one to look at them finds them in the core's
/// own cache. A power of two, which BLAKE3 hashes without a rest.
pub(crate) const HASH_PIECE: usize = 128 << 10;

/// A BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; HASH_LEN]);

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It ends too early.
    #[error("the manifest has {have} bytes, its {what} ends at {need}")]
    Truncated {
        /// What is missing.
        what: &'static str,
        /// Bytes that it needs.
        need: u64,
        /// Bytes there are.
        have: usize,
    },
    /// Bytes follow its end.
    #[error("{extra} bytes follow the {len} bytes of the manifest")]
    TrailingBytes {
        /// Bytes of the manifest.
        len: u64,
        /// Bytes that follow.
        extra: u64,
    },
    /// It does not begin as a manifest.
    #[error("the manifest's magic is {0:02x?}, it must be 4d 43 4d 46 (MCMF)")]
    Magic([u8; 4]),
    /// A number beyond its bound, or of a later version of this program.
    #[error("the manifest's {field} is {value}, it must be {limit}")]
    Field {
        /// Which one.
        field: &'static str,
        /// As it stands there.
        value: u64,
        /// What is allowed.
        limit: String,
    },
    /// Its file table is damaged.
    #[error(transparent)]
    FileTable(#[from] FileTableError),
    /// Its files cannot be cut as it says.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl Manifest {
    /// Its bytes, [`Layout::manifest_len`] of them, as the first blocks of the stream carry them.
    pub fn encode(&self) -> Vec<u8> {
        let geometry = self.layout.geometry();
        let mut bytes = Vec::with_capacity(self.layout.manifest_len() as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[geometry.codec as u8, 0]);
        for number in [geometry.symbol_size, geometry.block_symbols, geometry.parity_symbols, 0] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.layout.image_blocks().to_be_bytes());
        bytes.extend_from_slice(&0u32.to_be_bytes());
        encode_file_table(self.layout.files(), &mut bytes);
        for hash in &self.hashes {
            bytes.extend_from_slice(&hash.0);
        }
        bytes
    }

    /// Reads it; nothing is allocated by a number that the length of `bytes` does not confirm.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let have = bytes.len();
        let truncated = |what, need| ManifestError::Truncated { what, need, have };
        let (fixed, rest) =
            bytes.split_first_chunk::<FIXED_LEN>().ok_or_else(|| truncated("header", FIXED_LEN as u64))?;
        let (geometry, blocks) = decode_fixed(fixed)?;
        let (files, table_len) = decode_file_table(rest)?;
        let layout = Layout::new(geometry, files)?;
        if blocks != layout.image_blocks() {
            let limit = format!("{}, as the files' sizes say", layout.image_blocks());
            return Err(ManifestError::Field { field: "block count", value: blocks.into(), limit });
        }
        let len = layout.manifest_len();
        if (have as u64) < len {
            return Err(truncated("table of hashes", len));
        }
        if have as u64 > len {
            return Err(ManifestError::TrailingBytes { len, extra: have as u64 - len });
        }
        let (hashes, _) = rest[table_len..].as_chunks::<HASH_LEN>();
        Ok(Self { layout, hashes: hashes.iter().copied().map(Hash).collect() })
    }

    /// The hash of its bytes: who knows it knows the image. Encodes it anew.
    pub fn root(&self) -> Hash {
        Hash::of(&self.encode())
    }

    /// The hash of an image block; `None` for the manifest's own blocks and beyond the last one.
    pub fn hash_of(&self, block: BlockIndex) -> Option<Hash> {
        let index = block.0.checked_sub(self.layout.manifest_blocks())?;
        self.hashes.get(index as usize).copied()
    }
}

impl Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// As hexadecimal text.
#[cfg(feature = "serde")]
impl serde::Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Encoded bytes of the manifest of `files` cut into `blocks` blocks.
pub(crate) fn encoded_len(files: &[FileEntry], blocks: u64) -> u64 {
    FIXED_LEN as u64 + file_table_len(files) as u64 + blocks * HASH_LEN as u64
}

/// Geometry and number of blocks.
fn decode_fixed(bytes: &[u8; FIXED_LEN]) -> Result<(Geometry, u32), ManifestError> {
    let u16_at = |at| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let magic = u32_at(0).to_be_bytes();
    if magic != MAGIC {
        return Err(ManifestError::Magic(magic));
    }
    let only = |field, value: u32, allowed: u32, meaning: &str| {
        if value == allowed {
            return Ok(());
        }
        Err(ManifestError::Field { field, value: value.into(), limit: format!("{allowed}{meaning}") })
    };
    only("version", u16_at(4).into(), VERSION.into(), ", the one this program knows")?;
    only("protection", bytes[7].into(), 0, " (clear): this program knows no encrypted images")?;
    only("signature length", u16_at(14).into(), 0, " (unsigned): this program knows no signed manifests")?;
    only("reserved field", u32_at(20), 0, "")?;
    let codec = CodecId::from_wire(bytes[6]).ok_or_else(|| ManifestError::Field {
        field: "codec",
        value: bytes[6].into(),
        limit: "1 (GF(2^8)) or 2 (GF(2^16))".into(),
    })?;
    let geometry = Geometry { symbol_size: u16_at(8), block_symbols: u16_at(10), parity_symbols: u16_at(12), codec };
    Ok((geometry, u32_at(16)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest(sizes: &[u64]) -> Manifest {
        let files =
            sizes.iter().enumerate().map(|(i, &size)| FileEntry { name: format!("part{i}.swm"), size }).collect();
        let geometry = Geometry { symbol_size: 10, block_symbols: 5, parity_symbols: 5, codec: CodecId::ReedSolomon8 };
        let layout = Layout::new(geometry, files).unwrap();
        let hashes = (0..layout.image_blocks()).map(|i| Hash::of(&i.to_be_bytes())).collect();
        Manifest { layout, hashes }
    }

    fn changed(at: usize, to: u8) -> String {
        let mut bytes = manifest(&[100]).encode();
        bytes[at] = to;
        Manifest::decode(&bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_hash_belongs_to_the_stream_block_behind_those_of_the_manifest() {
        let manifest = manifest(&[120, 51]);
        let first = manifest.layout.manifest_blocks();
        assert!(first > 1);
        assert_eq!(manifest.hash_of(BlockIndex(first - 1)), None);
        assert_eq!(manifest.hash_of(BlockIndex(first)), Some(manifest.hashes[0]));
        assert_eq!(manifest.hash_of(BlockIndex(first + 4)), Some(manifest.hashes[4]));
        assert_eq!(manifest.hash_of(BlockIndex(first + 5)), None);
    }

    #[test]
    fn the_root_changes_with_every_hash_name_and_size() {
        let one = manifest(&[120, 51]);
        let mut other = one.clone();
        other.hashes[3].0[31] ^= 1;
        assert_ne!(one.root(), other.root());
        assert_ne!(one.root(), manifest(&[119, 51]).root());
        assert_eq!(one.root().to_string().len(), 64);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value_and_its_bound() {
        assert_eq!(changed(0, b'X'), "the manifest's magic is [58, 43, 4d, 46], it must be 4d 43 4d 46 (MCMF)");
        assert_eq!(changed(5, 9), "the manifest's version is 9, it must be 1, the one this program knows");
        assert_eq!(changed(6, 7), "the manifest's codec is 7, it must be 1 (GF(2^8)) or 2 (GF(2^16))");
        assert!(changed(7, 1).starts_with("the manifest's protection is 1, it must be 0 (clear)"));
        assert!(changed(15, 64).starts_with("the manifest's signature length is 64, it must be 0 (unsigned)"));
        assert_eq!(changed(19, 77), "the manifest's block count is 77, it must be 2, as the files' sizes say");
        assert_eq!(changed(23, 1), "the manifest's reserved field is 1, it must be 0");
        assert_eq!(changed(9, 7), "symbol size is 7, it must be an even number from 2 to 9000");
    }

    #[test]
    fn a_lying_size_allocates_nothing() {
        // 2^55 bytes: more hashes than any machine has memory for.
        assert!(changed(26 + 1, 0x80).contains("2^32 blocks"));
    }

    proptest! {
        #[test]
        fn it_survives_a_round_trip_and_has_the_length_of_its_layout(sizes in prop::collection::vec(1u64..3000, 1..5)) {
            let manifest = manifest(&sizes);
            let bytes = manifest.encode();
            prop_assert_eq!(bytes.len() as u64, manifest.layout.manifest_len());
            prop_assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        }

        #[test]
        fn any_cut_or_added_byte_is_refused(size in 1u64..500, cut: prop::sample::Index, more in 1usize..50) {
            let mut bytes = manifest(&[size, 7]).encode();
            prop_assert!(Manifest::decode(&bytes[..cut.index(bytes.len())]).is_err());
            let len = bytes.len() as u64;
            bytes.resize(bytes.len() + more, 0);
            prop_assert_eq!(Manifest::decode(&bytes), Err(ManifestError::TrailingBytes { len, extra: more as u64 }));
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), right in 0..26usize) {
            let template = manifest(&[100]).encode();
            let right = right.min(bytes.len());
            bytes[..right].copy_from_slice(&template[..right]);
            let _ = Manifest::decode(&bytes);
        }

        #[test]
        fn damage_is_an_error_or_another_manifest(at: prop::sample::Index, byte: u8) {
            let mut bytes = manifest(&[100, 30]).encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(manifest) = Manifest::decode(&bytes) {
                prop_assert_eq!(manifest.encode(), bytes);
            }
        }
    }
}
