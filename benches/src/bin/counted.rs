//! The hot paths, to have their instructions counted: `counted list` names them, `counted PATH N`
//! takes path PATH N times and nothing else that grows with N, so that the difference of two runs
//! is the path's alone.
//!
//! Seeds are fixed, and nothing here depends on the machine but the paths marked `avx2`: what codes
//! over GF(2^16) takes the processor's widest instructions that it knows.

use std::hint::black_box;
use std::io::IoSlice;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use benches::{SEGMENT, SESSION, address, coded_block, damage, fill, image, receiver, report, session, stream};
use bytes::Bytes;
use multicast_core::bitmap::Bitmap;
use multicast_core::codec::CodecId;
use multicast_core::layout::{BlockSpan, DEFAULT_SYMBOL_SIZE};
use multicast_core::sender::{Sender, Transmit};
use multicast_core::store::{Store, StoreError};
use multicast_core::types::{BlockIndex, Instant, Sequence, Slot, SymbolIndex};
use multicast_core::wire::{Heartbeat, Packet, Poll, Report, RunEncoder, SessionState, Symbol};

/// One path.
struct Path {
    name: &'static str,
    /// Taken so many times in the shorter of the two runs; in the longer one three times as often.
    times: u32,
    /// How many units one turn works on, and what a unit is.
    units: u32,
    unit: &'static str,
    /// An extension of the instruction set without which the count is another one, or `any`.
    needs: &'static str,
    run: fn(u32),
}

/// Damaged blocks of a report: about as many as a datagram can tell of.
const DAMAGED: u32 = 1200;
const CLIENTS: u32 = 200;
const SIZE: u64 = 64 << 30;
const INTAKE: u64 = 8 << 20;
/// Blocks of a 64 GiB image.
const BLOCKS: usize = 46_000;

const PATHS: [Path; 13] = [
    path("choose-symbols", 20_000, 44, "symbol", choose),
    path("repair-after-report", 20, DAMAGED, "damaged block", repair),
    path("report-encode", 100, DAMAGED, "damaged block", encode_report),
    path("report-decode", 100, DAMAGED, "damaged block", decode_report),
    path("heartbeat-encode", 10_000, 1, "heartbeat", encode_heartbeat),
    path("heartbeat-decode", 10_000, 1, "heartbeat", decode_heartbeat),
    path("symbol-header", 10_000, 1, "symbol", symbol_header),
    path("intake", 5, (INTAKE / DEFAULT_SYMBOL_SIZE as u64) as u32, "symbol", intake),
    path("bitmap-bulk", 100, 1, "map of 46,000 blocks", bitmaps),
    path("parity-8-encode", 1, 127, "symbol", |n| encode_parity(CodecId::ReedSolomon8, n)),
    path("parity-8-decode-1pct", 10, 127, "symbol", |n| decode_parity(CodecId::ReedSolomon8, n)),
    path("parity-16-encode", 2, 1024, "symbol", |n| encode_parity(CodecId::ReedSolomon16, n)).on("avx2"),
    path("parity-16-decode-1pct", 2, 1024, "symbol", |n| decode_parity(CodecId::ReedSolomon16, n)).on("avx2"),
];

const fn path(name: &'static str, times: u32, units: u32, unit: &'static str, run: fn(u32)) -> Path {
    Path { name, times, units, unit, needs: "any", run }
}

