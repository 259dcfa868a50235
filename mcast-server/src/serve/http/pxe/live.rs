//! How it goes: who boots now, who asked and was answered what, who has which address, and what is missing.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use pxe::boot::{Site, recognise};
use pxe::images::{Missing, check as look};
use pxe::point::BootingMachine;
use serde::Deserialize;
use tracing::info;
use utoipa::IntoParams;

use super::super::Shared;
use super::super::api::{Done, ROWS_LIMIT, beyond};
use super::super::auth::Bearer;
use super::super::error::{KeptOut, Problem, Refused};
use super::convert;
use super::site::done;
use super::views::{BootCheckView, BootFindingView, BootLeaseView, BootView, BootingView};
use crate::site::{BootFilter, moment_of};

type App = State<Arc<Shared>>;

/// How much of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// Entries at most, 1 to 1000.
    #[serde(default = "hundred")]
    limit: u32,
    /// Of this card only.
    mac: Option<String>,
    /// Refusals only.
    #[serde(default)]
    refused: bool,
    /// Before the entry of this id.
    before: Option<i64>,
}

fn hundred() -> u32 {
    100
}

/// The addresses that the site's own DHCP has given out.
#[utoipa::path(get, path = "/api/v1/pxe/leases", tag = "pxe", security(("token" = [])),
    responses((status = 200, body = Vec<BootLeaseView>), KeptOut, (status = 503, body = Problem)))]
pub(crate) async fn leases(State(shared): App) -> Result<Json<Vec<BootLeaseView>>, Refused> {
    let leases = shared.point.site.pxe_leases().await?;
    Ok(Json(leases.into_iter().map(BootLeaseView::from).collect()))
}

/// Forgets a lease, so that another machine can have its address. The server that gave it is to be asked, as long as
/// it is there: it would not forget.
#[utoipa::path(delete, path = "/api/v1/pxe/leases/{address}", tag = "pxe", security(("token" = [])),
    params(("address" = String, Path, description = "the address")),
    responses((status = 200, body = Done), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn forget(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(text): Path<String>,
) -> Result<Json<Done>, Refused> {
    let address: Ipv4Addr = text.parse().map_err(|_| convert::wrong(format!("{text:?} is no IPv4 address")))?;
    let all = shared.point.site.pxe_leases().await?;
    let given: Vec<_> = all.iter().filter(|seen| seen.row.address == address).collect();
    if given.is_empty() {
        return Err(Refused::not_found(format!("nobody has a lease of {address}")));
    }
    let others = living_others(&shared).await?;
    if let Some(seen) = given.iter().find(|seen| others.contains(&seen.server_name)) {
        let text = format!("server {:?} has given {address}, and keeps it in mind", seen.server_name);
        return Err(Refused::new(StatusCode::CONFLICT, text).with_help("ask that server"));
    }
    if let Some(here) = shared.point.pxe() {
        here.withdraw(address);
    }
    let gone: Vec<_> = given.iter().map(|seen| (seen.row.network, seen.row.address)).collect();
    shared.point.site.delete_pxe_leases(None, &gone).await?;
    info!(by = bearer.name, %address, "a lease is forgotten");
    Ok(done())
}

/// The machines that boot from this server now, and those that did within the last hour.
#[utoipa::path(get, path = "/api/v1/pxe/machines", tag = "pxe", security(("token" = [])),
    responses((status = 200, body = Vec<BootingView>), KeptOut, (status = 404, body = Problem)))]
pub(crate) async fn machines(State(shared): App) -> Result<Json<Vec<BootingView>>, Refused> {
    let here = super::here(&shared)?;
    let site = here.site();
    Ok(Json(here.point.booting().iter().map(|booting| BootingView::of(booting, &site)).collect()))
}

/// What machines asked of the site and were answered, or why not; the newest first.
#[utoipa::path(get, path = "/api/v1/pxe/log", tag = "pxe", security(("token" = [])), params(LogQuery),
    responses((status = 200, body = Vec<BootView>), (status = 400, body = Problem), KeptOut,
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn log(
    State(shared): App,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Json<Vec<BootView>>, Refused> {
    let Query(LogQuery { limit, mac, refused, before }) = query?;
    if !(1..=ROWS_LIMIT).contains(&limit) {
        return Err(beyond("limit", limit));
    }
    let mac = mac.as_deref().map(convert::card).transpose()?;
    let rows = shared.point.site.boots(&BootFilter { mac, refused, before, limit }).await?;
    Ok(Json(rows.into_iter().map(BootView::from).collect()))
}

/// What is missing before anyone boots from this server.
#[utoipa::path(get, path = "/api/v1/pxe/check", tag = "pxe", security(("token" = [])),
    responses((status = 200, body = BootCheckView), KeptOut, (status = 404, body = Problem)))]
