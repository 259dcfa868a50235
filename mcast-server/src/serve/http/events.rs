//! News as they happen (server-sent events): of all sessions, and the map of one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tracing::info;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::auth::Bearer;
use super::error::{KeptOut, Problem, Refused};
use super::listener::stops;
use super::{Routes, Shared};
use crate::config::{Role, Settings};
use crate::serve::point::{CommandError, News};

/// Between two maps.
const MAP_INTERVAL: Duration = Duration::from_secs(1);
/// Columns of a map.
const COLUMNS: usize = 128;
const COLUMNS_LIMIT: usize = 1024;
/// Between two signs of life on a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Messages that wait for a slow reader before it is waited for.
const AHEAD: usize = 16;

type Stream = Sse<axum::response::sse::KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>>;

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(news)).routes(routes!(map))
}

/// How fine a map is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapQuery {
    /// Parts of the stream, 1 to 1024.
    columns: Option<usize>,
}

/// Some rows of a map: those that changed since the last message; at first all.
#[derive(Debug, Serialize)]
struct Map {
    columns: usize,
    /// By client, two hexadecimal digits a column: 00 for nothing, ff for all of it.
    rows: HashMap<String, String>,
}

/// One who is told news as they happen.
struct Follower {
    out: mpsc::Sender<Result<Event, Infallible>>,
    limits: Limits,
}

/// What ends a stream that would go on.
struct Limits {
    bearer: Bearer,
    settings: watch::Receiver<Arc<Settings>>,
    stopped: watch::Receiver<bool>,
}

impl Follower {
    /// One who bears this token, and the stream that he gets.
    fn new(shared: &Shared, bearer: Bearer) -> (Self, Stream) {
        let (out, stream) = mpsc::channel(AHEAD);
        let limits = Limits { bearer, settings: shared.point.settings_changes(), stopped: shared.stopped.clone() };
        let stream = Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
        (Self { out, limits }, stream)
    }

    /// Says it as soon as there is room for it; false if there is to be no more.
    async fn tell(&mut self, message: Event) -> bool {
        tokio::select! {
            biased;
            () = self.limits.reached() => false,
            told = self.out.send(Ok(message)) => told.is_ok(),
        }
    }

    /// Waits until there is to be no more: nobody has to wait for news to be found to have gone.
    async fn over(&mut self) {
        tokio::select! {
            () = self.limits.reached() => {}
            () = self.out.closed() => {}
        }
    }
}

impl Limits {
    /// Waits until the server stops, or the token opens this no more: who was let in once is not let in for ever.
    async fn reached(&mut self) {
        let Self { bearer, settings, stopped } = self;
        let revoked = settings.wait_for(|settings| !bearer.may_still(&settings.tokens, Role::Viewer));
        tokio::select! {
            () = stops(stopped) => {}
            revoked = revoked => {
                if revoked.is_ok() {
                    info!(by = bearer.name, "stream ends: its token opens it no more");
                }
            }
        }
    }
}

/// What happens in the sessions of this server, as it happens; once a second how they stand.
///
/// Messages are `event`, `sessions`, `images`, `boots`, and `missed` with a number if the reader was too slow.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", security(("token" = [])),
    responses((status = 200, content_type = "text/event-stream", body = String), KeptOut))]
pub(crate) async fn news(State(shared): State<Arc<Shared>>, Extension(bearer): Extension<Bearer>) -> Stream {
    let (mut follower, stream) = Follower::new(&shared, bearer);
    let mut news = shared.point.news();
    let first = [News::Images { images: shared.point.images() }, shared.point.standing()];
    tokio::spawn(async move {
        for news in &first {
            if !follower.tell(message(news)).await {
                return;
            }
        }
        loop {
            let told = tokio::select! {
                told = news.recv() => told,
                () = follower.over() => return,
            };
            let message = match told {
                Ok(news) => message(&news),
                Err(RecvError::Lagged(number)) => Event::default().event("missed").data(number.to_string()),
                Err(RecvError::Closed) => return,
            };
            if !follower.tell(message).await {
                return;
            }
        }
    });
    stream
}

/// What each client of a session has of each part of the stream, once a second what changed.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/map", tag = "events", security(("token" = [])),
    params(("id" = String, Path, description = "the session's number"), MapQuery),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 400, body = Problem),
        KeptOut, (status = 404, body = Problem)))]
pub(crate) async fn map(
    State(shared): State<Arc<Shared>>,
    Extension(bearer): Extension<Bearer>,
    Path(id): Path<String>,
    query: Result<Query<MapQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Stream, Refused> {
    let Query(MapQuery { columns }) = query?;
    let columns = columns.unwrap_or(COLUMNS);
    if !(1..=COLUMNS_LIMIT).contains(&columns) {
        let text = format!("columns is {columns}, a map has 1 to {COLUMNS_LIMIT}");
        return Err(Refused::new(axum::http::StatusCode::BAD_REQUEST, text));
    }
    let running = shared.point.sessions.get(&id).ok_or(CommandError::NoSession { id })?;
    let (mut follower, stream) = Follower::new(&shared, bearer);
    tokio::spawn(async move {
        let mut told: HashMap<String, String> = HashMap::new();
        let mut first = true;
        loop {
            let control = running.control.clone();
            let looked = tokio::task::spawn_blocking(move || control.coverage(columns)).await;
            let Ok(Some(coverage)) = looked else {
                follower.tell(Event::default().event("ended").data("{}")).await;
                return;
            };
            let all = coverage.into_iter().map(|row| (row.client.to_string(), hex(&row.columns)));
            let rows: HashMap<_, _> = all.filter(|(client, row)| told.get(client) != Some(row)).collect();
            if first || !rows.is_empty() {
                told.extend(rows.clone());
                let data = serde_json::to_string(&Map { columns, rows }).unwrap_or_default();
                if !follower.tell(Event::default().event("map").data(data)).await {
                    return;
                }
            }
            first = false;
            tokio::select! {
                () = tokio::time::sleep(MAP_INTERVAL) => {}
                () = follower.over() => return,
            }
        }
    });
    Ok(stream)
}

fn message(news: &News) -> Event {
    let name = match news {
        News::Event { .. } => "event",
        News::Sessions { .. } => "sessions",
        News::Images { .. } => "images",
        News::Boots { .. } => "boots",
    };
    Event::default().event(name).data(serde_json::to_string(news).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
