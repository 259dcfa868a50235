//! A session of thousands of clients in seconds: the real sender, and clients that are counts.
//!
//! A [`Room`](super::Room) moves every symbol to every machine, which for 10,000 machines and 16 GiB
//! is 10¹¹ deliveries. What the sender sees of a client is only what it says; and what it says follows
//! from *how many* symbols of each block it got. So a member of the crowd keeps its deficit of each
//! block that is begun and not complete, and nothing else. It is looked at when it speaks: of the
//! symbols of each block that came since, the lost ones are one draw from the binomial distribution.
//! Joins, offers, heartbeats, polls, reports and releases are real datagrams, on time.
//!
//! A client that gets its last symbol says so unasked, so that it must not be looked at too late. It
//! lies in wait at one block that it lacks: with a deficit of `d` it cannot be complete before `d`
//! more symbols of that block have arrived, and then it is looked at.
//!
//! What this takes for granted:
//! - Symbols and heartbeats are lost independently, each client with a probability of its own. There are
//!   no bursts, no common losses, no reordering; disks, hashing and decoding take no time.
//! - Symbols of a block are distinct until the sender goes round again. Of what is sent once more, a client
//!   that held part of the block before takes each symbol for new with a chance of its deficit by the
//!   block's symbols, as if all that it holds were among the repeated ones: rather too few than too many.
//!   One that listens only since then finds all of it new.
//! - A client knows how many symbols were sent before it looks, also if the last ones did not come, and
//!   counts as received what it gets on the average: the adaptive rate would see no chance in it, and is off.
//! - A client that was offered the session hears the group, and is without the server
//!   only if that has given it up for its silence; then it joins again.

mod binomial;
mod client;
mod figures;
mod network;
mod stream;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

pub use figures::CrowdFigures;

use self::binomial::Binomial;
use self::client::Client;
use self::figures::Counts;
use self::network::Entry;
use self::stream::{Stream, Tally};
use super::room::HEADERS;
use crate::layout::Layout;
use crate::pace::{Profile, Rate};
use crate::receiver::BlockSizes;
use crate::sender::{Sender, SenderConfig, StartPolicy};
use crate::types::{Instant, SessionId};
use crate::wire::SYMBOL_HEADER_LEN;

/// The session that all crowds are in.
const SESSION: SessionId = SessionId(1);
const GROUP: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(239, 192, 1, 1), 63000));
/// Symbols that a driver hands out by one call at most.
const BATCH: u32 = 44;

/// One client of the crowd.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// When it is switched on.
    pub joins: Duration,
    /// The part of what it is sent that is lost on its way, 0 to below 1.
    pub loss: f64,
}

/// A crowd and its session.
#[derive(Debug, Clone)]
pub struct CrowdConfig {
    /// Decides everything.
    pub seed: u64,
    /// The cut of the image.
    pub layout: Layout,
    /// Bytes on the wire of a symbol's datagram, all headers counted.
    pub symbol_cost: u32,
    /// The clients.
    pub members: Vec<Member>,
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
    /// What takes longer than this is left unfinished.
    pub time_limit: Duration,
}

impl CrowdConfig {
    /// `clients` machines at 1 Gbit/s and 0.5 ms from the server, each losing `loss` of what it is sent;
    /// it begins when all are ready.
    pub fn new(seed: u64, layout: Layout, clients: u32, loss: f64) -> Self {
        Self {
            seed,
            symbol_cost: HEADERS as u32 + SYMBOL_HEADER_LEN as u32 + u32::from(layout.geometry().symbol_size),
            layout,
            members: vec![Member { joins: Duration::ZERO, loss }; clients as usize],
            feedback_loss: 0.0,
            delay: Duration::from_micros(500),
            rate: Rate::from_mbit(1000),
            start: StartPolicy { clients: Some(clients), ..StartPolicy::default() },
            silence: Duration::from_secs(30),
            time_limit: Duration::from_secs(30 * 24 * 3600),
        }
    }

    /// Time that the bare image and its manifest take at this rate.
    pub fn image_time(&self) -> Duration {
        self.rate.time_for(self.stream_symbols() * u64::from(self.symbol_cost))
    }

    /// Symbols of the image and its manifest.
    pub fn stream_symbols(&self) -> u64 {
        let symbol = u64::from(self.layout.geometry().symbol_size);
        self.layout.image_symbols() + self.layout.manifest_len().div_ceil(symbol)
    }
}

/// What clients need of each other's company: the cut, chance, and room to count in.
struct Companions {
    sizes: BlockSizes,
    binomial: Binomial,
    rng: fastrand::Rng,
    tally: Tally,
}

/// A sender and its crowd.
pub struct Crowd {
    config: CrowdConfig,
    now: Instant,
    sender: Sender,
    sender_due: Option<Instant>,
    clients: Vec<Client>,
    with: Companions,
    stream: Stream,
    /// Of each block the clients that wait for it, by the number of its symbols that must have been
    /// sent before they can be complete.
    waiting: Vec<BinaryHeap<Reverse<(u64, u32)>>>,
    /// By slot.
    admitted: Vec<u32>,
    /// Clients that listen and have told nothing yet.
    silent: Vec<u32>,
    clients_told: u32,
    queue: BinaryHeap<Reverse<Entry>>,
    queued: u64,
    counts: Counts,
}

impl Crowd {
    /// The crowd before the first thing happened.
    pub fn new(config: CrowdConfig) -> Self {
        let blocks = config.layout.blocks();
        let burst = Profile::Custom(config.rate).burst();
        let sender_config = SenderConfig {
            session: SESSION,
            image: "image".into(),
            group: GROUP,
            source: None,
            source_specific: false,
            layout: config.layout.clone(),
            manifest_root: [0; 32],
            priority: Vec::new(),
            start: config.start,
            max_clients: None,
            silence: config.silence,
            // Who comes after all others are complete is served too.
            keep_open: true,
            rate: config.rate,
            burst,
            adaptive: None,
            first_rate: None,
            batch: (burst / config.symbol_cost).clamp(1, BATCH) as u16,
            headers: HEADERS as u32,
        };
        let mut sender = Sender::new(sender_config, Instant::ZERO);
        sender.set_symbol_cost(config.symbol_cost);
        let mut crowd = Self {
            now: Instant::ZERO,
            sender,
            sender_due: Some(Instant::ZERO),
            clients: config.members.iter().map(|&member| Client::new(member)).collect(),
            with: Companions {
                sizes: BlockSizes::new(&config.layout),
                binomial: Binomial::default(),
                rng: fastrand::Rng::with_seed(config.seed),
                tally: Tally::default(),
            },
            stream: Stream::new(blocks),
            waiting: (0..blocks).map(|_| BinaryHeap::new()).collect(),
            admitted: Vec::new(),
            silent: Vec::new(),
            clients_told: 0,
            queue: BinaryHeap::new(),
            queued: 0,
            counts: Counts::new(config.members.len()),
            config,
        };
        for number in 0..crowd.clients.len() as u32 {
            crowd.switch_on(number);
        }
        crowd
    }

    /// Lets everything happen until every client is done with, or the time is up.
    pub fn run(self) -> CrowdFigures {
        self.run_while(|| true)
    }

    /// The same as long as `go_on` says so, which is asked after each thing that happens.
    pub fn run_while(mut self, mut go_on: impl FnMut() -> bool) -> CrowdFigures {
        let limit = Instant::ZERO + self.config.time_limit;
        while self.counts.over < self.clients.len() && self.step(limit) && go_on() {}
        self.figures()
    }
}
