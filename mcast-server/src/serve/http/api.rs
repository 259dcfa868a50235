//! The API under `/api/v1`: what there is, and what can be done with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::auth::Bearer;
use super::error::{KeptOut, Problem, Refused};
use super::{Routes, Shared, openapi};
use crate::serve::point::{Command, CommandError};
use crate::serve::tasks::Order;
use crate::serve::views::{ClientView, ImageView, SessionView, SiteImageView};
use crate::site::{SessionFilter, SiteError};

type App = State<Arc<Shared>>;

/// What anybody may ask.
pub(super) fn open() -> Routes {
    Routes::new().routes(routes!(health)).routes(routes!(ready)).routes(routes!(openapi::answer))
}

/// What viewers may see.
pub(super) fn views() -> Routes {
    Routes::new()
        .routes(routes!(site))
        .routes(routes!(settings))
        .routes(routes!(images))
        .routes(routes!(site_images))
        .routes(routes!(image))
        .routes(routes!(sessions))
        .routes(routes!(session))
        .routes(routes!(session_clients))
        .routes(routes!(clients))
        .routes(routes!(queue))
        .routes(routes!(history))
}

/// What operators may do.
pub(super) fn commands() -> Routes {
    Routes::new().routes(routes!(command)).routes(routes!(remove))
}

/// The server runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    pub(crate) status: String,
    /// Of the program.
    pub(crate) version: String,
    /// Since its start.
    pub(crate) seconds: f64,
}

/// The server can serve.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether all is well.
    pub(crate) ready: bool,
    /// Whether the site's database answers.
    pub(crate) database: bool,
    /// Images that can be had.
    pub(crate) images_ready: usize,
    /// Images that there are.
    pub(crate) images: usize,
}

/// The site and its servers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteView {
    /// The site's name.
    pub(crate) name: String,
    /// The site's number, made once.
    pub(crate) id: String,
    /// This server's name.
    pub(crate) server: String,
    /// What `--trust` takes.
    pub(crate) fingerprint: String,
    /// The UDP port at which clients ask.
    pub(crate) control_port: u16,
    /// Of the program.
    pub(crate) version: String,
    /// What the bearer of this token may do: `metrics`, `viewer` or `operator`.
    pub(crate) role: String,
    /// Its servers, this one included.
    pub(crate) servers: Vec<ServerView>,
}

/// A server of the site.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerView {
    /// Its number for ever.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Where its control socket is.
    pub(crate) control: String,
    /// Where its HTTP side is.
    pub(crate) http: String,
    /// Of its program.
    pub(crate) version: String,
    /// It stopped, or was not heard for 15 s.
    pub(crate) dead: bool,
}

/// A setting, as it counts now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingView {
    /// Its path, for example `http.listen`.
    pub(crate) key: String,
    /// Its value as the configuration would have it; secrets are hidden.
    pub(crate) value: String,
}

/// A place in the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueView {
    /// The image.
    pub(crate) image: String,
    /// The client's number.
    pub(crate) client: String,
    /// Its host name.
    pub(crate) host: String,
    /// The server that it asked last.
    pub(crate) server: String,
}

/// Which machine received what.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryView {
    /// The session.
    pub(crate) session: String,
    /// The image.
    pub(crate) image: String,
    /// Its version.
    pub(crate) version: String,
    /// The server's name.
    pub(crate) server: String,
    /// The client's number.
    pub(crate) client: String,
    /// Its host name.
    pub(crate) host: String,
    /// Where it was.
    pub(crate) address: String,
    /// How it ended.
    pub(crate) state: String,
    /// How it got the image last: `multicast`, `slower`, `unicast` or `http`.
    pub(crate) path: String,
    /// Why.
    pub(crate) reason: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) joined_ms: i64,
    /// Milliseconds since 1970.
    pub(crate) ended_ms: Option<i64>,
}

/// A wish about a session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `start`, `pause`, `resume` or `cancel`.
    pub(crate) command: Command,
}

