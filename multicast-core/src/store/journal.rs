//! What a client keeps beside an unfinished image, so that the next run continues it.
//!
//! A header, made whole by a rename, and behind it a record a verified block. `kill -9` at any
//! moment leaves it readable. A journal only *claims*: each claimed block is hashed again before it
//! counts, so one that lies costs time and nothing else.
//!
//! | offset | width | field                                                      |
//! |-------:|------:|------------------------------------------------------------|
//! |      0 |     8 | `MCASTJNL`                                                 |
//! |      8 |     4 | version, 1                                                 |
//! |     12 |     8 | client id                                                  |
//! |     20 |     4 | bytes `n` of the manifest, 0 if it is not known yet        |
//! |     24 |     n | the encoded manifest                                       |
//! | 24 + n |    32 | BLAKE3 of all before                                       |
//! | 56 + n |   8 … | records: block, and the first 4 bytes of its BLAKE3 keyed by the header's hash |
//!
//! Integers are little-endian.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{StoreError, sys};
use crate::bitmap::Bitmap;
use crate::types::{BlockIndex, ClientId};

const MAGIC: [u8; 8] = *b"MCASTJNL";
const VERSION: u32 = 1;
/// Bytes before the manifest.
const FIXED: usize = 24;
const HASH: usize = blake3::OUT_LEN;
const RECORD: usize = 8;

/// An open journal. The lock on the output's temporary file, taken before, keeps others away.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// Where the next record goes.
    end: u64,
    hash: blake3::Hash,
    state: JournalState,
}

/// What a journal says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalState {
    /// The client that it belongs to.
    pub client: ClientId,
    /// The encoded manifest, once it is known.
    pub manifest: Option<Vec<u8>>,
    /// The blocks that it claims.
    pub blocks: BTreeSet<BlockIndex>,
}

/// What stood where a journal should.
#[derive(Debug)]
pub enum Found {
    /// No file.
    Absent,
    /// A file without a valid header, which counts as none.
    Damaged(JournalDamage),
    /// A journal, perhaps with a torn end.
    Journal(Journal),
}

/// Why a file is no journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalDamage {
    /// It ends within the header.
    #[error("the journal has {found} bytes, its header needs {need}")]
    Truncated {
        /// Bytes of the header.
        need: u64,
        /// Bytes there are.
        found: u64,
    },
    /// It begins otherwise.
    #[error("the journal does not begin as one")]
    Magic,
    /// A version of another program.
    #[error("the journal has version {found}, this program knows {VERSION}")]
    Version {
        /// The version.
        found: u32,
    },
    /// The header is not the one that was written.
    #[error("the hash of the journal's header does not match")]
    Hash,
}

