//! What the way to one client does to datagrams.

use std::time::Duration;

use crate::pace::Rate;
use crate::types::Instant;

/// How a client's link treats what comes from the group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkModel {
    /// Part of the datagrams lost, 0 to 1.
    pub loss: f64,
    /// Mean length of a loss in datagrams; 1 is independent loss, more is bursty (Gilbert).
    pub burst: f64,
    /// Part of the datagrams that come late, by up to [`LATE`](Self::LATE_MS) ms.
    pub reorder: f64,
    /// Part of the datagrams that come twice.
    pub duplicate: f64,
    /// Part of the datagrams with a damaged byte.
    pub corrupt: f64,
    /// Rate of the port that it is behind, if that is slower than the room: a queue of 64 KiB, and what
    /// does not fit is lost. What waits there is delivered at once all the same.
    pub port: Option<Rate>,
    /// Nothing that is sent to a group arrives: another VLAN, or no querier.
    pub deaf: bool,
}

impl LinkModel {
    /// A link on which nothing came for so long has forgotten its burst.
    pub(super) const MEMORY: Duration = Duration::from_millis(10);

    /// The longest that a reordered datagram is held up, in ms.
    pub const LATE_MS: u64 = 4;

    /// Nothing happens to a datagram.
    pub const CLEAN: Self =
        Self { loss: 0.0, burst: 1.0, reorder: 0.0, duplicate: 0.0, corrupt: 0.0, port: None, deaf: false };

    /// Behind a port of this rate, and nothing else happens.
    pub const fn behind(port: Rate) -> Self {
        Self { port: Some(port), ..Self::CLEAN }
    }

    /// Independent loss.
    pub const fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::CLEAN }
    }

    pub(super) fn disturbs(&self) -> bool {
        self.reorder > 0.0 || self.duplicate > 0.0 || self.corrupt > 0.0
    }
}

/// Bytes that wait in front of a slow port at most.
const PORT_QUEUE: u64 = 64 << 10;

/// The queue in front of a client's port.
#[derive(Debug, Default)]
pub(super) struct PortQueue {
    /// When it will be empty.
    empty_at: Instant,
}

impl PortQueue {
    /// How many of `count` datagrams of `bytes` on the wire it takes now.
    pub(super) fn take(&mut self, now: Instant, port: Rate, count: usize, bytes: u64) -> usize {
        let waiting = port.bytes_in(self.empty_at - now);
        let taken = (PORT_QUEUE.saturating_sub(waiting) / bytes).min(count as u64);
        self.empty_at = self.empty_at.max(now) + port.time_for(taken * bytes);
        taken as usize
    }
}

/// Decides datagram by datagram, by the length of the runs that pass and are lost.
#[derive(Debug)]
pub(super) struct LossProcess {
    losing: bool,
    left: u64,
}

impl LossProcess {
    pub(super) fn new(model: &LinkModel, rng: &mut fastrand::Rng) -> Self {
        let mut process = Self { losing: true, left: 0 };
        process.renew(model, rng);
        process
    }

    /// Meets the link at any moment, maybe in the middle of a loss: bursts do not outlast a pause.
    pub(super) fn renew(&mut self, model: &LinkModel, rng: &mut fastrand::Rng) {
        self.losing = rng.f64() >= model.loss;
        self.turn(model, rng);
    }

    /// Splits the next `count` datagrams: how many pass or are lost together, and which of both.
    pub(super) fn take(&mut self, count: usize, model: &LinkModel, rng: &mut fastrand::Rng) -> (usize, bool) {
        while self.left == 0 {
            self.turn(model, rng);
        }
        let taken = (count as u64).min(self.left);
        self.left -= taken;
        (taken as usize, self.losing)
    }

    fn turn(&mut self, model: &LinkModel, rng: &mut fastrand::Rng) {
        self.losing = !self.losing;
        let loss = model.loss.clamp(0.0, 1.0);
        let mean_lost = model.burst.max(1.0 / (1.0 - loss));
        self.left = match self.losing {
            false if loss == 1.0 => 0,
            true if loss == 1.0 => u64::MAX,
            false if loss == 0.0 => u64::MAX,
            false => geometric(mean_lost * (1.0 - loss) / loss, rng),
            true => geometric(mean_lost, rng),
        };
    }
}

/// A length of 1 or more with the given mean, without memory.
fn geometric(mean: f64, rng: &mut fastrand::Rng) -> u64 {
    if mean <= 1.0 {
        return 1;
    }
    let stop = 1.0 / mean;
    1 + ((1.0 - rng.f64()).ln() / (1.0 - stop).ln()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(model: LinkModel) -> (f64, f64) {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut process = LossProcess::new(&model, &mut rng);
        let (mut lost, mut bursts, mut was_losing) = (0, 0, false);
        for _ in 0..400_000 {
            let (_, losing) = process.take(1, &model, &mut rng);
            lost += u32::from(losing);
            bursts += u32::from(losing && !was_losing);
            was_losing = losing;
        }
        (f64::from(lost) / 400_000.0, f64::from(lost) / f64::from(bursts))
    }

    #[test]
    fn loss_and_burst_length_are_as_asked_for() {
        for (loss, burst) in [(0.001, 1.0), (0.05, 1.0), (0.2, 1.0), (0.05, 8.0)] {
            let (measured, length) = measure(LinkModel { loss, burst, ..LinkModel::CLEAN });
            assert!((measured / loss - 1.0).abs() < 0.15, "{loss} {burst}: {measured}");
            let expected = f64::max(burst, 1.0 / (1.0 - loss));
            assert!((length / expected - 1.0).abs() < 0.1, "{loss} {burst}: {length}");
        }
    }
}
