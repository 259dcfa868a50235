//! What holds for all machines of the site.

use pxe::boot::Policy;
use serde::Deserialize;
use sqlx::Row;

use super::{PxeError, touch};
use crate::site::rows::flag;
use crate::site::work::{Lock, Work};
use crate::site::{ASK_LIMIT, Site, SiteError};

/// What is to be switched; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicyChange {
    pub(crate) respond: Option<bool>,
    pub(crate) unknown: Option<bool>,
    /// A hash in argon2's string form, or none for no password. Never from a request as it stands: it is hashed first.
    #[serde(skip)]
    pub(crate) password: Option<Option<String>>,
}

impl Site {
    /// What holds for all machines.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn pxe_policy(&self) -> Result<Policy, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.read().await?;
            let (_, policy) = read(&mut work).await?;
            work.finish();
            Ok(policy)
        })
        .await
    }

    /// Switches what `change` names.
    ///
    /// # Errors
    /// [`PxeError::Invalid`] if the password is no hash.
    pub(crate) async fn set_pxe_policy(&self, change: &PolicyChange) -> Result<(), PxeError> {
        if let Some(Some(hash)) = &change.password
            && !hash.starts_with("$argon2")
        {
            // Whatever it is, it may be the password itself.
            let (value, reason) = ("(not shown)".to_owned(), "it is no hash in argon2's string form".to_owned());
            return Err(PxeError::Invalid { what: "password", value, reason });
        }
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            for (sql, value) in [
                ("UPDATE pxe_site SET respond = $1", change.respond),
                ("UPDATE pxe_site SET unknown = $1", change.unknown),
            ] {
                if let Some(value) = value {
                    sqlx::query(sql).bind(i64::from(value)).execute(work.sql()).await?;
                }
            }
            if let Some(password) = &change.password {
                let sql = "UPDATE pxe_site SET password = $1";
                sqlx::query(sql).bind(password.as_deref()).execute(work.sql()).await?;
            }
            touch(&mut work).await?;
            Ok(work.commit().await?)
        })
        .await
    }
}

/// The revision, and what holds.
pub(super) async fn read(work: &mut Work) -> Result<(i64, Policy), sqlx::Error> {
    let sql = "SELECT revision, respond, unknown, password FROM pxe_site";
    let row = sqlx::query(sql).fetch_one(work.sql()).await?;
    let policy =
        Policy { respond: flag(&row, "respond")?, unknown: flag(&row, "unknown")?, password: row.try_get("password")? };
    Ok((row.try_get("revision")?, policy))
}
