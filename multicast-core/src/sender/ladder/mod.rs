//! A session of several streams: its own, a slower one and unicast ones, and who is served by which.
//!
//! Each stream is a [`Sender`]. A client changes over by being released and joining again, which is
//! what it does after a crash: it holds what it has. Who is to change is decided by the [`policy`].

mod policy;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

pub use policy::{LadderConfig, WEAK_TIME};

use self::policy::{Policy, Seen, Step};
use super::event::{ClientSnapshot, ClientState, Coverage, Rung, SenderCounters, SenderEvent, StreamSnapshot};
use super::roster::Roster;
use super::{Sender, SenderConfig, SessionSnapshot, StartPolicy, Transmit};
use crate::pace::{AdaptConfig, Rate, level};
use crate::types::{ClientId, Instant, SessionId};
use crate::wire::{Join, Kind, Packet, ReleaseReason, SessionState, peek, session_of};

/// Between two looks at the clients.
const JUDGE_INTERVAL: Duration = Duration::from_millis(500);
/// Between two divisions of the rate among the streams.
const SHARE_INTERVAL: Duration = Duration::from_millis(50);
/// A stream for slow clients begins at what they took in, and a little more, to find out.
const FIRST_RATE: f64 = 1.1;
/// Of a client that heard nothing so far nobody knows what it takes in: it begins at this part.
const UNKNOWN_RATE: f64 = 0.25;
/// A main stream that had something to send within this is taken to have.
const DROUGHT: Duration = Duration::from_millis(200);
/// How a stream for slow clients finds its rate: from far below the session's.
const SIDE_PACE: AdaptConfig = AdaptConfig { quantile: 0.5, threshold: 0.02, floor: 0.001 };

/// What a session wants of its driver, beside sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamWish {
    /// A session number for a further stream, and, if it is not for one client, a group and a port:
    /// [`open`](Ladder::open) or [`give_up_opening`](Ladder::give_up_opening) is the answer.
    Open {
        /// The client that it is to go to, `None` for a group.
        to: Option<SocketAddr>,
    },
    /// The stream of this number is over.
    Close(SessionId),
}

/// A session of one or more streams; it is driven as a [`Sender`] is, and
/// [`poll_wish`](Self::poll_wish) is asked after [`poll_event`](Self::poll_event).
pub struct Ladder {
    config: SenderConfig,
    terms: LadderConfig,
    policy: Policy,
    main: Sender,
    sides: Vec<Side>,
    /// Moves whose stream is not open yet, the first one's wish was told.
    moves: VecDeque<Move>,
    wishes: VecDeque<StreamWish>,
    events: VecDeque<SenderEvent>,
    judge_due: Instant,
    share_due: Instant,
    /// What other sessions leave to this one.
    share: Rate,
    /// The stream that is asked next for something to send.
    turn: usize,
    /// Of streams that are over.
    past: SenderCounters,
    /// When the main stream had something to send last.
    main_wanted: Instant,
    symbol_cost: Option<u32>,
}

/// A stream beside the main one.
struct Side {
    rung: Rung,
    to: SocketAddr,
    sender: Sender,
    /// Whom it serves, or has served.
    clients: Vec<ClientId>,
    opened: Instant,
    /// What it may send at, if its clients take it.
    allowed: Rate,
}

/// A client on its way to another stream.
#[derive(Debug)]
struct Move {
    client: ClientId,
    to: Rung,
    first_rate: Rate,
    why: String,
}

impl Ladder {
    /// A session that waits for its clients from `now` on.
    pub fn new(config: SenderConfig, terms: LadderConfig, now: Instant) -> Self {
        Self::of(Sender::new(config.clone(), now), config, terms, now)
    }

    /// The same around a main stream of your own.
    pub(crate) fn of(main: Sender, config: SenderConfig, terms: LadderConfig, now: Instant) -> Self {
        Self {
            policy: Policy::new(terms, config.layout.image_symbols()),
            main,
            sides: Vec::new(),
            moves: VecDeque::new(),
            wishes: VecDeque::new(),
            events: VecDeque::new(),
            judge_due: now,
            share_due: now,
            share: Rate::MAX,
            turn: 0,
            past: SenderCounters::default(),
            main_wanted: now,
            symbol_cost: None,
            config,
            terms,
        }
    }

