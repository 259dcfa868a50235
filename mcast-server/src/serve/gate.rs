//! Who may come in: judges joins by what the catalogue, the sessions and the site's places say.
//!
//! It answers at once from what it knows, as a [`Doorkeeper`] must. What has to be found out first, a
//! place in the site or a session for the image, it wishes for; somebody else fulfils that and tells.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use multicast_core::engine::{Ask, Doorkeeper, Verdict};
use multicast_core::types::ClientId;
use multicast_core::wire::RefuseReason;
use tokio::sync::{mpsc, watch};

use super::content::{Catalogue, Image, Ready, Unusable};
use crate::config::{MulticastUse, Settings, WhenFull};
use crate::site::{Served, ServedClient};

/// When to ask again: while a place is asked for, and in the queue.
const SOON: Duration = Duration::from_millis(100);
const QUEUE_RETRY: Duration = Duration::from_secs(2);
/// For what takes its time: files that are being written or hashed, names that may yet appear.
const LATER: Duration = Duration::from_secs(1);
/// Between two questions about the place of one client in the queue.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// Who has no place and has not asked for so long is forgotten.
const FORGET_LIMIT: Duration = Duration::from_secs(10);
/// Who was let in and has not joined within this gives its place back.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// Clients known at the same time: made-up ones must not eat the memory.
const CLIENTS_LIMIT: usize = 20_000;

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A session for this image.
    Session(String),
    /// The client needs its place no more.
    FreePlace { image: String, client: ClientId },
}

/// A place has to be found for a client. There is one such question at most under way for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlaceWish {
    pub(crate) image: String,
    pub(crate) client: ClientId,
    pub(crate) host: String,
    pub(crate) priority: u8,
}

/// What the gate wishes for, until it is fulfilled. Places have a queue of their own, which is bounded: their
/// answers may take seconds, and nothing else is to wait for that.
pub(crate) struct Wishes {
    pub(crate) others: mpsc::UnboundedReceiver<Wish>,
    pub(crate) places: mpsc::Receiver<PlaceWish>,
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
    places: mpsc::Sender<PlaceWish>,
    pub(crate) doubts: watch::Sender<Doubts>,
}

/// Whether the site has counted, as far as is known, whom this server serves. Until it has, its word on places is
/// worth nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Doubts {
    /// How often there was reason to doubt it, and how many of these were seen to.
    raised: u64,
    settled: u64,
}

impl Doubts {
    /// The site's word counts.
    pub(crate) fn are_settled(&self) -> bool {
        self.raised == self.settled
    }
}

/// A session, as far as it matters for who comes in.
#[derive(Debug, Default)]
struct Open {
    /// What it serves, once it is open: of that image another version may be ready by now.
    ready: Option<Arc<Ready>>,
    members: HashSet<ClientId>,
}

#[derive(Debug, Clone)]
struct Client {
    host: String,
    priority: u8,
    place: Option<Place>,
    /// When it asked last.
    heard: Instant,
    /// When its place was asked for last, and whether that is not answered yet.
    asked: Instant,
    asking: bool,
    /// Since when it has it.
    admitted: Instant,
    joined: bool,
}

impl Gate {
    /// Its wishes are to be fulfilled by whoever reads them.
    pub(crate) fn new(catalogue: Catalogue, settings: &Settings, by_http: bool) -> (Self, Wishes) {
        let (wishes, others) = mpsc::unbounded_channel();
        let (places, places_wished) = mpsc::channel(CLIENTS_LIMIT);
        let rules = Mutex::new(Rules::of(settings));
        let (clients, open, doubts) = (Mutex::default(), Mutex::default(), watch::Sender::default());
        let gate = Self { catalogue, rules, by_http, clients, open, wishes, places, doubts };
        (gate, Wishes { others, places: places_wished })
    }

