//! A token bucket that says how many bytes may leave, and when more of them may.

use std::time::Duration;

use super::rate::Rate;
use crate::types::Instant;

/// Time that a driver may wake too late without loss of rate. Sleeps end 0.05 to 1 ms late on a quiet
/// host and some ms late on a busy one.
pub const CATCH_UP: Duration = Duration::from_millis(5);

/// Holds a rate over time and bounds what leaves back to back.
///
/// The bucket is `burst` bytes plus [`CATCH_UP`] at the rate deep. In any stretch of time `t` no more
/// than that depth plus `rate × t` leaves, however long it was idle before. A driver that sends what
/// [`budget`](Self::budget) allows, up to a burst at a time, and wakes at [`next`](Self::next) or up
/// to 5 ms later holds the rate exactly. The depth is below 2 % of a second's bytes from 1.7 Mbit/s
/// and the smallest burst of two frames on.
#[derive(Debug, Clone)]
pub struct Pacer {
    rate: Rate,
    burst: u32,
    /// Bits × 10⁹, so that a nanosecond at any rate is a whole number; below zero after more was
    /// spent than was there.
    level: i128,
    filled: Instant,
}

impl Pacer {
    /// A pacer that lets a first `burst` of bytes leave at once.
    pub fn new(rate: Rate, burst: u32) -> Self {
        Self { rate, burst, level: cost(u64::from(burst)), filled: Instant::ZERO }
    }

    /// Bytes that may leave now.
    pub fn budget(&self, now: Instant) -> u64 {
        u64::try_from(self.level_at(now) / cost(1)).unwrap_or(0)
    }

    /// Counts `bytes` that left. More than the budget is allowed: it is waited for afterwards.
    pub fn spend(&mut self, now: Instant, bytes: u64) {
        self.fill(now);
        self.level -= cost(bytes);
    }

    /// When `bytes` may leave, `now` if they may at once. More than fit into the bucket may leave
    /// when it is full.
    pub fn next(&self, now: Instant, bytes: u64) -> Instant {
        let missing = cost(bytes).min(self.depth()) - self.level_at(now);
        if missing <= 0 {
            return now;
        }
        let nanos = missing.unsigned_abs().div_ceil(u128::from(self.rate.bits()));
        now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Changes the rate from `now` on.
    pub fn set_rate(&mut self, now: Instant, rate: Rate) {
        self.fill(now);
        self.rate = rate;
        self.level = self.level.min(self.depth());
    }

    /// The rate that it holds.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Bytes that may leave back to back at most.
    pub fn depth_bytes(&self) -> u64 {
        u64::from(self.burst) + self.rate.bytes_in(CATCH_UP)
    }

    fn fill(&mut self, now: Instant) {
        self.level = self.level_at(now);
        self.filled = self.filled.max(now);
    }

    fn level_at(&self, now: Instant) -> i128 {
        let gained = i128::from(self.rate.bits()) * i128::from(nanos(now.since(self.filled)));
        (self.level + gained).min(self.depth())
    }

    fn depth(&self) -> i128 {
        cost(u64::from(self.burst)) + i128::from(self.rate.bits()) * i128::from(nanos(CATCH_UP))
    }
}

/// What `bytes` take from the level.
fn cost(bytes: u64) -> i128 {
    i128::from(bytes) * 8 * 1_000_000_000
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Profile;
    use super::*;

    const FRAME: u64 = 1514;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    /// Drives a pacer as the engine does: sends batches of full frames up to a burst while the budget
    /// lasts, then sleeps until a batch may leave, and wakes up to `late` nanoseconds too late.
    fn drive(rate: Rate, burst: u32, late: u64, seconds: u64, seed: u64) -> (Pacer, Vec<(u64, u64)>) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut pacer = Pacer::new(rate, burst);
        let batch = (u64::from(burst) / FRAME).max(1) * FRAME;
        let (mut now, mut sent) = (at(0), Vec::new());
        while now < at(seconds * 1_000_000_000) {
            while pacer.budget(now) >= batch {
                pacer.spend(now, batch);
                sent.push((now.as_nanos(), batch));
            }
            let wake = pacer.next(now, batch);
            assert!(wake > now);
            now = wake + Duration::from_nanos(rng.u64(0..=late));
        }
        (pacer, sent)
    }

