//! The sending side of a session as a state machine without I/O.
//!
//! The way of the data: reports raise needs ([`need`]) → an order picks the block ([`order`]) →
//! the pacer says when → [`Sender::poll_transmit`] hands out which symbols to send, as indices; the
//! driver gathers their bytes from the image. Reports that crossed with symbols are corrected by
//! the log of what was sent ([`sent_log`]). What clients say and are answered is in [`clients`].

mod admission;
mod clients;
mod event;
mod ladder;
mod need;
mod order;
mod polls;
mod roster;
mod sent_log;
mod tempo;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use admission::StartPolicy;
pub use event::{
    ClientSnapshot, ClientState, Coverage, EndCause, Forgotten, Rung, SenderCounters, SenderEvent, SessionSnapshot,
    StartCause, StreamSnapshot,
};
pub use ladder::{Ladder, LadderConfig, StreamWish, WEAK_TIME};
pub use need::SymbolRun;
pub use order::{Carousel, Nearest, Order};

use self::admission::JoinGate;
use self::need::{NeedMap, Part};
use self::polls::{Mood, Polls};
use self::roster::Roster;
use self::sent_log::SentLog;
use self::tempo::Tempo;
use crate::layout::Layout;
use crate::pace::{AdaptConfig, Pacer, Rate};
use crate::types::{BlockIndex, ClientId, Instant, Sequence, SessionId, Slot};
use crate::wire::{Heartbeat, Packet, ReleaseReason, SYMBOL_HEADER_LEN, SessionState, WireError};

/// Heartbeats that tell the end, so that losing one or two does no harm.
const FAREWELLS: u32 = 4;
const FAREWELL_INTERVAL: Duration = Duration::from_millis(15);
/// At whatever rate, there are so many runs a second: no more than 10 ms leave at once.
const RUNS_A_SECOND: u64 = 100;
/// Terms of a session.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// The session's number, at random.
    pub session: SessionId,
    /// Name of the image.
    pub image: String,
    /// Group and port of the stream.
    pub group: SocketAddr,
    /// Where the group's datagrams come from, if that is known.
    pub source: Option<IpAddr>,
    /// Clients are to join the group for that source only.
    pub source_specific: bool,
    /// The cut of the image.
    pub layout: Layout,
    /// BLAKE3 of the encoded manifest.
    pub manifest_root: [u8; 32],
    /// Blocks to send before all others of the first pass.
    pub priority: Vec<BlockIndex>,
    /// When to begin.
    pub start: StartPolicy,
    /// Clients taken in at the same time.
    pub max_clients: Option<u32>,
    /// A client silent for so long is given up.
    pub silence: Duration,
    /// Goes on waiting for late clients when all have the image.
    pub keep_open: bool,
    /// Rate on the wire; the ceiling where it adapts.
    pub rate: Rate,
    /// Bytes that may leave back to back.
    pub burst: u32,
    /// Slows when most clients lose.
    pub adaptive: Option<AdaptConfig>,
    /// The rate to begin at, if it adapts and this is lower.
    pub first_rate: Option<Rate>,
    /// Symbols handed out at once at most.
    pub batch: u16,
    /// Bytes on the wire of a datagram beside its payload, see [`headers_on_wire`](crate::pace::headers_on_wire).
    pub headers: u32,
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// Symbols to the group, each a datagram of its own with consecutive sequence numbers.
    Symbols {
        /// Which.
        run: SymbolRun,
        /// Number of the first one.
        sequence: Sequence,
    },
    /// One datagram to the group.
    Group(Vec<u8>),
    /// One datagram to a client.
    Client(SocketAddr, Vec<u8>),
}

/// The sending side of one stream of a session, which usually is the only one; [`Ladder`] puts several
/// together.
///
/// Whenever something arrived, a deadline passed or a command was given, in this order: `handle_*`
/// or a command; [`poll_transmit`](Self::poll_transmit) until `None`; [`poll_event`](Self::poll_event)
/// until `None`; then sleep until [`poll_timeout`](Self::poll_timeout), and call
/// [`handle_timeout`](Self::handle_timeout) when it has come. `now` must never run backwards.
pub struct Sender {
    config: SenderConfig,
    state: SessionState,
    needs: NeedMap,
    order: Box<dyn Order>,
    /// The block of the carousel that is going out.
    current: Option<BlockIndex>,
    log: SentLog,
    roster: Roster,
    gate: JoinGate,
    polls: Polls,
    pacer: Pacer,
    tempo: Tempo,
    /// What other sessions leave to this one.
    share: Rate,
    /// The rate of the last event about it.
    told_rate: Rate,
    opened: Instant,
    /// When the first client that is still here became ready.
    first_ready: Option<Instant>,
    ready: u32,
    /// Clients of the session that another stream serves, and of all that it ever served those that count
    /// for the start.
    elsewhere: (u32, u32),
    outbox: VecDeque<Transmit>,
    events: VecDeque<SenderEvent>,
    farewells: u32,
    counters: SenderCounters,
    /// Source symbols of each block that were sent before, as a bit a block.
    begun: crate::bitmap::Bitmap,
    in_flight: Vec<(BlockIndex, u32)>,
    symbol_cost: u32,
}

