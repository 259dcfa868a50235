//! Choosing what goes out next: all of the sender's work beside I/O. One iteration is one symbol, so
//! that the time is that of a symbol; a clean pass, and one in which clients lose, tell it in reports,
//! and are repaired.

use std::hint::black_box;
use std::time::Duration;

use benches::stream::Stream;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const CLIENTS: u32 = 1000;
const GIB: [u64; 4] = [1, 16, 64, 256];
/// Damaged blocks of a large report.
const DAMAGED: u32 = 1200;

fn scheduler(c: &mut Criterion) {
    let mut group = c.benchmark_group("a symbol to 1,000 clients");
    group.throughput(Throughput::Elements(1));
    for gib in GIB {
        let mut stream = Stream::new(gib << 30, CLIENTS);
        group.bench_with_input(BenchmarkId::new("clean pass", format!("{gib} GiB")), &(), |b, ()| {
            b.iter_custom(|symbols| timed(symbols, || stream.batch()));
        });
        let mut stream = Stream::new(gib << 30, CLIENTS);
        group.bench_with_input(BenchmarkId::new("with losses and reports", format!("{gib} GiB")), &(), |b, ()| {
            b.iter_custom(|symbols| timed(symbols, || stream.step()));
        });
    }
    group.throughput(Throughput::Elements(DAMAGED.into()));
    let mut stream = Stream::new(64 << 30, CLIENTS);
    stream.finish_pass();
    group.bench_function("one report of 1,200 damaged blocks and the parity for it", |b| {
        b.iter(|| stream.repair_at_once(DAMAGED));
    });
    group.finish();
}

/// The time of `symbols` symbols, of which `next` sends some.
fn timed(symbols: u64, mut next: impl FnMut() -> u32) -> Duration {
    let mut sent = 0;
    let start = std::time::Instant::now();
    while sent < symbols {
        sent += u64::from(black_box(next()));
    }
    start.elapsed().mul_f64(symbols as f64 / sent as f64)
}

criterion_group!(benches, scheduler);
criterion_main!(benches);
