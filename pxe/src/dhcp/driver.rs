//! A responder over sockets, in a thread of its own.
//!
//! For each interface listed there is a socket at port 67 and one at port 4011, bound to the interface: a request is
//! answered where it came from, with an address of that interface. Needed is `CAP_NET_BIND_SERVICE` (port 67), and
//! before Linux 5.7 `CAP_NET_RAW`; no packet socket, no entry in the neighbour table, as clients without an address
//! are answered by broadcast.
//!
//! **Beside a DHCP server on the same host** (mode proxy) port 67 is shared: that server must have set `SO_REUSEADDR`,
//! as dnsmasq, Kea and ISC DHCP do. Broadcasts reach both; what comes by unicast (renewals, relay agents) is left to
//! that server. Behind relay agents the proxy therefore stands on a host of its own. The other server must not take
//! port 4011, and is best started first: started later, it would not get the unicast of its own clients.

use std::collections::HashSet;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::leases::{Lease, LeaseChange};
use super::socket::LinkSocket;
use super::wire::MAX_MESSAGE_LEN;
use super::{
    Answer, Arrival, BOOT_PORT, Booting, Event, Interface, InterfaceError, Mode, Responder, SERVER_PORT, Settings,
    SettingsError, Time,
};

/// How often interfaces are looked at: addresses come and go.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Milliseconds by which the system's clock has to have been set for the ends of leases to be told anew.
const CLOCK_STEP: u64 = 2000;
/// Datagrams of one socket in a row, before the others get their turn.
const TURN: usize = 64;

/// What a [`DhcpServer`] is told before it begins.
pub struct DriverConfig {
    /// How requests are answered.
    pub settings: Settings,
    /// Names of the interfaces that are answered at; no others.
    pub interfaces: Vec<String>,
    /// Leases of an earlier life; those that are over or fit no pool are left out.
    pub leases: Vec<Lease>,
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The settings cannot be served.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An interface cannot be listened at.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// A port cannot be had.
    #[error("cannot listen at UDP port {port} of interface {interface}{}", hint(.source))]
    Socket {
        /// The interface's name.
        interface: String,
        /// The port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// No thread, or nothing to wake it with.
    #[error("cannot start the thread that answers DHCP")]
    Thread(#[source] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": another server of this host has it (mode proxy can share port 67)",
        io::ErrorKind::PermissionDenied => ": CAP_NET_BIND_SERVICE is needed",
        _ => "",
    }
}

/// Time of leases, and what the system's clock says of it.
///
/// Machines count the time of their leases without jumps, and so do we; but what is kept over a restart is read by the
/// system's clock, which is set right when the network has told the time, and which a suspended machine finds changed.
#[derive(Debug, Clone, Copy)]
struct Clock {
    origin: Instant,
    begun: Time,
    /// Milliseconds by which the system's clock was ahead when it had last been set.
    ahead: i64,
}

impl Clock {
    fn new() -> Self {
        Self { origin: Instant::now(), begun: system_time(), ahead: 0 }
    }

    fn now(&self) -> Time {
        self.begun + self.origin.elapsed()
    }

    /// Looks at the system's clock, which says `system`; whether it was set.
    fn look(&mut self, system: Time) -> bool {
        let now = self.now();
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let ahead = if system >= now { millis(system - now) } else { -millis(now - system) };
        let set = ahead.abs_diff(self.ahead) >= CLOCK_STEP;
        if set {
            self.ahead = ahead;
        }
        set
    }

    /// By the system's clock.
    fn told(&self, time: Time) -> Time {
        let ahead = Duration::from_millis(self.ahead.unsigned_abs());
        if self.ahead < 0 { time.saturating_sub(ahead) } else { time.saturating_add(ahead) }
    }
}

/// What has passed since 1970.
fn system_time() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The interface's name.
    pub interface: String,
    /// The address of ours that machines there are told, if none is nearer or set.
    pub address: Ipv4Addr,
    /// Another server of this host has port 67, too: only broadcasts are heard there.
    pub shared: bool,
}

