//! A client over a UDP socket, in a thread of its own.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Client, Config, Counters, Event, Lease, SERVER_GROUP_TTL, Time, Transmit};

/// Waits no longer than this, should the datagram that wakes the thread be lost.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What a [`MadcapClient`] is told before it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct DriverConfig {
    /// Whom to ask, and for what.
    pub client: Config,
    /// Address of the interface that messages leave by, and come from; unspecified: as the system routes.
    pub interface: Ipv4Addr,
    /// Hops that a message to the group may take; 16 is what RFC 2730 §2.7 allows in the local scope.
    pub ttl: u32,
    /// What lease identifiers come from; without it the process's own randomness.
    pub seed: Option<u64>,
}

impl DriverConfig {
    /// Messages go out by `interface`, the rest is usual.
    pub fn new(client: Config, interface: Ipv4Addr) -> Self {
        Self { client, interface, ttl: SERVER_GROUP_TTL, seed: None }
    }
}

/// Why a client could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// No socket, or not on that interface.
    #[error("cannot open a UDP socket at {interface} to lease addresses by")]
    Socket {
        /// As configured.
        interface: Ipv4Addr,
        /// What the system says.
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start the thread that leases addresses")]
    Thread(#[source] io::Error),
}

/// From a machine's time to the clocks of the world and back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    wall: SystemTime,
}

impl Clock {
    fn new() -> Self {
        Self { origin: Instant::now(), wall: SystemTime::now() }
    }

    /// Now, for the machine.
    pub fn now(&self) -> Time {
        self.origin.elapsed()
    }

    /// What clocks show at `time`: what to keep of a lease's end for after a restart.
    pub fn to_system(&self, time: Time) -> SystemTime {
        self.wall.checked_add(time).unwrap_or(self.wall)
    }

    /// The machine's time at what clocks show; the start, if that is over.
    pub fn from_system(&self, clock: SystemTime) -> Time {
        clock.duration_since(self.wall).unwrap_or_default()
    }
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// Whether every address was given back, or given up, before the limit.
    pub complete: bool,
    /// What has passed since the start.
    pub counters: Counters,
}

enum Command {
    Wish(usize),
    Adopt(Lease),
    Release(Ipv4Addr),
    Shutdown(Duration),
    Stop,
}

/// A running client. Dropping it stops the thread and gives nothing back: the leases can be
/// [adopted](Self::adopt) after a restart.
pub struct MadcapClient {
    clock: Clock,
    address: SocketAddrV4,
    commands: Sender<Command>,
    events: Receiver<Event>,
    thread: Option<JoinHandle<Shutdown>>,
}

impl MadcapClient {
    /// Opens the socket and starts the thread `mcast-madcap`.
    pub fn start(config: DriverConfig) -> Result<Self, DriverError> {
        let interface = config.interface;
        let (socket, address) =
            open(interface, config.ttl).map_err(|source| DriverError::Socket { interface, source })?;
        let clock = Clock::new();
        let (commands, inbox) = unbounded();
        let (outbox, events) = unbounded();
        let seed = config.seed.unwrap_or_else(|| fastrand::u64(..));
        let client = Client::new(config.client, seed);
        let worker = Worker { clock, socket, client, inbox, outbox, end: None };
        let builder = thread::Builder::new().name("mcast-madcap".into());
        let thread = builder.spawn(move || worker.run()).map_err(DriverError::Thread)?;
        Ok(Self { clock, address, commands, events, thread: Some(thread) })
    }

    /// How many addresses are to be held, as [`Client::wish`].
    pub fn wish(&self, count: usize) {
        self.command(Command::Wish(count));
    }

    /// Takes over a lease of an earlier life, as [`Client::adopt`]; `expires` is in the time of [`Self::clock`].
    pub fn adopt(&self, lease: Lease) {
        self.command(Command::Adopt(lease));
    }

    /// Gives one address back, as [`Client::release`].
    pub fn release(&self, address: Ipv4Addr) {
        self.command(Command::Release(address));
    }

    /// What happens, in order; disconnected when the thread has ended.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// What the times in leases mean.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Where servers answer to.
    pub fn local_address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Gives everything back, waiting for servers to confirm it for `limit` at most, and ends the thread. Events
    /// of that can still be read from a clone of [`events`](Self::events).
    pub fn shutdown(mut self, limit: Duration) -> Shutdown {
        self.command(Command::Shutdown(limit));
        let ended = self.thread.take().and_then(|thread| thread.join().ok());
        ended.unwrap_or(Shutdown { complete: false, counters: Counters::default() })
    }

