//! The room and what a story can do in it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use super::client::Client;
use super::figures::Counts;
use super::jobs::JobPool;
use super::link::{LinkModel, LossProcess};
use super::network::{Entry, group};
use super::source::Source;
use crate::layout::{FileEntry, Geometry, Layout};
use crate::pace::{AdaptConfig, Rate};
use crate::receiver::{ReceiverSnapshot, ReceiverState};
use crate::sender::{
    Carousel, Ladder, LadderConfig, Order, Sender, SenderConfig, SenderEvent, SessionSnapshot, StartPolicy,
};
use crate::types::{BlockIndex, ClientId, Instant, SessionId};
use crate::wire::{SYMBOL_HEADER_LEN, SessionState};

/// Symbols that a driver hands out by one call.
const BATCH: u16 = 44;
/// Payload of a real symbol. Simulated ones are smaller, so that a thousand clients fit into
/// memory, but cost as much on the wire.
const REAL_SYMBOL: u64 = 1440;
/// Bytes of Ethernet's, IP's and UDP's headers.
pub(super) const HEADERS: u64 = 14 + 20 + 8;
/// Bytes of a real symbol's datagram on the wire.
pub(super) const SYMBOL_COST: u64 = REAL_SYMBOL + HEADERS + SYMBOL_HEADER_LEN as u64;

/// A story that takes longer than this will never end.
const LONGEST_STORY: Duration = Duration::from_secs(3600);

/// A room.
#[derive(Debug, Clone)]
pub struct RoomConfig {
    /// Decides everything.
    pub seed: u64,
    /// Symbols of the image; with the geometry that makes its blocks.
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
    /// When the session begins.
    pub start: StartPolicy,
    /// A silent client is given up after this.
    pub silence: Duration,
    /// The session stays open when all are done.
    pub keep_open: bool,
    /// Slows when most clients lose.
    pub adaptive: bool,
    /// Clients taken in at the same time.
    pub max_clients: Option<u32>,
    /// Bytes of blocks that a client puts together in memory.
    pub staging: usize,
    /// So many blocks at the image's end go before all others of the first pass.
    pub priority: u32,
    /// How clients that do not keep up are treated.
    pub ladder: LadderConfig,
    /// The order of the blocks, made of that of the manifest and the priority; `None` for the usual one.
    pub order: Option<fn(Carousel) -> Box<dyn Order>>,
}

impl RoomConfig {
    /// A gigabit room of `clients` machines with blocks of 1,024 symbols; it begins when all are ready.
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
            rate: Rate::from_mbit(1000),
            start: StartPolicy { clients: Some(clients), ..StartPolicy::default() },
            silence: Duration::from_secs(10),
            keep_open: false,
            adaptive: false,
            max_clients: None,
            staging: 4 * 1024 * 4,
            priority: 0,
            ladder: LadderConfig::default(),
            order: None,
        }
    }
}

/// One server, its clients and the network between them.
pub struct Room {
    pub(super) config: RoomConfig,
    pub(super) now: Instant,
    pub(super) source: Source,
    pub(super) server: Option<Ladder>,
    /// Where the streams of the present one go.
    pub(super) streams: HashMap<SessionId, SocketAddr>,
    /// Streams beside the main ones that were ever opened.
    pub(super) further_streams: u32,
    /// Servers that were ever started; the number of the present one's session.
    pub(super) servers: u32,
    pub(super) server_timer: Option<Instant>,
    pub(super) clients: Vec<Client>,
    pub(super) jobs: JobPool,
    pub(super) shared_loss: LossProcess,
    pub(super) rng: fastrand::Rng,
    pub(super) queue: BinaryHeap<Reverse<Entry>>,
    pub(super) queued: u64,
    /// Things that happened since time last moved.
    pub(super) steps_now: u32,
    pub(super) events: Vec<(Instant, SenderEvent)>,
    pub(super) counts: Counts,
}

impl Room {
    /// Sets up the room; nothing has happened yet.
    pub fn new(config: RoomConfig) -> Self {
        let mut rng = fastrand::Rng::with_seed(config.seed);
        // The last symbol is not full, so that its filling is part of every story.
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
            streams: HashMap::new(),
            further_streams: 0,
            servers: 0,
            server_timer: None,
            clients: Vec::new(),
            jobs: JobPool::new(config.geometry),
            queue: BinaryHeap::new(),
            queued: 0,
            steps_now: 0,
            events: Vec::new(),
            counts: Counts::default(),
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
        let mut client = Client::new(number as u64, link, &self.source, self.config.seed, self.now);
        client.staging = self.config.staging;
        self.clients.push(client);
        self.restart(number);
        number
    }

    /// A client of another protocol version switches on; its number.
    pub fn join_speaking(&mut self, version: u8) -> usize {
        let number = self.join();
        self.clients[number].version = Some(version);
        number
    }

