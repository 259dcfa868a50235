//! How the API refuses: a status, what is wrong, and what to do about it, as JSON.

use axum::Json;
use axum::body::to_bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// What the API says when it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What is wrong.
    pub(crate) error: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
}

/// How whoever bears no token, or one of a lower role, is refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) enum KeptOut {
    /// No token is given, or none that is known.
    #[response(status = 401)]
    Unknown(Problem),
    /// The token's role is too low, or the API is off.
    #[response(status = 403)]
    Role(Problem),
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    problem: Problem,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, problem: Problem { error: error.into(), help: None } }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.problem.help = Some(help.into());
        self
    }

    pub(crate) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// The site's database does not answer.
    pub(crate) fn unavailable(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, command_line::chain(error))
    }
}

/// Bytes of a text that becomes a problem.
const TEXT_LIMIT: usize = 4096;

/// The API refuses in JSON only: what the framework says in plain words, or not at all, becomes a problem.
pub(super) async fn in_json(response: Response) -> Response {
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = to_bytes(response.into_body(), TEXT_LIMIT).await.unwrap_or_default();
    let text = match String::from_utf8_lossy(&text).trim() {
        "" => status.canonical_reason().unwrap_or("refused").to_lowercase(),
        text => text.to_owned(),
    };
    Refused::new(status, text).into_response()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
