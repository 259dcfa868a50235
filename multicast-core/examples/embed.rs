//! Both sides in one process: serves a file on loopback, receives it, compares.
//!
//! ```text
//! cargo run --release --example embed [FILE]
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use multicast_core::address::{AddressPool, DEFAULT_PORTS};
use multicast_core::engine::{Client, ClientConfig, Engine, EngineConfig, Session, SessionConfig};
use multicast_core::image::Delivery;
use multicast_core::layout::{DEFAULT_SYMBOL_SIZE, Geometry, Layout};
use multicast_core::pace::Profile;
use multicast_core::store::TargetOptions;
use multicast_core::types::ClientId;
use multicast_core::{manifest, net};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let image = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => {
            let path = folder.path().join("image.bin");
            std::fs::write(&path, (0..32 << 20).map(|i: u32| (i >> 10) as u8).collect::<Vec<_>>())?;
            path
        }
    };
    let copy = folder.path().join("copy.bin");

    // An engine is a control socket and whatever sessions are started on it; it lives as long as they do.
    let seed = u64::from(std::process::id());
    let engine = Engine::start(EngineConfig {
        interface: net::choose(Some("lo"))?,
        control_port: 0,
        addresses: AddressPool::parse("auto", seed)?,
        ports: DEFAULT_PORTS,
        total_rate: None,
        content: None,
        seed,
    })?;
    let session = serve(&engine, &image)?;
    let client = Client::start(ClientConfig {
        server: engine.control_address(),
        interface: net::choose(Some("lo"))?,
        image: String::new(),
        output: copy.clone(),
        fresh: false,
        host: "this-machine".to_owned(),
        target: TargetOptions::new(ClientId(seed)),
        wait_limit: Some(Duration::from_secs(10)),
        deaf_limit: Duration::from_secs(10),
        staging: 16 << 20,
        receive_buffer: 8 << 20,
        seed,
    })?;

    // Events come by channel, and the channel ends with the session; snapshots are there for the asking.
    for event in session.events() {
        println!("server: {event:?}");
        if let Some(snapshot) = session.snapshot() {
            let verified: Vec<_> = snapshot.clients.iter().map(|client| client.verified).collect();
            println!("        {:?}, verified blocks by client: {verified:?} of {}", snapshot.state, snapshot.blocks);
        }
    }
    let summary = session.wait()?;
    let received = client.wait()?;
    assert!(std::fs::read(&image)? == std::fs::read(&copy)?, "what arrived is not what was sent");
    let sent = summary.snapshot.counters.wire_bytes as f64 / summary.image_bytes as f64;
    println!("identical after {:.2} s; {sent:.3} × the image went over the wire", received.seconds);
    Ok(())
}

/// Opens, cuts and hashes an image, and starts to serve it: the first client begins the stream.
fn serve(engine: &Engine, image: &std::path::Path) -> Result<Session, Box<dyn Error>> {
    let delivery = Delivery::open(&[image.to_owned()])?;
    let geometry = Geometry::for_size(delivery.size(), DEFAULT_SYMBOL_SIZE);
    let layout = Layout::new(geometry, delivery.file_entries())?;
    // 0 threads: one a core. `manifest::load_or_build` keeps the hashes for the next start.
    let manifest = manifest::build(&delivery, &layout, 0, |_bytes| {}, &AtomicBool::new(false))?;
    Ok(engine.start_session(SessionConfig::new("image", Profile::Gigabit), delivery, manifest)?)
}
