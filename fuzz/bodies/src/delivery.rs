//! A tiny delivery that both ends of a fuzzed session speak of.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use multicast_core::codec::{CodeShape, CodecId};
use multicast_core::layout::{BlockSource, FileEntry, Geometry, Layout};
use multicast_core::manifest::{Hash, Manifest};
use multicast_core::sender::SymbolRun;
use multicast_core::types::{BlockIndex, Sequence, SessionId, SymbolIndex};
use multicast_core::wire::Symbol;

/// The session that valid datagrams name.
pub const SESSION: SessionId = SessionId(7);

/// The group that it is said to be sent to.
pub const GROUP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 1, 1)), 63000);

/// Two files in blocks of four symbols of eight bytes, with everything that is ever sent of them.
pub struct Delivery {
    /// The cut.
    pub layout: Layout,
    /// The hashes.
    pub manifest: Manifest,
    /// The bytes of each file.
    pub files: Vec<Vec<u8>>,
    /// Source and parity symbols of each block, one after the other.
    symbols: Vec<Vec<u8>>,
}

impl Delivery {
    /// With parity by `codec`.
    pub fn new(codec: CodecId) -> Self {
        let mut random = fastrand::Rng::with_seed(1);
        let files = [100, 33].map(|size| (0..size).map(|_| random.u8(..)).collect::<Vec<u8>>());
        let geometry = Geometry { symbol_size: 8, block_symbols: 4, parity_symbols: 4, codec };
        let entries = ["a", "b"].iter().zip(&files);
        let entries = entries.map(|(name, file)| FileEntry { name: (*name).into(), size: file.len() as u64 }).collect();
        let layout = Layout::new(geometry, entries).expect("sizes that fit");
        let spans = (0..layout.blocks()).filter_map(|block| layout.block(BlockIndex(block))).collect::<Vec<_>>();
        let hashes = spans.iter().filter_map(|span| match span.source {
            BlockSource::Manifest => None,
            BlockSource::File(file) => Some(Hash::of(&files[file][span.offset as usize..][..span.len as usize])),
        });
        let manifest = Manifest { layout: layout.clone(), hashes: hashes.collect() };
        let encoded = manifest.encode();
        let mut coder = codec.coder();
        let coded = spans.iter().map(|span| {
            let bytes = match span.source {
                BlockSource::Manifest => &encoded,
                BlockSource::File(file) => &files[file],
            };
            let mut block = bytes[span.offset as usize..][..span.len as usize].to_vec();
            block.resize(usize::from(span.symbols) * 8, 0);
            let mut parity = vec![0; 4 * 8];
            let shape = CodeShape { source: span.symbols, parity: 4, symbol_size: 8 };
            coder.encode(shape, &block, &mut parity).expect("a shape that exists");
            [block, parity].concat()
        });
        let symbols = coded.collect();
        Self { layout, manifest, files: files.into(), symbols }
    }

    /// The datagrams of `run` as a receive call returns them, and the bytes of each; symbols that do not exist
    /// carry zeros.
    pub fn datagrams(&self, session: SessionId, run: SymbolRun, sequence: Sequence) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        for i in 0..run.count {
            let symbol = SymbolIndex(run.first.0.wrapping_add(i));
            let known = self.symbols.get(run.block.index()).and_then(|block| block.chunks(8).nth(symbol.index()));
            let payload = known.unwrap_or(&[0; 8]);
            let packet = Symbol { session, block: run.block, symbol, sequence: sequence.plus(i.into()), payload };
            out.extend(packet.header());
            out.extend(payload);
        }
        (out, 24)
    }
}
