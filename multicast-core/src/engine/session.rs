//! One session: a thread that drives a [`Sender`] over sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, bounded, unbounded};

use super::clock::Clock;
use super::error::{EngineError, SessionError};
use super::gather::Gather;
use super::share::{Share, TotalRate};
use crate::image::Delivery;
use crate::manifest::Manifest;
use crate::net::{
    BufferSize, ControlSocket, Interface, MAX_BATCH_BYTES, MAX_SEGMENTS, MulticastSender, NetError, SendStats,
    SenderOptions,
};
use crate::pace::{AdaptConfig, Profile, Rate, headers_on_wire, largest_payload};
use crate::sender::{Sender, SenderConfig, SenderEvent, SessionSnapshot, StartPolicy, Transmit};
use crate::types::{ClientId, Instant, SessionId};
use crate::wire::{SYMBOL_HEADER_LEN, SessionState};

/// Between two looks whether the image is still what it was.
const IMAGE_CHECK: Duration = Duration::from_secs(1);
/// What came in is looked at in such portions, so that a flood does not keep the stream waiting.
const INBOX_TURN: usize = 64;
/// Datagrams that may wait for a session; further ones are dropped, as by a full socket buffer.
const INBOX_LIMIT: usize = 16_384;
/// Events that may wait for a listener; who does not listen misses the later ones.
const EVENTS_LIMIT: usize = 65_536;
/// After the network failed for now.
const NETWORK_PAUSE: Duration = Duration::from_millis(100);

/// Terms of a session.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The image's name, by which clients ask for it.
    pub name: String,
    /// Group address; without one the engine's pool gives one.
    pub group: Option<IpAddr>,
    /// Clients are to join the group for this server only (RFC 4607).
    pub source_specific: bool,
    /// Hops that the stream may take.
    pub ttl: u8,
    /// Differentiated services code point of the stream (RFC 2474), 0 to 63.
    pub dscp: u8,
    /// Rate, burst and buffers.
    pub profile: Profile,
    /// Slows when most clients lose.
    pub adaptive: Option<AdaptConfig>,
    /// When to begin.
    pub start: StartPolicy,
    /// Clients taken in at the same time.
    pub max_clients: Option<u32>,
    /// A client silent for so long is given up.
    pub silence: Duration,
    /// Goes on waiting for late clients when all have the image.
    pub keep_open: bool,
}

impl SessionConfig {
    /// A session for `name` at the profile's rate that begins with the first client.
    pub fn new(name: impl Into<String>, profile: Profile) -> Self {
        Self {
            name: name.into(),
            group: None,
            source_specific: false,
            ttl: 1,
            dscp: 0,
            profile,
            adaptive: None,
            start: StartPolicy::default(),
            max_clients: None,
            silence: Duration::from_secs(30),
            keep_open: false,
        }
    }
}

/// What a session's thread is told.
pub(super) enum Inbound {
    Datagram(SocketAddr, Box<[u8]>),
    Start,
    Pause,
    Resume,
    Cancel,
    Remove(ClientId),
    Snapshot(Channel<SessionSnapshot>),
}

/// Passes a datagram on to a session, unless too many wait for it already. A session that has just
/// ended does not listen any more: whoever sent it asks again.
pub(super) fn pass_on(inbound: &Channel<Inbound>, from: SocketAddr, datagram: &[u8]) {
    if inbound.len() < INBOX_LIMIT {
        let _ = inbound.send(Inbound::Datagram(from, datagram.into()));
    }
}

/// What a session came to.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SessionSummary {
    /// The session at its end.
    pub snapshot: SessionSnapshot,
    /// Bytes of the image.
    pub image_bytes: u64,
    /// Symbols of the image.
    pub image_symbols: u64,
    /// Seconds since the first symbol, 0 if none was sent.
    pub seconds: f64,
    /// What the socket did.
    pub socket: SendStats,
    /// Whether the system cut batches into datagrams.
    pub gso: bool,
}

/// A running session; dropping it does not end it.
pub struct Session {
    id: SessionId,
    group: SocketAddr,
    send_buffer: BufferSize,
    inbound: Channel<Inbound>,
    events: Receiver<SenderEvent>,
    thread: JoinHandle<Result<SessionSummary, SessionError>>,
}

impl Session {
    /// Its number.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Group and port of the stream.
    pub fn group(&self) -> SocketAddr {
        self.group
    }

    /// The stream's send buffer.
    pub fn send_buffer(&self) -> BufferSize {
        self.send_buffer
    }

    /// Its events; the channel ends with the session.
    pub fn events(&self) -> &Receiver<SenderEvent> {
        &self.events
    }

    /// A picture of it, `None` once it is over.
    pub fn snapshot(&self) -> Option<SessionSnapshot> {
        let (reply, answer) = bounded(1);
        self.inbound.send(Inbound::Snapshot(reply)).ok()?;
        answer.recv().ok()
    }

