//! A client by hand, and the site that it finds.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use crate::dhcp::wire::{Kind, Message, Op, Options, code};
use crate::dhcp::{Answer, Arrival, Booting, Event, Local, Mode, Pool, Responder, Settings, Silence, Time};
use crate::machine::Machine;

pub(super) const NOW: Time = Duration::from_secs(1_000_000);
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const LOCALS: [Local; 1] = [Local { address: SERVER, prefix: 24 }];
/// The board of every client here.
pub(super) const UUID: [u8; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// Boots everything but card 13; keeps 10.0.0.7 for card 7, and 10.0.0.9 for a board, that of card 9.
pub(super) struct Site;

impl Site {
    pub(super) fn full(pools: Vec<Pool>) -> Mode {
        Mode::Full { pools, others: true, authoritative: false }
    }
}

impl Booting for Site {
    fn boot_file(&self, machine: &Machine, server: Ipv4Addr) -> Result<String, String> {
        match (machine.mac.0[5], machine.platform) {
            (13, _) => Err("the site does not know it".into()),
            (14, _) => Ok("x".repeat(200)),
            (15, _) => Ok("x".repeat(256)),
            _ if machine.ipxe => Ok("boot.ipxe".into()),
            _ if machine.http => Ok(format!("http://{server}/boot.efi")),
            (_, platform) => Ok(format!("{}/boot", platform.map_or("any", |platform| platform.name()))),
        }
    }

    fn reserved(&self, machine: &Machine) -> Option<Ipv4Addr> {
        match (machine.mac.0[5], machine.uuid) {
            (7, _) => Some([10, 0, 0, 7].into()),
            (9, Some(_)) => Some([10, 0, 0, 9].into()),
            _ => None,
        }
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        [[10, 0, 0, 7], [10, 0, 0, 9]].contains(&address.octets())
    }

    fn may_keep(&self, machine: &Machine, address: Ipv4Addr) -> bool {
        machine.uuid.is_none() && address == Ipv4Addr::new(10, 0, 0, 9)
    }
}

pub(super) fn pool() -> Pool {
    let pool = Pool::new("10.0.0.0/24".parse().unwrap(), [10, 0, 0, 100].into(), [10, 0, 0, 109].into());
    Pool { router: Some([10, 0, 0, 254].into()), ..pool }
}

pub(super) fn responder(settings: Settings) -> Responder {
    Responder::new(settings, Arc::new(Site)).unwrap()
}

/// A request in the making.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) message: Message,
}

impl Client {
    /// A client without anything to say yet.
    pub(super) fn card(number: u8) -> Self {
        let mut chaddr = [0; 16];
        chaddr[..6].copy_from_slice(&[0x52, 0x54, 0, 0, 0, number]);
        let none = Ipv4Addr::UNSPECIFIED;
        let message = Message {
            op: Op::Request,
            htype: 1,
            hlen: 6,
            hops: 0,
            xid: 0x1234_5678,
            secs: 0,
            flags: 0,
            ciaddr: none,
            yiaddr: none,
            siaddr: none,
            giaddr: none,
            chaddr,
            sname: Vec::new(),
            file: Vec::new(),
            options: Options::default(),
        };
        Self { message }
    }

    /// A BIOS that boots.
    pub(super) fn bios(number: u8) -> Self {
        Self::pxe(number, 0)
    }

    /// Firmware of this architecture.
    pub(super) fn pxe(number: u8, architecture: u16) -> Self {
        let class = format!("PXEClient:Arch:{architecture:05}:UNDI:003016");
        Self::card(number)
            .with(code::CLASS, class.as_bytes())
            .with(code::ARCHITECTURE, &architecture.to_be_bytes())
            .with(code::UUID, &UUID)
    }

    pub(super) fn with(mut self, code: u8, value: &[u8]) -> Self {
        self.message.options.take(code);
        self.message.options.push(code, value);
        self
    }

    pub(super) fn kind(self, kind: Kind) -> Self {
        self.with(code::KIND, &[kind as u8])
    }

    /// A request for an address of this server.
    pub(super) fn selecting(self, address: Ipv4Addr) -> Self {
        self.kind(Kind::Request).with(code::SERVER_ID, &SERVER.octets()).with(code::REQUESTED, &address.octets())
    }

    pub(super) fn at(mut self, ciaddr: Ipv4Addr) -> Self {
        self.message.ciaddr = ciaddr;
        self
    }

    pub(super) fn relayed_by(mut self, giaddr: Ipv4Addr) -> Self {
        self.message.giaddr = giaddr;
        self
    }

    fn from(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.message.ciaddr, 68)
    }

    pub(super) fn asks(&self, now: Time, responder: &mut Responder) -> (Option<Answer>, Vec<Event>) {
        self.asks_at(now, responder, Arrival::at_67(&LOCALS, self.from()))
    }

    pub(super) fn asks_at(
        &self,
        now: Time,
        responder: &mut Responder,
        arrival: Arrival<'_>,
    ) -> (Option<Answer>, Vec<Event>) {
        let answer = responder.handle_datagram(now, &arrival, &self.message.to_bytes());
        (answer, std::iter::from_fn(|| responder.poll_event()).collect())
    }

    /// The answer, which there must be.
    pub(super) fn answered(&self, now: Time, responder: &mut Responder) -> Message {
        let (answer, events) = self.asks(now, responder);
        Message::decode(&answer.unwrap_or_else(|| panic!("{events:?}")).bytes).unwrap()
    }

    /// Why there is no answer.
    pub(super) fn silence(&self, now: Time, responder: &mut Responder) -> Silence {
        let (answer, events) = self.asks(now, responder);
        assert_eq!(answer, None);
        match events.into_iter().next_back() {
            Some(Event::Ignored(ignored)) => ignored.why,
            other => panic!("{other:?}"),
        }
    }

    /// Takes the address that it is offered.
    pub(super) fn leases(self, now: Time, responder: &mut Responder) -> Ipv4Addr {
        let offer = self.clone().kind(Kind::Discover).answered(now, responder);
        let ack = self.selecting(offer.yiaddr).answered(now, responder);
        assert_eq!(ack.kind(), Some(Kind::Ack));
        ack.yiaddr
    }
}
