//! The receiving side of a session as a state machine without I/O.
//!
//! The way of the data: symbols are put together in a buffer of their block, or written to the
//! store, if there are more blocks under way than buffers → a block whose symbols are all here
//! becomes a job, to rebuild, hash and store it → a hash that the manifest knows makes it verified →
//! when every block is, the store makes the image final. What is lacking is told when a heartbeat
//! asks.

mod blocks;
mod deficits;
mod event;
mod image;
mod job;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

pub use blocks::Strays;
pub(crate) use deficits::{BlockSizes, Deficits, tell};
pub use event::{ReceiverCounters, ReceiverError, ReceiverEvent, ReceiverSnapshot, ReceiverState};
pub(crate) use job::shape;
pub use job::{Job, JobDone, JobRunner};

use self::image::ImageState;
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::store::Store;
use crate::types::{BlockIndex, ClientId, Instant, Sequence, SessionId, Slot};
use crate::wire::{
    Heartbeat, Join, Kind, Leave, LeaveReason, MAX_CONTROL_LEN, Offer, Packet, Refusal, RefuseReason, Release,
    ReleaseReason, Report, SessionState, Symbol, VERSION, WireError, is_stream,
};

/// First pause between two joins; it grows by a quarter up to the longest, so that a server that
/// comes up is found after a fifth more of the time that was waited for it.
pub(crate) const JOIN_INTERVAL: Duration = Duration::from_millis(100);
pub(crate) const JOIN_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Without anything of the group for so long, the session is taken for lost. Heartbeats come at
/// least every 200 ms.
const LOST_AFTER: Duration = Duration::from_secs(3);
/// A driver that has accepted an offer should hear the group at once; say so after this.
const DEAF_AFTER: Duration = Duration::from_secs(5);
/// Complete, but the server does not answer: it is told again every so often, and whenever it asks,
/// for as long as it would wait itself, but no longer than this.
pub(crate) const FAREWELL_INTERVAL: Duration = Duration::from_millis(250);
const FAREWELL_MAX: Duration = Duration::from_secs(30);
/// Copies of a leave, which nobody acknowledges.
const LEAVES: u32 = 3;
const LEAVE_INTERVAL: Duration = Duration::from_millis(30);
/// Clients that may report completion in a millisecond, by which that is spread.
pub(crate) const COMPLETIONS_PER_MS: u32 = 15;

/// What a receiver wants.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// Its number: at random, or an interrupted run's.
    pub client: ClientId,
    /// The image's name, empty for the server's only one.
    pub image: String,
    /// The client's host name.
    pub host: String,
    /// Bytes of blocks put together in memory before they are stored, as far as whole blocks fit;
    /// with 0, or when that is used up, symbols go to the store one by one.
    pub staging: usize,
    /// Gives up if no session comes within this.
    pub wait_limit: Option<Duration>,
    /// Gives up if nothing of the group is heard within this.
    pub deaf_limit: Duration,
    /// For jitter.
    pub seed: u64,
}

/// What an interrupted run left: a manifest and the blocks that matched it when they were read again.
#[derive(Debug)]
pub struct Resume {
    /// The manifest.
    pub manifest: Manifest,
    /// Image blocks, numbered in the stream.
    pub held: Vec<BlockIndex>,
}

/// The receiver's place in a session.
#[derive(Debug)]
struct Membership {
    session: SessionId,
    slot: Slot,
    group: SocketAddr,
    /// Silence after which the server gives a client up.
    silence: Duration,
    /// One past the last symbol known to be sent, once anything was heard.
    as_of: Option<Sequence>,
    /// The first symbol sent since it listens.
    first: Option<Sequence>,
    /// Symbols that came in this session.
    received: u32,
    heard: Instant,
    told_deaf: bool,
    /// What it holds was told.
    reported: bool,
    state: Option<SessionState>,
    clients: u32,
    report_due: Option<(Instant, u32)>,
}

impl Membership {
    /// Symbols that came, and were sent, since it listens; only a figure for people, as a damaged
    /// datagram may have told a wrong number.
    fn symbols(&self) -> (u64, u64) {
        let sent = self.first.zip(self.as_of).map_or(0, |(first, as_of)| as_of.since(first).max(0) as u64);
        (self.received.into(), sent)
    }
}

