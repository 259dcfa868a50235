//! What a booted client shows to get what its machine was booted for.
//!
//! A token is for one machine and one deployment. The site keeps its hash alone. The first start of the machine that
//! shows it takes it; the same start may show it again, as answers get lost and clients are started anew.

use std::time::Duration;

use pxe::machine::Mac;
use serde::Serialize;
use sqlx::Row;
use thiserror::Error;

use super::PxeError;
use crate::site::Site;
use crate::site::rows::text;
use crate::site::work::{Lock, Work, millis};

/// How long a token waits for its machine: a kernel and its image are loaded meanwhile, maybe by hundreds at once.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// How long it is known what became of it.
const REMEMBERED: Duration = Duration::from_secs(86_400);
/// Tokens of one machine: firmware asks again, and a machine may be started anew.
const OF_ONE_MACHINE: i64 = 8;
/// Tokens of the whole site, so that who makes up machines fills no disk.
const MOST: i64 = 20_000;
/// Bytes of the name that a start of a machine gives itself.
const BOOT_LIMIT: usize = 128;

/// What a token opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Redeemed {
    /// What the machine was booted for.
    pub(crate) deployment: String,
    /// The image that it receives.
    pub(crate) image: Option<String>,
    /// The machine.
    pub(crate) mac: Mac,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub(crate) enum TokenRefusal {
    /// It was never issued, or long ago.
    #[error("it is not known, or of long ago")]
    Unknown,
    /// Nobody came in time.
    #[error("it was to be used within {} min", TOKEN_LIFE.as_secs() / 60)]
    Expired,
    /// Another start of the machine has used it.
    #[error("it has been used before: start the machine from the network again")]
    Used,
    /// It was given to another machine.
    #[error("it was given to the machine {0}")]
    OtherMachine(Mac),
    /// There is no such deployment any more.
    #[error("deployment {0} was taken back")]
    TakenBack(String),
    /// A start's name is needed.
    #[error("the client's name for this start of its machine has {0} bytes, 1 to {BOOT_LIMIT} are allowed")]
    Boot(usize),
}

impl Site {
    /// Makes `token`, with which the machine of this card may once ask for what the deployment gives.
    ///
    /// # Errors
    /// [`PxeError`]
    pub(crate) async fn issue_boot_token(&self, token: &str, mac: Mac, deployment: &str) -> Result<(), PxeError> {
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            let now = work.moment().await?.now;
            let sql = "SELECT COALESCE(MAX(turn), 0) + 1 FROM pxe_tokens";
            let turn: i64 = sqlx::query_scalar(sql).fetch_one(work.sql()).await?;
            sweep(&mut work, mac, turn, now).await?;
            let sql = "INSERT INTO pxe_tokens (turn, hash, mac, deployment, issued_ms, expires_ms, boot) \
                       VALUES ($1, $2, $3, $4, $5, $6, NULL)";
            let query = sqlx::query(sql).bind(turn).bind(hash(token)).bind(mac.to_string()).bind(deployment);
            query.bind(now).bind(now + millis(TOKEN_LIFE)).execute(work.sql()).await?;
            Ok(work.commit().await?)
        })
        .await
    }

    /// What a token opens, for a machine that has one of these cards, at the start of it that calls itself `boot`.
    ///
    /// # Errors
    /// [`PxeError::Token`]
    pub(crate) async fn redeem_boot_token(&self, token: &str, boot: &str, macs: &[Mac]) -> Result<Redeemed, PxeError> {
        if boot.is_empty() || boot.len() > BOOT_LIMIT {
            return Err(TokenRefusal::Boot(boot.len()).into());
        }
        let (hash, boot) = (hash(token), text(boot));
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            let now = work.moment().await?.now;
            let sql = "SELECT t.mac, t.deployment, t.expires_ms, t.boot, d.name, d.image FROM pxe_tokens t \
                       LEFT JOIN pxe_deployments d ON d.name = t.deployment WHERE t.hash = $1";
            let row = sqlx::query(sql).bind(&hash).fetch_optional(work.sql()).await?;
            let row = row.ok_or_else(|| PxeError::from(TokenRefusal::Unknown))?;
            let (deployment, used): (String, Option<String>) = (row.try_get("deployment")?, row.try_get("boot")?);
            let mac: Mac = crate::site::rows::parsed(&row, "mac")?;
            let refusal = match &used {
                _ if !macs.contains(&mac) => Some(TokenRefusal::OtherMachine(mac)),
                Some(used) if *used != boot => Some(TokenRefusal::Used),
                None if row.try_get::<i64, _>("expires_ms")? <= now => Some(TokenRefusal::Expired),
                _ if row.try_get::<Option<String>, _>("name")?.is_none() => {
                    Some(TokenRefusal::TakenBack(deployment.clone()))
                }
                _ => None,
            };
            if let Some(refusal) = refusal {
                return Err(PxeError::from(refusal).into());
            }
            if used.is_none() {
                let sql = "UPDATE pxe_tokens SET boot = $1 WHERE hash = $2";
                sqlx::query(sql).bind(&boot).bind(&hash).execute(work.sql()).await?;
            }
            work.commit().await?;
            Ok(Redeemed { deployment, image: row.try_get("image")?, mac })
        })
        .await
    }
}

/// Makes room for one more token of a machine.
async fn sweep(work: &mut Work, mac: Mac, turn: i64, now: i64) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM pxe_tokens WHERE turn <= $1 OR expires_ms < $2";
    sqlx::query(sql).bind(turn - MOST).bind(now - millis(REMEMBERED)).execute(work.sql()).await?;
    let sql = "DELETE FROM pxe_tokens WHERE mac = $1 AND turn <= (SELECT turn FROM pxe_tokens WHERE mac = $1 \
               ORDER BY turn DESC LIMIT 1 OFFSET $2)";
    sqlx::query(sql).bind(mac.to_string()).bind(OF_ONE_MACHINE - 1).execute(work.sql()).await?;
    Ok(())
}

fn hash(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}
