//! What machines are to boot, and what they have booted already.

use std::collections::HashSet;
use std::time::Duration;

use pxe::boot::{Deployment, Doer, Occasion, Target, script};
use pxe::machine::Mac;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::error::Fault;
use super::{PxeError, check_name, computers, time_of, touch};
use crate::amounts::NAME_LIMIT;
use crate::site::rows::{flag, number, parsed};
use crate::site::work::{Lock, Work};
use crate::site::{ASK_LIMIT, Site, SiteError, WORK_LIMIT};

/// Seconds that a machine may wait for a key.
const LONGEST_WAIT: u32 = 3600;

/// What some machines are to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeploymentRow {
    /// Unique in the site.
    pub(crate) name: String,
    /// Whom it is for.
    pub(crate) target: DeploymentTarget,
    /// Name of the boot image.
    pub(crate) boot_image: String,
    /// Name of the image that the booted client receives.
    #[serde(default)]
    pub(crate) image: Option<String>,
    /// It boots if a key is pressed within so many seconds; without it, it boots by itself.
    #[serde(default)]
    pub(crate) wait_s: Option<u32>,
    /// Each machine boots it once.
    #[serde(default)]
    pub(crate) once: bool,
    /// Until when it counts, milliseconds since 1970.
    #[serde(default)]
    pub(crate) until_ms: Option<i64>,
}

/// Whom a deployment is for: `"known"`, or `{"computer": "pc-7"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeploymentTarget {
    /// One computer, by its name.
    Computer(String),
    /// Every machine that the site knows.
    Known,
    /// Every machine that it does not know.
    Unknown,
    /// Every machine.
    All,
}

/// Where in the order of deployments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Position {
    First,
    Last,
    /// In front of this one.
    Before(String),
}

/// A machine has booted what was for once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoneRow {
    pub(crate) deployment: String,
    pub(crate) by: Doer,
    /// Milliseconds since 1970, the database's clock.
    pub(crate) done_ms: i64,
}

/// Who has booted what was for once, or has not after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoneMark {
    pub(crate) deployment: String,
    pub(crate) by: Doer,
    /// By which card.
    pub(crate) mac: Mac,
    pub(crate) done: bool,
}

impl DeploymentRow {
    fn check(&self) -> Result<(), PxeError> {
        check_name("deployment name", &self.name)?;
        check_name("boot image", &self.boot_image)?;
        let invalid = |what, value: String, reason: String| Err(PxeError::Invalid { what, value, reason });
        if let Some(image) = &self.image {
            let reason = match image.len() {
                0 => Some("it is empty".to_owned()),
                bytes if bytes > NAME_LIMIT => Some(format!("it has {bytes} bytes, at most {NAME_LIMIT} are allowed")),
                _ => (!script::can_name(image)).then(|| {
                    "a booted client cannot be told a name with control characters, quotes, \\, $, two spaces in a row, \
                     or a word that is ; || or && or begins with #"
                        .to_owned()
                }),
            };
            if let Some(reason) = reason {
                return invalid("image", image.clone(), reason);
            }
        }
        if let Some(wait) = self.wait_s.filter(|wait| !(1..=LONGEST_WAIT).contains(wait)) {
            return invalid("wait", format!("{wait} s"), format!("it lies outside of 1 to {LONGEST_WAIT} s"));
        }
        match self.until_ms.filter(|until| *until <= 0) {
            Some(until) => invalid("until", until.to_string(), "it is no time after 1970".to_owned()),
            None => Ok(()),
        }
    }
}

impl DeploymentTarget {
    fn word(&self) -> &'static str {
        match self {
            Self::Computer(_) => "computer",
            Self::Known => "known",
            Self::Unknown => "unknown",
            Self::All => "all",
        }
    }

    fn computer(&self) -> Option<&str> {
        match self {
            Self::Computer(name) => Some(name),
            Self::Known | Self::Unknown | Self::All => None,
        }
    }
}

impl From<DeploymentRow> for Deployment {
    fn from(row: DeploymentRow) -> Self {
        Self {
            name: row.name,
            target: match row.target {
                DeploymentTarget::Computer(name) => Target::Computer(name),
                DeploymentTarget::Known => Target::Known,
                DeploymentTarget::Unknown => Target::Unknown,
                DeploymentTarget::All => Target::All,
            },
            boot_image: row.boot_image,
            image: row.image,
            occasion: match row.wait_s {
                None => Occasion::Required,
                Some(wait) => Occasion::Available(Duration::from_secs(wait.into())),
            },
            once: row.once,
            until: row.until_ms.map(time_of),
        }
    }
}

