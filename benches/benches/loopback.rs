//! A whole session over real sockets on loopback: join, stream, write, verify, name, release.

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use multicast_core::address::{AddressPool, DEFAULT_PORTS};
use multicast_core::engine::{Client, ClientConfig, Engine, EngineConfig, SessionConfig};
use multicast_core::image::Delivery;
use multicast_core::layout::{DEFAULT_SYMBOL_SIZE, Geometry, Layout};
use multicast_core::manifest::{self, Manifest};
use multicast_core::net;
use multicast_core::pace::Profile;
use multicast_core::store::TargetOptions;
use multicast_core::types::ClientId;

const SIZE: usize = 32 << 20;

/// One session of one client; the image is hashed beforehand.
fn run(engine: &Engine, image: &Path, copy: &Path, manifest: &Manifest, profile: Profile) {
    let delivery = Delivery::open(&[image.to_owned()]).expect("the image is there");
    let session = engine
        .start_session(SessionConfig::new("image", profile), delivery, manifest.clone())
        .expect("loopback carries a session");
    let client = Client::start(ClientConfig {
        server: engine.control_address(),
        interface: net::choose(Some("lo")).expect("every host has loopback"),
        image: "image".into(),
        output: copy.to_owned(),
        fresh: true,
        host: "host".into(),
        target: TargetOptions::new(ClientId(1)),
        wait_limit: Some(Duration::from_secs(30)),
        deaf_limit: Duration::from_secs(30),
        staging: 16 << 20,
        receive_buffer: 8 << 20,
        seed: 1,
    });
    client.and_then(Client::wait).expect("the client gets the image");
    session.wait().expect("the session ends");
}

fn loopback(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let (image, copy) = (folder.path().join("image"), folder.path().join("copy"));
    let mut rng = fastrand::Rng::with_seed(1);
    std::fs::write(&image, std::iter::repeat_with(|| rng.u8(..)).take(SIZE).collect::<Vec<_>>()).expect("room for it");
    let delivery = Delivery::open(std::slice::from_ref(&image)).expect("written above");
    let geometry = Geometry::for_size(delivery.size(), DEFAULT_SYMBOL_SIZE);
    let layout = Layout::new(geometry, delivery.file_entries()).expect("a sound geometry");
    let manifest = manifest::build(&delivery, &layout, 0, |_| {}, &Default::default()).expect("readable");
    let engine = Engine::start(EngineConfig {
        interface: net::choose(Some("lo")).expect("every host has loopback"),
        control_port: 0,
        addresses: AddressPool::parse("auto", 1).expect("the default pool"),
        ports: DEFAULT_PORTS,
        total_rate: None,
        content: None,
        seed: u64::from(std::process::id()),
    })
    .expect("a free port");

    let mut group = c.benchmark_group("loopback session, 32 MiB to one client");
    group.throughput(Throughput::Bytes(SIZE as u64)).sample_size(10);
    for (name, profile) in [("at 1 Gbit/s", Profile::Gigabit), ("at 10 Gbit/s", Profile::TenGigabit)] {
        group.bench_function(name, |b| b.iter(|| run(&engine, &image, &copy, &manifest, profile)));
    }
    group.finish();
}

criterion_group!(benches, loopback);
criterion_main!(benches);