    /// Bytes in the fullest and in the emptiest window of `width` nanoseconds that starts with a batch.
    fn extremes(sent: &[(u64, u64)], width: u64) -> (u64, u64) {
        let (mut most, mut least) = (0, u64::MAX);
        let (mut end, mut bytes) = (0, 0);
        let last = sent[sent.len() - 1].0;
        for &(from, size) in sent {
            if from + width > last {
                break;
            }
            while sent[end].0 < from + width {
                bytes += sent[end].1;
                end += 1;
            }
            most = most.max(bytes);
            least = least.min(bytes);
            bytes -= size;
        }
        (most, least)
    }

    #[test]
    fn every_profile_holds_its_rate_within_two_percent_of_any_second_though_the_driver_wakes_late() {
        for profile in [Profile::TenMbit, Profile::HundredMbit, Profile::Gigabit, Profile::TenGigabit] {
            for late in [0, 60_000, 1_000_000, 5_000_000] {
                let rate = profile.rate();
                let (_, sent) = drive(rate, profile.burst(), late, 4, 11);
                let (most, least) = extremes(&sent, 1_000_000_000);
                let ideal = rate.bits() as f64 / 8.0;
                assert!(most as f64 <= ideal * 1.02, "{profile}, late {late}: {most} of {ideal}");
                assert!(least as f64 >= ideal * 0.98, "{profile}, late {late}: {least} of {ideal}");
            }
        }
    }

    #[test]
    fn time_without_sending_gives_no_more_than_the_bucket() {
        let pacer = Pacer::new(Rate::from_mbit(80), 5000);
        assert_eq!(pacer.budget(at(0)), 5000);
        assert_eq!(pacer.depth_bytes(), 5000 + 50_000);
        assert_eq!(pacer.budget(at(3_600_000_000_000)), 55_000);
        assert_eq!(pacer.budget(at(u64::MAX)), 55_000);
    }

    #[test]
    fn what_was_spent_beyond_the_budget_is_waited_for() {
        let mut pacer = Pacer::new(Rate::from_mbit(8), 2000);
        pacer.spend(at(0), 5000);
        assert_eq!(pacer.budget(at(1_000_000)), 0);
        assert_eq!(pacer.next(at(1_000_000), 1000), at(4_000_000));
        assert_eq!(pacer.budget(at(4_000_000)), 1000);
    }

    #[test]
    fn more_than_the_bucket_holds_may_leave_when_it_is_full() {
        let mut pacer = Pacer::new(Rate::from_mbit(8), 2000);
        pacer.spend(at(0), 2000);
        let full = pacer.next(at(0), 1_000_000);
        assert_eq!(full, at(7_000_000));
        assert_eq!(pacer.next(full, 1_000_000), full);
    }

    #[test]
    fn a_new_rate_counts_from_its_moment_on() {
        let mut pacer = Pacer::new(Rate::from_mbit(80), 2000);
        pacer.spend(at(0), 2000);
        pacer.set_rate(at(1_000_000), Rate::from_mbit(8));
        assert_eq!(pacer.budget(at(1_000_000)), 7000);
        pacer.spend(at(1_000_000), 7000);
        assert_eq!(pacer.budget(at(2_000_000)), 1000);
        assert_eq!(pacer.rate(), Rate::from_mbit(8));
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_nothing() {
        let mut pacer = Pacer::new(Rate::from_mbit(80), 2000);
        pacer.spend(at(1_000_000_000), pacer.depth_bytes());
        assert_eq!(pacer.budget(at(500_000_000)), 0);
        pacer.spend(at(500_000_000), 0);
        assert_eq!(pacer.budget(at(1_000_000_000)), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_window_holds_more_than_the_bucket_and_its_share(
            mbit in 2_u64..1000,
            burst in 3028_u32..70_000,
            late in 0_u64..20_000_000,
            width in 1_u64..500_000_000,
            seed: u64,
        ) {
            let rate = Rate::from_mbit(mbit);
            let (pacer, sent) = drive(rate, burst, late, 1, seed);
            let (most, _) = extremes(&sent, width);
            let bound = pacer.depth_bytes() + rate.bytes_in(Duration::from_nanos(width)) + 1;
            prop_assert!(most <= bound, "{most} above {bound}");
        }
    }
}