impl Site {
    /// Takes a deployment in, behind all others.
    ///
    /// # Errors
    /// [`PxeError`]
    pub(crate) async fn add_deployment(&self, row: &DeploymentRow) -> Result<(), PxeError> {
        row.check()?;
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            if turn_of(&mut work, &row.name).await?.is_some() {
                return Err(PxeError::Exists { what: "deployment", name: row.name.clone() }.into());
            }
            let sql = "SELECT COALESCE(MAX(turn), 0) + 1 FROM pxe_deployments";
            let turn = sqlx::query_scalar(sql).fetch_one(work.sql()).await?;
            put(&mut work, row, turn).await?;
            touch(&mut work).await?;
            Ok(work.commit().await?)
        })
        .await
    }

    /// Makes another one of the deployment `name`, in its place. It keeps who has done it, also under another name.
    ///
    /// # Errors
    /// [`PxeError`]; then it stays as it was.
    pub(crate) async fn change_deployment(&self, name: &str, row: &DeploymentRow) -> Result<(), PxeError> {
        row.check()?;
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            let turn = turn_of(&mut work, name).await?.ok_or_else(|| missing(name))?;
            if name != row.name && turn_of(&mut work, &row.name).await?.is_some() {
                return Err(PxeError::Exists { what: "deployment", name: row.name.clone() }.into());
            }
            sqlx::query("DELETE FROM pxe_deployments WHERE name = $1").bind(name).execute(work.sql()).await?;
            put(&mut work, row, turn).await?;
            let sql = "UPDATE pxe_done_by SET deployment = $1 WHERE deployment = $2";
            sqlx::query(sql).bind(&row.name).bind(name).execute(work.sql()).await?;
            touch(&mut work).await?;
            Ok(work.commit().await?)
        })
        .await
    }

    /// Gives a deployment another place in the order.
    ///
    /// # Errors
    /// [`PxeError`]
    pub(crate) async fn move_deployment(&self, name: &str, to: &Position) -> Result<(), PxeError> {
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            let sql = "SELECT name FROM pxe_deployments ORDER BY turn";
            let mut names: Vec<String> = sqlx::query_scalar(sql).fetch_all(work.sql()).await?;
            let find = |names: &[String], name: &str| names.iter().position(|other| other == name);
            let at = find(&names, name).ok_or_else(|| missing(name))?;
            let moved = names.remove(at);
            let to = match to {
                Position::First => 0,
                Position::Last => names.len(),
                Position::Before(other) if other == name => at,
                Position::Before(other) => find(&names, other).ok_or_else(|| missing(other))?,
            };
            names.insert(to, moved);
            for (turn, name) in (1_i64..).zip(&names) {
                let sql = "UPDATE pxe_deployments SET turn = $1 WHERE name = $2";
                sqlx::query(sql).bind(turn).bind(name).execute(work.sql()).await?;
            }
            touch(&mut work).await?;
            Ok(work.commit().await?)
        })
        .await
    }

    /// Takes a deployment back; tokens for it open nothing any more.
    ///
    /// # Errors
    /// [`PxeError`]
    pub(crate) async fn remove_deployment(&self, name: &str) -> Result<(), PxeError> {
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            turn_of(&mut work, name).await?.ok_or_else(|| missing(name))?;
            for sql in [
                "DELETE FROM pxe_deployments WHERE name = $1",
                "DELETE FROM pxe_done_by WHERE deployment = $1",
                "DELETE FROM pxe_tokens WHERE deployment = $1",
            ] {
                sqlx::query(sql).bind(name).execute(work.sql()).await?;
            }
            touch(&mut work).await?;
            Ok(work.commit().await?)
        })
        .await
    }

    /// All deployments in their order.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn deployments(&self) -> Result<Vec<DeploymentRow>, SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.read().await?;
            let deployments = all(&mut work).await?;
            work.finish();
            Ok(deployments)
        })
        .await
    }

    /// Notes who has booted what was for once, or has not after all. What is deployed no more is left out; what a
    /// computer did that has another name now, or is forgotten, was done by its card.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn put_done(&self, marks: &[DoneMark]) -> Result<(), SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::Pxe).await?;
            let now = work.moment().await?.now;
            let mut changed = 0;
            for DoneMark { deployment, by, mac, done } in marks {
                let card = Doer::Machine(*mac);
                let by = match by {
                    Doer::Computer(name) if !computers::exists(&mut work, name).await? => &card,
                    by => by,
                };
                if !done {
                    changed += forget(&mut work, deployment, by).await?;
                    continue;
                }
                let sql = "INSERT INTO pxe_done_by (deployment, known, who, mac, done_ms) \
                           SELECT name, $1, $2, $3, $4 FROM pxe_deployments WHERE name = $5 \
                           ON CONFLICT (deployment, known, who) DO NOTHING";
                let query = sqlx::query(sql).bind(is_known(by)).bind(by.to_string()).bind(mac.to_string()).bind(now);
                changed += query.bind(deployment).execute(work.sql()).await?.rows_affected();
            }
            if changed > 0 {
                touch(&mut work).await?;
            }
            work.commit().await
        })
        .await
    }

    /// Lets these, or all, boot a deployment for once another time. How many marks of it there were.
    ///
    /// # Errors
    /// [`PxeError`]
    pub(crate) async fn forget_done(&self, deployment: &str, who: Option<&[Doer]>) -> Result<u64, PxeError> {
        self.judged(async {
            let mut work = self.write(Lock::Pxe).await?;
            turn_of(&mut work, deployment).await?.ok_or_else(|| missing(deployment))?;
            let mut gone = 0;
            match who {
                None => {
                    let sql = "DELETE FROM pxe_done_by WHERE deployment = $1";
                    gone = sqlx::query(sql).bind(deployment).execute(work.sql()).await?.rows_affected();
                }
                Some(who) => {
                    for by in who {
                        gone += forget(&mut work, deployment, by).await?;
                    }
                }
            }
            touch(&mut work).await?;
            work.commit().await?;
            Ok(gone)
        })
        .await
    }

    /// Who has booted what was for once, by deployment, the last one first.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn done(&self) -> Result<Vec<DoneRow>, SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.read().await?;
            let sql = "SELECT deployment, known, who, done_ms FROM pxe_done_by ORDER BY deployment, done_ms DESC, who";
            let rows = sqlx::query(sql).fetch_all(work.sql()).await?;
            work.finish();
            let done = |row: &AnyRow| {
                let (deployment, by) = done_by(row)?;
                Ok(DoneRow { deployment, by, done_ms: row.try_get("done_ms")? })
            };
            rows.iter().map(done).collect()
        })
        .await
    }
}

