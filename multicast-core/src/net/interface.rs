//! The host's network interfaces, and which of them is meant.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::error::InterfaceError;
use super::sys;

/// A network interface of this host, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Interface {
    /// The name by which people know it.
    pub name: String,
    /// The number by which the system knows it.
    pub index: u32,
    /// Its IPv4 addresses, the primary one first.
    pub v4: Vec<Ipv4Addr>,
    /// Its IPv6 addresses.
    pub v6: Vec<Ipv6Addr>,
    /// Somebody has switched it on.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// It carries multicast to other machines.
    pub multicast: bool,
    /// It reaches this host only.
    pub loopback: bool,
    /// Bytes of the largest IP packet it carries in one frame.
    pub mtu: usize,
    /// Speed of its link in 10⁶ bits per second, where the system knows it.
    pub link_speed: Option<u32>,
}

impl Interface {
    /// The address from which it reaches `group`, `None` without one of the group's family.
    pub fn address_for(&self, group: IpAddr) -> Option<IpAddr> {
        match group {
            IpAddr::V4(_) => self.v4.first().copied().map(IpAddr::V4),
            // Every link has a link-local one, which routers do not pass on: the last choice.
            IpAddr::V6(_) => {
                self.v6.iter().min_by_key(|address| address.is_unicast_link_local()).copied().map(IpAddr::V6)
            }
        }
    }

    /// `ip` and `port`, with the interface's index where an IPv6 address means nothing without one.
    pub fn socket_address(&self, ip: IpAddr, port: u16) -> SocketAddr {
        match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, port),
            IpAddr::V6(v6) => {
                let scope = if v6.is_unicast_link_local() || v6.is_multicast() { self.index } else { 0 };
                SocketAddrV6::new(v6, port, 0, scope).into()
            }
        }
    }

    /// Why it can't carry a session, `None` if it can.
    fn defect(&self) -> Option<&'static str> {
        if !self.up {
            Some("is down")
        } else if !self.multicast && !self.loopback {
            Some("carries no multicast")
        } else if self.v4.is_empty() && self.v6.is_empty() {
            Some("has no address")
        } else {
            None
        }
    }

    /// Whether it could be meant without being named.
    fn is_candidate(&self) -> bool {
        let addressed = !self.v4.is_empty() || self.v6.iter().any(|address| !address.is_unicast_link_local());
        self.defect().is_none() && self.running && !self.loopback && addressed
    }

    /// Whether `address` is one of its own.
    pub fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.v4.contains(&v4),
            IpAddr::V6(v6) => self.v6.contains(&v6),
        }
    }
}

/// Its name and, in parentheses, its addresses.
impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<_> = self.v4.iter().map(ToString::to_string).collect();
        addresses.extend(self.v6.iter().map(ToString::to_string));
        if addresses.is_empty() {
            addresses.push("no address".to_owned());
        }
        write!(f, "{} ({})", self.name, addresses.join(", "))
    }
}

/// All interfaces of this host.
pub fn interfaces() -> Result<Vec<Interface>, InterfaceError> {
    sys::interfaces().map_err(|source| InterfaceError::List { source })
}

/// The interface that `spec` names by its name or by one of its addresses; without `spec` the only
/// one that reaches other machines.
pub fn choose(spec: Option<&str>) -> Result<Interface, InterfaceError> {
    choose_from(interfaces()?, spec)
}

fn choose_from(all: Vec<Interface>, spec: Option<&str>) -> Result<Interface, InterfaceError> {
    let Some(spec) = spec else {
        let (mut candidates, others): (Vec<_>, Vec<_>) = all.into_iter().partition(Interface::is_candidate);
        return match (candidates.pop(), candidates.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                candidates.push(last);
                Err(InterfaceError::Required { candidates })
            }
            (None, _) => Err(InterfaceError::NoneUsable { candidates: others }),
        };
    };
    let address = spec.parse::<IpAddr>().ok();
    let meant = |interface: &&Interface| match address {
        Some(address) => interface.has(address),
        None => interface.name == spec,
    };
    let Some(found) = all.iter().find(meant) else {
        return Err(InterfaceError::Unknown { spec: spec.to_owned(), candidates: all });
    };
    let mut found = found.clone();
    if let Some(reason) = found.defect() {
        return Err(InterfaceError::Unusable { name: found.name, reason });
    }
    // An address that was asked for by name is the one to send from.
    match address {
        Some(IpAddr::V4(v4)) => found.v4.sort_by_key(|address| *address != v4),
        Some(IpAddr::V6(v6)) => found.v6.sort_by_key(|address| *address != v6),
        None => {}
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, v4: &[[u8; 4]]) -> Interface {
        Interface {
            name: name.to_owned(),
            index: 2,
            v4: v4.iter().copied().map(Ipv4Addr::from).collect(),
            v6: Vec::new(),
            up: true,
            running: true,
            multicast: true,
            loopback: false,
            mtu: 1500,
            link_speed: None,
        }
    }

    fn loopback() -> Interface {
        Interface { loopback: true, multicast: false, ..interface("lo", &[[127, 0, 0, 1]]) }
    }

    #[test]
    fn the_only_one_that_reaches_others_is_chosen() {
        let unplugged = Interface { running: false, ..interface("eth1", &[[10, 0, 0, 1]]) };
        let bare = interface("eth2", &[]);
        let all = vec![loopback(), interface("eth0", &[[192, 0, 2, 2]]), unplugged, bare];
        assert_eq!(choose_from(all, None).unwrap().name, "eth0");
    }

    #[test]
    fn more_than_one_are_listed_with_their_addresses() {
        let all =
            vec![interface("eth0", &[[192, 0, 2, 2]]), loopback(), interface("eth1", &[[10, 0, 0, 1], [10, 0, 0, 2]])];
        assert_eq!(
            choose_from(all, None).unwrap_err().to_string(),
            "--interface is required: it could be eth0 (192.0.2.2), eth1 (10.0.0.1, 10.0.0.2)"
        );
        assert_eq!(
            choose_from(vec![loopback()], None).unwrap_err().to_string(),
            "--interface is required: none but loopback is up and has an address; there are lo (127.0.0.1)"
        );
    }

    #[test]
    fn an_interface_is_found_by_name_or_address() {
        let all = vec![loopback(), interface("eth1", &[[10, 0, 0, 1], [10, 0, 0, 2]])];
        assert_eq!(choose_from(all.clone(), Some("lo")).unwrap().name, "lo");
        let chosen = choose_from(all.clone(), Some("10.0.0.2")).unwrap();
        assert_eq!(chosen.address_for(IpAddr::from([239, 1, 1, 1])), Some(IpAddr::from([10, 0, 0, 2])));
        assert_eq!(
            choose_from(all, Some("eth7")).unwrap_err().to_string(),
            "interface \"eth7\" does not exist; there are lo (127.0.0.1), eth1 (10.0.0.1, 10.0.0.2)"
        );
    }

    #[test]
    fn an_interface_that_cannot_carry_a_session_says_why() {
        let down = Interface { up: false, ..interface("eth1", &[[10, 0, 0, 1]]) };
        let refusal = |interface: Interface| choose_from(vec![interface], Some("eth1")).unwrap_err().to_string();
        assert_eq!(refusal(down), "interface eth1 cannot be used: it is down");
        assert_eq!(refusal(interface("eth1", &[])), "interface eth1 cannot be used: it has no address");
    }

    #[test]
    fn this_host_has_a_loopback_interface() {
        let lo = choose(Some("127.0.0.1")).unwrap();
        assert!(lo.loopback && lo.up && lo.index > 0 && lo.mtu >= 1500, "{lo:?}");
    }
}