    /// Takes over changed settings.
    pub(crate) fn reload(&self, settings: &Settings) {
        let mut rules = lock(&self.rules);
        let new = Rules { stops: rules.stops, ..Rules::of(settings) };
        if rules.cap.is_none() && new.cap.is_some() {
            self.doubt();
        }
        *rules = new;
    }

    /// Lets nobody in any more: the server stops.
    pub(crate) fn close(&self) {
        lock(&self.rules).stops = true;
    }

    /// Clients at the same time, if that is limited.
    pub(crate) fn cap(&self) -> Option<u32> {
        lock(&self.rules).cap
    }

    /// The site may not know all that are served here.
    pub(crate) fn doubt(&self) {
        self.doubts.send_modify(|doubts| doubts.raised += 1);
    }

    /// The site knows who was [`served`](Self::served) at so many doubts.
    pub(crate) fn counted(&self, doubts: u64) {
        self.doubts.send_modify(|known| known.settled = doubts);
    }

    /// Whether the question of `wish` still waits for its answer.
    pub(crate) fn waits_for(&self, wish: &PlaceWish) -> bool {
        lock(&self.clients).get(&(wish.image.clone(), wish.client)).is_some_and(|client| client.asking)
    }

    /// What was found out about a client's place; false if nobody wants it any more.
    pub(crate) fn settle(&self, image: &str, client: ClientId, place: Place, now: Instant) -> bool {
        match lock(&self.clients).get_mut(&(image.to_owned(), client)) {
            Some(known) => {
                known.settle(place, now);
                true
            }
            None => false,
        }
    }

    /// Nothing can be found out now about a client's place: the clients that are served here decide.
    pub(crate) fn settle_alone(&self, image: &str, client: ClientId, now: Instant) {
        let cap = self.cap();
        // Counted and settled in one: two at once must not both get the last place.
        let mut clients = lock(&self.clients);
        let (admitted, waiting) = counts(&clients);
        let Some(known) = clients.get_mut(&(image.to_owned(), client)) else { return };
        let place = match cap {
            Some(cap) if admitted >= cap && known.place != Some(Place::Admitted) => {
                Place::Queued { place: waiting.max(1), waiting: waiting.max(1), admitted }
            }
            _ => Place::Admitted,
        };
        known.settle(place, now);
        drop(clients);
        if place == Place::Admitted {
            self.doubt();
        }
    }

    /// Clients that have a place here, and those that wait here.
    pub(crate) fn counts(&self) -> (u32, u32) {
        counts(&lock(&self.clients))
    }

    /// Who is served here, who has asked, and how many doubts had been raised before.
    pub(crate) fn served(&self) -> (Served, u64) {
        // Whoever is let in from here on raises another doubt.
        let doubts = self.doubts.borrow().raised;
        let clients = lock(&self.clients);
        let mut served = Served { as_of: Instant::now(), admitted: Vec::new(), asking: HashSet::new() };
        for ((image, number), client) in clients.iter() {
            let (image, number) = (image.clone(), number.to_string());
            if client.place == Some(Place::Admitted) {
                let (host, priority) = (client.host.clone(), client.priority.into());
                served.admitted.push(ServedClient { image, client: number, host, priority });
            } else {
                served.asking.insert((image, number));
            }
        }
        (served, doubts)
    }

    /// A session was joined.
    pub(crate) fn joined(&self, image: &str, client: ClientId, host: &str, now: Instant) {
        if let Some(open) = lock(&self.open).get_mut(image) {
            open.members.insert(client);
        }
        let priority = self.catalogue.get(image).map_or(0, |image| image.priority);
        let (mut clients, key) = (lock(&self.clients), (image.to_owned(), client));
        if clients.len() < CLIENTS_LIMIT || clients.contains_key(&key) {
            // One that was given up and is back at once may be told of in the wrong order: it is served all the same.
            let known = clients.entry(key).or_insert_with(|| Client::new(host, priority, now));
            known.settle(Place::Admitted, now);
            known.joined = true;
        }
    }

