//! A request, read: who asks for what.

use std::net::Ipv4Addr;

use super::Silence;
use crate::dhcp::leases::ClientId;
use crate::dhcp::wire::{Kind, Message, Op, code, pxe};
use crate::machine::{Mac, Machine, Platform};

/// Bytes of an IP and a UDP header, which option 57 counts.
const HEADERS: usize = 28;
/// What every client takes (RFC 2131 §2), and what one Ethernet frame takes.
const PACKET_SIZES: (usize, usize) = (576, 1500);
/// Link selection (RFC 3527): the subnet that a relay agent wants an address of.
const LINK_SELECTION: u8 = 5;

/// A request, read.
pub(super) struct Request {
    pub(super) message: Message,
    pub(super) kind: Kind,
    pub(super) machine: Machine,
    pub(super) client: ClientId,
    pub(super) class: Class,
    /// What option 93 lists, if none of it is known.
    pub(super) unknown: Vec<u16>,
    /// The server that the client chose.
    pub(super) server: Option<Ipv4Addr>,
    pub(super) requested: Option<Ipv4Addr>,
    /// The subnet that an address is wanted of, by a relay agent or by the client.
    pub(super) link: Option<Ipv4Addr>,
    /// The boot item chosen from a menu.
    pub(super) item: Option<[u8; 4]>,
    /// It understands option 175.
    pub(super) knows_ipxe: bool,
}

/// Firmware, by its vendor class.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Pxe,
    Http,
    Other,
}

impl Request {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Silence> {
        let message = Message::decode(bytes)?;
        if message.op == Op::Reply {
            return Err(Silence::ServerMessage);
        }
        let kind = message.kind().ok_or(Silence::NoKind)?;
        // Infiniband and the like are no machines that boot here.
        let mac: [u8; 6] = message.hardware().try_into().map_err(|_| Silence::Hardware(message.hlen))?;
        let mac = Mac(mac);
        if !mac.is_card() {
            return Err(Silence::NoCard(mac));
        }
        let options = &message.options;
        let class = match options.get(code::CLASS) {
            Some(class) if class.starts_with(pxe::PXE_CLIENT) => Class::Pxe,
            Some(class) if class.starts_with(pxe::HTTP_CLIENT) => Class::Http,
            _ => Class::Other,
        };
        let (platform, unknown) = platform(&message, class);
        let ipxe = options.get(code::USER_CLASS).is_some_and(pxe::is_ipxe);
        let uuid = options.get(code::UUID);
        let machine = Machine {
            mac,
            uuid: uuid.and_then(pxe::uuid),
            platform,
            http: class == Class::Http,
            ipxe,
            long_mode: None,
        };
        Ok(Self {
            kind,
            client: ClientId::new(mac, options.get(code::CLIENT_ID), uuid),
            class,
            unknown,
            server: options.address(code::SERVER_ID),
            requested: options.address(code::REQUESTED),
            link: link(&message),
            item: options.get(code::VENDOR).and_then(pxe::item),
            knows_ipxe: ipxe || options.get(code::IPXE).is_some(),
            machine,
            message,
        })
    }

    /// The client's own address, if it has one.
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        some(self.message.ciaddr)
    }

    /// The relay agent, if there is one.
    pub(super) fn relay(&self) -> Option<Ipv4Addr> {
        some(self.message.giaddr)
    }

    /// Seconds since the client began, by its own count. Some firmware writes them in the wrong byte order.
    pub(super) fn seconds(&self) -> u16 {
        let secs = self.message.secs;
        if secs > 0xff && secs.trailing_zeros() >= 8 { secs.swap_bytes() } else { secs }
    }

    /// Bytes of the longest answer that the client takes.
    pub(super) fn limit(&self) -> usize {
        let (least, most) = PACKET_SIZES;
        let wanted = self.message.options.get(code::MAX_SIZE).and_then(|value| value.try_into().ok());
        usize::from(wanted.map_or(0, u16::from_be_bytes)).clamp(least, most) - HEADERS
    }

    /// An answer with everything that is repeated: option 82 (RFC 3046 §2.2) and the client identifier (RFC 6842).
    pub(super) fn answer(&self, kind: Kind, server: Ipv4Addr) -> Message {
        let mut answer = self.message.answer(kind);
        answer.options.push(code::SERVER_ID, &server.octets());
        for repeated in [code::RELAY, code::CLIENT_ID] {
            if let Some(value) = self.message.options.get(repeated) {
                answer.options.push(repeated, value);
            }
        }
        if kind == Kind::Ack {
            answer.ciaddr = self.message.ciaddr;
        }
        answer
    }
}

/// The first architecture that is known and fits the vendor class; else all that it names.
fn platform(message: &Message, class: Class) -> (Option<Platform>, Vec<u16>) {
    let listed = message.options.get(code::ARCHITECTURE).into_iter().flat_map(pxe::architectures);
    let mut values: Vec<u16> = listed.collect();
    if values.is_empty() {
        values.extend(message.options.get(code::CLASS).and_then(pxe::architecture_in_class));
    }
    let known = || values.iter().filter_map(|value| Platform::of_option_93(*value));
    let fitting = known().find(|(_, http)| *http == (class == Class::Http)).or_else(|| known().next());
    match fitting {
        Some((platform, _)) => (Some(platform), Vec::new()),
        None => (None, values),
    }
}

fn link(message: &Message) -> Option<Ipv4Addr> {
    let relay = message.options.get(code::RELAY).and_then(|value| {
        let mut rest = value;
        while let [code, len, behind @ ..] = rest {
            let (value, behind) = behind.split_at_checked(usize::from(*len))?;
            if *code == LINK_SELECTION {
                return <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from);
            }
            rest = behind;
        }
        None
    });
    relay.or_else(|| message.options.address(code::SUBNET)).and_then(some)
}

fn some(address: Ipv4Addr) -> Option<Ipv4Addr> {
    (!address.is_unspecified()).then_some(address)
}
