//! The bytes behind the sender's indices.

use std::collections::HashMap;
use std::sync::Arc;

use crate::codec::ErasureCodec;
use crate::layout::{BlockSource, BlockSpan, Layout};
use crate::manifest::{Hash, Manifest};
use crate::receiver::shape;
use crate::sender::SymbolRun;
use crate::types::{BlockIndex, Sequence, SessionId, SymbolIndex};
use crate::wire::Symbol;

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
        let block = self.block(&span, size);
        let mut out = Vec::with_capacity(usize::from(run.count) * (size + 16));
        for i in 0..run.count {
            let symbol = SymbolIndex(run.first.0 + i);
            let header =
                Symbol { session, block: run.block, symbol, sequence: sequence.plus(i.into()), payload: &[] }.header();
            out.extend(header);
            if symbol.0 < span.symbols {
                let start = symbol.index() * size;
                out.extend(&block[start..start + size]);
            } else {
                let start = (symbol.index() - usize::from(span.symbols)) * size;
                let shape = shape(self.layout.geometry(), &span);
                let parity = self.parity.entry(run.block).or_insert_with(|| {
                    let mut parity = vec![0; usize::from(shape.parity) * size];
                    self.coder.encode(shape, &block, &mut parity).expect("the layout was checked");
                    parity
                });
                out.extend(&parity[start..start + size]);
            }
        }
        out
    }

    /// A block's bytes, filled up to whole symbols.
    fn block(&self, span: &BlockSpan, size: usize) -> Vec<u8> {
        let bytes = match span.source {
            BlockSource::Manifest => &self.encoded,
            BlockSource::File(_) => self.image.as_ref(),
        };
        let start = span.offset as usize;
        let mut block = bytes[start..start + span.len as usize].to_vec();
        block.resize(usize::from(span.symbols) * size, 0);
        block
    }
}