/// What became of a wish.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    /// `done`, or `passed_on` to the server whose session it is.
    pub(crate) status: String,
}

/// How much of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Rows at most, 1 to 1000.
    #[serde(default = "hundred")]
    limit: u32,
    /// Of this image only.
    image: Option<String>,
}

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionsQuery {
    /// So many that have ended, too; 0 to 1000.
    #[serde(default)]
    ended: u32,
}

/// Which clients.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientsQuery {
    /// Only those that get their image this way: `multicast`, `slower`, `unicast` or `http`.
    path: Option<String>,
}

fn hundred() -> u32 {
    100
}

pub(super) const ROWS_LIMIT: u32 = 1000;
/// Ways to an image, as clients are asked for by them.
const PATHS: [&str; 4] = ["multicast", "slower", "unicast", "http"];

/// Whether the server runs.
#[utoipa::path(get, path = "/api/v1/health", tag = "server", responses((status = 200, body = Health)))]
pub(crate) async fn health(State(shared): App) -> Json<Health> {
    let seconds = shared.point.started.elapsed().as_secs_f64();
    Json(Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), seconds })
}

/// Whether the server can serve.
#[utoipa::path(get, path = "/api/v1/ready", tag = "server",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(crate) async fn ready(State(shared): App) -> (StatusCode, Json<Readiness>) {
    let database = shared.point.site.check().await.is_ok();
    let images = shared.point.images();
    let images_ready = images.iter().filter(|image| image.state == "ready").count();
    let status = if database { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: database, database, images_ready, images: images.len() }))
}

/// The site, its servers, and who asks.
#[utoipa::path(get, path = "/api/v1/site", tag = "server", security(("token" = [])),
    responses((status = 200, body = SiteView), KeptOut, (status = 503, body = Problem)))]
pub(crate) async fn site(State(shared): App, Extension(bearer): Extension<Bearer>) -> Result<Json<SiteView>, Refused> {
    let settings = shared.point.settings();
    let view = |seen: crate::site::ServerSeen| ServerView {
        id: seen.row.id,
        name: seen.row.name,
        control: seen.row.control,
        http: seen.row.http,
        version: seen.row.version,
        dead: seen.dead,
    };
    Ok(Json(SiteView {
        name: settings.site.name.clone(),
        id: shared.point.site.site_id().await?,
        server: settings.server.name.clone(),
        fingerprint: shared.fingerprint.clone(),
        control_port: settings.server.control_port,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: bearer.role.word().to_owned(),
        servers: shared.point.site.servers().await?.into_iter().map(view).collect(),
    }))
}

/// The settings as they count now; secrets are hidden.
#[utoipa::path(get, path = "/api/v1/settings", tag = "server", security(("token" = [])),
    responses((status = 200, body = Vec<SettingView>), KeptOut))]
pub(crate) async fn settings(State(shared): App) -> Json<Vec<SettingView>> {
    let pairs = shared.point.settings().pairs().into_iter();
    Json(pairs.map(|(key, value)| SettingView { key, value }).collect())
}

/// The images of this server.
#[utoipa::path(get, path = "/api/v1/images", tag = "images", security(("token" = [])),
    responses((status = 200, body = Vec<ImageView>), KeptOut))]
pub(crate) async fn images(State(shared): App) -> Json<Vec<ImageView>> {
    Json(shared.point.images())
}

/// The images of all servers of the site that are up, as they told last.
#[utoipa::path(get, path = "/api/v1/site/images", tag = "images", security(("token" = [])),
    responses((status = 200, body = Vec<SiteImageView>), KeptOut, (status = 503, body = Problem)))]
pub(crate) async fn site_images(State(shared): App) -> Result<Json<Vec<SiteImageView>>, Refused> {
    Ok(Json(shared.point.site.images().await?.into_iter().map(SiteImageView::from).collect()))
}

/// One image of this server.
#[utoipa::path(get, path = "/api/v1/images/{name}", tag = "images", security(("token" = [])),
    params(("name" = String, Path, description = "the image's name")),
    responses((status = 200, body = ImageView), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem)))]
