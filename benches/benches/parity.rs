//! Making parity from a block, and a block from parity, in bytes of source data.

use benches::{coded_block, lose};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::codec::CodecId;

fn parity(c: &mut Criterion) {
    for (codec, name, losses) in [
        (CodecId::ReedSolomon16, "GF(2^16), 1,024 + 1,024 symbols of 1,440 B", [1, 10, 51, 102, 512].as_slice()),
        (CodecId::ReedSolomon8, "GF(2^8), 127 + 128 symbols of 1,440 B", [1, 6, 12, 63].as_slice()),
    ] {
        let (shape, mut block, mut repair) = coded_block(codec);
        let mut coder = codec.coder();
        let throughput = Throughput::Bytes(block.len() as u64);

        let mut encode = c.benchmark_group(format!("parity, {name}: encode"));
        encode.throughput(throughput.clone()).sample_size(20);
        encode.bench_function("all parity symbols", |b| {
            b.iter(|| coder.encode(shape, &block, &mut repair).expect("a usual shape"));
        });
        encode.finish();

        let mut decode = c.benchmark_group(format!("parity, {name}: decode, symbols lost"));
        decode.throughput(throughput).sample_size(20);
        for &lost in losses {
            let (present, parity) = lose(shape, &repair, lost);
            // What is decoded is what was there, so that every turn does the same.
            decode.bench_function(BenchmarkId::from_parameter(lost), |b| {
                b.iter(|| coder.decode(shape, &mut block, &present, &parity).expect("enough symbols"));
            });
        }
        decode.finish();
    }
}

criterion_group!(benches, parity);
criterion_main!(benches);
