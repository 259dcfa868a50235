//! Not running ahead of the clients: what they have not looked at yet waits in their socket buffers,
//! and is lost when these are full.

use std::time::Duration;

use super::rate::Rate;

/// What a client's last reports tell of how it keeps up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// How long ago that was sent which the client looks at now.
    pub lag: Duration,
    /// What it takes in, on the wire.
    pub taken: Rate,
    /// Part of what was sent that it did not get, 0 to 1.
    pub loss: f64,
}

/// Finds the rate that most clients keep up with, by how far they lag behind the stream.
///
/// A lag grows long before anything is lost: a buffer of 64 MiB holds 0.2 s at 3 Gbit/s. It begins at
/// [`START`] (nobody knows yet whether the clients' disks and processors follow a fast network) and
/// doubles every interval as long as the client that counts answers at once and loses next to nothing;
/// else it grows by a quarter, or, where much is lost before the clients, hardly at all. Once a lag
/// has shown it goes a little below what the client takes in, so that its buffer drains, and grows by
/// less.
#[derive(Debug, Clone)]
pub struct Follower {
    ceiling: Rate,
    floor: Rate,
    limit: Rate,
    quantile: f64,
    /// The limit at which a lag showed last; none was seen before that.
    knee: Option<Rate>,
    /// Intervals to let pass, until what was queued at the old rate is out.
    settling: u32,
}

/// Where it begins: what every machine follows.
pub const START: Rate = Rate::from_mbit(1000);

/// Between two decisions; a client that shares its processor may be out of it for some of them.
pub const FOLLOW_INTERVAL: Duration = Duration::from_millis(25);

/// From here on a client is behind: more than the scheduler of a busy machine causes.
const BEHIND: Duration = Duration::from_millis(40);
/// Up to here it keeps up, and may be sent more.
const ABREAST: Duration = Duration::from_millis(20);
/// Up to here nothing waits for it: an answer takes no longer on a network without load.
const AT_ONCE: Duration = Duration::from_millis(5);
/// What is lost by chance, and from where on a link on the way is full.
const SLIGHT_LOSS: f64 = 0.01;
const HEAVY_LOSS: f64 = 0.1;
const MARGIN: f64 = 0.92;
const SWIFT_GROWTH: f64 = 1.0;
const FIRST_GROWTH: f64 = 0.25;
const GROWTH: f64 = 0.03;
/// Near the limit at which a lag showed last.
const CAREFUL_GROWTH: f64 = 0.005;

impl Follower {
    /// Below `ceiling`, which it never exceeds, and above `floor`; the client that counts is the one at
    /// `quantile`, 0.5 for the median.
    pub fn new(ceiling: Rate, floor: Rate, quantile: f64) -> Self {
        Self { ceiling, floor, limit: ceiling.min(START), quantile, knee: None, settling: 0 }
    }

    /// The limit for the next interval, by the clients that were heard lately, or should have been;
    /// `sent` is the rate of the last one. Without any, the limit stays.
    pub fn next_limit(&mut self, clients: &mut [Progress], sent: Rate) -> Rate {
        if self.settling > 0 {
            self.settling -= 1;
            return self.limit;
        }
        let Some(counts) = self.quantile(clients) else { return self.limit };
        if counts.lag > BEHIND {
            self.knee = Some(sent);
            self.limit = counts.taken.min(sent).scaled(MARGIN).max(self.floor).min(self.ceiling);
            self.settling = (counts.lag.as_secs_f64() / FOLLOW_INTERVAL.as_secs_f64()).ceil() as u32 + 1;
        } else if counts.lag < ABREAST && sent.bits() as f64 > 0.9 * self.limit.bits() as f64 {
            let growth = match self.knee {
                None if counts.lag < AT_ONCE && counts.loss < SLIGHT_LOSS => SWIFT_GROWTH,
                None if counts.loss < HEAVY_LOSS => FIRST_GROWTH,
                None => GROWTH,
                Some(knee) if self.limit > knee.scaled(0.9) && self.limit < knee => CAREFUL_GROWTH,
                Some(_) => GROWTH,
            };
            self.limit = self.limit.scaled(1.0 + growth).max(Rate::from_bits(self.limit.bits() + 1)).min(self.ceiling);
        }
        self.limit
    }

