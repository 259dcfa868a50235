//! One wish for an address: from asking for it to giving it back.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::shared::{Due, Exchange, Shared};
use super::{Answer, Asked, Event, LostReason};
use crate::lease::is_usable_group;
use crate::wire::{Kind, Options};
use crate::{Lease, LeaseId, Refusal, Time};

/// By how many seconds a lease may begin later than now: that much is a clock's rounding.
const START_TOLERANCE: u32 = 5;

/// A wish and what has become of it.
pub(super) struct Wish {
    pub(super) id: LeaseId,
    stage: Stage,
    /// Attempts in a row that came to nothing.
    failures: u32,
    /// What was told last, until it succeeds.
    refused: Option<Refusal>,
}

enum Stage {
    /// Until a scope is known.
    NeedsScope,
    Discovering {
        scope: Ipv4Addr,
        exchange: Exchange,
        best: Option<Offer>,
        /// Until when better offers are waited for.
        decide: Time,
    },
    Requesting {
        exchange: Exchange,
        /// The chosen server; a configured one need not be named.
        server: Option<IpAddr>,
    },
    Resting {
        until: Time,
    },
    Held {
        lease: Lease,
        /// When it was granted or adopted.
        since: Time,
        renewal: Renewal,
    },
    Releasing {
        address: Option<Ipv4Addr>,
        exchange: Exchange,
    },
    Done,
}

enum Renewal {
    At(Time),
    Asking(Exchange),
}

struct Offer {
    server: IpAddr,
    lease_time: u32,
}

impl Wish {
    pub(super) fn new(shared: &mut Shared) -> Self {
        Self { id: shared.new_id(), stage: Stage::NeedsScope, failures: 0, refused: None }
    }

    /// A lease of an earlier life: to be renewed at once.
    pub(super) fn adopted(now: Time, lease: Lease) -> Self {
        let stage = Stage::Held { lease, since: now, renewal: Renewal::At(now) };
        Self { id: lease.id, stage, failures: 0, refused: None }
    }