impl Journal {
    /// Opens the journal at `path` to continue it.
    pub fn open(path: &Path) -> Result<Found, StoreError> {
        let error = |source| StoreError::Journal { path: path.to_owned(), action: "read", source };
        let file = match sys::open_part(path, false) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(e) => return Err(error(e)),
        };
        let bytes = read_all(&file).map_err(error)?;
        let (state, hash, end) = match parse(&bytes) {
            Ok(parsed) => parsed,
            Err(damage) => return Ok(Found::Damaged(damage)),
        };
        let inner = Mutex::new(Inner { file, end: end as u64, hash, state });
        Ok(Found::Journal(Self { path: path.to_owned(), inner }))
    }

    /// Begins a journal at `path` in place of what is there.
    pub fn create(path: &Path, client: ClientId) -> Result<Self, StoreError> {
        let state = JournalState { client, ..JournalState::default() };
        let inner = begin(path, state).map_err(|source| write_error(path, source))?;
        Ok(Self { path: path.to_owned(), inner: Mutex::new(inner) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says now.
    pub fn state(&self) -> JournalState {
        self.lock().state.clone()
    }

    /// Keeps the encoded manifest. Another one than before makes all claims void.
    pub fn set_manifest(&self, manifest: &[u8]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.state.manifest.as_deref() == Some(manifest) {
            return Ok(());
        }
        let state =
            JournalState { client: inner.state.client, manifest: Some(manifest.to_vec()), blocks: BTreeSet::new() };
        *inner = begin(&self.path, state).map_err(|source| write_error(&self.path, source))?;
        Ok(())
    }

    /// Takes the disk space for `records` more records, where the filesystem can: an image that
    /// fills the disk to the last byte then still has its journal.
    pub fn reserve(&self, records: u32) {
        let inner = self.lock();
        let _ = sys::reserve_behind(&inner.file, inner.end, u64::from(records) * RECORD as u64);
    }

    /// Claims `block`; once is enough.
    pub fn record(&self, block: BlockIndex) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.state.blocks.contains(&block) {
            return Ok(());
        }
        // At a kept place, not at the file's end: a write cut short is overwritten by the next one.
        let written = inner.file.write_all_at(&record(&inner.hash, block), inner.end);
        written.map_err(|source| write_error(&self.path, source))?;
        inner.end += RECORD as u64;
        inner.state.blocks.insert(block);
        Ok(())
    }

    /// Removes it: the image is complete, or given up.
    pub fn remove(&self) -> Result<(), StoreError> {
        remove(&self.path)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JournalState {
    /// The claims as a bitmap over `blocks` blocks; claims beyond are dropped.
    pub fn claimed(&self, blocks: u32) -> Bitmap {
        let mut claimed = Bitmap::new(blocks as usize);
        for block in self.blocks.range(..BlockIndex(blocks)) {
            claimed.set(block.index());
        }
        claimed
    }
}

/// Removes the journal at `path`, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn write_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Journal { path: path.to_owned(), action: "write", source }
}

fn read_all(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok(bytes)
}

/// Writes a header without records under another name, then gives it its own.
fn begin(path: &Path, state: JournalState) -> io::Result<Inner> {
    let (header, hash) = header(&state)?;
    let mut new = OsString::from(path);
    new.push(".new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = sys::open_part(Path::new(&new), true)?;
    file.write_all(&header).and_then(|()| file.sync_data()).and_then(|()| fs::rename(&new, path)).inspect_err(
        |_| {
            let _ = fs::remove_file(&new);
        },
    )?;
    Ok(Inner { file, end: header.len() as u64, hash, state })
}

fn header(state: &JournalState) -> io::Result<(Vec<u8>, blake3::Hash)> {
    let manifest = state.manifest.as_deref().unwrap_or_default();
    let len = u32::try_from(manifest.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut header = Vec::with_capacity(FIXED + manifest.len() + HASH);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&state.client.0.to_le_bytes());
    header.extend_from_slice(&len.to_le_bytes());
    header.extend_from_slice(manifest);
    let hash = blake3::hash(&header);
    header.extend_from_slice(hash.as_bytes());
    Ok((header, hash))
}

fn record(hash: &blake3::Hash, block: BlockIndex) -> [u8; RECORD] {
    let block = block.0.to_le_bytes();
    let check = blake3::keyed_hash(hash.as_bytes(), &block);
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&block);
    record[4..].copy_from_slice(&check.as_bytes()[..4]);
    record
}

/// The state, the header's hash, and where the next record goes.
fn parse(bytes: &[u8]) -> Result<(JournalState, blake3::Hash, usize), JournalDamage> {
    let truncated = |need: u64| JournalDamage::Truncated { need, found: bytes.len() as u64 };
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(truncated(FIXED as u64))?;
    if *magic != MAGIC {
        return Err(JournalDamage::Magic);
    }
    let (version, rest) = rest.split_first_chunk().ok_or(truncated(FIXED as u64))?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(JournalDamage::Version { found: version });
    }
    let (client, rest) = rest.split_first_chunk().ok_or(truncated(FIXED as u64))?;
    let (len, rest) = rest.split_first_chunk().ok_or(truncated(FIXED as u64))?;
    let len = u32::from_le_bytes(*len);
    let short = truncated(u64::from(len) + (FIXED + HASH) as u64);
    let (manifest, rest) = rest.split_at_checked(len as usize).ok_or(short.clone())?;
    let (stored, records) = rest.split_first_chunk::<HASH>().ok_or(short)?;
    let hash = blake3::hash(&bytes[..FIXED + manifest.len()]);
    if hash != *stored {
        return Err(JournalDamage::Hash);
    }
    let mut blocks = BTreeSet::new();
    let mut used = 0;
    // A power cut may leave zeros in the middle: each record stands for itself.
    for (index, bytes) in records.chunks_exact(RECORD).enumerate() {
        let block = BlockIndex(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        if record(&hash, block) == *bytes {
            blocks.insert(block);
            used = (index + 1) * RECORD;
        }
    }
    let client = ClientId(u64::from_le_bytes(*client));
    let manifest = (!manifest.is_empty()).then(|| manifest.to_vec());
    Ok((JournalState { client, manifest, blocks }, hash, bytes.len() - records.len() + used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLIENT: ClientId = ClientId(0xfeed_face_cafe_beef);

    fn opened(path: &Path) -> Journal {
        match Journal::open(path).unwrap() {
            Found::Journal(journal) => journal,
            other => panic!("{other:?}"),
        }
    }

    fn blocks(journal: &Journal) -> Vec<u32> {
        journal.state().blocks.iter().map(|block| block.0).collect()
    }

    #[test]
    fn it_tells_the_next_run_who_the_client_is_and_what_was_verified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        assert!(matches!(Journal::open(&path).unwrap(), Found::Absent));
        let journal = Journal::create(&path, CLIENT).unwrap();
        journal.set_manifest(b"manifest").unwrap();
        for block in [7, 3, 7, 900] {
            journal.record(BlockIndex(block)).unwrap();
        }
        drop(journal);
        let journal = opened(&path);
        let state = journal.state();
        assert_eq!((state.client, state.manifest.as_deref()), (CLIENT, Some(&b"manifest"[..])));
        assert_eq!(state.claimed(10).iter_ones().collect::<Vec<_>>(), [3, 7]);
        journal.remove().unwrap();
        assert!(matches!(Journal::open(&path).unwrap(), Found::Absent));
    }

    #[test]
    fn another_manifest_voids_the_claims_and_the_same_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let journal = Journal::create(&path, CLIENT).unwrap();
        journal.set_manifest(b"one").unwrap();
        journal.record(BlockIndex(1)).unwrap();
        journal.set_manifest(b"one").unwrap();
        assert_eq!(blocks(&opened(&path)), [1]);
        journal.set_manifest(b"two").unwrap();
        journal.record(BlockIndex(2)).unwrap();
        let state = opened(&path).state();
        assert_eq!((state.client, state.manifest), (CLIENT, Some(b"two".to_vec())));
        assert_eq!(blocks(&journal), [2]);
    }

    #[test]
    fn cut_at_any_byte_it_still_opens_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let journal = Journal::create(&path, CLIENT).unwrap();
        journal.set_manifest(b"manifest").unwrap();
        (0..5).for_each(|block| journal.record(BlockIndex(block)).unwrap());
        let whole = fs::read(&path).unwrap();
        let header = FIXED + b"manifest".len() + HASH;
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            match Journal::open(&path).unwrap() {
                Found::Journal(journal) => {
                    let whole_records = (cut - header) / RECORD;
                    assert_eq!(blocks(&journal), (0..whole_records as u32).collect::<Vec<_>>());
                    journal.record(BlockIndex(100)).unwrap();
                    assert_eq!(blocks(&opened(&path)).last(), Some(&100), "cut at {cut}");
                }
                Found::Damaged(damage) => {
                    assert!(cut < header);
                    assert!(matches!(damage, JournalDamage::Truncated { found, .. } if found == cut as u64));
                }
                Found::Absent => panic!("there is a file"),
            }
        }
    }

    #[test]
    fn a_record_of_another_journal_is_no_claim() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        Journal::create(&path, CLIENT).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(record(&blake3::hash(b"another header"), BlockIndex(1)));
        bytes.extend([0; RECORD]);
        let hash = parse(&bytes).unwrap().1;
        bytes.extend(record(&hash, BlockIndex(2)));
        fs::write(&path, bytes).unwrap();
        assert_eq!(blocks(&opened(&path)), [2]);
    }

    #[test]
    fn one_of_another_version_or_with_a_flipped_bit_is_damaged() {
        let header = header(&JournalState::default()).unwrap().0;
        let flip = |index: usize| {
            let mut bytes = header.clone();
            bytes[index] ^= 1;
            parse(&bytes).unwrap_err()
        };
        assert_eq!(flip(0), JournalDamage::Magic);
        assert_eq!(flip(8), JournalDamage::Version { found: 0 });
        assert_eq!(flip(12), JournalDamage::Hash);
        assert_eq!(flip(20), JournalDamage::Truncated { need: 57, found: 56 });
        assert_eq!(flip(header.len() - 1), JournalDamage::Hash);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), genuine in any::<bool>()) {
            let mut file = if genuine { header(&JournalState::default()).unwrap().0 } else { Vec::new() };
            file.extend(bytes);
            let _ = parse(&file);
        }
    }
}
