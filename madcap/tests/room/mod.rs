//! Clients and servers in virtual time, and a network between them that loses, doubles and delays.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use madcap::{Client, Config, Event, Lease, PORT, Responder, ResponderConfig, ResponderEvent, Time};

/// What happens to datagrams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network {
    /// Part that is lost.
    pub(crate) loss: f64,
    /// Part that arrives twice.
    pub(crate) duplication: f64,
    /// Each takes up to this, at random: so they also overtake one another.
    pub(crate) delay: Duration,
}

impl Network {
    pub(crate) const GOOD: Self = Self { loss: 0.0, duplication: 0.0, delay: Duration::from_millis(2) };
}

struct Datagram {
    from: SocketAddrV4,
    to: SocketAddrV4,
    bytes: Vec<u8>,
}

/// A client, and what it has told.
pub(crate) struct Guest {
    pub(crate) client: Client,
    pub(crate) address: SocketAddrV4,
    pub(crate) events: Vec<(Time, Event)>,
}

/// A server, and what it has told.
pub(crate) struct Host {
    pub(crate) responder: Responder,
    pub(crate) address: Ipv4Addr,
    pub(crate) events: Vec<(Time, ResponderEvent)>,
}

pub(crate) struct Room {
    pub(crate) now: Time,
    pub(crate) network: Network,
    pub(crate) guests: Vec<Guest>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) seed: u64,
    rng: fastrand::Rng,
    flying: BTreeMap<(Time, u64), Datagram>,
    sent: u64,
    /// Addresses that were leased while another client held them.
    pub(crate) double_holdings: Vec<String>,
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Room {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            network: Network::GOOD,
            guests: Vec::new(),
            hosts: Vec::new(),
            seed,
            rng: fastrand::Rng::with_seed(seed),
            flying: BTreeMap::new(),
            sent: 0,
            double_holdings: Vec::new(),
        }
    }

    /// With a server of `count` addresses from 239.192.0.0 on, leased for `lease` at most.
    pub(crate) fn with_server(seed: u64, count: u8, lease: Duration) -> Self {
        let mut room = Self::new(seed);
        room.serve(count, lease);
        room
    }

    /// One more server.
    pub(crate) fn serve(&mut self, count: u8, lease: Duration) -> usize {
        let address = Ipv4Addr::new(10, 0, 0, 1 + self.hosts.len() as u8);
        let last = Ipv4Addr::new(239, 192, 0, count - 1);
        let responder = Responder::new(ResponderConfig { last, lease, ..ResponderConfig::new(address) });
        self.hosts.push(Host { responder, address, events: Vec::new() });
        self.hosts.len() - 1
    }

    /// A client that wishes for `wishes` addresses.
    pub(crate) fn join(&mut self, config: Config, wishes: usize) -> usize {
        let index = self.guests.len();
        let address = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, index as u8), 40_000);
        let mut client = Client::new(config, self.rng.u64(..));
        client.wish(self.now, wishes);
        self.guests.push(Guest { client, address, events: Vec::new() });
        self.settle();
        index
    }

    /// Does something with a client.
    pub(crate) fn with<T>(&mut self, guest: usize, act: impl FnOnce(&mut Client, Time) -> T) -> T {
        let result = act(&mut self.guests[guest].client, self.now);
        self.settle();
        result
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something is so, for ten minutes at most.
    pub(crate) fn run_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = self.now + seconds(600);
        while !is_so(self) {
            assert!(self.step(end), "{what}: not within ten minutes, seed {}", self.seed);
        }
    }

    /// What a client holds.
    pub(crate) fn held(&self, guest: usize) -> Vec<Ipv4Addr> {
        self.guests[guest].client.leases().map(|lease| lease.address).collect()
    }

    pub(crate) fn lease(&self, guest: usize) -> Lease {
        *self.guests[guest].client.leases().next().expect("it holds one")
    }

    pub(crate) fn count(&self, guest: usize, wanted: impl Fn(&Event) -> bool) -> usize {
        self.guests[guest].events.iter().filter(|(_, event)| wanted(event)).count()
    }

    /// Goes on to the next thing that happens before `end`, if any does.
    fn step(&mut self, end: Time) -> bool {
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let guests = self.guests.iter().filter_map(|guest| guest.client.poll_timeout());
        let hosts = self.hosts.iter().filter_map(|host| host.responder.poll_timeout());
        let Some(next) = guests.chain(hosts).chain(arrival).min().filter(|next| *next <= end) else { return false };
        self.now = self.now.max(next);
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let datagram = entry.remove();
            self.deliver(&datagram);
        }
        for guest in &mut self.guests {
            guest.client.handle_timeout(self.now);
        }
        for host in &mut self.hosts {
            host.responder.handle_timeout(self.now);
        }
        self.settle();
        true
    }

    fn deliver(&mut self, datagram: &Datagram) {
        let to = datagram.to;
        for host in &mut self.hosts {
            if to.port() == PORT && (to.ip().is_multicast() || *to.ip() == host.address) {
                host.responder.handle_datagram(self.now, datagram.from, &datagram.bytes);
            }
        }
        for guest in self.guests.iter_mut().filter(|guest| guest.address == to) {
            guest.client.handle_datagram(self.now, datagram.from, &datagram.bytes);
        }
    }

    /// Sends what is to be sent, and writes down what is told.
    fn settle(&mut self) {
        let mut out = Vec::new();
        for index in 0..self.guests.len() {
            let guest = &mut self.guests[index];
            while let Some(transmit) = guest.client.poll_transmit() {
                out.push(Datagram { from: guest.address, to: transmit.to, bytes: transmit.bytes });
            }
            let told: Vec<Event> = std::iter::from_fn(|| guest.client.poll_event()).collect();
            for event in told {
                self.note(index, event);
            }
        }
        for host in &mut self.hosts {
            let from = SocketAddrV4::new(host.address, PORT);
            while let Some(transmit) = host.responder.poll_transmit() {
                out.push(Datagram { from, to: transmit.to, bytes: transmit.bytes });
            }
            host.events.extend(std::iter::from_fn(|| host.responder.poll_event()).map(|event| (self.now, event)));
        }
        for datagram in out {
            self.send(datagram);
        }
    }

    fn send(&mut self, datagram: Datagram) {
        let copies = 1 + usize::from(self.rng.f64() < self.network.duplication);
        for _ in 0..copies {
            if self.rng.f64() >= self.network.loss {
                let at = self.now + self.network.delay.mul_f64(self.rng.f64());
                let Datagram { from, to, ref bytes } = datagram;
                self.flying.insert((at, self.sent), Datagram { from, to, bytes: bytes.clone() });
                self.sent += 1;
            }
        }
    }

    fn note(&mut self, guest: usize, event: Event) {
        if let Event::Leased { lease } = &event {
            let others = (0..self.guests.len()).filter(|other| *other != guest);
            for other in others.filter(|other| self.held(*other).contains(&lease.address)).collect::<Vec<_>>() {
                let address = lease.address;
                self.double_holdings.push(format!("{address} by {other} and {guest} at {:?}", self.now));
            }
        }
        self.guests[guest].events.push((self.now, event));
    }
}
