//! Real firmware that boots from the network: diskless QEMU machines at the lab's switch, and who serves them.
//!
//! A boot ends at a Linux kernel whose first program prints [`MARKER`] on the serial console: that is the judge.

mod bench;
mod dnsmasq;
mod machine;
mod ours;
mod parts;

pub(super) use bench::{BOOT_LIMIT, Bench, Mode};
pub(super) use machine::{Firmware, Kernel, Machine, Spec};
pub(super) use ours::OURS;

/// What the booted kernel's first program prints, before its command line.
pub(super) const MARKER: &str = "LAB-MARKER";
