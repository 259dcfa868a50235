//! The servers of the site, and which of them are silent.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::{flag, text};
use super::work::{Lock, Moment, Work, millis};
use super::{ASK_LIMIT, Site, SiteError, WORK_LIMIT};

/// How often a server says that it lives.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// A server that was silent for so long counts as dead.
pub(crate) const SERVER_TIMEOUT: Duration = Duration::from_secs(15);
/// If no server at all beat for so long, the database was away. Short enough that
/// `BEAT` + `GAP` + 2 s until the next try stay below `SERVER_TIMEOUT`.
pub(super) const GAP: Duration = Duration::from_millis(7_500);

/// A server, as it presents itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ServerRow {
    /// Its own for ever.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Address and port of its control socket.
    pub(crate) control: String,
    /// URL of its HTTP side.
    pub(crate) http: String,
    /// Version of the program.
    pub(crate) version: String,
}

/// A server, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ServerSeen {
    /// What it said of itself.
    #[serde(flatten)]
    pub(crate) row: ServerRow,
    /// When it started, milliseconds since 1970.
    pub(crate) started_ms: i64,
    /// How long ago it was last heard, in milliseconds.
    pub(crate) silent_ms: u64,
    /// It left in order.
    pub(crate) stopped: bool,
    /// It left, or was not heard for [`SERVER_TIMEOUT`].
    pub(crate) dead: bool,
}

impl Site {
    /// Takes the server in, or back.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn register_server(&self, row: &ServerRow) -> Result<(), SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let moment = work.moment().await?;
            wake(&mut work, &moment).await?;
            let sql = "INSERT INTO servers (id, name, control, http, version, started_ms, beat_ms, stopped) \
                       VALUES ($1, $2, $3, $4, $5, $6, $6, 0) \
                       ON CONFLICT (id) DO UPDATE SET name = excluded.name, control = excluded.control, \
                       http = excluded.http, version = excluded.version, started_ms = excluded.started_ms, \
                       beat_ms = excluded.beat_ms, stopped = 0";
            let query = sqlx::query(sql).bind(&row.id).bind(text(&row.name)).bind(&row.control).bind(&row.http);
            query.bind(&row.version).bind(moment.now).execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }

    /// Says that the server lives. `false` if the site does not know it (any more), for example since its database
    /// was restored from a copy: it must register again.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn beat(&self, server: &str) -> Result<bool, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let moment = work.moment().await?;
            wake(&mut work, &moment).await?;
            let sql = "UPDATE servers SET beat_ms = $1 WHERE id = $2 AND stopped = 0";
            let known = sqlx::query(sql).bind(moment.now).bind(server).execute(work.sql()).await?;
            work.commit().await?;
            Ok(known.rows_affected() > 0)
        })
        .await
    }

    /// The server leaves in order: its places, tickets, images and commands go with it; its sessions that have not
    /// ended stay resumable, its leases from a DHCP server stay noted. Its recorder must have ended, or it would
    /// register the server again.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn retire_server(&self, server: &str) -> Result<(), SiteError> {
        self.free_places_of(server).await?;
        self.free_tickets_of(server).await?;
        self.within(WORK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            for sql in [
                "DELETE FROM images WHERE server = $1",
                "DELETE FROM commands WHERE server = $1",
                "UPDATE servers SET stopped = 1 WHERE id = $1",
            ] {
                sqlx::query(sql).bind(server).execute(work.sql()).await?;
            }
            work.commit().await
        })
        .await
    }

    /// All servers that the site remembers, by name.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn servers(&self) -> Result<Vec<ServerSeen>, SiteError> {
        self.within(WORK_LIMIT, async {
            let mut work = self.read().await?;
            let moment = work.moment().await?;
            let sql = "SELECT id, name, control, http, version, started_ms, beat_ms, stopped FROM servers \
                       ORDER BY name, id";
            let rows = sqlx::query(sql).fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(|row| server(row, &moment)).collect()
        })
        .await
    }
}

/// Notes that the site is awake; and since now, if it was not.
async fn wake(work: &mut Work, moment: &Moment) -> Result<(), sqlx::Error> {
    let sql = "UPDATE site SET since_ms = CASE WHEN beat_ms < $1 THEN $2 ELSE since_ms END, beat_ms = $2";
    sqlx::query(sql).bind(moment.now - millis(GAP)).bind(moment.now).execute(work.sql()).await?;
    Ok(())
}

fn server(row: &AnyRow, moment: &Moment) -> Result<ServerSeen, sqlx::Error> {
    let beat: i64 = row.try_get("beat_ms")?;
    let stopped = flag(row, "stopped")?;
    Ok(ServerSeen {
        row: ServerRow {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            control: row.try_get("control")?,
            http: row.try_get("http")?,
            version: row.try_get("version")?,
        },
        started_ms: row.try_get("started_ms")?,
        silent_ms: u64::try_from(moment.now - beat).unwrap_or(0),
        stopped,
        dead: stopped || beat < moment.alive_from(),
    })
}
