//! One session, as its owner has it: terms, commands, events and what it came to.

use std::net::{IpAddr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender as Channel, bounded};

use super::error::SessionError;
use crate::net::{BufferSize, SendStats};
use crate::pace::{AdaptConfig, Profile};
use crate::sender::{Coverage, LadderConfig, SenderEvent, SessionSnapshot, StartPolicy};
use crate::types::{ClientId, SessionId};

/// Datagrams that may wait for a session; further ones are dropped, as by a full socket buffer.
const INBOX_LIMIT: usize = 16_384;

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
    /// How clients that do not keep up are treated.
    pub ladder: LadderConfig,
    /// Goes on waiting for late clients when all have the image.
    pub keep_open: bool,
    /// Where sessions share a rate, one of twice the weight gets twice as much.
    pub weight: u32,
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
            ladder: LadderConfig::default(),
            keep_open: false,
            weight: 1,
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
    Coverage(usize, Channel<Vec<Coverage>>),
    Close,
    Suspend,
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
    pub(super) id: SessionId,
    pub(super) group: SocketAddr,
    pub(super) send_buffer: BufferSize,
    pub(super) inbound: Channel<Inbound>,
    pub(super) events: Receiver<SenderEvent>,
    pub(super) thread: JoinHandle<Result<SessionSummary, SessionError>>,
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

    /// Something to look at it with, and to command it, from anywhere.
    pub fn control(&self) -> SessionControl {
        SessionControl { inbound: self.inbound.clone() }
    }

    /// A picture of it, `None` once it is over.
    pub fn snapshot(&self) -> Option<SessionSnapshot> {
        self.control().snapshot()
    }

    /// Begins to send, whatever the thresholds say.
    pub fn start_now(&self) {
        self.control().start_now();
    }

    /// Stops sending until [`resume`](Self::resume); clients stay.
    pub fn pause(&self) {
        self.control().pause();
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.control().resume();
    }

    /// Removes a client for good.
    pub fn remove(&self, client: ClientId) {
        self.control().remove(client);
    }

    /// Ends it and releases its clients.
    pub fn cancel(&self) {
        self.control().cancel();
    }

    /// Something that cancels it from elsewhere, a signal's handler for example.
    pub fn canceller(&self) -> impl Fn() + Send + Sync + 'static {
        let control = self.control();
        move || control.cancel()
    }

    /// Waits for its end.
    pub fn wait(self) -> Result<SessionSummary, SessionError> {
        self.thread.join().unwrap_or(Err(SessionError::Thread))
    }
}

/// Commands a session and looks at it, as long as it runs; afterwards nothing happens.
#[derive(Debug, Clone)]
pub struct SessionControl {
    inbound: Channel<Inbound>,
}

impl SessionControl {
    /// A picture of it, `None` once it is over.
    pub fn snapshot(&self) -> Option<SessionSnapshot> {
        let (reply, answer) = bounded(1);
        self.inbound.send(Inbound::Snapshot(reply)).ok()?;
        answer.recv().ok()
    }

    /// How far each client that was heard has got, in `columns` equal parts of the stream; `None` once it
    /// is over.
    pub fn coverage(&self, columns: usize) -> Option<Vec<Coverage>> {
        let (reply, answer) = bounded(1);
        self.inbound.send(Inbound::Coverage(columns, reply)).ok()?;
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

    /// Ends it as done if it has nobody to serve; otherwise nothing happens.
    pub fn close(&self) {
        self.tell(Inbound::Close);
    }

    /// Ends it at once; its clients ask again, and keep what they have. For a server that stops and is to be
    /// back soon.
    pub fn suspend(&self) {
        self.tell(Inbound::Suspend);
    }

    fn tell(&self, command: Inbound) {
        // A session that is over has no use for it.
        let _ = self.inbound.send(command);
    }
}
