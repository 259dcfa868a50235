//! A receiver's work from the receive call to the store, without the socket: 64 KiB buffers of 44 symbols.

use benches::{image, receiver, stream};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::receiver::{JobRunner, Receiver};
use multicast_core::store::MemoryStore;
use multicast_core::types::Instant;

const SIZE: u64 = 32 << 20;

fn intake(c: &mut Criterion) {
    let (manifest, bytes) = image(SIZE);
    let stream = stream(&manifest, &bytes);
    // Written before, so that its pages are there.
    let store = MemoryStore::new(&manifest.layout);
    let mut runner = JobRunner::new(*manifest.layout.geometry());
    let mut group = c.benchmark_group("intake of 32 MiB");
    group.throughput(Throughput::Bytes(SIZE));
    group.sample_size(20);
    let take = |receiver: &mut Receiver| {
        for buffer in &stream {
            receiver.handle_group(Instant::ZERO, buffer, benches::SEGMENT, &store);
        }
    };
    take(&mut receiver(&manifest));
    group.bench_function("to memory", |b| {
        b.iter_batched_ref(|| receiver(&manifest), |receiver| take(receiver), BatchSize::PerIteration);
    });
    group.bench_function("to memory, hashed and verified in the same thread", |b| {
        b.iter_batched_ref(
            || receiver(&manifest),
            |receiver| {
                for buffer in &stream {
                    receiver.handle_group(Instant::ZERO, buffer, benches::SEGMENT, &store);
                    while let Some(job) = receiver.poll_job() {
                        let done = runner.run(job, &store);
                        receiver.handle_job(Instant::ZERO, done);
                    }
                }
                assert_eq!(receiver.snapshot().verified_bytes, SIZE);
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, intake);
criterion_main!(benches);