    pub(super) fn needs_scope(&self) -> bool {
        matches!(self.stage, Stage::NeedsScope)
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        match &self.stage {
            Stage::Held { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Whether it is still wished for.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.stage, Stage::Releasing { .. } | Stage::Done)
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match &self.stage {
            Stage::NeedsScope | Stage::Done => None,
            Stage::Discovering { exchange, best: None, .. } => Some(exchange.next),
            Stage::Discovering { decide, .. } => Some(*decide),
            Stage::Requesting { exchange, .. } | Stage::Releasing { exchange, .. } => Some(exchange.next),
            Stage::Resting { until } => Some(*until),
            Stage::Held { lease, renewal: Renewal::At(at), .. } => Some(lease.expires.min(*at)),
            Stage::Held { lease, renewal: Renewal::Asking(exchange), .. } => Some(lease.expires.min(exchange.next)),
        }
    }

    /// Asks for an address of `scope`: a configured server at once, others by DISCOVER.
    pub(super) fn begin(&mut self, shared: &mut Shared, now: Time, scope: Ipv4Addr) {
        if shared.config.server.is_some() {
            return self.request(shared, now, scope, None);
        }
        let options = Options { lease_time: Some(shared.lease_time()), scope: Some(scope), ..Options::default() };
        let exchange = self.exchange(shared, now, Asked::Offers, options);
        self.stage = Stage::Discovering { scope, exchange, best: None, decide: Time::MAX };
    }

    /// Gives up: an address is given back, a wish that has none yet may still have been granted one.
    pub(super) fn release(&mut self, shared: &mut Shared, now: Time) {
        let (address, to) = match &self.stage {
            Stage::Held { lease, .. } => (Some(lease.address), shared.config.server.unwrap_or(lease.server)),
            Stage::Requesting { server, .. } => {
                let anybody = shared.anybody();
                (None, server.map_or(anybody, |id| shared.server_address(id, anybody)))
            }
            Stage::Releasing { .. } => return,
            _ => return self.stage = Stage::Done,
        };
        let options = Options { lease_id: Some(self.id.as_bytes()), ..Options::default() };
        let exchange = Exchange::start(shared, now, Asked::Release, vec![to], options);
        self.stage = Stage::Releasing { address, exchange };
    }

    /// Whether an answer was to what is being asked. `taken`: whether another wish has an address.
    pub(super) fn handle_answer(
        &mut self,
        shared: &mut Shared,
        now: Time,
        answer: &Answer<'_>,
        taken: impl Fn(Ipv4Addr) -> bool,
    ) -> bool {
        let Some(exchange) = self.asking().filter(|exchange| exchange.is_answered_by(&answer.message)) else {
            return false;
        };
        let started = exchange.started;
        match (&self.stage, answer.message.kind) {
            (Stage::Discovering { .. }, Kind::Offer) => self.handle_offer(shared, now, answer),
            (Stage::Requesting { server, .. }, Kind::Ack | Kind::Nak) => {
                if server.is_some_and(|server| server != answer.server) {
                    return false;
                }
                if answer.message.kind == Kind::Ack && answer.message.answers(Kind::Request).is_err() {
                    shared.counters.malformed += 1;
                    return true;
                }
                shared.answers(Asked::Lease, answer.from);
                match grant(shared, started, self.id, answer, taken) {
                    Ok(lease) => self.hold(shared, now, lease),
                    Err(refusal) => self.refuse(shared, now, refusal, answer.message.kind == Kind::Ack),
                }
                true
            }
            (Stage::Held { .. }, Kind::Ack | Kind::Nak) => self.handle_renewal(shared, now, answer, started),
            (Stage::Releasing { address, .. }, kind @ (Kind::Ack | Kind::Nak)) => {
                shared.answers(Asked::Release, answer.from);
                released(shared, *address, self.id, kind == Kind::Ack);
                self.stage = Stage::Done;
                true
            }
            _ => false,
        }
    }

    pub(super) fn handle_timeout(&mut self, shared: &mut Shared, now: Time) {
        let longest = shared.config.timing.longest;
        match &mut self.stage {
            Stage::NeedsScope | Stage::Done => {}
            Stage::Discovering { scope, exchange, best, decide } => match best {
                Some(best) if now >= *decide => {
                    let (scope, server) = (*scope, best.server);
                    self.request(shared, now, scope, Some(server));
                }
                Some(_) => {}
                None if exchange.handle_timeout(shared, now, longest) == Due::GivenUp => self.fail(shared, now),
                None => {}
            },
            Stage::Requesting { exchange, .. } => {
                if exchange.handle_timeout(shared, now, longest) == Due::GivenUp {
                    self.fail(shared, now);
                }
            }
            Stage::Resting { until } => {
                if now >= *until {
                    self.stage = Stage::NeedsScope;
                }
            }
            Stage::Held { lease, .. } if now >= lease.expires => {
                let address = lease.address;
                self.lose(shared, address, LostReason::Expired);
            }
            Stage::Held { .. } => self.keep(shared, now),
            Stage::Releasing { address, exchange } => {
                if exchange.handle_timeout(shared, now, longest) == Due::GivenUp {
                    released(shared, *address, self.id, false);
                    self.stage = Stage::Done;
                }
            }
        }
    }

    fn asking(&self) -> Option<&Exchange> {
        match &self.stage {
            Stage::Discovering { exchange, .. }
            | Stage::Requesting { exchange, .. }
            | Stage::Releasing { exchange, .. }
            | Stage::Held { renewal: Renewal::Asking(exchange), .. } => Some(exchange),
            _ => None,
        }
    }

    fn exchange(&self, shared: &mut Shared, now: Time, asked: Asked, options: Options<'_>) -> Exchange {
        let to = vec![shared.anybody()];
        Exchange::start(shared, now, asked, to, Options { lease_id: Some(self.id.as_bytes()), ..options })
    }

    fn handle_offer(&mut self, shared: &mut Shared, now: Time, answer: &Answer<'_>) -> bool {
        shared.answers(Asked::Offers, answer.from);
        let wanted = shared.lease_time();
        let timing = &shared.config.timing;
        let Stage::Discovering { scope, exchange, best, decide } = &mut self.stage else { return false };
        let options = &answer.message.options;
        let lease_time = options.lease_time.unwrap_or_default();
        let named = options.ranges.as_ref().and_then(|ranges| ranges.first());
        if let Some(range) = named.filter(|range| !is_usable_group(range.first)) {
            let refusal = Refusal::BadAddress { server: answer.server, address: range.first };
            self.tell(shared, refusal);
            return true;
        }
        if lease_time == 0 || options.scope != Some(*scope) {
            return true;
        }
        if best.is_none() {
            // No longer than a server can be trusted to hold its offer (§2.2.2).
            *decide = exchange.next.min(now.saturating_add(timing.first));
        }
        if best.as_ref().is_none_or(|best| best.lease_time < lease_time) {
            *best = Some(Offer { server: answer.server, lease_time });
        }
        if lease_time >= wanted {
            let scope = *scope;
            self.request(shared, now, scope, Some(answer.server));
        }
        true
    }

    /// To the group if a server is named, so that the others let go of what they hold (§2.2.4).
    fn request(&mut self, shared: &mut Shared, now: Time, scope: Ipv4Addr, server: Option<IpAddr>) {
        let lease_time = Some(shared.lease_time());
        let options = Options { lease_time, server, scope: Some(scope), ..Options::default() };
        let exchange = self.exchange(shared, now, Asked::Lease, options);
        self.stage = Stage::Requesting { exchange, server };
    }

    fn hold(&mut self, shared: &mut Shared, now: Time, lease: Lease) {
        self.failures = 0;
        self.refused = None;
        let renewal = Renewal::At(half_way(now, lease.expires));
        let again = matches!(self.stage, Stage::Held { .. });
        self.stage = Stage::Held { lease, since: now, renewal };
        shared.event(if again { Event::Renewed { lease } } else { Event::Leased { lease } });
    }

    /// Renews when it is time to: from half of the lease on, more often towards its end; in its last eighth with
    /// any server of the group, as ours may have got another address.
    fn keep(&mut self, shared: &mut Shared, now: Time) {
        let Stage::Held { lease, since, renewal } = &mut self.stage else { return };
        let left = lease.expires.saturating_sub(now);
        let whole = lease.expires.saturating_sub(*since);
        let mut to = vec![shared.config.server.unwrap_or(lease.server)];
        if shared.config.server.is_none() && left <= whole / 8 {
            to.push(shared.config.group);
        }
        let timing = &shared.config.timing;
        let (first, longest_rest) = (timing.first, timing.longest_rest);
        let begin = match renewal {
            Renewal::At(at) => now >= *at,
            Renewal::Asking(exchange) if now >= exchange.next && !exchange.goes_to(&to) => true,
            Renewal::Asking(exchange) => {
                if exchange.handle_timeout(shared, now, (left / 4).max(first)) == Due::GivenUp {
                    let rest = (left / 4).clamp(first, longest_rest.max(first));
                    *renewal = Renewal::At(now.saturating_add(shared.jittered(rest)));
                }
                false
            }
        };
        if begin {
            let lease_time = Some(shared.lease_time());
            let options = Options { lease_time, lease_id: Some(self.id.as_bytes()), ..Options::default() };
            *renewal = Renewal::Asking(Exchange::start(shared, now, Asked::Renewal, to, options));
        }
    }

    fn handle_renewal(&mut self, shared: &mut Shared, now: Time, answer: &Answer<'_>, started: Time) -> bool {
        let Stage::Held { lease, renewal, .. } = &mut self.stage else { return false };
        let old = *lease;
        let from_ours =
            shared.config.server.is_some() || shared.server_address(answer.server, answer.from) == old.server;
        match (answer.message.kind, answer.message.options.error) {
            // In the last eighth servers are asked that cannot know the lease.
            (Kind::Nak, _) if !from_ours => return false,
            (Kind::Nak, error) => {
                shared.answers(Asked::Renewal, answer.from);
                let Some(error) = error else { return false };
                let refusal = Refusal::from_nak(answer.server, error);
                if matches!(refusal, Refusal::UnknownLease { .. }) {
                    self.lose(shared, old.address, LostReason::Refused(refusal));
                    return true;
                }
                // It is ours until it ends all the same.
                let timing = &shared.config.timing;
                let left = old.expires.saturating_sub(now);
                let rest = (left / 2).clamp(timing.first, timing.longest_rest.max(timing.first));
                *renewal = Renewal::At(now.saturating_add(rest));
                self.tell(shared, refusal);
            }
            _ => {
                // That the scope and the address are told again is mandatory; that they are missing does no harm.
                let options = &answer.message.options;
                let Some(seconds) = options.lease_time.filter(|seconds| *seconds > 0) else { return false };
                shared.answers(Asked::Renewal, answer.from);
                if let Some(ranges) = &options.ranges
                    && !ranges.iter().any(|range| range.contains(old.address))
                {
                    let refusal = match ranges.first() {
                        Some(range) => Refusal::BadAddress { server: answer.server, address: range.first },
                        None => Refusal::NoAddress { server: answer.server },
                    };
                    self.lose(shared, old.address, LostReason::Refused(refusal));
                    return true;
                }
                let expires = started.saturating_add(Duration::from_secs(u64::from(seconds)));
                let server = shared.server_address(answer.server, answer.from);
                self.hold(shared, now, Lease { expires, server, ..old });
            }
        }
        true
    }

    /// The server says no, or gives what is of no use; then it has to take that back.
    fn refuse(&mut self, shared: &mut Shared, now: Time, refusal: Refusal, granted: bool) {
        if granted {
            let to = match &self.stage {
                Stage::Requesting { server: Some(server), .. } => shared.server_address(*server, shared.config.group),
                _ => shared.anybody(),
            };
            let options = Options { lease_id: Some(self.id.as_bytes()), ..Options::default() };
            let (_, bytes) = shared.message(Kind::Release, options);
            shared.send(to, bytes);
        }
        self.tell(shared, refusal);
        // What the server thinks of the old one is not known.
        self.id = shared.new_id();
        self.fail(shared, now);
    }

    fn fail(&mut self, shared: &mut Shared, now: Time) {
        self.failures += 1;
        self.stage = Stage::Resting { until: now.saturating_add(shared.rest(self.failures)) };
        // It may have been another server's, or be no more.
        shared.scope_in_doubt = true;
    }

    fn tell(&mut self, shared: &mut Shared, refusal: Refusal) {
        if self.refused.as_ref() != Some(&refusal) {
            self.refused = Some(refusal.clone());
            shared.event(Event::Refused { error: refusal });
        }
    }

    fn lose(&mut self, shared: &mut Shared, address: Ipv4Addr, why: LostReason) {
        shared.event(Event::Lost { address, id: self.id, why });
        self.id = shared.new_id();
        self.stage = Stage::NeedsScope;
    }
}

/// The lease that an answer to REQUEST grants.
fn grant(
    shared: &Shared,
    started: Time,
    id: LeaseId,
    answer: &Answer<'_>,
    taken: impl Fn(Ipv4Addr) -> bool,
) -> Result<Lease, Refusal> {
    let server = answer.server;
    let options = &answer.message.options;
    if let Some(error) = options.error.filter(|_| answer.message.kind == Kind::Nak) {
        return Err(Refusal::from_nak(server, error));
    }
    let range = options.ranges.iter().flatten().find(|range| range.count > 0);
    let address = range.ok_or(Refusal::NoAddress { server })?.first;
    if !is_usable_group(address) || address == *shared.config.group.ip() {
        return Err(Refusal::BadAddress { server, address });
    }
    if taken(address) {
        return Err(Refusal::Twice { server, address });
    }
    let seconds = options.lease_time.unwrap_or_default();
    // A start time without the server's clock beside it says nothing (§2.12).
    let delay = match (options.start_time, options.current_time) {
        (Some(start), Some(current)) => start.saturating_sub(current),
        _ => 0,
    };
    if seconds == 0 || delay > START_TOLERANCE {
        return Err(Refusal::NotNow { server, address, seconds, delay });
    }
    Ok(Lease {
        address,
        id,
        server: shared.server_address(server, answer.from),
        scope: options.scope.unwrap_or(address),
        expires: started.saturating_add(Duration::from_secs(u64::from(seconds))),
    })
}

fn released(shared: &mut Shared, address: Option<Ipv4Addr>, id: LeaseId, confirmed: bool) {
    if let Some(address) = address {
        shared.event(Event::Released { address, id, confirmed });
    }
}

fn half_way(now: Time, end: Time) -> Time {
    now + end.saturating_sub(now) / 2
}
