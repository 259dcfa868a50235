//! The clock, and what passes between the sender and the crowd.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use super::Crowd;
use super::client::{Phase, id};
use crate::receiver::{COMPLETIONS_PER_MS, FAREWELL_INTERVAL, JOIN_INTERVAL_MAX};
use crate::sender::{SenderEvent, SymbolRun, Transmit};
use crate::sim::network::{address, number_of};
use crate::types::{BlockIndex, Instant};
use crate::wire::{Heartbeat, Join, Packet, ReleaseReason, SessionState};

/// Something that will happen; of two at the same time the one that was queued first comes first.
pub(super) struct Entry {
    at: Instant,
    number: u64,
    happening: Happening,
}

enum Happening {
    Server(u32, Vec<u8>),
    Client(u32, Vec<u8>),
    Heartbeat(Box<Heartbeat>),
    JoinDue(u32),
    ReportDue(u32),
    FarewellDue(u32),
    /// The client may be complete.
    Look(u32),
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

impl Crowd {
    /// Lets happen what comes next; false if that is later than `limit`.
    pub(super) fn step(&mut self, limit: Instant) -> bool {
        let queued = self.queue.peek().map(|Reverse(entry)| entry.at);
        let Some(next) = queued.into_iter().chain(self.sender_due).min().filter(|next| *next <= limit) else {
            self.now = limit;
            return false;
        };
        self.now = self.now.max(next);
        self.stream.arrive(self.now);
        match self.queue.pop() {
            Some(Reverse(entry)) if entry.at <= self.now => self.happen(entry.happening),
            other => {
                self.queue.extend(other);
                self.sender.handle_timeout(self.now);
                self.drive_sender();
            }
        }
        true
    }

    fn push(&mut self, at: Instant, happening: Happening) {
        self.queued += 1;
        self.queue.push(Reverse(Entry { at, number: self.queued, happening }));
    }

    /// `client` asks for the session as soon as it is switched on.
    pub(super) fn switch_on(&mut self, client: u32) {
        let at = Instant::ZERO + self.clients[client as usize].member.joins;
        self.push(at, Happening::JoinDue(client));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Server(client, datagram) => {
                self.counts.feedback(self.now, &datagram);
                self.sender.handle_datagram(self.now, address(client as usize), &datagram);
                self.drive_sender();
            }
            Happening::Client(client, datagram) => self.hear(client, &datagram),
            Happening::Heartbeat(heartbeat) => self.hear_heartbeat(&heartbeat),
            Happening::JoinDue(client) => self.join(client),
            Happening::ReportDue(client) => self.answer(client),
            Happening::FarewellDue(client) => self.say_farewell(client),
            Happening::Look(client) => {
                self.look(client);
                self.watch(client);
            }
        }
    }

    fn drive_sender(&mut self) {
        let arrives = self.now + self.config.delay;
        while let Some(transmit) = self.sender.poll_transmit(self.now) {
            match transmit {
                Transmit::Symbols { run, .. } => self.send(run, arrives),
                Transmit::Group(datagram) => {
                    if let Ok(Packet::Heartbeat(heartbeat)) = Packet::decode(&datagram) {
                        self.push(arrives, Happening::Heartbeat(Box::new(heartbeat)));
                    }
                }
                Transmit::Client(to, datagram) => self.push_to(to, arrives, datagram),
            }
        }
        while let Some(event) = self.sender.poll_event() {
            self.note(&event);
        }
        self.counts.rests(self.now, self.sender.state() == SessionState::Idle);
        self.sender_due = self.sender.poll_timeout(self.now);
    }

    fn push_to(&mut self, to: SocketAddr, arrives: Instant, datagram: Vec<u8>) {
        if let Some(number) = number_of(to).filter(|&number| number < self.clients.len()) {
            self.push(arrives, Happening::Client(number as u32, datagram));
        }
    }

    fn note(&mut self, event: &SenderEvent) {
        match event {
            SenderEvent::Started { .. } => self.counts.started = Some(self.now),
            SenderEvent::ClientComplete { .. } => self.counts.end(self.now),
            _ => {}
        }
    }

    fn send(&mut self, run: SymbolRun, arrives: Instant) {
        self.stream.send(run, arrives);
        let sent = self.stream.sent_of(run.block);
        let waiting = &mut self.waiting[run.block.index()];
        let mut due = Vec::new();
        while waiting.peek().is_some_and(|Reverse((symbols, _))| *symbols <= sent) {
            due.extend(waiting.pop().map(|Reverse((_, client))| client));
        }
        due.into_iter().for_each(|client| self.push(arrives, Happening::Look(client)));
    }

    fn send_to_server(&mut self, client: u32, datagram: Vec<u8>) {
        if self.with.rng.f64() >= self.config.feedback_loss {
            self.push(self.now + self.config.delay, Happening::Server(client, datagram));
        }
    }

    fn join(&mut self, number: u32) {
        let client = &mut self.clients[number as usize];
        if client.phase != Phase::Joining {
            return;
        }
        let pause = client.join_interval.mul_f64(0.75 + 0.5 * self.with.rng.f64());
        client.join_interval = (client.join_interval * 5 / 4).min(JOIN_INTERVAL_MAX);
        let mut datagram = Vec::new();
        let host = format!("machine-{}", number + 1);
        Join { client: id(number), image: "", host: &host, credential: &[] }.encode(&mut datagram);
        self.send_to_server(number, datagram);
        self.push(self.now + pause, Happening::JoinDue(number));
    }

