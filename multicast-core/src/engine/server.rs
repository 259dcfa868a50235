//! The server's front door: one control socket for all sessions.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender as Channel, unbounded};

use super::clock::Clock;
use super::error::EngineError;
use super::session::{Inbound, Session, SessionConfig, SessionThread, pass_on};
use super::share::TotalRate;
use crate::address::{AddressPool, PortRange, find_free_port};
use crate::image::Delivery;
use crate::manifest::Manifest;
use crate::net::{ControlSocket, Interface, Waker, wait};
use crate::pace::Rate;
use crate::sender::SenderEvent;
use crate::types::{ClientId, Instant, SessionId};
use crate::wire::{Join, Kind, Packet, Refusal, RefuseReason, VERSION, WireError, peek};

/// The UDP port at which a server is asked for images unless it is told otherwise; just below the
/// range that sessions take theirs from.
pub const DEFAULT_CONTROL_PORT: u16 = 62_999;

/// Milliseconds after which a client may ask again for an image that is not there, or not yet.
const RETRY_MS: u32 = 500;
const PREPARING_RETRY_MS: u32 = 100;
/// Clients that asked while their image was being prepared are taken in when it is ready: so many,
/// and those who asked so lately that they still wait.
const EARLY_LIMIT: usize = 4096;
const EARLY_FRESH: Duration = Duration::from_millis(250);
const CONTROL_BUFFER: usize = 4 << 20;

/// Where an engine serves.
#[derive(Debug)]
pub struct EngineConfig {
    /// The interface of all sessions.
    pub interface: Interface,
    /// UDP port of the control socket, 0 for any.
    pub control_port: u16,
    /// Group addresses for sessions that name none.
    pub addresses: AddressPool,
    /// UDP ports for sessions.
    pub ports: PortRange,
    /// Bits per second on the wire of all sessions together: each gets what it wants, or as much as
    /// any other.
    pub total_rate: Option<Rate>,
    /// For session numbers and the choice of ports.
    pub seed: u64,
}

/// A server of images; dropping it ends its sessions.
pub struct Engine {
    interface: Interface,
    socket: Arc<ControlSocket>,
    door: Arc<Mutex<Door>>,
    allocation: Arc<Mutex<Allocation>>,
    total_rate: Option<Arc<TotalRate>>,
    events: Receiver<SenderEvent>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    clock: Clock,
}

/// Who is to get which datagram.
#[derive(Default)]
struct Door {
    sessions: HashMap<SessionId, (String, Channel<Inbound>)>,
    preparing: Vec<String>,
    early: HashMap<SocketAddr, Early>,
    closed: bool,
}

/// A join for an image that is being prepared.
struct Early {
    at: Instant,
    image: String,
    datagram: Box<[u8]>,
}

impl Door {
    fn remember(&mut self, from: SocketAddr, image: &str, datagram: &[u8], at: Instant) {
        if self.early.len() >= EARLY_LIMIT {
            self.early.retain(|_, early| at - early.at < EARLY_FRESH);
        }
        if self.early.len() < EARLY_LIMIT {
            self.early.insert(from, Early { at, image: image.to_owned(), datagram: datagram.into() });
        }
    }

    /// Passes on to the session of `name`, which has just been opened, who asked for it lately.
    fn admit_early(&mut self, name: &str, inbound: &Channel<Inbound>, now: Instant) {
        let only = self.sessions.len() == 1;
        self.early.retain(|from, early| {
            let meant = early.image == name || only && early.image.is_empty();
            if meant && now - early.at < EARLY_FRESH {
                pass_on(inbound, *from, &early.datagram);
            }
            !meant
        });
        if self.preparing.is_empty() {
            self.early.clear();
        }
    }
}

struct Allocation {
    addresses: AddressPool,
    ports: PortRange,
    rng: fastrand::Rng,
}

