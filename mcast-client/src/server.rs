//! Where the server is, and by which interface it is reached.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use multicast_core::engine::DEFAULT_CONTROL_PORT;
use multicast_core::net::{self, Interface, InterfaceError};

use crate::exit::{Exit, Failure};

/// The address that `text`, `HOST[:PORT]`, stands for; an IPv4 one where there is a choice.
pub(crate) fn resolve(text: &str) -> Result<SocketAddr, Failure> {
    let (host, port) = split(text)?;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let failed = |source: &dyn std::error::Error| {
        Failure::of(Exit::Error, source).causing(&format!("cannot find the server {host:?}"))
    };
    let mut found: Vec<_> = (host, port).to_socket_addrs().map_err(|error| failed(&error))?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| failed(&io::Error::from(io::ErrorKind::NotFound)))
}

/// The interface named, or else the one from which packets to the server leave.
pub(crate) fn interface(named: Option<&str>, server: SocketAddr) -> Result<Interface, Failure> {
    Ok(choose(named, server)?)
}

/// The same, with why there is none.
pub(crate) fn choose(named: Option<&str>, server: SocketAddr) -> Result<Interface, InterfaceError> {
    let towards = || {
        let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
        let socket = UdpSocket::bind((any, 0))?;
        // Sends nothing: the system only looks up the route.
        socket.connect(server)?;
        io::Result::Ok(socket.local_addr()?.ip().to_string())
    };
    if let (None, Ok(local)) = (named, towards())
        && let Ok(interface) = net::choose(Some(&local))
    {
        return Ok(interface);
    }
    net::choose(named)
}

/// Host and port: `host`, `host:1`, `10.0.0.1:1`, `::1`, `[::1]` or `[::1]:1`.
fn split(text: &str) -> Result<(&str, u16), Failure> {
    let wrong = |what: String| {
        Failure::new(Exit::Usage, format!("server {text:?} {what}"))
            .with_help(Some("write a host name or an address, and, if it is not 62999, its port: deploy:62999"))
    };
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(|| wrong("is no address".to_owned()))?)),
        None if text.parse::<IpAddr>().is_ok() => (text, None),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(wrong("names no host".to_owned()));
    }
    match port.map(str::parse::<u16>) {
        None => Ok((host, DEFAULT_CONTROL_PORT)),
        Some(Ok(port)) if port > 0 => Ok((host, port)),
        Some(_) => Err(wrong(format!("has no port {:?}: ports go from 1 to 65535", port.unwrap_or_default()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_or_without_its_port() {
        for (text, host, port) in [
            ("deploy", "deploy", 62_999),
            ("deploy:5", "deploy", 5),
            ("10.0.0.1", "10.0.0.1", 62_999),
            ("10.0.0.1:5", "10.0.0.1", 5),
            ("fe80::1", "fe80::1", 62_999),
            ("[::1]", "::1", 62_999),
            ("[::1]:5", "::1", 5),
        ] {
            assert_eq!(split(text).unwrap(), (host, port), "{text}");
        }
        for text in ["", ":5", "a:0", "a:99999", "a:b", "[::1]5", "[::1]:"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_on_this_host_is_reached_by_loopback() {
        let server = resolve("localhost:5").unwrap();
        assert_eq!(server.to_string(), "127.0.0.1:5");
        assert!(interface(None, server).unwrap().loopback);
    }
}
