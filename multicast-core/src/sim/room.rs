//! The network, the clock and the story of a run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::bound::coded_repair;
use super::client::Client;
use super::link::{LinkModel, LossProcess};
use super::source::Source;
use crate::layout::{FileEntry, Geometry, Layout};
use crate::pace::{AdaptConfig, Rate};
use crate::receiver::ReceiverSnapshot;
use crate::sender::{Sender, SenderConfig, SenderEvent, SessionSnapshot, StartPolicy, Transmit};
use crate::types::{BlockIndex, ClientId, Instant, SessionId};
use crate::wire::{SYMBOL_HEADER_LEN, SessionState};

/// Symbols that a driver hands out by one call.
const BATCH: u16 = 44;
/// Payload of a real symbol. Simulated ones are smaller, so that a thousand clients fit into
/// memory, but cost as much on the wire.
const REAL_SYMBOL: u32 = 1440;
const HEADERS: u32 = 14 + 20 + 8;

/// A room.
#[derive(Debug, Clone)]
pub struct RoomConfig {
    /// Decides everything.
    pub seed: u64,
    /// Symbols of the image; with `block_symbols` that makes its blocks.
    pub image_symbols: u32,
    /// How the image is cut; its symbols may be as small as 2 bytes.
    pub geometry: Geometry,
    /// Clients that are there from the start.
    pub clients: u32,
    /// What happens to what they are sent, each on its own.
    pub link: LinkModel,
    /// The same on the way that all share.
    pub shared: LinkModel,
    /// Part of the datagrams towards the server that are lost.
    pub feedback_loss: f64,
    /// One way.
    pub delay: Duration,
    /// Rate on the wire.
    pub rate: Rate,
    /// The session begins when so many clients are ready.
    pub start_clients: u32,
    /// A silent client is given up after this.
    pub silence: Duration,
    /// The session stays open when all are done.
    pub keep_open: bool,
    /// Slows when most clients lose.
    pub adaptive: bool,
    /// Clients taken in at the same time.
    pub max_clients: Option<u32>,
}

