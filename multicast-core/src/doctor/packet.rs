//! What is read of packets that were meant for the system: IGMP queries and UDP datagrams over IPv4.

use std::net::Ipv4Addr;

const IGMP: u8 = 2;
const UDP: u8 = 17;
const QUERY: u8 = 0x11;

/// An IGMP query (RFC 1112, 2236 and 3376).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Who asks; 0.0.0.0 is a switch that has no address for it (RFC 4541 §2.1.1).
    pub from: Ipv4Addr,
    /// 1, 2 or 3.
    pub version: u8,
    /// The group that it is about, `None` for all.
    pub group: Option<Ipv4Addr>,
}

impl Query {
    /// Reads an IPv4 packet; `None` if it is no sound IGMP query.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let Ip { from, protocol: IGMP, payload, .. } = Ip::read(packet)? else { return None };
        let message: &[u8; 8] = payload.first_chunk()?;
        if message[0] != QUERY || checksum(payload) != 0 {
            return None;
        }
        // RFC 3376 §7.1.
        let version = match (payload.len(), message[1]) {
            (8, 0) => 1,
            (8, _) => 2,
            (12.., _) => 3,
            _ => return None,
        };
        let group = Ipv4Addr::new(message[4], message[5], message[6], message[7]);
        Some(Self { from, version, group: (!group.is_unspecified()).then_some(group) })
    }
}

/// A UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Whom it is for.
    pub to: Ipv4Addr,
    /// And which port there.
    pub port: u16,
    /// What it carries.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads an IPv4 packet; `None` if it is no whole UDP datagram.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        let Ip { to, protocol: UDP, payload, .. } = Ip::read(packet)? else { return None };
        let (header, payload) = payload.split_first_chunk::<8>()?;
        let port = u16::from_be_bytes([header[2], header[3]]);
        let len = usize::from(u16::from_be_bytes([header[4], header[5]])).checked_sub(8)?;
        Some(Self { to, port, payload: payload.get(..len)? })
    }
}

/// An IPv4 packet that is no fragment (RFC 791 §3.1).
struct Ip<'a> {
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    payload: &'a [u8],
}

impl<'a> Ip<'a> {
    fn read(packet: &'a [u8]) -> Option<Self> {
        let header: &[u8; 20] = packet.first_chunk()?;
        let header_len = usize::from(header[0] & 0x0F) * 4;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3FFF;
        if header[0] >> 4 != 4 || header_len < 20 || fragment != 0 {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        // What is behind it is filling of a short frame.
        let payload = packet.get(header_len..len)?;
        Some(Self { from: address(12), to: address(16), protocol: header[9], payload })
    }
}

/// RFC 1071: 0 where the sum that is in it is right.
fn checksum(message: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in message.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUTER: [u8; 4] = [10, 0, 0, 1];

    fn packet(protocol: u8, to: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let len = (24 + payload.len()) as u16;
        // With a router alert (RFC 2113), as IGMP has it.
        let mut packet = vec![0x46, 0xC0, (len >> 8) as u8, len as u8, 0, 0, 0, 0, 1, protocol, 0, 0];
        packet.extend(ROUTER);
        packet.extend(to);
        packet.extend([0x94, 4, 0, 0]);
        packet.extend(payload);
        packet
    }

    fn query(code: u8, group: [u8; 4], rest: &[u8]) -> Vec<u8> {
        let mut message = vec![QUERY, code, 0, 0];
        message.extend(group);
        message.extend(rest);
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        packet(IGMP, [224, 0, 0, 1], &message)
    }

    #[test]
    fn queries_of_all_versions_are_told_apart() {
        let from = Ipv4Addr::from(ROUTER);
        let version = |version| Some(Query { from, version, group: None });
        assert_eq!(Query::read(&query(0, [0; 4], &[])), version(1));
        assert_eq!(Query::read(&query(100, [0; 4], &[])), version(2));
        assert_eq!(Query::read(&query(100, [0; 4], &[2, 125, 0, 0])), version(3));
        let specific = Query::read(&query(10, [239, 194, 1, 2], &[])).unwrap();
        assert_eq!(specific.group, Some(Ipv4Addr::new(239, 194, 1, 2)));
    }

    #[test]
    fn what_is_no_query_or_is_damaged_is_none() {
        let mut damaged = query(100, [0; 4], &[]);
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(Query::read(&damaged), None);
        let report = packet(IGMP, [239, 1, 1, 1], &[0x16, 0, 0x09, 0xFD, 239, 1, 1, 1]);
        assert_eq!(Query::read(&report), None);
        assert_eq!(Query::read(&query(100, [0; 4], &[1])), None);
    }

    #[test]
    fn a_datagram_ends_where_it_says_and_fragments_are_none() {
        let mut whole = packet(UDP, [239, 194, 1, 2], &[0, 9, 0xF6, 0x18, 0, 11, 0, 0, 1, 2, 3]);
        // A short frame is filled up.
        whole.extend([0; 7]);
        let read = Datagram::read(&whole).unwrap();
        assert_eq!((read.to, read.port, read.payload), (Ipv4Addr::new(239, 194, 1, 2), 63_000, &[1, 2, 3][..]));
        whole[6] = 0x20;
        assert_eq!(Datagram::read(&whole), None);
    }

    proptest! {
        #[test]
        fn nothing_from_the_wire_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), valid: bool) {
            let mut bytes = bytes;
            if valid && bytes.len() >= 20 {
                (bytes[0], bytes[2], bytes[3]) = (0x45, 0, bytes.len() as u8);
                (bytes[6], bytes[7], bytes[9]) = (0, 0, if bytes[9] & 1 == 0 { IGMP } else { UDP });
            }
            let _ = (Query::read(&bytes), Datagram::read(&bytes));
        }
    }
}
