//! dnsmasq, as every part of the lab runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::tools;

/// The program.
pub(crate) fn program() -> Result<PathBuf> {
    tools::find("dnsmasq").context("dnsmasq is not installed")
}

/// Arguments with which it does nothing yet, at `eth0` of its namespace; what it writes has `name` in `folder`.
pub(crate) fn idle(command: &mut Command, folder: &Path, name: &str) {
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0"]);
    command.args(["--bind-interfaces", "--user=root", "--log-facility=-", "--no-ping"]);
    command.arg(format!("--dhcp-leasefile={}/{name}.leases", folder.display()));
    command.arg(format!("--pid-file={}/{name}.pid", folder.display()));
}
