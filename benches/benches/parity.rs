//! Making parity from a block, and a block from parity, in bytes of source data.

use benches::coded_block;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::codec::CodecId;
use multicast_core::types::SymbolIndex;

fn parity(c: &mut Criterion) {
    for (codec, name) in [
        (CodecId::ReedSolomon16, "parity, GF(2^16): 1,024 source and 512 parity symbols of 1,440 B"),
        (CodecId::ReedSolomon8, "parity, GF(2^8): 127 source and 128 parity symbols of 1,440 B"),
    ] {
        let (shape, mut block, mut repair) = coded_block(codec);
        let (k, size) = (usize::from(shape.source), usize::from(shape.symbol_size));
        let mut coder = codec.coder();
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(block.len() as u64));
        group.sample_size(20);
        group.bench_function("encode", |b| {
            b.iter(|| coder.encode(shape, &block, &mut repair).expect("a usual shape"));
        });
        for lost in [1, 10, 100] {
            // Spread over the block, as independent loss is.
            let mut present = vec![true; k];
            (0..lost).for_each(|i| present[i * k / lost] = false);
            let symbols = repair.chunks(size).take(lost).enumerate();
            let parity: Vec<_> =
                symbols.map(|(i, bytes)| (SymbolIndex((k + i) as u16), Bytes::copy_from_slice(bytes))).collect();
            // What is decoded is what was there, so that every turn does the same.
            group.bench_function(format!("decode, {lost} lost"), |b| {
                b.iter(|| coder.decode(shape, &mut block, &present, &parity).expect("enough symbols"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, parity);
criterion_main!(benches);
