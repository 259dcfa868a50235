//! One simulated machine.

use std::sync::Arc;
use std::time::Duration;

use super::link::{LinkModel, LossProcess};
use super::source::Source;
use super::store::SharedStore;
use crate::receiver::{Job, JobRunner, Receiver, ReceiverConfig, ReceiverError, ReceiverEvent, Resume};
use crate::types::{ClientId, Instant};

/// A receiver with its store, its link and its jobs done at once.
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) link: LinkModel,
    pub(super) loss: LossProcess,
    pub(super) store: Arc<SharedStore>,
    /// `None` while it is switched off.
    pub(super) receiver: Option<Receiver>,
    pub(super) runner: JobRunner,
    /// Neither hears nor speaks nor ticks, as a stopped process.
    pub(super) frozen: bool,
    /// Nothing reaches it and nothing leaves it.
    pub(super) cut: bool,
    pub(super) joined_at: Instant,
    pub(super) complete_at: Option<Instant>,
    pub(super) failure: Option<ReceiverError>,
    /// The manifest was here: the journal keeps it.
    pub(super) has_manifest: bool,
    /// The earliest timer that the room knows of.
    pub(super) timer: Option<Instant>,
}

impl Client {
    pub(super) fn new(id: u64, link: LinkModel, source: &Source, seed: u64, now: Instant) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let store = Arc::new(SharedStore::new(Arc::clone(&source.image), &source.layout));
        let mut client = Self {
            id: ClientId(id + 1),
            link,
            loss: LossProcess::new(&link, &mut rng),
            store,
            receiver: None,
            runner: JobRunner::new(*source.layout.geometry()),
            frozen: false,
            cut: false,
            joined_at: now,
            complete_at: None,
            failure: None,
            has_manifest: false,
            timer: None,
        };
        client.switch_on(now, rng.u64(..));
        client
    }

    /// Starts the receiver, anew or again.
    pub(super) fn switch_on(&mut self, now: Instant, seed: u64) {
        let config = ReceiverConfig {
            client: self.id,
            image: String::new(),
            host: format!("machine-{}", self.id.0),
            parity_pool: 64 << 20,
            wait_limit: None,
            deaf_limit: Duration::from_secs(60),
            seed,
        };
        self.receiver = Some(Receiver::new(config, now));
        self.timer = None;
    }

    /// Does the jobs and takes the events of its receiver; everything that a driver does but I/O.
    pub(super) fn settle(&mut self, now: Instant, source: &Source) {
        let Some(receiver) = &mut self.receiver else { return };
        loop {
            if let Some(job) = receiver.poll_job() {
                debug_assert!(!matches!(job, Job::Finish) || self.has_manifest);
                let done = self.runner.run(job, self.store.as_ref());
                receiver.handle_job(now, done);
                continue;
            }
            let Some(event) = receiver.poll_event() else { break };
            match event {
                ReceiverEvent::Offered { continues, .. } => {
                    let resume = (!continues && self.has_manifest)
                        .then(|| Resume { manifest: source.manifest.clone(), held: self.store.verified_blocks() });
                    receiver.accept(now, resume);
                }
                ReceiverEvent::ManifestVerified { .. } => self.has_manifest = true,
                ReceiverEvent::Complete => self.complete_at = Some(now),
                ReceiverEvent::Failed(error) => self.failure = Some(error),
                _ => {}
            }
        }
    }

    /// Whether datagrams reach it now.
    pub(super) fn listens(&self) -> bool {
        self.receiver.is_some() && !self.frozen && !self.cut
    }
}
