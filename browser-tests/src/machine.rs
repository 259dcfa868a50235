//! A machine that receives: `mcast-client` under a host name of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Uid;

use crate::programs::{self, Process};

/// A running `mcast-client receive`; killed when dropped.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    output: PathBuf,
}

impl Machine {
    /// Has `host` receive `image` from the server at `control` into `folder`.
    ///
    /// # Errors
    /// If the program is not there or cannot be started; `unshare` of util-linux gives it its host name.
    pub fn start(host: &str, image: &str, control: u16, folder: &Path) -> Result<Self> {
        Self::start_by(host, image, control, folder, &[])
    }

    /// The same without the right to a larger socket buffer than the system gives to everybody: it loses when it
    /// [stalls](Self::stall).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_modest(host: &str, image: &str, control: u16, folder: &Path) -> Result<Self> {
        Self::start_by(host, image, control, folder, &["setpriv", "--bounding-set", "-net_admin", "--"])
    }

    fn start_by(host: &str, image: &str, control: u16, folder: &Path, by: &[&str]) -> Result<Self> {
        let output = folder.join(format!("{host}.{image}"));
        let mut command = Command::new("unshare");
        if !Uid::effective().is_root() {
            command.arg("--map-root-user");
        }
        // The shell gives way to the client: signals reach it, and its exit code is its own.
        command.args(["--uts", "sh", "-c", "hostname \"$0\" && exec \"$@\"", host]);
        command.args(by);
        command.arg(programs::path("mcast-client")?).args(["receive", "--server", &format!("127.0.0.1:{control}")]);
        command.args(["--interface", "lo", "--image", image, "--json", "--output"]).arg(&output);
        let process = Process::start(&mut command, &folder.join(format!("{host}.log")))?;
        Ok(Self { process, output })
    }

    /// Waits for its end; its exit code.
    ///
    /// # Errors
    /// If it still runs after `limit`, or was killed.
    pub fn wait(&mut self, limit: Duration) -> Result<i32> {
        self.process.wait(limit)?.code().context("it was killed")
    }

    /// Stops it, as a machine does whose disk stalls: it takes nothing in until [`go_on`](Self::go_on).
    ///
    /// # Errors
    /// If it has ended.
    pub fn stall(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it has ended.
    pub fn go_on(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Where it stores the image.
    pub fn output(&self) -> &Path {
        &self.output
    }
}
