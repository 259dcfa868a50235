//! What the site is told of machines, a little later: nobody waits for its database, and nothing is lost while it is
//! away, but for the oldest notes.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use command_line::chain;
use pxe::dhcp::{Lease, Network};
use pxe::machine::Mac;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::site::{BootRow, PxeLeaseRow, Site, SiteError};

/// Notes that wait for the database.
const WAITING: usize = 10_000;
/// After an attempt that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// What comes within this is written together.
const GATHER: Duration = Duration::from_millis(50);
/// Days for which what happened is kept, and between two looks for what is older.
const DAYS: u32 = 90;
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// What is to be written.
pub(crate) struct Journal {
    site: Site,
    server: String,
    pending: Mutex<Pending>,
    news: Notify,
    /// Told when all is written.
    written: Notify,
}

#[derive(Default)]
struct Pending {
    /// The last word on each address: whose it is, or nobody's.
    leases: BTreeMap<(Network, Ipv4Addr), Option<PxeLeaseRow>>,
    done: Vec<(String, Mac)>,
    boots: VecDeque<BootRow>,
    /// Notes that found no room.
    lost: u64,
    /// Is being written.
    busy: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.done.is_empty() && self.boots.is_empty()
    }
}

impl Journal {
    pub(super) fn new(site: Site, server: String) -> Arc<Self> {
        Arc::new(Self { site, server, pending: Mutex::default(), news: Notify::new(), written: Notify::new() })
    }

    /// A lease began, goes on, or is over.
    pub(super) fn lease(&self, network: Network, lease: &Lease, granted: bool) {
        let row = granted.then(|| PxeLeaseRow::new(network, lease));
        self.pending().leases.insert((network, lease.address), row);
        self.news.notify_one();
    }

    /// A machine has booted what was for once.
    pub(super) fn put_done(&self, done: (String, Mac)) {
        self.pending().done.push(done);
        self.news.notify_one();
    }

    /// What is done and not written yet.
    pub(super) fn done(&self) -> Vec<(String, Mac)> {
        self.pending().done.clone()
    }

    /// Something happened.
    pub(super) fn boot(&self, row: BootRow) {
        let mut pending = self.pending();
        if pending.boots.len() >= WAITING {
            pending.boots.pop_front();
            pending.lost += 1;
        }
        pending.boots.push_back(row);
        drop(pending);
        self.news.notify_one();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let (mut away, mut pruned) = (false, None::<Instant>);
        loop {
            self.news.notified().await;
            tokio::time::sleep(GATHER).await;
            while let Err(error) = self.write().await {
                if !std::mem::replace(&mut away, true) {
                    warn!("the site is not told of its machines, and will be later: {}", chain(&error));
                }
                tokio::time::sleep(PAUSE).await;
            }
            if std::mem::take(&mut away) {
                info!("the site is told of its machines again");
            }
            let lost = std::mem::take(&mut self.pending().lost);
            if lost > 0 {
                warn!("{lost} notes of machines are lost: the database was away for too long");
            }
            self.written.notify_waiters();
            if pruned.is_none_or(|at| at.elapsed() > PRUNE_INTERVAL) {
                pruned = Some(Instant::now());
                if let Err(error) = self.site.prune_pxe(DAYS).await {
                    warn!("what is older than {DAYS} days is kept: {}", chain(&error));
                }
            }
        }
    }

    /// Waits until all is written; false if it is not within `limit`.
    pub(super) async fn flush(&self, limit: Duration) -> bool {
        let all = async {
            loop {
                let written = self.written.notified();
                {
                    let pending = self.pending();
                    if pending.is_empty() && !pending.busy {
                        return;
                    }
                }
                self.news.notify_one();
                written.await;
            }
        };
        tokio::time::timeout(limit, all).await.is_ok()
    }

    /// Writes all that is there: leases first, on which others rely.
    async fn write(&self) -> Result<(), SiteError> {
        self.pending().busy = true;
        let written = self.write_all().await;
        self.pending().busy = false;
        written
    }

    async fn write_all(&self) -> Result<(), SiteError> {
        let leases = self.pending().leases.clone();
        let (kept, gone): (Vec<_>, Vec<_>) = leases.iter().partition(|(_, row)| row.is_some());
        let kept: Vec<_> = kept.into_iter().filter_map(|(_, row)| row.clone()).collect();
        let gone: Vec<_> = gone.into_iter().map(|(place, _)| *place).collect();
        if !kept.is_empty() {
            self.site.put_pxe_leases(&self.server, &kept).await?;
        }
        if !gone.is_empty() {
            self.site.delete_pxe_leases(&gone).await?;
        }
        // What has changed meanwhile is written again.
        self.pending().leases.retain(|place, row| leases.get(place) != Some(row));

        let done = self.pending().done.clone();
        if !done.is_empty() {
            self.site.put_done(&done).await?;
            self.pending().done.drain(..done.len());
        }
        let boots: Vec<_> = self.pending().boots.iter().cloned().collect();
        if !boots.is_empty() {
            let lost = self.pending().lost;
            self.site.put_boots(&self.server, &boots).await?;
            let mut pending = self.pending();
            // Some of them may have made room meanwhile.
            let left = boots.len() - usize::try_from(pending.lost - lost).unwrap_or(usize::MAX).min(boots.len());
            pending.boots.drain(..left);
        }
        Ok(())
    }
}
