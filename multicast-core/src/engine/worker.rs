//! The thread that does jobs for a receiver or a fetch, in order.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver as Inbox, Sender as Channel, unbounded};

use super::error::ClientError;
use crate::layout::Layout;
use crate::receiver::{Job, JobDone, JobRunner};
use crate::store::Store;

pub(super) struct Worker {
    pub(super) jobs: Channel<Job>,
    pub(super) done: Inbox<JobDone>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Calls `wake` when something was done.
    pub(super) fn start(
        store: Arc<dyn Store>,
        layout: &Layout,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, ClientError> {
        let (jobs, inbox) = unbounded();
        let (results, done) = unbounded();
        let mut runner = JobRunner::new(*layout.geometry());
        let work = move || {
            for job in inbox {
                if results.send(runner.run(job, store.as_ref())).is_err() {
                    return;
                }
                wake();
            }
        };
        let thread = std::thread::Builder::new()
            .name("mcast-verify".into())
            .spawn(work)
            .map_err(|source| ClientError::System { what: "a thread", source })?;
        Ok(Self { jobs, done, thread: Some(thread) })
    }

    /// Lets it finish what it was given, so that nothing verified is lost.
    pub(super) fn finish(mut self) {
        drop(self.jobs);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
