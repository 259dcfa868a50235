//! How long to wait for an acknowledgement: measured as RFC 6298 does it, with bounds for a local network.

use std::time::Duration;

/// Before anything was measured. RFC 6298 begins with a second, as it must suit the whole internet; a boot
/// server's clients are some switches away.
const FIRST: Duration = Duration::from_millis(250);
/// Never less: a client's firmware polls its card, some of them by a timer of 10 ms.
const LEAST: Duration = Duration::from_millis(20);
/// Never more, unless the client asks for it.
const MOST: Duration = Duration::from_secs(1);
/// What is added for the spread at least: the granularity of clocks, G in RFC 6298.
const GRAIN: Duration = Duration::from_millis(10);

/// Round trips of one transfer.
#[derive(Debug, Clone)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    least: Duration,
    spread: Duration,
    wait: Duration,
    most: Duration,
}

impl RoundTrip {
    /// `most`: what the client wants to be waited for at most.
    pub(super) fn new(most: Option<Duration>) -> Self {
        Self {
            smoothed: None,
            least: Duration::MAX,
            spread: Duration::ZERO,
            wait: FIRST,
            most: most.unwrap_or(MOST).max(LEAST),
        }
    }

    /// An answer to what was sent once only (Karn's rule: of what was sent twice one cannot tell what it answers).
    pub(super) fn measured(&mut self, sample: Duration) {
        let smoothed = match self.smoothed {
            None => {
                self.spread = sample / 2;
                sample
            }
            Some(smoothed) => {
                self.spread = (self.spread * 3 + smoothed.abs_diff(sample)) / 4;
                (smoothed * 7 + sample) / 8
            }
        };
        self.smoothed = Some(smoothed);
        self.least = self.least.min(sample);
        self.wait = (smoothed + (self.spread * 4).max(GRAIN)).clamp(LEAST, self.most);
    }

    /// Nothing has come: the next wait is twice as long, until something is measured.
    pub(super) fn back_off(&mut self) {
        self.wait = (self.wait * 2).min(self.most);
    }

    /// How long to wait before sending again.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// The shortest round trip; zero, if none was measured.
    pub(super) fn least(&self) -> Duration {
        self.smoothed.map_or(Duration::ZERO, |_| self.least)
    }

    /// The smoothed round trip, if one was measured.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn on_a_quick_network_the_wait_is_the_least() {
        let mut trip = RoundTrip::new(None);
        assert_eq!(trip.wait(), FIRST);
        (0..10).for_each(|_| trip.measured(MS / 5));
        assert_eq!(trip.wait(), LEAST);
    }

    #[test]
    fn the_wait_follows_slow_and_unsteady_answers() {
        let mut trip = RoundTrip::new(None);
        for i in 0..50 {
            trip.measured(MS * (100 + 50 * (i % 2)));
        }
        assert!((200 * MS..300 * MS).contains(&trip.wait()), "{:?}", trip.wait());
    }

    #[test]
    fn the_wait_doubles_up_to_a_second_and_falls_when_something_is_measured() {
        let mut trip = RoundTrip::new(None);
        trip.measured(MS);
        let waits: Vec<_> = (0..8)
            .map(|_| {
                trip.back_off();
                trip.wait().as_millis()
            })
            .collect();
        assert_eq!(waits, [40, 80, 160, 320, 640, 1000, 1000, 1000]);
        trip.measured(MS);
        assert_eq!(trip.wait(), LEAST);
    }

    #[test]
    fn a_client_may_ask_for_longer_waits() {
        let mut trip = RoundTrip::new(Some(Duration::from_secs(4)));
        (0..20).for_each(|_| trip.back_off());
        assert_eq!(trip.wait(), Duration::from_secs(4));
    }
}
