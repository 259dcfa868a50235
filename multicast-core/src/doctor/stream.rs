//! The samples of a trial, paced as a session's symbols are.

use std::net::IpAddr;
use std::time::Duration;

use super::desk::{Order, TRICKLE};
use crate::net::{MAX_BATCH_BYTES, MAX_SEGMENTS};
use crate::pace::{Pacer, Profile, on_wire};
use crate::types::{Instant, Sequence};
use crate::wire::Sample;

/// So many samples say at the end how many there were, so far apart.
const LASTS: u8 = 4;
const LAST_INTERVAL: Duration = Duration::from_millis(25);

/// What is to be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// So many samples, from this one on, at once.
    Batch {
        /// Of the first.
        first: Sequence,
        /// How many.
        count: u16,
    },
    /// One that says how many there were.
    Last(Sample),
    /// Nothing before then.
    Wait(Instant),
    /// It is over.
    Over,
}

/// Says which samples leave when.
#[derive(Debug)]
pub struct SampleStream {
    order: Order,
    starts: Instant,
    ends: Instant,
    pacer: Pacer,
    batch: u16,
    /// Bytes of each on the wire.
    each: u64,
    sent: u32,
    lasts: u8,
}

impl SampleStream {
    /// Samples of `order` to `to`, the first at `starts`.
    pub fn new(order: Order, to: IpAddr, starts: Instant) -> Self {
        let each = on_wire(to, order.len.into());
        // A trickle that comes in bursts would tell late.
        let (burst, batch) = match order.rate <= TRICKLE {
            true => (each, 1),
            false => {
                let burst = Profile::Custom(order.rate).burst() as usize;
                (burst, MAX_SEGMENTS.min(MAX_BATCH_BYTES / usize::from(order.len)).min(burst / each).max(1))
            }
        };
        let pacer = Pacer::new(order.rate, u32::try_from(burst).unwrap_or(u32::MAX));
        let ends = starts + order.time;
        Self { order, starts, ends, pacer, batch: batch as u16, each: each as u64, sent: 0, lasts: 0 }
    }

    /// What is due; a batch counts as sent.
    pub fn poll(&mut self, now: Instant) -> Due {
        if now < self.starts {
            return Due::Wait(self.starts);
        }
        if now >= self.ends {
            return self.last(now);
        }
        let bytes = self.each * u64::from(self.batch);
        let at = self.pacer.next(now, bytes);
        if at > now {
            return Due::Wait(at.min(self.ends));
        }
        self.pacer.spend(now, bytes);
        let first = Sequence(self.sent);
        self.sent = self.sent.wrapping_add(self.batch.into());
        Due::Batch { first, count: self.batch }
    }

    /// The sample of this number.
    pub fn sample(&self, sequence: Sequence) -> Sample {
        let Order { client, number, len, .. } = self.order;
        Sample { client, number, sequence, last: false, len }
    }

    /// Bytes on the wire so far.
    pub fn bytes(&self) -> u64 {
        self.each * u64::from(self.sent)
    }

    fn last(&mut self, now: Instant) -> Due {
        let at = self.ends + LAST_INTERVAL * self.lasts.into();
        if self.lasts == LASTS {
            Due::Over
        } else if now < at {
            Due::Wait(at)
        } else {
            self.lasts += 1;
            Due::Last(Sample { last: true, ..self.sample(Sequence(self.sent)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Rate;
    use crate::types::ClientId;
    use crate::wire::SampleWay;

    const TO: [u8; 4] = [239, 194, 0, 1];

    /// Batches, samples, what the last ones say, and the seconds from the first to the last, as a driver has
    /// them that wakes 0.2 ms late.
    fn run(rate: Rate, ms: u64, len: u16) -> (u32, u32, Vec<u32>, f64) {
        let (client, from, way) = (ClientId(3), ([10, 0, 0, 1], 5).into(), SampleWay::Group);
        let order = Order { client, number: 2, from, way, rate, time: Duration::from_millis(ms), len };
        let mut now = Instant::ZERO;
        let mut stream = SampleStream::new(order, TO.into(), Instant::ZERO + Duration::from_secs(1));
        let (mut batches, mut samples, mut lasts, mut times) = (0, 0, Vec::new(), Vec::new());
        loop {
            match stream.poll(now) {
                Due::Batch { first, count } => {
                    assert_eq!(first, Sequence(samples));
                    (batches, samples) = (batches + 1, samples + u32::from(count));
                    times.push(now);
                }
                Due::Last(sample) => lasts.push(sample.sequence.0),
                Due::Wait(then) => now = then + Duration::from_micros(200),
                Due::Over => return (batches, samples, lasts, (times[times.len() - 1] - times[0]).as_secs_f64()),
            }
        }
    }

    #[test]
    fn the_rate_is_held_for_the_time_and_the_last_ones_say_how_many_there_were() {
        let (_, samples, lasts, seconds) = run(Rate::from_mbit(50), 2000, 1472);
        let wanted = 50e6 * 2.0 / 8.0 / 1514.0;
        assert!((f64::from(samples) / wanted - 1.0).abs() < 0.01, "{samples} of {wanted}");
        assert_eq!(lasts, [samples; 4]);
        assert!((1.98..=2.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_trickle_comes_one_by_one() {
        let (batches, samples, ..) = run(Rate::from_bits(100_000), 3000, 100);
        assert_eq!(batches, samples);
        assert!((260..275).contains(&samples), "{samples}");
    }
}
