//! What a session takes of the sender's memory, stage by stage: resident pages, by the kernel's account.

use std::fs;
use std::io;

use multicast_core::codec::CodecId;
use multicast_core::layout::BlockSource;
use multicast_core::manifest::{Hash, Manifest};
use multicast_core::types::{BlockIndex, Instant};

use crate::stream::Stream;
use crate::{coded_block, fill, layout, session};

/// Parity that the engine keeps, bytes.
const PARITY_KEPT: usize = 32 << 20;
/// Batches of 44 symbols until the log of what was sent is full: 11 s at 930 Mbit/s.
const BATCHES: u32 = 20_000;

/// Something that the sender has got, and what memory grew by for it.
pub struct Stage {
    /// What it is.
    pub what: &'static str,
    /// Bytes of resident memory.
    pub bytes: u64,
}

/// A session of an image of `size` bytes and so many clients, driven in virtual time: what it takes
/// beside the mapped image. The last stage is what the highest resident memory on the way was above all
/// of them together.
pub fn measure(size: u64, clients: u32) -> io::Result<Vec<Stage>> {
    let before = resident("VmRSS")?;
    let (mut stages, mut last) = (Vec::new(), before);
    let mut stage = |what, now: u64| {
        stages.push(Stage { what, bytes: now.saturating_sub(last) });
        last = last.max(now);
    };

    // Encoded it is sent from memory.
    let manifest = manifest(size);
    let encoded = manifest.encode();
    stage("manifest, and encoded", resident("VmRSS")?);

    let mut sender = session(size, clients);
    stage("needs and queues", resident("VmRSS")?);

    let blocks = sender.snapshot(Instant::ZERO).blocks;
    fill(&mut sender, clients, blocks);
    // They come at one instant, and a sender takes no more than some thousands of these.
    assert_eq!(sender.snapshot(Instant::ZERO).clients.len(), clients as usize, "all were admitted");
    stage("clients that have joined and reported", resident("VmRSS")?);

    let mut stream = Stream::of(sender, clients);
    let sent: u64 = (0..BATCHES).map(|_| u64::from(stream.step())).sum();
    assert!(stream.sender.counters().parity_symbols > sent / 200, "losses were repaired");
    stage("11 s of sending and repair", resident("VmRSS")?);

    let (shape, block, parity) = coded_block(CodecId::ReedSolomon16);
    let mut coder = CodecId::ReedSolomon16.coder();
    let mut kept = vec![parity; PARITY_KEPT / (usize::from(shape.parity) * usize::from(shape.symbol_size))];
    coder.encode(shape, &block, &mut kept[0]).map_err(io::Error::other)?;
    stage("coder, its tables, and parity kept", resident("VmRSS")?);

    stage("at its highest, above that", resident("VmHWM")?);
    drop((manifest, encoded, stream, kept, coder));
    Ok(stages)
}

/// A manifest of hashes that are not right.
fn manifest(size: u64) -> Manifest {
    let layout = layout(size);
    let blocks = (0..layout.blocks()).filter_map(|block| layout.block(BlockIndex(block)));
    let images = blocks.filter(|span| span.source != BlockSource::Manifest);
    let hashes = images.map(|span| Hash::of(&span.block.0.to_be_bytes())).collect();
    Manifest { layout, hashes }
}

/// Bytes of this process's memory by `field` of the kernel's account: `VmRSS`, or `VmHWM` for its highest.
fn resident(field: &str) -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    let kib = kib.and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other(format!("/proc/self/status has no {field}")))
}
