//! An image by unicast: what multicast did not bring is read from a [`ContentSource`].
//!
//! Output, journal, resume and verification are those of a [`Client`](super::Client), so that each
//! can go on with what the other has left. Bytes come in runs of missing blocks; each block is hashed
//! before it counts, a wrong one is fetched again, and a source that fails is asked again later.

mod driver;
mod plan;
mod puller;
mod source;
mod trouble;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver as Inbox, Sender as Channel, bounded, unbounded};

pub use self::source::{ContentSource, SourceError, Standing};

use self::driver::FetchThread;
use self::puller::Puller;
use super::client::{ClientEvent, ClientSummary, lock};
use super::clock::Clock;
use super::error::ClientError;
use super::output::Output;
use crate::receiver::{ReceiverCounters, ReceiverSnapshot, ReceiverState};
use crate::store::TargetOptions;

/// What is to be fetched, and where to.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// The image's name, for people to read; the source knows which image it gives.
    pub image: String,
    /// A file, a folder, a block device, or `-` for the standard output; of no meaning if there is an
    /// open [`Output`].
    pub output: PathBuf,
    /// Discards what an interrupted run left.
    pub fresh: bool,
    /// Where a device's journal goes, and where a stream's blocks wait.
    pub target: TargetOptions,
    /// Gives up when the source has failed for so long on end.
    pub wait_limit: Option<Duration>,
    /// For jitter.
    pub seed: u64,
}

/// A running fetch; dropping it does not end it.
pub struct Fetch {
    events: Inbox<ClientEvent>,
    shared: Arc<Shared>,
    thread: JoinHandle<Result<ClientSummary, ClientError>>,
}

struct Shared {
    snapshot: Mutex<ReceiverSnapshot>,
    cancel: AtomicBool,
    wake: Channel<()>,
}

impl Fetch {
    /// Starts to fetch from `source`, into the output that a client has left, if there is one.
    pub fn start(
        config: FetchConfig,
        source: Box<dyn ContentSource>,
        begun: Option<Output>,
    ) -> Result<Self, ClientError> {
        let (wake, woken) = bounded(1);
        let idle = idle_snapshot(&config.image);
        let shared = Arc::new(Shared { snapshot: Mutex::new(idle), cancel: AtomicBool::new(false), wake });
        let (events_in, events) = unbounded();
        let puller = Puller::start(source)?;
        let thread =
            FetchThread { config, puller, shared: shared.clone(), woken, events: events_in, clock: Clock::start() };
        let thread = std::thread::Builder::new()
            .name("mcast-fetch".into())
            .spawn(move || thread.run(begun))
            .map_err(|source| ClientError::System { what: "a thread", source })?;
        Ok(Self { events, shared, thread })
    }

    /// Its events; the channel ends with the fetch.
    pub fn events(&self) -> &Inbox<ClientEvent> {
        &self.events
    }

    /// A picture of it, at most a tenth of a second old. Its state is *joining* until the manifest is
    /// here; nothing in it speaks of symbols.
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
            // Once is enough.
            let _ = shared.wake.try_send(());
        }
    }

    /// Waits for its end. A read of the source that is under way is not waited for.
    pub fn wait(self) -> Result<ClientSummary, ClientError> {
        self.thread.join().unwrap_or(Err(ClientError::Thread))
    }
}

fn idle_snapshot(image: &str) -> ReceiverSnapshot {
    ReceiverSnapshot {
        state: ReceiverState::Joining,
        image: Some(image.to_owned()),
        image_size: 0,
        blocks: 0,
        verified: 0,
        verified_bytes: 0,
        rate_kbit: 0,
        counters: ReceiverCounters::default(),
    }
}
