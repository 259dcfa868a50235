//! Hashing and rebuilding for the whole room on all cores; what comes of it does not depend on them.

use std::sync::Arc;
use std::thread;

use super::store::SharedStore;
use crate::layout::Geometry;
use crate::receiver::{Job, JobDone, JobRunner};

/// Fewer jobs than this are not worth a thread.
const WORTH_A_THREAD: usize = 8;
const THREADS_MAX: usize = 4;

/// A job of the client of this number.
pub(super) struct ClientJob {
    pub(super) client: usize,
    pub(super) job: Job,
    pub(super) store: Arc<SharedStore>,
}

/// Runners that all clients share, so that a thousand of them do not keep a thousand coders.
pub(super) struct JobPool {
    runners: Vec<JobRunner>,
}

impl JobPool {
    pub(super) fn new(geometry: Geometry) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        Self { runners: std::iter::repeat_with(|| JobRunner::new(geometry)).take(threads).collect() }
    }

    /// Does `jobs` and tells what came of each, in their order.
    pub(super) fn run(&mut self, jobs: Vec<ClientJob>) -> Vec<(usize, JobDone)> {
        if jobs.is_empty() {
            return Vec::new();
        }
        let runners = if jobs.len() < WORTH_A_THREAD { &mut self.runners[..1] } else { &mut self.runners };
        let share = jobs.len().div_ceil(runners.len());
        let mut shares = Vec::new();
        let mut jobs = jobs.into_iter();
        for _ in 0..runners.len() {
            shares.push(jobs.by_ref().take(share).collect::<Vec<_>>());
        }
        thread::scope(|scope| {
            let mut work = runners.iter_mut().zip(shares);
            let own = work.next();
            let others: Vec<_> = work.map(|(runner, share)| scope.spawn(|| do_all(runner, share))).collect();
            let mut done = own.map_or_else(Vec::new, |(runner, share)| do_all(runner, share));
            for thread in others {
                done.extend(thread.join().expect("jobs do not panic"));
            }
            done
        })
    }
}

fn do_all(runner: &mut JobRunner, jobs: Vec<ClientJob>) -> Vec<(usize, JobDone)> {
    jobs.into_iter().map(|ClientJob { client, job, store }| (client, runner.run(job, store.as_ref()))).collect()
}
