//! The receiving side: a thread that drives a [`Receiver`] over sockets, and one that does its jobs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver as Inbox, Sender as Channel, unbounded};

use super::clock::Clock;
use super::error::ClientError;
use super::output::{Opener, Output};
use super::worker::Worker;
use crate::layout::Layout;
use crate::net::{BufferSize, ControlSocket, Interface, MulticastReceiver, RECEIVE_BUFFER, Waker, wait};
use crate::receiver::{Receiver, ReceiverConfig, ReceiverError, ReceiverEvent, ReceiverSnapshot};
use crate::store::TargetOptions;
use crate::types::{BlockIndex, Instant, SessionId};
use crate::wire::{LeaveReason, Offer, RefuseReason, SessionState};

/// Buffers taken from the group's socket before the other sources are looked at.
const GROUP_TURN: usize = 64;
/// Between two pictures for [`Client::snapshot`].
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(100);
const CONTROL_BUFFER: usize = 256 << 10;

/// What a client is to do.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The server's control socket.
    pub server: SocketAddr,
    /// The interface on which the group is joined.
    pub interface: Interface,
    /// The image's name, empty for the server's only one.
    pub image: String,
    /// A file, a folder, a block device, or `-` for the standard output.
    pub output: PathBuf,
    /// Discards what an interrupted run left.
    pub fresh: bool,
    /// The client's host name, for people to read.
    pub host: String,
    /// Where a device's journal goes, and where a stream's blocks wait.
    pub target: TargetOptions,
    /// Gives up if no session comes within this.
    pub wait_limit: Option<Duration>,
    /// Gives up if nothing of the group is heard within this.
    pub deaf_limit: Duration,
    /// Bytes of blocks put together in memory before they are stored.
    pub staging: usize,
    /// Receive buffer to ask the system for, bytes.
    pub receive_buffer: usize,
    /// For jitter.
    pub seed: u64,
}

/// Something happened to a client.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "event", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ClientEvent {
    /// An interrupted run left this; it is being read again.
    Rechecking {
        /// Blocks that its journal claims.
        claimed_blocks: u32,
    },
    /// So much of it is right and need not be received again.
    Resumed {
        /// Blocks kept.
        kept_blocks: u32,
        /// Bytes of the image in them.
        kept_bytes: u64,
    },
    /// What an interrupted run left is of no use.
    Discarded {
        /// Why.
        reason: String,
    },
    /// A server refused; unless the reason is final it is asked again.
    Refused {
        /// Why.
        reason: RefuseReason,
        /// The same in the server's words.
        text: String,
    },
    /// A session was joined.
    Joined {
        /// The session.
        session: SessionId,
        /// Name of the image.
        image: String,
        /// Bytes of the image.
        bytes_total: u64,
        /// Blocks of the stream.
        blocks_total: u32,
        /// Group and port of the stream.
        group: SocketAddr,
        /// The system's receive buffer, bytes.
        receive_buffer: usize,
    },
    /// The session's state changed.
    Session {
        /// Into this one.
        state: SessionState,
        /// Clients in the session.
        clients: u32,
        /// Clients that it waits for, 0 without such a threshold.
        awaited: u32,
        /// Milliseconds until it starts by itself.
        starts_in_ms: Option<u32>,
    },
    /// The session was joined but nothing of it is heard.
    Deaf {
        /// What should be heard.
        group: SocketAddr,
        /// For how long nothing was.
        seconds: f64,
    },
    /// A block did not match its hash and is fetched anew.
    BlockDamaged {
        /// Which.
        block: BlockIndex,
    },
    /// Nothing is heard of the session any more; the server is asked again.
    SessionLost {
        /// The session.
        session: SessionId,
        /// For how long nothing was heard.
        seconds: f64,
    },
    /// The server serves this client by another stream from now on.
    Moved {
        /// Why, in the server's words.
        text: String,
    },
    /// The image is fetched by unicast.
    Fetching {
        /// Name of the image.
        image: String,
        /// Bytes of the image.
        bytes_total: u64,
        /// Blocks of the stream.
        blocks_total: u32,
        /// Blocks that are here and need not be fetched.
        blocks_held: u32,
    },
    /// What is fetched does not come; it is tried again.
    SourceFailed {
        /// Why.
        text: String,
        /// Milliseconds until the next try.
        retry_in_ms: u64,
    },
    /// Everything is verified and stored.
    Complete,
}

/// What a client came to.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ClientSummary {
    /// The receiver at its end.
    pub receiver: ReceiverSnapshot,
    /// Seconds since it was started.
    pub seconds: f64,
    /// Blocks that an interrupted run had left.
    pub kept_blocks: u32,
}