    /// Begins to send, whatever the thresholds say.
    pub fn start_now(&self) {
        self.tell(Inbound::Start);
    }

    /// Stops sending until [`resume`](Self::resume); clients stay.
    pub fn pause(&self) {
        self.tell(Inbound::Pause);
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.tell(Inbound::Resume);
    }

    /// Removes a client for good.
    pub fn remove(&self, client: ClientId) {
        self.tell(Inbound::Remove(client));
    }

    /// Ends it and releases its clients.
    pub fn cancel(&self) {
        self.tell(Inbound::Cancel);
    }

    /// Something that cancels it from elsewhere, a signal's handler for example.
    pub fn canceller(&self) -> impl Fn() + Send + Sync + 'static {
        let inbound = self.inbound.clone();
        move || {
            let _ = inbound.send(Inbound::Cancel);
        }
    }

    /// Waits for its end.
    pub fn wait(self) -> Result<SessionSummary, SessionError> {
        self.thread.join().unwrap_or(Err(SessionError::Thread))
    }

    fn tell(&self, command: Inbound) {
        // A session that is over has no use for it.
        let _ = self.inbound.send(command);
    }
}

/// What the session's thread works with.
pub(super) struct SessionThread {
    id: SessionId,
    group: SocketAddr,
    sender: Sender,
    /// Until the session is over.
    gather: Option<Gather>,
    socket: MulticastSender,
    control: Arc<ControlSocket>,
    inbox: Receiver<Inbound>,
    events: Channel<SenderEvent>,
    clock: Clock,
    /// Its part of what all sessions may send together.
    share: Option<Share>,
    next_check: Instant,
    started: Option<Instant>,
    image: (u64, u64),
}

impl SessionThread {
    #[allow(clippy::too_many_arguments, reason = "called once; a struct would only repeat the names")]
    pub(super) fn new(
        (id, group): (SessionId, SocketAddr),
        config: SessionConfig,
        delivery: Delivery,
        manifest: Manifest,
        interface: &Interface,
        control: Arc<ControlSocket>,
        inbox: Receiver<Inbound>,
        clock: Clock,
        total: Option<&Arc<TotalRate>>,
    ) -> Result<Self, EngineError> {
        let segment = SYMBOL_HEADER_LEN + usize::from(manifest.layout.geometry().symbol_size);
        let limit = largest_payload(group.ip(), interface.mtu);
        if segment > limit {
            return Err(EngineError::SymbolTooLarge {
                symbol: manifest.layout.geometry().symbol_size,
                datagram: segment,
                interface: interface.name.clone(),
                limit,
            });
        }
        let options = SenderOptions { ttl: config.ttl, dscp: config.dscp, send_buffer: config.profile.send_buffer() };
        let socket = MulticastSender::new(interface, group.ip(), &options)?;
        let headers = headers_on_wire(group.ip());
        // Sessions that share a rate may all send a burst at the same time.
        let largest = total.map_or(u32::MAX, |total| Profile::Custom(total.rate()).burst());
        let burst = config.profile.burst().min(largest);
        let batch = MAX_SEGMENTS.min(MAX_BATCH_BYTES / segment).min(burst as usize / (segment + headers)).max(1);
        let priority = delivery.priority_blocks(&manifest.layout)?;
        let terms = SenderConfig {
            session: id,
            image: config.name,
            group,
            source: Some(socket.local_address().ip()),
            source_specific: config.source_specific,
            layout: manifest.layout.clone(),
            manifest_root: manifest.root().0,
            priority,
            start: config.start,
            max_clients: config.max_clients,
            silence: config.silence,
            keep_open: config.keep_open,
            rate: config.profile.rate(),
            burst,
            adaptive: config.adaptive,
            batch: batch as u16,
            headers: headers as u32,
        };
        let share = total.map(|total| total.join(id)).transpose()?;
        let mut sender = Sender::new(terms, clock.now());
        // Until it has asked for more.
        sender.set_share(clock.now(), share.as_ref().map(|_| Rate::MIN));
        // Nobody listens until it starts.
        let (events, _) = unbounded();
        Ok(Self {
            id,
            group,
            sender,
            gather: Some(Gather::new(delivery, &manifest)),
            image: (manifest.layout.image_size(), manifest.layout.image_symbols()),
            socket,
            control,
            inbox,
            events,
            clock,
            share,
            next_check: clock.now() + IMAGE_CHECK,
            started: None,
        })
    }

    /// Runs it in a thread of its own; `at_end` is called when it is over, or cannot begin.
    pub(super) fn start(
        mut self,
        inbound: Channel<Inbound>,
        at_end: impl FnOnce() + Send + Clone + 'static,
    ) -> Result<Session, EngineError> {
        let (events_in, events) = unbounded();
        self.events = events_in;
        let (id, group, send_buffer) = (self.id, self.group, self.socket.send_buffer());
        let ended = at_end.clone();
        let thread = std::thread::Builder::new().name("mcast-session".into()).spawn(move || {
            let result = self.run();
            ended();
            result
        });
        match thread {
            Ok(thread) => Ok(Session { id, group, send_buffer, inbound, events, thread }),
            Err(source) => {
                at_end();
                Err(EngineError::System { what: "a thread", source })
            }
        }
    }

