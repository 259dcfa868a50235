//! The server over sockets, in a thread of its own: one epoll, a socket for each transfer.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::desk::Limits;
use super::door::Door;
use super::event::{Counters, Event};
use super::source::Source;

mod seat;
mod waiter;
mod worker;

use worker::Worker;

/// What a [`TftpServer`] goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen: the addresses of the networks that are served, each with [`PORT`](super::PORT). An
    /// unspecified address stands for all of its family; a client is always answered from the one it asked.
    pub listen: Vec<SocketAddr>,
    /// Transfers at a time. Each takes two descriptors of the process.
    pub transfers: usize,
    /// Transfers of one client's address at a time.
    pub transfers_per_client: usize,
    /// Blocks of a window at most.
    pub window_limit: u16,
    /// Bytes of a block at most. Without it a block fits into one packet on the way to the client; with it the
    /// operator bears the fragments, and that a client's firmware may not put them together.
    pub block_limit: Option<u16>,
    /// The ports that files are sent from, for firewalls; without it any.
    pub ports: Option<RangeInclusive<u16>>,
}

impl Settings {
    /// Listens there; the rest is usual.
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self { listen, transfers: 400, transfers_per_client: 64, window_limit: 64, block_limit: None, ports: None }
    }

    fn limits(&self) -> Limits {
        Limits { total: self.transfers.max(1), per_client: self.transfers_per_client.max(1) }
    }
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is nothing to listen at.
    #[error("there is no address to serve TFTP at")]
    NoAddress,
    /// No socket there.
    #[error("cannot serve TFTP at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// No thread, or nothing to wait by.
    #[error("cannot start the thread that serves TFTP")]
    Thread(#[source] io::Error),
}

/// A running server. Dropping it ends its transfers and its thread.
pub struct TftpServer {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and its owner have in common.
struct Shared {
    wake: EventFd,
    stop: AtomicBool,
    counters: Mutex<Counters>,
}

impl Shared {
    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TftpServer {
    /// Opens the sockets and starts the thread `pxe-tftp`. `events` is called on it and should return at once.
    pub fn start(
        settings: Settings,
        source: impl Source,
        events: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self, StartError> {
        if settings.listen.is_empty() {
            return Err(StartError::NoAddress);
        }
        let open = |address: &SocketAddr| {
            Door::open(*address).map_err(|source| StartError::Listen { address: *address, source })
        };
        let doors = settings.listen.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let addresses = doors.iter().map(Door::address).collect();
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_flags(flags).map_err(|errno| StartError::Thread(errno.into()))?;
        let shared = Arc::new(Shared { wake, stop: AtomicBool::new(false), counters: Mutex::new(Counters::default()) });
        let worker = Worker::new(settings, doors, Box::new(source), Box::new(events), Arc::clone(&shared))
            .map_err(StartError::Thread)?;
        let builder = thread::Builder::new().name("pxe-tftp".into());
        let thread = builder.spawn(move || worker.run()).map_err(StartError::Thread)?;
        Ok(Self { addresses, shared, thread: Some(thread) })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Sums since the start.
    pub fn counters(&self) -> Counters {
        *self.shared.counters()
    }

    /// Ends what goes on, each transfer with a word to its client, and waits for the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.shared.stop.store(true, Ordering::Release);
            // It fails only when it is set 2⁶⁴ − 1 times already.
            let _ = self.shared.wake.write(1);
            let _ = thread.join();
        }
    }
}

impl Drop for TftpServer {
    fn drop(&mut self) {
        self.end();
    }
}