    /// A client is done, or gone.
    pub(crate) fn release(&self, image: &str, client: ClientId) {
        if let Some(open) = lock(&self.open).get_mut(image) {
            open.members.remove(&client);
        }
        if lock(&self.clients).remove(&(image.to_owned(), client)).is_some() {
            self.free(image.to_owned(), client);
        }
    }

    /// The image has no session any more: nobody is served by it.
    pub(crate) fn session_ended(&self, image: &str) {
        lock(&self.open).remove(image);
        let of_image =
            lock(&self.clients).extract_if(|(of, _), client| of == image && client.joined).collect::<Vec<_>>();
        for ((image, client), _) in of_image {
            self.free(image, client);
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
            _ => now.duration_since(client.heard) > FORGET_LIMIT,
        };
        let gone: Vec<_> = lock(&self.clients).extract_if(|_, client| gone(client)).collect();
        for ((image, client), _) in gone {
            self.free(image, client);
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
        let mut clients = lock(&self.clients);
        let key = (image.name.clone(), ask.client);
        if clients.len() >= CLIENTS_LIMIT && !clients.contains_key(&key) {
            // Without a cap it is only counted for one that may come.
            rules.cap?;
            return Some(refuse(RefuseReason::Full, LATER, "too many clients ask at the same time"));
        }
        let client = clients.entry(key.clone()).or_insert_with(|| Client::new(ask.host, image.priority, now));
        client.heard = now;
        if client.place == Some(Place::Admitted) {
            return None;
        }
        let Some(cap) = rules.cap else {
            client.settle(Place::Admitted, now);
            return None;
        };
        let elsewhere = self.by_http && image.multicast != MulticastUse::Only;
        if elsewhere
            && rules.when_full == WhenFull::Unicast
            && let Some(Place::Queued { admitted, .. }) = client.place
        {
            // Whoever goes another way must not keep its place in the queue from others.
            clients.remove(&key);
            self.free(key.0, key.1);
            return Some(refuse(RefuseReason::Unicast, Duration::ZERO, &full(admitted, cap)));
        }
        let asks = self.ask_place(client, &key, now);
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

    /// Asks for a client's place if it is time and no question is under way; whether it does.
    fn ask_place(&self, client: &mut Client, (image, number): &(String, ClientId), now: Instant) -> bool {
        if client.asking || client.place.is_some() && now.duration_since(client.asked) < ASK_INTERVAL {
            return false;
        }
        let (image, host, priority) = (image.clone(), client.host.clone(), client.priority);
        // If the queue is full, its next join tries again.
        client.asking = self.places.try_send(PlaceWish { image, client: *number, host, priority }).is_ok();
        client.asked = now;
        client.asking
    }

    /// Gives a client's place back at once if somebody may wait for it. Otherwise that it is gone is told with all
    /// the others that are served, now and then.
    fn free(&self, image: String, client: ClientId) {
        if self.cap().is_some() {
            self.wish(Wish::FreePlace { image, client });
        }
    }

    fn wish(&self, wish: Wish) {
        // Nobody fulfils it any more when the server ends.
        let _ = self.wishes.send(wish);
    }
}

impl Client {
    fn new(host: &str, priority: u8, now: Instant) -> Self {
        let host = host.to_owned();
        Self { host, priority, place: None, heard: now, asked: now, asking: false, admitted: now, joined: false }
    }

    fn settle(&mut self, place: Place, now: Instant) {
        self.asking = false;
        if place == Place::Admitted && self.place != Some(Place::Admitted) {
            self.admitted = now;
        }
        self.place = Some(place);
    }
}

/// Clients that have a place, and those that have none.
fn counts(clients: &HashMap<(String, ClientId), Client>) -> (u32, u32) {
    let admitted = clients.values().filter(|client| client.place == Some(Place::Admitted)).count();
    (admitted as u32, (clients.len() - admitted) as u32)
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
