//! Images and packages, for whoever fetches them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::routing::get;
use percent_encoding::percent_decode_str;
use tracing::{info, warn};

use super::Shared;
use super::ranges::{answer, plain};
use crate::config::MulticastUse;
use crate::serve::content::packages::PackageError;
use crate::serve::content::{Ready, Unusable};
use crate::serve::unicasts::{News, Said};

/// What a client says of itself with each request.
const CLIENT: HeaderName = HeaderName::from_static("x-mcast-client");
const HOST: HeaderName = HeaderName::from_static("x-mcast-host");
const REASON: HeaderName = HeaderName::from_static("x-mcast-reason");
const VERIFIED: HeaderName = HeaderName::from_static("x-mcast-verified");
/// Bytes of such a text that are kept.
const TEXT_LIMIT: usize = 255;
/// Seconds after which to ask again for an image that is not ready.
const RETRY: HeaderValue = HeaderValue::from_static("2");

/// The routes of content: no token is needed, as none is for the stream.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/content/images/{name}", get(image))
        .route("/content/images/{name}/manifest", get(manifest))
        .route("/content/packages/{*path}", get(package))
}

async fn image(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let ready = match find(&shared, &name) {
        Ok(ready) => ready,
        Err(refused) => return refused.into(),
    };
    if let Some(said) = said(&headers) {
        note(&shared, &name, said, from);
    }
    let tag = ready.root();
    answer(ready, &tag, &headers, method == Method::HEAD)
}

async fn manifest(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response<Body> {
    match find(&shared, &name) {
        Ok(ready) => {
            let mut response = Response::new(Body::from(ready.encoded.clone()));
            let octets = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, octets);
            if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", ready.root())) {
                response.headers_mut().insert(header::ETAG, tag);
            }
            response
        }
        Err(refused) => refused.into(),
    }
}

async fn package(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let (of, folder) = (shared.clone(), shared.point.settings().content.packages.clone());
    let open = move || of.point.packages.open(folder.as_deref(), &path);
    match tokio::task::spawn_blocking(open).await {
        Ok(Ok(package)) => {
            let tag = package.digest.clone();
            answer(Arc::new(package), &tag, &headers, method == Method::HEAD)
        }
        Ok(Err(error @ (PackageError::Unknown | PackageError::NoFolder))) => {
            plain(StatusCode::NOT_FOUND, &error.to_string())
        }
        Ok(Err(error)) => {
            warn!("{}", crate::exit::chain(&error));
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the package cannot be read")
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the server failed"),
    }
}

/// Why an image cannot be fetched.
enum Refusal {
    Multicast,
    Not(Unusable),
}

impl From<Refusal> for Response<Body> {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Multicast => plain(StatusCode::FORBIDDEN, "this image is served by multicast only"),
            Refusal::Not(why @ (Unusable::Settling { .. } | Unusable::Hashing { .. })) => {
                let mut later = plain(StatusCode::SERVICE_UNAVAILABLE, &why.to_string());
                later.headers_mut().insert(header::RETRY_AFTER, RETRY);
                later
            }
            Refusal::Not(why) => plain(StatusCode::NOT_FOUND, &why.to_string()),
        }
    }
}

/// The image of this very name, if it may be had so; without a name only multicast serves.
fn find(shared: &Shared, name: &str) -> Result<Arc<Ready>, Refusal> {
    let found = if name.is_empty() { Err(Unusable::None) } else { shared.point.catalogue.ready(name) };
    match found {
        Ok((image, _)) if image.multicast == MulticastUse::Only => Err(Refusal::Multicast),
        Ok((_, ready)) => Ok(ready),
        Err(why) => Err(Refusal::Not(why)),
    }
}

/// What the client says of itself, if it does.
fn said(headers: &HeaderMap) -> Option<Said> {
    let text = |name: &HeaderName| {
        let text = headers.get(name)?.to_str().ok()?;
        let text = percent_decode_str(text).decode_utf8_lossy();
        let text: String = text.chars().filter(|c| !c.is_control()).take(TEXT_LIMIT).collect();
        Some(text)
    };
    let client = text(&CLIENT).filter(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let verified = text(&VERIFIED).and_then(|verified| {
        let (verified, blocks) = verified.split_once('/')?;
        Some((verified.parse().ok()?, blocks.parse().ok()?))
    });
    Some(Said {
        client,
        host: text(&HOST).unwrap_or_default(),
        reason: text(&REASON).filter(|reason| !reason.is_empty()),
        verified: verified.unwrap_or_default(),
    })
}

fn note(shared: &Shared, image: &str, said: Said, from: SocketAddr) {
    let (host, reason) = (said.host.clone(), said.reason.clone().unwrap_or_default());
    match shared.point.unicasts.heard(image, said, from, Instant::now()) {
        Some(News::Began) => info!(image, host, %from, reason, "client fetches by HTTP"),
        Some(News::Completed) => info!(image, host, %from, "client has the image, by HTTP"),
        None => {}
    }
}