/// A running client; dropping it does not end it.
pub struct Client {
    events: Inbox<ClientEvent>,
    shared: Arc<Shared>,
    thread: JoinHandle<Ended>,
}

/// What a client came to, and what it leaves if that is not the image.
type Ended = (Result<ClientSummary, ClientError>, Option<Output>);

struct Shared {
    snapshot: Mutex<ReceiverSnapshot>,
    cancel: AtomicBool,
    /// A new limit in milliseconds, 0 for none.
    deaf_limit_ms: AtomicU64,
    waker: Waker,
}

impl Client {
    /// Starts to look for the image.
    pub fn start(config: ClientConfig) -> Result<Self, ClientError> {
        let waker = Waker::new().map_err(|source| ClientError::System { what: "a waker", source })?;
        let any: IpAddr = match config.server {
            SocketAddr::V4(_) => [0, 0, 0, 0].into(),
            SocketAddr::V6(_) => [0u16; 8].into(),
        };
        let control = ControlSocket::bind(SocketAddr::new(any, 0), CONTROL_BUFFER)?;
        let receiver = ReceiverConfig {
            client: config.target.client,
            image: config.image.clone(),
            host: config.host.clone(),
            staging: config.staging,
            wait_limit: config.wait_limit,
            deaf_limit: config.deaf_limit,
            seed: config.seed,
        };
        let clock = Clock::start();
        let idle = Receiver::new(receiver.clone(), clock.now()).snapshot();
        let shared = Arc::new(Shared {
            snapshot: Mutex::new(idle),
            cancel: AtomicBool::new(false),
            deaf_limit_ms: AtomicU64::new(0),
            waker,
        });
        let (events_in, events) = unbounded();
        let thread = ClientThread { config, control, shared: shared.clone(), events: events_in, clock };
        let thread = std::thread::Builder::new()
            .name("mcast-receive".into())
            .spawn(move || thread.run(receiver))
            .map_err(|source| ClientError::System { what: "a thread", source })?;
        Ok(Self { events, shared, thread })
    }

    /// Its events; the channel ends with the client.
    pub fn events(&self) -> &Inbox<ClientEvent> {
        &self.events
    }

    /// A picture of it, at most a tenth of a second old.
    pub fn snapshot(&self) -> ReceiverSnapshot {
        lock(&self.shared.snapshot).clone()
    }

    /// Ends it; what is verified stays for the next run.
    pub fn cancel(&self) {
        self.canceller()();
    }

