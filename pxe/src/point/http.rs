//! What machines ask by HTTP: scripts, loaders, boot images. No answer is a redirect, which UEFI does not follow.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::files::{self, Wanted};
use super::{Asked, Point, platform_of_loader};
use crate::boot::Directory;
use crate::boot::script::{self, Base, platform_of};
use crate::machine::{Mac, Machine, Uuid, ipv4_of};

/// Nobody has to send anything but addresses and headers.
const BODY_LIMIT: usize = 1024;
/// What is asked for where a password is needed (RFC 7617).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"booting\", charset=\"UTF-8\"");

pub(super) fn router<D: Directory>(point: Arc<Point<D>>) -> Router {
    Router::new()
        .route("/pxe/v1/scripts/start", get(start::<D>))
        .route("/pxe/v1/scripts/machine", get(ask::<D>))
        .route("/pxe/v1/scripts/unlocked", get(ask_with_password::<D>))
        .route("/pxe/v1/files/loader/{name}", get(loader::<D>))
        .route("/pxe/v1/files/images/{image}/{*file}", get(image_file::<D>))
        .route("/pxe/v1/reports/failed", get(failed::<D>))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(point)
}

/// What iPXE says of its machine.
#[derive(Deserialize)]
struct Said {
    mac: String,
    #[serde(default)]
    uuid: String,
    #[serde(default)]
    firmware: String,
    #[serde(default)]
    build: String,
    #[serde(default)]
    wide: String,
    #[serde(default)]
    wanted: Option<String>,
}

/// Whose file it is.
#[derive(Deserialize)]
struct For {
    mac: Option<String>,
    image: Option<String>,
}

impl Said {
    fn machine(&self) -> Option<Machine> {
        Some(Machine {
            mac: self.mac.parse().ok()?,
            uuid: self.uuid.parse().ok().filter(|uuid: &Uuid| uuid.is_meaningful()),
            platform: platform_of(&self.firmware, &self.build),
            http: false,
            ipxe: true,
            // A build for 64 bits runs on such a processor only.
            long_mode: match (self.wide.as_str(), self.build.as_str()) {
                (_, "x86_64" | "arm64") | ("1", _) => Some(true),
                ("0", _) => Some(false),
                _ => None,
            },
        })
    }
}

async fn start<D: Directory>(State(_): State<Arc<Point<D>>>, headers: HeaderMap) -> Response<Body> {
    match host(&headers) {
        Some(host) => script(Base::at(host).start()),
        None => no_host(),
    }
}

async fn ask<D: Directory>(
    State(point): State<Arc<Point<D>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Query(said): Query<Said>,
) -> Response<Body> {
    answer(&point, from, &headers, &said, None).await
}

/// iPXE shows its password only to who asks for it.
async fn ask_with_password<D: Directory>(
    State(point): State<Arc<Point<D>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Query(said): Query<Said>,
) -> Response<Body> {
    match password(&headers) {
        Some(password) => answer(&point, from, &headers, &said, Some(&password)).await,
        None => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, CHALLENGE)]).into_response(),
    }
}

async fn answer<D: Directory>(
    point: &Arc<Point<D>>,
    from: SocketAddr,
    headers: &HeaderMap,
    said: &Said,
    password: Option<&str>,
) -> Response<Body> {
    let Some(host) = host(headers) else { return no_host() };
    let Some(machine) = said.machine() else {
        return script(script::refuse("iPXE named no network card: another network boot program may"));
    };
    let wanted = said.wanted.as_deref().filter(|wanted| !wanted.is_empty());
    script(point.script(&Asked { machine, wanted, password, from, host }).await)
}

/// The password of Basic authentication, whatever name stands before it.
fn password(headers: &HeaderMap) -> Option<String> {
    let words = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = words.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

async fn loader<D: Directory>(
    State(point): State<Arc<Point<D>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let Some(platform) = platform_of_loader(&format!("{}{name}", super::LOADER)) else { return not_found() };
    let Some(path) = point.loaders().find(platform) else {
        point.note_loader(from.ip(), format!("asked for {name}: {}", point.loaders().missing(platform)), true);
        return not_found();
    };
    if method == Method::GET {
        point.note_loader(from.ip(), format!("loads {name}"), false);
    }
    match tokio::fs::File::open(&path).await {
        Ok(file) => files::answer(file, Wanted::of(&method, &headers), None).await,
        Err(_) => not_found(),
    }
}

async fn image_file<D: Directory>(
    State(point): State<Arc<Point<D>>>,
    Path((image, file)): Path<(String, String)>,
    Query(whose): Query<For>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let wanted = Wanted::of(&method, &headers);
    let last = point.images().get(&image).and_then(|found| {
        let machine = point.known(&Machine::new(whose.mac?.parse().ok()?));
        let program = found.programs.get(&machine.platform?)?;
        (program.files().last() == Some(&file)).then_some(machine)
    });
    let files = point.image_files();
    let named = image.clone();
    let opened = tokio::task::spawn_blocking(move || files::open(&files, &named, &file)).await;
    let Ok(Some(opened)) = opened else { return not_found() };
    // All of them are there when the last one is.
    let loaded = last.map(|machine| Box::new(move || point.loaded(machine, &image)) as Box<dyn FnOnce() + Send>);
    files::answer(tokio::fs::File::from_std(opened.into_file()), wanted, loaded).await
}

async fn failed<D: Directory>(
    State(point): State<Arc<Point<D>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Query(whose): Query<For>,
) -> Response<Body> {
    let mac = whose.mac.as_deref().and_then(|mac| mac.parse::<Mac>().ok());
    // Whom nobody has seen booting has nothing to tell.
    if let (Some(machine), Some(image)) = (mac.and_then(|mac| point.seen_machine(mac)), whose.image.as_deref()) {
        point.failed(machine, image, ipv4_of(from.ip()));
    }
    script("#!ipxe\n".to_owned())
}

fn script(text: String) -> Response<Body> {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], text).into_response()
}

fn not_found() -> Response<Body> {
    (StatusCode::NOT_FOUND, "there is no such file\n").into_response()
}

fn no_host() -> Response<Body> {
    (StatusCode::BAD_REQUEST, "the request does not name the host that it is for\n").into_response()
}

/// The host that was asked, which is one of our addresses: it goes into scripts.
fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
    (!host.is_empty() && host.len() <= 255 && host.bytes().all(plain)).then_some(host)
}