    /// The limit as last decided.
    pub fn limit(&self) -> Rate {
        self.limit
    }

    fn quantile(&self, clients: &mut [Progress]) -> Option<Progress> {
        let place = (clients.len().checked_sub(1)? as f64 * self.quantile.clamp(0.0, 1.0)).floor() as usize;
        Some(*clients.select_nth_unstable_by_key(place, |client| client.lag).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILING: Rate = Rate::from_mbit(9000);

    /// Clients that each take in what they can, and queue the rest.
    struct Room {
        follower: Follower,
        speeds: Vec<Rate>,
        queued: Vec<f64>,
        loss: f64,
    }

    impl Room {
        fn new(mbit: &[u64]) -> Self {
            let speeds = mbit.iter().map(|&mbit| Rate::from_mbit(mbit)).collect();
            let follower = Follower::new(CEILING, CEILING.scaled(0.05), 0.5);
            Self { follower, speeds, queued: vec![0.0; mbit.len()], loss: 0.0 }
        }

        fn run(&mut self, intervals: u32) -> Vec<Rate> {
            let step = FOLLOW_INTERVAL.as_secs_f64();
            (0..intervals)
                .map(|_| {
                    let sent = self.follower.limit();
                    let mut seen = Vec::new();
                    for (speed, queued) in self.speeds.iter().zip(&mut self.queued) {
                        let (arrives, takes) = (sent.bits() as f64 * step, speed.bits() as f64 * step);
                        let taken = (*queued + arrives).min(takes);
                        *queued += arrives - taken;
                        let lag = Duration::from_secs_f64(*queued / speed.bits() as f64);
                        seen.push(Progress { lag, taken: Rate::from_bits((taken / step) as u64), loss: self.loss });
                    }
                    self.follower.next_limit(&mut seen, sent)
                })
                .collect()
        }

        fn worst_lag(&self, client: usize) -> Duration {
            Duration::from_secs_f64(self.queued[client] / self.speeds[client].bits() as f64)
        }
    }

    #[test]
    fn it_finds_what_most_clients_take_within_a_second_and_stays_there() {
        for mbit in [1500, 3000, 8000] {
            let mut room = Room::new(&[mbit; 5]);
            room.run(40);
            let rates = room.run(400);
            let mean = rates.iter().map(|rate| rate.bits() as f64).sum::<f64>() / 400.0;
            let part = mean / (mbit as f64 * 1e6);
            assert!((0.93..1.02).contains(&part), "{part} of {mbit} Mbit/s");
            assert!(room.worst_lag(0) < Duration::from_millis(100));
        }
    }

    #[test]
    fn clients_that_follow_get_the_ceiling_in_a_tenth_of_a_second() {
        assert_eq!(Room::new(&[20_000; 3]).run(4).last(), Some(&CEILING));
    }

    #[test]
    fn with_some_loss_it_takes_its_time_and_with_much_it_waits_for_who_judges_losses() {
        let after_100_ms =
            |loss| Room { loss, ..Room::new(&[20_000; 3]) }.run(4)[3].bits() as f64 / START.bits() as f64;
        assert!((2.4..2.5).contains(&after_100_ms(0.05)));
        assert!(after_100_ms(0.5) < 1.2);
    }

    #[test]
    fn a_slow_client_holds_nobody_up() {
        assert_eq!(Room::new(&[20_000, 20_000, 100]).run(40).last(), Some(&CEILING));
    }

    #[test]
    fn a_network_below_the_start_begins_at_its_own_rate() {
        let rate = Rate::from_mbit(92);
        assert_eq!(Follower::new(rate, rate.scaled(0.05), 0.5).limit(), rate);
    }

    #[test]
    fn without_clients_or_while_it_sends_less_the_limit_stays() {
        let mut follower = Follower::new(CEILING, Rate::MIN, 0.5);
        assert_eq!(follower.next_limit(&mut [], START), START);
        let idle = Progress { lag: Duration::ZERO, taken: Rate::MIN, loss: 0.0 };
        assert_eq!(follower.next_limit(&mut [idle], Rate::MIN), START);
    }
}