impl RoomConfig {
    /// A gigabit room of `clients` machines with blocks of 1,024 symbols.
    pub fn new(seed: u64, image_symbols: u32, clients: u32) -> Self {
        Self {
            seed,
            image_symbols,
            geometry: Geometry { symbol_size: 4, ..Geometry::for_size(u64::MAX / 4, 1440) },
            clients,
            link: LinkModel::CLEAN,
            shared: LinkModel::CLEAN,
            feedback_loss: 0.0,
            delay: Duration::from_micros(500),
            rate: Rate::from_bits(1_000_000_000),
            start_clients: clients,
            silence: Duration::from_secs(10),
            keep_open: false,
            adaptive: false,
            max_clients: None,
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoomFigures {
    /// Symbols sent by symbols of the image; the manifest's few are among the former.
    pub sent_ratio: f64,
    /// The least that any block code needs for these clients and this loss.
    pub bound: f64,
    /// Bytes of reports by bytes of the stream, on the wire, with symbols of 1,440 bytes.
    pub feedback_ratio: f64,
    /// Reports in the busiest 100 ms.
    pub report_peak: u32,
    /// From the first symbol to the end of the session.
    pub seconds: f64,
    /// The same by the time that the bare image takes at this rate.
    pub time_ratio: f64,
    /// Blocks that some client had to fetch anew.
    pub damaged_blocks: u64,
}

enum Arrival {
    Group(Rc<Vec<u8>>, usize),
    Late(usize, Vec<u8>),
    Server(usize, Vec<u8>),
    Client(usize, Vec<u8>),
    ClientTimer(usize),
    ServerTimer,
}

struct Entry(Instant, u64, Arrival);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
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
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// One server, its clients and the network between them.
pub struct Room {
    config: RoomConfig,
    now: Instant,
    rng: fastrand::Rng,
    source: Source,
    server: Option<Sender>,
    servers: u32,
    server_timer: Option<Instant>,
    clients: Vec<Client>,
    shared_loss: LossProcess,
    queue: BinaryHeap<Reverse<Entry>>,
    queued: u64,
    events: Vec<(Instant, SenderEvent)>,
    started: Option<Instant>,
    ended: Option<Instant>,
    feedback_bytes: u64,
    reports_by_slice: BTreeMap<u64, u32>,
    /// Symbols sent by servers that are gone.
    past_symbols: u64,
}

impl Room {
    /// Sets up the room; nothing has happened yet.
    pub fn new(config: RoomConfig) -> Self {
        let mut rng = fastrand::Rng::with_seed(config.seed);
        // The last symbol is half empty, so that its filling is part of every story.
        let size = config.image_symbols as usize * usize::from(config.geometry.symbol_size) - 1;
        let image: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(size).collect();
        let files = vec![FileEntry { name: "image".into(), size: size as u64 }];
        let layout = Layout::new(config.geometry, files).expect("the room's geometry is sound");
        let mut room = Self {
            shared_loss: LossProcess::new(&config.shared, &mut rng),
            source: Source::new(image, layout),
            now: Instant::ZERO,
            rng,
            server: None,
            servers: 0,
            server_timer: None,
            clients: Vec::new(),
            queue: BinaryHeap::new(),
            queued: 0,
            events: Vec::new(),
            started: None,
            ended: None,
            feedback_bytes: 0,
            reports_by_slice: BTreeMap::new(),
            past_symbols: 0,
            config,
        };
        room.start_server();
        for _ in 0..room.config.clients {
            room.join();
        }
        room
    }

    /// A further client switches on; its number.
    pub fn join(&mut self) -> usize {
        self.join_with(self.config.link)
    }

    /// The same over a link of its own.
    pub fn join_with(&mut self, link: LinkModel) -> usize {
        let number = self.clients.len();
        let client = Client::new(number as u64, link, &self.source, self.config.seed, self.now);
        self.clients.push(client);
        self.arm_client(number);
        number
    }

    /// Client `number` loses its power; its disk stays.
    pub fn kill(&mut self, number: usize) {
        self.clients[number].receiver = None;
    }

    /// It is switched on again and takes up what it has.
    pub fn restart(&mut self, number: usize) {
        let seed = self.rng.u64(..);
        self.clients[number].switch_on(self.now, seed);
        self.arm_client(number);
    }

    /// It stops, as a process does by SIGSTOP, or goes on.
    pub fn freeze(&mut self, number: usize, frozen: bool) {
        self.clients[number].frozen = frozen;
        self.clients[number].timer = None;
        self.arm_client(number);
    }

    /// Its cable is pulled, or plugged in again.
    pub fn cut(&mut self, number: usize, cut: bool) {
        self.clients[number].cut = cut;
    }

    /// The server dies; another one with the same image can be started.
    pub fn kill_server(&mut self) {
        if let Some(server) = self.server.take() {
            self.past_symbols += server.counters().symbols;
        }
    }

    /// The server is started, the same command once more.
    pub fn start_server(&mut self) {
        let geometry = &self.config.geometry;
        let overhead = HEADERS + REAL_SYMBOL - u32::from(geometry.symbol_size);
        self.servers += 1;
        let config = SenderConfig {
            session: SessionId(self.servers),
            image: "image".into(),
            group: SocketAddr::new(Ipv4Addr::new(239, 192, 1, 1).into(), 63000),
            source: None,
            source_specific: false,
            layout: self.source.layout.clone(),
            manifest_root: self.source.manifest.root().0,
            priority: Vec::new(),
            start: StartPolicy { clients: Some(self.config.start_clients), wait: None, on_command: false },
            max_clients: self.config.max_clients,
            silence: self.config.silence,
            keep_open: self.config.keep_open,
            rate: self.config.rate,
            burst: u32::from(BATCH) * (REAL_SYMBOL + HEADERS + SYMBOL_HEADER_LEN as u32),
            adaptive: self.config.adaptive.then(AdaptConfig::default),
            batch: BATCH,
            headers: overhead,
        };
        self.server = Some(Sender::new(config, self.now));
        self.server_timer = None;
        self.drive_server();
    }

    /// The server of this moment, for commands; [`step`](Self::step) goes on with what they did.
    pub fn server(&mut self) -> Option<&mut Sender> {
        self.server.as_mut()
    }

    /// The time of the story.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the server told so far, and when.
    pub fn events(&self) -> &[(Instant, SenderEvent)] {
        &self.events
    }

    /// The number by which the server knows client `number`.
    pub fn client_id(&self, number: usize) -> ClientId {
        self.clients[number].id
    }

    /// A picture of the session.
    pub fn session(&self) -> Option<SessionSnapshot> {
        Some(self.server.as_ref()?.snapshot(self.now))
    }

    /// A picture of client `number`, if it is on.
    pub fn client(&self, number: usize) -> Option<ReceiverSnapshot> {
        Some(self.clients[number].receiver.as_ref()?.snapshot())
    }

    /// Why client `number` ended without the image.
    pub fn failure(&self, number: usize) -> Option<String> {
        self.clients[number].failure.as_ref().map(ToString::to_string)
    }

    /// Time that the bare image takes at the room's rate.
    pub fn image_time(&self) -> Duration {
        let symbols = self.source.layout.image_symbols();
        self.config.rate.time_for(symbols * u64::from(REAL_SYMBOL + HEADERS + SYMBOL_HEADER_LEN as u32))
    }

    /// Symbols sent so far by symbols of the image.
    pub fn sent_fraction(&self) -> f64 {
        let symbols = self.past_symbols + self.server.as_ref().map_or(0, |server| server.counters().symbols);
        symbols as f64 / self.source.layout.image_symbols() as f64
    }

    /// From when client `number` was switched on to when it had everything.
    pub fn completion(&self, number: usize) -> Option<Duration> {
        let client = &self.clients[number];
        Some(client.complete_at? - client.joined_at)
    }

    /// Whether client `number` holds the very bytes of the image, committed.
    pub fn is_identical(&self, number: usize) -> bool {
        self.clients[number].complete_at.is_some() && self.clients[number].store.is_identical()
    }

    /// Whether every client does.
    pub fn all_identical(&self) -> bool {
        (0..self.clients.len()).all(|number| self.is_identical(number))
    }

    /// Goes on until `done` says so; panics with the seed if that takes a simulated hour.
    pub fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) {
            let seed = self.config.seed;
            assert!(self.now < Instant::ZERO + Duration::from_secs(3600), "seed {seed}: an hour has passed");
            assert!(self.step(), "seed {seed}: nothing will ever happen again");
        }
    }

    /// Goes on for `time`.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_until(|room| room.queue.peek().is_none_or(|Reverse(Entry(at, ..))| *at > until));
        self.now = until;
    }

