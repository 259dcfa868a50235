//! The thread of a fetch: asks for the manifest, then for runs of blocks, until everything is stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver as Inbox, Sender as Channel, never, select};

use super::plan::{Plan, Run};
use super::puller::{Pull, Pulled, Puller};
use super::source::{SourceError, Standing};
use super::trouble::Trouble;
use super::{FetchConfig, Shared, idle_snapshot};
use crate::engine::client::{ClientEvent, ClientSummary, lock};
use crate::engine::clock::Clock;
use crate::engine::error::{ClientError, FetchError};
use crate::engine::output::{Opener, Output};
use crate::engine::worker::Worker;
use crate::manifest::{Hash, Manifest};
use crate::receiver::{Job, JobDone, ReceiverError, ReceiverSnapshot, ReceiverState, Strays};
use crate::types::{BlockIndex, Instant};

/// Between two pictures for [`Fetch::snapshot`](super::Fetch::snapshot).
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(100);
/// A store that can take nothing is looked at again so soon: it does not say when it can.
const WINDOW_INTERVAL: Duration = Duration::from_millis(5);
/// Bytes of blocks that are being hashed and stored, and blocks at least.
const UNDER_WAY: usize = 16 << 20;
const UNDER_WAY_LEAST: usize = 2;
/// A block, or the manifest, that was wrong so often is wrong at its source.
const TRIES: u32 = 3;
/// The server is told of the end for so long at most: everything is stored.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) struct FetchThread {
    pub(super) config: FetchConfig,
    pub(super) puller: Puller,
    pub(super) shared: Arc<Shared>,
    pub(super) woken: Inbox<()>,
    pub(super) events: Channel<ClientEvent>,
    pub(super) clock: Clock,
}

/// What the thread waits for.
enum Step {
    Pulled(Pulled),
    Done(JobDone),
    Due,
}

/// State of the fetch once the image is known.
struct Course {
    output: Output,
    manifest: Manifest,
    plan: Plan,
    worker: Worker,
    /// Blocks of the run that is being read which have not come yet.
    reading: Option<Run>,
    /// Blocks that are with the worker.
    under_way: usize,
    damaged_blocks: u64,
    state: ReceiverState,
}

