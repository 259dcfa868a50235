//! Types of `[pxe]` with a form of their own, and the words of those that have words.

use std::fmt;
use std::net::Ipv4Addr;

use pxe::dhcp::Network as Subnet;

use super::{MenuItem, PxeMode, Unknown};
use crate::config::input::{Input, Setting, Word, Wrong};
use crate::config::kind::{Kind, Shown};

/// The first and the last address of those that are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: Ipv4Addr,
    /// Not below the first.
    pub(crate) last: Ipv4Addr,
}

impl Word for PxeMode {
    const WORDS: &'static [(&'static str, Self)] = &[("proxy", Self::Proxy), ("full", Self::Full), ("off", Self::Off)];
}

impl Word for Unknown {
    const WORDS: &'static [(&'static str, Self)] =
        &[("site", Self::Site), ("answer", Self::Answer), ("ignore", Self::Ignore)];
}

impl Word for MenuItem {
    const WORDS: &'static [(&'static str, Self)] = &[("boot", Self::Boot), ("disk", Self::Disk)];
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Setting for Range {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        let text = input.text()?.trim();
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (address(first.trim())?, address(last.trim())?);
        if first > last {
            return Err(Wrong::new(format!("it ends at {last}, before it begins")));
        }
        Ok(Self { first, last })
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

impl Setting for Subnet {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        let text = input.text()?;
        text.parse().map_err(|_| {
            let address = text.split_once('/').and_then(|(address, prefix)| {
                Some(Self::of(address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?))
            });
            match address {
                Some(network) => {
                    Wrong::new("it is an address in a network").with_help(format!("the network is \"{network}\""))
                }
                None => Wrong::new("it is no network"),
            }
        })
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

/// One host's.
impl Setting for Ipv4Addr {
    fn read(input: &Input<'_>, _: &Kind) -> Result<Self, Wrong> {
        address(input.text()?)
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

fn address(text: &str) -> Result<Ipv4Addr, Wrong> {
    let address: Ipv4Addr = text.parse().map_err(|_| Wrong::new(format!("{text:?} is no IPv4 address")))?;
    // 0.0.0.0/8 names no host (RFC 1122 §3.2.1.3).
    match address.is_multicast() || address.is_broadcast() || address.octets()[0] == 0 {
        true => Err(Wrong::new(format!("{address} is no address of one machine"))),
        false => Ok(address),
    }
}
