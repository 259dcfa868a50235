//! The image that is being received: symbols in, jobs out, deficits told.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::Resume;
use super::blocks::{BlockTable, Place, Spilled};
use super::deficits::{BlockSizes, Deficits, tell};
use super::event::{ReceiverCounters, ReceiverError, ReceiverEvent};
use super::job::{Job, JobDone, rebuild, write_slots};
use crate::codec::ErasureCodec;
use crate::layout::{BlockSource, BlockSpan, Layout};
use crate::manifest::Manifest;
use crate::store::{Store, StoreError};
use crate::types::BlockIndex;
use crate::wire::Symbol;

/// Segments of one receive buffer at most, so that a run of symbols is written by one call.
const GATHER: usize = 64;

/// All that a receiver knows of the image.
pub(super) struct ImageState {
    pub(super) layout: Layout,
    pub(super) root: [u8; 32],
    blocks: BlockTable,
    manifest: Option<Manifest>,
    /// The manifest's bytes, filled up to whole symbols.
    encoded: Vec<u8>,
    coder: Box<dyn ErasureCodec>,
    pub(super) verified_bytes: u64,
    /// The span of the last symbol: symbols of one block come together.
    last_span: Option<BlockSpan>,
    sizes: BlockSizes,
    /// Where the next report goes on.
    cursor: u32,
}

/// Symbols for neighbouring slots of one block that wait to be written together.
struct Gather<'a> {
    span: BlockSpan,
    first: u16,
    slices: Vec<IoSlice<'a>>,
}

impl ImageState {
    pub(super) fn new(layout: Layout, root: [u8; 32], staging: usize) -> Self {
        let symbol = u64::from(layout.geometry().symbol_size);
        let encoded = vec![0; (layout.manifest_len().div_ceil(symbol) * symbol) as usize];
        Self {
            blocks: BlockTable::new(layout.blocks(), *layout.geometry(), staging),
            manifest: None,
            encoded,
            coder: layout.geometry().codec.coder(),
            verified_bytes: 0,
            last_span: None,
            sizes: BlockSizes::new(&layout),
            cursor: 0,
            layout,
            root,
        }
    }

    /// Takes the manifest and the verified blocks that an earlier run left.
    pub(super) fn resume(&mut self, manifest: Manifest, held: impl Iterator<Item = BlockIndex>) {
        for block in (0..self.layout.manifest_blocks()).map(BlockIndex) {
            self.blocks.set_held(block);
        }
        for block in held {
            if let Some(span) = self.layout.block(block).filter(|span| span.source != BlockSource::Manifest) {
                self.blocks.set_held(block);
                self.verified_bytes += u64::from(span.len);
            }
        }
        self.manifest = Some(manifest);
    }

    /// The manifest and the verified blocks, if there is a manifest.
    pub(super) fn into_resume(self) -> Option<Resume> {
        let image = (self.layout.manifest_blocks()..self.layout.blocks()).map(BlockIndex);
        let held = image.filter(|block| self.blocks.is_held(*block)).collect();
        Some(Resume { manifest: self.manifest?, held })
    }

    pub(super) fn verified(&self) -> u32 {
        self.blocks.held()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.blocks.is_full()
    }

    pub(super) fn waits_for_jobs(&self) -> bool {
        self.blocks.waits_for_jobs()
    }

