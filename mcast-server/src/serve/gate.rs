//! Who may come in: judges joins by what the catalogue, the sessions and the site's places say.
//!
//! It answers at once from what it knows, as a [`Doorkeeper`] must. What has to be found out first, a
//! place in the site or a session for the image, it wishes for; somebody else fulfils that and tells.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use multicast_core::engine::{Ask, Doorkeeper, Verdict};
use multicast_core::types::ClientId;
use multicast_core::wire::RefuseReason;
use tokio::sync::mpsc;

use super::content::{Catalogue, Image, Ready, Unusable};
use crate::config::{MulticastUse, Settings, WhenFull};

/// When to ask again: while a place is asked for, and in the queue.
const SOON: Duration = Duration::from_millis(100);
const QUEUE_RETRY: Duration = Duration::from_secs(2);
/// For what takes its time: files that are being written or hashed, names that may yet appear.
const LATER: Duration = Duration::from_secs(1);
/// Between two questions about the place of one client in the queue.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// A question that is not answered for so long is asked anew.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Who was let in and has not joined within this gives its place back.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// Clients known at the same time: made-up ones must not eat the memory.
const CLIENTS_LIMIT: usize = 20_000;

/// What has to be found out or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A session for this image.
    Session(String),
    /// A place for this client.
    Place { image: String, client: ClientId, host: String, priority: u8 },
    /// The client needs its place no more.
    FreePlace { image: String, client: ClientId },
}

/// What was found out about a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Admitted,
    /// All are taken: its place in the queue, how many wait, and how many are served.
    Queued {
        place: u32,
        waiting: u32,
        admitted: u32,
    },
}

/// By what it judges.
#[derive(Debug, Clone, Copy)]
struct Rules {
    multicast: bool,
    cap: Option<u32>,
    when_full: WhenFull,
    /// The server stops: nobody is let in any more.
    stops: bool,
}

/// The judge.
pub(crate) struct Gate {
    catalogue: Catalogue,
    rules: Mutex<Rules>,
    /// Clients can reach the HTTP side.
    by_http: bool,
    clients: Mutex<HashMap<(String, ClientId), Client>>,
    /// Images with a session, or one that is being opened.
    open: Mutex<HashMap<String, Open>>,
    wishes: mpsc::UnboundedSender<Wish>,
}

/// A session, as far as it matters for who comes in.
#[derive(Debug, Default)]
struct Open {
    /// What it serves, once it is open: of that image another version may be ready by now.
    ready: Option<Arc<Ready>>,
    members: HashSet<ClientId>,
}

#[derive(Debug, Clone, Copy)]
struct Client {
    place: Option<Place>,
    /// When its place was asked for last.
    asked: Instant,
    /// Since when it has it.
    admitted: Instant,
    joined: bool,
}

impl Gate {
    /// Its wishes are to be fulfilled by whoever reads them.
    pub(crate) fn new(
        catalogue: Catalogue,
        settings: &Settings,
        by_http: bool,
    ) -> (Self, mpsc::UnboundedReceiver<Wish>) {
        let (wishes, fulfilled) = mpsc::unbounded_channel();
        let rules = Mutex::new(Rules::of(settings));
        (Self { catalogue, rules, by_http, clients: Mutex::default(), open: Mutex::default(), wishes }, fulfilled)
    }

    /// Takes over changed settings.
    pub(crate) fn reload(&self, settings: &Settings) {
        let mut rules = lock(&self.rules);
        *rules = Rules { stops: rules.stops, ..Rules::of(settings) };
    }

    /// Lets nobody in any more: the server stops.
    pub(crate) fn close(&self) {
        lock(&self.rules).stops = true;
    }

    /// Clients at the same time, if that is limited.
    pub(crate) fn cap(&self) -> Option<u32> {
        lock(&self.rules).cap
    }

    /// What was found out about a client's place.
    pub(crate) fn settle(&self, image: &str, client: ClientId, place: Place, now: Instant) {
        if let Some(known) = lock(&self.clients).get_mut(&(image.to_owned(), client)) {
            if place == Place::Admitted && known.place != Some(Place::Admitted) {
                known.admitted = now;
            }
            known.place = Some(place);
        }
    }

