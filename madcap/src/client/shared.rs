//! What all wishes of a client have in common, and one message with its repetitions.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::{Asked, Config, Counters, Event, Transmit};
use crate::wire::{Kind, Message, Options};
use crate::{LeaseId, Time};

/// Settings, randomness, and what is to go out.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) rng: fastrand::Rng,
    pub(super) transmits: VecDeque<Transmit>,
    pub(super) events: VecDeque<Event>,
    pub(super) counters: Counters,
    /// A scope has led to nothing.
    pub(super) scope_in_doubt: bool,
    xid: u32,
    /// To which questions nobody answers; that has been told.
    silent: Vec<Asked>,
}

impl Shared {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let xid = rng.u32(..);
        Self {
            config,
            rng,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            scope_in_doubt: false,
            xid,
            silent: Vec::new(),
        }
    }

    pub(super) fn new_id(&mut self) -> LeaseId {
        LeaseId::random(&mut self.rng)
    }

    /// The lease time to ask for, in seconds.
    pub(super) fn lease_time(&self) -> u32 {
        u32::try_from(self.config.lease_time.as_secs()).unwrap_or(u32::MAX).max(1)
    }

    /// Whom to ask when no server in particular is meant.
    pub(super) fn anybody(&self) -> SocketAddrV4 {
        self.config.server.unwrap_or(self.config.group)
    }

    /// Where the server is asked that has answered as `id` from `from`.
    pub(super) fn server_address(&self, id: IpAddr, from: SocketAddrV4) -> SocketAddrV4 {
        let usable = |v4: &Ipv4Addr| !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast();
        self.config.server.unwrap_or_else(|| match id {
            IpAddr::V4(v4) if usable(&v4) => SocketAddrV4::new(v4, self.config.group.port()),
            _ => SocketAddrV4::new(*from.ip(), self.config.group.port()),
        })
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn send(&mut self, to: SocketAddrV4, bytes: Vec<u8>) {
        self.counters.sent += 1;
        self.transmits.push_back(Transmit { to, bytes });
    }

    /// Encodes a message of a new transaction.
    pub(super) fn message(&mut self, kind: Kind, options: Options<'_>) -> (u32, Vec<u8>) {
        self.xid = self.xid.wrapping_add(1);
        (self.xid, Message { kind, xid: self.xid, options }.to_bytes())
    }

    /// `duration`, a little shorter or longer.
    pub(super) fn jittered(&mut self, duration: Duration) -> Duration {
        let jitter = self.config.timing.jitter.clamp(0.0, 0.9);
        let factor = 1.0 + jitter * (2.0 * self.rng.f64() - 1.0);
        // What is too long to be multiplied needs no jitter.
        Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(duration)
    }

    /// How long to rest after `failures` of a question, which is one at least.
    pub(super) fn rest(&mut self, failures: u32) -> Duration {
        let timing = &self.config.timing;
        let rest = timing.rest.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(timing.longest_rest);
        self.jittered(rest)
    }

    /// Nobody has answered a question.
    pub(super) fn is_silent(&mut self, asked: Asked, tries: u32) {
        if !self.silent.contains(&asked) {
            self.silent.push(asked);
            self.event(Event::ServerSilent { asked, tries });
        }
    }

    /// Somebody has.
    pub(super) fn answers(&mut self, asked: Asked, server: SocketAddrV4) {
        if self.silent.contains(&asked) {
            self.silent.retain(|silent| *silent != asked);
            self.event(Event::ServerAnswers { asked, server });
        }
    }
}

/// One message, repeated unchanged until it is answered (RFC 2730 §2.3).
pub(super) struct Exchange {
    /// When it was first sent: a lease begins no sooner at the server.
    pub(super) started: Time,
    pub(super) next: Time,
    asked: Asked,
    xid: u32,
    to: Vec<SocketAddrV4>,
    bytes: Vec<u8>,
    sent: u32,
    delay: Duration,
}

/// What has become of a message's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It is yet to come.
    Waits,
    /// The message has gone out once more.
    Repeated,
    /// It will not go out again.
    GivenUp,
}

impl Exchange {
    /// Sends a new message for the first time.
    pub(super) fn start(
        shared: &mut Shared,
        now: Time,
        asked: Asked,
        to: Vec<SocketAddrV4>,
        options: Options<'_>,
    ) -> Self {
        let kind = match asked {
            Asked::Scopes => Kind::GetInfo,
            Asked::Offers => Kind::Discover,
            Asked::Lease => Kind::Request,
            Asked::Renewal => Kind::Renew,
            Asked::Release => Kind::Release,
        };
        let (xid, bytes) = shared.message(kind, options);
        let delay = shared.config.timing.first;
        let mut exchange = Self { started: now, next: now, asked, xid, to, bytes, sent: 0, delay };
        exchange.send(shared, now);
        exchange
    }

    /// Whether a message with this transaction answers it.
    pub(super) fn is_answered_by(&self, message: &Message<'_>) -> bool {
        self.xid == message.xid
    }

    /// Whether it is sent to these.
    pub(super) fn goes_to(&self, to: &[SocketAddrV4]) -> bool {
        self.to == to
    }

    /// Repeats it if it is time to; tells when nobody answers. At most `longest` passes until the next time.
    pub(super) fn handle_timeout(&mut self, shared: &mut Shared, now: Time, longest: Duration) -> Due {
        if now < self.next {
            return Due::Waits;
        }
        if self.sent >= shared.config.timing.tries.max(1) {
            shared.is_silent(self.asked, self.sent);
            return Due::GivenUp;
        }
        self.send(shared, now);
        self.next = self.next.min(now.saturating_add(longest));
        Due::Repeated
    }

    fn send(&mut self, shared: &mut Shared, now: Time) {
        for to in &self.to {
            shared.send(*to, self.bytes.clone());
        }
        self.sent += 1;
        self.next = now.saturating_add(shared.jittered(self.delay));
        self.delay = self.delay.saturating_mul(2).min(shared.config.timing.longest);
    }
}
