//! Sessions of all servers, now and in the past.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::{big, flag, number, text};
use super::work::{Lock, Moment};
use super::{Site, SiteError, WORK_LIMIT};

/// Sessions that are deleted in one transaction.
const PRUNED_AT_ONCE: i64 = 50;
const COLUMNS: &str = "s.id, s.server, s.image, s.version, s.group_address, s.port, s.state, s.started, s.rate_bits, \
                       s.bytes, s.sent_bytes, s.opened_ms, s.ended_ms, s.outcome, s.clients, s.complete, s.detail";

/// A session, as its server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SessionRow {
    /// Unique in the site, for ever.
    pub(crate) id: String,
    /// Whose it is.
    pub(crate) server: String,
    /// What it sends.
    pub(crate) image: String,
    /// Version of the image.
    pub(crate) version: String,
    /// Group address.
    pub(crate) group: String,
    /// UDP port of the group.
    pub(crate) port: u16,
    /// A word of the caller's.
    pub(crate) state: String,
    /// Whether it waits no more.
    pub(crate) started: bool,
    /// Bits per second on the wire.
    pub(crate) rate_bits: u64,
    /// Size of the image.
    pub(crate) bytes: u64,
    /// Bytes that were sent.
    pub(crate) sent_bytes: u64,
    /// Milliseconds since 1970, the server's clock.
    pub(crate) opened_ms: i64,
    /// Milliseconds since 1970, the server's clock.
    pub(crate) ended_ms: Option<i64>,
    /// How it ended, a word of the caller's.
    pub(crate) outcome: Option<String>,
    /// How many took part.
    pub(crate) clients: u32,
    /// How many of them have the image.
    pub(crate) complete: u32,
    /// What its server needs to resume it; any text.
    pub(crate) detail: String,
}

/// A session, as other servers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SessionSeen {
    /// What its server says.
    #[serde(flatten)]
    pub(crate) row: SessionRow,
    /// Its server's name; the id if the server is forgotten.
    pub(crate) server_name: String,
    /// Its server left or is silent.
    pub(crate) dead: bool,
}

/// Which sessions to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionFilter {
    /// Those that have not ended, oldest first.
    Live,
    /// Those that have, newest end first.
    Ended {
        /// How many at most.
        limit: u32,
    },
}