    /// Clients that have a place here, and those that wait here.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let clients = lock(&self.clients);
        let admitted = clients.values().filter(|client| client.place == Some(Place::Admitted)).count();
        (admitted as u32, (clients.len() - admitted) as u32)
    }

    /// A session was joined.
    pub(crate) fn joined(&self, image: &str, client: ClientId) {
        if let Some(open) = lock(&self.open).get_mut(image) {
            open.members.insert(client);
        }
        if let Some(known) = lock(&self.clients).get_mut(&(image.to_owned(), client)) {
            known.joined = true;
        }
    }

    /// A client is done, or gone.
    pub(crate) fn release(&self, image: &str, client: ClientId) {
        if let Some(open) = lock(&self.open).get_mut(image) {
            open.members.remove(&client);
        }
        if lock(&self.clients).remove(&(image.to_owned(), client)).is_some() {
            self.wish(Wish::FreePlace { image: image.to_owned(), client });
        }
    }

    /// The image has no session any more: nobody is served by it.
    pub(crate) fn session_ended(&self, image: &str) {
        lock(&self.open).remove(image);
        let of_image =
            lock(&self.clients).extract_if(|(of, _), client| of == image && client.joined).collect::<Vec<_>>();
        for ((image, client), _) in of_image {
            self.wish(Wish::FreePlace { image, client });
        }
    }

    /// No session could be opened; the next one who asks wishes for it anew.
    pub(crate) fn session_failed(&self, image: &str) {
        lock(&self.open).remove(image);
    }

    /// An image gets a session without anybody having asked; false if it has one.
    pub(crate) fn session_opens(&self, image: &str) -> bool {
        let mut open = lock(&self.open);
        let new = !open.contains_key(image);
        open.entry(image.to_owned()).or_default();
        new
    }

    /// The session serves this.
    pub(crate) fn session_opened(&self, image: &str, ready: Arc<Ready>) {
        if let Some(open) = lock(&self.open).get_mut(image) {
            open.ready = Some(ready);
        }
    }

    /// Forgets who was let in and never came, and who has stopped asking; to be called now and then.
    pub(crate) fn tidy(&self, now: Instant) {
        let gone = |client: &Client| match client.place {
            Some(Place::Admitted) => !client.joined && now.duration_since(client.admitted) > JOIN_LIMIT,
            _ => now.duration_since(client.asked) > 2 * ANSWER_LIMIT,
        };
        let gone: Vec<_> = lock(&self.clients).extract_if(|_, client| gone(client)).collect();
        for ((image, client), _) in gone {
            self.wish(Wish::FreePlace { image, client });
        }
    }

    /// A verdict at `now`.
    fn judge_at(&self, ask: &Ask<'_>, now: Instant) -> Verdict {
        let rules = *lock(&self.rules);
        if rules.stops {
            return refuse(RefuseReason::Preparing, LATER, "this server stops for now");
        }
        let found = self.catalogue.find(ask.image);
        // Whoever is in a session stays in it: what it serves stays open, whatever becomes of the file.
        if let Ok(image) = &found
            && lock(&self.open).get(&image.name).is_some_and(|open| open.members.contains(&ask.client))
        {
            return Verdict::Serve { image: image.name.clone() };
        }
        let (image, ready) = match self.catalogue.ready(ask.image) {
            Ok(found) => found,
            Err(why) => return unusable(&why),
        };
        if !rules.multicast || image.multicast == MulticastUse::Never {
            let whose = if rules.multicast { "of this image" } else { "of this server" };
            let off = format!("multicast {whose} is off");
            if self.by_http {
                return refuse(RefuseReason::Unicast, Duration::ZERO, &off);
            }
            let text = format!("{off}, and no address of http.listen is one that clients reach");
            return refuse(RefuseReason::NoSuchImage, LATER, &text);
        }
        let outdated = |open: &Open| open.ready.as_ref().is_some_and(|serves| !Arc::ptr_eq(serves, &ready));
        if lock(&self.open).get(&image.name).is_some_and(outdated) {
            let text = format!("{}: it has changed, and the last version is still being sent", image.name);
            return refuse(RefuseReason::Preparing, LATER, &text);
        }
        if let Some(refusal) = self.refuse_full(ask, &image, rules, now) {
            return refusal;
        }
        if self.session_opens(&image.name) {
            self.wish(Wish::Session(image.name.clone()));
        }
        Verdict::Serve { image: image.name.clone() }
    }

    /// `None` if the client has a place, or needs none.
    fn refuse_full(&self, ask: &Ask<'_>, image: &Image, rules: Rules, now: Instant) -> Option<Verdict> {
        let cap = rules.cap?;
        let mut clients = lock(&self.clients);
        let key = (image.name.clone(), ask.client);
        if clients.len() >= CLIENTS_LIMIT && !clients.contains_key(&key) {
            return Some(refuse(RefuseReason::Full, LATER, "too many clients ask at the same time"));
        }
        let elsewhere = self.by_http && image.multicast != MulticastUse::Only;
        let goes_elsewhere = rules.when_full == WhenFull::Unicast && elsewhere;
        if goes_elsewhere && let Some(Client { place: Some(Place::Queued { admitted, .. }), .. }) = clients.get(&key) {
            let text = full(*admitted, cap);
            // Whoever goes another way must not keep its place in the queue from others.
            clients.remove(&key);
            self.wish(Wish::FreePlace { image: image.name.clone(), client: ask.client });
            return Some(refuse(RefuseReason::Unicast, Duration::ZERO, &text));
        }
        let mut new = false;
        let client = clients.entry(key).or_insert_with(|| {
            new = true;
            Client { place: None, asked: now, admitted: now, joined: false }
        });
        if client.place == Some(Place::Admitted) {
            return None;
        }
        let patience = if client.place.is_some() { ASK_INTERVAL } else { ANSWER_LIMIT };
        let asks = new || now.duration_since(client.asked) >= patience;
        if asks {
            client.asked = now;
            let (image, host, priority) = (image.name.clone(), ask.host.to_owned(), image.priority);
            self.wish(Wish::Place { image, client: ask.client, host, priority });
        }
        let Some(Place::Queued { place, waiting, admitted }) = client.place else {
            return Some(refuse(RefuseReason::Preparing, SOON, "a place is being asked for"));
        };
        // What it is told is as old as its last question: the answer to this one is worth another.
        let retry = if asks { SOON } else { QUEUE_RETRY };
        let (full, seconds) = (full(admitted, cap), QUEUE_RETRY.as_secs());
        let text =
            format!("{full}; this one is number {place} of {waiting} that wait, and asks again every {seconds} s");
        Some(refuse(RefuseReason::Full, retry, &text))
    }

    fn wish(&self, wish: Wish) {
        // Nobody fulfils it any more when the server ends.
        let _ = self.wishes.send(wish);
    }
}