    /// Goes on until the session is over and every client that is on has ended.
    pub fn run_to_end(&mut self) {
        self.run_until(|room| {
            let server = room.server.as_ref().is_some_and(|s| s.is_finished() || s.state() == SessionState::Idle);
            server && room.clients.iter().all(|c| c.frozen || c.receiver.as_ref().is_none_or(|r| r.is_finished()))
        });
    }

    /// What the run came to.
    pub fn figures(&self) -> RoomFigures {
        let stream = self.sent_fraction() * self.source.layout.image_symbols() as f64;
        let symbol_bytes = f64::from(REAL_SYMBOL + HEADERS + SYMBOL_HEADER_LEN as u32);
        let seconds = (self.ended.unwrap_or(self.now) - self.started.unwrap_or(self.now)).as_secs_f64();
        let blocks = u32::from(self.config.geometry.block_symbols).min(self.config.image_symbols);
        let lost = self.config.link.loss;
        RoomFigures {
            sent_ratio: self.sent_fraction(),
            bound: coded_repair(blocks, self.clients.len() as u32, lost) / (1.0 - self.config.shared.loss),
            feedback_ratio: self.feedback_bytes as f64 / (stream * symbol_bytes),
            report_peak: self.reports_by_slice.values().copied().max().unwrap_or(0),
            seconds,
            time_ratio: seconds / self.image_time().as_secs_f64(),
            damaged_blocks: self
                .clients
                .iter()
                .filter_map(|c| c.receiver.as_ref())
                .map(|r| r.snapshot().counters.damaged_blocks)
                .sum(),
        }
    }

    /// Blocks of the image that client `number` has told its journal to be verified.
    pub fn verified_blocks(&self, number: usize) -> Vec<BlockIndex> {
        self.clients[number].store.verified_blocks()
    }

    /// Lets commands given to [`server`](Self::server) take effect.
    pub fn settle(&mut self) {
        self.drive_server();
    }

    /// Lets the next thing happen; false if there is none.
    pub fn step(&mut self) -> bool {
        let Some(Reverse(Entry(at, _, arrival))) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        match arrival {
            Arrival::Group(buffer, segment) => self.deliver_group(&buffer, segment),
            Arrival::Late(number, datagram) => self.deliver_slice(number, &datagram, datagram.len()),
            Arrival::Server(number, datagram) => self.deliver_to_server(number, &datagram),
            Arrival::Client(number, datagram) => {
                if self.clients[number].listens() {
                    let now = self.now;
                    if let Some(receiver) = &mut self.clients[number].receiver {
                        receiver.handle_datagram(now, &datagram);
                    }
                    self.drive_client(number);
                }
            }
            Arrival::ClientTimer(number) => self.tick_client(number),
            Arrival::ServerTimer => {
                let now = self.now;
                if self.server_timer.is_none_or(|timer| timer > now) {
                    return true;
                }
                self.server_timer = None;
                if let Some(server) = &mut self.server {
                    server.handle_timeout(now);
                }
                self.drive_server();
            }
        }
        true
    }

    fn push(&mut self, at: Instant, arrival: Arrival) {
        self.queued += 1;
        self.queue.push(Reverse(Entry(at, self.queued, arrival)));
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
        self.drive_client(number);
    }

    fn deliver_group(&mut self, buffer: &[u8], segment: usize) {
        let mut rest = buffer;
        while !rest.is_empty() {
            let datagrams = rest.len().div_ceil(segment);
            let (count, lost) = self.shared_loss.take(datagrams, &self.config.shared, &mut self.rng);
            let (part, after) = rest.split_at((count * segment).min(rest.len()));
            rest = after;
            if !lost {
                for number in 0..self.clients.len() {
                    if self.clients[number].listens() {
                        self.deliver(number, part, segment);
                    }
                }
            }
        }
    }

