//! Engine that streams one disk image to many machines at once over IP multicast.
//!
//! An image is cut into blocks and symbols ([`layout`]), every block has a hash ([`manifest`]), and
//! lost symbols are replaced by fresh parity ([`codec`]): one parity symbol repairs a different loss
//! at every client. A [`sender`] and its [`receiver`]s are state machines without I/O; [`sim`] runs
//! thousands of them in virtual time, [`engine`] runs them over real sockets, files and threads.
//!
//! # Embedding
//!
//! ```
//! use std::time::Duration;
//! use multicast_core::engine::{Client, ClientConfig, Engine, EngineConfig, SessionConfig};
//! use multicast_core::image::Delivery;
//! use multicast_core::layout::{DEFAULT_SYMBOL_SIZE, Geometry, Layout};
//! use multicast_core::{manifest, net, pace::Profile, store::TargetOptions, types::ClientId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let (image, copy) = (folder.path().join("image"), folder.path().join("copy"));
//! std::fs::write(&image, vec![7; 1_000_000])?;
//!
//! // The server: open and hash the image, start an engine, start a session.
//! let delivery = Delivery::open(&[image.clone()])?;
//! let geometry = Geometry::for_size(delivery.size(), DEFAULT_SYMBOL_SIZE);
//! let layout = Layout::new(geometry, delivery.file_entries())?;
//! let manifest = manifest::build(&delivery, &layout, 0, |_bytes| {}, &Default::default())?;
//! let seed = u64::from(std::process::id());
//! let engine = Engine::start(EngineConfig { control_port: 0, ..EngineConfig::new(net::choose(Some("lo"))?, seed)? })?;
//! let session = engine.start_session(SessionConfig::new("image", Profile::Gigabit), delivery, manifest)?;
//!
//! // A client, here in the same process.
//! let client = Client::start(ClientConfig {
//!     server: engine.control_address(),
//!     interface: net::choose(Some("lo"))?,
//!     image: "image".into(),
//!     output: copy.clone(),
//!     fresh: false,
//!     host: "machine-1".into(),
//!     target: TargetOptions::new(ClientId(seed)),
//!     wait_limit: Some(Duration::from_secs(30)),
//!     deaf_limit: Duration::from_secs(30),
//!     staging: 16 << 20,
//!     receive_buffer: 4 << 20,
//!     seed,
//! })?;
//!
//! // Events come as they happen, snapshots on request; both sides can be cancelled.
//! for event in session.events() {
//!     println!("{event:?}");
//! }
//! assert_eq!(session.wait()?.snapshot.clients.len(), 1);
//! client.wait()?;
//! assert!(std::fs::read(&image)? == std::fs::read(&copy)?);
//! # Ok(())
//! # }
//! ```
//!
//! # Driving the machines yourself
//!
//! Whatever carries datagrams can carry a session. The whole loop, with a sender, one receiver and a
//! network that is two vectors:
//!
//! ```
//! use std::time::Duration;
//! use multicast_core::layout::{BlockSource, FileEntry, Geometry, Layout};
//! use multicast_core::manifest::{Hash, Manifest};
//! use multicast_core::pace::Rate;
//! use multicast_core::receiver::{JobRunner, Receiver, ReceiverConfig, ReceiverEvent};
//! use multicast_core::sender::{Sender, SenderConfig, StartPolicy, Transmit};
//! use multicast_core::store::MemoryStore;
//! use multicast_core::types::{BlockIndex, ClientId, Instant, SessionId, SymbolIndex};
//! use multicast_core::wire::Symbol;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let image = vec![7; 100_000];
//! let files = vec![FileEntry { name: "image".into(), size: image.len() as u64 }];
//! let layout = Layout::new(Geometry::for_size(image.len() as u64, 1440), files)?;
//! let blocks = (layout.manifest_blocks()..layout.blocks()).filter_map(|b| layout.block(BlockIndex(b)));
//! let hashes = blocks.map(|b| Hash::of(&image[b.offset as usize..][..b.len as usize])).collect();
//! let manifest = Manifest { layout: layout.clone(), hashes };
//! let encoded = manifest.encode();
//!
//! let session = SessionId(1);
//! let mut now = Instant::ZERO;
//! let mut sender = Sender::new(
//!     SenderConfig {
//!         session,
//!         image: "image".into(),
//!         group: "239.194.0.1:63000".parse()?,
//!         source: None,
//!         source_specific: false,
//!         layout: layout.clone(),
//!         manifest_root: manifest.root().0,
//!         priority: vec![],
//!         start: StartPolicy::default(),
//!         max_clients: None,
//!         silence: Duration::from_secs(30),
//!         keep_open: false,
//!         rate: Rate::from_mbit(100),
//!         burst: 15_000,
//!         adaptive: None,
//!         first_rate: None,
//!         batch: 8,
//!         headers: 42,
//!     },
//!     now,
//! );
//! let config = ReceiverConfig {
//!     client: ClientId(1),
//!     image: String::new(),
//!     host: "machine-1".into(),
//!     staging: 16 << 20,
//!     wait_limit: None,
//!     deaf_limit: Duration::from_secs(30),
//!     seed: 1,
//! };
//! let mut receiver = Receiver::new(config, now);
//! let store = MemoryStore::new(&layout);
//! let mut runner = JobRunner::new(*layout.geometry());
//!
//! while !(sender.is_finished() && receiver.is_finished()) {
//!     // The sender: a deadline that has come, then what goes out, then what there is to tell.
//!     if sender.poll_timeout(now).is_some_and(|due| due <= now) {
//!         sender.handle_timeout(now);
//!     }
//!     while let Some(transmit) = sender.poll_transmit(now) {
//!         match transmit {
//!             Transmit::Client(_, datagram) => receiver.handle_datagram(now, &datagram),
//!             Transmit::Group(datagram) => receiver.handle_group(now, &datagram, datagram.len(), &store),
//!             Transmit::Symbols { run, sequence } => {
//!                 let span = layout.block(run.block).expect("the sender has this layout");
//!                 let bytes = if span.source == BlockSource::Manifest { &encoded } else { &image };
//!                 for i in 0..run.count {
//!                     // Nothing is lost here, so that no parity is ever asked for.
//!                     let symbol = SymbolIndex(run.first.0 + i);
//!                     let start = span.offset as usize + usize::from(symbol.0) * 1440;
//!                     let mut payload = bytes[start..bytes.len().min(start + 1440)].to_vec();
//!                     payload.resize(1440, 0);
//!                     let sequence = sequence.plus(i.into());
//!                     let head = Symbol { session, block: run.block, symbol, sequence, payload: &[] }.header();
//!                     let datagram = [&head[..], &payload].concat();
//!                     receiver.handle_group(now, &datagram, datagram.len(), &store);
//!                 }
//!             }
//!         }
//!     }
//!     while let Some(_event) = sender.poll_event() {}
//!
//!     // The receiver: its deadline, its jobs, its events, its datagrams.
//!     if receiver.poll_timeout().is_some_and(|due| due <= now) {
//!         receiver.handle_timeout(now);
//!     }
//!     while let Some(job) = receiver.poll_job() {
//!         receiver.handle_job(now, runner.run(job, &store));
//!     }
//!     while let Some(event) = receiver.poll_event() {
//!         if let ReceiverEvent::Offered { .. } = event {
//!             receiver.accept(now, None);
//!         }
//!     }
//!     while let Some(datagram) = receiver.poll_transmit() {
//!         sender.handle_datagram(now, "10.0.0.1:40000".parse()?, &datagram);
//!     }
//!     now = now + Duration::from_micros(100);
//! }
//! assert_eq!(store.file(0), image);
//! # Ok(())
//! # }
//! ```

pub mod address;
pub mod bitmap;
pub mod codec;
pub mod doctor;
pub mod engine;
pub mod image;
pub mod layout;
pub mod manifest;
pub mod net;
pub mod pace;
pub mod receiver;
pub mod sender;
pub mod sim;
pub mod store;
pub mod types;
pub mod wire;
