//! What the tests of `mcast-server` share.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod database;
pub mod http;
pub mod point;
pub mod program;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use multicast_core::engine::{Client, ClientConfig};
use multicast_core::net;
use multicast_core::store::TargetOptions;
use multicast_core::types::ClientId;
use tempfile::TempDir;

pub use program::{LIMIT, Program};

/// A folder with an image in it.
pub struct Room {
    pub folder: TempDir,
    pub image: PathBuf,
}

impl Room {
    pub fn new(bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image.bin");
        // No two blocks alike, so that any misplaced one shows.
        let content: Vec<u8> =
            (0..bytes.div_ceil(8) as u64).flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect();
        std::fs::write(&image, &content[..bytes]).unwrap();
        Self { folder, image }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `mcast-server send` of the image on loopback, with NDJSON and any free control port.
    pub fn send(&self, arguments: &[&str]) -> Program {
        let mut command = server();
        command.arg("send").arg(&self.image).args(["--interface", "lo", "--control-port", "0", "--json"]);
        Program::start(command.args(arguments).env("XDG_CACHE_HOME", self.path("cache")))
    }

    /// A client in this process that stores the image as `name`.
    pub fn client(&self, server: SocketAddr, number: u64, name: &str) -> Client {
        self.client_of("", server, number, name)
    }

    /// The same for the image of this name.
    pub fn client_of(&self, image: &str, server: SocketAddr, number: u64, name: &str) -> Client {
        Client::start(ClientConfig {
            server,
            interface: net::choose(Some("lo")).unwrap(),
            image: image.to_owned(),
            output: self.path(name),
            fresh: false,
            host: format!("pc-{number}"),
            target: TargetOptions::new(ClientId(number)),
            wait_limit: Some(LIMIT),
            deaf_limit: Duration::from_secs(30),
            staging: 16 << 20,
            receive_buffer: 4 << 20,
            seed: number,
        })
        .unwrap()
    }

    pub fn is_identical(&self, name: &str) -> bool {
        std::fs::read(&self.image).unwrap() == std::fs::read(self.path(name)).unwrap()
    }
}

pub fn server() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mcast-server"))
}

/// Runs `mcast-server` with these arguments in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> program::Ended {
    Program::start(server().args(arguments).current_dir(folder)).end()
}

/// Where clients ask, by the event `session`.
pub fn control(server: &mut Program) -> SocketAddr {
    server.event("session")["control"].as_str().unwrap().parse().unwrap()
}
