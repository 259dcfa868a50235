//! Sessions on demand: from somebody's question for an image to a running session, and to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use command_line::chain;
use jiff::ZonedDateTime;
use multicast_core::address::{GroupClass, check_group};
use multicast_core::engine::{EngineError, Session, SessionConfig, SessionError, SessionSummary};
use multicast_core::image::Delivery;
use multicast_core::sender::{
    ClientSnapshot, ClientState, EndCause, LadderConfig, SenderEvent, SessionSnapshot, StartPolicy,
};
use tracing::{info, warn};

use super::content::{Image, Ready};
use super::point::{News, Point, now_ms};
use super::sessions::{ClientMark, Running};
use super::views::{ClientView, HTTP, SessionView, client_word};
use crate::config::MulticastUse;
use crate::site::{ClientRow, SessionRow};
use crate::view::narrator::Narrator;

/// For so long a session waits for a group and a port.
const PLACE_LIMIT: Duration = Duration::from_secs(10);
const PLACE_RETRY: Duration = Duration::from_millis(100);

/// Opens a session for `image`, which may wait for a place: blocks. If there was one at the last start, this takes
/// it up.
pub(crate) fn open(point: &Arc<Point>, image: &str) {
    let resumed = point.resumable.started(image);
    match try_open(point, image, resumed == Some(true)) {
        Ok(running) => {
            point.resumable.taken_up(image, &point.recorder);
            let group = running.group;
            info!(session = running.id, image, %group, resumed = resumed.is_some(), "session is open");
        }
        Err(why) => {
            warn!(image, "no session can be opened: {why}");
            point.engine.abandon(image);
            point.gate.session_failed(image);
        }
    }
}

fn try_open(point: &Arc<Point>, name: &str, has_started: bool) -> Result<Arc<Running>, String> {
    let (image, ready) = point.catalogue.ready(name).map_err(|error| error.to_string())?;
    let (config, starts_ms) = terms(point, &image, has_started);
    let begun = Instant::now();
    let session = loop {
        let delivery = reopened(&image, &ready)?;
        match point.engine.start_session(config.clone(), delivery, ready.manifest.clone()) {
            Ok(session) => break session,
            Err(EngineError::NothingLent { .. }) if begun.elapsed() < PLACE_LIMIT => {
                point.place_wanted.notify_one();
                std::thread::sleep(PLACE_RETRY);
            }
            Err(error) => return Err(chain(&error)),
        }
    };
    point.gate.session_opened(name, ready.clone());
    let opened_ms = now_ms();
    let id = format!("{:x}-{:08x}", opened_ms / 1000, session.id().0);
    let (group, control) = (session.group(), session.control());
    let running = Arc::new(Running::new(id, (image, ready), group, (opened_ms, starts_ms), control, has_started));
    running.look(Instant::now());
    point.sessions.add(running.clone());
    record(point, &running, None);
    let (point, followed) = (point.clone(), running.clone());
    std::thread::Builder::new()
        .name("events".into())
        .spawn(move || follow(&point, &followed, session))
        .map_err(|error| format!("the system refuses a thread: {error}"))?;
    Ok(running)
}

/// The files again, if they are still what was hashed.
fn reopened(image: &Image, ready: &Ready) -> Result<Delivery, String> {
    let delivery = Delivery::open(&image.files).map_err(|error| chain(&error))?;
    let stamps = |delivery: &Delivery| delivery.files().iter().map(|file| *file.stamp()).collect::<Vec<_>>();
    match stamps(&delivery) == stamps(&ready.delivery) {
        true => Ok(delivery),
        false => Err("its files have changed and are hashed anew".to_owned()),
    }
}

/// Terms of a session for `image`, and when its hour comes.
fn terms(point: &Point, image: &Image, has_started: bool) -> (SessionConfig, Option<i64>) {
    let settings = point.settings();
    let now = ZonedDateTime::now();
    // Whoever was in it must not wait for a number that has gone home.
    let hour = image.start.at.filter(|_| !has_started).map(|at| at.next(&now));
    let start = if has_started { StartPolicy::default() } else { image.start.policy(&now) };
    let group_class = point.engine.lent().free.last().and_then(|place| check_group(place.ip()).ok());
    let needs_source = group_class.is_some_and(GroupClass::needs_source);
    let slow = &settings.clients.slow;
    let profile = settings.rate.profile().unwrap_or(point.usual_profile);
    let config = SessionConfig {
        source_specific: settings.multicast.source_specific || needs_source,
        ttl: settings.multicast.ttl,
        dscp: settings.multicast.dscp,
        adaptive: settings.rate.adapts().then_some(slow.pace),
        start,
        silence: settings.clients.silence,
        ladder: match image.multicast {
            MulticastUse::Only => LadderConfig { unicast: 0, ..slow.ladder },
            // Whom the group does not reach fetches by HTTP, if it can: that needs no turn of the session.
            _ => LadderConfig { deaf: !point.by_http, ..slow.ladder },
        },
        // Late comers are taken in until it has rested for long enough.
        keep_open: true,
        weight: image.priority.into(),
        ..SessionConfig::new(image.name.clone(), profile)
    };
    (config, hour.map(jiff::Timestamp::as_millisecond))
}

/// Passes its events on until it is over.
fn follow(point: &Arc<Point>, running: &Arc<Running>, session: Session) {
    let mut narrator = Narrator::default();
    let mut cause = None;
    for event in session.events() {
        running.note(&event, now_ms());
        note_for_gate(point, running, &event);
        if let SenderEvent::Ended { cause: told } = &event {
            cause = Some(*told);
        }
        let text = narrator.tell(&event);
        if let Some(text) = &text {
            info!(session = running.id, image = running.image.name, "{text}");
        }
        let (session, image) = (running.id.clone(), running.image.name.clone());
        point.tell(News::Event { ms: now_ms(), session, image, text, event });
    }
    conclude(point, running, session.wait(), cause);
}

