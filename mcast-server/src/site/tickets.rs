//! Tickets: who is served and who waits, counted over the whole site.
//!
//! A ticket is one client's for one image. Whoever is admitted keeps it until it is freed; whoever waits asks again
//! from time to time, and its place is kept as long as it does.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::{flag, number, text};
use super::work::{Lock, Moment, Work, millis};
use super::{ASK_LIMIT, Site, SiteError};

/// Who waits and has not asked for so long loses its place.
pub(crate) const QUEUE_PATIENCE: Duration = Duration::from_secs(10);

/// A client's wish to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TicketAsk<'a> {
    /// Which server it asked.
    pub(crate) server: &'a str,
    /// What it wants.
    pub(crate) image: &'a str,
    /// Who it is.
    pub(crate) client: &'a str,
    /// Its name for people.
    pub(crate) host: &'a str,
    /// A higher one is served first.
    pub(crate) priority: i32,
    /// How many may be served at once in the site; `None`: any number.
    pub(crate) cap: Option<u32>,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    /// It is served.
    Admitted,
    /// It waits, and asks again before [`QUEUE_PATIENCE`] is over.
    Queued {
        /// Its place in the queue, from 1.
        place: u32,
        /// How many wait, it included.
        waiting: u32,
        /// How many are served.
        admitted: u32,
    },
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TicketRow {
    /// The image.
    pub(crate) image: String,
    /// The client.
    pub(crate) client: String,
    /// The server that it asked last.
    pub(crate) server: String,
    /// Its name for people.
    pub(crate) host: String,
    /// A higher one is served first.
    pub(crate) priority: i32,
    /// Whether it is served.
    pub(crate) admitted: bool,
    /// How long ago it last asked, in milliseconds.
    pub(crate) silent_ms: u64,
}

impl Site {
    /// Asks to serve a client. The same client may ask again for the same image, at any server.
    ///
    /// # Errors
    /// [`SiteError`] of the database, within [`ASK_LIMIT`].
    pub(crate) async fn ask_ticket(&self, ask: TicketAsk<'_>) -> Result<Verdict, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::Tickets).await?;
            let verdict = judge(&mut work, &ask).await?;
            work.commit().await?;
            Ok(verdict)
        })
        .await
    }

    /// The client is served no more, or waits no more.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    #[cfg(test)]
    pub(crate) async fn free_ticket(&self, image: &str, client: &str) -> Result<(), SiteError> {
        self.free_ticket_after(image, client, Duration::ZERO).await
    }

    /// As [`free_ticket`](Self::free_ticket), decided `age` ago: if the client has asked since, it stays.
    pub(super) async fn free_ticket_after(&self, image: &str, client: &str, age: Duration) -> Result<(), SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.write(Lock::None).await?;
            let until = work.moment().await?.now - millis(age);
            let sql = "DELETE FROM tickets WHERE image = $1 AND client = $2 AND asked_ms <= $3";
            sqlx::query(sql).bind(image).bind(client).bind(until).execute(work.sql()).await?;
            work.commit().await
        })
        .await
    }

    /// Frees all tickets that were asked for at this server, for example when it starts without resuming sessions.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn free_tickets_of(&self, server: &str) -> Result<(), SiteError> {
        self.change(Lock::Tickets, "DELETE FROM tickets WHERE server = $1", &[server]).await
    }

    /// How many clients the site serves.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    #[cfg(test)]
    pub(crate) async fn ticket_count(&self) -> Result<u32, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.read().await?;
            let alive = work.moment().await?.alive_from();
            let sql = "SELECT COUNT(*) AS admitted FROM tickets WHERE admitted = 1 \
                       AND server IN (SELECT id FROM servers WHERE stopped = 0 AND beat_ms >= $1)";
            let row = sqlx::query(sql).bind(alive).fetch_one(work.sql()).await?;
            work.finish();
            number(&row, "admitted")
        })
        .await
    }

    /// Who is served, and then who waits in its order.
    ///
    /// # Errors
    /// [`SiteError`] of the database.
    pub(crate) async fn queue(&self) -> Result<Vec<TicketRow>, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.read().await?;
            let moment = work.moment().await?;
            let sql = "SELECT image, client, server, host, priority, admitted, asked_ms FROM tickets \
                       WHERE server IN (SELECT id FROM servers WHERE stopped = 0 AND beat_ms >= $1) \
                       AND (admitted = 1 OR asked_ms >= $2) \
                       ORDER BY admitted DESC, priority DESC, turn";
            let query = sqlx::query(sql).bind(moment.alive_from()).bind(moment.from(QUEUE_PATIENCE));
            let rows = query.fetch_all(work.sql()).await?;
            work.finish();
            rows.iter().map(|row| ticket(row, &moment)).collect()
        })
        .await
    }
}

