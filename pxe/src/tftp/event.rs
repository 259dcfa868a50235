//! What happens at a TFTP server: declared once, for logs, metrics and live views.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::transfer::Outcome;

/// Something has happened. Datagrams that are no request make no event, only a [count](Counters::garbage).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A file is on its way.
    Started(Served),
    /// The client has it.
    Done {
        /// What it got.
        served: Served,
        /// From its request to its last word.
        took: Duration,
        /// Blocks that were sent more than once.
        resent: u64,
        /// Whether the client has confirmed the end.
        confirmed: bool,
    },
    /// It came to no end.
    Aborted {
        /// What was on its way.
        served: Served,
        /// Bytes that the client had confirmed.
        confirmed: u64,
        /// Since its request.
        after: Duration,
        /// Why.
        why: Aborted,
    },
    /// A request was refused.
    Refused {
        /// Whose.
        client: SocketAddr,
        /// The address of ours that it asked.
        server: IpAddr,
        /// What it asked for; none if that is no name.
        name: Option<String>,
        /// Why.
        reason: String,
        /// Whether the client was told.
        answered: bool,
    },
    /// A socket does not do what it should.
    Trouble {
        /// In which attempt, and what the system says.
        what: String,
    },
}

/// A file on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The client's address and port.
    pub client: SocketAddr,
    /// Our address and port for this transfer.
    pub server: SocketAddr,
    /// The file, as it was asked for.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Bytes of a block.
    pub block: u16,
    /// Blocks of a window.
    pub window: u16,
}

/// Why a transfer came to no end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aborted {
    /// The client's doing.
    Client(Outcome),
    /// The file became shorter, or cannot be read.
    Content(String),
    /// It was silent when another client wanted its place.
    MadeRoom,
    /// The client began something else from the same port.
    Replaced,
    /// Nothing can be sent to it.
    Network(String),
    /// The server is stopped.
    Stopped,
}

/// Sums since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transfers that go on.
    pub active: u64,
    /// Transfers that were begun.
    pub started: u64,
    /// Transfers whose file the client has.
    pub done: u64,
    /// Requests that were made for a file's size only.
    pub size_only: u64,
    /// Transfers that came to no end.
    pub aborted: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Datagrams at the server's port that are no requests.
    pub garbage: u64,
    /// Bytes of files that clients have confirmed, of transfers that are over.
    pub bytes: u64,
    /// Blocks that were sent more than once, of transfers that are over.
    pub resent: u64,
}

impl Event {
    pub(super) fn count(&self, counters: &mut Counters) {
        match self {
            Self::Started(_) => {
                counters.started += 1;
                counters.active += 1;
            }
            Self::Done { served, resent, .. } => {
                counters.active = counters.active.saturating_sub(1);
                counters.done += 1;
                counters.bytes += served.size;
                counters.resent += resent;
            }
            Self::Aborted { confirmed, why, .. } => {
                counters.active = counters.active.saturating_sub(1);
                match why {
                    Aborted::Client(Outcome::SizeOnly) => counters.size_only += 1,
                    _ => counters.aborted += 1,
                }
                counters.bytes += confirmed;
            }
            Self::Refused { .. } => counters.refused += 1,
            Self::Trouble { .. } => {}
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(Served { client, name, size, block, window, .. }) => {
                write!(f, "started client={client} file={name:?} bytes={size} block={block} window={window}")
            }
            Self::Done { served: Served { client, name, size, .. }, took, resent, confirmed } => {
                let seconds = took.as_secs_f64();
                write!(f, "done client={client} file={name:?} bytes={size} seconds={seconds:.3} resent={resent} ")?;
                write!(f, "confirmed={confirmed}")
            }
            Self::Aborted { served: Served { client, name, .. }, confirmed, after, why } => {
                let seconds = after.as_secs_f64();
                write!(f, "aborted client={client} file={name:?} bytes={confirmed} seconds={seconds:.3} why={why}")
            }
            Self::Refused { client, name, reason, .. } => {
                write!(f, "refused client={client} file={:?} why={reason}", name.as_deref().unwrap_or_default())
            }
            Self::Trouble { what } => write!(f, "trouble what={what}"),
        }
    }
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(outcome) => outcome.fmt(f),
            Self::Content(what) => write!(f, "the file cannot be read on: {what}"),
            Self::MadeRoom => write!(f, "it was silent, and another client needed its place"),
            Self::Replaced => write!(f, "the client asked anew from the same port"),
            Self::Network(what) => write!(f, "nothing can be sent to the client: {what}"),
            Self::Stopped => write!(f, "the server was stopped"),
        }
    }
}