impl Sender {
    /// A session that waits for its clients from `now` on.
    pub fn new(config: SenderConfig, now: Instant) -> Self {
        let order = Carousel::of(&config.layout, config.priority.clone());
        Self::with_order(config, Box::new(order), now)
    }

    /// The same with an order of your own.
    pub fn with_order(config: SenderConfig, order: Box<dyn Order>, now: Instant) -> Self {
        let blocks = config.layout.blocks() as usize;
        let tempo = Tempo::new(config.rate, config.adaptive, config.first_rate, now);
        Self {
            state: SessionState::Waiting,
            needs: NeedMap::new(&config.layout),
            order,
            current: None,
            log: SentLog::default(),
            roster: Roster::default(),
            gate: JoinGate::new(),
            polls: Polls::new(),
            pacer: Pacer::new(tempo.rate(), config.burst),
            tempo,
            share: Rate::MAX,
            told_rate: config.rate,
            opened: now,
            first_ready: None,
            ready: 0,
            elsewhere: (0, 0),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            farewells: 0,
            counters: SenderCounters::default(),
            begun: crate::bitmap::Bitmap::new(blocks),
            in_flight: Vec::new(),
            symbol_cost: config.headers + SYMBOL_HEADER_LEN as u32 + u32::from(config.layout.geometry().symbol_size),
            config,
        }
    }

    /// What the session is doing.
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// The session is over and everything about it was said.
    pub fn is_finished(&self) -> bool {
        self.state == SessionState::Ended && self.farewells >= FAREWELLS && self.outbox.is_empty()
    }

    /// Bytes on the wire of one symbol's datagram.
    pub fn symbol_cost(&self) -> u32 {
        self.symbol_cost
    }

    /// Lets symbols cost more than they have bytes: the simulator's are small, so that thousands of
    /// clients fit into memory, and are to be paced as real ones.
    pub(crate) fn set_symbol_cost(&mut self, bytes: u32) {
        self.symbol_cost = bytes;
    }

    /// Begins to send, whatever the thresholds say; nothing happens unless it waits.
    pub fn start(&mut self, now: Instant) {
        if self.state == SessionState::Waiting {
            self.begin(now, StartCause::Command);
        }
    }

    /// Stops sending until [`resume`](Self::resume); clients stay.
    pub fn pause(&mut self) {
        if matches!(self.state, SessionState::Running | SessionState::Idle) {
            self.state = SessionState::Paused;
            self.events.push_back(SenderEvent::Paused);
            self.polls.restart();
        }
    }

    /// Goes on after a pause.
    pub fn resume(&mut self, now: Instant) {
        if self.state == SessionState::Paused {
            self.state = SessionState::Running;
            self.events.push_back(SenderEvent::Resumed);
            self.polls.restart();
            // Nobody is to be given up for what the pause was.
            for client in self.roster.iter_mut() {
                client.unanswered = 0;
                client.heard = client.heard.max(now);
                client.asked = None;
            }
        }
    }

    /// Ends the session at once and releases its clients.
    pub fn cancel(&mut self, now: Instant) {
        self.release_all(ReleaseReason::Cancelled, "the session was cancelled by its operator");
        self.end(now, EndCause::Cancelled);
    }

    /// Ends the session at once, to be taken up by another one of the same image: its clients ask again.
    pub fn suspend(&mut self, now: Instant) {
        self.release_all(ReleaseReason::Moved, "is to ask again: the server stops for now");
        self.end(now, EndCause::Suspended);
    }

    fn release_all(&mut self, reason: ReleaseReason, text: &str) {
        for slot in (0..self.roster.slots()).map(Slot) {
            if self.roster.get(slot).state.is_active() {
                self.release(slot, reason, text);
            }
        }
    }