pub(crate) async fn image(State(shared): App, Path(name): Path<String>) -> Result<Json<ImageView>, Refused> {
    let found = shared.point.images().into_iter().find(|image| image.name == name);
    found.map(Json).ok_or_else(|| Refused::not_found(format!("there is no image named {name:?}")))
}

/// The sessions of the site that run, and the last ones that ended.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", security(("token" = [])), params(SessionsQuery),
    responses((status = 200, body = Vec<SessionView>), (status = 400, body = Problem), KeptOut,
        (status = 503, body = Problem)))]
pub(crate) async fn sessions(
    State(shared): App,
    query: Result<Query<SessionsQuery>, QueryRejection>,
) -> Result<Json<Vec<SessionView>>, Refused> {
    let Query(SessionsQuery { ended }) = query?;
    if ended > ROWS_LIMIT {
        return Err(beyond("ended", ended));
    }
    let mut all = shared.point.site_sessions();
    if ended > 0 {
        all.extend(
            shared.point.site.sessions(SessionFilter::Ended { limit: ended }).await?.into_iter().map(SessionView::from),
        );
    }
    Ok(Json(all))
}

/// One session that runs.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions", security(("token" = [])),
    params(("id" = String, Path, description = "the session's number")),
    responses((status = 200, body = SessionView), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem)))]
pub(crate) async fn session(State(shared): App, Path(id): Path<String>) -> Result<Json<SessionView>, Refused> {
    let found = shared.point.site_sessions().into_iter().find(|session| session.id == id);
    found.map(Json).ok_or_else(|| CommandError::NoSession { id }.into())
}

/// The clients of a session, those that went included.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/clients", tag = "sessions", security(("token" = [])),
    params(("id" = String, Path, description = "the session's number")),
    responses((status = 200, body = Vec<ClientView>), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn session_clients(
    State(shared): App,
    Path(id): Path<String>,
) -> Result<Json<Vec<ClientView>>, Refused> {
    if shared.point.sessions.get(&id).is_some() {
        return Ok(Json(shared.point.clients(Some(&id))));
    }
    let of_others = shared.point.site_clients(&id).await?;
    of_others.map(Json).ok_or_else(|| CommandError::NoSession { id }.into())
}

/// All clients of this server, those that fetch by HTTP included.
#[utoipa::path(get, path = "/api/v1/clients", tag = "sessions", security(("token" = [])), params(ClientsQuery),
    responses((status = 200, body = Vec<ClientView>), (status = 400, body = Problem), KeptOut))]
pub(crate) async fn clients(
    State(shared): App,
    query: Result<Query<ClientsQuery>, QueryRejection>,
) -> Result<Json<Vec<ClientView>>, Refused> {
    let Query(ClientsQuery { path }) = query?;
    let Some(path) = path else { return Ok(Json(shared.point.clients(None))) };
    if !PATHS.contains(&path.as_str()) {
        let text = format!("path is {path:?}, which is none of {}", PATHS.join(", "));
        return Err(Refused::new(StatusCode::BAD_REQUEST, text));
    }
    let all = if path == "http" { shared.point.fetching() } else { shared.point.clients(None) };
    Ok(Json(all.into_iter().filter(|client| client.path == path).collect()))
}

/// Clients of the site that wait for a place, the next one first.
#[utoipa::path(get, path = "/api/v1/queue", tag = "sessions", security(("token" = [])),
    responses((status = 200, body = Vec<QueueView>), KeptOut, (status = 503, body = Problem)))]
pub(crate) async fn queue(State(shared): App) -> Result<Json<Vec<QueueView>>, Refused> {
    let rows = shared.point.site.queue().await?.into_iter().filter(|row| !row.admitted);
    let view = |row: crate::site::TicketRow| QueueView {
        image: row.image,
        client: row.client,
        host: row.host,
        server: row.server,
    };
    Ok(Json(rows.map(view).collect()))
}

