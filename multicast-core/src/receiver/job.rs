//! Work that the receiver leaves to its driver, because it takes long: hashing, rebuilding, storing.

use bytes::Bytes;

use crate::codec::{CodeShape, ErasureCodec};
use crate::layout::{BlockSource, BlockSpan, Geometry};
use crate::store::{Store, StoreError};
use crate::types::{BlockIndex, SymbolIndex};

/// Something to be done, in the order given out, by [`JobRunner::run`].
#[derive(Debug)]
pub enum Job {
    /// Hash a block whose symbols are all stored.
    Hash {
        /// The block.
        span: BlockSpan,
    },
    /// Rebuild a block from what is stored and from parity, store what was missing, and hash it.
    Rebuild {
        /// The block.
        span: BlockSpan,
        /// Which source symbols are stored.
        present: Vec<bool>,
        /// Parity symbols.
        parity: Vec<(SymbolIndex, Bytes)>,
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
    /// The block's bytes have this BLAKE3 hash.
    Hashed {
        /// The block.
        block: BlockIndex,
        /// Of its bytes, without the filling of the last symbol.
        hash: [u8; 32],
    },
    /// The block could not be rebuilt: its symbols do not fit together.
    Damaged {
        /// The block.
        block: BlockIndex,
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
            Job::Hash { span } => self.hash(&span, store),
            Job::Rebuild { span, present, parity } => self.rebuild(&span, &present, &parity, store),
            Job::KeepManifest { encoded } => {
                store.keep_manifest(&encoded).map_or_else(JobDone::Failed, |()| JobDone::Kept)
            }
            Job::Keep { span } => store.verified(&span).map_or_else(JobDone::Failed, |()| JobDone::Kept),
            Job::Finish => store.commit().map_or_else(JobDone::Failed, |()| JobDone::Finished),
        }
    }

    fn hash(&mut self, span: &BlockSpan, store: &dyn Store) -> JobDone {
        self.buffer.resize(span.len as usize, 0);
        match read(span, store, &mut self.buffer) {
            Ok(()) => JobDone::Hashed { block: span.block, hash: blake3::hash(&self.buffer).into() },
            Err(error) => JobDone::Failed(error),
        }
    }

    fn rebuild(
        &mut self,
        span: &BlockSpan,
        present: &[bool],
        parity: &[(SymbolIndex, Bytes)],
        store: &dyn Store,
    ) -> JobDone {
        let size = usize::from(self.geometry.symbol_size);
        let len = span.len as usize;
        self.buffer.resize(usize::from(span.symbols) * size, 0);
        // The filling of the last symbol; before it, what is missing may stay as it is.
        self.buffer[len..].fill(0);
        if let Err(error) = read(span, store, &mut self.buffer[..len]) {
            return JobDone::Failed(error);
        }
        if self.coder.decode(shape(&self.geometry, span), &mut self.buffer, present, parity).is_err() {
            return JobDone::Damaged { block: span.block };
        }
        let hash = blake3::hash(&self.buffer[..len]).into();
        let mut start = 0;
        for run in present.chunk_by(|a, b| a == b) {
            let end = (start + run.len() * size).min(len);
            if !run[0]
                && let Err(error) = write(span, store, start as u64, &self.buffer[start..end])
            {
                return JobDone::Failed(error);
            }
            start = end;
        }
        JobDone::Hashed { block: span.block, hash }
    }
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

fn read(span: &BlockSpan, store: &dyn Store, buffer: &mut [u8]) -> Result<(), StoreError> {
    store.read(file_of(span), span.offset, buffer)
}

fn write(span: &BlockSpan, store: &dyn Store, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
    store.write(file_of(span), span.offset + offset, &[std::io::IoSlice::new(bytes)])
}
