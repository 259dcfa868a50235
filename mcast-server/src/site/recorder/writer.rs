//! The task that writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep_until;
use tracing::warn;

use super::inbox::{Inbox, Pending};
use super::{RecorderState, SPACING};
use crate::site::clients::ClientRow;
use crate::site::content::ImageRow;
use crate::site::servers::{BEAT, ServerRow};
use crate::site::{Site, SiteError};

/// Pause after the first failure; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two tries.
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// Clients of one transaction.
const CLIENTS_AT_ONCE: usize = 1000;

pub(super) struct Writer {
    site: Site,
    server: ServerRow,
    inbox: Arc<Inbox>,
    state: watch::Sender<RecorderState>,
    written: watch::Sender<u64>,
    registered: bool,
    /// When to say again that the server lives, and how long after the last time that is.
    beat: tokio::time::Instant,
    beat_interval: Duration,
    /// The database took what it was last told.
    answers: bool,
    /// The last list of images, for a database that has forgotten it.
    images: Option<Arc<[ImageRow]>>,
}

impl Writer {
    pub(super) fn new(
        site: Site,
        server: ServerRow,
        inbox: Arc<Inbox>,
        state: watch::Sender<RecorderState>,
        written: watch::Sender<u64>,
    ) -> Self {
        let beat = tokio::time::Instant::now();
        let (registered, beat_interval, answers, images) = (false, BEAT, false, None);
        Self { site, server, inbox, state, written, registered, beat, beat_interval, answers, images }
    }

    pub(super) async fn run(mut self) {
        let mut pause = Duration::ZERO;
        loop {
            if pause.is_zero() {
                tokio::select! {
                    () = self.inbox.filled.notified() => {}
                    () = self.inbox.hurried.notified() => {}
                    () = sleep_until(self.beat) => {}
                }
            }
            let begun = tokio::time::Instant::now();
            let (mut batch, reached) = self.inbox.take();
            self.images = batch.images.clone().or(self.images.take());
            match self.write(&mut batch).await {
                Ok(()) => {
                    pause = Duration::ZERO;
                    self.found();
                    self.written.send_replace(reached);
                    self.wait(begun + SPACING).await;
                }
                Err(error) => {
                    self.inbox.put_back(batch);
                    pause = (pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
                    self.lost(&error);
                    self.wait(tokio::time::Instant::now() + pause).await;
                }
            }
        }
    }

    /// Waits, unless somebody is in a hurry. The server's beat is not late for it.
    async fn wait(&self, until: tokio::time::Instant) {
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.inbox.hurried.notified() => {}
        }
    }

    /// Writes what is there and takes it out; on an error the rest is left. However long it takes, other servers hear
    /// between its transactions that this one lives.
    async fn write(&mut self, batch: &mut Pending) -> Result<(), SiteError> {
        self.beat(batch).await?;
        while let Some((id, row)) = batch.sessions.pop_first() {
            if let Err(error) = self.judged("session", &id, self.site.put_session(&row).await) {
                batch.sessions.insert(id, row);
                return Err(error);
            }
            self.beat(batch).await?;
        }
        while let Some((session, rows)) = batch.take_clients(CLIENTS_AT_ONCE) {
            if let Err(error) = self.clients(&session, &rows, batch).await {
                batch.clients(&session, rows);
                return Err(error);
            }
            self.beat(batch).await?;
        }
        if let Some(rows) = batch.images.clone() {
            let written = self.site.put_images(&self.server.id, &rows).await;
            self.judged("list of images", &self.server.id, written)?;
            batch.images = None;
        }
        while let Some(((image, client), when)) = batch.tickets.pop_first() {
            let freed = self.site.free_ticket_after(&image, &client, when.elapsed()).await;
            if let Err(error) = self.judged("ticket", &client, freed) {
                batch.tickets.insert((image, client), when);
                return Err(error);
            }
            self.beat(batch).await?;
        }
        while let Some(((address, port), when)) = batch.places.pop_first() {
            let freed = self.site.free_place_after(&self.server.id, address, port, when.elapsed()).await;
            if let Err(error) = freed {
                batch.places.insert((address, port), when);
                return Err(error);
            }
            self.beat(batch).await?;
        }
        Ok(())
    }

