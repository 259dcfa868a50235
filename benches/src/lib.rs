//! What the benches share: an image in its usual cut, sessions of many clients, and a client's stream.

pub mod memory;
pub mod stream;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use multicast_core::codec::{CodeShape, CodecId};
use multicast_core::layout::{BlockSource, DEFAULT_SYMBOL_SIZE, FileEntry, Geometry, Layout};
use multicast_core::manifest::{Hash, Manifest};
use multicast_core::pace::Rate;
use multicast_core::receiver::{Receiver, ReceiverConfig};
use multicast_core::sender::{Sender, SenderConfig, StartPolicy, Transmit};
use multicast_core::types::{BlockIndex, ClientId, Instant, Sequence, SessionId, Slot, SymbolIndex};
use multicast_core::wire::{Join, Offer, Packet, Report, RunEncoder, SYMBOL_HEADER_LEN, Symbol};

/// The session of all benches.
pub const SESSION: SessionId = SessionId(7);

/// Symbols that one send or receive call moves at most.
pub const BATCH: u16 = 44;

/// Bytes of a symbol's datagram.
pub const SEGMENT: usize = SYMBOL_HEADER_LEN + DEFAULT_SYMBOL_SIZE as usize;

/// The cut of an image of `size` bytes, as a server makes it.
pub fn layout(size: u64) -> Layout {
    let geometry = Geometry::for_size(size, DEFAULT_SYMBOL_SIZE);
    Layout::new(geometry, vec![FileEntry { name: "install.wim".into(), size }]).expect("usual sizes")
}

/// `len` bytes that compress badly.
pub fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
}

/// A full block's bytes, its shape and its parity, by `codec` in its usual geometry.
pub fn coded_block(codec: CodecId) -> (CodeShape, Vec<u8>, Vec<u8>) {
    let (source, parity) = match codec {
        CodecId::ReedSolomon8 => (127, 128),
        CodecId::ReedSolomon16 => (1024, 1024),
    };
    let shape = CodeShape { source, parity, symbol_size: DEFAULT_SYMBOL_SIZE };
    let (block, repair) = coded(codec, shape);
    (shape, block, repair)
}

/// Bytes of a block of `shape`, and its parity by `codec`.
pub fn coded(codec: CodecId, shape: CodeShape) -> (Vec<u8>, Vec<u8>) {
    let size = usize::from(shape.symbol_size);
    let block = noise(usize::from(shape.source) * size);
    let mut repair = vec![0; usize::from(shape.parity) * size];
    codec.coder().encode(shape, &block, &mut repair).expect("the usual shapes");
    (block, repair)
}

/// What independent loss leaves of a block: which source symbols are there, all but `lost`, and just as
/// many parity symbols, the first ones of `repair` less what was lost of these at the same rate.
pub fn lose(shape: CodeShape, repair: &[u8], lost: usize) -> (Vec<bool>, Vec<(SymbolIndex, Bytes)>) {
    let (k, size) = (usize::from(shape.source), usize::from(shape.symbol_size));
    let mut random = fastrand::Rng::with_seed(lost as u64);
    let mut present = vec![true; k];
    random.choose_multiple(0..k, lost).into_iter().for_each(|symbol| present[symbol] = false);
    let left = repair.len() / size;
    let mut parity = Vec::with_capacity(lost);
    for (i, bytes) in repair.chunks(size).enumerate() {
        let needed = lost - parity.len();
        if needed > 0 && (needed >= left - i || random.usize(..k) >= lost) {
            parity.push((SymbolIndex((k + i) as u16), Bytes::copy_from_slice(bytes)));
        }
    }
    (present, parity)
}

/// A session of `clients` clients and an image of `size` bytes, without a limit of rate; nobody has joined yet.
pub fn session(size: u64, clients: u32) -> Sender {
    let config = SenderConfig {
        session: SESSION,
        image: "image".into(),
        group: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 1, 1)), 63000),
        source: None,
        source_specific: false,
        layout: layout(size),
        manifest_root: [0; 32],
        priority: Vec::new(),
        start: StartPolicy { clients: Some(clients), ..StartPolicy::default() },
        max_clients: None,
        silence: Duration::from_secs(10),
        keep_open: true,
        rate: Rate::MAX,
        burst: u32::MAX,
        adaptive: None,
        first_rate: None,
        batch: BATCH,
        headers: 42,
    };
    Sender::new(config, Instant::ZERO)
}

/// Lets clients `0..clients` join and tell that they have nothing; the session then runs.
pub fn fill(sender: &mut Sender, clients: u32, blocks: u32) {
    for client in 0..clients {
        let mut datagram = Vec::new();
        let join = Join { client: ClientId(client.into()), image: "", host: "room-1-pc-1", credential: &[] };
        join.encode(&mut datagram);
        sender.handle_datagram(Instant::ZERO, address(client), &datagram);
        let nothing = report(client, Sequence(0), 0, [(blocks, u16::MAX)]);
        sender.handle_datagram(Instant::ZERO, address(client), &nothing);
        drain(sender);
    }
}

