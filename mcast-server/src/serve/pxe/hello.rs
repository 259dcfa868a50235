//! Machines that have booted into the client say hello: the token of the kernel's command line opens what its
//! machine was booted for, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use pxe::boot::{BootNote, Stage};
use pxe::machine::{Mac, Machine, ipv4_of};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::serve::http::Shared;
use crate::serve::http::error::{Problem, Refused};
use crate::site::PxeError;

/// Cards of one machine.
const CARDS: usize = 64;

/// What anybody may ask who has a token of a boot.
pub(crate) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(hello))
}

/// Who has booted.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Hello {
    /// What tells this start of the machine from others: the same one may ask again.
    boot: String,
    /// Its host name.
    host: String,
    /// Its cards.
    macs: Vec<String>,
}

/// What it was booted for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Welcome {
    /// The deployment.
    deployment: String,
    /// The image that it is to receive, if the deployment names one.
    image: Option<String>,
}

/// What this machine was booted for; the bearer's token is that of its boot, which serves one start of one machine.
#[utoipa::path(post, path = "/pxe/v1/hello", tag = "pxe", request_body = Hello,
    responses((status = 200, body = Welcome), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn hello(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Json<Hello>, JsonRejection>,
) -> Result<Json<Welcome>, Refused> {
    let Json(said) = body.map_err(|rejection| {
        Refused::new(rejection.status(), rejection.body_text()).with_help(r#"send {"boot": …, "host": …, "macs": […]}"#)
    })?;
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| Refused::new(StatusCode::UNAUTHORIZED, "there is no token"))?;
    let macs: Vec<Mac> = said.macs.iter().take(CARDS).filter_map(|mac| mac.parse().ok()).collect();
    match shared.point.site.redeem_boot_token(token, &said.boot, &macs).await {
        Ok(opened) => {
            let (mac, deployment) = (opened.mac, opened.deployment.clone());
            info!(%mac, host = said.host, deployment, "a booted client says hello");
            if let Some(running) = shared.point.pxe() {
                let text = format!("runs the client, as {}", said.host);
                running.point.note(note(mac, from, Some(deployment.clone()), text, false));
            }
            Ok(Json(Welcome { deployment, image: opened.image }))
        }
        Err(PxeError::Site(error)) => Err(error.into()),
        Err(error) => {
            warn!(%from, host = said.host, "a booted client is refused: {error}");
            if let (Some(running), Some(mac)) = (shared.point.pxe(), macs.first()) {
                running.point.note(note(*mac, from, None, error.to_string(), true));
            }
            Err(Refused::new(StatusCode::FORBIDDEN, error.to_string()))
        }
    }
}

fn note(mac: Mac, from: SocketAddr, deployment: Option<String>, text: String, refused: bool) -> BootNote {
    let address = ipv4_of(from.ip());
    BootNote { machine: Machine::new(mac), address, stage: Stage::Client, deployment, text, refused }
}
