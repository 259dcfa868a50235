//! The distribution point: all that is known and runs, and what can be asked of it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use multicast_core::engine::Engine;
use multicast_core::net::Interface;
use multicast_core::pace::Profile;
use multicast_core::sender::{ClientState, SenderEvent, SessionSnapshot};
use multicast_core::types::ClientId;
use serde::Serialize;
use tokio::sync::{Notify, broadcast, watch};

use super::content::packages::Packages;
use super::content::{Catalogue, ImageState, Keeper};
use super::gate::Gate;
use super::http::pxe::views::BootingView;
use super::pxe::Running as PxeRunning;
use super::resumable::Resumable;
use super::sessions::{Running, Sessions};
use super::unicasts::Unicasts;
use super::views::{ClientView, ImageView, SessionView};
use crate::config::Settings;
use crate::site::{ClientRow, Recorder, SessionFilter, SessionSeen, Site, SiteError};

/// News that wait for a listener; who reads slower than this misses some, and is told so.
const NEWS_WAITING: usize = 4096;

/// A distribution point.
pub(crate) struct Point {
    settings: watch::Sender<Arc<Settings>>,
    /// This server's own number for ever, by which the site knows it.
    pub(crate) server: String,
    pub(crate) started: Instant,
    pub(crate) site: Site,
    pub(crate) recorder: Recorder,
    pub(crate) catalogue: Catalogue,
    pub(crate) keeper: Keeper,
    pub(crate) packages: Packages,
    pub(crate) gate: Arc<Gate>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) interface: Interface,
    /// Rate and sizes of streams, unless the settings say others.
    pub(crate) usual_profile: Profile,
    /// Clients can reach its HTTP side.
    pub(crate) by_http: bool,
    pub(crate) sessions: Sessions,
    pub(crate) unicasts: Unicasts,
    /// Told when a stream found no place.
    pub(crate) place_wanted: Arc<Notify>,
    news: broadcast::Sender<Arc<News>>,
    /// The sessions of the site's other servers, as they were seen last.
    others: Mutex<Vec<SessionView>>,
    pub(crate) resumable: Resumable,
    totals: Mutex<Totals>,
    /// If machines boot from this server, and once it answers them.
    pxe: OnceLock<Arc<PxeRunning>>,
}

/// What sessions that are over came to, for the metrics.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) sessions: u64,
    pub(crate) wire_bytes: u64,
    pub(crate) feedback_bytes: u64,
    pub(crate) complete: u64,
    pub(crate) failed: u64,
    /// Clients that got their image by HTTP.
    pub(crate) fetched: u64,
}

impl Totals {
    /// What a session came to, by its last picture.
    fn of(running: &Running) -> Self {
        let begun = Self { sessions: 1, ..Self::default() };
        let Some(snapshot) = running.snapshot() else { return begun };
        let left = snapshot.clients.iter().filter(|client| client.state == ClientState::Left);
        let by_http = left.filter(|client| running.by_http(client.client).is_some()).count() as u64;
        let complete = u64::from(snapshot.in_state(ClientState::Complete));
        Self {
            wire_bytes: snapshot.counters.wire_bytes,
            feedback_bytes: snapshot.counters.feedback_bytes,
            complete,
            // Whoever is active at the end went without, too.
            failed: u64::from(snapshot.admitted()) - complete - by_http,
            ..begun
        }
    }

    fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.wire_bytes += other.wire_bytes;
        self.feedback_bytes += other.feedback_bytes;
        self.complete += other.complete;
        self.failed += other.failed;
    }
}

/// Something that listeners are told.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum News {
    /// Something happened in a session.
    Event {
        /// Milliseconds since 1970.
        ms: i64,
        session: String,
        image: String,
        /// In words, if it is worth some.
        text: Option<String>,
        #[serde(flatten)]
        event: SenderEvent,
    },
    /// How the sessions of this server stand.
    Sessions {
        /// Milliseconds since 1970.
        ms: i64,
        sessions: Vec<SessionView>,
    },
    /// How the images of this server stand.
    Images { images: Vec<ImageView> },
    /// How far bare machines are, of those that were answered something since the last such message.
    Boots {
        /// This server's name.
        server: String,
        machines: Vec<BootingView>,
    },
}

/// What was put together at the start.
pub(crate) struct Parts {
    pub(crate) settings: Arc<Settings>,
    pub(crate) server: String,
    pub(crate) site: Site,
    pub(crate) recorder: Recorder,
    pub(crate) catalogue: Catalogue,
    pub(crate) keeper: Keeper,
    pub(crate) gate: Arc<Gate>,
    pub(crate) engine: Engine,
    pub(crate) interface: Interface,
    pub(crate) usual_profile: Profile,
    pub(crate) by_http: bool,
    pub(crate) resumable: Resumable,
}

