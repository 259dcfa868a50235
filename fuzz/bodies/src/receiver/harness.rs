//! A driver that does to its receiver what a script says, and watches it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use multicast_core::codec::CodecId;
use multicast_core::layout::{BlockSource, BlockSpan, Layout};
use multicast_core::manifest::{Hash, Manifest};
use multicast_core::receiver::{Job, JobDone, JobRunner, Receiver, ReceiverConfig, ReceiverEvent, Resume};
use multicast_core::sender::SymbolRun;
use multicast_core::store::{MemoryStore, Store, StoreError};
use multicast_core::types::{BlockIndex, ClientId, Instant, Sequence, SessionId, Slot, SymbolIndex};
use multicast_core::wire::{
    Heartbeat, LeaveReason, MAX_CONTROL_LEN, Offer, Packet, Poll, Refusal, RefuseReason, Release, ReleaseReason,
    SessionState,
};

use super::op::ReceiverOp;
use crate::delivery::{Delivery, GROUP, SESSION};
use crate::wire::encode;

const CLIENT: ClientId = ClientId(1);
/// A driver has no room for larger images.
const ROOM: u64 = 1 << 16;
const BLOCKS: u32 = 1 << 12;

static DELIVERIES: LazyLock<[Delivery; 2]> =
    LazyLock::new(|| [CodecId::ReedSolomon8, CodecId::ReedSolomon16].map(Delivery::new));

pub(super) struct Harness {
    delivery: &'static Delivery,
    receiver: Receiver,
    now: Instant,
    sequence: Sequence,
    /// Jobs are done and told as soon as there are any.
    inline: bool,
    /// An interrupted run left the first blocks of the image.
    resumes: bool,
    /// The store takes only two blocks at first, as a stream does.
    narrow: bool,
    image: Option<Image>,
    results: VecDeque<JobDone>,
    ended: bool,
    complete: bool,
}

/// What a driver keeps of the offer that it accepted.
struct Image {
    layout: Layout,
    root: [u8; 32],
    manifest: Option<Manifest>,
    store: FuzzStore,
    runner: JobRunner,
}

impl Harness {
    pub(super) fn new(setup: u8) -> Self {
        let config = ReceiverConfig {
            client: CLIENT,
            image: String::new(),
            host: "host".into(),
            // None, or for a block or two.
            staging: if setup & 0x80 == 0 { 0 } else { 100 },
            wait_limit: (setup & 4 != 0).then_some(Duration::from_secs(30)),
            deaf_limit: Duration::from_secs(20),
            seed: 1,
        };
        let now = Instant::from_nanos(1_000_000_000);
        Self {
            // Seldom GF(2^16): it takes a millisecond a block, however small.
            delivery: &DELIVERIES[usize::from(setup & 0x81 == 0x81)],
            receiver: Receiver::new(config, now),
            now,
            sequence: Sequence(if setup & 8 == 0 { 0 } else { u32::MAX - 20 }),
            inline: setup & 16 == 0,
            resumes: setup & 32 != 0,
            narrow: setup & 64 != 0,
            image: None,
            results: VecDeque::new(),
            ended: false,
            complete: false,
        }
    }

    pub(super) fn apply(&mut self, op: ReceiverOp<'_>) {
        match op {
            ReceiverOp::Group { segment, buffer } => {
                self.hear(buffer, if segment == 0 { buffer.len() } else { segment.into() });
            }
            ReceiverOp::Server(datagram) => self.receiver.handle_datagram(self.now, datagram),
            ReceiverOp::Wait(time) => {
                self.now = self.now + time;
                self.receiver.handle_timeout(self.now);
            }
            ReceiverOp::Deadline => {
                // Without a limit it may wait for ever.
                let due = self.receiver.poll_timeout().filter(|due| *due - self.now < Duration::from_secs(86_400));
                self.now = self.now.max(due.unwrap_or(self.now));
                self.receiver.handle_timeout(self.now);
            }
            ReceiverOp::Symbols { block, first, count, damage } => {
                let (block, first) = (BlockIndex(block.into()), SymbolIndex(first.into()));
                let run = SymbolRun { block, first, count: count.into() };
                let (mut buffer, segment) = self.delivery.datagrams(SESSION, run, self.sequence);
                if let Some(byte) = buffer.get_mut(usize::from(damage.0)) {
                    *byte ^= damage.1;
                }
                self.sequence = self.sequence.plus(count.into());
                self.hear(&buffer, segment);
            }
            ReceiverOp::Heartbeat { state, clients, first, count } => self.heartbeat(state, clients, first, count),
            ReceiverOp::Offer { twist } => self.offer(twist),
            ReceiverOp::Release(reason) => self.release(reason),
            ReceiverOp::Refusal(reason) => self.refuse(reason),
            ReceiverOp::RunJob => self.run_job(),
            ReceiverOp::TellJob => self.tell_job(),
            ReceiverOp::Settle => self.settle(),
            ReceiverOp::Store { works } => {
                if let Some(image) = &self.image {
                    image.store.works.store(works, Ordering::Relaxed);
                }
            }
            ReceiverOp::Window(end) => {
                if let Some(image) = &self.image {
                    image.store.window_end.fetch_max(end.into(), Ordering::Relaxed);
                }
            }
            ReceiverOp::Leave => self.receiver.leave(self.now, LeaveReason::Interrupted, "interrupted"),
        }
        self.drive();
    }

