//! Which connections may stay. While there are as many as allowed, a new one takes the place of the one that has
//! kept its server waiting for a request longest: who opens thousands and says nothing locks nobody out.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::warn;

/// Without a waiting one, an answer of which nothing was taken for so long makes room.
const STALLED: Duration = Duration::from_secs(60);
/// Between two looks for such.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two words about it.
const TOLD_INTERVAL: Duration = Duration::from_secs(60);
/// Descriptors for all that is no connection: images, sessions, the database.
const OTHER_DESCRIPTORS: u64 = 512;

/// The connections of all listeners that share it.
pub(crate) struct Connections {
    permits: Arc<Semaphore>,
    limit: usize,
    lines: Mutex<Lines>,
    /// Told when one begins to wait.
    waits: Notify,
    begun: Instant,
}

#[derive(Default)]
struct Lines {
    /// The next number of a connection or a turn.
    next: u64,
    /// Those that wait for a request, by turn: who has waited longest first.
    waiting: BTreeMap<u64, Arc<Line>>,
    /// Those whose request is being answered.
    answered: HashMap<u64, Arc<Line>>,
    told: Option<Instant>,
}

/// A connection, as far as others know it.
struct Line {
    number: u64,
    /// Its turn, if it waits.
    turn: AtomicU64,
    dismissed: Notify,
    /// When its answer went on last, milliseconds since the beginning.
    moved: AtomicU64,
}

/// A connection's place, given back when it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    line: Arc<Line>,
    _permit: OwnedSemaphorePermit,
}

/// A request is being answered; it waits again when this is dropped.
struct Answering(Arc<Place>);

impl Connections {
    /// At most `limit` at the same time, or as many as the system has descriptors for.
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        let limit = affordable(limit) as usize;
        let permits = Arc::new(Semaphore::new(limit));
        Arc::new(Self { permits, limit, lines: Mutex::default(), waits: Notify::new(), begun: Instant::now() })
    }

    /// A place for one more, which waits for a request from now on. While all others are busy this waits.
    pub(super) async fn place(self: &Arc<Self>) -> Option<Place> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.make_room().await?,
        };
        let line = {
            let mut lines = self.lock();
            lines.next += 1;
            let (number, turn, moved) = (lines.next, AtomicU64::new(0), AtomicU64::new(0));
            Arc::new(Line { number, turn, dismissed: Notify::new(), moved })
        };
        self.wait(&line);
        Some(Place { connections: self.clone(), line, _permit: permit })
    }

    /// The permit that somebody else gives back, who is asked to.
    async fn make_room(&self) -> Option<OwnedSemaphorePermit> {
        self.tell_full();
        // One that goes suffices: several would go for one that comes.
        let mut asked = self.dismiss_waiting();
        loop {
            tokio::select! {
                permit = self.permits.clone().acquire_owned() => return permit.ok(),
                () = self.waits.notified(), if !asked => asked = self.dismiss_waiting(),
                () = tokio::time::sleep(LOOK_INTERVAL), if !asked => asked = self.dismiss_stalled(),
            }
        }
    }

    /// Has the one go that has waited longest; false if none waits.
    pub(super) fn dismiss_waiting(&self) -> bool {
        let longest = self.lock().waiting.pop_first();
        longest.inspect(|(_, line)| line.dismissed.notify_one()).is_some()
    }

    fn dismiss_stalled(&self) -> bool {
        let before = self.now().saturating_sub(STALLED.as_millis() as u64);
        let mut lines = self.lock();
        let moved = |line: &Arc<Line>| line.moved.load(Ordering::Relaxed);
        let longest = lines.answered.values().min_by_key(|line| moved(line)).filter(|line| moved(line) < before);
        let Some(line) = longest.cloned() else { return false };
        lines.answered.remove(&line.number);
        line.dismissed.notify_one();
        true
    }

    fn tell_full(&self) {
        let mut lines = self.lock();
        if lines.told.is_none_or(|told| told.elapsed() >= TOLD_INTERVAL) {
            lines.told = Some(Instant::now());
            let waiting = lines.waiting.len();
            drop(lines);
            warn!(
                limit = self.limit,
                waiting,
                "as many connections as allowed are open: new ones take the place of those that wait longest for a request"
            );
        }
    }

    fn wait(&self, line: &Arc<Line>) {
        {
            let mut lines = self.lock();
            lines.answered.remove(&line.number);
            lines.next += 1;
            let turn = lines.next;
            line.turn.store(turn, Ordering::Relaxed);
            lines.waiting.insert(turn, line.clone());
        }
        self.waits.notify_one();
    }

    fn answer(&self, line: &Arc<Line>) {
        line.moved.store(self.now(), Ordering::Relaxed);
        let mut lines = self.lock();
        lines.waiting.remove(&line.turn.load(Ordering::Relaxed));
        lines.answered.insert(line.number, line.clone());
    }

    fn forget(&self, line: &Line) {
        let mut lines = self.lock();
        lines.waiting.remove(&line.turn.load(Ordering::Relaxed));
        lines.answered.remove(&line.number);
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Another one takes its place.
    pub(super) async fn dismissed(&self) {
        self.line.dismissed.notified().await;
    }

    /// The answer to a request that has just come: as long as it is not sent, the connection does not wait.
    pub(super) async fn answer<E>(
        self: Arc<Self>,
        answer: impl Future<Output = Result<axum::http::Response<Body>, E>>,
    ) -> Result<axum::http::Response<Body>, E> {
        self.connections.answer(&self.line);
        let answering = Answering(self);
        let response = answer.await?;
        Ok(response.map(|body| Body::new(Sent { body, answering })))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.forget(&self.line);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.connections.wait(&self.0.line);
    }
}

