//! The HTTP side: content for single clients, the API, metrics, and the web page.
//!
//! [`listener`] takes connections, [`auth`] says who may do what, the other modules answer.

mod api;
mod auth;
pub(crate) mod connections;
mod content;
pub(crate) mod error;
mod events;
pub(crate) mod listener;
mod metrics;
mod openapi;
mod page;
pub(crate) mod pxe;
mod ranges;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;

use self::error::Refused;
use super::point::Point;

/// An answer that is no stream is there within this.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// What all requests work with.
pub(crate) struct Shared {
    pub(crate) point: Arc<Point>,
    /// What people compare.
    pub(crate) fingerprint: String,
    /// Says true when the server stops: streams end then.
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Routes with their descriptions.
type Routes = OpenApiRouter<Arc<Shared>>;

/// All that can be asked, by who may ask it; only the files of the page are not here. What is not made of
/// described handlers fails a test.
struct Table {
    open: Routes,
    seen: Routes,
    done: Routes,
    /// What operators send, however long it takes.
    sent: Routes,
    streams: Routes,
    metrics: Routes,
    content: Routes,
}

impl Table {
    fn new() -> Self {
        Self {
            open: api::open().merge(crate::serve::pxe::hello_routes()),
            seen: api::views().merge(pxe::views()),
            done: api::commands().merge(pxe::commands()),
            sent: pxe::uploads(),
            streams: events::routes(),
            metrics: metrics::routes(),
            content: content::routes(),
        }
    }

    /// Without limits and without who may ask what.
    fn all(self) -> Routes {
        let Self { open, seen, done, sent, streams, metrics, content } = self;
        open.merge(seen).merge(done).merge(sent).merge(streams).merge(metrics).merge(content)
    }
}

/// Everything, as it is served on the main listeners.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let body_limit = shared.point.settings().http.body_limit;
    let viewer = from_fn_with_state(shared.clone(), auth::viewer);
    let operator = from_fn_with_state(shared.clone(), auth::operator);
    let quick = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER_LIMIT);
    let table = Table::new();
    let api = table
        .open
        .layer(quick)
        .merge(table.seen.layer(quick).route_layer(viewer.clone()))
        .merge(table.done.layer(quick).route_layer(operator.clone()))
        .merge(table.sent.layer(DefaultBodyLimit::disable()).route_layer(operator))
        .merge(table.streams.route_layer(viewer))
        .layer(map_response(error::in_json));
    let described = api.merge(metrics_routes(table.metrics, &shared)).merge(table.content);
    Router::from(described)
        .merge(page::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(usize::try_from(body_limit).unwrap_or(usize::MAX)))
        .layer(map_response(guard))
        .with_state(shared)
}

/// Metrics alone, for a listener of their own.
pub(crate) fn metrics_router(shared: Arc<Shared>) -> Router {
    let routes = Router::from(metrics_routes(metrics::routes(), &shared));
    routes.fallback(unknown).method_not_allowed_fallback(wrong_method).layer(map_response(guard)).with_state(shared)
}

fn metrics_routes(routes: Routes, shared: &Arc<Shared>) -> Routes {
    routes.route_layer(from_fn_with_state(shared.clone(), auth::metrics))
}

async fn unknown() -> Response {
    Refused::not_found("there is nothing at this address")
        .with_help("the API is described at /api/v1/openapi.json")
        .into_response()
}

async fn wrong_method() -> Response {
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not take this method").into_response()
}

/// No other site may show or load what is answered here, nor guess what it is.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let guards = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in guards {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described() {
        let (router, description) = Table::new().all().split_for_parts();
        // A router tells its paths to nobody but a debugger.
        let text = format!("{router:?}");
        // The last two are where what has no route goes.
        let is_path = |text: &&str| text.starts_with('/') && !["/", "/{*__private__axum_fallback}"].contains(text);
        let paths = text.split('"').filter(is_path).map(openapi::plain).collect::<BTreeSet<_>>();
        let described = description.paths.paths.keys().map(|path| openapi::plain(path)).collect::<BTreeSet<_>>();
        assert!(paths.len() > 15, "{text}");
        assert_eq!(paths, described);
    }
}
