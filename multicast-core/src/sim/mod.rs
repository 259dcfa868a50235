//! A room full of machines in virtual time: the real sender and receivers over a simulated network.
//!
//! Everything is decided by one seed, so that a run repeats to the last datagram.

mod bound;
mod client;
mod crowd;
mod figures;
mod jobs;
mod link;
mod network;
mod room;
mod source;
mod store;

pub use bound::{coded_repair, coded_repair_measured};
pub use crowd::{Crowd, CrowdConfig, CrowdFigures, Member};
pub use figures::RoomFigures;
pub use link::LinkModel;
pub use room::{Room, RoomConfig};
pub use store::SharedStore;
