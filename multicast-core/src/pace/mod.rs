//! How fast bytes leave: rates, what a network type can take, the pacer, and slowing down together.

mod adapt;
mod fair;
mod follow;
mod pacer;
mod profile;
mod rate;
mod wire_cost;

pub use adapt::{AdaptConfig, Adaptive};
pub(crate) use fair::level;
pub use follow::{FOLLOW_INTERVAL, Follower, Progress, START};
pub use pacer::Pacer;
pub use profile::{Profile, ProfileError};
pub use rate::{Rate, RateError};
pub use wire_cost::{headers_on_wire, largest_payload, on_wire};