    fn command(&self, command: Command) {
        // It fails only if the thread has ended, which the events then tell.
        let _ = self.commands.send(command);
        wake(self.address);
    }
}

impl Drop for MadcapClient {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.command(Command::Stop);
            let _ = thread.join();
        }
    }
}

/// A socket that sends by `interface`, and where to reach it from this machine.
fn open(interface: Ipv4Addr, ttl: u32) -> io::Result<(UdpSocket, SocketAddrV4)> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    if !interface.is_unspecified() {
        socket.set_multicast_if_v4(&interface)?;
    }
    socket.set_multicast_ttl_v4(ttl)?;
    // A server on this machine is a server like any other.
    socket.set_multicast_loop_v4(true)?;
    socket.bind(&SocketAddrV4::new(interface, 0).into())?;
    let socket: UdpSocket = socket.into();
    match socket.local_addr()? {
        SocketAddr::V4(address) if address.ip().is_unspecified() => {
            Ok((socket, SocketAddrV4::new(Ipv4Addr::LOCALHOST, address.port())))
        }
        SocketAddr::V4(address) => Ok((socket, address)),
        SocketAddr::V6(_) => Err(ErrorKind::AddrNotAvailable.into()),
    }
}

/// Wakes the thread with an empty datagram; should that fail it looks by itself, later.
fn wake(address: SocketAddrV4) {
    if let Ok(socket) = UdpSocket::bind(SocketAddrV4::new(*address.ip(), 0)) {
        let _ = socket.send_to(&[], address);
    }
}

/// The thread's part.
struct Worker {
    clock: Clock,
    socket: UdpSocket,
    client: Client,
    inbox: Receiver<Command>,
    outbox: Sender<Event>,
    /// A shutdown is under way, and ends then at the latest.
    end: Option<Time>,
}

impl Worker {
    fn run(mut self) -> Shutdown {
        let mut buffer = vec![0; 65_536];
        loop {
            if !self.obey() || self.is_over() {
                break;
            }
            while let Some(Transmit { to, bytes }) = self.client.poll_transmit() {
                if let Err(error) = self.socket.send_to(&bytes, to) {
                    self.client.handle_send_error(to, &error.to_string());
                }
            }
            self.tell();
            self.wait(&mut buffer);
        }
        self.tell();
        Shutdown { complete: self.client.is_idle(), counters: self.client.counters() }
    }

    /// Whether to go on.
    fn obey(&mut self) -> bool {
        loop {
            let now = self.clock.now();
            match self.inbox.try_recv() {
                Ok(Command::Wish(count)) => self.client.wish(now, count),
                Ok(Command::Adopt(lease)) => _ = self.client.adopt(now, lease),
                Ok(Command::Release(address)) => _ = self.client.release(now, address),
                Ok(Command::Shutdown(limit)) => {
                    self.client.release_all(now);
                    self.end = Some(now.saturating_add(limit));
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.client.is_idle() || self.clock.now() >= end)
    }

    fn tell(&mut self) {
        while let Some(event) = self.client.poll_event() {
            // Nobody need listen.
            let _ = self.outbox.send(event);
        }
    }

    fn wait(&mut self, buffer: &mut [u8]) {
        let now = self.clock.now();
        let deadline = self.client.poll_timeout().into_iter().chain(self.end).min();
        let wait = deadline.map_or(LONGEST_WAIT, |at| at.saturating_sub(now).min(LONGEST_WAIT));
        // A timeout of zero would mean none at all.
        let wait = wait.max(Duration::from_millis(1));
        let received = self.socket.set_read_timeout(Some(wait)).and_then(|()| self.socket.recv_from(buffer));
        let now = self.clock.now();
        match received {
            // What wakes the thread.
            Ok((0, _)) => {}
            Ok((len, SocketAddr::V4(from))) => self.client.handle_datagram(now, from, &buffer[..len]),
            Ok((_, SocketAddr::V6(_))) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // An interface that is down or an ICMP message; what is missing is asked for again anyway.
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
        self.client.handle_timeout(now);
    }
}