    /// What the session is doing.
    pub fn state(&self) -> SessionState {
        let served = self.sides.iter().any(|side| side.sender.state() == SessionState::Running);
        if served && self.main.state() == SessionState::Idle { SessionState::Running } else { self.main.state() }
    }

    /// The session is over and everything about it was said.
    pub fn is_finished(&self) -> bool {
        self.main.is_finished() && self.sides.is_empty() && self.wishes.is_empty()
    }

    /// See [`Sender::set_symbol_cost`].
    pub(crate) fn set_symbol_cost(&mut self, bytes: u32) {
        self.symbol_cost = Some(bytes);
        self.main.set_symbol_cost(bytes);
    }

    /// Begins to send, whatever the thresholds say; nothing happens unless it waits.
    pub fn start(&mut self, now: Instant) {
        self.main.start(now);
        self.settle(now);
    }

    /// Stops sending until [`resume`](Self::resume); clients stay.
    pub fn pause(&mut self) {
        self.streams().for_each(Sender::pause);
    }

    /// Goes on after a pause.
    pub fn resume(&mut self, now: Instant) {
        self.streams().for_each(|stream| stream.resume(now));
    }

    /// Ends the session at once and releases its clients.
    pub fn cancel(&mut self, now: Instant) {
        self.moves.clear();
        self.streams().for_each(|stream| stream.cancel(now));
        self.settle(now);
    }

    /// Ends the session at once, to be taken up by another one of the same image.
    pub fn suspend(&mut self, now: Instant) {
        self.moves.clear();
        self.streams().for_each(|stream| stream.suspend(now));
        self.settle(now);
    }

    /// Removes a client for good; false if it is not here.
    pub fn remove(&mut self, now: Instant, client: ClientId) -> bool {
        let side = self.sides.iter_mut().find(|side| side.sender.roster.find(client).is_some());
        let removed = side.map_or(&mut self.main, |side| &mut side.sender).remove(now, client);
        self.settle(now);
        removed
    }

    /// The rate at which it could send now if it were alone; `None` while it has nothing to send.
    pub fn wanted_rate(&self) -> Option<Rate> {
        let sides = self.sides.iter().filter_map(|side| side.sender.wanted_rate());
        let wanted = self.main.wanted_rate().into_iter().chain(sides).map(Rate::bits).reduce(|a, b| a + b)?;
        Some(Rate::from_bits(wanted).min(self.config.rate))
    }

    /// Sends at `share` at most from `now` on, whatever else allows more; `None` for no such limit.
    pub fn set_share(&mut self, now: Instant, share: Option<Rate>) {
        self.share = share.unwrap_or(Rate::MAX);
        self.divide(now);
    }