/// Takes what the sender says beside symbols.
pub fn drain(sender: &mut Sender) {
    while sender.poll_event().is_some() {}
    while let Some(Transmit::Group(_) | Transmit::Client(..)) = sender.poll_transmit(Instant::ZERO) {}
}

/// The address of client `number`.
pub fn address(number: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0001 + number)), 40_000)
}

/// A report of `client`: from block `from` on, runs of blocks and what each block lacks.
pub fn report(client: u32, as_of: Sequence, from: u32, deficits: impl IntoIterator<Item = (u32, u16)>) -> Vec<u8> {
    let mut encoder = RunEncoder::new(BlockIndex(from), 1356);
    for (count, deficit) in deficits {
        if !encoder.push(count, deficit) {
            break;
        }
    }
    let (from, to, runs) = encoder.finish();
    let (received, client) = (as_of.0, ClientId(client.into()));
    let report = Report {
        session: SESSION,
        client,
        complete: false,
        as_of,
        poll: 1,
        received,
        dropped: 0,
        verified: 0,
        from,
        to,
        runs: &runs,
    };
    let mut datagram = Vec::new();
    report.encode(&mut datagram);
    debug_assert!(matches!(Packet::decode(&datagram), Ok(Packet::Report(_))));
    datagram
}

/// What a client that lost 1 % says of the blocks from `from` on: about ten symbols of each.
pub fn damage(seed: u64) -> impl Iterator<Item = (u32, u16)> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(move || (1, random.u16(3..20)))
}

/// An image with its manifest.
pub fn image(size: u64) -> (Manifest, Vec<u8>) {
    let layout = layout(size);
    let bytes = noise(size as usize);
    let spans = (0..layout.blocks()).filter_map(|block| layout.block(BlockIndex(block)));
    let images = spans.filter(|span| span.source != BlockSource::Manifest);
    let hashes = images.map(|span| Hash::of(&bytes[span.offset as usize..][..span.len as usize])).collect();
    (Manifest { layout, hashes }, bytes)
}

/// A receiver that has accepted the offer of `manifest`.
pub fn receiver(manifest: &Manifest) -> Receiver {
    let config = ReceiverConfig {
        client: ClientId(1),
        image: String::new(),
        host: "host".into(),
        staging: 16 << 20,
        wait_limit: None,
        deaf_limit: Duration::from_secs(60),
        seed: 1,
    };
    let mut receiver = Receiver::new(config, Instant::ZERO);
    let offer = Offer {
        session: SESSION,
        client: ClientId(1),
        slot: Slot(0),
        group: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 1, 1)), 63000),
        source: None,
        source_specific: false,
        geometry: *manifest.layout.geometry(),
        silence_ms: 10_000,
        manifest_root: manifest.root().0,
        image: "image".into(),
        files: manifest.layout.files().to_vec(),
    };
    let mut datagram = Vec::new();
    offer.encode(&mut datagram);
    receiver.handle_datagram(Instant::ZERO, &datagram);
    receiver.accept(Instant::ZERO, None);
    receiver
}

/// The whole stream without loss: what each receive call returns.
pub fn stream(manifest: &Manifest, bytes: &[u8]) -> Vec<Vec<u8>> {
    let (layout, encoded) = (&manifest.layout, manifest.encode());
    let mut sequence = Sequence(0);
    let spans = (0..layout.blocks()).filter_map(|block| layout.block(BlockIndex(block)));
    let calls = spans.flat_map(|span| {
        let source = if span.source == BlockSource::Manifest { &encoded[..] } else { bytes };
        buffers(span.block, &source[span.offset as usize..][..span.len as usize], &mut sequence)
    });
    calls.collect()
}

/// The source symbols of block `block` as receive calls return them: buffers of up to [`BATCH`] datagrams.
pub fn buffers(block: BlockIndex, bytes: &[u8], sequence: &mut Sequence) -> Vec<Vec<u8>> {
    let size = usize::from(DEFAULT_SYMBOL_SIZE);
    let mut symbol = 0;
    let calls = bytes.chunks(size * usize::from(BATCH)).map(|call| {
        let mut buffer = Vec::with_capacity(call.len() + 16 * usize::from(BATCH));
        for payload in call.chunks(size) {
            let header =
                Symbol { session: SESSION, block, symbol: SymbolIndex(symbol), sequence: *sequence, payload }.header();
            buffer.extend(header);
            buffer.extend(payload);
            buffer.resize(buffer.len() + size - payload.len(), 0);
            symbol += 1;
            *sequence = sequence.plus(1);
        }
        buffer
    });
    calls.collect()
}