    /// Says that the server lives, if it is time or the last try failed.
    async fn beat(&mut self, batch: &mut Pending) -> Result<(), SiteError> {
        let now = tokio::time::Instant::now();
        if self.registered && now < self.beat && self.answers {
            return Ok(());
        }
        if !self.registered || !self.site.beat(&self.server.id).await? {
            self.site.register_server(&self.server).await?;
            self.registered = true;
            batch.images = batch.images.take().or_else(|| self.images.clone());
        }
        (self.beat, self.answers) = (now + self.beat_interval, true);
        Ok(())
    }

    async fn clients(&mut self, session: &str, rows: &[ClientRow], batch: &mut Pending) -> Result<(), SiteError> {
        match self.site.put_clients(session, rows).await {
            // One of them it is: the others are written without it.
            Err(error) if error.is_data() => {
                for row in rows {
                    let written = self.site.put_clients(session, std::slice::from_ref(row)).await;
                    self.judged("client", &row.client, written)?;
                    self.beat(batch).await?;
                }
                Ok(())
            }
            written => written,
        }
    }

    /// What the database will never keep is given up, lest all that comes after it waits for ever.
    fn judged(&self, what: &str, id: &str, written: Result<(), SiteError>) -> Result<(), SiteError> {
        match written {
            Err(error) if error.is_data() => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    what, id, "gave up a state that the site database cannot keep"
                );
                self.inbox.give_up(1);
                Ok(())
            }
            written => written,
        }
    }

    fn lost(&mut self, error: &SiteError) {
        self.answers = false;
        let (pending, dropped) = self.inbox.counts();
        self.state.send_modify(|state| {
            if state.reachable {
                let error = error as &dyn std::error::Error;
                warn!(error, pending, "lost the site database; states are kept and written when it is back");
                *state = RecorderState { reachable: false, pending, since: Instant::now(), dropped };
            } else {
                (state.pending, state.dropped) = (pending, dropped);
            }
        });
    }

    fn found(&self) {
        let (pending, dropped) = self.inbox.counts();
        self.state.send_if_modified(|state| {
            let (before, since) = (state.clone(), state.since);
            if !state.reachable {
                let seconds = since.elapsed().as_secs();
                warn!(seconds, dropped, "the site database is back");
                *state = RecorderState { reachable: true, pending, since: Instant::now(), dropped };
            }
            (state.pending, state.dropped) = (pending, dropped);
            *state != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Backend;

    /// SQLite counts its beats.
    const COUNT: &str = "CREATE TABLE beats (count INTEGER); INSERT INTO beats VALUES (0); \
                         CREATE TRIGGER beat AFTER UPDATE OF beat_ms ON servers \
                         BEGIN UPDATE beats SET count = count + 1; END";

    #[tokio::test]
    async fn a_server_is_heard_between_the_transactions_of_a_batch() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::open(Backend::Sqlite { file: folder.path().join("site.sqlite") }).await.unwrap();
        sqlx::raw_sql(COUNT).execute(&site.pool).await.unwrap();
        let [id, name, control, http, version] = ["a", "here", "", "", ""].map(str::to_owned);
        let server = ServerRow { id, name, control, http, version };
        let state = RecorderState { reachable: true, pending: 0, since: Instant::now(), dropped: 0 };
        let (state, written) = (watch::Sender::new(state), watch::Sender::new(0));
        let mut writer = Writer::new(site.clone(), server, Arc::default(), state, written);
        // As if each transaction took that long.
        writer.beat_interval = Duration::ZERO;
        let mut batch = Pending::default();
        (0..20).for_each(|n| batch.free_ticket("image", &n.to_string(), Instant::now()));
        writer.write(&mut batch).await.unwrap();
        let beats: (i64,) = sqlx::query_as("SELECT count FROM beats").fetch_one(&site.pool).await.unwrap();
        assert!(beats.0 >= 20, "{beats:?}");
    }
}
