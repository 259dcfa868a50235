//! What the API answers, as far as it is shown. What a newer server adds is no error.

use serde::Deserialize;
use serde_json::Value;

use crate::serve::http::pxe::views::BootingView;
pub(super) use crate::serve::views::{ClientView, ImageView, SessionView, SiteImageView};

/// `/site`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Site {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) server: String,
    pub(super) fingerprint: Option<String>,
    pub(super) version: String,
    pub(super) role: String,
    pub(super) servers: Vec<Server>,
}

/// A server of the site.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Server {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) control: String,
    pub(super) http: String,
    pub(super) version: String,
    pub(super) dead: bool,
}

/// `/health`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Health {
    pub(super) seconds: f64,
}

/// `/ready`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    pub(super) database: bool,
    pub(super) images_ready: usize,
    pub(super) images: usize,
}

/// A setting.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
}

/// A place in the queue.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Waiting {
    pub(super) image: String,
    pub(super) client: String,
    pub(super) host: String,
    pub(super) server: String,
}

/// A machine that received something, or did not.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Delivery {
    pub(super) session: String,
    pub(super) image: String,
    pub(super) version: String,
    pub(super) server: String,
    pub(super) client: String,
    pub(super) host: String,
    pub(super) address: String,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) joined_ms: i64,
    pub(super) ended_ms: Option<i64>,
}

/// What became of an order: `done` or `passed_on`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Done {
    pub(super) status: String,
}

/// A refusal.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Problem {
    pub(super) error: String,
    #[serde(default)]
    pub(super) help: Option<String>,
}

/// News of `/events`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum News {
    Event {
        ms: i64,
        session: String,
        image: String,
        text: Option<String>,
        event: String,
        /// Of the end, among others.
        cause: Option<Value>,
    },
    Sessions {
        sessions: Vec<SessionView>,
    },
    Images {
        images: Vec<ImageView>,
    },
    Boots {
        machines: Vec<BootingView>,
    },
    /// Of a newer server.
    #[serde(other)]
    Other,
}
