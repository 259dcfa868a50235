//! The clock and the network: what happens next, and to whom.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::client::Client;
use super::link::LinkModel;
use super::room::{HEADERS, Room, SYMBOL_COST};
use crate::receiver::Receiver;
use crate::sender::{SenderEvent, StreamWish, Transmit};
use crate::types::{Instant, SessionId};
use crate::wire::{Kind, VERSION};

/// More than this at one moment is a machine whose deadline never passes.
const STEPS_AT_ONCE: u32 = 1_000_000;

pub(super) enum Arrival {
    /// Datagrams of this size each to a group, or to one client as part of a stream.
    Stream(SocketAddr, Rc<Vec<u8>>, usize),
    /// One of these, held up on its way to a client.
    Late(usize, Vec<u8>),
    Server(usize, Vec<u8>),
    Client(usize, Vec<u8>),
    ClientTimer(usize),
    ServerTimer,
}

/// Something that will happen; of two at the same time the one that was queued first comes first.
pub(super) struct Entry {
    pub(super) at: Instant,
    number: u64,
    arrival: Arrival,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Room {
    /// Lets the next thing happen; false if there is none.
    pub fn step(&mut self) -> bool {
        let Some(Reverse(Entry { at, arrival, .. })) = self.queue.pop() else { return false };
        self.steps_now = if at > self.now { 0 } else { self.steps_now + 1 };
        self.now = self.now.max(at);
        let seed = self.config.seed;
        assert!(self.steps_now < STEPS_AT_ONCE, "seed {seed}: time stands still:\n{}", self.describe());
        match arrival {
            Arrival::Stream(to, buffer, segment) => self.deliver_stream(to, &buffer, segment),
            Arrival::Late(number, datagram) => {
                self.deliver_slice(number, &datagram, datagram.len());
                self.drive_clients(&[number]);
            }
            Arrival::Server(number, datagram) => self.deliver_to_server(number, &datagram),
            Arrival::Client(number, datagram) => self.deliver_to_client(number, &datagram),
            Arrival::ClientTimer(number) => self.tick_client(number),
            Arrival::ServerTimer => self.tick_server(),
        }
        true
    }

    fn push(&mut self, at: Instant, arrival: Arrival) {
        self.queued += 1;
        self.queue.push(Reverse(Entry { at, number: self.queued, arrival }));
    }

    fn tick_client(&mut self, number: usize) {
        let now = self.now;
        let client = &mut self.clients[number];
        if client.timer.is_none_or(|timer| timer > now) {
            return;
        }
        client.timer = None;
        if client.frozen {
            return;
        }
        if let Some(receiver) = &mut client.receiver
            && receiver.poll_timeout().is_some_and(|due| due <= now)
        {
            receiver.handle_timeout(now);
        }
        self.drive_clients(&[number]);
    }

    fn tick_server(&mut self) {
        let now = self.now;
        if self.server_timer.is_none_or(|timer| timer > now) {
            return;
        }
        self.server_timer = None;
        if let Some(server) = &mut self.server {
            server.handle_timeout(now);
        }
        self.drive_server();
    }

    fn deliver_stream(&mut self, to: SocketAddr, buffer: &[u8], segment: usize) {
        let hears = |client: &Client| {
            client.listens() && client.group == Some(to) && !(client.link.deaf && to.ip().is_multicast())
        };
        let listening: Vec<usize> = (0..self.clients.len()).filter(|&n| hears(&self.clients[n])).collect();
        let mut rest = buffer;
        while !rest.is_empty() {
            let datagrams = rest.len().div_ceil(segment);
            let (count, lost) = self.shared_loss.take(datagrams, &self.config.shared, &mut self.rng);
            let (part, after) = rest.split_at((count * segment).min(rest.len()));
            rest = after;
            if !lost {
                listening.iter().for_each(|&number| self.deliver(number, part, segment));
            }
        }
        self.drive_clients(&listening);
    }

    /// What the client's own link lets through of `buffer`.
    fn deliver(&mut self, number: usize, buffer: &[u8], segment: usize) {
        let client = &mut self.clients[number];
        if self.now - std::mem::replace(&mut client.sent_at, self.now) > LinkModel::MEMORY {
            client.loss.renew(&client.link, &mut client.rng);
        }
        let mut rest = buffer;
        if let Some(port) = client.link.port {
            let cost = if buffer[0] & 0x0F == Kind::Symbol as u8 { SYMBOL_COST } else { segment as u64 + HEADERS };
            let passed = client.port.take(self.now, port, buffer.len().div_ceil(segment), cost);
            rest = &buffer[..(passed * segment).min(buffer.len())];
        }
        while !rest.is_empty() {
            let client = &mut self.clients[number];
            let datagrams = rest.len().div_ceil(segment);
            let (count, lost) = client.loss.take(datagrams, &client.link, &mut client.rng);
            let (part, after) = rest.split_at((count * segment).min(rest.len()));
            rest = after;
            if lost {
                continue;
            }
            if client.link.disturbs() {
                self.deliver_disturbed(number, part, segment);
            } else {
                self.deliver_slice(number, part, segment);
            }
        }
    }

    fn deliver_disturbed(&mut self, number: usize, buffer: &[u8], segment: usize) {
        let link = self.clients[number].link;
        for datagram in buffer.chunks(segment) {
            let mut datagram = datagram.to_vec();
            let rng = &mut self.clients[number].rng;
            if rng.f64() < link.corrupt {
                let at = rng.usize(..datagram.len());
                datagram[at] ^= rng.u8(1..);
            }
            let twice = rng.f64() < link.duplicate;
            let late = (rng.f64() < link.reorder).then(|| rng.u64(1..=LinkModel::LATE_MS * 1000));
            if twice {
                self.deliver_slice(number, &datagram, segment);
            }
            match late {
                Some(micros) => self.push(self.now + Duration::from_micros(micros), Arrival::Late(number, datagram)),
                None => self.deliver_slice(number, &datagram, segment),
            }
        }
    }

    fn deliver_slice(&mut self, number: usize, buffer: &[u8], segment: usize) {
        let now = self.now;
        let client = &mut self.clients[number];
        if client.listens()
            && let Some(receiver) = &mut client.receiver
        {
            receiver.handle_group(now, buffer, segment, client.store.as_ref());
        }
    }

    fn deliver_to_client(&mut self, number: usize, datagram: &[u8]) {
        let now = self.now;
        let client = &mut self.clients[number];
        if client.listens()
            && let Some(receiver) = &mut client.receiver
        {
            receiver.handle_datagram(now, datagram);
        }
        self.drive_clients(&[number]);
    }

    fn deliver_to_server(&mut self, number: usize, datagram: &[u8]) {
        *self.counts.feedback_by_slice.entry(self.now.as_nanos() / 100_000_000).or_default() += 1;
        self.counts.feedback_bytes += datagram.len() as u64 + HEADERS;
        let now = self.now;
        if let Some(server) = &mut self.server {
            server.handle_datagram(now, address(number), datagram);
        }
        self.drive_server();
    }

    /// Does for these clients what their drivers do after something happened to them.
    fn drive_clients(&mut self, numbers: &[usize]) {
        let now = self.now;
        let mut busy = numbers.to_vec();
        while !busy.is_empty() {
            let mut jobs = Vec::new();
            for &number in &busy {
                while let Some(job) = self.clients[number].next_job(number) {
                    jobs.push(job);
                }
            }
            busy = jobs.iter().map(|job| job.client).collect();
            busy.dedup();
            for (number, done) in self.jobs.run(jobs) {
                self.clients[number].job_done(now, done);
            }
            if busy.is_empty() {
                let source = &self.source;
                busy.extend(numbers.iter().filter(|&&number| self.clients[number].take_events(now, source)));
            }
        }
        for &number in numbers {
            self.transmit_client(number);
            self.arm_client(number);
        }
    }

    fn transmit_client(&mut self, number: usize) {
        let arrives = self.now + self.config.delay;
        let client = &mut self.clients[number];
        let Some(receiver) = &mut client.receiver else { return };
        let mut out = Vec::new();
        while let Some(mut datagram) = receiver.poll_transmit() {
            if let Some(version) = client.version {
                datagram[0] = version << 4 | datagram[0] & 0x0F;
            }
            if !client.cut && client.rng.f64() >= self.config.feedback_loss {
                out.push(datagram);
            }
        }
        out.into_iter().for_each(|datagram| self.push(arrives, Arrival::Server(number, datagram)));
    }

    pub(super) fn arm_client(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(due) = client.receiver.as_ref().and_then(Receiver::poll_timeout).filter(|_| !client.frozen) else {
            return;
        };
        let due = due.max(self.now);
        if client.timer.is_none_or(|timer| timer > due) {
            client.timer = Some(due);
            self.push(due, Arrival::ClientTimer(number));
        }
    }

    pub(super) fn drive_server(&mut self) {
        let now = self.now;
        let Some(server) = &mut self.server else { return };
        let mut out = Vec::new();
        loop {
            while let Some((session, transmit)) = server.poll_transmit(now) {
                // Its address goes with it: the stream may be closed before this arrives.
                out.extend(self.streams.get(&session).map(|to| (session, *to, transmit)));
            }
            while let Some(event) = server.poll_event() {
                match &event {
                    SenderEvent::Started { .. } => self.counts.started = self.counts.started.or(Some(now)),
                    SenderEvent::Ended { .. } => self.counts.ended = Some(now),
                    _ => {}
                }
                self.events.push((now, event));
            }
            match server.poll_wish() {
                Some(StreamWish::Open { to }) => {
                    self.further_streams += 1;
                    let session = SessionId(1_000_000 + self.further_streams);
                    let to = to.unwrap_or_else(|| group(1 + self.further_streams));
                    self.streams.insert(session, to);
                    server.open(now, session, to);
                }
                Some(StreamWish::Close(session)) => {
                    self.streams.remove(&session);
                }
                None => break,
            }
        }
        let due = server.poll_timeout(now);
        out.into_iter().for_each(|(session, to, transmit)| self.transmit_server(session, to, transmit));
        if let Some(due) = due
            && self.server_timer.is_none_or(|timer| timer > due)
        {
            self.server_timer = Some(due);
            self.push(due, Arrival::ServerTimer);
        }
    }

    fn transmit_server(&mut self, session: SessionId, to: SocketAddr, transmit: Transmit) {
        let arrives = self.now + self.config.delay;
        match transmit {
            Transmit::Symbols { run, sequence } => {
                let datagrams = self.source.datagrams(session, run, sequence);
                let segment = datagrams.len() / usize::from(run.count);
                self.counts.sent_by_block[run.block.index()] += u32::from(run.count);
                self.push(arrives, Arrival::Stream(to, Rc::new(datagrams), segment));
            }
            Transmit::Group(datagram) => {
                let segment = datagram.len();
                self.push(arrives, Arrival::Stream(to, Rc::new(datagram), segment));
            }
            Transmit::Client(to, mut datagram) => {
                let Some(number) = number_of(to).filter(|&number| number < self.clients.len()) else { return };
                if self.clients[number].version.is_some() {
                    // To such a client the server's is the other version; it can only read a refusal.
                    datagram[0] = (VERSION + 1) << 4 | datagram[0] & 0x0F;
                }
                self.push(arrives, Arrival::Client(number, datagram));
            }
        }
    }
}

/// The group of the stream of this number.
pub(super) fn group(number: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0xEFC0_0100 + number).into(), 63_000)
}

/// The address of client `number`.
pub(super) fn address(number: usize) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0x0A00_0000 + number as u32 + 1).into(), 40_000)
}

pub(super) fn number_of(address: SocketAddr) -> Option<usize> {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_bits().checked_sub(0x0A00_0001).map(|number| number as usize),
        IpAddr::V6(_) => None,
    }
}
