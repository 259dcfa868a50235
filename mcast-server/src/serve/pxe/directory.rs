//! The site as the service point asks it: kept in memory, so that machines are answered in microseconds, and while
//! the database is away.

use std::fmt::Write;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use command_line::chain;
use pxe::boot::{self, BootNote, Deployment, DirectoryError};
use pxe::machine::Machine;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::Surroundings;
use super::journal::Journal;
use crate::config::Settings;
use crate::exit::Failure;
use crate::site::{BootRow, Site};

/// Between two questions whether another server has changed something.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// The site's directory of machines.
pub(crate) struct Directory {
    site: Site,
    known: RwLock<Known>,
    settings: watch::Receiver<Arc<Settings>>,
    journal: Arc<Journal>,
    /// Something was changed here.
    changed: Notify,
    told: Arc<Notify>,
}

/// What was known last.
struct Known {
    /// As the site has it.
    site: boot::Site,
    revision: i64,
    /// With this server's own settings.
    here: Arc<boot::Site>,
}

impl Directory {
    /// Asks the site for the first time.
    pub(super) async fn open(around: &Surroundings, journal: Arc<Journal>) -> Result<Arc<Self>, Failure> {
        let snapshot = around.site.pxe_snapshot().await.map_err(|error| super::super::site_failure(&error))?;
        let here = merged(&snapshot.site, &around.settings);
        let known = Known { site: snapshot.site, revision: snapshot.revision, here };
        Ok(Arc::new(Self {
            site: around.site.clone(),
            known: RwLock::new(known),
            settings: around.changes.clone(),
            journal,
            changed: Notify::new(),
            told: Arc::default(),
        }))
    }

    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Told when a machine has news.
    pub(super) fn told(&self) -> &Arc<Notify> {
        &self.told
    }

    /// Has the site asked at once.
    pub(super) fn refresh(&self) {
        self.changed.notify_one();
    }

    /// Follows what the site wants, and the settings, until `stop` says true. While the database is away what was
    /// known last holds.
    pub(super) async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut settings = self.settings.clone();
        let mut away = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(ASK_INTERVAL) => {}
                () = self.changed.notified() => {}
                changed = settings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.take_settings();
                    continue;
                }
                _ = stop.wait_for(|stops| *stops) => return,
            }
            match self.ask().await {
                Ok(()) if std::mem::take(&mut away) => {
                    info!("the site database is back: machines get what it says now")
                }
                Ok(()) => {}
                Err(error) if !std::mem::replace(&mut away, true) => {
                    warn!("the site database does not answer: machines get what it said last: {}", chain(&error));
                }
                Err(_) => {}
            }
        }
    }

    async fn ask(&self) -> Result<(), crate::site::SiteError> {
        let revision = self.site.pxe_revision().await?;
        let (known, pending) = (self.read(|known| known.revision), self.journal.done());
        if revision == known {
            return Ok(());
        }
        let mut snapshot = self.site.pxe_snapshot().await?;
        // What is done and not yet written is done all the same.
        snapshot.site.done.extend(pending);
        let here = merged(&snapshot.site, &self.settings.borrow());
        self.write(|known| *known = Known { site: snapshot.site, revision: snapshot.revision, here });
        Ok(())
    }

    fn take_settings(&self) {
        let settings = self.settings.borrow().clone();
        self.write(|known| known.here = merged(&known.site, &settings));
    }

    fn read<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, write: impl FnOnce(&mut Known)) {
        write(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl boot::Directory for Directory {
    fn site(&self) -> Arc<boot::Site> {
        self.read(|known| known.here.clone())
    }

    async fn token(&self, machine: &Machine, deployment: &Deployment) -> Result<String, DirectoryError> {
        let mut bytes = [0; 20];
        getrandom::fill(&mut bytes).map_err(|error| DirectoryError(format!("there is no randomness: {error}")))?;
        let token = bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let issued = self.site.issue_boot_token(&token, machine.mac, &deployment.name).await;
        issued.map_err(|error| DirectoryError(chain(&error)))?;
        Ok(token)
    }

    fn done(&self, machine: &Machine, deployment: &str) {
        let done = (deployment.to_owned(), machine.mac);
        self.write(|known| {
            known.site.done.insert(done.clone());
            known.here = merged(&known.site, &self.settings.borrow());
        });
        self.journal.put_done(done);
    }

    fn tell(&self, note: BootNote) {
        let BootNote { machine, stage, deployment, text, refused, .. } = &note;
        let (mac, stage, deployment) = (machine.mac, stage.name(), deployment.as_deref());
        if *refused {
            warn!(%mac, stage, deployment, "machine is refused: {text}");
        } else {
            info!(%mac, stage, deployment, "machine {text}");
        }
        self.journal.boot(BootRow::new(SystemTime::now(), &note));
        self.told.notify_one();
    }
}

/// What the site wants, as far as this server takes part in it.
fn merged(site: &boot::Site, settings: &Settings) -> Arc<boot::Site> {
    Arc::new(boot::Site { policy: settings.pxe.policy(&site.policy), ..site.clone() })
}