/// A running server. Dropping it ends the thread; leases stand.
pub struct DhcpServer {
    listening: Vec<Listening>,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told.
struct Orders {
    stop: AtomicBool,
    /// Addresses to be forgotten.
    withdrawn: Mutex<Vec<Ipv4Addr>>,
    wake: EventFd,
}

impl DhcpServer {
    /// Opens the sockets and starts the thread `pxe-dhcp`, which tells `events`. That must not block: while it runs
    /// nobody is answered. An answer is sent after its events were told.
    ///
    /// # Errors
    /// [`DriverError`]: settings, interfaces, ports.
    pub fn start(
        config: DriverConfig,
        booting: Arc<dyn Booting>,
        events: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self, DriverError> {
        let clock = Clock::new();
        let share = config.settings.mode == Mode::Proxy;
        let mut responder = Responder::new(config.settings, booting)?;
        let loaded = config.leases.into_iter().filter_map(|lease| {
            let address = lease.address;
            responder.load(clock.now(), lease).then_some(address)
        });
        let loaded = loaded.collect();
        let links = Interface::find(&config.interfaces)?
            .into_iter()
            .map(|interface| Link::open(interface, share))
            .collect::<Result<Vec<_>, _>>()?;
        let listening = links.iter().filter_map(Link::listening).collect();
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let wake = wake.map_err(|error| DriverError::Thread(error.into()))?;
        let orders = Arc::new(Orders { stop: AtomicBool::new(false), withdrawn: Mutex::default(), wake });
        let looked = clock.now();
        let worker = Worker { clock, responder, links, share, events, orders: Arc::clone(&orders), looked, loaded };
        let builder = thread::Builder::new().name("pxe-dhcp".into());
        let thread = builder.spawn(move || worker.run()).map_err(DriverError::Thread)?;
        Ok(Self { listening, orders, thread: Some(thread) })
    }

    /// Where it listened when it began.
    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Has it forget whose an address is, so that another client can have it; an event tells the end of the lease.
    pub fn withdraw(&self, address: Ipv4Addr) {
        self.orders.withdrawn.lock().unwrap_or_else(PoisonError::into_inner).push(address);
        // It can only fail if the thread is awake already.
        let _ = self.orders.wake.write(1);
    }
}

impl Drop for DhcpServer {
    fn drop(&mut self) {
        self.orders.stop.store(true, Ordering::Relaxed);
        let _ = self.orders.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An interface and its sockets.
struct Link {
    interface: Interface,
    server: LinkSocket,
    boot: LinkSocket,
}

impl Link {
    fn open(interface: Interface, share: bool) -> Result<Self, DriverError> {
        let open = |port, share| {
            LinkSocket::open(&interface, port, share).map_err(|source| DriverError::Socket {
                interface: interface.name.clone(),
                port,
                source,
            })
        };
        let (server, boot) = (open(SERVER_PORT, share)?, open(BOOT_PORT, false)?);
        Ok(Self { interface, server, boot })
    }

    fn listening(&self) -> Option<Listening> {
        let address = self.interface.locals.first()?.address;
        Some(Listening { interface: self.interface.name.clone(), address, shared: self.server.is_shared() })
    }

    fn socket(&self, boot_port: bool) -> &LinkSocket {
        if boot_port { &self.boot } else { &self.server }
    }

    fn sockets(&self) -> [&LinkSocket; 2] {
        [&self.server, &self.boot]
    }
}

/// The thread's part.
struct Worker<F> {
    clock: Clock,
    responder: Responder,
    links: Vec<Link>,
    share: bool,
    events: F,
    orders: Arc<Orders>,
    looked: Time,
    /// Leases of an earlier life that were not renewed in this one: what is kept of them is by a clock that was right.
    loaded: HashSet<Ipv4Addr>,
}

impl<F: FnMut(Event)> Worker<F> {
    fn run(mut self) {
        let mut buffer = vec![0; MAX_MESSAGE_LEN + 1];
        while !self.orders.stop.load(Ordering::Relaxed) {
            self.wait();
            self.withdraw();
            for link in 0..self.links.len() {
                self.serve(link, false, &mut buffer);
                self.serve(link, true, &mut buffer);
            }
            let now = self.clock.now();
            self.responder.handle_timeout(now);
            self.tell();
            if now >= self.looked + LOOK_AGAIN {
                self.looked = now;
                self.look_at_clock();
                self.look_at_interfaces();
            }
        }
        // What is kept is what is read after the next start.
        self.look_at_clock();
    }

    fn wait(&self) {
        let now = self.clock.now();
        let due = self.responder.poll_timeout().map_or(LOOK_AGAIN, |at| at.saturating_sub(now));
        // Rounded up, or the last millisecond would be spent without rest.
        let wait = due.min(LOOK_AGAIN) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        let sockets = self.links.iter().flat_map(Link::sockets).map(AsFd::as_fd);
        let mut handles: Vec<_> =
            sockets.chain([self.orders.wake.as_fd()]).map(|handle| PollFd::new(handle, PollFlags::POLLIN)).collect();
        // A signal only wakes it earlier.
        let _ = poll(&mut handles, timeout);
    }

    /// Forgets what it was told to.
    fn withdraw(&mut self) {
        // It does not block: most often it was something else that woke the thread.
        let _ = self.orders.wake.read();
        let withdrawn = std::mem::take(&mut *self.orders.withdrawn.lock().unwrap_or_else(PoisonError::into_inner));
        for address in withdrawn {
            self.responder.withdraw(address);
        }
    }

    /// Answers what has come to one socket, within its turn.
    fn serve(&mut self, link: usize, boot_port: bool, buffer: &mut [u8]) {
        for _ in 0..TURN {
            let Some(from_link) = self.links.get(link) else { return };
            // An interface that is down or an ICMP message: what has come is still read.
            let Ok(received) = from_link.socket(boot_port).receive(buffer) else { continue };
            let Some((len, from)) = received else { return };
            let arrival = Arrival { locals: &from_link.interface.locals, from, boot_port };
            let datagram = buffer.get(..len).unwrap_or_default();
            let answer = self.responder.handle_datagram(self.clock.now(), &arrival, datagram);
            self.tell();
            if let Some(answer) = answer {
                self.send(link, boot_port, &answer);
            }
        }
    }

    fn send(&mut self, link: usize, boot_port: bool, answer: &Answer) {
        let Some(link) = self.links.get(link) else { return };
        let &Answer { ref bytes, to, source } = answer;
        if let Err(error) = link.socket(boot_port).send(bytes, to.address(), source) {
            // The client asks again; but as long as nobody mends it, it is answered in vain.
            let interface = link.interface.name.clone();
            (self.events)(Event::Unsent { to, source, interface, error: error.to_string() });
        }
    }

    /// Passes on what happened, with the ends of leases by the system's clock.
    fn tell(&mut self) {
        while let Some(mut event) = self.responder.poll_event() {
            if let Event::LeaseChanged(LeaseChange::Granted(lease) | LeaseChange::Ended { lease, .. }) = &mut event {
                self.loaded.remove(&lease.address);
                lease.until = self.clock.told(lease.until);
            }
            (self.events)(event);
        }
    }

    /// Tells the ends of all leases anew if the system's clock was set.
    fn look_at_clock(&mut self) {
        if self.clock.look(system_time()) {
            for mut lease in self.responder.leases().filter(|lease| !self.loaded.contains(&lease.address)) {
                lease.until = self.clock.told(lease.until);
                (self.events)(Event::LeaseChanged(LeaseChange::Granted(lease)));
            }
        }
    }

    /// Follows addresses that change, and interfaces that were taken away and came back.
    fn look_at_interfaces(&mut self) {
        let Ok(all) = Interface::list() else { return };
        for link in &mut self.links {
            let Some(now) = all.iter().find(|interface| interface.name == link.interface.name) else { continue };
            if now.index == link.interface.index {
                link.interface.locals.clone_from(&now.locals);
            } else if let Ok(new) = Link::open(now.clone(), self.share) {
                *link = new;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_follows_the_systems_clock_and_what_is_counted_does_not() {
        let mut clock = Clock::new();
        let now = clock.now();
        assert!(!clock.look(now + Duration::from_secs(1)), "a clock that is kept by the network moves a little");
        assert_eq!(clock.told(now), now);
        let day = Duration::from_secs(86_400);
        assert!(clock.look(now + day));
        assert!(!clock.look(now + day));
        assert!((clock.told(now).as_secs_f64() - (now + day).as_secs_f64()).abs() < 1.0);
        assert!(clock.now() - now < day);
        assert!(clock.look(now - day), "and back");
        assert!((clock.told(now).as_secs_f64() - (now - day).as_secs_f64()).abs() < 1.0);
    }
}
