//! What a reply says, byte by byte, and where it goes.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::request::{Class, Request};
use super::{Answer, Answered, Arrival, BootAnswer, Destination, Silence};
use crate::dhcp::wire::{BROADCAST, Kind, MAX_FILE_LEN, Message, Options, code, pxe};
use crate::dhcp::{CLIENT_PORT, Pool, SERVER_PORT, Settings};

/// A decision, before it is written down.
pub(super) struct Reply {
    pub(super) kind: Kind,
    /// The address of ours that the machine is told.
    pub(super) server: Ipv4Addr,
    pub(super) terms: Option<Terms>,
    pub(super) boot: BootAnswer,
}

/// What a client of a pool is told.
pub(super) struct Terms {
    /// The client's new address; without one it keeps what it has.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) pool: Pool,
}

impl Reply {
    /// A reply that gives nothing.
    pub(super) fn new(kind: Kind, server: Ipv4Addr) -> Self {
        Self { kind, server, terms: None, boot: BootAnswer::NotAsked }
    }

    /// Silence, if there is nothing to boot: another server gives the address.
    pub(super) fn only_if_it_boots(self) -> Result<Self, Silence> {
        match self.boot {
            BootAnswer::Refused(why) => Err(Silence::NoBoot(why)),
            _ => Ok(self),
        }
    }

    /// The datagram, and what is told of it.
    pub(super) fn finish(self, settings: &Settings, arrival: &Arrival<'_>, request: &Request) -> (Answer, Answered) {
        // What may be left out for want of room comes last.
        let mut message = request.answer(self.kind, self.server);
        if let Some(terms) = &self.terms {
            terms.write(&mut message);
        }
        if message.yiaddr.is_unspecified() && message.ciaddr.is_unspecified() && request.relay().is_some() {
            // The relay agent knows no address to send it to: with the flag it broadcasts it (RFC 1542 §4.1.2). For a
            // refusal RFC 2131 §4.3.2 wants it anyway.
            message.flags |= BROADCAST;
        }
        self.write_boot(settings, request, &mut message);
        if let Some(domain) = self.terms.as_ref().and_then(|terms| terms.pool.domain.as_ref()) {
            message.options.push(code::DOMAIN, domain.as_bytes());
        }
        let (bytes, left_out) = message.encode(request.limit());
        let to = destination(self.kind, arrival, request);
        let own = |address: &Ipv4Addr| arrival.locals.iter().any(|local| local.address == *address);
        let first = arrival.locals.first().map(|local| local.address);
        let source = Some(self.server).filter(own).or(first).unwrap_or(self.server);
        let answered = Answered {
            machine: request.machine.clone(),
            request: request.kind,
            answer: self.kind,
            to,
            address: self.terms.and_then(|terms| terms.address).or(request.address()),
            boot: self.boot,
            left_out,
        };
        (Answer { bytes, to, source }, answered)
    }

    fn write_boot(&self, settings: &Settings, request: &Request, message: &mut Message) {
        let vendor = match (&self.boot, &settings.menu, request.item) {
            (BootAnswer::NotAsked | BootAnswer::Refused(_), ..) => return,
            (BootAnswer::Menu, Some(menu), _) => pxe::menu(menu, self.server),
            (_, _, Some(item)) => pxe::chosen(item),
            _ => pxe::load_at_once(),
        };
        // All that names the server says the same: clients differ in what they read.
        message.siaddr = self.server;
        message.sname = self.server.to_string().into_bytes();
        let options = &mut message.options;
        // Firmware of one kind takes the answer for the other kind's if its own class is not in it.
        let http = request.class == Class::Http;
        options.push(code::CLASS, if http { pxe::HTTP_CLIENT } else { pxe::PXE_CLIENT });
        if let BootAnswer::File(file) = &self.boot {
            write_file(file, &mut message.file, options);
        }
        if !http {
            options.push(code::VENDOR, &vendor);
            options.push(code::TFTP_SERVER, &message.sname);
        }
        if let Some(uuid) = request.message.options.get(code::UUID) {
            options.push(code::UUID, uuid);
        }
        // No proxy is needed: iPXE need not wait for one.
        if request.knows_ipxe && self.terms.is_some() && matches!(self.boot, BootAnswer::File(_)) {
            options.push(code::IPXE, &pxe::no_proxy_dhcp());
        }
    }
}

impl Terms {
    fn write(&self, message: &mut Message) {
        let options = &mut message.options;
        let pool = &self.pool;
        if let Some(address) = self.address {
            message.yiaddr = address;
            let seconds = |of: Duration| (of.as_secs() as u32).to_be_bytes();
            options.push(code::LEASE_TIME, &seconds(pool.lease));
            // RFC 2131 §4.4.5.
            options.push(code::RENEW, &seconds(pool.lease / 2));
            options.push(code::REBIND, &seconds(pool.lease / 8 * 7));
        }
        options.push(code::NETMASK, &pool.network.mask().octets());
        if let Some(router) = pool.router {
            options.push(code::ROUTER, &router.octets());
        }
        if !pool.dns.is_empty() {
            let servers: Vec<u8> = pool.dns.iter().flat_map(Ipv4Addr::octets).collect();
            options.push(code::DNS, &servers);
        }
        options.push(code::BROADCAST_ADDRESS, &pool.network.broadcast().octets());
    }
}

/// The name in both places, each ended by NUL: ROMs that read on past its end ask for a name with a stray byte.
fn write_file(file: &str, field: &mut Vec<u8>, options: &mut Options) {
    if file.len() <= MAX_FILE_LEN {
        *field = file.as_bytes().to_vec();
    }
    let mut value = file.as_bytes().to_vec();
    if value.len() < usize::from(u8::MAX) {
        value.push(0);
    }
    options.push(code::BOOT_FILE, &value);
}

/// RFC 2131 §4.1; at port 4011 the port that the request came from, which is 4011 or 68.
fn destination(kind: Kind, arrival: &Arrival<'_>, request: &Request) -> Destination {
    let unicast = |address, port| Destination::Unicast(SocketAddrV4::new(address, port));
    if arrival.boot_port {
        return match arrival.from.ip() {
            address if address.is_unspecified() => Destination::Broadcast(arrival.from.port()),
            address => unicast(*address, arrival.from.port()),
        };
    }
    match (request.relay(), request.address()) {
        (Some(relay), _) => Destination::Relay(SocketAddrV4::new(relay, SERVER_PORT)),
        (None, Some(address)) if kind != Kind::Nak => unicast(address, CLIENT_PORT),
        (None, _) => Destination::Broadcast(CLIENT_PORT),
    }
}