impl Path {
    const fn on(mut self, needs: &'static str) -> Self {
        self.needs = needs;
        self
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut paths = PATHS.iter();
    match &arguments[..] {
        [list] if list == "list" => {
            paths.for_each(|p| println!("{} {} {} {} {}", p.name, p.times, p.units, p.needs, p.unit));
            ExitCode::SUCCESS
        }
        [name, times] => match (paths.find(|path| path.name == name), times.parse()) {
            (Some(path), Ok(times)) => {
                (path.run)(times);
                ExitCode::SUCCESS
            }
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: counted list, or counted PATH TIMES");
    ExitCode::FAILURE
}

/// A session whose clients have nothing, and its blocks.
fn full_session() -> (Sender, u32) {
    let mut sender = session(SIZE, CLIENTS);
    let blocks = sender.snapshot(Instant::ZERO).blocks;
    fill(&mut sender, CLIENTS, blocks);
    (sender, blocks)
}

/// Batches of the forward pass.
fn choose(times: u32) {
    let (mut sender, _) = full_session();
    let mut now = Instant::ZERO;
    for _ in 0..times {
        // 44 symbols at 10 Gbit/s.
        now = now + Duration::from_micros(52);
        black_box(sender.poll_transmit(now));
    }
}

/// A report of damaged blocks, and all the parity for it chosen.
fn repair(times: u32) {
    let (mut sender, blocks) = full_session();
    let nothing_lacks = |client| report(client, Sequence(sender.counters().symbols as u32), 0, [(blocks, 0)]);
    let whole: Vec<_> = (0..CLIENTS).map(nothing_lacks).collect();
    for (client, datagram) in (0..CLIENTS).zip(&whole) {
        sender.handle_datagram(Instant::ZERO, address(client), datagram);
    }
    let mut now = Instant::ZERO;
    let mut sent = Sequence(sender.counters().symbols as u32);
    for client in 0..times {
        let datagram = report(client % CLIENTS, sent, 0, damage(client.into()).take(DAMAGED as usize));
        sender.handle_datagram(now, address(client % CLIENTS), &datagram);
        let mut chosen = 0;
        loop {
            now = now + Duration::from_micros(52);
            match sender.poll_transmit(now) {
                Some(Transmit::Symbols { run, sequence }) => {
                    chosen += u32::from(run.count);
                    sent = sequence.plus(run.count.into());
                }
                Some(_) => {}
                None => break,
            }
        }
        // At least 3 symbols a block were told of.
        assert!(chosen >= 3 * DAMAGED, "{chosen} symbols for {DAMAGED} damaged blocks");
    }
}

fn encode_report(times: u32) {
    let deficits: Vec<_> = damage(1).take(DAMAGED as usize).collect();
    for _ in 0..times {
        let mut runs = RunEncoder::new(BlockIndex(0), 1356);
        assert!(deficits.iter().all(|&(count, deficit)| runs.push(count, deficit)));
        black_box(runs.finish());
    }
}

fn decode_report(times: u32) {
    let datagram = report(0, Sequence(0), 0, damage(1).take(DAMAGED as usize));
    for _ in 0..times {
        let report = Report::decode(black_box(&datagram)).expect("encoded above");
        black_box(report.runs().map(|run| u64::from(run.deficit)).sum::<u64>());
    }
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        session: SESSION,
        sequence: Sequence(1000),
        poll: Poll { number: 12, first: Slot(3), count: 40, spread_ms: 2 },
        state: SessionState::Running,
        clients: 50,
        complete: 4,
        awaited: 10,
        starts_in_ms: None,
        rate_kbit: 930_000,
    }
}

fn encode_heartbeat(times: u32) {
    let (heartbeat, mut datagram) = (heartbeat(), Vec::with_capacity(1500));
    for _ in 0..times {
        datagram.clear();
        black_box(&heartbeat).encode(&mut datagram);
    }
}

fn decode_heartbeat(times: u32) {
    let mut datagram = Vec::new();
    heartbeat().encode(&mut datagram);
    for _ in 0..times {
        assert!(black_box(Packet::decode(black_box(&datagram))).is_ok());
    }
}

/// A header made, and the datagram read.
fn symbol_header(times: u32) {
    let mut datagram = [0; SEGMENT];
    for i in 0..times {
        let packet = Symbol {
            session: SESSION,
            block: BlockIndex(i),
            symbol: SymbolIndex(2),
            sequence: Sequence(i),
            payload: &[],
        };
        let header = packet.header();
        datagram[..header.len()].copy_from_slice(&header);
        assert_eq!(Symbol::decode(black_box(&datagram)).map(|symbol| symbol.block), Ok(BlockIndex(i)));
    }
}

/// A client's work on an image without loss, but for writing and hashing.
fn intake(times: u32) {
    let (manifest, bytes) = image(INTAKE);
    let calls = stream(&manifest, &bytes);
    let store = Nowhere(BlockIndex(manifest.layout.manifest_blocks())..BlockIndex(manifest.layout.blocks()));
    for _ in 0..times {
        let mut receiver = receiver(&manifest);
        for call in &calls {
            receiver.handle_group(Instant::ZERO, call, SEGMENT, &store);
        }
        black_box(receiver.snapshot());
    }
}

/// A store of which only the calls count.
struct Nowhere(Range<BlockIndex>);

impl Store for Nowhere {
    fn write(&self, _: usize, _: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError> {
        black_box(slices);
        Ok(())
    }

    fn read(&self, _: usize, _: u64, _: &mut [u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn window(&self) -> Range<BlockIndex> {
        self.0.clone()
    }

    fn verified(&self, _: &BlockSpan) -> Result<(), StoreError> {
        Ok(())
    }

    fn commit(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What all have, how many a client has, and its gaps.
fn bitmaps(times: u32) {
    let mut random = fastrand::Rng::with_seed(1);
    let mut client = Bitmap::full(BLOCKS);
    (0..BLOCKS / 100).for_each(|_| {
        client.clear(random.usize(..BLOCKS));
    });
    let mut all = Bitmap::full(BLOCKS);
    for _ in 0..times {
        all.intersect(black_box(&client));
        black_box(client.count_ones());
        black_box(client.runs_of_zeros().map(|gap| gap.len()).sum::<usize>());
    }
    black_box(all.count_ones());
}

fn encode_parity(codec: CodecId, times: u32) {
    let (shape, block, mut repair) = coded_block(codec);
    let mut coder = codec.coder();
    for _ in 0..times {
        coder.encode(shape, black_box(&block), &mut repair).expect("a usual shape");
    }
    black_box(repair);
}

fn decode_parity(codec: CodecId, times: u32) {
    let (shape, mut block, repair) = coded_block(codec);
    let (k, size) = (usize::from(shape.source), usize::from(shape.symbol_size));
    let lost = k.div_ceil(100);
    let mut present = vec![true; k];
    // Spread over the block, as independent loss is.
    (0..lost).for_each(|i| present[i * k / lost] = false);
    let symbols = repair.chunks(size).take(lost).enumerate();
    let parity: Vec<_> =
        symbols.map(|(i, bytes)| (SymbolIndex((k + i) as u16), Bytes::copy_from_slice(bytes))).collect();
    let mut coder = codec.coder();
    for _ in 0..times {
        coder.decode(shape, black_box(&mut block), &present, &parity).expect("enough symbols");
    }
}
