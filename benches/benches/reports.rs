//! What clients lack, on its way: coding it, reading it, and learning from it.

use std::hint::black_box;

use benches::{address, damage, fill, report, session};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::types::{BlockIndex, Instant, Sequence};
use multicast_core::wire::{Report, RunEncoder};

/// As many blocks as one datagram tells of when each of them is damaged.
const DAMAGED: usize = 1200;
const CLIENTS: u32 = 1000;

fn coding(c: &mut Criterion) {
    let mut group = c.benchmark_group("report coding");
    group.throughput(Throughput::Elements(DAMAGED as u64));
    let deficits: Vec<_> = damage(1).take(DAMAGED).collect();
    group.bench_function("encode 1,200 damaged blocks", |b| {
        b.iter(|| {
            let mut runs = RunEncoder::new(BlockIndex(0), 1356);
            assert!(deficits.iter().all(|&(count, deficit)| runs.push(count, deficit)));
            runs.finish()
        });
    });
    let datagram = report(0, Sequence(0), 0, deficits);
    group.bench_function("check and decode them", |b| {
        b.iter(|| {
            let report = Report::decode(black_box(&datagram)).expect("encoded above");
            report.runs().map(|run| u64::from(run.deficit)).sum::<u64>()
        });
    });
    group.finish();
}

fn learning(c: &mut Criterion) {
    let mut group = c.benchmark_group("reports to a sender, 64 GiB to 1,000 clients");
    let mut sender = session(64 << 30, CLIENTS);
    let blocks = sender.snapshot(Instant::ZERO).blocks;
    fill(&mut sender, CLIENTS, blocks);
    let as_of = Sequence(sender.counters().symbols as u32);
    let mut hear = |name: &str, datagrams: &[Vec<u8>]| {
        let mut next = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                let client = next % CLIENTS;
                next += 1;
                sender.handle_datagram(Instant::ZERO, address(client), &datagrams[client as usize]);
            });
        });
    };
    let of_all = |deficits: &dyn Fn(u32) -> Vec<(u32, u16)>| -> Vec<_> {
        (0..CLIENTS).map(|client| report(client, as_of, 0, deficits(client))).collect()
    };
    hear("1,200 damaged blocks", &of_all(&|client| damage(client.into()).take(DAMAGED).collect()));
    hear("46,000 blocks, none of them here", &of_all(&|_| vec![(blocks, u16::MAX)]));
    hear("46,000 blocks, all of them here", &of_all(&|_| vec![(blocks, 0)]));
    group.finish();
}

criterion_group!(benches, coding, learning);
criterion_main!(benches);
