//! The description of all that can be asked, made from the handlers and types themselves.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{Table, error, pxe};
use crate::serve::views;

/// What no handler says.
#[derive(OpenApi)]
#[openapi(
    info(title = "mcast distribution point", description = "Images to many machines at once: what is served, to whom, and how it goes."),
    components(schemas(
        error::Problem,
        views::SessionView,
        views::ClientView,
        views::ImageView,
        pxe::views::BootingView
    )),
    modifiers(&Bearer)
)]
struct Frame;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut Description) {
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// The whole of it.
fn describe() -> Description {
    let mut description = Frame::openapi();
    description.merge(Table::new().all().into_openapi());
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths = paths.into_iter().map(|(path, item)| (plain(&path), item)).collect();
    description
}

/// A path as OpenAPI writes it, which has no word for "all the rest".
pub(super) fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

/// This description, in the form of OpenAPI.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "server", responses((status = 200, body = Object)))]
pub(super) async fn answer() -> Response {
    static TEXT: LazyLock<Bytes> =
        LazyLock::new(|| serde_json::to_vec(&describe()).map(Bytes::from).unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}
