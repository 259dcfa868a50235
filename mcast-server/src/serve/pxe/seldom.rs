//! Warnings that anybody on the network can cause: one a second at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SPACING: Duration = Duration::from_secs(1);

/// When the last warning was, and what was not said since.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    /// Whether to warn now, and then how many were passed over since the last time.
    pub(super) fn is_due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, passed) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < SPACING) {
            *passed += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_said_and_the_others_are_counted() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let due = |ms| seldom.is_due(start + Duration::from_millis(ms));
        assert_eq!([due(0), due(10), due(999), due(1000), due(2500)], [Some(0), None, None, Some(2), Some(0)]);
    }
}
