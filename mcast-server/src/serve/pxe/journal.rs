//! Writes behind what happens to machines, so that nobody who answers one waits for the database: first the addresses
//! that they were given, then what they have done, then what is only told.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use command_line::chain;
use pxe::boot::BootNote;
use pxe::dhcp::{Lease, LeaseChange, Network};
use pxe::machine::Mac;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::follow::{Mark, Memory};
use crate::config::Pxe;
use crate::site::{BootRow, DoneMark, PxeLeaseRow, Site, SiteError};

/// Addresses that wait at most, and what machines have done.
const MOST_LEASES: usize = 65_536;
/// Notes that wait at most; of more the oldest are given up.
const MOST_NOTES: usize = 8192;
/// Rows of one transaction.
const AT_ONCE: usize = 500;
/// Least time between two batches.
const SPACING: Duration = Duration::from_millis(200);
/// Pause after the first failure; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two tries.
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A handle on the task that writes, which ends with it.
pub(crate) struct Journal {
    inbox: Arc<Inbox>,
    networks: Vec<Network>,
    state: watch::Receiver<JournalState>,
    written: watch::Receiver<u64>,
    task: AbortHandle,
}

/// How it fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct JournalState {
    /// The database refused or did not answer the last time.
    pub(crate) failing: bool,
    /// What waited when it was tried last.
    pub(crate) pending: usize,
    /// What was given up: there was no room for it, or the database would not keep it.
    pub(crate) dropped: u64,
}

/// Shared by those who tell and the task.
#[derive(Default)]
struct Inbox {
    pending: Mutex<Pending>,
    filled: Notify,
}

/// What waits.
#[derive(Default)]
struct Pending {
    /// Of each address the latest; none: it is nobody's.
    leases: BTreeMap<(Network, Ipv4Addr), Option<Lease>>,
    /// Of each mark the latest.
    marks: BTreeMap<Mark, (Mac, bool)>,
    notes: VecDeque<BootRow>,
    /// How often something was left so far.
    added: u64,
    dropped: u64,
}

impl Journal {
    /// Starts the task on the current runtime.
    pub(crate) fn start(memory: Arc<Memory>, site: Site, server: String, settings: &Pxe) -> Self {
        let inbox = Arc::new(Inbox::default());
        let (state_sender, state) = watch::channel(JournalState::default());
        let (written_sender, written) = watch::channel(0);
        let writer =
            Writer { inbox: inbox.clone(), memory, site, server, state: state_sender, written: written_sender };
        let task = tokio::spawn(writer.run()).abort_handle();
        let networks = settings.networks.iter().map(|network| network.network).collect();
        Self { inbox, networks, state, written, task }
    }

    /// An address was given, or is nobody's any more.
    pub(crate) fn lease(&self, change: &LeaseChange) {
        let (lease, held) = match change {
            LeaseChange::Granted(lease) => (lease, true),
            LeaseChange::Ended { lease, .. } => (lease, false),
            _ => return,
        };
        let Some(network) = self.networks.iter().find(|network| network.contains(lease.address)) else { return };
        let key = (*network, lease.address);
        self.inbox.add(|pending| {
            let Pending { leases, dropped, .. } = pending;
            if leases.len() >= MOST_LEASES && !leases.contains_key(&key) {
                *dropped += 1;
            } else {
                leases.insert(key, held.then(|| lease.clone()));
            }
        });
    }

    /// Somebody has booted what was for once, or has not after all.
    pub(super) fn done(&self, mark: Mark, mac: Mac, done: bool) {
        self.inbox.add(|pending| {
            if pending.marks.len() >= MOST_LEASES && !pending.marks.contains_key(&mark) {
                pending.dropped += 1;
            } else {
                pending.marks.insert(mark, (mac, done));
            }
        });
    }

    /// Something happened to a machine.
    pub(super) fn note(&self, note: &BootNote) {
        let row = BootRow::new(SystemTime::now(), note);
        self.inbox.add(|pending| {
            pending.notes.push_back(row);
            pending.bound();
        });
    }

    /// How it fares, now and at every change.
    pub(crate) fn state(&self) -> watch::Receiver<JournalState> {
        self.state.clone()
    }

