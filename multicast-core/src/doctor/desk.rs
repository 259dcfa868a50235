//! Who gets samples, how many and when: the server's side of a trial, without sockets.
//!
//! Anybody may ask, so there are limits: one trial at a time, no faster than the policy's rate, for seconds
//! only, and between two of them a rest in which as much could have been sent again. Samples go only to who
//! shows the key that was sent to the address that it asks from: nobody can have them sent to somebody else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::pace::Rate;
use crate::types::{ClientId, Instant};
use crate::wire::{Probe, SampleAnswer, SampleWay, Samples};

/// The longest trial.
pub const LONGEST: Duration = Duration::from_secs(3);
/// The longest one at [`TRICKLE`] at most.
pub const LONGEST_TRICKLE: Duration = Duration::from_secs(15);
/// What is no load to any network.
pub const TRICKLE: Rate = Rate::from_mbit(1);

/// From the answer to the first sample: time to join the group, and for switches to learn of it.
const LEAD: Duration = Duration::from_secs(1);

/// What samples a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbePolicy {
    /// Bits per second on the wire at most.
    pub rate: Rate,
    /// Routers that they may pass, plus one: as the sessions' streams.
    pub ttl: u8,
    /// Differentiated services code point, 0 to 63: as the sessions' streams.
    pub dscp: u8,
}

impl ProbePolicy {
    /// At this rate, on the link.
    pub fn new(rate: Rate) -> Self {
        Self { rate, ttl: 1, dscp: 0 }
    }
}

/// Decides about probes.
///
/// [`handle_probe`](Self::handle_probe) says what to do; on [`Step::Open`] the driver finds a place and calls
/// [`open`](Self::open) or [`give_up`](Self::give_up), and, when the samples are sent, [`close`](Self::close).
#[derive(Debug)]
pub struct Desk {
    rate: Option<Rate>,
    secret: [u8; 32],
    current: Option<Current>,
    rested: Instant,
}

/// What is to be done about a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is answered by this.
    Answer(SampleAnswer),
    /// These samples may be sent, if there is a place for them and no session to disturb.
    Open(Order),
    /// The same is being opened: its answer will come.
    Wait,
}

/// Samples that are to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Who asked for them.
    pub client: ClientId,
    /// Number of its question.
    pub number: u32,
    /// Where it asked from.
    pub from: SocketAddr,
    /// To a group, or to that address.
    pub way: SampleWay,
    /// Bits per second on the wire.
    pub rate: Rate,
    /// For how long.
    pub time: Duration,
    /// Bytes of each datagram.
    pub len: u16,
}

#[derive(Debug)]
struct Current {
    order: Order,
    /// Where they go, and when they begin.
    coming: Option<(SocketAddr, Instant)>,
}

impl Desk {
    /// Sends samples at `rate` at most, none without; keys are made from `secret`.
    pub fn new(rate: Option<Rate>, secret: [u8; 32]) -> Self {
        Self { rate, secret, current: None, rested: Instant::ZERO }
    }

    /// What samples may have at most, 10³ bits per second; 0 if there are none.
    pub fn rate_kbit(&self) -> u32 {
        self.rate.map_or(0, kbit)
    }

    /// Proves to it that who shows it gets what is sent to `from`.
    pub fn key(&self, from: SocketAddr) -> u64 {
        let mut text = [0; 18];
        text[..16].copy_from_slice(&match from.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        });
        text[16..].copy_from_slice(&from.port().to_be_bytes());
        let hash = blake3::keyed_hash(&self.secret, &text);
        // 0 is no key.
        hash.as_bytes().first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes)).max(1)
    }

    /// Decides about a probe that came from `from`.
    pub fn handle_probe(&mut self, now: Instant, from: SocketAddr, probe: &Probe) -> Step {
        let Some(wish) = probe.samples else { return Step::Answer(SampleAnswer::None) };
        let Some(limit) = self.rate else { return Step::Answer(SampleAnswer::Off) };
        if probe.key != self.key(from) {
            return Step::Answer(SampleAnswer::Key);
        }
        if let Some(current) = &self.current {
            let asked = &current.order;
            if (asked.client, asked.number, asked.from) != (probe.client, probe.number, from) {
                return Step::Answer(busy(current.ends(now) - now));
            }
            return current.coming.map_or(Step::Wait, |coming| Step::Answer(asked.answer(now, coming)));
        }
        if now < self.rested {
            return Step::Answer(busy(self.rested - now));
        }
        let rate = Rate::from_bits(u64::from(wish.rate_kbit) * 1000).min(limit);
        let longest = if rate <= TRICKLE { LONGEST_TRICKLE } else { LONGEST };
        let time = Duration::from_millis(wish.ms.into()).min(longest);
        let (client, number, len) = (probe.client, probe.number, wish.len);
        let order = Order { client, number, from, way: wish.way, rate, time, len };
        self.current = Some(Current { order, coming: None });
        Step::Open(order)
    }

    /// The samples that were to be opened go to `to`: the answer, and when the first leaves.
    pub fn open(&mut self, now: Instant, to: SocketAddr) -> (SampleAnswer, Instant) {
        let starts = now + LEAD;
        let answer = self.current.as_mut().map(|current| {
            current.coming = Some((to, starts));
            current.order.answer(now, (to, starts))
        });
        (answer.unwrap_or(SampleAnswer::None), starts)
    }

    /// The samples that were to be opened are not sent.
    pub fn give_up(&mut self) {
        self.current = None;
    }

    /// The samples are sent; they had so many bytes on the wire.
    pub fn close(&mut self, now: Instant, bytes: u64) {
        self.current = None;
        self.rested = now + self.rate.map_or(Duration::ZERO, |rate| rate.time_for(bytes));
    }
}

