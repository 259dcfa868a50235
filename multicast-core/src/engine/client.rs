//! The receiving side: a thread that drives a [`Receiver`] over sockets, and one that does its jobs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver as Inbox, Sender as Channel, unbounded};

use super::clock::Clock;
use super::error::ClientError;
use crate::bitmap::Bitmap;
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::net::{BufferSize, ControlSocket, Interface, MulticastReceiver, RECEIVE_BUFFER, Waker, wait};
use crate::receiver::{
    Job, JobDone, JobRunner, Receiver, ReceiverConfig, ReceiverError, ReceiverEvent, ReceiverSnapshot, Resume,
};
use crate::store::{Store, StoreError, TargetOptions, discard, earlier, open_target, recheck};
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
    thread: JoinHandle<Result<ClientSummary, ClientError>>,
}

struct Shared {
    snapshot: Mutex<ReceiverSnapshot>,
    cancel: AtomicBool,
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
        let shared = Arc::new(Shared { snapshot: Mutex::new(idle), cancel: AtomicBool::new(false), waker });
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

    /// Waits for its end.
    pub fn wait(self) -> Result<ClientSummary, ClientError> {
        self.thread.join().unwrap_or(Err(ClientError::Thread))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An opened output and what it holds.
struct Opened {
    layout: Layout,
    store: Arc<dyn Store>,
    resume: Option<Resume>,
    worker: Worker,
}

/// The thread that does a receiver's jobs, in order.
struct Worker {
    jobs: Channel<Job>,
    done: Inbox<JobDone>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(store: Arc<dyn Store>, layout: &Layout, waker: Waker) -> Result<Self, ClientError> {
        let (jobs, inbox) = unbounded();
        let (results, done) = unbounded();
        let mut runner = JobRunner::new(*layout.geometry());
        let work = move || {
            for job in inbox {
                if results.send(runner.run(job, store.as_ref())).is_err() {
                    return;
                }
                waker.wake();
            }
        };
        let thread = std::thread::Builder::new()
            .name("mcast-verify".into())
            .spawn(work)
            .map_err(|source| ClientError::System { what: "a thread", source })?;
        Ok(Self { jobs, done, thread: Some(thread) })
    }

    /// Lets it finish what it was given, so that nothing verified is lost.
    fn finish(mut self) {
        drop(self.jobs);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct ClientThread {
    config: ClientConfig,
    control: ControlSocket,
    shared: Arc<Shared>,
    events: Channel<ClientEvent>,
    clock: Clock,
}

impl ClientThread {
    fn run(mut self, mut receiver: ReceiverConfig) -> Result<ClientSummary, ClientError> {
        let opened = self.reopen(&mut receiver)?;
        self.config.target.client = receiver.client;
        let machine = Receiver::new(receiver, self.clock.now());
        let mut run = Run { opened, group: None, machine, kept_blocks: 0, next_snapshot: Instant::ZERO, failure: None };
        let result = self.receive(&mut run);
        let receiver = run.machine.snapshot();
        *lock(&self.shared.snapshot) = receiver.clone();
        if let Some(opened) = run.opened {
            opened.worker.finish();
        }
        result?;
        let seconds = (self.clock.now() - Instant::ZERO).as_secs_f64();
        Ok(ClientSummary { receiver, seconds, kept_blocks: run.kept_blocks })
    }

    /// Takes up what an interrupted run left, before the server is asked: reading it again may take
    /// long, and another client that is still at work on it must be found out before the server
    /// takes both for the same.
    fn reopen(&self, receiver: &mut ReceiverConfig) -> Result<Option<Opened>, ClientError> {
        let Some(state) = earlier(&self.config.output, self.config.target.journal.as_deref())? else {
            return Ok(None);
        };
        let Some(manifest) = state.manifest.as_deref().and_then(|encoded| Manifest::decode(encoded).ok()) else {
            return Ok(None);
        };
        if self.config.fresh {
            self.discard(&manifest.layout)?;
            return Ok(None);
        }
        receiver.client = state.client;
        self.open(manifest.layout.clone(), Some(manifest)).map(Some)
    }

    fn discard(&self, layout: &Layout) -> Result<(), StoreError> {
        discard(&self.config.output, layout, self.config.target.journal.as_deref())
    }

    /// Opens the output; blocks that it is said to hold are read again if `manifest` is known.
    fn open(&self, layout: Layout, manifest: Option<Manifest>) -> Result<Opened, ClientError> {
        let target = open_target(&self.config.output, &layout, &self.config.target)?;
        let store: Arc<dyn Store> = Arc::from(target.store);
        if let Some(damage) = target.resume.damage {
            self.tell(ClientEvent::Discarded { reason: damage.to_string() });
        }
        let mut resume = None;
        if let Some(manifest) = manifest {
            let held = self.recheck(store.as_ref(), &layout, &manifest, &target.resume.claimed)?;
            resume = Some(Resume { manifest, held });
        }
        let worker = Worker::start(store.clone(), &layout, self.shared.waker.clone())?;
        Ok(Opened { layout, store, resume, worker })
    }

    fn recheck(
        &self,
        store: &dyn Store,
        layout: &Layout,
        manifest: &Manifest,
        claimed: &Bitmap,
    ) -> Result<Vec<BlockIndex>, ClientError> {
        self.tell(ClientEvent::Rechecking { claimed_blocks: claimed.count_ones() as u32 });
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let hash_of = |block| manifest.hash_of(block).map(|hash| hash.0);
        let right = recheck(store, layout, hash_of, claimed, threads, |_| {}, &self.shared.cancel)?;
        let held: Vec<_> = right.iter_ones().map(|block| BlockIndex(block as u32)).collect();
        let bytes = held.iter().filter_map(|&block| layout.block(block)).map(|span| u64::from(span.len)).sum();
        self.tell(ClientEvent::Resumed { kept_blocks: held.len() as u32, kept_bytes: bytes });
        Ok(held)
    }

    fn receive(&mut self, run: &mut Run) -> Result<(), ClientError> {
        let mut buffer = vec![0; RECEIVE_BUFFER];
        loop {
            let now = self.clock.now();
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
            let store = run.opened.as_ref().map(|opened| opened.store.clone());
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
            run.machine.handle_group(self.clock.now(), bytes, received.segment, opened.store.as_ref());
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
        let resume = run.opened.as_mut().and_then(|opened| opened.resume.take());
        if let Some(resume) = &resume {
            run.kept_blocks = resume.held.len() as u32;
        }
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

    /// Opens the output for the offered image; what is there of another one is discarded.
    fn prepare(&self, run: &mut Run, offer: &Offer, layout: Layout) -> Result<(), ClientError> {
        let fits = |opened: &Opened| {
            let root = opened.resume.as_ref().map(|resume| resume.manifest.root().0);
            opened.layout == layout && root == Some(offer.manifest_root)
        };
        if run.opened.as_ref().is_some_and(fits) {
            return Ok(());
        }
        if let Some(opened) = run.opened.take() {
            let old = opened.layout.clone();
            opened.worker.finish();
            drop(opened.store);
            self.discard(&old)?;
            let reason = "what an interrupted run left is of another image".to_owned();
            self.tell(ClientEvent::Discarded { reason });
        }
        if self.config.fresh {
            self.discard(&layout)?;
        }
        run.opened = Some(self.open(layout, None)?);
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
    kept_blocks: u32,
    next_snapshot: Instant,
    failure: Option<ClientError>,
}
