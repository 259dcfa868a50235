//! One simulated machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::jobs::ClientJob;
use super::link::{LinkModel, LossProcess, PortQueue};
use super::source::Source;
use super::store::SharedStore;
use crate::receiver::{JobDone, Receiver, ReceiverConfig, ReceiverError, ReceiverEvent, Resume};
use crate::types::{ClientId, Instant};

/// A receiver with its store and its link.
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) link: LinkModel,
    pub(super) loss: LossProcess,
    pub(super) port: PortQueue,
    /// The group that it is a member of, or its own address, if it is served by unicast.
    pub(super) group: Option<SocketAddr>,
    /// When something was last sent to it.
    pub(super) sent_at: Instant,
    /// Decides all that happens on its link.
    pub(super) rng: fastrand::Rng,
    pub(super) store: Arc<SharedStore>,
    /// `None` while it is switched off.
    pub(super) receiver: Option<Receiver>,
    /// Bytes of blocks that it keeps in memory.
    pub(super) staging: usize,
    /// Neither hears nor speaks nor ticks, as a stopped process.
    pub(super) frozen: bool,
    /// Nothing reaches it and nothing leaves it.
    pub(super) cut: bool,
    /// The protocol version that it is made to speak.
    pub(super) version: Option<u8>,
    pub(super) joined_at: Instant,
    pub(super) complete_at: Option<Instant>,
    pub(super) failure: Option<ReceiverError>,
    /// The manifest was here: the journal keeps it.
    pub(super) has_manifest: bool,
    /// The earliest timer that the room knows of.
    pub(super) timer: Option<Instant>,
}

impl Client {
    pub(super) fn new(number: u64, link: LinkModel, source: &Source, seed: u64, now: Instant) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self {
            id: ClientId(number + 1),
            link,
            loss: LossProcess::new(&link, &mut rng),
            port: PortQueue::default(),
            group: None,
            sent_at: now,
            rng,
            store: Arc::new(SharedStore::new(Arc::clone(&source.image), &source.layout)),
            receiver: None,
            staging: 0,
            frozen: false,
            cut: false,
            version: None,
            joined_at: now,
            complete_at: None,
            failure: None,
            has_manifest: false,
            timer: None,
        }
    }

    /// Starts the receiver, anew or again.
    pub(super) fn switch_on(&mut self, now: Instant) {
        let config = ReceiverConfig {
            client: self.id,
            image: String::new(),
            host: format!("machine-{}", self.id.0),
            staging: self.staging,
            wait_limit: None,
            deaf_limit: Duration::from_secs(60),
            seed: self.rng.u64(..),
        };
        self.receiver = Some(Receiver::new(config, now));
        self.group = None;
        self.failure = None;
        self.timer = None;
    }

    /// The next job of its receiver.
    pub(super) fn next_job(&mut self, client: usize) -> Option<ClientJob> {
        let job = self.receiver.as_mut()?.poll_job()?;
        Some(ClientJob { client, job, store: Arc::clone(&self.store) })
    }

    pub(super) fn job_done(&mut self, now: Instant, done: JobDone) {
        if let Some(receiver) = &mut self.receiver {
            receiver.handle_job(now, done);
        }
    }

    /// Takes the events of its receiver as a driver does; true if there were any.
    pub(super) fn take_events(&mut self, now: Instant, source: &Source) -> bool {
        let Some(receiver) = &mut self.receiver else { return false };
        let mut any = false;
        while let Some(event) = receiver.poll_event() {
            any = true;
            match event {
                ReceiverEvent::Offered { offer, continues, .. } => {
                    self.group = Some(offer.group);
                    let resume = (!continues && self.has_manifest)
                        .then(|| Resume { manifest: source.manifest.clone(), held: self.store.verified_blocks() });
                    receiver.accept(now, resume);
                }
                ReceiverEvent::ManifestVerified => self.has_manifest = true,
                ReceiverEvent::Complete => self.complete_at = self.complete_at.or(Some(now)),
                ReceiverEvent::Failed(error) => self.failure = Some(error),
                _ => {}
            }
        }
        any
    }

    /// Whether datagrams reach it now.
    pub(super) fn listens(&self) -> bool {
        self.receiver.is_some() && !self.frozen && !self.cut
    }

    /// On, running and connected.
    pub(super) fn takes_part(&self) -> bool {
        self.listens() && self.receiver.as_ref().is_some_and(|receiver| !receiver.is_finished())
    }
}
