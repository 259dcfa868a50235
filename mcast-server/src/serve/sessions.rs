//! The sessions of this server, each from its opening to its last word.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use multicast_core::engine::SessionControl;
use multicast_core::sender::{ClientState, Rung, SenderEvent, SessionSnapshot};
use multicast_core::types::ClientId;
use multicast_core::wire::SessionState;

use super::content::{Image, Ready};
use super::point::now_ms;
use crate::summary::Reasons;

/// Who ended this long ago is in the picture, or was forgotten.
const EVENTS_AHEAD_MS: i64 = 60_000;

/// A session.
pub(crate) struct Running {
    /// Its number, in hexadecimal.
    pub(crate) id: String,
    pub(crate) image: Arc<Image>,
    pub(crate) ready: Arc<Ready>,
    pub(crate) group: SocketAddr,
    /// Milliseconds since 1970.
    pub(crate) opened_ms: i64,
    /// When its hour comes, milliseconds since 1970.
    hour_ms: Option<i64>,
    pub(crate) control: SessionControl,
    state: Mutex<State>,
    /// The site was told how it ended.
    end_recorded: Mutex<bool>,
}

struct State {
    snapshot: Option<Arc<SessionSnapshot>>,
    started: bool,
    reasons: Reasons,
    /// Clients that went on by HTTP, and when they had the image, milliseconds since 1970.
    by_http: HashMap<ClientId, Option<i64>>,
    /// When each client joined and when it was done or went, milliseconds since 1970.
    times: HashMap<ClientId, (i64, Option<i64>)>,
    /// What the site was told of each client last.
    recorded: HashMap<ClientId, ClientMark>,
    /// How many clients the session had forgotten when this was tidied up.
    forgotten: u32,
    /// Since when it has nobody to serve.
    resting: Option<Instant>,
    /// Since when a client waits for its start, milliseconds since 1970.
    waiting_ms: Option<i64>,
    /// What its operator wanted.
    cancelled_by: Option<String>,
}

/// By which is known whether the site has to be told of a client again: most of those that a long session ever had
/// went long ago.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ClientMark {
    pub(crate) state: ClientState,
    pub(crate) rung: Rung,
    /// It went on by HTTP.
    pub(crate) by_http: bool,
    pub(crate) address: SocketAddr,
    pub(crate) verified: u32,
    pub(crate) loss: f64,
    /// When it joined, and when it was done or went, milliseconds since 1970.
    pub(crate) joined_ms: i64,
    pub(crate) ended_ms: Option<i64>,
    /// That was before the session ended.
    pub(crate) went_before: bool,
    /// It is known why it went.
    pub(crate) explained: bool,
}

impl Running {
    pub(crate) fn new(
        id: String,
        (image, ready): (Arc<Image>, Arc<Ready>),
        group: SocketAddr,
        (opened_ms, hour_ms): (i64, Option<i64>),
        control: SessionControl,
        started: bool,
    ) -> Self {
        let (reasons, by_http) = (Reasons::default(), HashMap::new());
        let (times, recorded, forgotten) = (HashMap::new(), HashMap::new(), 0);
        let (resting, waiting_ms, cancelled_by, snapshot) = (None, None, None, None);
        let state = State {
            snapshot,
            started,
            reasons,
            by_http,
            times,
            recorded,
            forgotten,
            resting,
            waiting_ms,
            cancelled_by,
        };
        Self {
            id,
            image,
            ready,
            group,
            opened_ms,
            hour_ms,
            control,
            state: Mutex::new(state),
            end_recorded: Mutex::default(),
        }
    }

    /// Notes what happened in it, at `ms` since 1970.
    pub(crate) fn note(&self, event: &SenderEvent, ms: i64) {
        use SenderEvent as E;
        self.with(|state| {
            state.reasons.note(event);
            match event {
                E::Started { .. } => state.started = true,
                E::ClientJoined { client, .. } => drop(state.times.insert(*client, (ms, None))),
                E::ClientReady { .. } => state.waiting_ms = state.waiting_ms.or(Some(ms)),
                E::ClientComplete { client, .. }
                | E::ClientLeft { client, .. }
                | E::ClientGivenUp { client, .. }
                | E::ClientRemoved { client, .. }
                | E::ClientEvicted { client, .. } => state.times.entry(*client).or_insert((ms, None)).1 = Some(ms),
                _ => {}
            }
        });
    }

    /// When a client joined, and when it was done or went, milliseconds since 1970.
    pub(crate) fn times(&self, client: ClientId) -> (i64, Option<i64>) {
        self.with(|state| state.times.get(&client).copied().unwrap_or((self.opened_ms, None)))
    }

