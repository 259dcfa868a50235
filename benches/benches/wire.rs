//! Reading and writing datagrams.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use benches::{SESSION, layout, noise};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::types::{BlockIndex, ClientId, Sequence, Slot, SymbolIndex};
use multicast_core::wire::{Heartbeat, Join, Offer, Packet, Poll, SessionState, Symbol};

fn symbols(c: &mut Criterion) {
    let payload = noise(1440);
    let (block, symbol) = (BlockIndex(3), SymbolIndex(2));
    let packet = Symbol { session: SESSION, block, symbol, sequence: Sequence(9), payload: &payload };
    let datagram = [packet.header().as_slice(), &payload].concat();
    let mut group = c.benchmark_group("wire, symbols");
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode a header", |b| b.iter(|| black_box(&packet).header()));
    group.bench_function("decode", |b| {
        b.iter(|| Symbol::decode(black_box(&datagram)).map(|symbol| symbol.symbol).expect("encoded above"));
    });
    group.finish();
}

fn control(c: &mut Criterion) {
    let heartbeat = Heartbeat {
        session: SESSION,
        sequence: Sequence(1000),
        poll: Poll { number: 12, first: Slot(3), count: 40, spread_ms: 2 },
        state: SessionState::Running,
        clients: 50,
        complete: 4,
        awaited: 10,
        starts_in_ms: None,
        rate_kbit: 930_000,
    };
    let join = Join { client: ClientId(1), image: "win11", host: "room-3-pc-7", credential: &[] };
    let layout = layout(64 << 30);
    let offer = Offer {
        session: SESSION,
        client: ClientId(1),
        slot: Slot(0),
        group: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 1, 1)), 63000),
        source: None,
        source_specific: false,
        geometry: *layout.geometry(),
        silence_ms: 10_000,
        manifest_root: [1; 32],
        image: "win11".into(),
        files: layout.files().to_vec(),
    };
    let mut group = c.benchmark_group("wire, control");
    group.throughput(Throughput::Elements(1));
    let mut bench = |name: &str, encode: &dyn Fn(&mut Vec<u8>)| {
        let mut datagram = Vec::new();
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| {
                datagram.clear();
                encode(&mut datagram);
            });
        });
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| Packet::decode(black_box(&datagram)).is_ok());
        });
    };
    bench("a heartbeat", &|out| heartbeat.encode(out));
    bench("a join", &|out| join.encode(out));
    bench("an offer", &|out| offer.encode(out));
    group.finish();
}

criterion_group!(benches, symbols, control);
criterion_main!(benches);