impl Current {
    /// When it will be over, as far as it can be told.
    fn ends(&self, now: Instant) -> Instant {
        self.coming.map_or(now + LEAD, |(_, starts)| starts) + self.order.time
    }
}

impl Order {
    fn answer(&self, now: Instant, (to, starts): (SocketAddr, Instant)) -> SampleAnswer {
        let ms = |time: Duration| time.as_millis();
        SampleAnswer::Coming(Samples {
            starts_in_ms: u32::try_from(ms(starts - now)).unwrap_or(u32::MAX),
            rate_kbit: kbit(self.rate),
            to,
            ms: u16::try_from(ms(self.time)).unwrap_or(u16::MAX),
        })
    }
}

fn busy(left: Duration) -> SampleAnswer {
    SampleAnswer::Busy { retry_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX).saturating_add(50) }
}

fn kbit(rate: Rate) -> u32 {
    u32::try_from(rate.bits() / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SampleWish;

    const RATE: Rate = Rate::from_mbit(90);
    const PLACE: ([u8; 4], u16) = ([239, 194, 0, 9], 63_000);

    fn host(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 5000))
    }

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn probe(desk: &Desk, from: SocketAddr, mbit: u32, ms: u16) -> Probe {
        let samples = Some(SampleWish { way: SampleWay::Group, rate_kbit: mbit * 1000, ms, len: 1472 });
        Probe { client: ClientId(1), number: 1, samples, key: desk.key(from), len: 100, echo_len: 100 }
    }

    fn desk() -> Desk {
        Desk::new(Some(RATE), [7; 32])
    }

    fn order(step: Step) -> Order {
        match step {
            Step::Open(order) => order,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_echo_alone_is_answered_at_once_whatever_the_policy() {
        let mut off = Desk::new(None, [7; 32]);
        let ask = Probe { samples: None, ..probe(&off, host(1), 1, 1) };
        assert_eq!(off.handle_probe(at(0), host(1), &ask), Step::Answer(SampleAnswer::None));
        let ask = probe(&off, host(1), 1, 1);
        assert_eq!(off.handle_probe(at(0), host(1), &ask), Step::Answer(SampleAnswer::Off));
        assert_eq!(off.rate_kbit(), 0);
    }

    #[test]
    fn nobody_gets_samples_in_another_ones_name() {
        let mut desk = desk();
        let mut ask = probe(&desk, host(1), 50, 1000);
        assert_eq!(desk.handle_probe(at(0), host(2), &ask), Step::Answer(SampleAnswer::Key));
        ask.key = 0;
        assert_eq!(desk.handle_probe(at(0), host(1), &ask), Step::Answer(SampleAnswer::Key));
        assert_ne!(desk.key(host(1)), Desk::new(Some(RATE), [8; 32]).key(host(1)));
    }

    #[test]
    fn rate_and_time_are_limited_and_a_trickle_may_take_longer() {
        let granted = |mbit, ms| {
            let mut desk = desk();
            let ask = probe(&desk, host(1), mbit, ms);
            let order = order(desk.handle_probe(at(0), host(1), &ask));
            (order.rate, order.time)
        };
        assert_eq!(granted(50, 2000), (Rate::from_mbit(50), Duration::from_secs(2)));
        assert_eq!(granted(4000, 60_000), (RATE, LONGEST));
        assert_eq!(granted(1, 60_000), (TRICKLE, LONGEST_TRICKLE));
        assert_eq!(granted(0, 10).0, Rate::MIN);
    }

    #[test]
    fn a_question_asked_again_gets_the_same_samples_and_another_one_waits() {
        let mut desk = desk();
        let ask = probe(&desk, host(1), 90, 2000);
        order(desk.handle_probe(at(0), host(1), &ask));
        assert_eq!(desk.handle_probe(at(1), host(1), &ask), Step::Wait);
        let (answer, starts) = desk.open(at(2), PLACE.into());
        let samples = Samples { starts_in_ms: 1000, rate_kbit: 90_000, to: PLACE.into(), ms: 2000 };
        assert_eq!((answer, starts), (SampleAnswer::Coming(samples), at(1002)));
        let again = SampleAnswer::Coming(Samples { starts_in_ms: 500, ..samples });
        assert_eq!(desk.handle_probe(at(502), host(1), &ask), Step::Answer(again));
        let other = probe(&desk, host(2), 1, 100);
        let busy = |retry_ms| Step::Answer(SampleAnswer::Busy { retry_ms });
        assert_eq!(desk.handle_probe(at(502), host(2), &other), busy(2550));
    }

    #[test]
    fn after_samples_the_network_rests_as_long_as_it_was_loaded() {
        let mut desk = desk();
        let ask = probe(&desk, host(1), 90, 2000);
        order(desk.handle_probe(at(0), host(1), &ask));
        desk.open(at(0), PLACE.into());
        desk.close(at(3000), RATE.bytes_in(Duration::from_secs(2)));
        let next = Probe { number: 2, ..ask };
        assert_eq!(desk.handle_probe(at(4000), host(1), &next), Step::Answer(SampleAnswer::Busy { retry_ms: 1050 }));
        order(desk.handle_probe(at(5000), host(1), &next));
        // What came to nothing costs no rest.
        desk.give_up();
        order(desk.handle_probe(at(5001), host(1), &next));
    }
}
