//! The UDP ports from which sessions get theirs.

use std::fmt;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::str::FromStr;

use super::error::PortError;

/// Ports of sessions if nobody says otherwise: above what systems give to clients by themselves.
pub const DEFAULT_PORTS: PortRange = PortRange { first: 63_000, last: 64_000 };

/// UDP ports from `first` to `last`, both included, none of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The ports from `first` to `last`.
    pub fn new(first: u16, last: u16) -> Result<Self, PortError> {
        if first > last {
            Err(PortError::Backwards { first, last })
        } else if first == 0 {
            Err(PortError::Zero { text: format!("{first}-{last}") })
        } else {
            Ok(Self { first, last })
        }
    }

    /// Its lowest port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Its highest port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Ports in it, at least one.
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// Each port once, from one on that the seed chooses, so that two servers seldom start at the same.
    pub fn from_seed(self, seed: u64) -> impl Iterator<Item = u16> {
        let start = fastrand::Rng::with_seed(seed).u16(self.first..=self.last);
        (start..=self.last).chain(self.first..start)
    }
}

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let port = |part: &str| part.trim().parse::<u16>().map_err(|_| PortError::Syntax { text: text.to_owned() });
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first == 0 || last == 0 {
            return Err(PortError::Zero { text: text.trim().to_owned() });
        }
        Self::new(first, last)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A port of `range` that nobody on this host holds at `local`, tried from one on that `seed` chooses.
///
/// It is bound to find out and released again: another program may still come in between.
pub fn find_free_port(range: PortRange, local: IpAddr, seed: u64) -> Result<u16, PortError> {
    for port in range.from_seed(seed) {
        match UdpSocket::bind((local, port)) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(PortError::Bind { port, local, source }),
        }
    }
    Err(match range.count() {
        1 => PortError::Taken { port: range.first, local },
        count => PortError::AllTaken { range, count, local },
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn refusal(text: &str) -> String {
        text.parse::<PortRange>().unwrap_err().to_string()
    }

    #[test]
    fn ranges_are_read_and_written() {
        let range: PortRange = "63000-64000".parse().unwrap();
        assert_eq!(range, DEFAULT_PORTS);
        assert_eq!(range.count(), 1001);
        assert_eq!(range.to_string(), "63000-64000");
        assert_eq!(" 9 ".parse::<PortRange>().unwrap().to_string(), "9");
    }

    #[test]
    fn bad_ranges_are_refused_with_the_reason() {
        assert_eq!(refusal("9-1"), "port range 9-1 ends before it starts");
        assert_eq!(refusal("0-5"), "port range 0-5 contains port 0, the lowest one is 1");
        assert_eq!(refusal("0"), "port range 0 contains port 0, the lowest one is 1");
        let syntax = "\"1-70000\" is no port and no range of ports, which are numbers from 1 to 65535";
        assert_eq!(refusal("1-70000"), syntax);
        assert!("".parse::<PortRange>().is_err());
        assert!("1-2-3".parse::<PortRange>().is_err());
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over_or_named() {
        let held = UdpSocket::bind((LOCAL, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let only = PortRange::new(port, port).unwrap();
        let error = find_free_port(only, LOCAL, 1).unwrap_err();
        assert_eq!(error.to_string(), format!("UDP port {port} is in use on 127.0.0.1"));
        let around = PortRange::new(port.saturating_sub(20), port.saturating_add(20)).unwrap();
        assert_ne!(find_free_port(around, LOCAL, 1).unwrap(), port);
        drop(held);
        assert_eq!(find_free_port(only, LOCAL, 1).unwrap(), port);
    }

    #[test]
    fn an_address_of_another_host_is_an_error_and_no_taken_port() {
        let elsewhere = IpAddr::from([203, 0, 113, 1]);
        assert!(matches!(find_free_port(DEFAULT_PORTS, elsewhere, 1), Err(PortError::Bind { .. })));
    }

    proptest! {
        #[test]
        fn each_port_comes_once(first in 1_u16.., length in 0_u16..300, seed: u64) {
            let range = PortRange::new(first, first.saturating_add(length)).unwrap();
            let mut ports: Vec<_> = range.from_seed(seed).collect();
            ports.sort_unstable();
            prop_assert_eq!(ports, (range.first()..=range.last()).collect::<Vec<_>>());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9-]{0,12}|.*") {
            if let Ok(range) = text.parse::<PortRange>() {
                prop_assert_eq!(range.to_string().parse::<PortRange>().unwrap(), range);
            }
        }
    }
}
