//! From indices to bytes: headers and slices of the mapped image go to the socket by one call.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::net::SocketAddr;

use super::error::SessionError;
use crate::codec::ErasureCodec;
use crate::image::Delivery;
use crate::layout::{BlockSource, BlockSpan, Layout};
use crate::manifest::Manifest;
use crate::net::MulticastSender;
use crate::receiver::shape;
use crate::sender::SymbolRun;
use crate::types::{BlockIndex, Sequence, SessionId, SymbolIndex};
use crate::wire::{SYMBOL_HEADER_LEN, Symbol};

/// Parity kept for the blocks that were repaired last: repair comes in several small rounds.
const PARITY_KEPT: usize = 32 << 20;

/// Puts symbols together from the image, the manifest and parity.
pub(super) struct Gather {
    delivery: Delivery,
    layout: Layout,
    /// The encoded manifest, filled up to whole symbols.
    manifest: Vec<u8>,
    coder: Box<dyn ErasureCodec>,
    parity: HashMap<BlockIndex, Vec<u8>>,
    parity_order: VecDeque<BlockIndex>,
    /// A block's bytes while it is coded.
    block: Vec<u8>,
    /// Zeros that fill up a file's last symbol.
    filling: Vec<u8>,
    headers: Vec<[u8; SYMBOL_HEADER_LEN]>,
}

impl Gather {
    pub(super) fn new(delivery: Delivery, manifest: &Manifest) -> Self {
        let layout = manifest.layout.clone();
        let size = usize::from(layout.geometry().symbol_size);
        let mut encoded = manifest.encode();
        encoded.resize(encoded.len().next_multiple_of(size), 0);
        Self {
            delivery,
            coder: layout.geometry().codec.coder(),
            manifest: encoded,
            parity: HashMap::new(),
            parity_order: VecDeque::new(),
            block: Vec::new(),
            filling: vec![0; size],
            headers: Vec::new(),
            layout,
        }
    }

    /// Where the bytes of the image come from.
    pub(super) fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Sends `run` to `to`, a datagram a symbol.
    pub(super) fn send(
        &mut self,
        socket: &mut MulticastSender,
        session: SessionId,
        run: SymbolRun,
        sequence: Sequence,
        to: SocketAddr,
    ) -> Result<(), SessionError> {
        let Some(span) = self.layout.block(run.block) else { return Ok(()) };
        let size = usize::from(self.layout.geometry().symbol_size);
        self.headers.clear();
        for i in 0..run.count {
            let symbol = SymbolIndex(run.first.0 + i);
            let sequence = sequence.plus(i.into());
            self.headers.push(Symbol { session, block: run.block, symbol, sequence, payload: &[] }.header());
        }
        if run.first.0 >= span.symbols {
            self.make_parity(&span)?;
        }
        let mut slices = Vec::with_capacity(2 * usize::from(run.count) + 1);
        for (i, header) in self.headers.iter().enumerate() {
            slices.push(IoSlice::new(header));
            self.push_payload(&span, run.first.index() + i, size, &mut slices);
        }
        socket.send_batch(&slices, SYMBOL_HEADER_LEN + size, run.count.into(), to)?;
        Ok(())
    }

    fn push_payload<'a>(&'a self, span: &BlockSpan, symbol: usize, size: usize, slices: &mut Vec<IoSlice<'a>>) {
        let k = usize::from(span.symbols);
        if symbol >= k {
            let start = (symbol - k) * size;
            slices.push(IoSlice::new(&self.parity[&span.block][start..start + size]));
            return;
        }
        let within = symbol * size;
        match span.source {
            BlockSource::Manifest => {
                let start = span.offset as usize + within;
                slices.push(IoSlice::new(&self.manifest[start..start + size]));
            }
            BlockSource::File(file) => {
                let len = size.min(span.len as usize - within);
                match self.delivery.mapped(file, span.offset + within as u64, len) {
                    Some(range) => slices.push(range.io_slice()),
                    // The layout was made from the mapped sizes, so this is only for the type.
                    None => slices.push(IoSlice::new(&self.filling[..len])),
                }
                if len < size {
                    slices.push(IoSlice::new(&self.filling[len..]));
                }
            }
        }
    }

    /// Codes the block unless its parity is still here. The bytes are read, not taken from the
    /// mapping: a file that was truncated is an error then, not a signal.
    fn make_parity(&mut self, span: &BlockSpan) -> Result<(), SessionError> {
        if self.parity.contains_key(&span.block) {
            return Ok(());
        }
        let size = usize::from(self.layout.geometry().symbol_size);
        let shape = shape(self.layout.geometry(), span);
        let mut parity = self.recycle(usize::from(shape.parity) * size);
        self.block.clear();
        self.block.resize(usize::from(span.symbols) * size, 0);
        let bytes = &mut self.block[..span.len as usize];
        match span.source {
            BlockSource::Manifest => {
                let start = span.offset as usize;
                bytes.copy_from_slice(&self.manifest[start..start + bytes.len()]);
            }
            BlockSource::File(file) => self.delivery.read_at(file, span.offset, bytes)?,
        }
        self.coder.encode(shape, &self.block, &mut parity)?;
        self.parity.insert(span.block, parity);
        self.parity_order.push_back(span.block);
        Ok(())
    }

    /// A buffer of `len` bytes, that of the oldest parity if there is too much of it.
    fn recycle(&mut self, len: usize) -> Vec<u8> {
        let mut buffer = Vec::new();
        while (self.parity_order.len() + 1) * len > PARITY_KEPT {
            let Some(oldest) = self.parity_order.pop_front() else { break };
            buffer = self.parity.remove(&oldest).unwrap_or_default();
        }
        buffer.resize(len, 0);
        buffer
    }
}