/// All deployments in their order.
pub(super) async fn all(work: &mut Work) -> Result<Vec<DeploymentRow>, sqlx::Error> {
    let sql = "SELECT name, target, computer, boot_image, image, wait_s, once, until_ms FROM pxe_deployments \
               ORDER BY turn";
    sqlx::query(sql).fetch_all(work.sql()).await?.iter().map(deployment).collect()
}

/// Who has done what.
pub(super) async fn all_done(work: &mut Work) -> Result<HashSet<(String, Doer)>, sqlx::Error> {
    let rows = sqlx::query("SELECT deployment, known, who FROM pxe_done_by").fetch_all(work.sql()).await?;
    rows.iter().map(done_by).collect()
}

fn done_by(row: &AnyRow) -> Result<(String, Doer), sqlx::Error> {
    let by = match flag(row, "known")? {
        true => Doer::Computer(row.try_get("who")?),
        false => Doer::Machine(parsed(row, "who")?),
    };
    Ok((row.try_get("deployment")?, by))
}

fn is_known(by: &Doer) -> i64 {
    i64::from(matches!(by, Doer::Computer(_)))
}

/// Takes back a mark; how many there were.
async fn forget(work: &mut Work, deployment: &str, by: &Doer) -> Result<u64, sqlx::Error> {
    let sql = "DELETE FROM pxe_done_by WHERE deployment = $1 AND known = $2 AND who = $3";
    let query = sqlx::query(sql).bind(deployment).bind(is_known(by)).bind(by.to_string());
    Ok(query.execute(work.sql()).await?.rows_affected())
}

fn missing(name: &str) -> PxeError {
    PxeError::Missing { what: "deployment", name: name.to_owned() }
}

/// Its place in the order, if there is one of this name.
async fn turn_of(work: &mut Work, name: &str) -> Result<Option<i64>, sqlx::Error> {
    let sql = "SELECT turn FROM pxe_deployments WHERE name = $1";
    sqlx::query_scalar(sql).bind(name).fetch_optional(work.sql()).await
}

/// Writes a deployment of a name that is free; with [`Lock::Pxe`].
async fn put(work: &mut Work, row: &DeploymentRow, turn: i64) -> Result<(), Fault> {
    if let Some(computer) = row.target.computer()
        && !computers::exists(work, computer).await?
    {
        return Err(computers::missing(computer).into());
    }
    let sql = "INSERT INTO pxe_deployments (name, turn, target, computer, boot_image, image, wait_s, once, until_ms) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let query = sqlx::query(sql).bind(&row.name).bind(turn).bind(row.target.word()).bind(row.target.computer());
    let query = query.bind(&row.boot_image).bind(row.image.as_deref()).bind(row.wait_s.map(i64::from));
    query.bind(i64::from(row.once)).bind(row.until_ms).execute(work.sql()).await?;
    Ok(())
}

fn deployment(row: &AnyRow) -> Result<DeploymentRow, sqlx::Error> {
    let target: String = row.try_get("target")?;
    let target = match target.as_str() {
        "computer" => DeploymentTarget::Computer(row.try_get("computer")?),
        "known" => DeploymentTarget::Known,
        "unknown" => DeploymentTarget::Unknown,
        "all" => DeploymentTarget::All,
        other => {
            let source = format!("there is no target {other:?}").into();
            return Err(sqlx::Error::ColumnDecode { index: "target".into(), source });
        }
    };
    let wait: Option<i64> = row.try_get("wait_s")?;
    Ok(DeploymentRow {
        name: row.try_get("name")?,
        target,
        boot_image: row.try_get("boot_image")?,
        image: row.try_get("image")?,
        wait_s: wait.map(|_| number(row, "wait_s")).transpose()?,
        once: flag(row, "once")?,
        until_ms: row.try_get("until_ms")?,
    })
}