/// Which machine of the site received what, the newest first.
#[utoipa::path(get, path = "/api/v1/history", tag = "sessions", security(("token" = [])), params(HistoryQuery),
    responses((status = 200, body = Vec<HistoryView>), (status = 400, body = Problem), KeptOut,
        (status = 503, body = Problem)))]
pub(crate) async fn history(
    State(shared): App,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<Vec<HistoryView>>, Refused> {
    let Query(HistoryQuery { limit, image }) = query?;
    if !(1..=ROWS_LIMIT).contains(&limit) {
        return Err(beyond("limit", limit));
    }
    let rows = shared.point.site.history(limit, image.as_deref()).await?;
    let view = |row: crate::site::HistoryRow| HistoryView {
        session: row.session,
        image: row.image,
        version: row.version,
        server: row.server_name,
        client: row.client.client,
        host: row.client.host,
        address: row.client.address,
        state: row.client.state,
        path: row.client.path,
        reason: row.client.reason,
        joined_ms: row.client.joined_ms,
        ended_ms: row.client.ended_ms,
    };
    Ok(Json(rows.into_iter().map(view).collect()))
}

/// Starts, pauses, resumes or cancels a session.
#[utoipa::path(post, path = "/api/v1/sessions/{id}", tag = "sessions", security(("token" = [])),
    params(("id" = String, Path, description = "the session's number")), request_body = Wanted,
    responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = Problem),
        KeptOut, (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn command(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(id): Path<String>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<(StatusCode, Json<Done>), Refused> {
    let limit = shared.point.settings().http.body_limit;
    let Json(Wanted { command }) = wanted.map_err(|rejection| unread(&rejection, limit))?;
    order(&shared, &id, Order::Session { id: id.clone(), command, by: bearer.name }).await
}

/// Removes a client from a session for good.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}/clients/{client}", tag = "sessions", security(("token" = [])),
    params(("id" = String, Path, description = "the session's number"),
        ("client" = String, Path, description = "the client's number")),
    responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem)))]
pub(crate) async fn remove(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path((id, client)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Done>), Refused> {
    order(&shared, &id, Order::Remove { id: id.clone(), client, by: bearer.name }).await
}

/// Carries an order out here, or passes it on to the server whose session it is about.
async fn order(shared: &Shared, id: &str, order: Order) -> Result<(StatusCode, Json<Done>), Refused> {
    let done = |status, word: &str| Ok((status, Json(Done { status: word.to_owned() })));
    if shared.point.sessions.get(id).is_some() {
        order.carry_out(&shared.point)?;
        return done(StatusCode::OK, "done");
    }
    let others = shared.point.site.sessions(SessionFilter::Live).await?;
    let Some(seen) = others.into_iter().find(|seen| seen.row.id == id && !seen.dead) else {
        return Err(CommandError::NoSession { id: id.to_owned() }.into());
    };
    let text = serde_json::to_string(&order).map_err(|error| Refused::unavailable(&error))?;
    shared.point.site.post_command(&seen.row.server, &text).await?;
    done(StatusCode::ACCEPTED, "passed_on")
}

pub(super) fn beyond(what: &str, value: u32) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, format!("{what} is {value}, at most {ROWS_LIMIT} rows can be asked for"))
}

impl From<CommandError> for Refused {
    fn from(error: CommandError) -> Self {
        let status = match &error {
            CommandError::State { .. } => StatusCode::CONFLICT,
            _ => StatusCode::NOT_FOUND,
        };
        Self::new(status, error.to_string())
    }
}

impl From<SiteError> for Refused {
    fn from(error: SiteError) -> Self {
        Self::unavailable(&error)
    }
}

/// A body that is no wish, or more than `limit` bytes.
fn unread(rejection: &JsonRejection, limit: u64) -> Refused {
    let text = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => format!("the body has more than {limit} bytes (http.body_limit)"),
        _ => rejection.body_text(),
    };
    Refused::new(rejection.status(), text).with_help(r#"send {"command": "start"}, or pause, resume, cancel"#)
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}
