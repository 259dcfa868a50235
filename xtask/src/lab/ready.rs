//! When a server in a namespace can be asked.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::tools;
use crate::interrupt;
use crate::process::Running;

/// Waits until `server` has bound these UDP ports where `inside` runs programs.
pub(crate) fn wait_for_ports(
    inside: impl Fn(&Path) -> Command,
    server: &mut Running,
    ports: &[u16],
    limit: Duration,
) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        let sockets = tools::finish(inside(Path::new("/bin/cat")).arg("/proc/net/udp"))?;
        if ports.iter().all(|port| sockets.contains(&format!(":{port:04X} 00000000:0000"))) {
            return Ok(());
        }
        if server.poll()?.is_some() {
            return Err(server.complaint());
        }
        if Instant::now() > end {
            bail!("{} did not bind UDP {ports:?} within {} s", server.label(), limit.as_secs());
        }
        interrupt::sleep(Duration::from_millis(20))?;
    }
}