    /// The rate at which it could send now if it were alone; `None` while it has nothing to send.
    pub fn wanted_rate(&self) -> Option<Rate> {
        (self.state == SessionState::Running && self.needs.total() > 0).then(|| self.own_rate())
    }

    /// Sends at `share` at most from `now` on, whatever else allows more; `None` for no such limit.
    pub fn set_share(&mut self, now: Instant, share: Option<Rate>) {
        self.share = share.unwrap_or(Rate::MAX);
        self.tempo.set_share(self.share);
        self.set_pace(now);
    }

    /// Removes a client for good; false if it is not here.
    pub fn remove(&mut self, now: Instant, client: ClientId) -> bool {
        let text = "removed from the session by its operator";
        let removed = self.dismiss(now, client, ReleaseReason::Removed, ClientState::Removed, text);
        self.events.extend(removed.clone().map(|host| SenderEvent::ClientRemoved { client, host }));
        removed.is_some()
    }

    /// Releases a client that is being served; its host, `None` if it is not here.
    fn dismiss(
        &mut self,
        now: Instant,
        client: ClientId,
        reason: ReleaseReason,
        state: ClientState,
        text: &str,
    ) -> Option<String> {
        // One on its way to another stream is in none: it can only be removed.
        let is_here = |known: ClientState| match state {
            ClientState::Removed => known.takes_part(),
            _ => known.is_active(),
        };
        let slot = self.roster.find(client).filter(|&slot| is_here(self.roster.get(slot).state))?;
        self.release(slot, reason, text);
        self.depart(now, slot, state);
        Some(self.roster.get(slot).host.clone())
    }

    /// Other streams serve `active` clients of the session, and have served `counted` that count for the
    /// start: it is not over before these are done.
    fn set_elsewhere(&mut self, now: Instant, active: u32, counted: u32) {
        if self.elsewhere != (active, counted) {
            self.elsewhere = (active, counted);
            self.count_ready(now);
            self.advance(now);
        }
    }

    /// Takes over how `clients` fared that `others` served, a stream of `rung` which is over.
    fn adopt(&mut self, now: Instant, clients: &[ClientId], others: &Roster, rung: Rung) {
        for &client in clients {
            let Some(slot) = self.roster.find(client).filter(|&s| self.roster.get(s).state == ClientState::Moved)
            else {
                continue;
            };
            if let Some(theirs) = others.find(client).map(|slot| others.get(slot)) {
                self.roster.set_state(slot, theirs.state, theirs.ended.unwrap_or(now));
                self.roster.get_mut(slot).take_outcome(theirs, rung);
                continue;
            }
            let silent_seconds = (now - self.roster.get(slot).heard).as_secs_f64();
            self.roster.set_state(slot, ClientState::GivenUp, now);
            let host = self.roster.get(slot).host.clone();
            self.events.push_back(SenderEvent::ClientGivenUp { client, host, silent_seconds });
        }
        self.count_ready(now);
    }

    /// How far each client that was heard has got: of each of `columns` equal parts of the stream what
    /// it holds, 255 for all.
    fn coverage(&self, columns: usize) -> impl Iterator<Item = Coverage> {
        let heard = self.roster.iter().filter(|client| !client.holds.is_empty() && client.state != ClientState::Moved);
        heard.map(move |client| Coverage { client: client.id, columns: client.holds.shares(columns) })
    }

    /// Ends it as done.
    fn finish(&mut self, now: Instant) {
        self.end(now, EndCause::Finished);
    }