impl Engine {
    /// Opens the control socket; clients are answered from now on.
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        // All of the host's addresses: clients may know the server by another one than the interface's.
        let any = match config.interface.v4.is_empty() {
            false => IpAddr::from([0, 0, 0, 0]),
            true => IpAddr::from([0u16; 8]),
        };
        let any = if config.interface.loopback { IpAddr::from([127, 0, 0, 1]) } else { any };
        let socket = Arc::new(ControlSocket::bind(SocketAddr::new(any, config.control_port), CONTROL_BUFFER)?);
        let system = |source| EngineError::System { what: "a waker", source };
        let waker = Waker::new().map_err(system)?;
        let door = Arc::new(Mutex::new(Door::default()));
        let (events_in, events) = unbounded();
        let clock = Clock::start();
        let front =
            FrontDoor { socket: socket.clone(), door: door.clone(), events: events_in, waker: waker.clone(), clock };
        let thread = std::thread::Builder::new()
            .name("mcast-control".into())
            .spawn(move || front.run())
            .map_err(|source| EngineError::System { what: "a thread", source })?;
        Ok(Self {
            interface: config.interface,
            socket,
            door,
            allocation: Arc::new(Mutex::new(Allocation {
                addresses: config.addresses,
                ports: config.ports,
                rng: fastrand::Rng::with_seed(config.seed),
            })),
            total_rate: config.total_rate.map(TotalRate::new),
            events,
            waker,
            thread: Some(thread),
            clock,
        })
    }

    /// Where clients reach it.
    pub fn control_address(&self) -> SocketAddr {
        self.socket.local_address()
    }

    /// Refusals that concern no session; those of a session are among its own events.
    pub fn events(&self) -> &Receiver<SenderEvent> {
        &self.events
    }

    /// Clients that ask for `name` are told that it is being prepared, until a session has it.
    pub fn prepare(&self, name: &str) {
        lock(&self.door).preparing.push(name.to_owned());
    }

    /// It will not be served after all.
    pub fn abandon(&self, name: &str) {
        let mut door = lock(&self.door);
        door.preparing.retain(|other| other != name);
        door.early.retain(|_, early| early.image != name);
    }

    /// Begins a session that serves `delivery`, whose hashes are `manifest`.
    pub fn start_session(
        &self,
        config: SessionConfig,
        delivery: Delivery,
        manifest: Manifest,
    ) -> Result<Session, EngineError> {
        let mut allocation = lock(&self.allocation);
        let group = match config.group {
            Some(group) => {
                allocation.addresses.reserve(group)?;
                group
            }
            None => allocation.addresses.allocate()?,
        };
        let local = self.interface.address_for(group).unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let seed = allocation.rng.u64(..);
        let port = match find_free_port(allocation.ports, local, seed) {
            Ok(port) => port,
            Err(error) => {
                allocation.addresses.free(group);
                return Err(error.into());
            }
        };
        let session = SessionId(allocation.rng.u32(1..));
        drop(allocation);
        self.serve(session, self.interface.socket_address(group, port), config, delivery, manifest)
    }

    /// Opens the door for a session and starts its thread; both end together.
    fn serve(
        &self,
        session: SessionId,
        to: SocketAddr,
        config: SessionConfig,
        delivery: Delivery,
        manifest: Manifest,
    ) -> Result<Session, EngineError> {
        let (door, allocation) = (self.door.clone(), self.allocation.clone());
        let leave = move || {
            lock(&door).sessions.remove(&session);
            lock(&allocation).addresses.free(to.ip());
        };

        let (inbound, inbox) = unbounded();
        {
            let mut door = lock(&self.door);
            if door.sessions.values().any(|(name, _)| *name == config.name) {
                drop(door);
                leave();
                return Err(EngineError::NameTaken { name: config.name });
            }
            door.preparing.retain(|name| *name != config.name);
            door.sessions.insert(session, (config.name.clone(), inbound.clone()));
            door.admit_early(&config.name, &inbound, self.clock.now());
        }
        let thread = SessionThread::new(
            (session, to),
            config,
            delivery,
            manifest,
            &self.interface,
            self.socket.clone(),
            inbox,
            self.clock,
            self.total_rate.as_ref(),
        );
        match thread {
            Ok(thread) => thread.start(inbound, leave),
            Err(error) => {
                leave();
                Err(error)
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        {
            let mut door = lock(&self.door);
            door.closed = true;
            for (_, inbound) in door.sessions.values() {
                // A session that has just ended does not listen any more.
                let _ = inbound.send(Inbound::Cancel);
            }
        }
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that reads the control socket.
struct FrontDoor {
    socket: Arc<ControlSocket>,
    door: Arc<Mutex<Door>>,
    events: Channel<SenderEvent>,
    waker: Waker,
    clock: Clock,
}

impl FrontDoor {
    fn run(self) {
        let mut buffer = vec![0; 2048];
        while !lock(&self.door).closed {
            if wait(&[self.socket.handle(), self.waker.handle()], None).is_err() {
                continue;
            }
            // An error here is an ICMP message about a client that has gone.
            while let Ok(Some((len, from))) = self.socket.receive(&mut buffer) {
                self.handle(from, &buffer[..len]);
            }
        }
    }

    fn handle(&self, from: SocketAddr, datagram: &[u8]) {
        let packet = match peek(datagram).and_then(|_| Packet::decode(datagram)) {
            Ok(packet) => packet,
            Err(WireError::Version { found }) if is_join(datagram) => {
                let text = format!("protocol version {found} is not spoken here, this server speaks {VERSION}");
                return self.refuse(from, ClientId(0), "", RefuseReason::Version, 0, &text);
            }
            // Anything may arrive at an open port; it is not worth an answer.
            Err(_) => return,
        };
        match packet {
            Packet::Join(join) => self.join(from, &join, datagram),
            Packet::Report(report) => self.route(from, report.session, report.client, datagram),
            Packet::Leave(leave) => self.route(from, leave.session, leave.client, datagram),
            _ => {}
        }
    }

    fn join(&self, from: SocketAddr, join: &Join<'_>, datagram: &[u8]) {
        let mut door = lock(&self.door);
        let mut matching = door.sessions.values().filter(|(name, _)| join.image.is_empty() || name == join.image);
        let (first, second) = (matching.next(), matching.next());
        let names = || door.sessions.values().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let preparing = door.preparing.iter().any(|name| join.image.is_empty() || name == join.image);
        match (first, second) {
            (Some((_, inbound)), None) => pass_on(inbound, from, datagram),
            (Some(_), Some(_)) => {
                let text = format!("it serves several images, name one of: {}", names());
                self.refuse(from, join.client, join.host, RefuseReason::Ambiguous, 0, &text);
            }
            (None, _) if preparing => {
                door.remember(from, join.image, datagram, self.clock.now());
                let text = "the image is being prepared";
                self.refuse(from, join.client, join.host, RefuseReason::Preparing, PREPARING_RETRY_MS, text);
            }
            (None, _) => {
                let text = match names().as_str() {
                    "" => "it serves no image at the moment".to_owned(),
                    names => format!("it serves no image named {:?}, only: {names}", join.image),
                };
                self.refuse(from, join.client, join.host, RefuseReason::NoSuchImage, RETRY_MS, &text);
            }
        }
    }

    fn route(&self, from: SocketAddr, session: SessionId, client: ClientId, datagram: &[u8]) {
        match lock(&self.door).sessions.get(&session) {
            Some((_, inbound)) => pass_on(inbound, from, datagram),
            None => self.answer(from, client, RefuseReason::UnknownSession, 0, "no such session here: join again"),
        }
    }

    fn refuse(&self, to: SocketAddr, client: ClientId, host: &str, reason: RefuseReason, retry_ms: u32, text: &str) {
        self.answer(to, client, reason, retry_ms, text);
        // Waiting for an image is no news; being unable to get one is.
        if reason == RefuseReason::Version || reason == RefuseReason::Ambiguous {
            let (host, text) = (host.to_owned(), text.to_owned());
            let _ = self.events.send(SenderEvent::ClientRefused { address: to, host, reason, text });
        }
    }

    fn answer(&self, to: SocketAddr, client: ClientId, reason: RefuseReason, retry_ms: u32, text: &str) {
        let mut payload = Vec::new();
        Refusal::new(client, reason, retry_ms, text).encode(&mut payload);
        // A lost answer is asked for again.
        let _ = self.socket.send_to(&payload, to);
    }
}

/// Whether it is a join in whatever version: only that is answered with the version spoken here.
fn is_join(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x0F == Kind::Join as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_lately_for_an_image_is_taken_in_when_it_is_ready() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let from = |host| SocketAddr::from(([10, 0, 0, host], 5000));
        let mut door = Door { preparing: vec!["later".to_owned()], ..Door::default() };
        for (host, image, ms) in [(1, "now", 0), (2, "now", 200), (3, "", 200), (4, "later", 200)] {
            door.remember(from(host), image, image.as_bytes(), at(ms));
        }
        let (inbound, inbox) = unbounded();
        door.sessions.insert(SessionId(1), ("now".to_owned(), inbound.clone()));
        door.admit_early("now", &inbound, at(300));
        let mut taken: Vec<_> = inbox.try_iter().collect();
        taken.sort_by_key(|inbound| if let Inbound::Datagram(from, _) = inbound { Some(*from) } else { None });
        let is_of = |inbound: &Inbound, host| matches!(inbound, Inbound::Datagram(of, _) if *of == from(host));
        assert!(taken.len() == 2 && is_of(&taken[0], 2) && is_of(&taken[1], 3));
        assert_eq!(door.early.keys().collect::<Vec<_>>(), [&from(4)]);
    }
}
