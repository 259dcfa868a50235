//! Choosing what goes out next: all of the sender's work beside reports and I/O.

use std::hint::black_box;
use std::time::Duration;

use benches::{damage, drain, fill, report, session};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::sender::{Sender, Transmit};
use multicast_core::types::{Instant, Sequence};

const SIZE: u64 = 64 << 30;
const CLIENTS: u32 = 1000;
/// 44 symbols at 10 Gbit/s.
const BATCH_TIME: Duration = Duration::from_micros(52);

/// A session that runs, and what its driver knows.
struct Running {
    sender: Sender,
    blocks: u32,
    now: Instant,
    sent: Sequence,
    refills: u32,
}

impl Running {
    fn new() -> Self {
        let mut sender = session(SIZE, CLIENTS);
        let blocks = sender.snapshot(Instant::ZERO).blocks;
        fill(&mut sender, CLIENTS, blocks);
        let sent = Sequence(sender.counters().symbols as u32);
        Self { sender, blocks, now: Instant::ZERO, sent, refills: 0 }
    }

    /// The next batch; how many symbols, none when nothing is needed any more.
    fn batch(&mut self) -> u32 {
        self.now = self.now + BATCH_TIME;
        match black_box(self.sender.poll_transmit(self.now)) {
            Some(Transmit::Symbols { run, sequence }) => {
                self.sent = sequence.plus(run.count.into());
                run.count.into()
            }
            _ => 0,
        }
    }

    /// The next client tells what it lacks from block `from` on.
    fn hear(&mut self, from: u32, deficits: impl IntoIterator<Item = (u32, u16)>) {
        let client = self.refills % CLIENTS;
        self.refills += 1;
        let datagram = report(client, self.sent, from, deficits);
        self.sender.handle_datagram(self.now, benches::address(client), &datagram);
    }
}

fn scheduler(c: &mut Criterion) {
    let mut group = c.benchmark_group("scheduler, 64 GiB to 1,000 clients");
    let mut running = Running::new();
    group.bench_function("next batch of the forward pass (up to 44 symbols)", |b| {
        b.iter(|| {
            let symbols = running.batch();
            if symbols == 0 {
                // Once in a million: somebody lacks everything again.
                let blocks = running.blocks;
                running.hear(0, [(blocks, u16::MAX)]);
                assert!(running.batch() > 0, "somebody lacks everything");
            }
            symbols
        });
    });
    while running.batch() > 0 {}
    drain(&mut running.sender);

    group.throughput(Throughput::Elements(1200));
    group.bench_function("one report of 1,200 damaged blocks and the parity for it", |b| {
        b.iter(|| {
            let from = running.refills % 30 * 1200;
            running.hear(from, damage(from.into()).take(1200));
            let symbols: u32 = std::iter::from_fn(|| Some(running.batch()).filter(|symbols| *symbols > 0)).sum();
            // From 3 to 19 symbols a block.
            assert!(symbols >= 3 * 1200, "{symbols} symbols for 1,200 damaged blocks");
        });
    });
    group.finish();
}

criterion_group!(benches, scheduler);
criterion_main!(benches);
