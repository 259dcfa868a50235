//! What the site wants of its machines: its policy, its computers, its deployments.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use pxe::boot::password::{self, PasswordError};
use pxe::boot::{Doer, Stage};
use pxe::machine::Mac;
use pxe::point::BootingMachine;
use tracing::info;

use super::super::Shared;
use super::super::api::Done;
use super::super::auth::Bearer;
use super::super::error::{KeptOut, Problem, Refused};
use super::views::{
    AgainView, AgainWish, ComputerView, DeploymentView, DeploymentWish, ForgottenView, MoveWish, PolicyWish,
    PxeInterfaceView, PxeView,
};
use super::{body, convert};
use crate::serve::point::now_ms;
use crate::site::{ComputerRow, DeploymentRow, PolicyChange, Position};

type App = State<Arc<Shared>>;
type Sent<T> = Result<Json<T>, JsonRejection>;

const POLICY_HELP: &str =
    r#"send for example {"respond": true, "unknown": false}; with a password, or null for none, that is set, too"#;
const COMPUTER_HELP: &str = r#"send for example {"name": "pc-17", "macs": ["52:54:00:12:34:56"]}"#;
const DEPLOYMENT_HELP: &str =
    r#"send for example {"name": "install", "target": "computer:pc-17", "boot_image": "client", "once": true}"#;
const MOVE_HELP: &str = r#"send {"before": "install"}, or {} to put it behind all others"#;
const AGAIN_HELP: &str = r#"send {} for all machines, or {"computer": "pc-17"}"#;

/// The service point at a glance.
#[utoipa::path(get, path = "/api/v1/pxe", tag = "pxe", security(("token" = [])),
    responses((status = 200, body = PxeView), KeptOut, (status = 503, body = Problem)))]
pub(crate) async fn status(State(shared): App) -> Result<Json<PxeView>, Refused> {
    view(&shared).await.map(Json)
}

/// Changes what holds for all machines of the site, at once.
#[utoipa::path(put, path = "/api/v1/pxe/policy", tag = "pxe", security(("token" = [])), request_body = PolicyWish,
    responses((status = 200, body = PxeView), (status = 400, body = Problem), KeptOut, (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn set_policy(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    sent: Sent<PolicyWish>,
) -> Result<Json<PxeView>, Refused> {
    let PolicyWish { respond, unknown, password } = body(&shared, sent, POLICY_HELP)?;
    let asked = password.as_ref().map(Option::is_some);
    let password = match password {
        Some(Some(password)) => Some(Some(hash(password).await?)),
        Some(None) => Some(None),
        None => None,
    };
    shared.point.site.set_pxe_policy(&PolicyChange { respond, unknown, password }).await?;
    changed(&shared);
    info!(by = bearer.name, respond, unknown, password = asked, "the policy for bare machines is changed");
    view(&shared).await.map(Json)
}

/// The machines that the site knows.
#[utoipa::path(get, path = "/api/v1/pxe/computers", tag = "pxe", security(("token" = [])),
    responses((status = 200, body = Vec<ComputerView>), KeptOut, (status = 503, body = Problem)))]
pub(crate) async fn computers(State(shared): App) -> Result<Json<Vec<ComputerView>>, Refused> {
    let computers = shared.point.site.computers().await?;
    Ok(Json(computers.into_iter().map(ComputerView::from).collect()))
}

