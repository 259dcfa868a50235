//! What the tests of `mcast-client` share.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

// One helper for the programs of both sides.
#[path = "../../../mcast-server/tests/support/program.rs"]
pub mod program;

pub mod deaf;
pub mod http;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use multicast_core::engine::{ContentLocation, Engine, EngineConfig, Session, SessionConfig};
use multicast_core::image::Delivery;
use multicast_core::layout::{DEFAULT_SYMBOL_SIZE, Geometry, Layout};
use multicast_core::manifest::Manifest;
use multicast_core::pace::{Profile, Rate};
use multicast_core::sender::LadderConfig;
use multicast_core::{manifest, net};
use tempfile::TempDir;

use self::http::Content;

#[allow(unused_imports, reason = "not every test file uses both")]
pub use program::{LIMIT, Program};

/// A server in this process, and a folder with its image.
pub struct Room {
    pub folder: TempDir,
    pub image: PathBuf,
    pub engine: Engine,
}

impl Room {
    pub fn new(bytes: usize) -> Self {
        Self::with_content(bytes, |_| None)
    }

    /// With content for single clients, where `content` says for the image and its manifest.
    pub fn with_content(bytes: usize, content: impl FnOnce(Content) -> Option<ContentLocation>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.bin");
        // No two blocks alike, so that any misplaced one shows.
        let words = 0..bytes.div_ceil(8) as u64;
        let mut image: Vec<u8> = words.flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect();
        image.truncate(bytes);
        std::fs::write(&path, &image).unwrap();
        let content = content(Content { name: "image.bin", manifest: hashes(&path).1.encode(), image, hello: None });
        // Of its own, so that the rooms of tests that run at the same time stay apart.
        let seed = RandomState::new().build_hasher().finish();
        let engine = Engine::start(EngineConfig {
            control_port: 0,
            content,
            ..EngineConfig::new(net::choose(Some("lo")).unwrap(), seed).unwrap()
        });
        Self { folder, image: path, engine: engine.unwrap() }
    }

    /// Begins a session that serves the image under this name; whoever does not hear it is left to HTTP.
    pub fn serve(&self, name: &str, mbit: u64) -> Session {
        let (delivery, manifest) = hashes(&self.image);
        let mut config = SessionConfig::new(name, Profile::Custom(Rate::from_mbit(mbit)));
        config.ladder = LadderConfig { deaf: false, ..LadderConfig::default() };
        self.engine.start_session(config, delivery, manifest).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `mcast-client receive` from this server into `output`, in the room's folder.
    pub fn receive(&self, output: &str) -> Command {
        self.receive_at(self.engine.control_address(), output)
    }

    /// The same from what answers at `server`.
    pub fn receive_at(&self, server: SocketAddr, output: &str) -> Command {
        let mut command = client();
        command.args(["receive", "--server", &server.to_string(), "--output", output]);
        command.args(["--wait", "60s"]).current_dir(self.folder.path());
        command
    }

    pub fn is_identical(&self, name: &str) -> bool {
        std::fs::read(&self.image).unwrap() == std::fs::read(self.path(name)).unwrap()
    }
}

/// An image and its manifest.
fn hashes(image: &PathBuf) -> (Delivery, Manifest) {
    let delivery = Delivery::open(std::slice::from_ref(image)).unwrap();
    let geometry = Geometry::for_size(delivery.size(), DEFAULT_SYMBOL_SIZE);
    let layout = Layout::new(geometry, delivery.file_entries()).unwrap();
    let manifest = manifest::build(&delivery, &layout, 0, |_| {}, &AtomicBool::new(false)).unwrap();
    (delivery, manifest)
}

pub fn client() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mcast-client"))
}