    /// What the client's own link lets through of `buffer`.
    fn deliver(&mut self, number: usize, buffer: &[u8], segment: usize) {
        let mut rest = buffer;
        while !rest.is_empty() {
            let client = &mut self.clients[number];
            let datagrams = rest.len().div_ceil(segment);
            let (count, lost) = client.loss.take(datagrams, &client.link, &mut self.rng);
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
            if self.rng.f64() < link.corrupt {
                let at = self.rng.usize(..datagram.len());
                datagram[at] ^= self.rng.u8(1..);
            }
            if self.rng.f64() < link.duplicate {
                self.deliver_slice(number, &datagram, segment);
            }
            if self.rng.f64() < link.reorder {
                let late = Duration::from_micros(self.rng.u64(1..=LinkModel::LATE_MS * 1000));
                self.push(self.now + late, Arrival::Late(number, datagram));
            } else {
                self.deliver_slice(number, &datagram, segment);
            }
        }
    }

    fn deliver_slice(&mut self, number: usize, buffer: &[u8], segment: usize) {
        let now = self.now;
        let client = &mut self.clients[number];
        if !client.listens() {
            return;
        }
        if let Some(receiver) = &mut client.receiver {
            receiver.handle_group(now, buffer, segment, client.store.as_ref());
        }
        self.drive_client(number);
    }

    fn deliver_to_server(&mut self, number: usize, datagram: &[u8]) {
        *self.reports_by_slice.entry(self.now.as_nanos() / 100_000_000).or_default() += 1;
        self.feedback_bytes += datagram.len() as u64 + u64::from(HEADERS);
        let from = address(number);
        let now = self.now;
        if let Some(server) = &mut self.server {
            server.handle_datagram(now, from, datagram);
        }
        self.drive_server();
    }

    fn drive_client(&mut self, number: usize) {
        let now = self.now;
        let client = &mut self.clients[number];
        client.settle(now, &self.source);
        while let Some(datagram) = self.clients[number].receiver.as_mut().and_then(|r| r.poll_transmit()) {
            let lost = self.clients[number].cut || self.rng.f64() < self.config.feedback_loss;
            if !lost {
                self.push(now + self.config.delay, Arrival::Server(number, datagram));
            }
        }
        self.arm_client(number);
    }

    fn arm_client(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(due) = client.receiver.as_ref().and_then(|r| r.poll_timeout()).filter(|_| !client.frozen) else {
            return;
        };
        let due = due.max(self.now);
        if client.timer.is_none_or(|timer| timer > due) {
            client.timer = Some(due);
            self.push(due, Arrival::ClientTimer(number));
        }
    }

    fn drive_server(&mut self) {
        let now = self.now;
        let Some(server) = &mut self.server else { return };
        let mut out = Vec::new();
        while let Some(transmit) = server.poll_transmit(now) {
            out.push(transmit);
        }
        while let Some(event) = server.poll_event() {
            match &event {
                SenderEvent::Started { .. } => self.started = self.started.or(Some(now)),
                SenderEvent::Ended { .. } => self.ended = Some(now),
                _ => {}
            }
            self.events.push((now, event));
        }
        let due = server.poll_timeout(now);
        let session = SessionId(self.servers);
        let arrives = now + self.config.delay;
        for transmit in out {
            match transmit {
                Transmit::Symbols { run, sequence } => {
                    let datagrams = self.source.datagrams(session, run, sequence);
                    let segment = datagrams.len() / usize::from(run.count);
                    self.push(arrives, Arrival::Group(Rc::new(datagrams), segment));
                }
                Transmit::Group(datagram) => {
                    let segment = datagram.len();
                    self.push(arrives, Arrival::Group(Rc::new(datagram), segment));
                }
                Transmit::Client(to, datagram) => {
                    if let Some(number) = number_of(to).filter(|&n| n < self.clients.len()) {
                        self.push(arrives, Arrival::Client(number, datagram));
                    }
                }
            }
        }
        if let Some(due) = due
            && self.server_timer.is_none_or(|timer| timer > due)
        {
            self.server_timer = Some(due);
            self.push(due, Arrival::ServerTimer);
        }
    }
}

/// The address of client `number`.
fn address(number: usize) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0x0A00_0000 + number as u32 + 1).into(), 40_000)
}

fn number_of(address: SocketAddr) -> Option<usize> {
    match address.ip() {
        std::net::IpAddr::V4(ip) => (ip.to_bits().checked_sub(0x0A00_0001)).map(|n| n as usize),
        std::net::IpAddr::V6(_) => None,
    }
}
