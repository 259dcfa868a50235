//! The hash by which a block is verified.

use benches::noise;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::manifest::Hash;

fn hashing(c: &mut Criterion) {
    let block = noise(1024 * 1440);
    let mut group = c.benchmark_group("hashing");
    group.throughput(Throughput::Bytes(block.len() as u64));
    group.bench_function("BLAKE3 of a block of 1,024 symbols", |b| b.iter(|| Hash::of(&block)));
    group.finish();
}

criterion_group!(benches, hashing);
criterion_main!(benches);
