//! The web page: embedded, so that it needs nothing but this server.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, Response, header};
use axum::routing::get;

use super::Shared;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Path, type and content of each file.
const FILES: [(&str, &str, &str); 21] = [
    ("/", HTML, include_str!("../../../page/index.html")),
    ("/page.css", CSS, include_str!("../../../page/page.css")),
    ("/icon.svg", SVG, include_str!("../../../page/icon.svg")),
    ("/announce.js", SCRIPT, include_str!("../../../page/announce.js")),
    ("/api.js", SCRIPT, include_str!("../../../page/api.js")),
    ("/boots.js", SCRIPT, include_str!("../../../page/boots.js")),
    ("/chart.js", SCRIPT, include_str!("../../../page/chart.js")),
    ("/colours.js", SCRIPT, include_str!("../../../page/colours.js")),
    ("/confirm.js", SCRIPT, include_str!("../../../page/confirm.js")),
    ("/dom.js", SCRIPT, include_str!("../../../page/dom.js")),
    ("/heatmap.js", SCRIPT, include_str!("../../../page/heatmap.js")),
    ("/lists.js", SCRIPT, include_str!("../../../page/lists.js")),
    ("/overview.js", SCRIPT, include_str!("../../../page/overview.js")),
    ("/page.js", SCRIPT, include_str!("../../../page/page.js")),
    ("/pxe.js", SCRIPT, include_str!("../../../page/pxe.js")),
    ("/series.js", SCRIPT, include_str!("../../../page/series.js")),
    ("/session.js", SCRIPT, include_str!("../../../page/session.js")),
    ("/store.js", SCRIPT, include_str!("../../../page/store.js")),
    ("/table.js", SCRIPT, include_str!("../../../page/table.js")),
    ("/theme.js", SCRIPT, include_str!("../../../page/theme.js")),
    ("/words.js", SCRIPT, include_str!("../../../page/words.js")),
];
/// Nothing from elsewhere, nothing inline: what a client calls itself cannot become a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
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

#[cfg(test)]
mod tests {
    use super::*;

    fn content(path: &str) -> &'static str {
        FILES.iter().find(|(known, _, _)| *known == path).unwrap_or_else(|| panic!("{path} is not served")).2
    }

    #[test]
    fn all_that_the_page_loads_is_served() {
        let html = content("/").split('"').filter(|text| [".js", ".css", ".svg"].iter().any(|end| text.ends_with(end)));
        let modules = FILES.iter().filter(|(path, _, _)| path.ends_with(".js")).flat_map(|(_, _, text)| text.lines());
        let imports = modules.filter_map(|line| Some(line.strip_suffix("';")?.split_once(" from './")?.1));
        let names: Vec<_> = html.chain(imports).collect();
        assert!(names.len() > FILES.len(), "{names:?}");
        assert!(names.iter().all(|name| !content(&format!("/{name}")).is_empty()));
    }

    #[test]
    fn nothing_that_the_policy_forbids_is_in_it() {
        let html = content("/");
        for word in ["style=", "onclick=", "javascript:", "<style", "http://", "https://"] {
            assert!(!html.contains(word), "{word}");
        }
        for (path, _, text) in FILES.iter().filter(|(path, _, _)| path.ends_with(".js")) {
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "EventSource("] {
                assert!(!text.contains(word), "{path}: {word}");
            }
        }
    }
}