/// The receiving side of a session.
///
/// Datagrams of the group go to [`handle_group`](Self::handle_group), those of the server to
/// [`handle_datagram`](Self::handle_datagram); then [`poll_job`](Self::poll_job),
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) until `None`; then
/// sleep until [`poll_timeout`](Self::poll_timeout) and call
/// [`handle_timeout`](Self::handle_timeout) when it has come. Jobs may run elsewhere, but in order.
pub struct Receiver {
    config: ReceiverConfig,
    state: ReceiverState,
    rng: fastrand::Rng,
    membership: Option<Membership>,
    /// The session that was lost last, whose release may come behind the group's word that it is over.
    lost: Option<SessionId>,
    /// An offer that the driver has not accepted yet.
    offer: Option<Offer>,
    image: Option<ImageState>,
    image_name: Option<String>,
    /// Since when it has been without a session.
    waiting_since: Instant,
    join_due: Instant,
    join_interval: Duration,
    last_refusal: Option<(RefuseReason, String)>,
    farewell_due: Instant,
    farewell_until: Instant,
    /// Copies of a leave yet to be sent, and the error to end with.
    leaving: Option<(LeaveReason, String, u32)>,
    failure: Option<ReceiverError>,
    rate_kbit: u32,
    window_end: u32,
    jobs: VecDeque<Job>,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<ReceiverEvent>,
    counters: ReceiverCounters,
}

impl Receiver {
    /// A receiver that asks for its image from `now` on.
    pub fn new(config: ReceiverConfig, now: Instant) -> Self {
        Self {
            state: ReceiverState::Joining,
            rng: fastrand::Rng::with_seed(config.seed),
            membership: None,
            lost: None,
            offer: None,
            image: None,
            image_name: None,
            waiting_since: now,
            join_due: now,
            join_interval: JOIN_INTERVAL,
            last_refusal: None,
            farewell_due: now,
            farewell_until: now,
            leaving: None,
            failure: None,
            rate_kbit: 0,
            window_end: u32::MAX,
            jobs: VecDeque::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            counters: ReceiverCounters::default(),
            config,
        }
    }

    /// Takes the offer of the last [`Offered`](ReceiverEvent::Offered): the group is joined and the
    /// store is open. `resume` is what an interrupted run left; it is ignored when the receiver
    /// goes on with an image that it has begun.
    pub fn accept(&mut self, now: Instant, resume: Option<Resume>) {
        let Some(offer) = self.offer.take() else { return };
        if self.image.is_none() {
            let Ok(layout) = Layout::new(offer.geometry, offer.files.clone()) else { return };
            let mut image = ImageState::new(layout, offer.manifest_root, self.config.staging);
            let fits = |r: &Resume| r.manifest.layout == image.layout && r.manifest.root().0 == offer.manifest_root;
            if let Some(resume) = resume.filter(fits) {
                image.resume(resume.manifest, resume.held.into_iter());
            }
            self.image = Some(image);
        }
        self.image_name = Some(offer.image);
        self.membership = Some(Membership {
            session: offer.session,
            slot: offer.slot,
            group: offer.group,
            silence: Duration::from_millis(offer.silence_ms.into()),
            as_of: None,
            first: None,
            received: 0,
            heard: now,
            told_deaf: false,
            reported: false,
            state: None,
            clients: 0,
            report_due: None,
        });
        if self.state == ReceiverState::Offered {
            self.state = ReceiverState::Receiving;
        }
        self.join_due = now + JOIN_INTERVAL_MAX;
        self.finish_if_complete();
    }

    /// Goes without the image, for `reason`, and tells the server so.
    pub fn leave(&mut self, now: Instant, reason: LeaveReason, text: &str) {
        self.fail(now, reason, ReceiverError::Left(text.to_owned()));
    }

    /// The same for an error of the driver, such as a store that cannot be opened.
    pub fn abort(&mut self, now: Instant, error: ReceiverError) {
        let reason = match error {
            ReceiverError::Store(_) => LeaveReason::Disk,
            _ => LeaveReason::Unsuitable,
        };
        self.fail(now, reason, error);
    }

