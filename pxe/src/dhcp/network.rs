//! A subnet.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A subnet: its first address and the length of its prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    first: Ipv4Addr,
    prefix: u8,
}

/// What no subnet is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network, which is written like 10.0.0.0/24")]
pub struct ParseNetworkError(String);

impl Network {
    /// The subnet of `prefix` bits (at most 32) that `address` is in.
    #[must_use]
    pub fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { first: (u32::from(address) & mask(prefix)).into(), prefix }
    }

    /// Its first address.
    #[must_use]
    pub fn first(self) -> Ipv4Addr {
        self.first
    }

    /// Its last address, to which broadcasts go.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        (u32::from(self.first) | !mask(self.prefix)).into()
    }

    /// Its mask.
    #[must_use]
    pub fn mask(self) -> Ipv4Addr {
        mask(self.prefix).into()
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == u32::from(self.first)
    }

    /// Whether an address is in it and can be a host's.
    #[must_use]
    pub fn is_host(self, address: Ipv4Addr) -> bool {
        // A /31 has two hosts (RFC 3021), a /32 one.
        self.contains(address) && (self.prefix >= 31 || (address != self.first && address != self.broadcast()))
    }

    /// Whether they have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    /// Takes `10.0.0.0/24`; bits behind the prefix must be zero.
    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let address = address.parse().ok()?;
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
            let network = Self::of(address, prefix);
            (network.first == address).then_some(network)
        };
        parse().ok_or_else(|| ParseNetworkError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_knows_its_hosts() {
        let network: Network = "10.1.2.0/23".parse().unwrap();
        assert_eq!(network.mask(), Ipv4Addr::new(255, 255, 254, 0));
        assert_eq!(network.broadcast(), Ipv4Addr::new(10, 1, 3, 255));
        assert!(network.is_host([10, 1, 2, 255].into()));
        assert!(!network.is_host([10, 1, 2, 0].into()) && !network.is_host([10, 1, 3, 255].into()));
        assert!(!network.contains([10, 1, 4, 0].into()));
    }

    #[test]
    fn the_shortest_and_the_longest_prefix_do_no_harm() {
        assert!(Network::of([1, 2, 3, 4].into(), 0).contains([9, 9, 9, 9].into()));
        let one = Network::of([1, 2, 3, 4].into(), 32);
        assert!(one.is_host([1, 2, 3, 4].into()) && !one.contains([1, 2, 3, 5].into()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["10.0.0.0", "10.0.0.1/24", "10.0.0.0/33", "10.0.0/24", "/24", ""] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
