//! What the command lines of `mcast-server` and `mcast-client` have in common.

mod error;
mod interrupt;
pub mod manual;
mod report;
pub mod text;

pub use error::chain;
pub use interrupt::{INTERRUPTED, Interrupt, SignalError};
pub use report::Report;
