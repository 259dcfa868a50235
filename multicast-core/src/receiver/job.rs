//! Work that the receiver leaves to its driver, because it takes long: hashing, rebuilding, storing.

use std::io::IoSlice;

use bytes::Bytes;

use super::blocks::Strays;
use crate::codec::{CodeShape, CodecError, ErasureCodec};
use crate::layout::{BlockSource, BlockSpan, Geometry};
use crate::manifest::HASH_PIECE;
use crate::store::{Store, StoreError};
use crate::types::BlockIndex;

/// Something to be done, in the order given out, by [`JobRunner::run`].
#[derive(Debug)]
pub enum Job {
    /// Rebuild what is missing of a block whose `k` symbols are here, hash it, and store it.
    Check {
        /// The block.
        span: BlockSpan,
        /// What is not in its own slot.
        strays: Strays,
        /// The block's slots; without it they are in the store.
        staged: Option<Vec<u8>>,
    },
    /// The manifest is the one that was offered: tell the store, before any block of it.
    KeepManifest {
        /// As it came.
        encoded: Vec<u8>,
    },
    /// The block matched its hash: tell the store.
    Keep {
        /// The block.
        span: BlockSpan,
    },
    /// Everything is verified: the store is to make it durable and final.
    Finish,
}

/// What came of a job, for [`handle_job`](super::Receiver::handle_job).
#[derive(Debug)]
pub enum JobDone {
    /// The block is stored.
    Checked {
        /// The block.
        block: BlockIndex,
        /// BLAKE3 of its bytes, without the filling of the last symbol; none if it could not be
        /// rebuilt, as its symbols do not fit together.
        hash: Option<[u8; 32]>,
        /// The buffer that came with the job.
        staged: Option<Vec<u8>>,
    },
    /// The store knows.
    Kept,
    /// Everything is durable.
    Finished,
    /// The store failed.
    Failed(StoreError),
}

/// Does jobs; keeps the coder and a block's buffer between them.
pub struct JobRunner {
    geometry: Geometry,
    coder: Box<dyn ErasureCodec>,
    buffer: Vec<u8>,
}

impl JobRunner {
    /// For blocks of `geometry`.
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, coder: geometry.codec.coder(), buffer: Vec::new() }
    }

    /// Does one job.
    pub fn run(&mut self, job: Job, store: &dyn Store) -> JobDone {
        match job {
            Job::Check { span, strays, staged } => {
                self.check(&span, strays, staged, store).unwrap_or_else(JobDone::Failed)
            }
            Job::KeepManifest { encoded } => {
                store.keep_manifest(&encoded).map_or_else(JobDone::Failed, |()| JobDone::Kept)
            }
            Job::Keep { span } => store.verified(&span).map_or_else(JobDone::Failed, |()| JobDone::Kept),
            Job::Finish => store.commit().map_or_else(JobDone::Failed, |()| JobDone::Finished),
        }
    }

    fn check(
        &mut self,
        span: &BlockSpan,
        strays: Strays,
        mut staged: Option<Vec<u8>>,
        store: &dyn Store,
    ) -> Result<JobDone, StoreError> {
        let (block, len) = (span.block, span.len as usize);
        let coded = usize::from(span.symbols) * usize::from(self.geometry.symbol_size);
        let in_store = staged.is_none();
        let bytes = match &mut staged {
            Some(bytes) => bytes,
            None => {
                self.buffer.resize(coded, 0);
                // What the last symbol is filled up with.
                self.buffer[len..].fill(0);
                store.read(file_of(span), span.offset, &mut self.buffer[..len])?;
                &mut self.buffer
            }
        };
        let bytes = &mut bytes[..coded];
        let mut rebuilt = Vec::new();
        if !strays.moved.is_empty() {
            rebuilt.resize(usize::from(span.symbols), false);
            strays.moved.iter().for_each(|&(slot, _)| rebuilt[usize::from(slot)] = true);
            if rebuild(self.coder.as_mut(), &self.geometry, span, bytes, strays).is_err() {
                return Ok(JobDone::Checked { block, hash: None, staged });
            }
        }
        let bytes = &bytes[..len];
        let hash = if in_store {
            let hash = blake3::hash(bytes);
            write_slots(span, self.geometry.symbol_size, &rebuilt, bytes, store)?;
            hash
        } else {
            hash_and_write(span, bytes, store)?
        };
        Ok(JobDone::Checked { block, hash: Some(hash.into()), staged })
    }
}

/// Hashes and writes piece by piece: the second one to look at a piece finds it in the core's own cache.
fn hash_and_write(span: &BlockSpan, bytes: &[u8], store: &dyn Store) -> Result<blake3::Hash, StoreError> {
    let mut hasher = blake3::Hasher::new();
    let mut offset = span.offset;
    for piece in bytes.chunks(HASH_PIECE) {
        hasher.update(piece);
        store.write(file_of(span), offset, &[IoSlice::new(piece)])?;
        offset += piece.len() as u64;
    }
    Ok(hasher.finalize())
}

/// Puts every source symbol of a block into its own slot of `slots`, after rebuilding what is missing.
pub(super) fn rebuild(
    coder: &mut dyn ErasureCodec,
    geometry: &Geometry,
    span: &BlockSpan,
    slots: &mut [u8],
    strays: Strays,
) -> Result<(), CodecError> {
    let size = usize::from(geometry.symbol_size);
    let mut present = vec![true; span.symbols.into()];
    let mut moved = Vec::with_capacity(strays.moved.len() * size);
    for &(slot, _) in &strays.moved {
        present[usize::from(slot)] = false;
        match &strays.last {
            Some(last) if slot + 1 == span.symbols => moved.extend_from_slice(last),
            _ => moved.extend_from_slice(&slots[usize::from(slot) * size..][..size]),
        }
    }
    let moved = Bytes::from(moved);
    let mut parity = Vec::with_capacity(strays.moved.len());
    for (i, &(_, symbol)) in strays.moved.iter().enumerate() {
        let bytes = moved.slice(i * size..(i + 1) * size);
        if symbol.0 < span.symbols {
            present[symbol.index()] = true;
            slots[symbol.index() * size..][..size].copy_from_slice(&bytes);
        } else {
            parity.push((symbol, bytes));
        }
    }
    coder.decode(shape(geometry, span), slots, &present, &parity)
}

/// Writes those slots of a block's `bytes` for which `which` is true, neighbours by one call.
pub(super) fn write_slots(
    span: &BlockSpan,
    symbol_size: u16,
    which: &[bool],
    bytes: &[u8],
    store: &dyn Store,
) -> Result<(), StoreError> {
    let size = usize::from(symbol_size);
    let mut first = 0;
    for run in which.chunk_by(|a, b| a == b) {
        let end = first + run.len();
        if run[0] {
            let range = first * size..(end * size).min(span.len as usize);
            store.write(file_of(span), span.offset + range.start as u64, &[IoSlice::new(&bytes[range])])?;
        }
        first = end;
    }
    Ok(())
}

/// The shape of `span`'s code.
pub(crate) fn shape(geometry: &Geometry, span: &BlockSpan) -> CodeShape {
    CodeShape { source: span.symbols, parity: geometry.parity_symbols, symbol_size: geometry.symbol_size }
}

/// The file that an image block belongs to; jobs never name a block of the manifest.
fn file_of(span: &BlockSpan) -> usize {
    match span.source {
        BlockSource::File(file) => file,
        BlockSource::Manifest => unreachable!("the receiver keeps the manifest itself"),
    }
}
