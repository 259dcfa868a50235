//! Multicast addresses and UDP ports: what may be used, what is refused and why, and who has which.

mod class;
mod error;
mod pool;
mod ports;

pub use class::{GroupClass, GroupWarning, Ipv6Scope, check_group, classify, warning};
pub use error::{AddressError, PortError};
pub use pool::{AUTO_RANGE, AddressPool};
pub use ports::{DEFAULT_PORTS, PortRange, find_free_port};
