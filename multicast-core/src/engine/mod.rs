//! The state machines over real sockets, files and threads: what an embedder uses.
//!
//! Serving: [`Engine::start`] → [`Engine::start_session`] with a [`Delivery`](crate::image::Delivery)
//! and its manifest → [`Session::events`], [`Session::snapshot`] → [`Session::wait`].
//! Receiving: [`Client::start`] → [`Client::events`], [`Client::snapshot`] → [`Client::wait`].

mod client;
mod clock;
mod door;
mod doorkeeper;
mod error;
mod gather;
mod outlets;
mod places;
mod priority;
mod server;
mod session;
mod session_thread;
mod share;

pub use client::{Client, ClientConfig, ClientEvent, ClientSummary};
pub use clock::Clock;
pub use doorkeeper::{Ask, Doorkeeper, Verdict};
pub use error::{ClientError, EngineError, SessionError};
pub use places::Lent;
pub use server::{DEFAULT_CONTROL_PORT, Engine, EngineConfig};
pub use session::{Session, SessionConfig, SessionControl, SessionSummary};
