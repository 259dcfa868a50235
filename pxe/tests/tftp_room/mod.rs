//! A server's transfer and a client in virtual time, with a network between them that loses and delays.
#![allow(unreachable_pub, reason = "a module of a test")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use pxe::tftp::wire::{ErrorCode, Options, Packet};
use pxe::tftp::{Outcome, Terms, Transfer, Transmit};

/// What a client does with blocks that it did not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Tells of a gap once, and of its last block when that comes again (RFC 7440).
    Rfc,
    /// Acknowledges again at each of them, as EDK II does.
    Eager,
    /// Says nothing, until its own time is over.
    Mute,
}

/// Where a datagram is on its way to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Client,
    Server,
}

/// When it arrives, its number, where, and what it is.
type InFlight = (Duration, u64, To, Vec<u8>);

/// One file on its way to one client.
pub struct Room {
    pub transfer: Transfer,
    pub now: Duration,
    pub client: Client,
    file: Vec<u8>,
    seed: u64,
    random: fastrand::Rng,
    loss: f64,
    doubled: f64,
    delay: Duration,
    /// Seconds a byte on the way to the client.
    per_byte: f64,
    free_at: Duration,
    /// Frames that the client's card holds, and how long it takes one out.
    card: Option<(usize, Duration)>,
    in_card: Vec<Duration>,
    lose_packets: Vec<u64>,
    queue: BinaryHeap<Reverse<InFlight>>,
    sequence: u64,
    pub blocks_sent: u64,
    pub packets_sent: u64,
}

pub struct Client {
    manner: Manner,
    block: usize,
    window: u16,
    pub received: Vec<u8>,
    have: u64,
    in_window: u16,
    told: bool,
    pub over: bool,
    last_word: Vec<u8>,
    pub speak_again_at: Duration,
    pub leaves_after: Option<u64>,
    pub patience: Duration,
}

