//! Tickets: who is served and who waits, counted over the whole site.
//!
//! A ticket is one client's for one image. Whoever is admitted keeps it until it is freed; whoever waits asks again
//! from time to time, and its place is kept as long as it does. What a server served without the site's word, and
//! what got lost, is set right by [`Site::reconcile_tickets`].

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::rows::{flag, number, text};
use super::work::{Lock, Moment, Work, millis};
use super::{ASK_LIMIT, Site, SiteError};

/// Who waits and has not asked for so long loses its place.
pub(crate) const QUEUE_PATIENCE: Duration = Duration::from_secs(10);

/// Tickets that are written in one transaction: questions wait for it.
const CHANGES_AT_ONCE: usize = 100;

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

/// Whom a server serves, whatever the tickets say.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    /// Who was admitted or asked later is not in it.
    pub(crate) as_of: Instant,
    /// Who is served.
    pub(crate) admitted: Vec<ServedClient>,
    /// Who has asked and is not served so far, by image and client: of these the next answer decides.
    pub(crate) asking: HashSet<(String, String)>,
}

/// A client that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedClient {
    /// What it gets.
    pub(crate) image: String,
    /// Who it is.
    pub(crate) client: String,
    /// Its name for people.
    pub(crate) host: String,
    /// A higher one is served first.
    pub(crate) priority: i32,
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

    /// Makes the server's admitted tickets those of the clients that it serves, even if these are more than may be
    /// served: after an outage they are, and count. Tickets of those that wait stay, and so do other servers' tickets.
    /// How many were changed.
    ///
    /// # Errors
    /// [`SiteError`] of the database; some may have been changed by then.
    pub(crate) async fn reconcile_tickets(&self, server: &str, served: &Served) -> Result<usize, SiteError> {
        let noted = self.tickets_of(server).await?;
        let key = |client: &ServedClient| (client.image.clone(), client.client.clone());
        let is_missing = |client: &&ServedClient| noted.get(&key(client)) != Some(&true);
        let missing: Vec<_> = served.admitted.iter().filter(is_missing).collect();
        let owned: HashSet<_> = served.admitted.iter().map(key).collect();
        let is_unowned = |key: &&(String, String)| !owned.contains(*key) && !served.asking.contains(*key);
        let admitted = noted.iter().filter(|(_, admitted)| **admitted).map(|(key, _)| key);
        let unowned: Vec<_> = admitted.filter(is_unowned).collect();
        for clients in missing.chunks(CHANGES_AT_ONCE) {
            self.within(ASK_LIMIT, async {
                let mut work = self.write(Lock::Tickets).await?;
                assert_served(&mut work, server, served.as_of, clients).await?;
                work.commit().await
            })
            .await?;
        }
        for keys in unowned.chunks(CHANGES_AT_ONCE) {
            self.within(ASK_LIMIT, async {
                let mut work = self.write(Lock::Tickets).await?;
                void_unowned(&mut work, server, served.as_of, keys).await?;
                work.commit().await
            })
            .await?;
        }
        Ok(missing.len() + unowned.len())
    }

    /// The tickets of a server by image and client, and whether they are admitted.
    async fn tickets_of(&self, server: &str) -> Result<HashMap<(String, String), bool>, SiteError> {
        self.within(ASK_LIMIT, async {
            let mut work = self.read().await?;
            let sql = "SELECT image, client, admitted FROM tickets WHERE server = $1";
            let rows = sqlx::query(sql).bind(server).fetch_all(work.sql()).await?;
            work.finish();
            let noted = |row: &AnyRow| Ok(((row.try_get("image")?, row.try_get("client")?), flag(row, "admitted")?));
            rows.iter().map(noted).collect()
        })
        .await
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

/// Notes tickets of clients that are served without one; with [`Lock::Tickets`]. If another server has noted the
/// client since, the ticket is that one's.
async fn assert_served(
    work: &mut Work,
    server: &str,
    as_of: Instant,
    clients: &[&ServedClient],
) -> Result<(), sqlx::Error> {
    // If it is freed meanwhile, that is later and counts.
    let asked = work.moment().await?.now - millis(as_of.elapsed());
    let sql = "INSERT INTO tickets (image, client, server, host, priority, turn, asked_ms, admitted) \
               VALUES ($1, $2, $3, $4, $5, (SELECT COALESCE(MAX(turn), 0) + 1 FROM tickets), $6, 1) \
               ON CONFLICT (image, client) DO UPDATE SET admitted = 1 WHERE tickets.server = excluded.server";
    for served in clients {
        let query = sqlx::query(sql).bind(&served.image).bind(&served.client).bind(server).bind(text(&served.host));
        query.bind(i64::from(served.priority)).bind(asked).execute(work.sql()).await?;
    }
    Ok(())
}

/// Takes out admitted tickets that no client has; what was asked for since stays.
async fn void_unowned(
    work: &mut Work,
    server: &str,
    as_of: Instant,
    keys: &[&(String, String)],
) -> Result<(), sqlx::Error> {
    let until = work.moment().await?.now - millis(as_of.elapsed());
    let sql =
        "DELETE FROM tickets WHERE image = $1 AND client = $2 AND server = $3 AND admitted = 1 AND asked_ms <= $4";
    for (image, client) in keys {
        sqlx::query(sql).bind(image).bind(client).bind(server).bind(until).execute(work.sql()).await?;
    }
    Ok(())
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
