//! Who has what: one bit a block and client.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::bitmap::Bitmap;

const CLIENTS: usize = 1000;
/// Of a 64 GiB image.
const BLOCKS: usize = 46_000;

/// A client that lacks one block of a hundred.
fn client(seed: u64) -> Bitmap {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut map = Bitmap::full(BLOCKS);
    for _ in 0..BLOCKS / 100 {
        map.clear(random.usize(..BLOCKS));
    }
    map
}

fn bitmaps(c: &mut Criterion) {
    let mut clients: Vec<Bitmap> = (0..CLIENTS as u64).map(client).collect();
    let mut group = c.benchmark_group("bitmaps, 1,000 clients of 46,000 blocks");

    group.throughput(Throughput::Elements((CLIENTS * BLOCKS) as u64));
    group.bench_function("blocks that all clients have", |b| {
        b.iter(|| {
            let mut all = Bitmap::full(BLOCKS);
            clients.iter().for_each(|client| all.intersect(client));
            all.count_ones()
        });
    });
    group.bench_function("every gap of every client", |b| {
        b.iter(|| clients.iter().flat_map(Bitmap::runs_of_zeros).map(|gap| gap.len()).sum::<usize>());
    });
    group.bench_function("set a range of all blocks in every client", |b| {
        let mut cleared = clients.clone();
        b.iter(|| cleared.iter_mut().map(|client| client.clear_range(0..BLOCKS) + client.set_range(0..BLOCKS)).max());
    });

    group.throughput(Throughput::Elements(CLIENTS as u64));
    group.bench_function("set and clear one block in every client", |b| {
        let mut block = 0;
        b.iter(|| {
            block = (block + 977) % BLOCKS;
            for client in &mut clients {
                if !client.set(black_box(block)) {
                    client.clear(block);
                }
            }
        });
    });
    group.bench_function("progress of every client", |b| {
        b.iter(|| clients.iter().map(Bitmap::count_ones).sum::<usize>());
    });
    group.finish();
}

criterion_group!(benches, bitmaps);
criterion_main!(benches);
