//! What machines are to boot, in memory: fresh while the database answers, as it was last known while it does not.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use command_line::chain;
use pxe::boot::{self, Doer};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use crate::config::{Pxe, Settings};
use crate::site::{DoneMark, Site, SiteError, Snapshot};

/// Between two questions whether something has changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Looks after which all is read whatever the revision is: that of a database that was restored from a copy may be
/// the one that is known.
const READ_LOOKS: u32 = 60;
/// How long it is kept what happened to machines, and how often it is looked through.
const BOOT_DAYS: u32 = 90;
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// A deployment for once, and who may have done it.
pub(super) type Mark = (String, Doer);

/// What machines are to boot.
pub(crate) struct Memory {
    site: Site,
    /// What holds at this server; answered in microseconds.
    here: RwLock<Arc<boot::Site>>,
    known: Mutex<Known>,
    /// One reads at a time, so that what was read first is not taken for newer.
    reading: tokio::sync::Mutex<()>,
    wanted: Notify,
    state: watch::Sender<FollowState>,
}

/// What it is made of.
struct Known {
    /// As the database has it.
    snapshot: Snapshot,
    /// This server's word on it.
    settings: Pxe,
    /// What was done here, or was not after all, and is not in the snapshot.
    marks: BTreeMap<Mark, Told>,
}

/// What was told of a mark.
#[derive(Clone, Copy)]
struct Told {
    done: bool,
    written: bool,
}

/// How fresh it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FollowState {
    /// The database answered when it was asked last.
    pub(crate) reachable: bool,
    /// Since when it does or does not.
    pub(crate) since: Instant,
    /// Which state is known.
    pub(crate) revision: i64,
}

impl Memory {
    /// Reads what is to be known first.
    ///
    /// # Errors
    /// [`SiteError`], if it cannot be read.
    pub(crate) async fn open(site: Site, settings: &Pxe) -> Result<Arc<Self>, SiteError> {
        let snapshot = site.pxe_snapshot().await?;
        let state = FollowState { reachable: true, since: Instant::now(), revision: snapshot.revision };
        let known = Known { snapshot, settings: settings.clone(), marks: BTreeMap::new() };
        Ok(Arc::new(Self {
            site,
            here: RwLock::new(Arc::new(known.here())),
            known: Mutex::new(known),
            reading: tokio::sync::Mutex::default(),
            wanted: Notify::new(),
            state: watch::Sender::new(state),
        }))
    }

    /// What holds now.
    pub(crate) fn site(&self) -> Arc<boot::Site> {
        self.here.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How fresh it is, now and at every change.
    pub(crate) fn state(&self) -> watch::Receiver<FollowState> {
        self.state.subscribe()
    }

    /// Takes this server's settings, which a reload may have changed.
    pub(crate) fn settle(&self, settings: &Pxe) {
        self.change(|known| known.settings = settings.clone());
    }

    /// Reads all anew, so that what was just changed holds here, too.
    ///
    /// # Errors
    /// [`SiteError`]; then what was known goes on to hold.
    #[cfg(test)]
    pub(crate) async fn refresh(&self) -> Result<(), SiteError> {
        let turn = self.reading.lock().await;
        let read = self.read().await;
        drop(turn);
        self.tell(read)
    }

    /// Has [`follow`](Self::follow) look at once.
    pub(crate) fn hurry(&self) {
        self.wanted.notify_one();
    }

    /// Keeps it fresh, and by the newest settings, until `stop` says true.
    pub(crate) async fn follow(
        self: Arc<Self>,
        mut settings: watch::Receiver<Arc<Settings>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut pruned = Instant::now();
        for number in 1_u32.. {
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = self.wanted.notified() => {}
                changed = settings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.settle(&settings.borrow_and_update().pxe);
                    continue;
                }
                _ = stop.wait_for(|stops| *stops) => return,
            }
            let looked = self.look(number.is_multiple_of(READ_LOOKS)).await;
            // It has been told.
            let reachable = self.tell(looked).is_ok();
            if reachable && pruned.elapsed() >= PRUNE_INTERVAL {
                pruned = Instant::now();
                match self.site.prune_pxe(BOOT_DAYS).await {
                    Ok(0) => {}
                    Ok(rows) => info!(rows, "what happened to booting machines over {BOOT_DAYS} days ago is removed"),
                    Err(error) => debug!("{}", chain(&error)),
                }
            }
        }
    }

    /// Somebody has done what was for once, or has not after all, which counts here from now on. Whether that is new.
    pub(super) fn done(&self, mark: &Mark, done: bool) -> bool {
        let is_news = self.site().done.contains(mark) != done;
        if is_news {
            self.change(|known| known.marks.insert(mark.clone(), Told { done, written: false }));
        }
        is_news
    }

    /// The database knows this; what it says next holds.
    pub(super) fn written(&self, marks: &[DoneMark]) {
        self.known(|known| {
            for DoneMark { deployment, by, done, .. } in marks {
                let mark = (deployment.clone(), by.clone());
                if let Some(told) = known.marks.get_mut(&mark).filter(|told| told.done == *done) {
                    told.written = true;
                }
            }
        });
        self.hurry();
    }

    /// Reads all if something has changed, or `anyway`.
    async fn look(&self, anyway: bool) -> Result<(), SiteError> {
        let _turn = self.reading.lock().await;
        let unsettled = self.known(|known| known.marks.values().any(|told| told.written));
        let is_news = anyway || unsettled || self.site.pxe_revision().await? != self.state.borrow().revision;
        if is_news { self.read().await } else { Ok(()) }
    }

    async fn read(&self) -> Result<(), SiteError> {
        let written = self.known(|known| {
            let written = known.marks.iter().filter(|(_, told)| told.written);
            written.map(|(mark, told)| (mark.clone(), told.done)).collect::<HashMap<_, _>>()
        });
        let snapshot = self.site.pxe_snapshot().await?;
        let revision = snapshot.revision;
        self.change(|known| {
            known.marks.retain(|mark, told| !(told.written && written.get(mark) == Some(&told.done)));
            known.snapshot = snapshot;
        });
        self.state.send_if_modified(|state| std::mem::replace(&mut state.revision, revision) != revision);
        Ok(())
    }

    /// Says once that the database went away, and that it came back.
    fn tell(&self, looked: Result<(), SiteError>) -> Result<(), SiteError> {
        self.state.send_if_modified(|state| {
            let seconds = state.since.elapsed().as_secs();
            match (&looked, state.reachable) {
                (Err(error), true) => {
                    warn!("machines boot by what is known, as the site cannot be asked: {}", chain(error));
                }
                (Ok(()), false) => info!(seconds, "machines boot by what the site says again"),
                _ => return false,
            }
            (state.reachable, state.since) = (looked.is_ok(), Instant::now());
            true
        });
        looked
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) {
        self.known(|known| {
            change(known);
            *self.here.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known.here());
        });
    }

    fn known<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn here(&self) -> boot::Site {
        let mut site = self.snapshot.site.clone();
        site.policy = self.settings.policy(&site.policy);
        for (mark, told) in &self.marks {
            if told.done {
                site.done.insert(mark.clone());
            } else {
                site.done.remove(mark);
            }
        }
        site
    }
}