    /// Takes symbols in the order in which they came and writes what is new to the store.
    pub(super) fn take<'a>(
        &mut self,
        symbols: impl Iterator<Item = Symbol<'a>>,
        store: &dyn Store,
        jobs: &mut VecDeque<Job>,
        counters: &mut ReceiverCounters,
        events: &mut VecDeque<ReceiverEvent>,
    ) -> Result<(), ReceiverError> {
        let window = store.window();
        let mut gather: Option<Gather<'a>> = None;
        for symbol in symbols {
            let Some(span) = self.span_of(&symbol) else {
                counters.malformed += 1;
                continue;
            };
            if span.source == BlockSource::Manifest {
                self.take_manifest(&span, &symbol, counters, events, jobs)?;
                continue;
            }
            if !window.contains(&symbol.block) {
                counters.beyond_window += 1;
                continue;
            }
            if let Some(spilled) = self.blocks.begin(&span) {
                self.write(gather.take(), store)?;
                self.spill(spilled, &span, store)?;
            }
            let Some(taken) = self.blocks.take(&span, symbol.symbol, symbol.payload) else {
                counters.useless_symbols += 1;
                continue;
            };
            let ready = taken.ready;
            match taken.place {
                Place::Staged(slot) => slot.copy_from_slice(symbol.payload),
                Place::Store(slot) => self.gather(&mut gather, &span, slot, symbol.payload, store)?,
                Place::Kept => {}
            }
            if ready {
                self.write(gather.take(), store)?;
                jobs.extend(self.check(&span, counters));
            }
        }
        Ok(self.write(gather, store)?)
    }

    /// Takes what came of a job.
    pub(super) fn handle_job(
        &mut self,
        done: JobDone,
        jobs: &mut VecDeque<Job>,
        counters: &mut ReceiverCounters,
        events: &mut VecDeque<ReceiverEvent>,
    ) {
        match done {
            JobDone::Checked { block, hash, staged } => {
                if let Some(buffer) = staged {
                    self.blocks.recycle(buffer);
                }
                match (hash, &self.manifest) {
                    (None, _) => self.damaged(block, counters, events),
                    (Some(hash), Some(_)) => self.compare(block, hash, jobs, counters, events),
                    (Some(hash), None) => self.blocks.set_hashed(block, hash),
                }
            }
            JobDone::Kept | JobDone::Finished | JobDone::Failed(_) => {}
        }
    }

    /// What is lacking, from where the last report ended, in at most `limit` bytes.
    pub(super) fn report(&mut self, window_end: u32, limit: usize) -> (BlockIndex, BlockIndex, Vec<u8>) {
        let end = self.blocks.len().min(window_end.max(self.layout.manifest_blocks()));
        tell(&self.blocks, &self.sizes, &mut self.cursor, end, limit)
    }

    fn span_of(&mut self, symbol: &Symbol<'_>) -> Option<BlockSpan> {
        let span = match self.last_span {
            Some(span) if span.block == symbol.block => span,
            _ => self.layout.block(symbol.block)?,
        };
        self.last_span = Some(span);
        let geometry = self.layout.geometry();
        let known = usize::from(span.symbols) + usize::from(geometry.parity_symbols);
        (symbol.symbol.index() < known && symbol.payload.len() == usize::from(geometry.symbol_size)).then_some(span)
    }

    fn write(&self, gather: Option<Gather<'_>>, store: &dyn Store) -> Result<(), StoreError> {
        let Some(gather) = gather else { return Ok(()) };
        let BlockSource::File(file) = gather.span.source else { return Ok(()) };
        let within = u64::from(gather.first) * u64::from(self.layout.geometry().symbol_size);
        store.write(file, gather.span.offset + within, &gather.slices)
    }

    /// Adds a symbol to those that are written together, after writing these if it is not the next one.
    fn gather<'a>(
        &self,
        gather: &mut Option<Gather<'a>>,
        span: &BlockSpan,
        slot: u16,
        payload: &'a [u8],
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let fits = gather.as_ref().is_some_and(|g| {
            g.span.block == span.block
                && usize::from(g.first) + g.slices.len() == usize::from(slot)
                && g.slices.len() < GATHER
        });
        if !fits {
            self.write(gather.take(), store)?;
        }
        // The last one of a file is filled up.
        let len = payload.len().min(span.len as usize - usize::from(slot) * payload.len());
        gather
            .get_or_insert_with(|| Gather { span: *span, first: slot, slices: Vec::with_capacity(GATHER) })
            .slices
            .push(IoSlice::new(&payload[..len]));
        Ok(())
    }

    /// Writes what is here of a block whose buffer `next` is to have.
    fn spill(&mut self, spilled: Spilled, next: &BlockSpan, store: &dyn Store) -> Result<(), StoreError> {
        if let Some(span) = self.layout.block(spilled.block) {
            write_slots(&span, self.layout.geometry().symbol_size, &spilled.slots, &spilled.bytes, store)?;
        }
        self.blocks.stage(next.block, spilled.bytes);
        Ok(())
    }

    fn check(&mut self, span: &BlockSpan, counters: &mut ReceiverCounters) -> Option<Job> {
        let (strays, staged) = self.blocks.check(span.block)?;
        counters.decoded_blocks += u64::from(!strays.moved.is_empty());
        Some(Job::Check { span: *span, strays, staged })
    }

    fn compare(
        &mut self,
        block: BlockIndex,
        hash: [u8; 32],
        jobs: &mut VecDeque<Job>,
        counters: &mut ReceiverCounters,
        events: &mut VecDeque<ReceiverEvent>,
    ) {
        let expected = self.manifest.as_ref().and_then(|manifest| manifest.hash_of(block));
        let Some(span) = self.layout.block(block).filter(|_| expected.is_some_and(|e| e.0 == hash)) else {
            return self.damaged(block, counters, events);
        };
        self.blocks.set_held(block);
        self.verified_bytes += u64::from(span.len);
        jobs.push_back(Job::Keep { span });
    }

    fn damaged(&mut self, block: BlockIndex, counters: &mut ReceiverCounters, events: &mut VecDeque<ReceiverEvent>) {
        counters.damaged_blocks += 1;
        self.blocks.reset(block);
        events.push_back(ReceiverEvent::BlockDamaged { block });
    }

    fn take_manifest(
        &mut self,
        span: &BlockSpan,
        symbol: &Symbol<'_>,
        counters: &mut ReceiverCounters,
        events: &mut VecDeque<ReceiverEvent>,
        jobs: &mut VecDeque<Job>,
    ) -> Result<(), ReceiverError> {
        let size = symbol.payload.len();
        let start = span.offset as usize;
        // It has no buffer and spills none.
        let _ = self.blocks.begin(span);
        let Some(taken) = self.blocks.take(span, symbol.symbol, symbol.payload) else {
            counters.useless_symbols += 1;
            return Ok(());
        };
        let ready = taken.ready;
        if let Place::Store(slot) = taken.place {
            let at = start + usize::from(slot) * size;
            self.encoded[at..at + size].copy_from_slice(symbol.payload);
        }
        if !ready {
            return Ok(());
        }
        let Some((strays, _)) = self.blocks.check(span.block) else { return Ok(()) };
        if !strays.moved.is_empty() {
            let block = &mut self.encoded[start..start + usize::from(span.symbols) * size];
            if rebuild(self.coder.as_mut(), self.layout.geometry(), span, block, strays).is_err() {
                self.damaged(span.block, counters, events);
                return Ok(());
            }
            counters.decoded_blocks += 1;
        }
        self.blocks.set_held(span.block);
        self.check_manifest(jobs, counters, events)
    }

    /// If all blocks of the manifest are here: it must be the one that the offer promised.
    fn check_manifest(
        &mut self,
        jobs: &mut VecDeque<Job>,
        counters: &mut ReceiverCounters,
        events: &mut VecDeque<ReceiverEvent>,
    ) -> Result<(), ReceiverError> {
        let blocks = self.layout.manifest_blocks();
        if self.blocks.low() < blocks {
            return Ok(());
        }
        let encoded = &self.encoded[..self.layout.manifest_len() as usize];
        if *blake3::hash(encoded).as_bytes() != self.root {
            for block in (0..blocks).map(BlockIndex) {
                self.damaged(block, counters, events);
            }
            return Ok(());
        }
        let manifest = Manifest::decode(encoded)?;
        // From here on only the decoded one is needed.
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.truncate(self.layout.manifest_len() as usize);
        if manifest.layout != self.layout {
            return Err(ReceiverError::ManifestMismatch);
        }
        self.manifest = Some(manifest);
        events.push_back(ReceiverEvent::ManifestVerified);
        jobs.push_back(Job::KeepManifest { encoded });
        for (block, hash) in self.blocks.hashed() {
            self.compare(block, hash, jobs, counters, events);
        }
        Ok(())
    }
}