    /// Waits until all that was told so far is written, for `limit` at most. Whether it is.
    pub(crate) async fn flush(&self, limit: Duration) -> bool {
        let mut written = self.written.clone();
        let wanted = self.inbox.with(|pending| pending.added);
        self.inbox.filled.notify_one();
        matches!(timeout(limit, written.wait_for(|written| *written >= wanted)).await, Ok(Ok(_)))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inbox {
    fn add(&self, leave: impl FnOnce(&mut Pending)) {
        self.with(|pending| {
            pending.added += 1;
            leave(pending);
        });
        self.filled.notify_one();
    }

    fn with<T>(&self, work: impl FnOnce(&mut Pending) -> T) -> T {
        work(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pending {
    fn len(&self) -> usize {
        self.leases.len() + self.marks.len() + self.notes.len()
    }

    fn bound(&mut self) {
        while self.notes.len() > MOST_NOTES {
            self.notes.pop_front();
            self.dropped += 1;
        }
    }

    /// All that waits.
    fn take(&mut self) -> Self {
        let (added, dropped) = (self.added, self.dropped);
        std::mem::replace(self, Self { added, dropped, ..Self::default() })
    }

    /// Puts back what was not written, where nothing newer came.
    fn put_back(&mut self, older: Self) {
        for (key, lease) in older.leases {
            if let Entry::Vacant(free) = self.leases.entry(key) {
                free.insert(lease);
            }
        }
        for (mark, done) in older.marks {
            self.marks.entry(mark).or_insert(done);
        }
        let newer = std::mem::replace(&mut self.notes, older.notes);
        self.notes.extend(newer);
        self.bound();
    }
}

/// The task.
struct Writer {
    inbox: Arc<Inbox>,
    memory: Arc<Memory>,
    site: Site,
    server: String,
    state: watch::Sender<JournalState>,
    written: watch::Sender<u64>,
}

impl Writer {
    async fn run(self) {
        let mut pause = Duration::ZERO;
        loop {
            if pause.is_zero() {
                self.inbox.filled.notified().await;
            }
            let mut batch = self.inbox.with(Pending::take);
            let reached = batch.added;
            let written = self.write(&mut batch).await;
            self.inbox.with(|pending| pending.put_back(batch));
            self.tell(written.as_ref().err());
            match written {
                Ok(()) => {
                    pause = Duration::ZERO;
                    self.written.send_replace(reached);
                    sleep(SPACING).await;
                }
                Err(_) => {
                    pause = (pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
                    sleep(pause).await;
                }
            }
        }
    }

    /// Writes what is there and takes it out; on an error the rest is left.
    async fn write(&self, batch: &mut Pending) -> Result<(), SiteError> {
        while !batch.leases.is_empty() {
            let some: Vec<_> = batch.leases.iter().take(AT_ONCE).map(|(key, lease)| (*key, lease.clone())).collect();
            let held =
                some.iter().filter_map(|((network, _), lease)| Some(PxeLeaseRow::new(*network, lease.as_ref()?)));
            let held: Vec<_> = held.collect();
            let gone: Vec<_> = some.iter().filter(|(_, lease)| lease.is_none()).map(|(key, _)| *key).collect();
            if !held.is_empty() {
                self.judged(self.site.put_pxe_leases(&self.server, &held).await, held.len())?;
            }
            if !gone.is_empty() {
                self.judged(self.site.delete_pxe_leases(Some(&self.server), &gone).await, gone.len())?;
            }
            for (key, _) in &some {
                batch.leases.remove(key);
            }
        }
        while !batch.marks.is_empty() {
            let mark = |((deployment, by), (mac, done)): (&Mark, &(Mac, bool))| DoneMark {
                deployment: deployment.clone(),
                by: by.clone(),
                mac: *mac,
                done: *done,
            };
            let some: Vec<_> = batch.marks.iter().take(AT_ONCE).map(mark).collect();
            self.judged(self.site.put_done(&some).await, some.len())?;
            self.memory.written(&some);
            for DoneMark { deployment, by, .. } in some {
                batch.marks.remove(&(deployment, by));
            }
        }
        while !batch.notes.is_empty() {
            let some = batch.notes.len().min(AT_ONCE);
            let rows: Vec<_> = batch.notes.iter().take(some).cloned().collect();
            self.judged(self.site.put_boots(&self.server, &rows).await, some)?;
            batch.notes.drain(..some);
        }
        Ok(())
    }

    /// What the database will never keep is given up, lest all that comes after it waits for ever.
    fn judged(&self, written: Result<(), SiteError>, rows: usize) -> Result<(), SiteError> {
        match written {
            Err(error) if error.is_data() => {
                warn!(rows, "gave up what the site database cannot keep: {}", chain(&error));
                self.inbox.with(|pending| pending.dropped += rows as u64);
                Ok(())
            }
            written => written,
        }
    }

    /// Says once that nothing can be written, and that it can again.
    fn tell(&self, failed: Option<&SiteError>) {
        let (pending, dropped) = self.inbox.with(|pending| (pending.len(), pending.dropped));
        let state = JournalState { failing: failed.is_some(), pending, dropped };
        self.state.send_if_modified(|before| {
            match failed {
                Some(error) if !before.failing => {
                    warn!("what happens to booting machines is kept and written later: {}", chain(error));
                }
                None if before.failing => info!(dropped, "what happened to booting machines is written"),
                _ => {}
            }
            let changed = *before != state;
            *before = state;
            changed
        });
    }
}
