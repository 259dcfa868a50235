//! A receiver's work from the receive call to the store, without the socket: 64 KiB buffers of 44 symbols.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use benches::{SESSION, buffers, image};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::layout::BlockSource;
use multicast_core::manifest::Manifest;
use multicast_core::receiver::{JobRunner, Receiver, ReceiverConfig};
use multicast_core::store::MemoryStore;
use multicast_core::types::{BlockIndex, ClientId, Instant, Sequence, Slot};
use multicast_core::wire::Offer;

const SIZE: u64 = 32 << 20;
const CLIENT: ClientId = ClientId(1);
/// Bytes of a symbol's datagram.
const SEGMENT: usize = 1456;

/// A receiver that has accepted the offer of `manifest`.
fn receiver(manifest: &Manifest) -> Receiver {
    let config = ReceiverConfig {
        client: CLIENT,
        image: String::new(),
        host: "host".into(),
        staging: 16 << 20,
        wait_limit: None,
        deaf_limit: Duration::from_secs(60),
        seed: 1,
    };
    let mut receiver = Receiver::new(config, Instant::ZERO);
    let offer = Offer {
        session: SESSION,
        client: CLIENT,
        slot: Slot(0),
        group: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 1, 1)), 63000),
        source: None,
        source_specific: false,
        geometry: *manifest.layout.geometry(),
        silence_ms: 10_000,
        manifest_root: manifest.root().0,
        image: "image".into(),
        files: manifest.layout.files().to_vec(),
    };
    let mut datagram = Vec::new();
    offer.encode(&mut datagram);
    receiver.handle_datagram(Instant::ZERO, &datagram);
    receiver.accept(Instant::ZERO, None);
    receiver
}

/// The whole stream without loss, call by call.
fn stream(manifest: &Manifest, bytes: &[u8]) -> Vec<Vec<u8>> {
    let (layout, encoded) = (&manifest.layout, manifest.encode());
    let mut sequence = Sequence(0);
    let spans = (0..layout.blocks()).filter_map(|block| layout.block(BlockIndex(block)));
    let calls = spans.flat_map(|span| {
        let source = if span.source == BlockSource::Manifest { &encoded[..] } else { bytes };
        buffers(span.block, &source[span.offset as usize..][..span.len as usize], &mut sequence)
    });
    calls.collect()
}

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
            receiver.handle_group(Instant::ZERO, buffer, SEGMENT, &store);
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
                    receiver.handle_group(Instant::ZERO, buffer, SEGMENT, &store);
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
