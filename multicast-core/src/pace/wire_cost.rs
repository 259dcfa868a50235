//! What a datagram costs on the wire.
//!
//! Counted are the headers of Ethernet (14 bytes), IP (20 or 40) and UDP (8), as a packet capture
//! and an interface's own counters count. Not counted are the frame check sequence, the preamble and
//! the gap between frames: 24 more bytes of line time for each frame, 1.6 % of a full one.
//! [`Profile`](super::Profile) leaves room for them.

use std::net::IpAddr;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;

/// Bytes on the wire of a UDP datagram with `payload` bytes for `to`.
pub const fn on_wire(to: IpAddr, payload: usize) -> usize {
    headers_on_wire(to) + payload
}

/// Bytes of all headers of a UDP datagram for `to`: 42 or 62.
pub const fn headers_on_wire(to: IpAddr) -> usize {
    ETHERNET + ip_and_udp(to)
}

/// The largest payload of a UDP datagram for `to` that an MTU of `mtu` bytes carries in one piece.
pub const fn largest_payload(to: IpAddr, mtu: usize) -> usize {
    mtu.saturating_sub(ip_and_udp(to))
}

const fn ip_and_udp(to: IpAddr) -> usize {
    match to {
        IpAddr::V4(_) => IPV4 + UDP,
        IpAddr::V6(_) => IPV6 + UDP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_symbol_is_a_full_frame() {
        let v4 = IpAddr::from([239, 1, 1, 1]);
        assert_eq!(largest_payload(v4, 1500), 1472);
        assert_eq!(on_wire(v4, 1472), 1514);
        let v6 = "ff15::1".parse().unwrap();
        assert_eq!(largest_payload(v6, 1500), 1452);
        assert_eq!(on_wire(v6, 1452), 1514);
        assert_eq!(largest_payload(v6, 20), 0);
    }
}