/// Has the site know a machine.
#[utoipa::path(post, path = "/api/v1/pxe/computers", tag = "pxe", security(("token" = [])),
    request_body = ComputerView,
    responses((status = 201, body = ComputerView), (status = 400, body = Problem), KeptOut,
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn add_computer(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    sent: Sent<ComputerView>,
) -> Result<(StatusCode, Json<ComputerView>), Refused> {
    let computer = convert::computer(&body(&shared, sent, COMPUTER_HELP)?)?;
    shared.point.site.add_computer(&computer).await?;
    changed(&shared);
    info!(by = bearer.name, computer = computer.name, "the site knows a computer");
    Ok((StatusCode::CREATED, Json(computer.into())))
}

/// Gives a computer other cards, another board or address, or another name.
#[utoipa::path(put, path = "/api/v1/pxe/computers/{name}", tag = "pxe", security(("token" = [])),
    params(("name" = String, Path, description = "the computer's name")), request_body = ComputerView,
    responses((status = 200, body = ComputerView), (status = 400, body = Problem), KeptOut,
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn put_computer(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(name): Path<String>,
    sent: Sent<ComputerView>,
) -> Result<Json<ComputerView>, Refused> {
    let computer = convert::computer(&body(&shared, sent, COMPUTER_HELP)?)?;
    shared.point.site.change_computer(&name, &computer).await?;
    changed(&shared);
    info!(by = bearer.name, computer = name, now = computer.name, "a computer is changed");
    Ok(Json(computer.into()))
}

/// Has the site forget a machine, and what is deployed to it alone.
#[utoipa::path(delete, path = "/api/v1/pxe/computers/{name}", tag = "pxe", security(("token" = [])),
    params(("name" = String, Path, description = "the computer's name")),
    responses((status = 200, body = ForgottenView), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn remove_computer(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(name): Path<String>,
) -> Result<Json<ForgottenView>, Refused> {
    let deployments = shared.point.site.remove_computer(&name).await?;
    changed(&shared);
    info!(by = bearer.name, computer = name, ?deployments, "the site forgets a computer");
    Ok(Json(ForgottenView { status: "done".to_owned(), deployments }))
}

/// What machines boot, in order.
#[utoipa::path(get, path = "/api/v1/pxe/deployments", tag = "pxe", security(("token" = [])),
    responses((status = 200, body = Vec<DeploymentView>), KeptOut, (status = 503, body = Problem)))]
pub(crate) async fn deployments(State(shared): App) -> Result<Json<Vec<DeploymentView>>, Refused> {
    let (deployments, now) = (shared.point.site.deployments().await?, now_ms());
    let mut done = who_has_done(&shared).await?;
    let view = |row: DeploymentRow| {
        let done = done.remove(&row.name).unwrap_or_default();
        DeploymentView::of(row, done, now)
    };
    Ok(Json(deployments.into_iter().map(view).collect()))
}

/// Has machines boot something.
#[utoipa::path(post, path = "/api/v1/pxe/deployments", tag = "pxe", security(("token" = [])),
    request_body = DeploymentWish,
    responses((status = 201, body = DeploymentView), (status = 400, body = Problem), KeptOut,
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn add_deployment(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    sent: Sent<DeploymentWish>,
) -> Result<(StatusCode, Json<DeploymentView>), Refused> {
    let deployment = convert::deployment(body(&shared, sent, DEPLOYMENT_HELP)?)?;
    shared.point.site.add_deployment(&deployment).await?;
    changed(&shared);
    info!(by = bearer.name, deployment = deployment.name, boot_image = deployment.boot_image, "something is deployed");
    Ok((StatusCode::CREATED, Json(DeploymentView::of(deployment, Vec::new(), now_ms()))))
}

/// Makes another one of a deployment, also of another name. Who has done it stays.
#[utoipa::path(put, path = "/api/v1/pxe/deployments/{name}", tag = "pxe", security(("token" = [])),
    params(("name" = String, Path, description = "the deployment's name")), request_body = DeploymentWish,
    responses((status = 200, body = DeploymentView), (status = 400, body = Problem), KeptOut,
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn put_deployment(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(name): Path<String>,
    sent: Sent<DeploymentWish>,
) -> Result<Json<DeploymentView>, Refused> {
    let deployment = convert::deployment(body(&shared, sent, DEPLOYMENT_HELP)?)?;
    shared.point.site.change_deployment(&name, &deployment).await?;
    changed(&shared);
    info!(by = bearer.name, deployment = name, now = deployment.name, "a deployment is changed");
    let done = who_has_done(&shared).await?.remove(&deployment.name).unwrap_or_default();
    Ok(Json(DeploymentView::of(deployment, done, now_ms())))
}

/// Gives a deployment another place in the order: of two that fit a machine equally well the first one counts.
#[utoipa::path(post, path = "/api/v1/pxe/deployments/{name}/move", tag = "pxe", security(("token" = [])),
    params(("name" = String, Path, description = "the deployment's name")), request_body = MoveWish,
    responses((status = 200, body = Done), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn reorder(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(name): Path<String>,
    sent: Sent<MoveWish>,
) -> Result<Json<Done>, Refused> {
    let MoveWish { before } = body(&shared, sent, MOVE_HELP)?;
    let position = before.clone().map_or(Position::Last, Position::Before);
    shared.point.site.move_deployment(&name, &position).await?;
    changed(&shared);
    info!(by = bearer.name, deployment = name, before, "a deployment is moved");
    Ok(done())
}

/// Has machines boot it no more.
#[utoipa::path(delete, path = "/api/v1/pxe/deployments/{name}", tag = "pxe", security(("token" = [])),
    params(("name" = String, Path, description = "the deployment's name")),
    responses((status = 200, body = Done), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn remove_deployment(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(name): Path<String>,
) -> Result<Json<Done>, Refused> {
    shared.point.site.remove_deployment(&name).await?;
    changed(&shared);
    info!(by = bearer.name, deployment = name, "a deployment is removed");
    Ok(done())
}

/// Has a deployment that is for once boot once more, on one machine or on all.
#[utoipa::path(post, path = "/api/v1/pxe/deployments/{name}/again", tag = "pxe", security(("token" = [])),
    params(("name" = String, Path, description = "the deployment's name")), request_body = AgainWish,
    responses((status = 200, body = AgainView), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn again(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(name): Path<String>,
    sent: Sent<AgainWish>,
) -> Result<Json<AgainView>, Refused> {
    let AgainWish { computer } = body(&shared, sent, AGAIN_HELP)?;
    let machines = match &computer {
        None => shared.point.site.forget_done(&name, None).await?,
        Some(wanted) => {
            let doers = doers(wanted, &shared.point.site.computers().await?)?;
            // It may have done it before it was known, too.
            shared.point.site.forget_done(&name, Some(&doers)).await?.min(1)
        }
    };
    changed(&shared);
    info!(by = bearer.name, deployment = name, computer, machines, "a deployment boots once more");
    Ok(Json(AgainView { machines }))
}

/// Has this server look at once at what was changed; others of the site do so within a second.
fn changed(shared: &Shared) {
    if let Some(here) = shared.point.pxe() {
        here.refresh();
    }
}

/// The whole at a glance.
async fn view(shared: &Shared) -> Result<PxeView, Refused> {
    let site = &shared.point.site;
    let policy = site.pxe_policy().await?;
    let settings = shared.point.settings();
    let here = shared.point.pxe();
    let effective = here.as_ref().map(|_| settings.pxe.policy(&policy));
    let interface = |listening: &pxe::dhcp::driver::Listening| PxeInterfaceView {
        name: listening.interface.clone(),
        addresses: vec![listening.address.to_string()],
    };
    Ok(PxeView {
        enabled: here.is_some(),
        mode: here.as_ref().map(|_| settings.pxe.mode.word().to_owned()),
        interfaces: here.as_ref().map(|here| here.listening().iter().map(interface).collect()).unwrap_or_default(),
        respond: policy.respond,
        respond_here: effective.as_ref().map(|policy| policy.respond),
        unknown: policy.unknown,
        unknown_here: effective.as_ref().map(|policy| policy.unknown),
        password: policy.password.is_some(),
        computers: site.computers().await?.len(),
        deployments: site.deployments().await?.len(),
        images: here.as_ref().map_or(0, |here| here.point.images().list().len()),
        leases: site.pxe_leases().await?.len(),
        booting: here.as_ref().map_or(0, |here| here.point.booting().iter().filter(|one| is_booting(one)).count()),
    })
}

/// On its way, and not there yet.
fn is_booting(machine: &BootingMachine) -> bool {
    !machine.refused && !matches!(machine.stage, Stage::Client | Stage::Disk)
}

/// On which machines deployments for once are done, by deployment.
async fn who_has_done(shared: &Shared) -> Result<BTreeMap<String, Vec<String>>, Refused> {
    let mut done: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in shared.point.site.done().await? {
        done.entry(row.deployment).or_default().push(row.by.to_string());
    }
    Ok(done)
}

/// The password's hash, made where it keeps nobody from working.
async fn hash(password: String) -> Result<String, Refused> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| Refused::unavailable(&error))?;
    let hashed = tokio::task::spawn_blocking(move || password::hash(&password, salt)).await;
    match hashed.map_err(|error| Refused::unavailable(&error))? {
        Ok(hash) => Ok(hash),
        Err(error @ PasswordError::Hash(_)) => Err(Refused::unavailable(&error)),
        Err(error) => Err(convert::wrong(error.to_string())),
    }
}

/// Whom marks may be of, for a computer's name, or the MAC address of one of its cards or of a machine that is not
/// known.
fn doers(wanted: &str, computers: &[ComputerRow]) -> Result<Vec<Doer>, Refused> {
    let mac = wanted.parse::<Mac>().ok();
    let is_wanted =
        |computer: &&ComputerRow| computer.name == wanted || mac.is_some_and(|mac| computer.macs.contains(&mac));
    match (computers.iter().find(is_wanted), mac) {
        (Some(computer), _) => {
            let cards = computer.macs.iter().copied().map(Doer::Machine);
            Ok(std::iter::once(Doer::Computer(computer.name.clone())).chain(cards).collect())
        }
        (None, Some(mac)) => Ok(vec![Doer::Machine(mac)]),
        (None, None) => Err(Refused::not_found(format!("there is no computer {wanted}"))),
    }
}

pub(super) fn done() -> Json<Done> {
    Json(Done { status: "done".to_owned() })
}