    /// A datagram came from `from`; what cannot be read or does not belong here is counted and dropped.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.counters.feedback_bytes += self.on_wire(datagram);
        match Packet::decode(datagram) {
            Ok(Packet::Join(join)) => self.handle_join(now, from, &join),
            Ok(Packet::Report(report)) if report.session == self.config.session => {
                self.handle_report(now, from, &report);
            }
            Ok(Packet::Leave(leave)) if leave.session == self.config.session => self.handle_leave(now, &leave),
            Ok(_) => self.counters.unexpected += 1,
            Err(WireError::Version { found }) => self.refuse_version(from, datagram, found),
            Err(_) => self.counters.malformed += 1,
        }
        self.advance(now);
    }

    /// A deadline of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if now >= self.next_heartbeat() {
            self.give_up_silent(now);
            self.advance(now);
            self.heartbeat(now);
        }
        if self.state == SessionState::Running {
            self.adapt(now);
        }
    }

    /// The next thing to send now, or `None` until a deadline or an arrival.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(transmit) = self.outbox.pop_front() {
            if let Transmit::Group(payload) | Transmit::Client(_, payload) = &transmit {
                let bytes = self.on_wire(payload);
                self.pacer.spend(now, bytes);
                self.counters.wire_bytes += bytes;
            }
            return Some(transmit);
        }
        let next = if self.state == SessionState::Running { self.next_run() } else { None };
        let Some((run, part)) = next else {
            self.pacer.rest(now);
            return None;
        };
        let bytes = u64::from(run.count) * u64::from(self.symbol_cost());
        if self.pacer.next(now, bytes) > now {
            return None;
        }
        self.pacer.spend(now, bytes);
        Some(self.transmit(now, run, part, bytes))
    }

    /// When [`handle_timeout`](Self::handle_timeout) or, for symbols that wait for the pacer,
    /// [`poll_transmit`](Self::poll_transmit) is to be called next.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        if self.is_finished() {
            return None;
        }
        let mut next = self.next_heartbeat();
        // Before somebody is there, no hour starts it.
        if self.state == SessionState::Waiting
            && self.ready > 0
            && let Some(deadline) = self.config.start.deadline(self.opened, self.first_ready)
        {
            next = next.min(deadline);
        }
        if self.state == SessionState::Running {
            if let Some((run, _)) = self.next_run() {
                next = next.min(self.pacer.next(now, u64::from(run.count) * u64::from(self.symbol_cost())));
            }
            next = next.min(self.tempo.due());
        }
        Some(next.max(now))
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        self.events.pop_front()
    }

    /// What was sent and received so far.
    pub fn counters(&self) -> &SenderCounters {
        &self.counters
    }

    /// Whether `client` is known to have `block`; `None` for an unknown client.
    pub fn holds(&self, client: ClientId, block: BlockIndex) -> Option<bool> {
        let holds = &self.roster.get(self.roster.find(client)?).holds;
        Some(block.index() < holds.len() && holds.get(block.index()))
    }

    /// A picture of the session.
    pub fn snapshot(&self, now: Instant) -> SessionSnapshot {
        let rate = self.pacer.rate();
        SessionSnapshot {
            session: self.config.session,
            image: self.config.image.clone(),
            state: self.state,
            blocks: self.config.layout.blocks(),
            rate,
            needed_symbols: self.needs.total(),
            remaining: self.remaining(),
            awaited: self.config.start.threshold().unwrap_or(0),
            counters: self.counters,
            streams: Vec::new(),
            clients: self.roster.iter().map(|client| client.snapshot(now)).collect(),
            forgotten: self.roster.forgotten(),
        }
    }

    /// Time that what is known to be needed takes at this rate.
    fn remaining(&self) -> Duration {
        self.pacer.rate().time_for(self.needs.total() * u64::from(self.symbol_cost()))
    }

    /// Moves the session on: starts it, lets it rest or ends it.
    fn advance(&mut self, now: Instant) {
        match self.state {
            SessionState::Waiting => {
                if let Some(cause) = self.config.start.due(now, self.opened, self.ready, self.first_ready) {
                    self.begin(now, cause);
                }
            }
            SessionState::Running | SessionState::Idle if self.roster.active() == 0 && self.roster.slots() > 0 => {
                if self.config.keep_open || self.elsewhere.0 > 0 {
                    self.state = SessionState::Idle;
                } else {
                    self.end(now, EndCause::Finished);
                }
            }
            _ => {}
        }
    }

    /// Judges by how the clients fare whether the rate is right.
    fn adapt(&mut self, now: Instant) {
        if now < self.tempo.due() {
            return;
        }
        let median_loss = self.tempo.judge(now, &mut self.roster, self.counters.wire_bytes, self.symbol_cost);
        self.set_pace(now);
        let rate = self.pacer.rate();
        // Every half a second is often enough to be told.
        if let Some(median_loss) = median_loss
            && rate != self.told_rate
        {
            self.told_rate = rate;
            self.events.push_back(SenderEvent::RateChanged { rate, median_loss });
        }
    }

    /// What is configured, or what the adaptive mode found.
    fn own_rate(&self) -> Rate {
        self.tempo.rate()
    }

    fn set_pace(&mut self, now: Instant) {
        let rate = self.own_rate().min(self.share);
        if rate != self.pacer.rate() {
            self.pacer.set_rate(now, rate);
        }
    }

    fn on_wire(&self, payload: &[u8]) -> u64 {
        u64::from(self.config.headers) + payload.len() as u64
    }

    fn begin(&mut self, now: Instant, cause: StartCause) {
        self.state = SessionState::Running;
        self.events.push_back(SenderEvent::Started { clients: self.ready, cause });
        self.tempo.begin(now, self.counters.wire_bytes);
        self.polls.restart();
    }

    fn end(&mut self, now: Instant, cause: EndCause) {
        if self.state != SessionState::Ended {
            self.state = SessionState::Ended;
            self.events.push_back(SenderEvent::Ended { cause });
            self.heartbeat(now);
        }
    }

    fn mood(&self) -> Mood {
        match self.state {
            SessionState::Running if self.needs.total() > 0 => Mood::Busy,
            SessionState::Running => Mood::Dry,
            _ => Mood::Quiet,
        }
    }

    fn next_heartbeat(&self) -> Instant {
        match self.state {
            SessionState::Ended => self.polls.last() + FAREWELL_INTERVAL,
            _ => self.polls.next(self.mood()),
        }
    }

    fn heartbeat(&mut self, now: Instant) {
        if self.state == SessionState::Ended {
            if self.farewells >= FAREWELLS {
                return;
            }
            self.farewells += 1;
        }
        let poll = self.polls.poll(now, self.mood(), &mut self.roster, self.pacer.rate());
        let deadline = self.config.start.deadline(self.opened, self.first_ready);
        let starts_in = deadline.map(|at| u32::try_from((at - now).as_millis()).unwrap_or(u32::MAX - 1));
        let heartbeat = Heartbeat {
            session: self.config.session,
            sequence: self.log.next(),
            poll,
            state: self.state,
            clients: self.roster.active() + self.roster.complete(),
            complete: self.roster.complete(),
            awaited: self.config.start.threshold().unwrap_or(0),
            starts_in_ms: starts_in,
            rate_kbit: (self.pacer.rate().bits() / 1000) as u32,
        };
        let mut payload = Vec::new();
        heartbeat.encode(&mut payload);
        self.outbox.push_back(Transmit::Group(payload));
        self.counters.heartbeats += 1;
    }

    /// What goes out next if the pacer lets it.
    fn next_run(&mut self) -> Option<(SymbolRun, Part)> {
        if self.needs.total() == 0 {
            return None;
        }
        // A repair interrupts the block that is going out: at 100 Mbit/s that one takes 0.1 s.
        let (block, part) = match self.needs.next_repair() {
            Some(block) => (block, Part::Repair),
            None => (self.carousel_block()?, Part::Whole),
        };
        Some((self.needs.peek(block, part, self.longest_run(block)), part))
    }

    /// Symbols of a block that go out at once. A slow port takes the head of each burst and drops the
    /// rest: in repeats bursts must not be cut at the same places, or it takes the same symbols again.
    fn longest_run(&self, block: BlockIndex) -> u16 {
        let in_time = self.pacer.rate().bits() / (8 * RUNS_A_SECOND * u64::from(self.symbol_cost));
        let batch = u64::from(self.config.batch).min(in_time).max(1) as u16;
        if !self.begun.get(block.index()) || batch < 4 {
            return batch;
        }
        batch - (self.log.next().0 % u32::from(batch / 2)) as u16
    }

    /// The block of the carousel that is going out, or begins to.
    fn carousel_block(&mut self) -> Option<BlockIndex> {
        if let Some(block) = self.current.filter(|&block| self.needs.goes_on(block)) {
            return Some(block);
        }
        if self.needs.carousel().count_ones() == 0 {
            return None;
        }
        let held = if self.order.looks_at_clients() { self.roster.held() } else { Vec::new() };
        let block = self.order.next(self.needs.carousel(), &held)?;
        self.needs.begin(block);
        self.current = Some(block);
        Some(block)
    }

    fn transmit(&mut self, now: Instant, run: SymbolRun, part: Part, bytes: u64) -> Transmit {
        let sequence = self.log.next();
        self.needs.sent(run, part);
        self.log.push(now, run.block, run.count.into());
        self.counters.symbols += u64::from(run.count);
        self.counters.wire_bytes += bytes;
        let symbols = self.needs.symbols_of(run.block);
        if run.first.0 >= symbols {
            self.counters.parity_symbols += u64::from(run.count);
        } else if self.begun.get(run.block.index()) {
            self.counters.resent_symbols += u64::from(run.count);
        } else if run.first.0 + run.count >= symbols {
            self.begun.set(run.block.index());
        }
        Transmit::Symbols { run, sequence }
    }
}
