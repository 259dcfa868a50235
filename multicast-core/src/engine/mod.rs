//! The state machines over real sockets, files and threads: what an embedder uses.
//!
//! Serving: [`Engine::start`] → [`Engine::start_session`] with a [`Delivery`](crate::image::Delivery)
//! and its manifest → [`Session::events`], [`Session::snapshot`] → [`Session::wait`].
//! Receiving: [`Client::start`] → [`Client::events`], [`Client::snapshot`] → [`Client::wait`].
//! Where multicast does not get: [`inquire`] → [`Fetch::start`] with a [`ContentSource`], and with what
//! [`Client::wait_with_output`] left → as a client.

mod client;
mod clock;
mod door;
mod doorkeeper;
mod error;
mod fetch;
mod gather;
mod inquire;
mod outlets;
mod output;
mod places;
mod priority;
mod probes;
mod server;
mod session;
mod session_thread;
mod share;
mod worker;

pub use client::{Client, ClientConfig, ClientEvent, ClientSummary};
pub use clock::Clock;
pub use doorkeeper::{Ask, Doorkeeper, Verdict};
pub use error::{ClientError, EngineError, FetchError, SessionError};
pub use fetch::{ContentSource, Fetch, FetchConfig, SourceError, Standing};
pub use inquire::{Inquired, inquire};
pub use output::Output;
pub use places::Lent;
pub use server::{DEFAULT_CONTROL_PORT, Engine, EngineConfig};
pub use session::{Session, SessionConfig, SessionControl, SessionSummary};

pub use crate::wire::ContentLocation;
