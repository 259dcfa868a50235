//! The server's front door: one control socket for all sessions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded, unbounded};

use super::clock::Clock;
use super::door::{FrontDoor, lock};
use super::doorkeeper::Doorkeeper;
use super::error::EngineError;
use super::places::{Lent, Places};
use super::probes::Probes;
use super::session::{Inbound, Session, SessionConfig};
use super::session_thread::SessionThread;
use super::share::TotalRate;
use crate::address::{AUTO_RANGE, AddressPool, DEFAULT_PORTS, PortRange};
use crate::doctor::ProbePolicy;
use crate::image::Delivery;
use crate::manifest::Manifest;
use crate::net::{ControlSocket, Interface, Waker};
use crate::pace::Rate;
use crate::sender::SenderEvent;
use crate::types::SessionId;
use crate::wire::ContentLocation;

/// The UDP port at which a server is asked for images unless it is told otherwise; just below the
/// range that sessions take theirs from.
pub const DEFAULT_CONTROL_PORT: u16 = 62_999;

const CONTROL_BUFFER: usize = 4 << 20;
/// Refusals that wait for a listener.
const REFUSALS_LIMIT: usize = 256;

/// Where an engine serves.
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
    /// Sessions take their groups and ports from what is [`lent`](Engine::lend) alone, and none of
    /// `addresses` and `ports`.
    pub only_lent: bool,
    /// Who decides about joins; without one everybody is sent on to the session of the image.
    pub doorkeeper: Option<Arc<dyn Doorkeeper>>,
    /// Where clients that multicast does not reach get the images by HTTP, on this host; it is told who
    /// asks.
    pub content: Option<ContentLocation>,
    /// What clients may have sent to try the network by; without it their probes are echoed and no more.
    pub probes: Option<ProbePolicy>,
    /// For session numbers and the choice of ports.
    pub seed: u64,
}

impl EngineConfig {
    /// Serves on `interface`, with groups and ports as everybody takes them who says nothing else.
    pub fn new(interface: Interface, seed: u64) -> Result<Self, EngineError> {
        Ok(Self {
            interface,
            control_port: DEFAULT_CONTROL_PORT,
            addresses: AddressPool::parse(AUTO_RANGE, seed)?,
            ports: DEFAULT_PORTS,
            total_rate: None,
            only_lent: false,
            doorkeeper: None,
            content: None,
            probes: None,
            seed,
        })
    }
}

/// A server of images; dropping it ends its sessions.
pub struct Engine {
    socket: Arc<ControlSocket>,
    places: Places,
    total_rate: Option<Arc<TotalRate>>,
    events: Receiver<SenderEvent>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    clock: Clock,
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
        let places = Places::new(config.interface, config.addresses, config.ports, config.only_lent, config.seed);
        let (events_in, events) = bounded(REFUSALS_LIMIT);
        let clock = Clock::start();
        let front = FrontDoor {
            socket: socket.clone(),
            door: places.door.clone(),
            keeper: config.doorkeeper,
            events: events_in,
            waker: waker.clone(),
            clock,
            content: config.content,
            probes: Probes::new(config.probes, places.clone(), socket.clone(), clock, config.seed),
        };
        let thread = std::thread::Builder::new()
            .name("mcast-control".into())
            .spawn(move || front.run())
            .map_err(|source| EngineError::System { what: "a thread", source })?;
        Ok(Self {
            socket,
            places,
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

    /// Refusals that concern no session; those of a session are among its own events. Who does not listen misses
    /// all but the first hundreds: anybody can cause them.
    pub fn events(&self) -> &Receiver<SenderEvent> {
        &self.events
    }

    /// Clients that ask for `name` are told that it is being prepared, until a session has it.
    pub fn prepare(&self, name: &str) {
        lock(&self.places.door).preparing.push(name.to_owned());
    }

    /// It will not be served after all.
    pub fn abandon(&self, name: &str) {
        let mut door = lock(&self.places.door);
        door.preparing.retain(|other| other != name);
        door.early.retain(|_, early| early.image != name);
    }

    /// Lends it a group and a port for one stream: they come from somebody who sees to it that nobody else
    /// has them. Refused if the address is no group for sessions.
    pub fn lend(&self, place: SocketAddr) -> Result<(), EngineError> {
        self.places.lend(place)
    }

    /// Takes back what was lent; false if a stream uses it, which then does so until its end.
    pub fn recall(&self, place: SocketAddr) -> bool {
        self.places.recall(place)
    }

    /// What it was lent.
    pub fn lent(&self) -> Lent {
        self.places.lent()
    }

    /// Begins a session that serves `delivery`, whose hashes are `manifest`.
    pub fn start_session(
        &self,
        config: SessionConfig,
        delivery: Delivery,
        manifest: Manifest,
    ) -> Result<Session, EngineError> {
        let to = self.places.take(config.group)?;
        self.serve(self.places.number(), to, config, delivery, manifest)
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
        let places = self.places.clone();
        let leave = move || {
            places.dismiss(session);
            places.free(to);
        };
        let (inbound, inbox) = unbounded();
        if let Err(error) = self.places.admit(self.clock.now(), session, &config.name, &inbound) {
            leave();
            return Err(error);
        }
        let thread = SessionThread::new(
            (session, to),
            config,
            delivery,
            manifest,
            self.places.clone(),
            self.socket.clone(),
            (inbound.clone(), inbox),
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
            let mut door = lock(&self.places.door);
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
