//! What happened to machines, the newest of it.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use pxe::boot::{BootNote, Stage};
use pxe::machine::{Mac, Platform, Uuid};
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::computers::maybe;
use super::moment_of;
use crate::site::rows::{flag, insert, parsed, text};
use crate::site::work::{Lock, Work, millis};
use crate::site::{Site, SiteError, WORK_LIMIT};

/// Notes that are kept at most, some 10 MB of them.
pub(crate) const BOOTS_KEPT: i64 = 50_000;
/// Rows of one statement: 11 parameters each.
const ROWS_AT_ONCE: usize = 50;
/// Bytes of a text: nobody reads more in a line.
const TEXT_LIMIT: usize = 500;

/// Something that happened to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BootRow {
    /// Milliseconds since 1970, the server's clock.
    pub(crate) at_ms: i64,
    /// The card that it asked through.
    pub(crate) mac: Mac,
    /// Its board, if it said one that means something.
    pub(crate) uuid: Option<Uuid>,
    /// Its firmware, if it said so.
    pub(crate) platform: Option<Platform>,
    /// Its address, once it has one.
    pub(crate) address: Option<Ipv4Addr>,
    /// How far it is: `dhcp`, `loader`, `script`, `kernel`, `client` or `disk`.
    pub(crate) stage: String,
    /// The deployment that was chosen.
    pub(crate) deployment: Option<String>,
    /// What it was answered, or why it was not.
    pub(crate) text: String,
    /// It was refused something.
    pub(crate) refused: bool,
}

/// Something that happened, and which server saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BootSeen {
    /// Higher is later; for [`BootFilter::before`].
    pub(crate) id: i64,
    #[serde(flatten)]
    pub(crate) row: BootRow,
    /// Name of the server; its id if the site has forgotten it.
    pub(crate) server_name: String,
    /// The computer whose card it is, by now.
    pub(crate) computer: Option<String>,
}

/// Which notes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BootFilter {
    /// Of this machine.
    pub(crate) mac: Option<Mac>,
    /// Refusals.
    pub(crate) refused: bool,
    /// Before the one of this id.
    pub(crate) before: Option<i64>,
    /// So many at most.
    pub(crate) limit: u32,
}

impl BootRow {
    /// Of what happened at this time.
    pub(crate) fn new(at: SystemTime, note: &BootNote) -> Self {
        Self {
            at_ms: moment_of(at),
            mac: note.machine.mac,
            uuid: note.machine.uuid,
            platform: note.machine.platform,
            address: note.address,
            stage: Stage::name(note.stage).to_owned(),
            deployment: note.deployment.clone(),
            text: note.text.clone(),
            refused: note.refused,
        }
    }
}

impl Site {
    /// Notes what happened, in this order, and forgets the oldest of what is too much.
    ///
    /// # Errors
    /// [`SiteError`] of the database; then nothing is noted.
    pub(crate) async fn put_boots(&self, server: &str, rows: &[BootRow]) -> Result<(), SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::Pxe).await?;
            let sql = "SELECT COALESCE(MAX(turn), 0) + 1 FROM pxe_boots";
            let mut turn: i64 = sqlx::query_scalar(sql).fetch_one(work.sql()).await?;
            for rows in rows.chunks(ROWS_AT_ONCE) {
                turn = put(&mut work, server, rows, turn).await?;
            }
            let sql = "DELETE FROM pxe_boots WHERE turn < $1";
            sqlx::query(sql).bind(turn - BOOTS_KEPT).execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }

    /// What happened, the newest first.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn boots(&self, filter: &BootFilter) -> Result<Vec<BootSeen>, SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.read().await?;
            let sql = "SELECT b.turn, b.at_ms, b.mac, b.uuid, b.platform, b.address, b.stage, b.deployment, \
                       b.message, b.refused, c.computer, COALESCE(v.name, b.server) AS server_name FROM pxe_boots b \
                       LEFT JOIN servers v ON v.id = b.server LEFT JOIN pxe_cards c ON c.mac = b.mac \
                       WHERE ($1 = '' OR b.mac = $1) AND b.refused >= $2 AND b.turn < $3 \
                       ORDER BY b.turn DESC LIMIT $4";
            let mac = filter.mac.map_or_else(String::new, |mac| mac.to_string());
            let query = sqlx::query(sql).bind(mac).bind(i64::from(filter.refused));
            let query = query.bind(filter.before.unwrap_or(i64::MAX)).bind(i64::from(filter.limit));
            let rows = query.fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(seen).collect()
        })
        .await
    }

    /// Forgets what happened longer ago than so many days, and addresses whose time was over then. How many rows.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn prune_pxe(&self, days: u32) -> Result<u64, SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::Pxe).await?;
            let until = work.moment().await?.now - millis(Duration::from_secs(u64::from(days) * 86_400));
            let mut gone = 0;
            for sql in ["DELETE FROM pxe_boots WHERE at_ms < $1", "DELETE FROM pxe_leases WHERE until_ms < $1"] {
                gone += sqlx::query(sql).bind(until).execute(work.sql()).await?.rows_affected();
            }
            work.commit().await?;
            Ok(gone)
        })
        .await
    }
}

/// Writes rows from `turn` on, and gives the next turn.
async fn put(work: &mut Work, server: &str, rows: &[BootRow], turn: i64) -> Result<i64, sqlx::Error> {
    let head = "INSERT INTO pxe_boots (turn, at_ms, server, mac, uuid, platform, address, stage, deployment, message, \
                refused) VALUES";
    let mut query = sqlx::query(insert(head, rows.len(), 11, "")).persistent(rows.len() == ROWS_AT_ONCE);
    let mut next = turn;
    for row in rows {
        query = query.bind(next).bind(row.at_ms).bind(server).bind(row.mac.to_string());
        query = query.bind(row.uuid.map(|uuid| uuid.to_string())).bind(row.platform.map(Platform::name));
        query = query.bind(row.address.map(|address| address.to_string())).bind(&row.stage);
        query = query.bind(row.deployment.as_deref().map(text)).bind(text(clipped(&row.text)));
        query = query.bind(i64::from(row.refused));
        next += 1;
    }
    query.execute(work.sql()).await?;
    Ok(next)
}

/// The beginning of a text.
fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_LIMIT)).unwrap_or(text)
}

fn seen(row: &AnyRow) -> Result<BootSeen, sqlx::Error> {
    Ok(BootSeen {
        id: row.try_get("turn")?,
        row: BootRow {
            at_ms: row.try_get("at_ms")?,
            mac: parsed(row, "mac")?,
            uuid: maybe(row, "uuid")?,
            platform: maybe(row, "platform")?,
            address: maybe(row, "address")?,
            stage: row.try_get("stage")?,
            deployment: row.try_get("deployment")?,
            text: row.try_get("message")?,
            refused: flag(row, "refused")?,
        },
        server_name: row.try_get("server_name")?,
        computer: row.try_get("computer")?,
    })
}
