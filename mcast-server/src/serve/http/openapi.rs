//! The API's description, made from its types and handlers.

use axum::Json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{api, error, events};
use crate::serve::views;

/// What the description has.
#[derive(OpenApi)]
#[openapi(
    info(title = "mcast distribution point", description = "Images to many machines at once: what is served, to whom, and how it goes."),
    paths(
        api::health, api::ready, api::site, api::settings, api::images, api::image, api::sessions, api::session,
        api::session_clients, api::clients, api::queue, api::history, api::command, api::remove, events::news,
        events::map
    ),
    components(schemas(error::Problem, views::SessionView, views::ClientView, views::ImageView)),
    modifiers(&Bearer)
)]
pub(crate) struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// The description, as JSON.
pub(super) async fn answer() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