    /// The driver ends; whether the image was complete.
    pub(super) fn finish(mut self) -> bool {
        self.settle();
        self.drive();
        self.complete
    }

    fn hear(&mut self, buffer: &[u8], segment: usize) {
        if let Some(image) = &self.image {
            self.receiver.handle_group(self.now, buffer, segment, &image.store);
        }
    }

    fn tell(&mut self, packet: &Packet<'_>) {
        self.receiver.handle_datagram(self.now, &encode(packet));
    }

    fn heartbeat(&mut self, state: u8, clients: u8, first: u8, count: u8) {
        let states = [
            SessionState::Waiting,
            SessionState::Running,
            SessionState::Paused,
            SessionState::Idle,
            SessionState::Ended,
        ];
        let heartbeat = Heartbeat {
            session: SESSION,
            sequence: self.sequence,
            poll: Poll { number: 1, first: Slot(first.into()), count: count.into(), spread_ms: clients.into() },
            state: states[usize::from(state) % states.len()],
            clients: u32::from(clients) * 1000,
            complete: 0,
            awaited: 0,
            starts_in_ms: None,
            rate_kbit: 1000,
        };
        let datagram = encode(&Packet::Heartbeat(heartbeat));
        self.hear(&datagram, datagram.len());
    }

    fn offer(&mut self, twist: u8) {
        let layout = &self.delivery.layout;
        let mut offer = Offer {
            session: SESSION,
            client: CLIENT,
            slot: Slot(u32::from(twist >> 6)),
            group: GROUP,
            source: None,
            source_specific: false,
            geometry: *layout.geometry(),
            silence_ms: 10_000,
            manifest_root: self.delivery.manifest.root().0,
            image: "image".into(),
            files: layout.files().to_vec(),
        };
        match twist & 7 {
            1 => offer.session = SessionId(8),
            2 => offer.geometry.block_symbols = 5,
            3 => offer.geometry.parity_symbols = 3,
            4 => offer.files[0].size = 64,
            5 => drop(offer.files.pop()),
            6 => offer.manifest_root[0] ^= 1,
            7 => offer.files[1].size = 1 << 40,
            _ => {}
        }
        self.tell(&Packet::Offer(Box::new(offer)));
    }

    fn release(&mut self, reason: u8) {
        let reasons = [
            ReleaseReason::Complete,
            ReleaseReason::Removed,
            ReleaseReason::Cancelled,
            ReleaseReason::Silent,
            ReleaseReason::Moved,
            ReleaseReason::Evicted,
        ];
        let reason = reasons[usize::from(reason) % reasons.len()];
        self.tell(&Packet::Release(Release { session: SESSION, client: CLIENT, reason, text: "released" }));
    }

    fn refuse(&mut self, reason: u8) {
        let reasons = [
            RefuseReason::Version,
            RefuseReason::NoSuchImage,
            RefuseReason::Ambiguous,
            RefuseReason::Full,
            RefuseReason::Preparing,
            RefuseReason::Removed,
            RefuseReason::UnknownSession,
            RefuseReason::Unicast,
        ];
        let refusal = Refusal::new(CLIENT, reasons[usize::from(reason) % reasons.len()], u32::from(reason) * 100, "no");
        self.tell(&Packet::Refusal(refusal));
    }

    /// What a driver does after every step.
    fn drive(&mut self) {
        loop {
            if self.inline {
                self.settle();
            }
            let Some(event) = self.receiver.poll_event() else { break };
            self.handle_event(event);
        }
        while let Some(datagram) = self.receiver.poll_transmit() {
            assert!(datagram.len() <= MAX_CONTROL_LEN);
            match Packet::decode(&datagram).expect("what it says can be read") {
                Packet::Join(_) | Packet::Leave(_) => {}
                Packet::Report(report) => {
                    let blocks = self.image.as_ref().map_or(0, |image| image.layout.blocks());
                    assert!(report.to.0 <= blocks && report.verified <= blocks, "{report:?}");
                    assert!(!report.complete || self.complete);
                }
                other => panic!("a client does not say {other:?}"),
            }
        }
        self.time_moves_on();
        let snapshot = self.receiver.snapshot();
        assert!(snapshot.verified <= snapshot.blocks && snapshot.verified_bytes <= snapshot.image_size);
    }

    /// Once a deadline was handled the next one lies ahead: no driver spins.
    fn time_moves_on(&mut self) {
        match self.receiver.poll_timeout() {
            None => assert!(self.ended),
            Some(due) if due <= self.now => {
                self.receiver.handle_timeout(self.now);
                let snapshot = self.receiver.snapshot();
                let next = self.receiver.poll_timeout();
                assert!(next.is_none_or(|next| next > self.now), "{next:?} at {:?}: {snapshot:?}", self.now);
                self.drive();
            }
            Some(_) => {}
        }
    }

