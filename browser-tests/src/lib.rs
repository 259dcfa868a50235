//! The web page of `mcast-server` in a real browser: Debian's chromium, driven by its chromedriver.
//!
//! A [`Point`] is a real `mcast-server` on loopback with a folder of its own, a [`Machine`] a real `mcast-client`, a
//! [`Bare`] one that only boots, a [`Browser`] a chromium that nobody sees. All of them end when they are dropped. The tests stand in `tests/`; the
//! pictures of the documents are taken by the binary `screenshots`.

mod bare;
mod browser;
mod machine;
mod point;
mod programs;

pub use bare::Bare;
pub use browser::{Browser, Scheme};
pub use machine::Machine;
pub use point::{Fetcher, Plan, Point, TOKEN, VIEWER};

use std::time::Duration;

/// Whoever waits longer for something has failed.
pub const LIMIT: Duration = Duration::from_secs(60);
