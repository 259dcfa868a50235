//! The tools that are compared: a file for each says how its sender and its receivers are called
//! and how their success is judged.

mod http;
mod limit;
mod ours;
mod udpcast;
mod uftp;

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::race::{Party, Stage};
use crate::lab::tools;

pub(super) use http::HTTP;
pub(super) use limit::LIMIT;
pub(super) use ours::OURS;
pub(super) use udpcast::UDPCAST;
pub(super) use uftp::UFTP;

/// A tool.
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// How it is called.
    pub(super) party: fn(&Stage<'_>) -> Result<Party>,
}

/// All names, in the order of the table's columns.
pub(super) const NAMES: [&str; 5] = ["ours", "uftp", "udpcast", "http", "limit"];

/// What is installed if it is missing; a tool that cannot be had is a cell that says so.
pub(super) const PROGRAMS: [tools::Tool; 5] = [
    optional("uftp", "uftp"),
    optional("uftpd", "uftp"),
    optional("udp-sender", "udpcast"),
    optional("nginx", "nginx"),
    optional("curl", "curl"),
];

const fn optional(program: &'static str, package: &'static str) -> tools::Tool {
    tools::Tool { program, package, essential: false }
}

fn program(name: &str) -> Result<PathBuf> {
    tools::find(name).with_context(|| format!("{name} is not installed"))
}
