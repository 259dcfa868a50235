//! Images and packages, for whoever fetches them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use multicast_core::types::ClientId;
use percent_encoding::percent_decode_str;
use tracing::{info, warn};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::ranges::{answer, plain};
use super::{Routes, Shared};
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
/// Seconds after which to ask again for what is not ready.
const RETRY: HeaderValue = HeaderValue::from_static("2");

/// What a request may say beside the address.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
struct Part {
    /// One range of bytes; several at once are answered by all.
    #[param(rename = "Range")]
    range: Option<String>,
    /// The ETag of which the range is wanted: of anything else all is sent.
    #[param(rename = "If-Range")]
    if_range: Option<String>,
}

/// The routes of content: no token is needed, as none is for the stream.
pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(image)).routes(routes!(manifest)).routes(routes!(package))
}

/// An image or a part of it: all its files, one after the other.
#[utoipa::path(get, path = "/content/images/{name}", tag = "content",
    params(("name" = String, Path, description = "the image's name"), Part),
    responses((status = 200, content_type = "application/octet-stream"),
        (status = 206, content_type = "application/octet-stream"), (status = 304), (status = 416),
        (status = 412, content_type = "text/plain", body = String),
        (status = 403, content_type = "text/plain", body = String),
        (status = 400, content_type = "text/plain", body = String),
        (status = 404, content_type = "text/plain", body = String),
        (status = 503, content_type = "text/plain", body = String)))]
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

/// The hashes of an image's blocks, by which a client checks what it fetched.
#[utoipa::path(get, path = "/content/images/{name}/manifest", tag = "content",
    params(("name" = String, Path, description = "the image's name")),
    responses((status = 200, content_type = "application/octet-stream"),
        (status = 403, content_type = "text/plain", body = String),
        (status = 400, content_type = "text/plain", body = String),
        (status = 404, content_type = "text/plain", body = String),
        (status = 503, content_type = "text/plain", body = String)))]
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

/// A package or a part of it; its ETag is the BLAKE3 of the file.
#[utoipa::path(get, path = "/content/packages/{*path}", tag = "content",
    params(("path" = String, Path, description = "path below the folder of packages"), Part),
    responses((status = 200, content_type = "application/octet-stream"),
        (status = 206, content_type = "application/octet-stream"), (status = 304), (status = 416),
        (status = 412, content_type = "text/plain", body = String),
        (status = 400, content_type = "text/plain", body = String),
        (status = 404, content_type = "text/plain", body = String),
        (status = 503, content_type = "text/plain", body = String)))]
async fn package(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let folder = shared.point.settings().content.packages.clone();
    match shared.point.packages.open(folder.as_deref(), &path).await {
        Ok(package) => {
            let tag = package.digest.clone();
            answer(Arc::new(package), &tag, &headers, method == Method::HEAD)
        }
        Err(error @ (PackageError::Unknown | PackageError::NoFolder)) => {
            plain(StatusCode::NOT_FOUND, &error.to_string())
        }
        Err(error @ PackageError::Changes) => later(&error.to_string()),
        Err(error) => {
            warn!(path, "{}", command_line::chain(&error));
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the package cannot be read")
        }
    }
}

/// Not now.
fn later(text: &str) -> Response<Body> {
    let mut later = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    later.headers_mut().insert(header::RETRY_AFTER, RETRY);
    later
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
            Refusal::Not(why @ (Unusable::Settling { .. } | Unusable::Hashing { .. })) => later(&why.to_string()),
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
    let client = u64::from_str_radix(&said.client, 16).map(ClientId);
    let Some(news) = shared.point.unicasts.heard(image, said, from, Instant::now()) else { return };
    if let Ok(client) = client {
        shared.point.note_http(image, client, news == News::Completed);
    }
    match news {
        News::Began => info!(image, host, %from, reason, "client fetches by HTTP"),
        News::Completed => info!(image, host, %from, "client has the image, by HTTP"),
    }
}
