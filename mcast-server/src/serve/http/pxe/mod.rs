//! The PXE service point under `/api/v1/pxe`: who boots what, and how it goes.
//!
//! [`site`] has what the site wants of its machines, [`images`] what they boot from this server, [`live`] how it
//! goes, [`news`] tells it as it happens; [`views`] are what all of them say and take, [`convert`] reads it.

mod convert;
mod images;
mod live;
mod news;
mod site;
pub(crate) mod views;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use utoipa_axum::routes;

pub(crate) use self::news::tell;
use super::error::Refused;
use super::{Routes, Shared};
use crate::serve::pxe::Running;

/// What viewers may see.
pub(super) fn views() -> Routes {
    Routes::new()
        .routes(routes!(site::status))
        .routes(routes!(site::computers))
        .routes(routes!(site::deployments))
        .routes(routes!(images::list))
        .routes(routes!(live::leases))
        .routes(routes!(live::machines))
        .routes(routes!(live::log))
        .routes(routes!(live::check))
}

/// What operators may do.
pub(super) fn commands() -> Routes {
    Routes::new()
        .routes(routes!(site::set_policy))
        .routes(routes!(site::add_computer))
        .routes(routes!(site::put_computer, site::remove_computer))
        .routes(routes!(site::add_deployment))
        .routes(routes!(site::put_deployment, site::remove_deployment))
        .routes(routes!(site::reorder))
        .routes(routes!(site::again))
        .routes(routes!(images::remove))
        .routes(routes!(live::forget))
}

/// What operators send that takes its time.
pub(super) fn uploads() -> Routes {
    Routes::new().routes(routes!(images::put))
}

/// The service point of this server, if it has one.
fn here(shared: &Shared) -> Result<Arc<Running>, Refused> {
    shared.point.pxe().ok_or_else(|| {
        Refused::not_found("this server boots no machines").with_help("set pxe.enabled in its configuration")
    })
}

/// The body that was sent, or why it is none.
fn body<T>(shared: &Shared, sent: Result<Json<T>, JsonRejection>, help: &str) -> Result<T, Refused> {
    let limit = shared.point.settings().http.body_limit;
    let unread = |rejection: JsonRejection| {
        let text = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => format!("the body has more than {limit} bytes (http.body_limit)"),
            _ => rejection.body_text(),
        };
        Refused::new(rejection.status(), text).with_help(help)
    };
    sent.map(|Json(body)| body).map_err(unread)
}