impl Site {
    /// Notes a session, or what became of it.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn put_session(&self, row: &SessionRow) -> Result<(), SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let sql = "INSERT INTO sessions (id, server, image, version, group_address, port, state, started, \
                       rate_bits, bytes, sent_bytes, opened_ms, ended_ms, outcome, clients, complete, detail) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
                       ON CONFLICT (id) DO UPDATE SET server = excluded.server, image = excluded.image, \
                       version = excluded.version, group_address = excluded.group_address, port = excluded.port, \
                       state = excluded.state, started = excluded.started, rate_bits = excluded.rate_bits, \
                       bytes = excluded.bytes, sent_bytes = excluded.sent_bytes, opened_ms = excluded.opened_ms, \
                       ended_ms = excluded.ended_ms, outcome = excluded.outcome, clients = excluded.clients, \
                       complete = excluded.complete, detail = excluded.detail";
            let query = sqlx::query(sql).bind(&row.id).bind(&row.server).bind(&row.image).bind(&row.version);
            let query = query.bind(&row.group).bind(i64::from(row.port)).bind(&row.state);
            let query = query.bind(i64::from(row.started)).bind(big(row.rate_bits)).bind(big(row.bytes));
            let query = query.bind(big(row.sent_bytes)).bind(row.opened_ms).bind(row.ended_ms);
            let query = query.bind(row.outcome.as_deref().map(text)).bind(i64::from(row.clients));
            query.bind(i64::from(row.complete)).bind(&row.detail).execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }

    /// Sessions of all servers.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn sessions(&self, filter: SessionFilter) -> Result<Vec<SessionSeen>, SiteError> {
        let (which, limit) = match filter {
            SessionFilter::Live => ("s.ended_ms IS NULL ORDER BY s.opened_ms, s.id LIMIT $1", i64::MAX),
            SessionFilter::Ended { limit } => {
                ("s.ended_ms IS NOT NULL ORDER BY s.ended_ms DESC, s.id LIMIT $1", i64::from(limit))
            }
        };
        self.within(WORK_LIMIT, async {
            let sql = sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS}, COALESCE(v.name, s.server) AS server_name, COALESCE(v.beat_ms, 0) AS beat_ms, \
                 COALESCE(v.stopped, 1) AS stopped FROM sessions s LEFT JOIN servers v ON v.id = s.server WHERE {which}"
            ));
            let mut work = self.read().await?;
            let moment = work.moment().await?;
            let rows = sqlx::query(sql).bind(limit).fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(|row| seen(row, &moment)).collect()
        })
        .await
    }

    /// The server's sessions that never ended, since it was killed: what it can resume.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn resumable(&self, server: &str) -> Result<Vec<SessionRow>, SiteError> {
        self.within(WORK_LIMIT, async {
            let sql = sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM sessions s WHERE s.ended_ms IS NULL AND s.server = $1 ORDER BY s.opened_ms, s.id"
            ));
            let mut work = self.read().await?;
            let rows = sqlx::query(sql).bind(server).fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(session).collect()
        })
        .await
    }

    /// Forgets what is older than so many days: sessions with their clients, servers that were not heard since with
    /// their images and sessions. Gives the number of sessions.
    ///
    /// # Errors
    /// [`SiteError`] of the database; what was forgotten before stays so.
    pub(crate) async fn prune(&self, older_than_days: u32) -> Result<u64, SiteError> {
        let age = i64::from(older_than_days) * 86_400_000;
        self.prune_servers(age).await?;
        let mut total = 0;
        // Little by little, so that nobody waits for long.
        loop {
            let count = self.within(WORK_LIMIT, self.prune_sessions(age)).await?;
            if count == 0 {
                return Ok(total);
            }
            total += count;
        }
    }

    async fn prune_servers(&self, age: i64) -> Result<(), SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let until = work.moment().await?.now - age;
            for sql in [
                "UPDATE sessions SET ended_ms = opened_ms, outcome = 'lost' WHERE ended_ms IS NULL \
                 AND server IN (SELECT id FROM servers WHERE beat_ms < $1)",
                "DELETE FROM images WHERE server IN (SELECT id FROM servers WHERE beat_ms < $1)",
                "DELETE FROM leases WHERE server IN (SELECT id FROM servers WHERE beat_ms < $1)",
                "DELETE FROM places WHERE server IN (SELECT id FROM servers WHERE beat_ms < $1)",
                "DELETE FROM tickets WHERE server IN (SELECT id FROM servers WHERE beat_ms < $1)",
                "DELETE FROM servers WHERE beat_ms < $1",
            ] {
                sqlx::query(sql).bind(until).execute(work.sql()).await?;
            }
            work.commit().await
        })
        .await
    }

    async fn prune_sessions(&self, age: i64) -> Result<u64, sqlx::Error> {
        let mut work = self.write(Lock::None).await?;
        let until = work.moment().await?.now - age;
        let sql = "DELETE FROM clients WHERE session IN (SELECT id FROM sessions WHERE ended_ms < $1 \
                   ORDER BY ended_ms, id LIMIT $2)";
        sqlx::query(sql).bind(until).bind(PRUNED_AT_ONCE).execute(work.sql()).await?;
        let sql = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ended_ms < $1 \
                   ORDER BY ended_ms, id LIMIT $2)";
        let gone = sqlx::query(sql).bind(until).bind(PRUNED_AT_ONCE).execute(work.sql()).await?;
        work.commit().await?;
        Ok(gone.rows_affected())
    }
}

fn seen(row: &AnyRow, moment: &Moment) -> Result<SessionSeen, sqlx::Error> {
    let beat: i64 = row.try_get("beat_ms")?;
    Ok(SessionSeen {
        row: session(row)?,
        server_name: row.try_get("server_name")?,
        dead: flag(row, "stopped")? || beat < moment.alive_from(),
    })
}

fn session(row: &AnyRow) -> Result<SessionRow, sqlx::Error> {
    Ok(SessionRow {
        id: row.try_get("id")?,
        server: row.try_get("server")?,
        image: row.try_get("image")?,
        version: row.try_get("version")?,
        group: row.try_get("group_address")?,
        port: number(row, "port")?,
        state: row.try_get("state")?,
        started: flag(row, "started")?,
        rate_bits: number(row, "rate_bits")?,
        bytes: number(row, "bytes")?,
        sent_bytes: number(row, "sent_bytes")?,
        opened_ms: row.try_get("opened_ms")?,
        ended_ms: row.try_get("ended_ms")?,
        outcome: row.try_get("outcome")?,
        clients: number(row, "clients")?,
        complete: number(row, "complete")?,
        detail: row.try_get("detail")?,
    })
}
