//! Answers requests, as a state machine: request in, answer and events out.

mod event;
mod full;
mod patience;
mod reply;
mod request;

pub use event::{Answered, BootAnswer, Event, Ignored, Silence};

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use self::patience::Patience;
use self::reply::Reply;
use self::request::{Class, Request};
use super::leases::{Lease, Leases};
use super::settings::is_host;
use super::wire::{Kind, pxe};
use super::{Booting, Local, Mode, Network, Settings, SettingsError, Time};
use crate::machine::{Machine, Platform};

/// Longest name of a boot file or URL: what one option holds. Firmware does not join parts of this one.
const MAX_BOOT_FILE: usize = 255;

/// How a datagram came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The addresses of the interface that it came by; the first one answers where none is nearer.
    pub locals: &'a [Local],
    /// Where it came from.
    pub from: SocketAddrV4,
    /// It came to port 4011, not to port 67.
    pub boot_port: bool,
}

impl<'a> Arrival<'a> {
    /// It came to port 67.
    #[must_use]
    pub fn at_67(locals: &'a [Local], from: SocketAddrV4) -> Self {
        Self { locals, from, boot_port: false }
    }

    /// It came to port 4011.
    #[must_use]
    pub fn at_4011(locals: &'a [Local], from: SocketAddrV4) -> Self {
        Self { locals, from, boot_port: true }
    }
}

/// A datagram to send, from the port that the request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What.
    pub bytes: Vec<u8>,
    /// Where to.
    pub to: Destination,
    /// By which address of the interface.
    pub source: Ipv4Addr,
}

/// Where an answer goes.
///
/// A client without an address is answered by broadcast, whether or not it asks for that (RFC 2131 §4.1 allows it):
/// unicast would need an entry in the neighbour table (`CAP_NET_ADMIN`) or a packet socket (`CAP_NET_RAW`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// 255.255.255.255, at this port, by the interface that the request came by.
    Broadcast(u16),
    /// The client.
    Unicast(SocketAddrV4),
    /// Its relay agent.
    Relay(SocketAddrV4),
}

impl Destination {
    /// Address and port.
    #[must_use]
    pub fn address(self) -> SocketAddrV4 {
        match self {
            Self::Broadcast(port) => SocketAddrV4::new(Ipv4Addr::BROADCAST, port),
            Self::Unicast(address) | Self::Relay(address) => address,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broadcast(port) => write!(f, "broadcast to port {port}"),
            Self::Unicast(address) => write!(f, "to {address}"),
            Self::Relay(address) => write!(f, "to relay agent {address}"),
        }
    }
}

/// Answers requests.
///
/// For each datagram call [`handle_datagram`](Self::handle_datagram), then [`poll_event`](Self::poll_event) until
/// there is none, and only then send the answer: a lease must be kept before it is promised. At
/// [`poll_timeout`](Self::poll_timeout) call [`handle_timeout`](Self::handle_timeout).
pub struct Responder {
    settings: Settings,
    booting: Arc<dyn Booting>,
    leases: Leases,
    patience: Patience,
    events: VecDeque<Event>,
}

impl Responder {
    /// A server with every address free.
    ///
    /// # Errors
    /// [`SettingsError`], if the settings cannot be served.
    pub fn new(settings: Settings, booting: Arc<dyn Booting>) -> Result<Self, SettingsError> {
        settings.check()?;
        let leases = Leases::new(settings.pools());
        Ok(Self { settings, booting, leases, patience: Patience::default(), events: VecDeque::new() })
    }

    /// Takes over a lease of an earlier life; whether it still holds.
    pub fn load(&mut self, now: Time, lease: Lease) -> bool {
        self.leases.load(now, lease)
    }

    /// What is leased.
    pub fn leases(&self) -> impl Iterator<Item = Lease> {
        self.leases.leases()
    }

    /// Takes in a datagram; at most one answer comes of it.
    pub fn handle_datagram(&mut self, now: Time, arrival: &Arrival<'_>, datagram: &[u8]) -> Option<Answer> {
        self.handle_timeout(now);
        let request = match Request::read(datagram) {
            Ok(request) => request,
            Err(why) => {
                let ignored = Ignored { machine: None, from: arrival.from, request: None, why };
                self.events.push_back(Event::Ignored(ignored));
                return None;
            }
        };
        let reply = self.reply(now, arrival, &request);
        self.tell_changes();
        match reply {
            Ok(reply) => {
                let (answer, answered) = reply.finish(&self.settings, arrival, &request);
                self.events.push_back(Event::Answered(answered));
                Some(answer)
            }
            Err(why) => {
                let Request { machine, kind, .. } = request;
                let ignored = Ignored { machine: Some(machine), from: arrival.from, request: Some(kind), why };
                self.events.push_back(Event::Ignored(ignored));
                None
            }
        }
    }

    /// Ends leases and offers whose time is over.
    pub fn handle_timeout(&mut self, now: Time) {
        self.leases.expire(now);
        self.tell_changes();
    }

