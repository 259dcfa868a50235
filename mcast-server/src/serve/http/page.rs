//! The web page: embedded, so that it needs nothing but this server.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, Response, header};
use axum::routing::get;

use super::Shared;

/// Path, type and content of each file.
const FILES: [(&str, &str, &str); 3] = [
    ("/", "text/html; charset=utf-8", include_str!("../../../page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("../../../page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("../../../page/page.js")),
];
/// Nothing from elsewhere, nothing inline: what a client calls itself cannot become a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Arc<Shared>> {
    FILES.iter().fold(Router::new(), |router, (path, kind, content)| {
        router.route(
            path,
            get(move || async move {
                let mut response = Response::new(axum::body::Body::from(*content));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
                response
            }),
        )
    })
}