    fn hear(&mut self, number: u32, datagram: &[u8]) {
        let client = &mut self.clients[number as usize];
        match Packet::decode(datagram) {
            Ok(Packet::Offer(offer)) if client.phase == Phase::Joining => {
                client.listen(offer.slot, &self.stream);
                let slot = offer.slot.0 as usize;
                self.admitted.resize(self.admitted.len().max(slot + 1), u32::MAX);
                self.admitted[slot] = number;
                self.silent.push(number);
                self.watch(number);
            }
            Ok(Packet::Release(release)) if release.reason == ReleaseReason::Complete => client.phase = Phase::Done,
            // Given up, as it heard no poll for long: it asks again, unless it needs nothing any more.
            Ok(Packet::Release(_)) if client.phase == Phase::Farewell => {
                client.phase = Phase::Done;
                self.counts.end(self.now);
            }
            Ok(Packet::Release(_)) if client.phase == Phase::Receiving => {
                client.leave();
                self.push(self.now, Happening::JoinDue(number));
            }
            _ => {}
        }
    }

    fn hear_heartbeat(&mut self, heartbeat: &Heartbeat) {
        self.clients_told = heartbeat.clients;
        let poll = heartbeat.poll;
        let end = poll.first.0.saturating_add(poll.count).min(self.admitted.len() as u32);
        for slot in poll.first.0..end {
            let number = self.admitted[slot as usize];
            if number != u32::MAX && self.hears(number) {
                self.ask(number, poll.spread_ms.into(), poll.number);
            }
        }
        // The first report comes unasked.
        let mut silent = std::mem::take(&mut self.silent);
        silent.retain(|&number| {
            let client = &self.clients[number as usize];
            if !client.reported && self.hears(number) {
                self.ask(number, self.clients_told / COMPLETIONS_PER_MS, 0);
            }
            !self.clients[number as usize].reported
        });
        self.silent = silent;
    }

    fn hears(&mut self, number: u32) -> bool {
        let client = &self.clients[number as usize];
        matches!(client.phase, Phase::Receiving | Phase::Farewell) && self.with.rng.f64() >= client.member.loss
    }

    /// The client is to report within `spread` ms.
    fn ask(&mut self, number: u32, spread: u32, poll: u32) {
        let answer = (self.some_time_within(spread), poll);
        let client = &mut self.clients[number as usize];
        client.reported = true;
        if client.report_due.is_none_or(|pending| answer < pending) {
            client.report_due = Some(answer);
            self.push(answer.0, Happening::ReportDue(number));
        }
    }

    fn some_time_within(&mut self, ms: u32) -> Instant {
        self.now + Duration::from_micros(self.with.rng.u64(0..=u64::from(ms) * 1000))
    }

    fn answer(&mut self, number: u32) {
        let client = &mut self.clients[number as usize];
        let Some((_, poll)) = client.report_due.take_if(|(due, _)| *due <= self.now) else { return };
        self.look(number);
        match self.clients[number as usize].phase {
            Phase::Receiving => self.report(number, poll),
            // It is asked because it was not heard.
            Phase::Farewell => self.bid_farewell(number, self.now),
            Phase::Joining | Phase::Done => {}
        }
    }

    fn report(&mut self, number: u32, poll: u32) {
        let (mut runs, mut datagram) = (Vec::new(), Vec::new());
        let client = &mut self.clients[number as usize];
        let blocks = self.config.layout.blocks();
        client.report(number, poll, &self.with.sizes, blocks, &mut runs).encode(&mut datagram);
        self.send_to_server(number, datagram);
    }

    /// Finds out what the client has by now; if that is everything, it will say so.
    fn look(&mut self, number: u32) {
        let client = &mut self.clients[number as usize];
        if client.phase != Phase::Receiving {
            return;
        }
        client.catch_up(&mut self.with, &self.stream);
        if client.last_lack(&self.with.sizes, self.config.layout.blocks()).is_none() {
            client.phase = Phase::Farewell;
            client.farewell_due = Instant::from_nanos(u64::MAX);
            self.counts.complete[number as usize] = Some(self.now);
            let at = self.some_time_within(self.clients_told / COMPLETIONS_PER_MS);
            self.bid_farewell(number, at);
        }
    }

    /// Lets a client lie in wait for what it lacks last.
    fn watch(&mut self, number: u32) {
        let client = &self.clients[number as usize];
        if client.phase != Phase::Receiving {
            return;
        }
        let Some((block, lack)) = client.last_lack(&self.with.sizes, self.config.layout.blocks()) else { return };
        match self.stream.arrival_of(block, lack) {
            Ok(at) => self.push(at, Happening::Look(number)),
            Err(coming) => {
                let symbols = self.stream.sent_of(BlockIndex(block)) - coming + u64::from(lack);
                self.waiting[block as usize].push(Reverse((symbols, number)));
            }
        }
    }

    fn bid_farewell(&mut self, number: u32, at: Instant) {
        let client = &mut self.clients[number as usize];
        if at < client.farewell_due {
            client.farewell_due = at;
            self.push(at, Happening::FarewellDue(number));
        }
    }

    fn say_farewell(&mut self, number: u32) {
        let client = &mut self.clients[number as usize];
        if client.phase != Phase::Farewell || self.now < client.farewell_due {
            return;
        }
        self.report(number, 0);
        let again = self.now + FAREWELL_INTERVAL;
        self.clients[number as usize].farewell_due = again;
        self.push(again, Happening::FarewellDue(number));
    }
}
