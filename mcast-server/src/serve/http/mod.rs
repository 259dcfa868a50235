//! The HTTP side: content for single clients, the API, metrics, and the web page.
//!
//! [`listener`] takes connections, [`auth`] says who may do what, the other modules answer.

mod api;
mod auth;
mod content;
mod error;
mod events;
pub(crate) mod listener;
mod metrics;
mod openapi;
mod page;
mod ranges;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::timeout::TimeoutLayer;

use self::error::Refused;
use super::point::Point;

/// An answer that is no stream is there within this.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// What all requests work with.
pub(crate) struct Shared {
    pub(crate) point: Arc<Point>,
    /// What people compare, if the HTTP side speaks TLS.
    pub(crate) fingerprint: Option<String>,
}

/// Everything, as it is served on the main listeners.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let body_limit = shared.point.settings().http.body_limit;
    let viewer = from_fn_with_state(shared.clone(), auth::viewer);
    let operator = from_fn_with_state(shared.clone(), auth::operator);
    let quick = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER_LIMIT);
    let seen = api::views().layer(quick).route_layer(viewer.clone());
    let done = api::commands().layer(quick).route_layer(operator);
    let streams = events::routes().route_layer(viewer);
    Router::new()
        .merge(api::open().layer(quick))
        .merge(seen)
        .merge(done)
        .merge(streams)
        .merge(metrics_routes(&shared))
        .merge(content::routes())
        .merge(page::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(usize::try_from(body_limit).unwrap_or(usize::MAX)))
        .layer(axum::middleware::map_response(guard))
        .with_state(shared)
}

/// Metrics alone, for a listener of their own.
pub(crate) fn metrics_router(shared: Arc<Shared>) -> Router {
    metrics_routes(&shared).fallback(unknown).with_state(shared)
}

fn metrics_routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let bearer = from_fn_with_state(shared.clone(), auth::metrics);
    Router::new().route("/metrics", get(metrics::answer)).route_layer(bearer)
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