    /// A datagram came from the server to this client alone.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.is_ending() {
            return;
        }
        match Packet::decode(datagram) {
            Ok(Packet::Offer(offer)) if offer.client == self.config.client => self.handle_offer(now, *offer),
            Ok(Packet::Refusal(refusal)) => self.handle_refusal(now, &refusal),
            Ok(Packet::Release(release)) if release.client == self.config.client => self.handle_release(now, &release),
            Ok(_) => self.counters.unexpected += 1,
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// A buffer of datagrams came from the group, each of `segment` bytes but the last, which may
    /// be shorter: what one receive call with GRO returns.
    pub fn handle_group(&mut self, now: Instant, buffer: &[u8], segment: usize, store: &dyn Store) {
        if self.is_ending() || segment == 0 {
            return;
        }
        let (Some(membership), Some(image)) = (&mut self.membership, &mut self.image) else { return };
        let (counters, mut heartbeat) = (&mut self.counters, None);
        let mut malformed = 0;
        let mut unexpected = 0;
        let symbols = buffer.chunks(segment).filter_map(|datagram| match Symbol::decode(datagram) {
            Ok(symbol) if symbol.session == membership.session => {
                membership.received = membership.received.wrapping_add(1);
                let next = symbol.sequence.plus(1);
                membership.as_of = Some(membership.as_of.map_or(next, |as_of| as_of.max(next)));
                membership.first.get_or_insert(symbol.sequence);
                membership.heard = now;
                Some(symbol)
            }
            Ok(_) => {
                unexpected += 1;
                None
            }
            Err(WireError::Kind { found }) if found == Kind::Heartbeat as u8 => {
                heartbeat = Some(datagram);
                None
            }
            Err(_) => {
                malformed += 1;
                None
            }
        });
        let taken = image.take(symbols, store, &mut self.jobs, counters, &mut self.events);
        self.window_end = store.window().end.0;
        self.counters.malformed += malformed;
        self.counters.unexpected += unexpected;
        if let Err(error) = taken {
            return self.abort(now, error);
        }
        if let Some(datagram) = heartbeat {
            match Heartbeat::decode(datagram) {
                Ok(heartbeat) => self.handle_heartbeat(now, &heartbeat),
                Err(_) => self.counters.malformed += 1,
            }
        }
        self.finish_if_complete();
    }

    /// One or more datagrams came from the server to this client alone, each of `segment` bytes but the
    /// last, which may be shorter. The stream's may be among them: a client can be served by unicast.
    /// Without a store there is no session whose stream could come.
    pub fn handle_unicast(&mut self, now: Instant, buffer: &[u8], segment: usize, store: Option<&dyn Store>) {
        let mut rest = buffer;
        while !rest.is_empty() && segment > 0 {
            let stream: usize = rest.chunks(segment).take_while(|datagram| is_stream(datagram)).map(<[u8]>::len).sum();
            let (part, behind) = rest.split_at(stream);
            if let Some(store) = store.filter(|_| !part.is_empty()) {
                self.handle_group(now, part, segment, store);
            }
            let (datagram, behind) = behind.split_at(behind.len().min(segment));
            if !datagram.is_empty() {
                self.handle_datagram(now, datagram);
            }
            rest = behind;
        }
    }

    /// Its buffers are with jobs that are not done: what comes of the group should wait in the socket's
    /// buffer, or it goes to the store piece by piece, to be read back from there. It may be given all
    /// the same.
    pub fn waits_for_jobs(&self) -> bool {
        self.image.as_ref().is_some_and(ImageState::waits_for_jobs)
    }

    /// Datagrams that the group's socket has dropped so far.
    pub fn set_socket_drops(&mut self, drops: u32) {
        self.counters.socket_drops = drops;
    }

    /// From now on it gives up if nothing of the group is heard within `limit`.
    pub fn set_deaf_limit(&mut self, limit: Duration) {
        self.config.deaf_limit = limit;
    }

    /// What is verified, so that another way to the image can go on from there; `None` while there is
    /// no manifest.
    pub fn into_resume(self) -> Option<Resume> {
        self.image.and_then(ImageState::into_resume)
    }

    /// A job is done.
    pub fn handle_job(&mut self, now: Instant, done: JobDone) {
        // It was under way when the receiver ended, which has been told already.
        if self.is_ending() {
            return;
        }
        match done {
            JobDone::Failed(error) => self.abort(now, ReceiverError::Store(error)),
            JobDone::Finished => {
                self.events.push_back(ReceiverEvent::Complete);
                self.state = ReceiverState::Farewell;
                let (clients, silence) =
                    self.membership.as_ref().map_or((0, Duration::ZERO), |m| (m.clients, m.silence));
                let spread = u64::from(clients / COMPLETIONS_PER_MS) * 1000;
                self.farewell_due = now + Duration::from_micros(self.rng.u64(0..=spread));
                self.farewell_until = self.farewell_due + silence.clamp(FAREWELL_INTERVAL, FAREWELL_MAX);
                self.handle_timeout(now);
            }
            done => {
                let Some(image) = &mut self.image else { return };
                image.handle_job(done, &mut self.jobs, &mut self.counters, &mut self.events);
                self.finish_if_complete();
            }
        }
    }

    /// A deadline of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.leaving.is_some() {
            return self.repeat_leave(now);
        }
        if self.state == ReceiverState::Done {
            return;
        }
        self.check_limits(now);
        if let Some((due, poll)) = self.membership.as_ref().and_then(|m| m.report_due)
            && now >= due
        {
            self.report(due, poll);
        }
        if self.state == ReceiverState::Farewell {
            if now >= self.farewell_due {
                self.say_farewell(now);
            }
        } else if now >= self.join_due && self.wants_offer() {
            self.join(now);
        }
    }

    /// The next datagram for the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// The next job; jobs are to be done in this order.
    pub fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<ReceiverEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next; `None` when it is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.leaving.is_some() {
            return Some(self.farewell_due);
        }
        if self.state == ReceiverState::Done {
            return None;
        }
        let mut next = Instant::from_nanos(u64::MAX);
        if let Some(membership) = &self.membership {
            next = next.min(membership.report_due.map_or(next, |(due, _)| due));
            next = next.min(membership.heard + self.patience(membership));
        }
        if self.state == ReceiverState::Farewell {
            next = next.min(self.farewell_due);
        } else if self.wants_offer() {
            next = next.min(self.join_due);
        }
        if let Some(limit) = self.config.wait_limit.filter(|_| self.waits()) {
            next = next.min(self.waiting_since + limit);
        }
        Some(next)
    }

    /// Over, with or without the image, and everything about it was said.
    pub fn is_finished(&self) -> bool {
        self.state == ReceiverState::Done && self.leaving.is_none() && self.outbox.is_empty()
    }

    /// A picture of the receiver.
    pub fn snapshot(&self) -> ReceiverSnapshot {
        let image = self.image.as_ref();
        let (symbols, symbols_sent) = self.membership.as_ref().map_or((0, 0), Membership::symbols);
        ReceiverSnapshot {
            state: self.state,
            image: self.image_name.clone(),
            image_size: image.map_or(0, |i| i.layout.image_size()),
            blocks: image.map_or(0, |i| i.layout.blocks()),
            verified: image.map_or(0, ImageState::verified),
            verified_bytes: image.map_or(0, |i| i.verified_bytes),
            rate_kbit: self.rate_kbit,
            counters: ReceiverCounters {
                symbols: self.counters.symbols + symbols,
                symbols_sent: self.counters.symbols_sent + symbols_sent,
                ..self.counters
            },
        }
    }

    fn is_ending(&self) -> bool {
        self.leaving.is_some() || self.state == ReceiverState::Done
    }

    /// Whether the server is to be asked: there is no session, or one of which nothing is heard.
    fn wants_offer(&self) -> bool {
        match &self.membership {
            None => self.offer.is_none(),
            Some(membership) => membership.as_of.is_none(),
        }
    }

    /// Whether it can do nothing but wait for a session; what is complete needs none.
    fn waits(&self) -> bool {
        self.state == ReceiverState::Joining && self.membership.is_none() && self.offer.is_none()
    }

    /// How long the session may be silent before that means something.
    fn patience(&self, membership: &Membership) -> Duration {
        match membership.as_of {
            Some(_) => LOST_AFTER,
            // All that it needs is here already.
            None if self.state == ReceiverState::Storing => Duration::MAX,
            None if membership.told_deaf => self.config.deaf_limit,
            None => self.config.deaf_limit.min(DEAF_AFTER),
        }
    }

    fn join(&mut self, now: Instant) {
        let mut payload = Vec::new();
        let (image, host) = (self.config.image.as_str(), self.config.host.as_str());
        Join { client: self.config.client, image, host, credential: &[] }.encode(&mut payload);
        self.outbox.push_back(payload);
        self.join_due = now + self.join_interval.mul_f64(0.75 + 0.5 * self.rng.f64());
        self.join_interval = (self.join_interval * 5 / 4).min(JOIN_INTERVAL_MAX);
    }

    fn handle_offer(&mut self, now: Instant, offer: Offer) {
        // Nobody asked: a copy that came late, or a forged one.
        if !self.wants_offer() || self.membership.as_ref().is_some_and(|m| m.session == offer.session) {
            self.counters.unexpected += 1;
            return;
        }
        let layout = match Layout::new(offer.geometry, offer.files.clone()) {
            Ok(layout) => layout,
            Err(error) => return self.fail(now, LeaveReason::Unsuitable, error.into()),
        };
        let continues = self.image.is_some();
        if self.image.as_ref().is_some_and(|image| image.root != offer.manifest_root || image.layout != layout) {
            return self.fail(now, LeaveReason::Unsuitable, ReceiverError::ImageChanged);
        }
        if self.state == ReceiverState::Joining {
            self.state = ReceiverState::Offered;
        }
        self.join_interval = JOIN_INTERVAL;
        self.last_refusal = None;
        self.offer = Some(offer.clone());
        self.events.push_back(ReceiverEvent::Offered { offer: Box::new(offer), layout: Box::new(layout), continues });
    }

    fn handle_refusal(&mut self, now: Instant, refusal: &Refusal<'_>) {
        // Whoever hears a session has been taken in: only its end concerns it.
        if !self.wants_offer() && refusal.reason != RefuseReason::UnknownSession {
            self.counters.unexpected += 1;
            return;
        }
        if refusal.speaks != VERSION {
            return self.fail(now, LeaveReason::Unsuitable, ReceiverError::Version { server: refusal.speaks });
        }
        // What the server could not read it cannot address.
        if refusal.client != self.config.client && refusal.reason != RefuseReason::Version {
            self.counters.unexpected += 1;
            return;
        }
        let text = refusal.text.to_owned();
        match refusal.reason {
            RefuseReason::Ambiguous | RefuseReason::Removed | RefuseReason::Version => {
                let error = ReceiverError::Refused { reason: refusal.reason, text };
                return self.fail(now, LeaveReason::Unsuitable, error);
            }
            RefuseReason::Unicast => {
                return self.fail(now, LeaveReason::Unsuitable, ReceiverError::TakeUnicast { text });
            }
            RefuseReason::UnknownSession => return self.lose_session(now),
            RefuseReason::NoSuchImage | RefuseReason::Full | RefuseReason::Preparing => {}
        }
        let pause = Duration::from_millis(refusal.retry_ms.clamp(50, 30_000).into());
        self.join_due = now + pause.mul_f64(0.9 + 0.2 * self.rng.f64());
        let told = Some((refusal.reason, text.clone()));
        if self.last_refusal.as_ref().map(|(reason, _)| *reason) != Some(refusal.reason) {
            self.events.push_back(ReceiverEvent::Refused { reason: refusal.reason, text });
        }
        self.last_refusal = told;
    }

    fn handle_release(&mut self, now: Instant, release: &Release<'_>) {
        let session = self.membership.as_ref().map(|m| m.session).or(self.lost);
        if session != Some(release.session) {
            self.counters.unexpected += 1;
            return;
        }
        match release.reason {
            ReleaseReason::Complete => {
                if self.state == ReceiverState::Farewell {
                    self.state = ReceiverState::Done;
                } else {
                    // The server takes it for somebody else, or was lied to.
                    self.lose_session(now);
                }
            }
            ReleaseReason::Removed => self.end(ReceiverError::Removed),
            ReleaseReason::Cancelled => self.end(ReceiverError::Cancelled),
            ReleaseReason::Silent => self.lose_session(now),
            ReleaseReason::Evicted => self.end(ReceiverError::Evicted { text: release.text.to_owned() }),
            ReleaseReason::Moved => {
                if self.membership.is_some() {
                    self.events.push_back(ReceiverEvent::Moved { text: release.text.to_owned() });
                }
                self.lose_session(now);
            }
        }
    }

    fn handle_heartbeat(&mut self, now: Instant, heartbeat: &Heartbeat) {
        let Some(membership) = self.membership.as_mut().filter(|m| m.session == heartbeat.session) else {
            self.counters.unexpected += 1;
            return;
        };
        membership.heard = now;
        // Not the later of both: a damaged symbol may have told a number from far ahead, with which no
        // report would be believed any more. One from too far back only delays what is asked for.
        membership.as_of = Some(heartbeat.sequence);
        membership.first.get_or_insert(heartbeat.sequence);
        self.rate_kbit = heartbeat.rate_kbit;
        let joined = heartbeat.state == SessionState::Waiting && membership.clients != heartbeat.clients;
        membership.clients = heartbeat.clients;
        if membership.state.replace(heartbeat.state) != Some(heartbeat.state) || joined {
            self.events.push_back(ReceiverEvent::Session {
                state: heartbeat.state,
                clients: heartbeat.clients,
                awaited: heartbeat.awaited,
                starts_in_ms: heartbeat.starts_in_ms,
            });
        }
        let poll = &heartbeat.poll;
        let polled = membership.slot.0.wrapping_sub(poll.first.0) < poll.count;
        if polled || !membership.reported {
            // The first one comes without being asked: the server waits for it.
            let spread = if polled { poll.spread_ms.into() } else { membership.clients / COMPLETIONS_PER_MS };
            membership.reported = true;
            let due = now + Duration::from_micros(self.rng.u64(0..=u64::from(spread) * 1000));
            let answer = (due, if polled { poll.number } else { 0 });
            // The sooner of both, so that no single heartbeat can put a report off for long.
            membership.report_due = Some(membership.report_due.map_or(answer, |pending| pending.min(answer)));
        }
        match heartbeat.state {
            SessionState::Ended if self.state == ReceiverState::Farewell => self.state = ReceiverState::Done,
            SessionState::Ended => self.lose_session(now),
            _ => self.handle_timeout(now),
        }
    }

    fn report(&mut self, due: Instant, poll: u32) {
        let window_end = self.window_end;
        let (Some(membership), Some(image)) = (&mut self.membership, &mut self.image) else { return };
        membership.report_due = None;
        if self.state == ReceiverState::Farewell {
            // It asks because it has not heard.
            self.farewell_due = self.farewell_due.min(due);
            return;
        }
        let (from, to, runs) = image.report(window_end, MAX_CONTROL_LEN - Report::HEADER_LEN);
        let report = Report {
            session: membership.session,
            client: self.config.client,
            complete: false,
            as_of: membership.as_of.unwrap_or_default(),
            poll,
            received: membership.received,
            dropped: self.counters.socket_drops,
            verified: image.verified(),
            from,
            to,
            runs: &runs,
        };
        let mut payload = Vec::new();
        report.encode(&mut payload);
        self.outbox.push_back(payload);
        self.counters.reports += 1;
    }

    fn say_farewell(&mut self, now: Instant) {
        let Some(membership) = self.membership.as_ref().filter(|_| now < self.farewell_until) else {
            self.state = ReceiverState::Done;
            return;
        };
        let (from, to) = (BlockIndex(0), BlockIndex(0));
        let report = Report {
            session: membership.session,
            client: self.config.client,
            complete: true,
            as_of: membership.as_of.unwrap_or_default(),
            poll: 0,
            received: membership.received,
            dropped: self.counters.socket_drops,
            verified: self.image.as_ref().map_or(0, ImageState::verified),
            from,
            to,
            runs: &[],
        };
        let mut payload = Vec::new();
        report.encode(&mut payload);
        self.outbox.push_back(payload);
        self.counters.reports += 1;
        self.farewell_due = now + FAREWELL_INTERVAL;
    }

    /// Everything is verified: it only has to be stored for good.
    fn finish_if_complete(&mut self) {
        if self.state == ReceiverState::Receiving && self.image.as_ref().is_some_and(ImageState::is_complete) {
            self.state = ReceiverState::Storing;
            self.jobs.push_back(Job::Finish);
        }
    }

    fn check_limits(&mut self, now: Instant) {
        if let Some(membership) = &mut self.membership {
            let silent = now - membership.heard;
            if membership.as_of.is_none() && self.state == ReceiverState::Storing {
                // It needs nothing of the group.
                return;
            }
            if membership.as_of.is_none() {
                let (group, seconds) = (membership.group, silent.as_secs_f64());
                if silent >= self.config.deaf_limit {
                    return self.fail(now, LeaveReason::Unsuitable, ReceiverError::Deaf { group, seconds });
                }
                if silent >= DEAF_AFTER && !membership.told_deaf {
                    membership.told_deaf = true;
                    self.events.push_back(ReceiverEvent::Deaf { group, seconds });
                }
            } else if silent >= LOST_AFTER {
                let (session, seconds) = (membership.session, silent.as_secs_f64());
                self.events.push_back(ReceiverEvent::SessionLost { session, seconds });
                self.lose_session(now);
            }
        } else if let Some(limit) = self.config.wait_limit.filter(|_| self.waits())
            && now - self.waiting_since >= limit
        {
            let last =
                self.last_refusal.take().map_or_else(|| "the server does not answer".to_owned(), |(_, text)| text);
            let seconds = limit.as_secs_f64();
            self.fail(now, LeaveReason::Unsuitable, ReceiverError::NoSession { seconds, last });
        }
    }

    /// Asks for a session again; what is here stays.
    fn lose_session(&mut self, now: Instant) {
        let Some(membership) = self.membership.take() else { return };
        self.lost = Some(membership.session);
        let (symbols, symbols_sent) = membership.symbols();
        self.counters.symbols += symbols;
        self.counters.symbols_sent += symbols_sent;
        self.offer = None;
        self.waiting_since = now;
        self.join_interval = JOIN_INTERVAL;
        self.join_due = now + self.join_interval.mul_f64(self.rng.f64());
        match self.state {
            ReceiverState::Receiving | ReceiverState::Offered => self.state = ReceiverState::Joining,
            // It has everything: nobody needs to be told.
            ReceiverState::Farewell => self.state = ReceiverState::Done,
            ReceiverState::Joining | ReceiverState::Storing | ReceiverState::Done => {}
        }
    }

    fn fail(&mut self, now: Instant, reason: LeaveReason, error: ReceiverError) {
        if self.is_ending() || self.ends_complete() {
            return;
        }
        // Everything is verified; only the store can still spoil it.
        if self.state == ReceiverState::Storing && !matches!(error, ReceiverError::Store(_)) {
            return;
        }
        self.leaving = Some((reason, error.to_string(), LEAVES));
        self.failure = Some(error);
        self.state = ReceiverState::Done;
        self.jobs.clear();
        self.farewell_due = now;
        self.repeat_leave(now);
    }

    fn end(&mut self, error: ReceiverError) {
        if !self.is_ending() && !self.ends_complete() && self.state != ReceiverState::Storing {
            self.state = ReceiverState::Done;
            self.jobs.clear();
            self.events.push_back(ReceiverEvent::Failed(error));
        }
    }

    /// Ends it if it has told that it is complete: nothing can make that untrue.
    fn ends_complete(&mut self) -> bool {
        let complete = self.state == ReceiverState::Farewell;
        if complete {
            self.state = ReceiverState::Done;
        }
        complete
    }

    fn repeat_leave(&mut self, now: Instant) {
        let Some((reason, text, copies)) = &mut self.leaving else { return };
        if now < self.farewell_due {
            return;
        }
        let session = self.membership.as_ref().map(|m| m.session).or(self.offer.as_ref().map(|o| o.session));
        if let Some(session) = session.filter(|_| *copies > 0) {
            let mut payload = Vec::new();
            Leave { session, client: self.config.client, reason: *reason, text }.encode(&mut payload);
            self.outbox.push_back(payload);
            *copies -= 1;
            self.farewell_due = now + LEAVE_INTERVAL;
        } else {
            *copies = 0;
        }
        if *copies == 0 {
            self.leaving = None;
            self.events.extend(self.failure.take().map(ReceiverEvent::Failed));
        }
    }
}
