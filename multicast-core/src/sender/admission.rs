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
    /// So long after the session was opened, or with the first client that is ready later: a clock time.
    pub after: Option<Duration>,
    /// Only on command; with a threshold too, whichever comes first.
    pub on_command: bool,
}

impl StartPolicy {
    /// Whether to start now a session opened at `opened`: `ready` clients are there, the first one since
    /// `first`.
    pub(super) fn due(&self, now: Instant, opened: Instant, ready: u32, first: Option<Instant>) -> Option<StartCause> {
        if ready == 0 {
            return None;
        }
        if self.threshold().is_some_and(|threshold| ready >= threshold) {
            return Some(StartCause::Clients);
        }
        if self.clock(opened).is_some_and(|at| now >= at) {
            return Some(StartCause::Clock);
        }
        (now >= self.waited(first)?).then_some(StartCause::Wait)
    }

    /// When it starts whoever is there.
    pub(super) fn deadline(&self, opened: Instant, first: Option<Instant>) -> Option<Instant> {
        self.clock(opened).into_iter().chain(self.waited(first)).min()
    }

    fn clock(&self, opened: Instant) -> Option<Instant> {
        Some(opened + self.after?)
    }

    fn waited(&self, first: Option<Instant>) -> Option<Instant> {
        Some(first? + self.wait?)
    }

    /// Clients that it waits for; without any other condition the first one starts it.
    pub(super) fn threshold(&self) -> Option<u32> {
        match self.clients {
            None if self.wait.is_none() && self.after.is_none() && !self.on_command => Some(1),
            clients => clients.map(|n| n.max(1)),
        }
    }
}

/// Joins that are answered a second, and at once: 10,000 machines that boot together are in within
/// some seconds, and a flood of forged joins costs the stream 3 Mbit/s where an offer has 200 bytes, 22 at
/// the largest it can be.
const JOINS_PER_SECOND: u64 = 2_000;
const JOINS_AT_ONCE: u64 = 1_000;

/// Says which joins are answered; who is not asks again.
#[derive(Debug)]
pub(super) struct JoinGate {
    /// When the bucket is full again.
    full_at: Instant,
}

impl JoinGate {
    pub(super) fn new() -> Self {
        Self { full_at: Instant::ZERO }
    }

    /// Whether a join that comes now is to be answered.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + Duration::from_nanos(1_000_000_000 / JOINS_PER_SECOND);
        let admits = full_at - now <= Duration::from_nanos(1_000_000_000 / JOINS_PER_SECOND * JOINS_AT_ONCE);
        if admits {
            self.full_at = full_at;
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn whichever_threshold_comes_first_starts_it() {
        let policy = StartPolicy { clients: Some(3), wait: Some(SECOND), ..StartPolicy::default() };
        let (first, later) = (Some(Instant::ZERO), Instant::ZERO + SECOND);
        let due = |now, ready, first| policy.due(now, Instant::ZERO, ready, first);
        assert_eq!(due(Instant::ZERO, 2, first), None);
        assert_eq!(due(Instant::ZERO, 3, first), Some(StartCause::Clients));
        assert_eq!(due(later, 1, first), Some(StartCause::Wait));
        assert_eq!(due(later, 0, None), None, "nobody to send to");
    }

    #[test]
    fn at_its_hour_it_starts_with_whoever_is_there_or_comes_first() {
        let opened = Instant::ZERO + SECOND;
        let policy = StartPolicy { after: Some(SECOND), ..StartPolicy::default() };
        let (early, hour) = (opened + SECOND / 2, opened + SECOND);
        assert_eq!(policy.due(early, opened, 5, Some(opened)), None);
        assert_eq!(policy.due(hour, opened, 5, Some(opened)), Some(StartCause::Clock));
        assert_eq!(policy.due(hour, opened, 0, None), None);
        assert_eq!(policy.due(hour + SECOND, opened, 1, Some(hour + SECOND)), Some(StartCause::Clock));
        let either = StartPolicy { wait: Some(SECOND / 4), ..policy };
        assert_eq!(either.deadline(opened, Some(opened)), Some(opened + SECOND / 4));
        assert_eq!(either.due(early, opened, 1, Some(opened)), Some(StartCause::Wait));
    }

    #[test]
    fn without_conditions_the_first_client_starts_it_and_on_command_none_does() {
        let zero = Instant::ZERO;
        assert_eq!(StartPolicy::default().due(zero, zero, 1, Some(zero)), Some(StartCause::Clients));
        let manual = StartPolicy { on_command: true, ..StartPolicy::default() };
        assert_eq!(manual.due(zero + SECOND, zero, 100, Some(zero)), None);
    }

    #[test]
    fn a_flood_of_joins_is_answered_at_a_limited_rate() {
        let mut gate = JoinGate::new();
        let flood = |gate: &mut JoinGate, now| (0..5_000).filter(|_| gate.admits(now)).count();
        assert_eq!(flood(&mut gate, Instant::ZERO), 1_000);
        assert_eq!(flood(&mut gate, Instant::ZERO + SECOND / 4), 500);
        assert_eq!(flood(&mut gate, Instant::ZERO + SECOND * 10), 1_000);
    }
}
