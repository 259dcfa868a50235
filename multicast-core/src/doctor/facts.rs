//! What the system tells of itself: routes, buffers, filters. Nothing is sent.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::net::{BufferSize, ControlSocket, Interface, MulticastSender, NetError, SenderOptions, interfaces};

/// By which way packets leave for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFacts {
    /// Where to.
    pub to: IpAddr,
    /// The interface, if there is a way.
    pub by: Option<String>,
    /// The one that was chosen.
    pub chosen: String,
    /// What arrives there from a host that is reached by another interface is dropped (`rp_filter` 1,
    /// RFC 3704 §2.2).
    pub strict: bool,
}

/// A socket buffer, and the system's limit for it, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferFacts {
    /// Asked for and granted.
    pub size: BufferSize,
    /// The most that an ordinary user gets, where it is known.
    pub limit: Option<usize>,
}

/// Whether a firewall of this host may drop what arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firewall {
    /// Nothing filters.
    None,
    /// This does; the rules say what.
    Filters(&'static str),
    /// It cannot be told, and why.
    Unknown(&'static str),
}

/// By which way packets leave for `to`, where `chosen` is the interface that is meant.
pub fn route(to: SocketAddr, chosen: &Interface) -> RouteFacts {
    let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        // The system only looks up the route.
        socket.connect(to)?;
        io::Result::Ok(socket.local_addr()?.ip())
    };
    let by = source().ok().and_then(|source| owner(source, chosen));
    let filter = |name: &str| number(&format!("/proc/sys/net/ipv4/conf/{name}/rp_filter")).unwrap_or(0);
    // The greater of both counts.
    let strict = to.is_ipv4() && filter("all").max(filter(&chosen.name)) == 1;
    RouteFacts { to: to.ip(), by, chosen: chosen.name.clone(), strict }
}

/// The name of the interface that has `address`: `chosen`, if it has.
fn owner(address: IpAddr, chosen: &Interface) -> Option<String> {
    let has = |interface: &Interface| match address {
        IpAddr::V4(v4) => interface.v4.contains(&v4),
        IpAddr::V6(v6) => interface.v6.contains(&v6),
    };
    if has(chosen) {
        return Some(chosen.name.clone());
    }
    interfaces().ok()?.into_iter().find(has).map(|interface| interface.name)
}

/// The receive buffer that a socket gets that asks for `bytes`.
pub fn receive_buffer(bytes: usize) -> Result<BufferFacts, NetError> {
    let socket = ControlSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), bytes)?;
    Ok(BufferFacts { size: socket.receive_buffer(), limit: number("/proc/sys/net/core/rmem_max") })
}

/// The send buffer that a stream to `group` through `interface` gets that asks for `bytes`.
pub fn send_buffer(interface: &Interface, group: IpAddr, bytes: usize) -> Result<BufferFacts, NetError> {
    let options = SenderOptions { send_buffer: bytes, ..SenderOptions::default() };
    let size = MulticastSender::new(interface, group, &options)?.send_buffer();
    Ok(BufferFacts { size, limit: number("/proc/sys/net/core/wmem_max") })
}

/// Whether the interface is a radio: access points send multicast at their lowest rate.
pub fn is_wireless(interface: &Interface) -> bool {
    let folder = Path::new("/sys/class/net").join(&interface.name);
    folder.join("wireless").exists() || folder.join("phy80211").exists()
}

/// Whether nftables or iptables filter what arrives.
pub fn firewall() -> Firewall {
    let old = fs::read_to_string("/proc/net/ip_tables_names");
    if old.as_ref().is_ok_and(|tables| tables.lines().any(|table| table == "filter")) {
        return Firewall::Filters("iptables");
    }
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let Some(nft) = folders.iter().map(|folder| Path::new(folder).join("nft")).find(|path| path.exists()) else {
        return Firewall::Unknown("nft is not installed");
    };
    let listed = Command::new(nft).args(["list", "ruleset"]).stdin(Stdio::null()).stderr(Stdio::null()).output();
    match listed {
        Ok(listed) if listed.status.success() => {
            let rules = String::from_utf8_lossy(&listed.stdout);
            match rules.contains("hook input") || rules.contains("hook prerouting") || rules.contains("hook ingress") {
                true => Firewall::Filters("nftables"),
                false => Firewall::None,
            }
        }
        _ => Firewall::Unknown("only root may read its rules"),
    }
}

fn number(path: &str) -> Option<usize> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::choose;

    #[test]
    fn a_route_to_loopback_leaves_by_it() {
        let lo = choose(Some("lo")).unwrap();
        let facts = route("127.0.0.1:9".parse().unwrap(), &lo);
        assert_eq!((facts.by.as_deref(), facts.to), (Some("lo"), IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn buffers_are_told_as_granted() {
        let facts = receive_buffer(100_000).unwrap();
        assert_eq!(facts.size.asked, 100_000);
        assert!(facts.size.granted > 0);
        let lo = choose(Some("lo")).unwrap();
        assert!(send_buffer(&lo, [239, 194, 0, 1].into(), 100_000).unwrap().size.granted > 0);
    }
}