/// An answer's body on its way.
struct Sent {
    body: Body,
    answering: Answering,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // It is asked for more when the connection has taken what there was.
        let place = &self.answering.0;
        place.line.moved.store(place.connections.now(), Ordering::Relaxed);
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// As many of `wanted` connections as the system has descriptors for; each may have a file open. Services are
/// given few at first, so the limit is raised as far as it goes.
fn affordable(wanted: u32) -> u32 {
    let needed = u64::from(wanted) * 2 + OTHER_DESCRIPTORS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    if soft >= needed {
        return wanted;
    }
    let raised = needed.min(hard);
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
        warn!("the limit of open files stays at {soft}: {error}");
    }
    let granted = getrlimit(Resource::RLIMIT_NOFILE).map_or(soft, |(soft, _)| soft);
    if granted >= needed {
        return wanted;
    }
    let can = (granted.saturating_sub(OTHER_DESCRIPTORS.min(granted / 2)) / 2).clamp(1, wanted.into()) as u32;
    warn!(
        "{can} connections are served at a time, not {wanted} (http.max_connections): this process may open {granted} files, \
         {needed} would be needed (ulimit -n, or LimitNOFILE of the service)"
    );
    can
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(text: &'static str) -> Result<axum::http::Response<Body>, axum::Error> {
        Ok(axum::http::Response::new(Body::from(text)))
    }

    #[tokio::test]
    async fn a_new_one_takes_the_place_of_who_waits_longest_and_never_of_who_is_served() {
        let connections = Connections::new(3);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(Arc::new(connections.place().await.unwrap()));
        }
        // The oldest one is served, the second one was and waits again.
        let served = places[0].clone().answer(async { body_of("long") }).await.unwrap();
        drop(places[1].clone().answer(async { body_of("short") }).await.unwrap());
        let newcomer = tokio::spawn({
            let connections = connections.clone();
            async move { connections.place().await }
        });
        places[2].dismissed().await;
        assert!(!newcomer.is_finished(), "not before the other one has gone");
        drop(places.pop());
        let newcomer = newcomer.await.unwrap().unwrap();
        // Of the two that wait the other one has waited longer.
        assert!(connections.dismiss_waiting());
        places[1].dismissed().await;
        assert!(connections.dismiss_waiting());
        newcomer.dismissed().await;
        assert!(!connections.dismiss_waiting(), "the first one is still served");
        drop(served);
        assert!(connections.dismiss_waiting());
    }

    #[tokio::test]
    async fn while_all_are_served_a_new_one_waits_until_one_is_done() {
        let connections = Connections::new(1);
        let place = Arc::new(connections.place().await.unwrap());
        let answer = place.clone().answer(async { body_of("answer") }).await.unwrap();
        let mut newcomer = Box::pin(connections.place());
        assert!(tokio::time::timeout(Duration::from_millis(50), newcomer.as_mut()).await.is_err());
        drop(answer);
        tokio::select! {
            _ = newcomer.as_mut() => panic!("there is no room yet"),
            () = place.dismissed() => {}
        }
        drop(place);
        assert!(newcomer.await.is_some());
    }
}