fn note_for_gate(point: &Point, running: &Running, event: &SenderEvent) {
    use SenderEvent as E;
    let image = &running.image.name;
    match event {
        E::ClientJoined { client, host, .. } => point.gate.joined(image, *client, host, Instant::now()),
        E::ClientComplete { client, .. }
        | E::ClientLeft { client, .. }
        | E::ClientGivenUp { client, .. }
        | E::ClientRemoved { client, .. }
        | E::ClientEvicted { client, .. } => point.gate.release(image, *client),
        _ => {}
    }
}

/// It is over.
fn conclude(
    point: &Arc<Point>,
    running: &Arc<Running>,
    result: Result<SessionSummary, SessionError>,
    cause: Option<EndCause>,
) {
    let outcome = match (&result, cause) {
        (Err(error), _) => format!("failed: {}", chain(error)),
        (Ok(_), Some(EndCause::Cancelled)) => match running.cancelled_by() {
            Some(who) => format!("cancelled by {who}"),
            None => "cancelled".to_owned(),
        },
        (Ok(_), Some(EndCause::Suspended)) => SUSPENDED.to_owned(),
        (Ok(_), _) => "finished".to_owned(),
    };
    let (seconds, failed) = (result.as_ref().map_or(0.0, |summary| summary.seconds), result.is_err());
    if let Ok(summary) = result {
        running.conclude(summary.snapshot);
    }
    record(point, running, Some(&outcome));
    let came_to = point.retire(running);
    let (id, image) = (&running.id, &running.image.name);
    let (complete, lacking, wire_bytes) = (came_to.complete, came_to.failed, came_to.wire_bytes);
    if failed {
        warn!(session = id, image, complete, lacking, wire_bytes, "session {outcome}");
    } else {
        info!(session = id, image, complete, lacking, seconds, wire_bytes, "{outcome}");
    }
    point.gate.session_ended(image);
    point.tell(point.standing());
}

/// How a session ended that the next start takes up.
pub(crate) const SUSPENDED: &str = "suspended";

/// Has the site know how a session stands; a suspended one stays, as if it ran.
pub(crate) fn record(point: &Point, running: &Running, outcome: Option<&str>) {
    let mut end_recorded = running.end_recorded();
    let Some(snapshot) = running.snapshot().filter(|_| !*end_recorded) else { return };
    *end_recorded = outcome.is_some();
    let view = SessionView::of(running, &snapshot, "");
    let outcome = outcome.filter(|outcome| *outcome != SUSPENDED);
    let ended_ms = outcome.map(|_| now_ms());
    point.recorder.session(SessionRow {
        id: running.id.clone(),
        server: point.server.clone(),
        image: view.image,
        version: view.version.unwrap_or_default(),
        group: running.group.ip().to_string(),
        port: running.group.port(),
        state: if ended_ms.is_some() { "ended".to_owned() } else { view.state },
        started: running.has_started(),
        rate_bits: view.rate,
        bytes: view.bytes,
        sent_bytes: view.wire_bytes,
        opened_ms: running.opened_ms,
        ended_ms,
        outcome: outcome.map(str::to_owned),
        clients: snapshot.admitted(),
        complete: view.complete,
        detail: String::new(),
    });
    record_clients(point, running, &snapshot, outcome, ended_ms);
}

/// The same of its clients, as far as there is news of them.
fn record_clients(
    point: &Point,
    running: &Running,
    snapshot: &SessionSnapshot,
    outcome: Option<&str>,
    ended_ms: Option<i64>,
) {
    let marked = snapshot.clients.iter().map(|client| (client, mark(running, client, ended_ms)));
    let news: Vec<_> = marked.filter(|(client, mark)| running.is_news(client.client, mark)).collect();
    let rows = news.iter().map(|(known, mark)| {
        let client = ClientView::of(running, snapshot, known);
        let has_fetched = mark.by_http && mark.state == ClientState::Complete;
        ClientRow {
            client: client.client,
            host: client.host,
            address: client.address,
            state: client_word(mark.state).to_owned(),
            path: if mark.by_http { HTTP.to_owned() } else { client.path },
            verified: if has_fetched { client.blocks.into() } else { client.verified.into() },
            blocks: client.blocks.into(),
            loss: client.loss,
            reason: client.reason.or_else(|| outcome.filter(|_| !mark.went_before).map(str::to_owned)),
            joined_ms: mark.joined_ms,
            ended_ms: mark.ended_ms,
        }
    });
    if point.recorder.clients(&running.id, rows) {
        running.recorded(news.iter().map(|(client, mark)| (client.client, *mark)));
    }
}

/// What the site is to know of a client of a session, which may have ended.
fn mark(running: &Running, client: &ClientSnapshot, session_ended_ms: Option<i64>) -> ClientMark {
    let (joined_ms, ended) = running.times(client.client);
    let by_http = running.by_http(client.client);
    let fetched_ms = by_http.flatten();
    ClientMark {
        state: match client.state {
            _ if fetched_ms.is_some() => ClientState::Complete,
            // Whoever was active when it ended went without the image.
            _ if ended.is_none() && session_ended_ms.is_some() => ClientState::Left,
            state => state,
        },
        by_http: by_http.is_some(),
        rung: client.rung,
        address: client.address,
        verified: client.verified,
        loss: client.loss,
        joined_ms,
        ended_ms: fetched_ms.or(ended).or(session_ended_ms),
        went_before: ended.is_some(),
        explained: running.reason(client.client).is_some(),
    }
}
