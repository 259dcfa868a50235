//! What all servers of the site share by name.

use sqlx::Row;

use super::work::Lock;
use super::{ASK_LIMIT, Site, SiteError};

/// Name of the site's own id among the settings.
const SITE_ID: &str = "site-id";

impl Site {
    /// The value that stands under `name`.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.read().await?;
            let sql = "SELECT value FROM settings WHERE name = $1";
            let value = sqlx::query_scalar(sql).bind(name).fetch_optional(work.sql()).await?;
            work.finish();
            Ok(value)
        })
        .await
    }

    /// Sets the value under `name`.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    #[cfg(test)]
    pub(crate) async fn set_setting(&self, name: &str, value: &str) -> Result<(), SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) \
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            sqlx::query(sql).bind(name).bind(value).execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }

    /// Sets the value under `name` if there is none, and gives the one that stands there now: the same to every
    /// server, whoever came first.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn settle(&self, name: &str, value: &str) -> Result<String, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
            sqlx::query(sql).bind(name).bind(value).execute(work.sql()).await?;
            let sql = "SELECT value FROM settings WHERE name = $1";
            let value = sqlx::query(sql).bind(name).fetch_one(work.sql()).await?.try_get("value")?;
            work.commit().await?;
            Ok(value)
        })
        .await
    }

    /// The site's id: 32 hexadecimal digits, made by the first server.
    ///
    /// # Errors
    /// [`SiteError`] of the database; [`SiteError::Statement`] if the system has no randomness.
    pub(crate) async fn site_id(&self) -> Result<String, SiteError> {
        if let Some(id) = self.setting(SITE_ID).await? {
            return Ok(id);
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| SiteError::of(&self.target, sqlx::Error::InvalidArgument(error.to_string())))?;
        self.settle(SITE_ID, &format!("{:032x}", u128::from_ne_bytes(bytes))).await
    }
}
