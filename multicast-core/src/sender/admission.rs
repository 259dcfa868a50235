//! When a session starts and whom it takes in; it knows nothing of packets.

use std::time::Duration;

use super::event::StartCause;
use crate::types::Instant;

/// When a session begins to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StartPolicy {
    /// As soon as so many clients are ready.
    pub clients: Option<u32>,
    /// As soon as the first client has waited for so long.
    pub wait: Option<Duration>,
    /// Only on command; with a threshold too, whichever comes first.
    pub on_command: bool,
}

impl StartPolicy {
    /// Whether to start now: `ready` clients are there, the first one since `first`.
    pub(super) fn due(&self, now: Instant, ready: u32, first: Option<Instant>) -> Option<StartCause> {
        if ready == 0 {
            return None;
        }
        if self.threshold().is_some_and(|threshold| ready >= threshold) {
            return Some(StartCause::Clients);
        }
        (now >= self.deadline(first)?).then_some(StartCause::Wait)
    }

    /// When it starts whoever is there.
    pub(super) fn deadline(&self, first: Option<Instant>) -> Option<Instant> {
        Some(first? + self.wait?)
    }

    /// Clients that it waits for; without any other condition the first one starts it.
    pub(super) fn threshold(&self) -> Option<u32> {
        match self.clients {
            None if self.wait.is_none() && !self.on_command => Some(1),
            clients => clients.map(|n| n.max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn whichever_threshold_comes_first_starts_it() {
        let policy = StartPolicy { clients: Some(3), wait: Some(SECOND), on_command: false };
        let (first, later) = (Some(Instant::ZERO), Instant::ZERO + SECOND);
        assert_eq!(policy.due(Instant::ZERO, 2, first), None);
        assert_eq!(policy.due(Instant::ZERO, 3, first), Some(StartCause::Clients));
        assert_eq!(policy.due(later, 1, first), Some(StartCause::Wait));
        assert_eq!(policy.due(later, 0, None), None, "nobody to send to");
    }

    #[test]
    fn without_conditions_the_first_client_starts_it_and_on_command_none_does() {
        assert_eq!(StartPolicy::default().due(Instant::ZERO, 1, Some(Instant::ZERO)), Some(StartCause::Clients));
        let manual = StartPolicy { on_command: true, ..StartPolicy::default() };
        assert_eq!(manual.due(Instant::ZERO + SECOND, 100, Some(Instant::ZERO)), None);
    }
}