    /// Held while the site is told of it; true when it was told of its end, after which it is told nothing.
    pub(crate) fn end_recorded(&self) -> MutexGuard<'_, bool> {
        self.end_recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the site was told something else of a client, or nothing.
    pub(crate) fn is_news(&self, client: ClientId, mark: &ClientMark) -> bool {
        self.with(|state| state.recorded.get(&client) != Some(mark))
    }

    /// The site is told this of clients.
    pub(crate) fn recorded(&self, marks: impl IntoIterator<Item = (ClientId, ClientMark)>) {
        self.with(|state| state.recorded.extend(marks));
    }

    /// Takes a new picture, which waits for the session's thread; false if it is over.
    pub(crate) fn look(&self, now: Instant) -> bool {
        let Some(snapshot) = self.control.snapshot() else { return false };
        let active = snapshot.clients.iter().any(|client| client.state.is_active());
        let rests = !active && matches!(snapshot.state, SessionState::Waiting | SessionState::Idle);
        self.with(|state| {
            if !active {
                state.waiting_ms = None;
            }
            state.resting = if rests { state.resting.or(Some(now)) } else { None };
            if snapshot.forgotten.clients() > state.forgotten {
                state.forget(&snapshot, now_ms());
            }
            state.snapshot = Some(Arc::new(snapshot));
        });
        true
    }

    /// Keeps its last picture.
    pub(crate) fn conclude(&self, snapshot: SessionSnapshot) {
        self.with(|state| state.snapshot = Some(Arc::new(snapshot)));
    }

    /// The last picture, if one was taken.
    pub(crate) fn snapshot(&self) -> Option<Arc<SessionSnapshot>> {
        self.with(|state| state.snapshot.clone())
    }

    /// Since when nobody is in it.
    pub(crate) fn resting_since(&self) -> Option<Instant> {
        self.with(|state| state.resting)
    }

    /// It waits for nobody any more.
    pub(crate) fn has_started(&self) -> bool {
        self.with(|state| state.started)
    }

    /// When it starts by itself, milliseconds since 1970: at its hour, or when its first client has waited for long
    /// enough.
    pub(crate) fn starts_ms(&self) -> Option<i64> {
        let (started, waiting_ms) = self.with(|state| (state.started, state.waiting_ms));
        let wait = self.image.start.wait.and_then(|wait| i64::try_from(wait.as_millis()).ok());
        let waited_ms = waiting_ms.zip(wait).map(|(since, wait)| since.saturating_add(wait));
        self.hour_ms.into_iter().chain(waited_ms).min().filter(|_| !started)
    }

    /// A client of it goes on by HTTP, or has the image so at `complete_ms` since 1970. Others are not noted.
    pub(crate) fn note_http(&self, client: ClientId, complete_ms: Option<i64>) {
        self.with(|state| {
            if state.times.contains_key(&client) {
                let known = state.by_http.entry(client).or_default();
                *known = known.or(complete_ms);
            }
        });
    }

    /// Whether a client went on by HTTP, and when it had the image, milliseconds since 1970.
    pub(crate) fn by_http(&self, client: ClientId) -> Option<Option<i64>> {
        self.with(|state| state.by_http.get(&client).copied())
    }

    /// Why a client went.
    pub(crate) fn reason(&self, client: ClientId) -> Option<String> {
        self.with(|state| state.reasons.get(client).map(str::to_owned))
    }

    /// Cancels it in the name of an operator.
    pub(crate) fn cancel(&self, who: &str) {
        self.with(|state| state.cancelled_by = Some(who.to_owned()));
        self.control.cancel();
    }

    /// Who cancelled it.
    pub(crate) fn cancelled_by(&self) -> Option<String> {
        self.with(|state| state.cancelled_by.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Forgets whom the session has forgotten.
    fn forget(&mut self, snapshot: &SessionSnapshot, ms: i64) {
        let here: HashSet<_> = snapshot.clients.iter().map(|client| client.client).collect();
        // What is told of a client may be ahead of the picture.
        let is_late = |ended: Option<i64>| ended.is_none_or(|ended| ms - ended < EVENTS_AHEAD_MS);
        self.times.retain(|client, (_, ended)| here.contains(client) || is_late(*ended));
        let times = &self.times;
        self.reasons.retain(|client| times.contains_key(&client));
        self.recorded.retain(|client, _| here.contains(client));
        self.by_http.retain(|client, _| here.contains(client));
        self.forgotten = snapshot.forgotten.clients();
    }
}

/// All that run, by number.
#[derive(Default)]
pub(crate) struct Sessions(RwLock<BTreeMap<String, Arc<Running>>>);

impl Sessions {
    pub(crate) fn add(&self, running: Arc<Running>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(running.id.clone(), running);
    }

    pub(crate) fn remove(&self, id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Running>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Running>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The session that serves `image`.
    pub(crate) fn of_image(&self, image: &str) -> Option<Arc<Running>> {
        self.all().into_iter().find(|running| running.image.name == image)
    }
}