impl Room {
    pub fn new(seed: u64, size: usize, asked: Options) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let file: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
        let terms = Terms::agree(&asked, size as u64, 65_464, 64);
        let client = Client {
            manner: Manner::Rfc,
            block: usize::from(terms.block),
            window: terms.window,
            received: Vec::new(),
            have: 0,
            in_window: 0,
            told: false,
            over: false,
            last_word: Vec::new(),
            speak_again_at: Duration::MAX,
            leaves_after: None,
            patience: Duration::from_secs(1),
        };
        Self {
            transfer: Transfer::new(Duration::ZERO, terms),
            now: Duration::ZERO,
            client,
            file,
            seed,
            random,
            loss: 0.0,
            doubled: 0.0,
            delay: Duration::from_micros(100),
            per_byte: 0.0,
            free_at: Duration::ZERO,
            card: None,
            in_card: Vec::new(),
            lose_packets: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            blocks_sent: 0,
            packets_sent: 0,
        }
    }

    /// Loses each datagram of both ways with this probability.
    pub fn loss(mut self, loss: f64) -> Self {
        self.loss = loss;
        self
    }

    /// Delivers each datagram twice with this probability.
    pub fn doubled(mut self, doubled: f64) -> Self {
        self.doubled = doubled;
        self
    }

    /// The time of one way.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Bits a second on the way to the client.
    pub fn rate(mut self, bits: f64) -> Self {
        self.per_byte = 8.0 / bits;
        self
    }

    pub fn manner(mut self, manner: Manner) -> Self {
        self.client.manner = manner;
        self
    }

    /// The client's card holds so many frames, and its program takes one out in `each`.
    pub fn card(mut self, frames: usize, each: Duration) -> Self {
        self.card = Some((frames, each));
        self
    }

    /// Loses the server's datagrams of these numbers, from 0.
    pub fn lose_packets(mut self, numbers: &[u64]) -> Self {
        self.lose_packets = numbers.to_vec();
        self
    }

    /// Goes on until the transfer is over.
    pub fn run(&mut self) -> Outcome {
        loop {
            self.server_speaks();
            if let Some(outcome) = self.transfer.outcome() {
                return outcome.clone();
            }
            self.step();
            assert!(self.now < Duration::from_secs(3600), "no end, seed {}", self.seed);
        }
    }

    /// All of the file has come, and nothing else.
    pub fn has_come(&self) -> bool {
        self.client.received == self.file
    }

    /// What the server has to send goes out.
    pub fn server_speaks(&mut self) {
        while let Some(transmit) = self.transfer.poll_transmit(self.now) {
            match transmit {
                Transmit::Packet(bytes) => {
                    self.transfer.handle_sent(self.now, 1);
                    self.send(To::Client, bytes);
                }
                Transmit::Blocks { first, count } => {
                    self.transfer.handle_sent(self.now, count);
                    self.blocks_sent += count;
                    for number in first..first + count {
                        let (offset, len) = self.transfer.terms().extent(number);
                        let payload = &self.file[offset as usize..][..len];
                        let bytes = Packet::Data { block: number as u16, payload }.to_bytes();
                        self.send(To::Client, bytes);
                    }
                }
            }
        }
    }

    /// To the next thing that happens.
    pub fn step(&mut self) {
        let arrival = self.queue.peek().map(|Reverse((at, ..))| *at);
        let timeout = self.transfer.poll_timeout();
        let client = Some(self.client.speak_again_at).filter(|_| !self.client.over);
        let next = [arrival, timeout, client].into_iter().flatten().min().expect("something is to come");
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let Some(Reverse((_, _, to, bytes))) = self.queue.pop() else { return };
            match to {
                To::Server => self.transfer.handle_datagram(self.now, &bytes),
                To::Client => self.client_hears(&bytes),
            }
        } else if client == Some(next) {
            self.client.speak_again_at = self.now + self.client.patience;
            let word = self.client.last_word.clone();
            if !word.is_empty() {
                self.send(To::Server, word);
            }
        } else {
            self.transfer.handle_timeout(self.now);
        }
    }

    fn client_hears(&mut self, bytes: &[u8]) {
        if self.client.leaves_after.is_some_and(|blocks| self.client.have >= blocks) {
            return;
        }
        let before = self.client.have;
        let words = self.client.hear(bytes);
        if self.client.have > before || !words.is_empty() {
            self.client.speak_again_at = self.now + self.client.patience;
        }
        for word in words {
            self.send(To::Server, word);
        }
    }

    fn send(&mut self, to: To, bytes: Vec<u8>) {
        let number = self.packets_sent;
        if to == To::Client {
            self.packets_sent += 1;
        }
        let chosen = to == To::Client && self.lose_packets.contains(&number);
        if chosen || self.random.f64() < self.loss {
            return;
        }
        let copies = if self.random.f64() < self.doubled { 2 } else { 1 };
        for _ in 0..copies {
            let Some(at) = self.arrival(to, bytes.len()) else { continue };
            self.queue.push(Reverse((at, self.sequence, to, bytes.clone())));
            self.sequence += 1;
        }
    }

    fn arrival(&mut self, to: To, len: usize) -> Option<Duration> {
        if to == To::Server {
            return Some(self.now + self.delay);
        }
        self.free_at = self.free_at.max(self.now) + Duration::from_secs_f64(self.per_byte * (len + 46) as f64);
        let at = self.free_at + self.delay;
        let Some((frames, each)) = self.card else { return Some(at) };
        self.in_card.retain(|taken| *taken > at);
        if self.in_card.len() >= frames {
            return None;
        }
        let taken = self.in_card.last().copied().unwrap_or_default().max(at) + each;
        self.in_card.push(taken);
        Some(taken)
    }
}

impl Client {
    fn hear(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        match Packet::decode(bytes).expect("the server speaks TFTP") {
            Packet::OptionAck(_) if self.have == 0 => vec![self.acknowledge()],
            Packet::Data { block, payload } => self.take(block, payload),
            _ => Vec::new(),
        }
    }

    fn take(&mut self, block: u16, payload: &[u8]) -> Vec<Vec<u8>> {
        let ahead = block.wrapping_sub((self.have + 1) as u16);
        if ahead == 0 && !self.over {
            self.have += 1;
            self.in_window += 1;
            self.told = false;
            self.over = payload.len() < self.block;
            self.received.extend_from_slice(payload);
            return if self.over || self.in_window >= self.window { vec![self.acknowledge()] } else { Vec::new() };
        }
        let tell = match self.manner {
            Manner::Eager => true,
            Manner::Rfc if ahead < u16::MAX / 2 => !std::mem::replace(&mut self.told, true),
            Manner::Rfc => ahead == u16::MAX,
            // Even such a one repeats itself at the end.
            Manner::Mute => self.over || (self.window == 1 && ahead == u16::MAX),
        };
        if tell { vec![self.acknowledge()] } else { Vec::new() }
    }

    fn acknowledge(&mut self) -> Vec<u8> {
        self.in_window = 0;
        self.last_word = Packet::Ack { block: self.have as u16 }.to_bytes();
        self.last_word.clone()
    }
}

/// A client's word that it wants no more.
pub fn error() -> Vec<u8> {
    Packet::Error { code: ErrorCode::OTHER, text: b"enough" }.to_bytes()
}