    /// A datagram came from `from`; what cannot be read or does not belong here is counted and dropped.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let side = (!self.sides.is_empty()).then(|| self.side_for(now, from, datagram)).flatten();
        match side {
            Some(at) => self.sides[at].sender.handle_datagram(now, from, datagram),
            None => self.main.handle_datagram(now, from, datagram),
        }
        if !self.sides.is_empty() {
            self.settle(now);
        }
    }

    /// A deadline of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        for stream in self.streams() {
            if stream.poll_timeout(now).is_some_and(|due| due <= now) {
                stream.handle_timeout(now);
            }
        }
        if now >= self.judge_due {
            self.judge_due = now + JUDGE_INTERVAL;
            self.judge(now);
        }
        if !self.sides.is_empty() {
            self.settle(now);
            if now >= self.share_due {
                self.share_due = now + SHARE_INTERVAL;
                self.divide(now);
            }
        }
    }

    /// The next thing to send now, and the number of the stream that it belongs to, or `None` until a
    /// deadline or an arrival.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(SessionId, Transmit)> {
        let streams = self.sides.len() + 1;
        for _ in 0..streams {
            let at = self.turn % streams;
            let stream = if at == 0 { &mut self.main } else { &mut self.sides[at - 1].sender };
            if let Some(transmit) = stream.poll_transmit(now) {
                let number = stream.config.session;
                // Everybody in turn, or a stream that is behind would keep the others waiting.
                self.turn = at + 1;
                return Some((number, transmit));
            }
            self.turn = at + 1;
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) or, for symbols that wait for the pacer,
    /// [`poll_transmit`](Self::poll_transmit) is to be called next.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        if self.sides.iter().any(|side| side.sender.is_finished()) {
            return Some(now);
        }
        let mut next = self.streams().filter_map(|stream| stream.poll_timeout(now)).min()?;
        if self.main.state() != SessionState::Ended {
            next = next.min(self.judge_due);
        }
        if !self.sides.is_empty() {
            next = next.min(self.share_due);
        }
        Some(next.max(now))
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        while let Some(event) = self.main.poll_event() {
            self.events.push_back(event);
        }
        for side in &mut self.sides {
            while let Some(event) = side.sender.poll_event() {
                self.events.extend(side.told(event, &self.main.roster));
            }
        }
        self.events.pop_front()
    }

    /// What the driver is to do for it next.
    pub fn poll_wish(&mut self) -> Option<StreamWish> {
        self.wishes.pop_front()
    }

    /// A stream can be opened, as wished: `session` is its number, `to` its group and port, or the client.
    pub fn open(&mut self, now: Instant, session: SessionId, to: SocketAddr) {
        let Some(moved) = self.moves.pop_front() else {
            self.wishes.push_back(StreamWish::Close(session));
            return;
        };
        let config = SenderConfig {
            session,
            group: to,
            source_specific: self.config.source_specific && moved.to != Rung::Unicast,
            // It starts with the session, and ends when this says so.
            start: StartPolicy { on_command: true, ..StartPolicy::default() },
            keep_open: true,
            max_clients: None,
            adaptive: Some(SIDE_PACE),
            first_rate: Some(moved.first_rate),
            ..self.config.clone()
        };
        let mut sender = Sender::new(config, now);
        self.symbol_cost.into_iter().for_each(|bytes| sender.set_symbol_cost(bytes));
        self.sides.push(Side { rung: moved.to, to, sender, clients: Vec::new(), opened: now, allowed: Rate::MIN });
        self.events.push_back(SenderEvent::StreamOpened { rung: moved.to, to });
        self.change_over(now, &moved, self.sides.len() - 1);
        // Others may have been waiting for the same stream.
        let (with, later): (VecDeque<_>, _) =
            std::mem::take(&mut self.moves).into_iter().partition(|m| m.to == Rung::Slower && moved.to == m.to);
        self.moves = later;
        with.iter().for_each(|also| self.change_over(now, also, self.sides.len() - 1));
        self.wish_for_next();
        self.divide(now);
        self.settle(now);
    }

    /// The stream of the last wish cannot be opened: whoever waits for one of its kind stays where it is,
    /// and none is wished for in the next minute.
    pub fn give_up_opening(&mut self, now: Instant, why: &str) {
        let Some(Move { to: rung, .. }) = self.moves.pop_front() else { return };
        self.moves.retain(|other| other.to != rung);
        self.policy.forgo(now, rung);
        self.events.push_back(SenderEvent::StreamUnavailable { rung, text: why.to_owned() });
        self.wish_for_next();
    }

    /// What was sent and received so far.
    pub fn counters(&self) -> SenderCounters {
        let sides = self.sides.iter().map(|side| side.sender.counters);
        sides.fold(self.main.counters.plus(&self.past), |sum, counters| sum.plus(&counters))
    }

    /// A picture of the session.
    pub fn snapshot(&self, now: Instant) -> SessionSnapshot {
        let mut picture = self.main.snapshot(now);
        picture.state = self.state();
        picture.counters = self.counters();
        if self.main.wanted_rate().is_none() {
            let sides = self.sides.iter().filter(|side| side.sender.wanted_rate().is_some());
            let rates = sides.map(|side| side.sender.pacer.rate().bits()).reduce(|a, b| a + b);
            picture.rate = rates.map_or(picture.rate, Rate::from_bits);
        }
        for side in &self.sides {
            let theirs = side.sender.snapshot(now);
            let clients = side.sender.roster.active();
            picture.needed_symbols += theirs.needed_symbols;
            picture.remaining = picture.remaining.max(theirs.remaining);
            let (rung, to, rate, remaining) = (side.rung, side.to, theirs.rate, theirs.remaining);
            picture.streams.push(StreamSnapshot { rung, to, rate, clients, remaining });
            for client in side.sender.roster.iter() {
                // What a further stream says of a client stands where the main one says that it has gone.
                let Some(slot) = self.main.roster.find(client.id) else { continue };
                let known = &mut picture.clients[slot.0 as usize];
                if known.state == ClientState::Moved {
                    let joined = self.main.roster.get(slot).joined;
                    let seconds = (client.ended.unwrap_or(now) - joined).as_secs_f64();
                    *known = ClientSnapshot { rung: side.rung, seconds, ..client.snapshot(now) };
                }
            }
        }
        picture
    }

    /// How far each client has got that was heard.
    pub fn coverage(&self, columns: usize) -> Vec<Coverage> {
        let sides = self.sides.iter().flat_map(|side| side.sender.coverage(columns));
        self.main.coverage(columns).chain(sides).collect()
    }

    /// Ends the session as done if it has nobody to serve; true if it is over.
    pub fn close(&mut self, now: Instant) -> bool {
        let served = self.main.roster.active() > 0 || !self.sides.is_empty() || !self.moves.is_empty();
        if !served {
            self.main.finish(now);
        }
        !served
    }

    fn streams(&mut self) -> impl Iterator<Item = &mut Sender> {
        std::iter::once(&mut self.main).chain(self.sides.iter_mut().map(|side| &mut side.sender))
    }

    /// Which of the further streams a datagram is for.
    fn side_for(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Option<usize> {
        if !matches!(peek(datagram), Ok((_, Kind::Join))) {
            let session = session_of(datagram)?;
            return self.sides.iter().position(|side| side.sender.config.session == session);
        }
        let Ok(Packet::Join(Join { client, .. })) = Packet::decode(datagram) else { return None };
        let at = self.sides.iter().position(|side| side.clients.contains(&client))?;
        if self.sides[at].rung == Rung::Unicast && self.sides[at].to != from {
            // It was started again, and listens elsewhere: it begins as everybody does.
            let (side, text) = (&mut self.sides[at], "it has joined from elsewhere");
            side.sender.dismiss(now, client, ReleaseReason::Moved, ClientState::Moved, text);
            side.clients.clear();
            return None;
        }
        Some(at)
    }

    /// Looks whether somebody is to change over, or is not to be waited for.
    fn judge(&mut self, now: Instant) {
        if self.main.state() == SessionState::Ended || self.main.state() == SessionState::Paused {
            return;
        }
        let mut seen = Vec::new();
        see(now, Rung::Main, &self.main, self.main.pacer.rate(), &mut seen);
        self.sides.iter().for_each(|side| see(now, side.rung, &side.sender, side.allowed, &mut seen));
        // A client that is on its way is in no stream, and is judged when it has come.
        let (complete, coming) = (self.complete(), self.coming());
        for step in self.policy.judge(now, &seen, complete, coming, self.config.rate.min(self.share)) {
            match step {
                Step::Evict { client, why } => self.evict(now, client, why),
                Step::Move { client, to, taken, why } => self.plan(now, client, to, taken, why),
            }
        }
    }

    fn complete(&self) -> u32 {
        self.main.roster.complete() + self.sides.iter().map(|side| side.sender.roster.complete()).sum::<u32>()
    }

    /// Clients on their way to streams of their own.
    fn coming(&self) -> usize {
        let planned = self.moves.iter().filter(|planned| planned.to == Rung::Unicast).count();
        let unicast = self.sides.iter().filter(|side| side.rung == Rung::Unicast);
        planned + unicast.map(|side| side.missing().count()).sum::<usize>()
    }

    fn evict(&mut self, now: Instant, client: ClientId, text: String) {
        let evicted =
            self.streams().find_map(|s| s.dismiss(now, client, ReleaseReason::Evicted, ClientState::Evicted, &text));
        if let Some(host) = evicted {
            self.events.push_back(SenderEvent::ClientEvicted { client, host, text });
        }
    }

    /// Moves a client to a stream that is open, or wishes for one.
    fn plan(&mut self, now: Instant, client: ClientId, to: Rung, taken: Option<Rate>, why: String) {
        if self.moves.iter().any(|planned| planned.client == client) {
            return;
        }
        let first_rate =
            taken.map_or(self.config.rate.scaled(UNKNOWN_RATE), |taken| taken.scaled(FIRST_RATE)).min(self.config.rate);
        let planned = Move { client, to, first_rate, why };
        let open = self
            .sides
            .iter()
            .position(|side| to == Rung::Slower && side.rung == to && side.sender.state() != SessionState::Ended);
        match open {
            Some(side) => self.change_over(now, &planned, side),
            None => {
                self.moves.push_back(planned);
                if self.moves.len() == 1 {
                    self.wish_for_next();
                }
            }
        }
    }

    /// Asks for the stream of the first move, if somebody still waits for one.
    fn wish_for_next(&mut self) {
        while let Some(first) = self.moves.front() {
            let address = self.address_of(first.client);
            let to = (first.to == Rung::Unicast).then_some(address).flatten();
            if address.is_some() {
                self.wishes.push_back(StreamWish::Open { to });
                return;
            }
            self.moves.pop_front();
        }
    }

    /// Where a client that is being served reports from.
    fn address_of(&self, client: ClientId) -> Option<SocketAddr> {
        let senders = std::iter::once(&self.main).chain(self.sides.iter().map(|side| &side.sender));
        senders.map(|sender| &sender.roster).find_map(|roster| {
            let known = roster.get(roster.find(client)?);
            known.state.is_active().then_some(known.address)
        })
    }

    fn change_over(&mut self, now: Instant, moved: &Move, side: usize) {
        let Move { client, to, why, .. } = moved;
        let text = match to {
            Rung::Slower => format!("goes on with a slower stream: {why}"),
            _ => format!("goes on by unicast: {why}"),
        };
        let dismissed = self
            .streams()
            .find_map(|stream| stream.dismiss(now, *client, ReleaseReason::Moved, ClientState::Moved, &text));
        let Some(host) = dismissed else { return };
        for other in &mut self.sides {
            other.clients.retain(|known| known != client);
        }
        self.sides[side].clients.push(*client);
        self.sides[side].opened = now;
        self.events.push_back(SenderEvent::ClientMoved { client: *client, host, to: *to, text: why.clone() });
    }

    /// Starts, ends and closes streams as their clients and the main stream have it.
    fn settle(&mut self, now: Instant) {
        let (waits, silence) = (self.main.state() == SessionState::Waiting, self.config.silence);
        let had_sides = !self.sides.is_empty();
        for side in &mut self.sides {
            if !waits {
                side.sender.start(now);
            }
            // Who was complete, or left, on its way does not come.
            let (main, theirs) = (&self.main.roster, &side.sender.roster);
            let on_its_way = |client| main.find(client).is_none_or(|s| main.get(s).state == ClientState::Moved);
            side.clients.retain(|&client| theirs.find(client).is_some() || on_its_way(client));
            if side.is_over(now, silence) {
                side.sender.finish(now);
            }
        }
        for side in self.sides.extract_if(.., |side| side.sender.is_finished()) {
            self.past = self.past.plus(&side.sender.counters);
            let told = side.sender.events.iter().filter_map(|event| side.told(event.clone(), &self.main.roster));
            self.events.extend(told);
            self.main.adopt(now, &side.clients, &side.sender.roster, side.rung);
            self.wishes.push_back(StreamWish::Close(side.sender.config.session));
            self.events.push_back(SenderEvent::StreamClosed { rung: side.rung, to: side.to });
        }
        if had_sides && self.sides.is_empty() {
            self.divide(now);
        }
        let active = self.sides.iter().map(|side| side.active(now, silence)).sum();
        let counted = self.sides.iter().map(|side| side.sender.roster.ready() + side.sender.roster.complete()).sum();
        self.main.set_elsewhere(now, active, counted);
    }

    /// Divides the session's rate: the main stream gives up a share of it at most while it has somebody
    /// to serve, and what it does not use.
    fn divide(&mut self, now: Instant) {
        let total = self.config.rate.min(self.share);
        if self.sides.is_empty() {
            return self.main.set_share(now, Some(self.share));
        }
        if self.main.wanted_rate().is_some() {
            self.main_wanted = now;
        }
        // Between two rounds of repair nothing is known to be needed for some milliseconds.
        let main_wants = match now - self.main_wanted < DROUGHT {
            true => self.main.own_rate().min(total.scaled(1.0 - self.terms.share)),
            false => Rate::MIN,
        };
        let rest = Rate::from_bits(total.bits() - main_wants.bits().min(total.bits()));
        let level = level(rest, self.sides.iter().map(|side| (side.sender.own_rate(), 1))).of(1).min(rest);
        let mut left = total.bits();
        for side in &mut self.sides {
            // Also of one that has nothing to send for some milliseconds, or the sum would be too much then.
            left = left.saturating_sub(side.sender.own_rate().min(level).bits());
            side.allowed = level;
            side.sender.set_share(now, Some(level));
        }
        self.main.set_share(now, Some(Rate::from_bits(left)));
    }
}

