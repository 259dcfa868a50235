//! Clients of sessions: what machine received what, when, and how it ended.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::{big, insert, number, text};
use super::work::{Lock, Work};
use super::{Site, SiteError, WORK_LIMIT};

/// Rows of one statement: 12 parameters each, of 32,766 that SQLite takes.
const ROWS_AT_ONCE: usize = 50;
const COLUMNS: &str = "c.session, c.client, c.host, c.address, c.state, c.path, c.verified, c.blocks, c.loss, c.reason, \
                       c.joined_ms, c.ended_ms";

/// A client of a session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClientRow {
    /// Who it is.
    pub(crate) client: String,
    /// Its name for people.
    pub(crate) host: String,
    /// Where it is.
    pub(crate) address: String,
    /// A word of the caller's.
    pub(crate) state: String,
    /// By what it receives: `multicast`, `unicast`, …
    pub(crate) path: String,
    /// Blocks that it has verified.
    pub(crate) verified: u64,
    /// Blocks of the image.
    pub(crate) blocks: u64,
    /// Share of the datagrams that it lost, 0 to 1.
    pub(crate) loss: f64,
    /// Why it is slow, or went another way, or failed.
    pub(crate) reason: Option<String>,
    /// Milliseconds since 1970, the server's clock.
    pub(crate) joined_ms: i64,
    /// Milliseconds since 1970, the server's clock.
    pub(crate) ended_ms: Option<i64>,
}

/// A client with the session that it took part in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct HistoryRow {
    /// The session.
    pub(crate) session: String,
    /// What it sent.
    pub(crate) image: String,
    /// Version of the image.
    pub(crate) version: String,
    /// Name of the server that sent it; the id if the server is forgotten.
    pub(crate) server_name: String,
    /// The client.
    #[serde(flatten)]
    pub(crate) client: ClientRow,
}

impl Site {
    /// Notes clients of a session, or what became of them, in one transaction. Of two rows of one client the
    /// later one counts.
    ///
    /// # Errors
    /// [`SiteError`] of the database; then none is noted.
    pub(crate) async fn put_clients(&self, session: &str, rows: &[ClientRow]) -> Result<(), SiteError> {
        let latest: BTreeMap<&str, &ClientRow> = rows.iter().map(|row| (row.client.as_str(), row)).collect();
        let rows: Vec<&ClientRow> = latest.into_values().collect();
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            for rows in rows.chunks(ROWS_AT_ONCE) {
                put(&mut work, session, rows).await?;
            }
            work.commit().await
        })
        .await
    }

    /// The clients of a session, in the order in which they joined.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn clients(&self, session: &str) -> Result<Vec<ClientRow>, SiteError> {
        self.within(WORK_LIMIT, async {
            let sql = sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM clients c WHERE c.session = $1 ORDER BY c.joined_ms, c.client"
            ));
            let mut work = self.read().await?;
            let rows = sqlx::query(sql).bind(session).fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(client).collect()
        })
        .await
    }

    /// What machine received what, when and how it ended: the `limit` that joined last, of one image or of all.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn history(&self, limit: u32, image: Option<&str>) -> Result<Vec<HistoryRow>, SiteError> {
        self.within(WORK_LIMIT, async {
            let sql = sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS}, s.image, s.version, COALESCE(v.name, s.server) AS server_name FROM clients c \
                 JOIN sessions s ON s.id = c.session LEFT JOIN servers v ON v.id = s.server \
                 WHERE $1 IS NULL OR s.image = $1 ORDER BY c.joined_ms DESC, c.session, c.client LIMIT $2"
            ));
            let mut work = self.read().await?;
            let rows = sqlx::query(sql).bind(image).bind(i64::from(limit)).fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(history).collect()
        })
        .await
    }
}

async fn put(work: &mut Work, session: &str, rows: &[&ClientRow]) -> Result<(), sqlx::Error> {
    let sql = insert(
        "INSERT INTO clients (session, client, host, address, state, path, verified, blocks, loss, reason, joined_ms, \
         ended_ms) VALUES",
        rows.len(),
        12,
        "ON CONFLICT (session, client) DO UPDATE SET host = excluded.host, address = excluded.address, \
         state = excluded.state, path = excluded.path, verified = excluded.verified, blocks = excluded.blocks, \
         loss = excluded.loss, reason = excluded.reason, joined_ms = excluded.joined_ms, ended_ms = excluded.ended_ms",
    );
    // Only the full statement comes again and again.
    let mut query = sqlx::query(sql).persistent(rows.len() == ROWS_AT_ONCE);
    for row in rows {
        query = query.bind(session).bind(&row.client).bind(text(&row.host)).bind(&row.address).bind(&row.state);
        query = query.bind(&row.path).bind(big(row.verified)).bind(big(row.blocks)).bind(row.loss);
        query = query.bind(row.reason.as_deref().map(text)).bind(row.joined_ms).bind(row.ended_ms);
    }
    query.execute(work.sql()).await?;
    Ok(())
}

fn client(row: &AnyRow) -> Result<ClientRow, sqlx::Error> {
    Ok(ClientRow {
        client: row.try_get("client")?,
        host: row.try_get("host")?,
        address: row.try_get("address")?,
        state: row.try_get("state")?,
        path: row.try_get("path")?,
        verified: number(row, "verified")?,
        blocks: number(row, "blocks")?,
        loss: row.try_get("loss")?,
        reason: row.try_get("reason")?,
        joined_ms: row.try_get("joined_ms")?,
        ended_ms: row.try_get("ended_ms")?,
    })
}

fn history(row: &AnyRow) -> Result<HistoryRow, sqlx::Error> {
    Ok(HistoryRow {
        session: row.try_get("session")?,
        image: row.try_get("image")?,
        version: row.try_get("version")?,
        server_name: row.try_get("server_name")?,
        client: client(row)?,
    })
}