    /// Client `number` loses its power; its disk stays.
    pub fn kill(&mut self, number: usize) {
        self.clients[number].receiver = None;
    }

    /// It is switched on again and takes up what it has.
    pub fn restart(&mut self, number: usize) {
        self.clients[number].switch_on(self.now);
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

    /// Its disk takes only `symbols` more.
    pub fn limit_disk(&mut self, number: usize, symbols: usize) {
        self.clients[number].store.limit_space(symbols);
    }

    /// The server dies; another one with the same image can be started.
    pub fn kill_server(&mut self) {
        if let Some(server) = self.server.take() {
            self.counts.past_symbols += server.counters().symbols;
        }
    }

    /// The server is started, the same command once more.
    pub fn start_server(&mut self) {
        let (config, layout) = (&self.config, &self.source.layout);
        self.servers += 1;
        let priority: Vec<_> = (layout.blocks() - config.priority..layout.blocks()).map(BlockIndex).collect();
        let order = config.order.map(|order| order(Carousel::of(layout, priority.clone())));
        let ladder = config.ladder;
        let config = SenderConfig {
            session: SessionId(self.servers),
            image: "image".into(),
            group: group(1),
            source: None,
            source_specific: false,
            layout: self.source.layout.clone(),
            manifest_root: self.source.manifest.root().0,
            priority,
            start: config.start,
            max_clients: config.max_clients,
            silence: config.silence,
            keep_open: config.keep_open,
            rate: config.rate,
            burst: u32::from(BATCH) * SYMBOL_COST as u32,
            adaptive: config.adaptive.then(AdaptConfig::default),
            first_rate: None,
            batch: BATCH,
            headers: HEADERS as u32,
        };
        self.counts.sent_by_block = vec![0; self.source.layout.blocks() as usize];
        self.counts.ended = None;
        self.streams = HashMap::from([(config.session, config.group)]);
        let mut server = match order {
            Some(order) => Ladder::of(Sender::with_order(config.clone(), order, self.now), config, ladder, self.now),
            None => Ladder::new(config, ladder, self.now),
        };
        server.set_symbol_cost(SYMBOL_COST as u32);
        self.server = Some(server);
        self.server_timer = None;
        self.drive_server();
    }

    /// When servers that are started from now on begin.
    pub fn set_start(&mut self, start: StartPolicy) {
        self.config.start = start;
    }

    /// Lets `command` act on the server of this moment, if there is one.
    pub fn command<T>(&mut self, command: impl FnOnce(&mut Ladder, Instant) -> T) -> Option<T> {
        let answer = command(self.server.as_mut()?, self.now);
        self.drive_server();
        Some(answer)
    }

    /// The room as it was set up.
    pub fn config(&self) -> &RoomConfig {
        &self.config
    }

    /// The time of the story.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Clients that ever were in the room.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether no client ever was in the room.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// What the servers told so far, and when.
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
        self.config.rate.time_for(self.stream_symbols() * SYMBOL_COST)
    }

    /// From when client `number` was first switched on to when it had everything.
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

    /// Blocks of the image that client `number` has told its journal to be verified.
    pub fn verified_blocks(&self, number: usize) -> Vec<BlockIndex> {
        self.clients[number].store.verified_blocks()
    }

    /// Goes on until `done` says so; panics with the seed if that never happens.
    pub fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let until = self.now + LONGEST_STORY;
        while !done(self) {
            let seed = self.config.seed;
            assert!(self.now < until, "seed {seed}: an hour has passed:\n{}", self.describe());
            assert!(self.step(), "seed {seed}: nothing will ever happen again:\n{}", self.describe());
        }
    }

    /// Goes on for `time`.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Goes on until the session is over, or rests for want of clients, and every client that takes part
    /// has ended or can only wait for another server.
    pub fn run_to_end(&mut self) {
        self.run_until(|room| {
            let Some(server) = &room.server else { return false };
            let ended = server.is_finished();
            let rests = ended || matches!(server.state(), SessionState::Idle | SessionState::Waiting);
            let waits = |client: &Client| {
                let state = client.receiver.as_ref().map(|receiver| receiver.snapshot().state);
                state == Some(ReceiverState::Joining)
            };
            rests && room.clients.iter().all(|client| !client.takes_part() || ended && waits(client))
        });
    }

    /// Who stands where, for a story that does not end.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("at {:?}", self.now);
        if let Some(session) = self.session() {
            text += &format!(", {:?}, {} symbols needed", session.state, session.needed_symbols);
            for client in session.clients.iter().filter(|client| client.state.is_active()) {
                text += &format!("\nserver: {} is {:?} with {}", client.host, client.state, client.verified);
            }
        }
        for (number, client) in self.clients.iter().enumerate().filter(|(_, client)| client.takes_part()) {
            let receiver = self.client(number).map(|c| (c.state, c.verified, c.blocks));
            text += &format!("\nmachine-{}: {receiver:?}", client.id.0);
        }
        text
    }
}
