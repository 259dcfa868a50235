//! The bytes behind the sender's indices.

use std::collections::HashMap;
use std::sync::Arc;

use crate::codec::ErasureCodec;
use crate::layout::{BlockSource, BlockSpan, Layout};
use crate::manifest::{Hash, Manifest};
use crate::receiver::shape;
use crate::sender::SymbolRun;
use crate::types::{BlockIndex, Sequence, SessionId, SymbolIndex};
use crate::wire::{SYMBOL_HEADER_LEN, Symbol};

/// An image in memory with its manifest and all parity that was ever asked for.
pub(super) struct Source {
    pub(super) image: Arc<Vec<u8>>,
    pub(super) layout: Layout,
    pub(super) manifest: Manifest,
    encoded: Vec<u8>,
    coder: Box<dyn ErasureCodec>,
    parity: HashMap<BlockIndex, Vec<u8>>,
}

impl Source {
    pub(super) fn new(image: Vec<u8>, layout: Layout) -> Self {
        let hashes = (layout.manifest_blocks()..layout.blocks()).map(|block| {
            let span = layout.block(BlockIndex(block)).expect("below the number of blocks");
            let start = span.offset as usize;
            Hash::of(&image[start..start + span.len as usize])
        });
        let manifest = Manifest { layout: layout.clone(), hashes: hashes.collect() };
        let coder = layout.geometry().codec.coder();
        Self { image: Arc::new(image), encoded: manifest.encode(), manifest, layout, coder, parity: HashMap::new() }
    }

    /// The datagrams of `run`, one after the other.
    pub(super) fn datagrams(&mut self, session: SessionId, run: SymbolRun, sequence: Sequence) -> Vec<u8> {
        let span = self.layout.block(run.block).expect("the sender knows the layout");
        let size = usize::from(self.layout.geometry().symbol_size);
        let mut out = Vec::with_capacity(usize::from(run.count) * (SYMBOL_HEADER_LEN + size));
        for i in 0..run.count {
            let symbol = SymbolIndex(run.first.0 + i);
            let header =
                Symbol { session, block: run.block, symbol, sequence: sequence.plus(i.into()), payload: &[] }.header();
            out.extend(header);
            if symbol.0 < span.symbols {
                let bytes = self.bytes(&span);
                let start = symbol.index() * size;
                out.extend(&bytes[start..(start + size).min(bytes.len())]);
                out.resize(out.len() + (start + size).saturating_sub(bytes.len()), 0);
            } else {
                let start = (symbol.index() - usize::from(span.symbols)) * size;
                out.extend(&self.parity(&span, size)[start..start + size]);
            }
        }
        out
    }

    fn bytes(&self, span: &BlockSpan) -> &[u8] {
        let bytes = match span.source {
            BlockSource::Manifest => &self.encoded,
            BlockSource::File(_) => self.image.as_ref(),
        };
        let start = span.offset as usize;
        &bytes[start..start + span.len as usize]
    }

    /// All parity symbols of a block.
    fn parity(&mut self, span: &BlockSpan, size: usize) -> &[u8] {
        if !self.parity.contains_key(&span.block) {
            let shape = shape(self.layout.geometry(), span);
            let mut block = self.bytes(span).to_vec();
            block.resize(usize::from(span.symbols) * size, 0);
            let mut parity = vec![0; usize::from(shape.parity) * size];
            self.coder.encode(shape, &block, &mut parity).expect("the layout was checked");
            self.parity.insert(span.block, parity);
        }
        &self.parity[&span.block]
    }
}