pub(crate) async fn check(State(shared): App) -> Result<Json<BootCheckView>, Refused> {
    let here = super::here(&shared)?;
    let site = here.site();
    let images = here.point.images().clone();
    let loaders = here.point.loaders().clone();
    let known = site.clone();
    let looked = tokio::task::spawn_blocking(move || look(&known, &images, &loaders, SystemTime::now())).await;
    let missing = looked.map_err(|error| Refused::unavailable(&error))?;
    let mut findings: Vec<_> = general(&site).into_iter().chain(missing.into_iter().map(finding)).collect();
    findings.extend(received(&shared, &site));
    let ready = findings.iter().all(|finding| finding.kind != MISSING);
    Ok(Json(BootCheckView { ready, findings }))
}

const MISSING: &str = "missing";
const ODD: &str = "odd";

/// Names of the site's other servers that are there.
async fn living_others(shared: &Shared) -> Result<Vec<String>, Refused> {
    let servers = shared.point.site.servers().await?.into_iter();
    Ok(servers.filter(|seen| !seen.dead && seen.row.id != shared.point.server).map(|seen| seen.row.name).collect())
}

/// What is odd about the site as a whole.
fn general(site: &Site) -> Vec<BootFindingView> {
    let mut findings = Vec::new();
    let mut odd = |text: &str, help: &str| {
        findings.push(BootFindingView { kind: ODD.to_owned(), text: text.to_owned(), help: Some(help.to_owned()) });
    };
    if !site.policy.respond {
        odd("no machine is answered", "mcast-server ctl pxe policy --respond on; pxe.respond of the configuration");
    }
    if site.deployments.is_empty() {
        odd("nothing is deployed: machines go on to their disks", "mcast-server ctl pxe deployments add --help");
    }
    findings
}

fn finding(missing: Missing) -> BootFindingView {
    BootFindingView {
        kind: if missing.odd { ODD } else { MISSING }.to_owned(),
        text: format!("deployment {}: {}", missing.deployment, missing.text),
        help: Some(missing.help),
    }
}

/// Images that booted clients are to receive, and that this server does not have, though they ask it.
fn received(shared: &Shared, site: &Site) -> Vec<BootFindingView> {
    if shared.point.settings().pxe.client_server.is_some() {
        return Vec::new();
    }
    let (images, now) = (shared.point.images(), SystemTime::now());
    let living = site.deployments.iter().filter(|deployment| !deployment.is_over(now));
    let named = living.filter_map(|deployment| Some((deployment, deployment.image.as_ref()?)));
    let lacking = named.filter(|(_, name)| !images.iter().any(|image| image.name == **name));
    let finding = |(deployment, name): (&pxe::boot::Deployment, &String)| BootFindingView {
        kind: MISSING.to_owned(),
        text: format!(
            "deployment {}: its clients receive image {name}, which this server does not have",
            deployment.name
        ),
        help: Some("copy it into the folder of images; or name its server by pxe.client_server".to_owned()),
    };
    lacking.map(finding).collect()
}

impl BootingView {
    /// With the computer that the site knows it as.
    pub(crate) fn of(booting: &BootingMachine, site: &Site) -> Self {
        let machine = &booting.machine;
        let computer = recognise(site, machine).ok().flatten();
        Self {
            mac: machine.mac.to_string(),
            uuid: machine.uuid.map(|uuid| uuid.to_string()),
            computer: computer.map(|computer| computer.name.clone()),
            platform: machine.platform.map(|platform| platform.name().to_owned()),
            address: booting.address.map(|address| address.to_string()),
            stage: booting.stage.name().to_owned(),
            deployment: booting.deployment.clone(),
            text: booting.text.clone(),
            refused: booting.refused,
            since_ms: moment_of(booting.since),
            ms: moment_of(booting.last),
        }
    }
}
