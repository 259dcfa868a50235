//! Real time for the state machines.

use std::time::Duration;

use crate::types::Instant;

/// Monotonic time since it was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    /// Time from now until `then`, zero if it has passed.
    pub fn until(&self, then: Instant) -> Duration {
        then - self.now()
    }
}