impl Side {
    /// Clients that it serves, and those that have not come yet and may.
    fn active(&self, now: Instant, silence: Duration) -> u32 {
        let may_come = now - self.opened < silence;
        self.sender.roster.active() + if may_come { self.missing().count() as u32 } else { 0 }
    }

    /// Clients that were sent here and have not come.
    fn missing(&self) -> impl Iterator<Item = &ClientId> {
        self.clients.iter().filter(|client| self.sender.roster.find(**client).is_none())
    }

    /// Nobody is to be served any more.
    fn is_over(&self, now: Instant, silence: Duration) -> bool {
        self.active(now, silence) == 0
    }

    /// What of its events is the session's: clients joined when `main` has it.
    fn told(&self, event: SenderEvent, main: &Roster) -> Option<SenderEvent> {
        use SenderEvent as E;
        Some(match event {
            E::ClientComplete { client, host, seconds } => {
                let ended = self.sender.roster.find(client).and_then(|slot| self.sender.roster.get(slot).ended);
                let joined = main.find(client).map(|slot| main.get(slot).joined);
                let since = ended.zip(joined).map(|(ended, joined)| (ended - joined).as_secs_f64());
                E::ClientComplete { client, host, seconds: since.unwrap_or(seconds) }
            }
            E::ClientLeft { .. } | E::ClientGivenUp { .. } | E::ClientRefused { .. } | E::ClientRemoved { .. } => event,
            _ => return None,
        })
    }
}

/// What is to be judged of a stream's clients.
fn see(now: Instant, rung: Rung, sender: &Sender, allowed: Rate, seen: &mut Vec<Seen>) {
    let sent = (sender.state == SessionState::Running).then_some(allowed);
    let layout = &sender.config.layout;
    let block_bytes = u64::from(layout.geometry().block_symbols) * u64::from(sender.symbol_cost());
    seen.extend(sender.roster.iter().filter(|client| client.state.is_active()).map(|client| Seen {
        client: client.id,
        rung,
        state: client.state,
        joined: client.joined,
        silent: now - client.heard,
        loss: client.link.loss,
        taken: (client.link.symbols_per_second > 0.0).then(|| client.link.taken(sender.symbol_cost())),
        sent,
        received: client.link.received(),
        verified: client.verified,
        lacks: u64::from(layout.blocks().saturating_sub(client.verified)) * block_bytes,
    }));
}
