//! The site database: what the servers of one site know of each other, and what outlives a restart.
//!
//! | module | is |
//! |---|---|
//! | `backend` | SQLite or PostgreSQL: the account, how to connect, the few statements that differ |
//! | `schema` | the migrations, and the refusal of what is newer |
//! | `work` | one piece of work on a connection; the database's clock |
//! | `servers` | who is of the site, and who is silent |
//! | `places` | group addresses and ports that are taken, and addresses on loan from a DHCP server |
//! | `tickets` | who is served and who waits, over the whole site |
//! | `sessions`, `clients` | sessions and who takes part, now and in the past |
//! | `content` | images of all servers |
//! | `pxe` | machines that boot from the network, and what they are to boot |
//! | `settings`, `commands` | what all share; what one server tells another one |
//! | `recorder` | writes states in the background, and keeps them while the database is away |
//!
//! There is one set of statements for both databases. What several servers compare with each other is
//! timed by the database's clock, so that theirs may differ. No operation takes longer than its limit, whatever
//! the database or the network to it does.

mod backend;
mod clients;
mod commands;
mod content;
mod error;
mod places;
mod pxe;
mod recorder;
mod rows;
mod schema;
mod servers;
mod sessions;
mod settings;
mod tickets;
mod work;

#[cfg(test)]
mod suite;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyPool, ConnectOptions, Connection};
use tokio::time::timeout;

use self::backend::Target;
use self::work::{Lock, Work};

#[allow(unused_imports, reason = "the distribution point that names them comes with the next change")]
pub(crate) use self::{
    backend::{Account, Backend},
    clients::{ClientRow, HistoryRow},
    content::{ImageRow, ImageSeen},
    error::SiteError,
    places::{LeaseRow, PlaceRow},
    pxe::{
        BOOTS_KEPT, BootFilter, BootRow, BootSeen, ComputerRow, DeploymentRow, DeploymentTarget, DoneMark, DoneRow,
        PolicyChange, Position, PxeError, PxeLeaseRow, PxeLeaseSeen, Redeemed, Snapshot, TOKEN_LIFE, TokenRefusal,
        moment_of,
    },
    recorder::{Recorder, RecorderState},
    servers::{BEAT, SERVER_TIMEOUT, ServerRow, ServerSeen},
    sessions::{SessionFilter, SessionRow, SessionSeen},
    tickets::{QUEUE_PATIENCE, Served, ServedClient, TicketAsk, TicketRow, Verdict},
};

/// How long a client's or an operator's question may take; after it the server goes on with what it knows.
pub(crate) const ASK_LIMIT: Duration = Duration::from_secs(2);
/// How long writing a batch or reading a list may take.
pub(crate) const WORK_LIMIT: Duration = Duration::from_secs(10);
/// How long the first connection may take.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// How long another server may take with the migrations.
const MIGRATION_LIMIT: Duration = Duration::from_secs(60);

/// The site's database. Clones are handles on one pool of connections, which reconnects by itself.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pool: AnyPool,
    target: Arc<Target>,
}

impl Site {
    /// Connects, creates or migrates the tables. A database of SQLite is created if there is none.
    ///
    /// # Errors
    /// [`SiteError`] tells whose fault it is; [`SiteError::help`] what to do.
    pub(crate) async fn open(backend: Backend) -> Result<Self, SiteError> {
        let target = Target::new(&backend)?;
        target.prepare().await?;
        let connect = timeout(OPEN_LIMIT, target.options.connect());
        let connected = connect.await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
        let mut connection = connected.map_err(|error| SiteError::of(&target, error))?;
        target.dialect.set_up(&mut connection).await.map_err(|error| SiteError::of(&target, error))?;
        let raised = timeout(MIGRATION_LIMIT, schema::raise(&mut connection, &target));
        raised.await.unwrap_or_else(|_| Err(SiteError::of(&target, sqlx::Error::PoolTimedOut)))?;
        // It has done its work, whatever comes of the goodbye.
        let _ = connection.close().await;
        Ok(Self { pool: target.pool(), target: Arc::new(target) })
    }

    /// What and where it is, without an account's password.
    pub(crate) fn name(&self) -> &str {
        &self.target.name
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// [`SiteError`] if it does not within [`ASK_LIMIT`].
    pub(crate) async fn check(&self) -> Result<(), SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.read().await?;
            work.moment().await?;
            work.finish();
            Ok(())
        })
        .await
    }

    /// Ends its connections, so that SQLite tidies its files.
    pub(crate) async fn close(&self) {
        let _ = timeout(ASK_LIMIT, self.pool.close()).await;
    }

    /// Does `work`, or gives it up after `limit`.
    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, SiteError> {
        match timeout(limit, work).await {
            Ok(done) => done.map_err(|error| SiteError::of(&self.target, error)),
            Err(_) => Err(SiteError::slow(&self.target, limit)),
        }
    }

    /// A connection to read by.
    async fn read(&self) -> Result<Work, sqlx::Error> {
        Ok(Work::new(self.pool.acquire().await?, self.target.dialect))
    }

    /// A transaction that only reads, and sees one moment.
    async fn look(&self) -> Result<Work, sqlx::Error> {
        let mut work = self.read().await?;
        work.begin_reading().await?;
        Ok(work)
    }

    /// A transaction, alone with `lock` if one is named.
    async fn write(&self, lock: Lock) -> Result<Work, sqlx::Error> {
        let mut work = self.read().await?;
        work.begin(lock).await?;
        Ok(work)
    }

    /// One statement with texts for parameters.
    async fn change(&self, lock: Lock, sql: &'static str, parameters: &[&str]) -> Result<(), SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(lock).await?;
            let query = parameters.iter().fold(sqlx::query(sql), |query, parameter| query.bind(*parameter));
            query.execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }
}