    /// Forgets whose an address is, so that another client can have it; whether it was anybody's. Its client is not
    /// told: it finds out when it asks for more time.
    pub fn withdraw(&mut self, address: Ipv4Addr) -> bool {
        let held = self.leases.withdraw(address);
        self.tell_changes();
        held
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.leases.next_expiry()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn tell_changes(&mut self) {
        while let Some(change) = self.leases.poll_change() {
            self.events.push_back(Event::LeaseChanged(change));
        }
    }

    fn reply(&mut self, now: Time, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        check_reachable(arrival, request)?;
        if arrival.boot_port {
            return self.boot_service(arrival, request);
        }
        match self.settings.mode {
            Mode::Proxy => self.proxy(now, arrival, request),
            Mode::Full { .. } => self.full(now, arrival, request),
        }
    }

    /// Beside another server: only boot files, and only for who asks for them.
    fn proxy(&mut self, now: Time, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        match request.kind {
            Kind::Discover => {
                if request.class == Class::Other {
                    return Err(Silence::NotBooting);
                }
                self.be_patient(now, request)?;
                let server = self.server(arrival, request, None)?;
                let reply = Reply { boot: self.boot(request, server, true), ..Reply::new(Kind::Offer, server) };
                reply.only_if_it_boots()
            }
            Kind::Request => match request.server {
                Some(other) if !self.is_ours(arrival, other) => Err(Silence::OtherServer(other)),
                // An address is asked of the DHCP server on this host, which has the same address as we.
                Some(_) if request.requested.is_some() => Err(Silence::NotProxys),
                Some(_) => self.boot_service(arrival, request),
                // A boot server is looked for by broadcast (PXE 2.1 §2.2.4).
                None if request.item.is_some_and(is_our_item) => self.boot_service(arrival, request),
                None => Err(Silence::NotProxys),
            },
            Kind::Inform => self.boot_service(arrival, request),
            Kind::Decline | Kind::Release => Err(Silence::NotProxys),
            Kind::Offer | Kind::Ack | Kind::Nak => Err(Silence::ServerMessage),
        }
    }

    /// A machine that has an address asks what to load.
    fn boot_service(&self, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        match request.kind {
            Kind::Request | Kind::Inform => {}
            Kind::Offer | Kind::Ack | Kind::Nak => return Err(Silence::ServerMessage),
            Kind::Discover | Kind::Decline | Kind::Release => return Err(Silence::NotProxys),
        }
        if request.class == Class::Other {
            return Err(Silence::NotBooting);
        }
        if let Some(other) = request.server.filter(|server| !self.is_ours(arrival, *server)) {
            return Err(Silence::OtherServer(other));
        }
        let server = self.server(arrival, request, None)?;
        let reply = Reply { boot: self.boot(request, server, false), ..Reply::new(Kind::Ack, server) };
        reply.only_if_it_boots()
    }

    /// What a machine is told to load; `menu`: it may be told to show the menu first.
    fn boot(&self, request: &Request, server: Ipv4Addr, menu: bool) -> BootAnswer {
        if request.class == Class::Other {
            return BootAnswer::NotAsked;
        }
        if !request.unknown.is_empty() && !request.machine.ipxe {
            return BootAnswer::Refused(unknown_firmware(&request.unknown));
        }
        let file = match self.booting.boot_file(&request.machine, server) {
            Ok(file) => file,
            Err(why) => return BootAnswer::Refused(why),
        };
        if file.is_empty() || file.len() > MAX_BOOT_FILE || file.contains('\0') {
            let bytes = file.len();
            return BootAnswer::Refused(format!(
                "the name of its boot file has {bytes} bytes, 1 to {MAX_BOOT_FILE} without NUL can be told"
            ));
        }
        if menu && self.settings.menu.is_some() && shows_menus(&request.machine) {
            return BootAnswer::Menu;
        }
        BootAnswer::File(file)
    }

    /// Lets another server go first.
    fn be_patient(&mut self, now: Time, request: &Request) -> Result<(), Silence> {
        let delay = self.settings.delay;
        if delay.is_zero() {
            return Ok(());
        }
        let Request { machine, .. } = request;
        self.patience
            .ask(now, machine.mac, machine.ipxe, request.seconds(), delay)
            .map_err(|waited| Silence::Delayed { waited, delay })
    }

    /// The address of ours that a machine is told: in the network of which it gets an address, else where it, its
    /// relay agent or its datagram is from.
    fn server(&self, arrival: &Arrival<'_>, request: &Request, network: Option<Network>) -> Result<Ipv4Addr, Silence> {
        let locals = arrival.locals;
        let inside = network.and_then(|network| locals.iter().find(|local| network.contains(local.address)));
        let places = [request.address(), request.relay(), Some(*arrival.from.ip())];
        let mut near = places.into_iter().flatten();
        let near = || near.find_map(|place| locals.iter().find(|local| local.network().contains(place)));
        let local = inside.or_else(near).or(locals.first()).map(|local| local.address);
        self.settings.server.or(local).ok_or(Silence::NoAddress)
    }

    fn is_ours(&self, arrival: &Arrival<'_>, server: Ipv4Addr) -> bool {
        self.settings.server == Some(server) || arrival.locals.iter().any(|local| local.address == server)
    }
}

/// Refuses requests whose answer would go to everybody, or to ourselves.
fn check_reachable(arrival: &Arrival<'_>, request: &Request) -> Result<(), Silence> {
    let is_machine = |address: Ipv4Addr| {
        let everybody = arrival.locals.iter().any(|local| local.network().broadcast() == address);
        let ourselves = address.is_loopback() && !arrival.from.ip().is_loopback();
        is_host(address) && !everybody && !ourselves
    };
    match [request.relay(), request.address()].into_iter().flatten().find(|address| !is_machine(*address)) {
        Some(address) => Err(Silence::Unreachable(address)),
        None => Ok(()),
    }
}

/// iPXE has menus of its own, and HTTP boot has none.
fn shows_menus(machine: &Machine) -> bool {
    !machine.ipxe && !machine.http
}

fn is_our_item(item: [u8; 4]) -> bool {
    item[..2] == pxe::OUR_ITEM.to_be_bytes()
}

fn unknown_firmware(values: &[u16]) -> String {
    let values: Vec<_> = values.iter().map(u16::to_string).collect();
    let known = Platform::ALL.map(Platform::name).join(", ");
    format!("its firmware is of architecture {} (option 93), which is none of {known}", values.join(" and "))
}

#[cfg(test)]
mod tests;