impl FetchThread {
    pub(super) fn run(mut self, begun: Option<Output>) -> Result<ClientSummary, ClientError> {
        let mut trouble = Trouble::new(self.config.wait_limit, self.config.seed);
        let output = match begun {
            Some(output) => Some(output),
            None => self.opener().reopen()?,
        };
        if let Some(output) = &output {
            self.config.target.client = output.client;
        }
        let (manifest, encoded) = self.manifest(output.as_ref(), &mut trouble)?;
        let mut course = self.begin(output, manifest, encoded)?;
        let fetched = self.fetch(&mut course, &mut trouble);
        let receiver = self.picture(&course);
        let standing = self.standing(&course);
        let kept_blocks = course.output.kept_blocks;
        course.worker.finish();
        fetched?;
        // The output is free before the end is told.
        drop(course.output);
        self.tell(ClientEvent::Complete);
        self.say_farewell(standing);
        let receiver = ReceiverSnapshot { state: ReceiverState::Done, ..receiver };
        *lock(&self.shared.snapshot) = receiver.clone();
        let seconds = (self.clock.now() - Instant::ZERO).as_secs_f64();
        Ok(ClientSummary { receiver, seconds, kept_blocks })
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

    /// The manifest, which must be the promised one if there was a promise.
    fn manifest(&self, output: Option<&Output>, trouble: &mut Trouble) -> Result<(Manifest, Vec<u8>), ClientError> {
        let promised = output.and_then(|output| output.promised);
        let standing = Standing {
            client: self.config.target.client,
            verified: output.map_or(0, Output::verified_blocks),
            blocks: output.map_or(0, |output| output.layout.blocks()),
        };
        let mut wrong = 0;
        loop {
            let _ = self.puller.pulls.send(Pull::Manifest(standing));
            let answer = loop {
                trouble.check(self.clock.now())?;
                match self.next(trouble.end(), true, None)? {
                    Step::Pulled(Pulled::Manifest(answer)) => break answer,
                    _ => continue,
                }
            };
            let error = match answer {
                Ok(encoded) => match Manifest::decode(&encoded) {
                    Ok(_) if promised.is_some_and(|root| root != Hash::of(&encoded).0) => {
                        return Err(ReceiverError::ImageChanged.into());
                    }
                    Ok(manifest) => {
                        trouble.over();
                        return Ok((manifest, encoded));
                    }
                    Err(error) => {
                        wrong += 1;
                        if wrong == TRIES {
                            return Err(FetchError::Manifest(error).into());
                        }
                        SourceError::Lost { text: error.to_string() }
                    }
                },
                Err(error) => error,
            };
            self.note(trouble, &error)?;
            while self.clock.now() < trouble.until() {
                trouble.check(self.clock.now())?;
                let end = trouble.end().unwrap_or(trouble.until());
                self.next(Some(end.min(trouble.until())), false, None)?;
            }
        }
    }

    /// Opens the output for what the manifest says.
    fn begin(&self, output: Option<Output>, manifest: Manifest, encoded: Vec<u8>) -> Result<Course, ClientError> {
        let layout = manifest.layout.clone();
        let mut output = self.opener().prepare(output, layout.clone(), Hash::of(&encoded).0)?;
        let held = output.resume.take().map(|resume| resume.held).unwrap_or_default();
        let plan = Plan::new(layout.clone(), &held);
        self.tell(ClientEvent::Fetching {
            image: self.config.image.clone(),
            bytes_total: layout.image_size(),
            blocks_total: layout.blocks(),
            blocks_held: plan.verified_blocks(),
        });
        let worker = Worker::start(output.store.clone(), &layout, || {})?;
        let _ = worker.jobs.send(Job::KeepManifest { encoded });
        let _ = self.puller.pulls.send(Pull::Cut(layout));
        let (reading, under_way, state) = (None, 0, ReceiverState::Receiving);
        Ok(Course { output, manifest, plan, worker, reading, under_way, damaged_blocks: 0, state })
    }

    /// Fetches what is missing, until everything is stored for good.
    fn fetch(&self, course: &mut Course, trouble: &mut Trouble) -> Result<(), ClientError> {
        let block_size = course.plan.layout().geometry().block_size() as usize;
        let under_way_limit = (UNDER_WAY / block_size).max(UNDER_WAY_LEAST);
        let mut snapshot_due = Instant::ZERO;
        loop {
            let now = self.clock.now();
            trouble.check(now)?;
            if course.plan.is_complete() && course.state == ReceiverState::Receiving {
                course.state = ReceiverState::Storing;
                let _ = course.worker.jobs.send(Job::Finish);
            }
            if now >= snapshot_due {
                *lock(&self.shared.snapshot) = self.picture(course);
                snapshot_due = now + SNAPSHOT_INTERVAL;
            }
            let due = snapshot_due.min(self.ask(course, trouble, now));
            let step = self.next(Some(due), course.under_way < under_way_limit, Some(&course.worker))?;
            match step {
                Step::Pulled(pulled) => self.take(course, trouble, pulled)?,
                Step::Done(JobDone::Checked { block, hash, staged }) => {
                    course.under_way -= 1;
                    staged.into_iter().for_each(|buffer| drop(self.puller.spare.send(buffer)));
                    self.compare(course, trouble, block, hash)?;
                }
                Step::Done(JobDone::Finished) => return Ok(()),
                Step::Done(JobDone::Failed(error)) => return Err(error.into()),
                Step::Done(JobDone::Kept) | Step::Due => {}
            }
        }
    }

    /// Asks for the next run if that is possible; when to look again.
    fn ask(&self, course: &mut Course, trouble: &Trouble, now: Instant) -> Instant {
        let far = now + SNAPSHOT_INTERVAL;
        if course.reading.is_some() || course.state != ReceiverState::Receiving {
            return far;
        }
        if now < trouble.until() {
            return trouble.until();
        }
        match course.plan.next_run(course.output.store.window()) {
            Some(run) => {
                let _ = self.puller.pulls.send(Pull::Run(run.clone(), self.standing(course)));
                course.reading = Some(run);
                far
            }
            None => now + WINDOW_INTERVAL,
        }
    }

    /// Takes what came from the source.
    fn take(&self, course: &mut Course, trouble: &mut Trouble, pulled: Pulled) -> Result<(), ClientError> {
        match pulled {
            Pulled::Block(span, bytes) => {
                course.reading.iter_mut().for_each(|run| run.blocks.start = span.block.0 + 1);
                course.under_way += 1;
                let job = Job::Check { span, strays: Strays::default(), staged: Some(bytes) };
                let _ = course.worker.jobs.send(job);
            }
            Pulled::RunEnded(result) => {
                if let Some(run) = course.reading.take() {
                    course.plan.give_back(run.blocks);
                }
                if let Err(error) = result {
                    self.note(trouble, &error)?;
                }
            }
            Pulled::Manifest(_) | Pulled::Completed(_) => {}
        }
        Ok(())
    }

    /// A block is stored; whether it is right tells the manifest.
    fn compare(
        &self,
        course: &mut Course,
        trouble: &mut Trouble,
        block: BlockIndex,
        hash: Option<[u8; 32]>,
    ) -> Result<(), ClientError> {
        let expected = course.manifest.hash_of(block).map(|hash| hash.0);
        if let Some(span) = course.plan.layout().block(block).filter(|_| hash.is_some() && hash == expected) {
            course.plan.verified(block);
            trouble.over();
            let _ = course.worker.jobs.send(Job::Keep { span });
            return Ok(());
        }
        course.damaged_blocks += 1;
        self.tell(ClientEvent::BlockDamaged { block });
        match course.plan.damaged(block) {
            TRIES => Err(FetchError::BlockDamaged { block, tries: TRIES }.into()),
            _ => Ok(()),
        }
    }

    /// The next thing that happens, [`Step::Due`] when `due` has come. Unless it is to `take` what came
    /// from the source, that waits.
    fn next(&self, due: Option<Instant>, take: bool, worker: Option<&Worker>) -> Result<Step, ClientError> {
        if self.shared.cancel.load(Ordering::Relaxed) {
            return Err(ReceiverError::Left("interrupted by its user".to_owned()).into());
        }
        let (no_pulled, no_done) = (never(), never());
        let pulled = if take { &self.puller.pulled } else { &no_pulled };
        let done = worker.map_or(&no_done, |worker| &worker.done);
        // It looks for a cancellation now and then, even if nothing is due.
        let wait = due.map_or(SNAPSHOT_INTERVAL, |due| self.clock.until(due));
        select! {
            recv(pulled) -> pulled => pulled.map(Step::Pulled).map_err(|_| ClientError::Thread),
            recv(done) -> done => done.map(Step::Done).map_err(|_| ClientError::Thread),
            recv(self.woken) -> _ => Ok(Step::Due),
            default(wait) => Ok(Step::Due),
        }
    }

    /// The source failed: tells it if it is news.
    fn note(&self, trouble: &mut Trouble, error: &SourceError) -> Result<(), ClientError> {
        if let Some(pause) = trouble.note(self.clock.now(), error)? {
            let retry_in_ms = pause.as_millis() as u64;
            self.tell(ClientEvent::SourceFailed { text: error.to_string(), retry_in_ms });
        }
        Ok(())
    }

    /// Tells the server that everything is stored; if it does not hear, that changes nothing.
    fn say_farewell(&self, standing: Standing) {
        let end = self.clock.now() + FAREWELL;
        for _ in 0..TRIES {
            let _ = self.puller.pulls.send(Pull::Complete(standing));
            loop {
                match self.next(Some(end), true, None) {
                    Ok(Step::Pulled(Pulled::Completed(Err(SourceError::Lost { .. })))) => break,
                    Ok(Step::Pulled(Pulled::Completed(_))) | Err(_) => return,
                    Ok(_) if self.clock.now() >= end => return,
                    Ok(_) => {}
                }
            }
        }
    }

    fn standing(&self, course: &Course) -> Standing {
        let blocks = course.plan.layout().blocks();
        Standing { client: self.config.target.client, verified: course.plan.verified_blocks(), blocks }
    }

    fn picture(&self, course: &Course) -> ReceiverSnapshot {
        let mut picture = idle_snapshot(&self.config.image);
        picture.state = course.state;
        picture.image_size = course.plan.layout().image_size();
        picture.blocks = course.plan.layout().blocks();
        picture.verified = course.plan.verified_blocks();
        picture.verified_bytes = course.plan.verified_bytes();
        picture.counters.damaged_blocks = course.damaged_blocks;
        picture
    }

    fn tell(&self, event: ClientEvent) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }
}