    fn handle_event(&mut self, event: ReceiverEvent) {
        match event {
            ReceiverEvent::Offered { offer, layout, continues } => self.accept(&offer, *layout, continues),
            ReceiverEvent::Complete => {
                assert!(!self.ended, "it has ended before");
                self.ended = true;
                self.complete = true;
                self.image.as_ref().expect("accepted before").check();
            }
            ReceiverEvent::Failed(error) => {
                assert!(!self.ended, "it has ended before: {error}");
                assert!(!error.to_string().is_empty());
                self.ended = true;
            }
            _ => {}
        }
    }

    fn accept(&mut self, offer: &Offer, layout: Layout, continues: bool) {
        assert_eq!(continues, self.image.is_some());
        if continues {
            return self.receiver.accept(self.now, None);
        }
        if layout.image_size() > ROOM || layout.blocks() > BLOCKS {
            return self.receiver.leave(self.now, LeaveReason::Disk, "no room");
        }
        let mut image = Image {
            store: FuzzStore::new(&layout, self.narrow),
            runner: JobRunner::new(*layout.geometry()),
            root: offer.manifest_root,
            manifest: None,
            layout,
        };
        let resume = (self.resumes && offer.manifest_root == self.delivery.manifest.root().0).then(|| {
            image.manifest = Some(self.delivery.manifest.clone());
            Resume { manifest: self.delivery.manifest.clone(), held: self.claims(&image.store) }
        });
        self.image = Some(image);
        self.receiver.accept(self.now, resume);
    }

    /// Writes the first file's blocks, as far as the store has a place for them, and claims them.
    fn claims(&self, store: &FuzzStore) -> Vec<BlockIndex> {
        let layout = &self.delivery.layout;
        let held = layout.blocks_of(0, 0, u64::MAX).map(BlockIndex);
        for span in held.clone().filter_map(|block| layout.block(block)) {
            let bytes = &self.delivery.files[0][span.offset as usize..][..span.len as usize];
            // The offer may tell of less than was stored.
            let _ = store.write(0, span.offset, &[IoSlice::new(bytes)]);
        }
        held.collect()
    }

    fn run_job(&mut self) {
        if let Some(image) = &mut self.image
            && let Some(job) = self.receiver.poll_job()
        {
            if let Job::KeepManifest { encoded } = &job {
                assert_eq!(Hash::of(encoded).0, image.root);
                image.manifest = Some(Manifest::decode(encoded).expect("verified"));
            }
            self.results.push_back(image.runner.run(job, &image.store));
        }
    }

    fn tell_job(&mut self) {
        if let Some(done) = self.results.pop_front() {
            self.receiver.handle_job(self.now, done);
        }
    }

    fn settle(&mut self) {
        loop {
            self.run_job();
            if self.results.is_empty() {
                break;
            }
            self.tell_job();
        }
    }
}

impl Image {
    /// It is complete: every block is what the manifest says, which is the one that was offered.
    fn check(&self) {
        assert!(self.store.inner.is_committed());
        let manifest = self.manifest.as_ref().expect("nothing is complete without a manifest");
        assert_eq!(manifest.root().0, self.root);
        assert_eq!(manifest.layout, self.layout);
        for span in (0..self.layout.blocks()).filter_map(|block| self.layout.block(BlockIndex(block))) {
            if let BlockSource::File(file) = span.source {
                let bytes = &self.store.inner.file(file)[span.offset as usize..][..span.len as usize];
                assert_eq!(Some(Hash::of(bytes)), manifest.hash_of(span.block), "block {}", span.block);
            }
        }
    }
}

/// A store that can fail, and whose window can be narrow.
struct FuzzStore {
    inner: MemoryStore,
    works: AtomicBool,
    blocks: u32,
    window_end: AtomicU32,
}

impl FuzzStore {
    fn new(layout: &Layout, narrow: bool) -> Self {
        let window_end = if narrow { layout.manifest_blocks() + 2 } else { layout.blocks() };
        Self {
            inner: MemoryStore::new(layout),
            works: AtomicBool::new(true),
            blocks: layout.blocks(),
            window_end: AtomicU32::new(window_end),
        }
    }

    fn works(&self) -> Result<(), StoreError> {
        if self.works.load(Ordering::Relaxed) { Ok(()) } else { Err(StoreError::Cancelled) }
    }
}

impl Store for FuzzStore {
    fn write(&self, file: usize, offset: u64, slices: &[IoSlice<'_>]) -> Result<(), StoreError> {
        self.works()?;
        self.inner.write(file, offset, slices)
    }

    fn read(&self, file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.works()?;
        self.inner.read(file, offset, buf)
    }

    fn window(&self) -> Range<BlockIndex> {
        let window = self.inner.window();
        window.start..BlockIndex(self.window_end.load(Ordering::Relaxed).clamp(window.start.0, self.blocks))
    }

    fn verified(&self, span: &BlockSpan) -> Result<(), StoreError> {
        self.works()?;
        self.inner.verified(span)
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.works()?;
        self.inner.commit()
    }
}
