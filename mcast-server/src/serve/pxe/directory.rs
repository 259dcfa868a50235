//! The site as the service point asks it: in microseconds, and while the database is away.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_line::chain;
use pxe::boot::{self, BootNote, Deployment, DirectoryError, Doer};
use pxe::machine::{Mac, Machine};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::counts::Counts;
use super::follow::Memory;
use super::journal::Journal;
use super::seldom::Seldom;
use crate::config::Pxe;
use crate::site::{Site, SiteError};

/// The site's directory of machines.
pub(crate) struct Directory {
    /// For tokens.
    site: Site,
    memory: Arc<Memory>,
    journal: Journal,
    counts: Counts,
    told: Arc<Notify>,
    strangers: Seldom,
}

impl Directory {
    /// Asks the site for the first time, and begins to write what happens.
    ///
    /// # Errors
    /// [`SiteError`], if it cannot be asked.
    pub(super) async fn open(site: Site, server: String, settings: &Pxe) -> Result<Arc<Self>, SiteError> {
        let memory = Memory::open(site.clone(), settings).await?;
        let journal = Journal::start(memory.clone(), site.clone(), server, settings);
        Ok(Arc::new(Self {
            site,
            memory,
            journal,
            counts: Counts::default(),
            told: Arc::default(),
            strangers: Seldom::default(),
        }))
    }

    /// What machines are to boot.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// What is written behind.
    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What came of requests since the start.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Told when a machine has news.
    pub(super) fn told(&self) -> &Arc<Notify> {
        &self.told
    }

    /// Waits until the site has been told all, for `limit` at most. Whether it has.
    pub(super) async fn flush(&self, limit: Duration) -> bool {
        self.journal.flush(limit).await
    }
}

impl boot::Directory for Directory {
    fn site(&self) -> Arc<boot::Site> {
        self.memory.site()
    }

    async fn token(&self, machine: &Machine, deployment: &Deployment) -> Result<String, DirectoryError> {
        let token = random().map_err(|error| DirectoryError(format!("the system gives no random bytes: {error}")))?;
        let issued = self.site.issue_boot_token(&token, machine.mac, &deployment.name).await;
        issued.map_err(|error| DirectoryError(chain(&error)))?;
        Ok(token)
    }

    fn done(&self, deployment: &str, by: &Doer, mac: Mac, done: bool) {
        let mark = (deployment.to_owned(), by.clone());
        if self.memory.done(&mark, done) {
            self.journal.done(mark, mac, done);
        }
    }

    fn tell(&self, note: BootNote) {
        let BootNote { machine, stage, deployment, text, refused, .. } = &note;
        let (mac, stage, deployment) = (machine.mac, stage.name(), deployment.as_deref());
        if *refused {
            warn!(%mac, stage, deployment, "machine is refused: {text}");
        } else {
            info!(%mac, stage, deployment, "machine {text}");
        }
        self.counts.note(&note);
        self.journal.note(&note);
        self.told.notify_one();
    }

    fn tell_of_stranger(&self, address: IpAddr, refusal: &str) {
        if let Some(more) = self.strangers.is_due(Instant::now()) {
            let more = (more > 0).then_some(more);
            warn!(%address, more, "a machine that DHCP did not show is refused: {refusal}");
        }
    }
}

/// 128 bits that nobody guesses, in digits that a kernel's command line takes as they are.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