/// Notes the wish and decides; with [`Lock::Tickets`].
async fn judge(work: &mut Work, ask: &TicketAsk<'_>) -> Result<Verdict, sqlx::Error> {
    let moment = work.moment().await?;
    sweep(work, ask.server, &moment).await?;
    let sql = "INSERT INTO tickets (image, client, server, host, priority, turn, asked_ms, admitted) \
               VALUES ($1, $2, $3, $4, $5, (SELECT COALESCE(MAX(turn), 0) + 1 FROM tickets), $6, 0) \
               ON CONFLICT (image, client) DO UPDATE SET server = excluded.server, host = excluded.host, \
               priority = excluded.priority, asked_ms = excluded.asked_ms RETURNING turn, admitted";
    let query = sqlx::query(sql).bind(ask.image).bind(ask.client).bind(ask.server).bind(text(ask.host));
    let mine = query.bind(i64::from(ask.priority)).bind(moment.now).fetch_one(work.sql()).await?;
    if flag(&mine, "admitted")? {
        return Ok(Verdict::Admitted);
    }
    let sql = "SELECT COUNT(CASE WHEN admitted = 1 THEN 1 END) AS admitted, \
               COUNT(CASE WHEN admitted = 0 THEN 1 END) AS waiting, \
               COUNT(CASE WHEN admitted = 0 AND (priority > $1 OR (priority = $1 AND turn < $2)) THEN 1 END) AS ahead \
               FROM tickets";
    let turn: i64 = mine.try_get("turn")?;
    let counts = sqlx::query(sql).bind(i64::from(ask.priority)).bind(turn).fetch_one(work.sql()).await?;
    let (admitted, waiting, ahead): (u32, u32, u32) =
        (number(&counts, "admitted")?, number(&counts, "waiting")?, number(&counts, "ahead")?);
    // A free place is kept for those ahead, who are about to ask.
    if ask.cap.is_some_and(|cap| ahead >= cap.saturating_sub(admitted)) {
        return Ok(Verdict::Queued { place: ahead + 1, waiting, admitted });
    }
    let sql = "UPDATE tickets SET admitted = 1 WHERE image = $1 AND client = $2";
    sqlx::query(sql).bind(ask.image).bind(ask.client).execute(work.sql()).await?;
    Ok(Verdict::Admitted)
}

/// Takes out what dead servers admitted, and who has stopped to wait.
async fn sweep(work: &mut Work, server: &str, moment: &Moment) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM tickets WHERE (admitted = 0 AND asked_ms < $1) OR (server <> $2 \
               AND server NOT IN (SELECT id FROM servers WHERE stopped = 0 AND beat_ms >= $3))";
    let query = sqlx::query(sql).bind(moment.from(QUEUE_PATIENCE)).bind(server).bind(moment.alive_from());
    query.execute(work.sql()).await?;
    Ok(())
}

fn ticket(row: &AnyRow, moment: &Moment) -> Result<TicketRow, sqlx::Error> {
    let asked: i64 = row.try_get("asked_ms")?;
    Ok(TicketRow {
        image: row.try_get("image")?,
        client: row.try_get("client")?,
        server: row.try_get("server")?,
        host: row.try_get("host")?,
        priority: number(row, "priority")?,
        admitted: flag(row, "admitted")?,
        silent_ms: u64::try_from(moment.now - asked).unwrap_or(0),
    })
}
