//! What the site wants of its machines at one moment.

use pxe::boot;

use super::{computers, deployments, policy};
use crate::site::{ASK_LIMIT, Site, SiteError, WORK_LIMIT};

/// What the site wants of its machines.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) site: boot::Site,
    /// Of no other state, as long as the database is not restored from a copy.
    pub(crate) revision: i64,
}

impl Site {
    /// The revision of what machines are to boot: another one means that something has changed.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn pxe_revision(&self) -> Result<i64, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.read().await?;
            let revision = sqlx::query_scalar("SELECT revision FROM pxe_site").fetch_one(work.sql()).await?;
            work.finish();
            Ok(revision)
        })
        .await
    }

    /// All that machines are to boot, at one moment.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn pxe_snapshot(&self) -> Result<Snapshot, SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.look().await?;
            let (revision, policy) = policy::read(&mut work).await?;
            let computers = computers::all(&mut work).await?.into_iter().map(Into::into).collect();
            let deployments = deployments::all(&mut work).await?.into_iter().map(Into::into).collect();
            let done = deployments::all_done(&mut work).await?;
            work.commit().await?;
            Ok(Snapshot { site: boot::Site { policy, computers, deployments, done }, revision })
        })
        .await
    }
}