impl Doorkeeper for Gate {
    fn judge(&self, ask: &Ask<'_>) -> Verdict {
        self.judge_at(ask, Instant::now())
    }

    fn only_image(&self) -> Option<String> {
        self.catalogue.find("").ok().map(|image| image.name.clone())
    }

    fn has_content(&self, image: &str) -> bool {
        // What is not there yet may come: whoever fetches it is told then.
        !self.catalogue.find(image).is_ok_and(|image| image.multicast == MulticastUse::Only)
    }
}

impl Rules {
    fn of(settings: &Settings) -> Self {
        Self {
            multicast: settings.multicast.enabled,
            cap: settings.clients.max,
            when_full: settings.clients.when_full,
            stops: false,
        }
    }
}

fn full(admitted: u32, cap: u32) -> String {
    format!("full: {admitted} of {cap} clients are served")
}

fn unusable(why: &Unusable) -> Verdict {
    let reason = match why {
        Unusable::Ambiguous { .. } => RefuseReason::Ambiguous,
        Unusable::Settling { .. } | Unusable::Hashing { .. } => RefuseReason::Preparing,
        _ => RefuseReason::NoSuchImage,
    };
    refuse(reason, LATER, &why.to_string())
}

fn refuse(reason: RefuseReason, retry: Duration, text: &str) -> Verdict {
    Verdict::Refuse { reason, retry, text: text.to_owned() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