/// Why a command cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CommandError {
    /// No such session runs.
    #[error("there is no session {id}")]
    NoSession { id: String },
    /// It has no such client.
    #[error("session {id} has no client {client}")]
    NoClient { id: String, client: String },
    /// The session is not in a state for it.
    #[error("session {id} is {state}: it cannot be {wanted}")]
    State { id: String, state: String, wanted: &'static str },
}

/// What an operator may want of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Start,
    Pause,
    Resume,
    Cancel,
}

impl Command {
    /// What it makes of a session.
    fn wanted(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Cancel => "cancelled",
        }
    }

    fn fits(self, state: &str) -> bool {
        match self {
            Self::Start => state == "waiting",
            Self::Pause => matches!(state, "running" | "idle"),
            Self::Resume => state == "paused",
            Self::Cancel => state != "ended",
        }
    }
}

impl Point {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            settings: watch::Sender::new(parts.settings),
            server: parts.server,
            started: Instant::now(),
            site: parts.site,
            recorder: parts.recorder,
            catalogue: parts.catalogue,
            keeper: parts.keeper,
            packages: Packages::default(),
            gate: parts.gate,
            engine: Arc::new(parts.engine),
            interface: parts.interface,
            usual_profile: parts.usual_profile,
            by_http: parts.by_http,
            sessions: Sessions::default(),
            unicasts: Unicasts::default(),
            place_wanted: Arc::default(),
            news: broadcast::Sender::new(NEWS_WAITING),
            others: Mutex::default(),
            resumable: parts.resumable,
            totals: Mutex::default(),
            pxe: OnceLock::new(),
        }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }

    /// The settings and each change of them.
    pub(crate) fn settings_changes(&self) -> watch::Receiver<Arc<Settings>> {
        self.settings.subscribe()
    }

    /// Takes over changed settings, as far as that goes without a restart.
    pub(crate) fn apply(&self, settings: Settings) {
        let settings = Arc::new(settings);
        self.settings.send_replace(settings.clone());
        self.gate.reload(&settings);
        self.keeper.reload(settings);
    }

    /// Tells whoever listens.
    pub(crate) fn tell(&self, news: News) {
        // Nobody has to listen.
        let _ = self.news.send(Arc::new(news));
    }

    /// Whether somebody listens.
    pub(crate) fn is_watched(&self) -> bool {
        self.news.receiver_count() > 0
    }

    pub(crate) fn news(&self) -> broadcast::Receiver<Arc<News>> {
        self.news.subscribe()
    }

    /// The service point of this server, if it boots machines.
    pub(crate) fn pxe(&self) -> Option<Arc<PxeRunning>> {
        self.pxe.get().cloned()
    }

    /// Machines boot from here, from now on.
    pub(crate) fn set_pxe(&self, running: Arc<PxeRunning>) {
        // It is started once.
        let _ = self.pxe.set(running);
    }

    /// The images of this server.
    pub(crate) fn images(&self) -> Vec<ImageView> {
        let session = |name: &str| self.sessions.of_image(name).map(|running| running.id.clone());
        self.catalogue.all().iter().map(|image| ImageView::of(image, session(&image.name))).collect()
    }

    /// Whether a session serves what the folder has now.
    pub(crate) fn is_current(&self, running: &Running) -> bool {
        let image = self.catalogue.get(&running.image.name);
        image.is_some_and(|image| matches!(&image.state, ImageState::Ready(now) if Arc::ptr_eq(now, &running.ready)))
    }

    /// The sessions of this server that run, as they were at the last look.
    pub(crate) fn running(&self) -> Vec<SessionView> {
        let server = &self.settings().server.name;
        let view = |running: &Arc<Running>| Some(SessionView::of(running, &*running.snapshot()?, server));
        self.sessions.all().iter().filter_map(view).collect()
    }

    /// The same as news.
    pub(crate) fn standing(&self) -> News {
        News::Sessions { ms: now_ms(), sessions: self.running() }
    }

    /// All sessions of the site that run: this server's as they are, other servers' as they told last.
    pub(crate) fn site_sessions(&self) -> Vec<SessionView> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        self.running().into_iter().chain(others.iter().cloned()).collect()
    }

    /// Asks the site for the sessions of other servers: once for everybody who asks this one.
    pub(crate) async fn look_at_others(&self) -> Result<(), SiteError> {
        let live = self.site.sessions(SessionFilter::Live).await?;
        let others = live.into_iter().filter(|seen| seen.row.server != self.server && !seen.dead);
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = others.map(SessionView::from).collect();
        Ok(())
    }

    /// The clients of a session of the site, as its server told last; `None` if there is no such session.
    pub(crate) async fn site_clients(&self, session: &str) -> Result<Option<Vec<ClientView>>, SiteError> {
        let sessions = self.site.sessions(SessionFilter::Live).await?;
        let Some(seen) = sessions.into_iter().find(|seen| seen.row.id == session) else { return Ok(None) };
        let view = |row: ClientRow| ClientView {
            client: row.client,
            host: row.host,
            address: row.address,
            image: seen.row.image.clone(),
            session: Some(session.to_owned()),
            state: row.state,
            path: row.path,
            verified: row.verified as u32,
            blocks: row.blocks as u32,
            bytes_per_second: 0.0,
            loss: row.loss,
            dropped: 0,
            seconds: (row.ended_ms.unwrap_or_else(now_ms) - row.joined_ms) as f64 / 1000.0,
            reason: row.reason,
        };
        Ok(Some(self.site.clients(session).await?.into_iter().map(view).collect()))
    }

    /// The clients of one session of this server, or of all, and those that fetch by HTTP.
    pub(crate) fn clients(&self, session: Option<&str>) -> Vec<ClientView> {
        let of_session = |running: Arc<Running>| Some(ClientView::all_of(&running, &*running.snapshot()?));
        match session {
            Some(id) => self.sessions.get(id).and_then(of_session).unwrap_or_default(),
            None => {
                let mut all: Vec<_> = self.sessions.all().into_iter().filter_map(of_session).flatten().collect();
                all.extend(self.fetching());
                all
            }
        }
    }

    /// The clients that fetch by HTTP.
    pub(crate) fn fetching(&self) -> Vec<ClientView> {
        let block = |image: &str| {
            let ready = self.catalogue.ready(image).ok();
            ready.map_or(0, |(_, ready)| ready.manifest.layout.geometry().block_size())
        };
        self.unicasts.all(Instant::now(), block).into_iter().map(ClientView::from).collect()
    }

    /// Carries out what an operator wants of a session of this server.
    pub(crate) fn command(&self, id: &str, command: Command, who: &str) -> Result<(), CommandError> {
        let running = self.sessions.get(id).ok_or_else(|| CommandError::NoSession { id: id.to_owned() })?;
        let state = running.snapshot().map_or("waiting", |snapshot| super::views::state_word(snapshot.state));
        if !command.fits(state) {
            let (id, state) = (id.to_owned(), state.to_owned());
            return Err(CommandError::State { id, state, wanted: command.wanted() });
        }
        tracing::info!(session = id, image = running.image.name, by = who, "session is to be {}", command.wanted());
        match command {
            Command::Start => running.control.start_now(),
            Command::Pause => running.control.pause(),
            Command::Resume => running.control.resume(),
            Command::Cancel => running.cancel(who),
        }
        Ok(())
    }

    /// Removes a client from a session of this server for good.
    pub(crate) fn remove(&self, id: &str, client: &str, who: &str) -> Result<(), CommandError> {
        let running = self.sessions.get(id).ok_or_else(|| CommandError::NoSession { id: id.to_owned() })?;
        let no_client = || CommandError::NoClient { id: id.to_owned(), client: client.to_owned() };
        let number = u64::from_str_radix(client, 16).map(ClientId).map_err(|_| no_client())?;
        let snapshot = running.snapshot().ok_or_else(no_client)?;
        let known = snapshot.clients.iter().find(|known| known.client == number).ok_or_else(no_client)?;
        tracing::info!(session = id, client, host = known.host, by = who, "client is removed");
        running.control.remove(number);
        Ok(())
    }

    /// What sessions that are over came to, and how those that run stand: no session is in both, or in neither.
    pub(crate) fn tally(&self) -> (Totals, Vec<Arc<SessionSnapshot>>) {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        (*totals, self.sessions.all().iter().filter_map(|running| running.snapshot()).collect())
    }

    /// A session is over; gives what it came to.
    pub(crate) fn retire(&self, running: &Running) -> Totals {
        let came_to = Totals::of(running);
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.add(&came_to);
        self.sessions.remove(&running.id);
        came_to
    }

    /// A client fetches `image` by HTTP, or has it so.
    pub(crate) fn note_http(&self, image: &str, client: ClientId, complete: bool) {
        if complete {
            self.totals.lock().unwrap_or_else(PoisonError::into_inner).fetched += 1;
        }
        if let Some(running) = self.sessions.of_image(image) {
            running.note_http(client, complete.then(now_ms));
        }
    }
}

/// This host's clock, milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

impl From<SessionSeen> for SessionView {
    fn from(seen: SessionSeen) -> Self {
        let row = seen.row;
        Self {
            id: row.id,
            server: seen.server_name,
            image: row.image,
            version: Some(row.version).filter(|version| !version.is_empty()),
            state: row.state,
            outcome: row.outcome,
            group: format!("{}:{}", row.group, row.port),
            rate: row.rate_bits,
            bytes: row.bytes,
            blocks: 0,
            wire_bytes: row.sent_bytes,
            remaining_seconds: 0.0,
            awaited: 0,
            starts_ms: None,
            opened_ms: row.opened_ms,
            ended_ms: row.ended_ms,
            active: row.clients.saturating_sub(row.complete),
            complete: row.complete,
            failed: 0,
            progress: 0.0,
            median_loss: 0.0,
            slowest: None,
        }
    }
}