    /// Something that ends it from elsewhere, a signal's handler for example.
    pub fn canceller(&self) -> impl Fn() + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || {
            shared.cancel.store(true, Ordering::Relaxed);
            shared.waker.wake();
        }
    }

    /// From now on it gives up if nothing of the group is heard within `limit`: where there is another
    /// way to the image, for example.
    pub fn set_deaf_limit(&self, limit: Duration) {
        self.deaf_limiter()(limit);
    }

    /// Something that does so from elsewhere.
    pub fn deaf_limiter(&self) -> impl Fn(Duration) + Send + Sync + 'static {
        let shared = self.shared.clone();
        move |limit| {
            let ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            shared.deaf_limit_ms.store(ms.max(1), Ordering::Relaxed);
            shared.waker.wake();
        }
    }

    /// Waits for its end.
    pub fn wait(self) -> Result<ClientSummary, ClientError> {
        self.wait_with_output().0
    }

    /// Waits for its end; if that is an error, the output comes back, open and with all that was
    /// verified, for a [`Fetch`](super::Fetch) to go on with.
    pub fn wait_with_output(self) -> (Result<ClientSummary, ClientError>, Option<Output>) {
        self.thread.join().unwrap_or((Err(ClientError::Thread), None))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An opened output and the thread that works on it.
struct Opened {
    output: Output,
    worker: Worker,
}

struct ClientThread {
    config: ClientConfig,
    control: ControlSocket,
    shared: Arc<Shared>,
    events: Channel<ClientEvent>,
    clock: Clock,
}

impl ClientThread {
    fn run(mut self, mut receiver: ReceiverConfig) -> Ended {
        let opened = match self.reopen() {
            Ok(opened) => opened,
            Err(error) => return (Err(error), None),
        };
        if let Some(opened) = &opened {
            receiver.client = opened.output.client;
            self.config.target.client = receiver.client;
        }
        let machine = Receiver::new(receiver, self.clock.now());
        let mut run = Run { opened, group: None, machine, next_snapshot: Instant::ZERO, failure: None };
        let result = self.receive(&mut run);
        let receiver = run.machine.snapshot();
        *lock(&self.shared.snapshot) = receiver.clone();
        let output = run.opened.map(|opened| {
            opened.worker.finish();
            opened.output
        });
        match result {
            Ok(()) => {
                let seconds = (self.clock.now() - Instant::ZERO).as_secs_f64();
                let kept_blocks = output.map_or(0, |output| output.kept_blocks);
                (Ok(ClientSummary { receiver, seconds, kept_blocks }), None)
            }
            Err(error) => {
                let held = run.machine.into_resume();
                (Err(error), output.map(|output| Output { resume: held.or(output.resume), ..output }))
            }
        }
    }

    fn reopen(&self) -> Result<Option<Opened>, ClientError> {
        self.opener().reopen()?.map(|output| self.opened(output)).transpose()
    }

    fn opener(&self) -> Opener<'_> {
        Opener {
            path: &self.config.output,
            fresh: self.config.fresh,
            target: &self.config.target,
            events: &self.events,
            cancel: &self.shared.cancel,
        }
    }

    fn opened(&self, output: Output) -> Result<Opened, ClientError> {
        let waker = self.shared.waker.clone();
        let worker = Worker::start(output.store.clone(), &output.layout, move || waker.wake())?;
        Ok(Opened { output, worker })
    }

    fn receive(&mut self, run: &mut Run) -> Result<(), ClientError> {
        let mut buffer = vec![0; RECEIVE_BUFFER];
        loop {
            let now = self.clock.now();
            match self.shared.deaf_limit_ms.swap(0, Ordering::Relaxed) {
                0 => {}
                ms => run.machine.set_deaf_limit(Duration::from_millis(ms)),
            }
            if self.shared.cancel.load(Ordering::Relaxed) {
                run.machine.leave(now, LeaveReason::Interrupted, "interrupted by its user");
            }
            if run.machine.poll_timeout().is_some_and(|due| due <= now) {
                // What waited while the disk was slow is no silence of the session.
                self.take_group(run, &mut buffer, true);
                self.take_unicast(run, &mut buffer, true);
                run.machine.handle_timeout(self.clock.now());
            }
            self.settle(run);
            if now >= run.next_snapshot || run.machine.is_finished() {
                *lock(&self.shared.snapshot) = run.machine.snapshot();
                run.next_snapshot = now + SNAPSHOT_INTERVAL;
            }
            if run.machine.is_finished() {
                return run.failure.take().map_or(Ok(()), Err);
            }
            let due = run.machine.poll_timeout().unwrap_or(now).min(run.next_snapshot.max(now));
            let ready = {
                let mut handles = vec![self.shared.waker.handle()];
                if !run.machine.waits_for_jobs() {
                    handles.push(self.control.handle());
                    handles.extend(run.group.as_ref().map(MulticastReceiver::handle));
                }
                wait(&handles, Some(self.clock.until(due)))
            };
            let Ok(ready) = ready else { continue };
            if ready.contains(0) {
                self.shared.waker.clear();
                self.take_results(run);
            }
            if ready.contains(1) {
                self.take_unicast(run, &mut buffer, false);
            }
            if ready.contains(2) {
                self.take_group(run, &mut buffer, false);
            }
        }
    }

    /// What the server sends to this client alone: answers, and the stream if it is served by unicast;
    /// unless it is `urgent`, as far as jobs keep up with it.
    fn take_unicast(&mut self, run: &mut Run, buffer: &mut [u8], urgent: bool) {
        for _ in 0..GROUP_TURN {
            if run.machine.waits_for_jobs() && !urgent {
                break;
            }
            // An error here is an ICMP message: the server is not there, or not yet.
            let Ok(Some(received)) = self.control.receive_stream(buffer) else { break };
            let store = run.opened.as_ref().map(|opened| opened.output.store.clone());
            let (now, bytes) = (self.clock.now(), &buffer[..received.len]);
            run.machine.handle_unicast(now, bytes, received.segment, store.as_deref());
            self.settle(run);
        }
    }

    /// Takes what came of the group; unless it is `urgent`, as far as jobs keep up with it.
    fn take_group(&self, run: &mut Run, buffer: &mut [u8], urgent: bool) {
        let (Some(group), Some(opened)) = (&mut run.group, &run.opened) else { return };
        for _ in 0..GROUP_TURN {
            if run.machine.waits_for_jobs() && !urgent {
                break;
            }
            // A passing error of the interface: silence tells whether it stays.
            let Ok(Some(received)) = group.receive(buffer) else { break };
            let bytes = &buffer[..received.len];
            run.machine.set_socket_drops(received.drops as u32);
            run.machine.handle_group(self.clock.now(), bytes, received.segment, opened.output.store.as_ref());
            while let Some(job) = run.machine.poll_job() {
                // The worker outlives the run.
                let _ = opened.worker.jobs.send(job);
            }
        }
    }

    fn take_results(&self, run: &mut Run) {
        let Some(opened) = &run.opened else { return };
        while let Ok(done) = opened.worker.done.try_recv() {
            run.machine.handle_job(self.clock.now(), done);
            while let Some(job) = run.machine.poll_job() {
                let _ = opened.worker.jobs.send(job);
            }
        }
    }

    /// Passes on what the receiver wants to be sent, done and told.
    fn settle(&mut self, run: &mut Run) {
        loop {
            if let Some(opened) = &run.opened {
                while let Some(job) = run.machine.poll_job() {
                    let _ = opened.worker.jobs.send(job);
                }
            }
            while let Some(datagram) = run.machine.poll_transmit() {
                // No route, no room: it is sent again.
                let _ = self.control.send_to(&datagram, self.config.server);
            }
            match run.machine.poll_event() {
                Some(event) => self.handle_event(run, event),
                None => return,
            }
        }
    }

    fn handle_event(&mut self, run: &mut Run, event: ReceiverEvent) {
        let told = match event {
            ReceiverEvent::Offered { offer, layout, continues } => match self.join(run, &offer, *layout, continues) {
                Ok(event) => event,
                Err(ClientError::Store(error)) => {
                    return run.machine.abort(self.clock.now(), ReceiverError::Store(error));
                }
                Err(error) => {
                    run.machine.leave(self.clock.now(), LeaveReason::Unsuitable, &error.to_string());
                    run.failure = Some(error);
                    return;
                }
            },
            ReceiverEvent::ManifestVerified => return,
            ReceiverEvent::Failed(error) => {
                run.failure.get_or_insert(ClientError::Receiver(error));
                return;
            }
            ReceiverEvent::Refused { reason, text } => ClientEvent::Refused { reason, text },
            ReceiverEvent::Session { state, clients, awaited, starts_in_ms } => {
                ClientEvent::Session { state, clients, awaited, starts_in_ms }
            }
            ReceiverEvent::Deaf { group, seconds } => ClientEvent::Deaf { group, seconds },
            ReceiverEvent::BlockDamaged { block } => ClientEvent::BlockDamaged { block },
            ReceiverEvent::SessionLost { session, seconds } => ClientEvent::SessionLost { session, seconds },
            ReceiverEvent::Moved { text } => ClientEvent::Moved { text },
            ReceiverEvent::Complete => ClientEvent::Complete,
        };
        self.tell(told);
    }

    /// Joins the offered group and opens the output, unless it is open.
    fn join(
        &mut self,
        run: &mut Run,
        offer: &Offer,
        layout: Layout,
        continues: bool,
    ) -> Result<ClientEvent, ClientError> {
        if !continues {
            self.prepare(run, offer, layout.clone())?;
        }
        // The old membership ends first: it may be of the same group and port.
        run.group = None;
        let source = offer.source.filter(|_| offer.source_specific);
        let group = self.config.interface.socket_address(offer.group.ip(), offer.group.port());
        let BufferSize { granted, .. } = if group.ip().is_multicast() {
            let socket = MulticastReceiver::join(&self.config.interface, group, source, self.config.receive_buffer)?;
            run.group.insert(socket).receive_buffer()
        } else {
            self.control.expect_stream(self.config.receive_buffer)
        };
        let resume = run.opened.as_mut().and_then(|opened| opened.output.resume.take());
        run.machine.accept(self.clock.now(), resume);
        Ok(ClientEvent::Joined {
            session: offer.session,
            image: offer.image.clone(),
            bytes_total: layout.image_size(),
            blocks_total: layout.blocks(),
            group,
            receive_buffer: granted,
        })
    }

    /// Opens the output for the offered image, unless it is open.
    fn prepare(&self, run: &mut Run, offer: &Offer, layout: Layout) -> Result<(), ClientError> {
        let root = offer.manifest_root;
        if let Some(opened) = run.opened.as_mut().filter(|opened| opened.output.is_of(&layout, root)) {
            opened.output.promised = Some(root);
            return Ok(());
        }
        let reopened = run.opened.take().map(|opened| {
            opened.worker.finish();
            opened.output
        });
        run.opened = Some(self.opened(self.opener().prepare(reopened, layout, root)?)?);
        Ok(())
    }

    fn tell(&self, event: ClientEvent) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }
}

/// State of one run.
struct Run {
    opened: Option<Opened>,
    group: Option<MulticastReceiver>,
    machine: Receiver,
    next_snapshot: Instant,
    failure: Option<ClientError>,
}