    fn run(mut self) -> Result<SessionSummary, SessionError> {
        let result = self.serve();
        if result.is_err() {
            // Whatever went wrong, the clients are told that it is over.
            self.sender.cancel(self.clock.now());
            while let Some(transmit) = self.sender.poll_transmit(self.clock.now()) {
                if !matches!(transmit, Transmit::Symbols { .. }) {
                    let _ = self.transmit(transmit);
                }
            }
        }
        self.tell_events();
        result?;
        let now = self.clock.now();
        Ok(SessionSummary {
            snapshot: self.sender.snapshot(now),
            image_bytes: self.image.0,
            image_symbols: self.image.1,
            seconds: self.started.map_or(0.0, |started| (now - started).as_secs_f64()),
            socket: self.socket.stats(),
            gso: self.socket.gso(),
        })
    }

    fn serve(&mut self) -> Result<(), SessionError> {
        while !self.sender.is_finished() {
            for _ in 0..INBOX_TURN {
                let Ok(inbound) = self.inbox.try_recv() else { break };
                self.handle(inbound);
            }
            let now = self.clock.now();
            if self.sender.poll_timeout(now).is_some_and(|due| due <= now) {
                self.sender.handle_timeout(now);
            }
            if self.sender.state() == SessionState::Ended {
                self.let_go();
            }
            if now >= self.next_check {
                self.check_unchanged()?;
                self.next_check = now + IMAGE_CHECK;
            }
            self.settle_share(now);
            self.tell_events();
            if let Some(transmit) = self.sender.poll_transmit(now) {
                self.transmit(transmit)?;
                continue;
            }
            let mut due = self.sender.poll_timeout(now).unwrap_or(now).min(self.next_check);
            if let Some(share_due) = self.share.as_ref().and_then(Share::due) {
                due = due.min(share_due);
            }
            match self.inbox.recv_timeout(self.clock.until(due)) {
                Ok(inbound) => self.handle(inbound),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(self.clock.until(due)),
            }
        }
        Ok(())
    }

    /// Tells the other sessions what this one could send at, and holds what that leaves it.
    fn settle_share(&mut self, now: Instant) {
        if let Some(share) = &mut self.share
            && let Some(rate) = share.settle(now, self.sender.wanted_rate())
        {
            self.sender.set_share(now, Some(rate));
        }
    }

    fn handle(&mut self, inbound: Inbound) {
        let now = self.clock.now();
        match inbound {
            Inbound::Datagram(from, datagram) => self.sender.handle_datagram(now, from, &datagram),
            Inbound::Start => self.sender.start(now),
            Inbound::Pause => self.sender.pause(),
            Inbound::Resume => self.sender.resume(now),
            Inbound::Cancel => self.sender.cancel(now),
            Inbound::Remove(client) => {
                self.sender.remove(now, client);
            }
            Inbound::Snapshot(reply) => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(self.sender.snapshot(now));
            }
        }
    }

    fn transmit(&mut self, transmit: Transmit) -> Result<(), SessionError> {
        let sent = match transmit {
            Transmit::Symbols { run, sequence } => {
                self.started.get_or_insert_with(|| self.clock.now());
                // None are handed out when it is over.
                let Some(gather) = &mut self.gather else { return Ok(()) };
                gather.send(&mut self.socket, self.id, run, sequence, self.group)
            }
            Transmit::Group(datagram) => self.socket.send_to(&datagram, self.group).map_err(SessionError::from),
            Transmit::Client(to, datagram) => {
                // A lost answer is asked for again, whatever lost it.
                let _ = self.control.send_to(&datagram, to);
                Ok(())
            }
        };
        match sent {
            Err(SessionError::Net(NetError::Vanished)) => {
                self.check_unchanged()?;
                Err(NetError::Vanished.into())
            }
            // What was not sent is missed by all clients, and repaired when the network is back.
            Err(SessionError::Net(error)) if error.is_transient() => {
                std::thread::sleep(NETWORK_PAUSE);
                Ok(())
            }
            other => other,
        }
    }

    fn check_unchanged(&self) -> Result<(), SessionError> {
        Ok(self.gather.as_ref().map_or(Ok(()), |gather| gather.delivery().check_unchanged())?)
    }

    /// Gives the image back, beside the farewells: to unmap 1 GiB takes 55 ms.
    fn let_go(&mut self) {
        if let Some(gather) = self.gather.take() {
            // Without a thread it happens here.
            let _ = std::thread::Builder::new().name("let-go".into()).spawn(move || drop(gather));
        }
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.sender.poll_event() {
            // Nobody has to listen.
            if self.events.len() < EVENTS_LIMIT {
                let _ = self.events.send(event);
            }
        }
    }
}
