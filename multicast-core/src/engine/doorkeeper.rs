//! Who may come in, and what is opened for whom: decided outside of the engine.

use std::net::SocketAddr;
use std::time::Duration;

use crate::types::ClientId;
use crate::wire::RefuseReason;

/// Asked about every join before a session sees it, those that are repeated too.
///
/// It answers on the thread that reads the control socket, which all sessions need: at once, from what it
/// knows. What takes longer it begins, answers [`Verdict::Serve`] or a refusal with a time, and is asked
/// again.
pub trait Doorkeeper: Send + Sync {
    /// Whether `ask` is let in.
    fn judge(&self, ask: &Ask<'_>) -> Verdict;

    /// The image of a client that names none, if there is only one.
    fn only_image(&self) -> Option<String>;

    /// Whether single clients may fetch `image` elsewhere, if there is such a place.
    fn has_content(&self, image: &str) -> bool;
}

/// A join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Who asks.
    pub client: ClientId,
    /// Its host name.
    pub host: &'a str,
    /// The image's name, empty for the server's only one.
    pub image: &'a str,
    /// Where it asks from.
    pub address: SocketAddr,
    /// What proves its identity; empty in this version.
    pub credential: &'a [u8],
}

/// What becomes of a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// To its session; the client is refused if there is none.
    Admit,
    /// To the session of `image`. If there is none it is being opened: the client is told to ask again
    /// shortly, and taken in at once when the session opens before.
    Serve {
        /// The image's name, which the client may have left out.
        image: String,
    },
    /// It is refused.
    Refuse {
        /// Why.
        reason: RefuseReason,
        /// When to ask again, if that is of use.
        retry: Duration,
        /// The same in words.
        text: String,
    },
}
