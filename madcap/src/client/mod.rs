//! The client's state machine: wishes for addresses, each a lease of its own.

mod config;
mod event;
mod scope;
mod shared;
mod wish;

pub use config::{Config, Timing};
pub use event::{Asked, ChosenScope, Counters, Event, LostReason, Transmit};

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use scope::ScopeSearch;
use shared::Shared;
use wish::Wish;

use crate::wire::{Kind, Message};
use crate::{Lease, Time};

/// Gets as many addresses as are wished for, keeps them leased, and replaces those it loses.
///
/// With a configured server it asks that one: GETINFO, unless the scope is configured, then REQUEST. Without one
/// it asks the group: GETINFO, DISCOVER, and REQUEST to the server with the longest lease among the offers. What is
/// not answered is repeated ([`Timing`]), and after a rest all over again, for ever; what is refused, too.
///
/// A lease is renewed from its half on, ever more often, with its server by unicast; in its last eighth also with
/// the group, which goes beyond RFC 2730: only a server that knows the lease can answer, others' refusals are
/// ignored.
///
/// How it is driven:
///
/// 1. a command ([`wish`](Self::wish), [`adopt`](Self::adopt), [`release`](Self::release),
///    [`release_all`](Self::release_all)), or [`handle_datagram`](Self::handle_datagram), or
///    [`handle_timeout`](Self::handle_timeout);
/// 2. [`poll_transmit`](Self::poll_transmit) until `None`;
/// 3. [`poll_event`](Self::poll_event) until `None`;
/// 4. wait for a datagram, a command, or until [`poll_timeout`](Self::poll_timeout).
pub struct Client {
    shared: Shared,
    scope: ScopeSearch,
    wanted: usize,
    wishes: Vec<Wish>,
    /// What sending failed with, since the last answer.
    unsendable: Option<String>,
}

/// A message from a server.
struct Answer<'a> {
    from: SocketAddrV4,
    server: IpAddr,
    id: &'a [u8],
    message: Message<'a>,
}

impl Client {
    /// A client that wishes for nothing yet. Its transactions and lease identifiers come from `seed`, which must
    /// therefore differ from any other client's.
    pub fn new(config: Config, seed: u64) -> Self {
        let scope = ScopeSearch::new(config.scope);
        let shared = Shared::new(config, seed);
        Self { shared, scope, wanted: 0, wishes: Vec::new(), unsendable: None }
    }

    /// How many addresses are to be held from now on, those that are held already counted. What is held beyond
    /// that remains until it is [released](Self::release).
    pub fn wish(&mut self, now: Time, count: usize) {
        self.wanted = count;
        let mut surplus = self.alive().count().saturating_sub(count);
        for wish in self.wishes.iter_mut().rev().filter(|wish| wish.is_alive() && wish.lease().is_none()) {
            if surplus > 0 {
                wish.release(&mut self.shared, now);
                surplus -= 1;
            }
        }
        while self.alive().count() < self.wanted {
            let wish = Wish::new(&mut self.shared);
            self.wishes.push(wish);
        }
        self.advance(now);
    }

    /// Takes over a lease of an earlier life and renews it at once: [`Event::Renewed`] confirms it, until
    /// [`Event::Lost`] it may be used. It fulfils one of the wishes. Whether it was taken: one whose address is
    /// held already is not.
    pub fn adopt(&mut self, now: Time, lease: Lease) -> bool {
        if self.leases().any(|held| held.address == lease.address || held.id == lease.id) {
            return false;
        }
        match self.wishes.iter_mut().find(|wish| wish.is_alive() && wish.lease().is_none()) {
            Some(wish) => {
                let mut unneeded = std::mem::replace(wish, Wish::adopted(now, lease));
                unneeded.release(&mut self.shared, now);
                self.wishes.push(unneeded);
            }
            None => self.wishes.push(Wish::adopted(now, lease)),
        }
        self.wanted = self.wanted.max(self.alive().count());
        self.advance(now);
        true
    }

    /// Gives one address back, and wishes for one less. It must not be used from now on; [`Event::Released`] tells
    /// whether the server has heard. Whether it was held.
    pub fn release(&mut self, now: Time, address: Ipv4Addr) -> bool {
        let held = |wish: &&mut Wish| wish.lease().is_some_and(|lease| lease.address == address);
        let Some(wish) = self.wishes.iter_mut().find(held) else { return false };
        wish.release(&mut self.shared, now);
        self.wanted = self.wanted.saturating_sub(1);
        self.advance(now);
        true
    }

    /// Gives everything back and wishes for nothing; when that is done the client [is idle](Self::is_idle).
    pub fn release_all(&mut self, now: Time) {
        self.wanted = 0;
        for wish in &mut self.wishes {
            wish.release(&mut self.shared, now);
        }
        self.advance(now);
    }

    /// Whether nothing is wished for, held, or being given back.
    pub fn is_idle(&self) -> bool {
        self.wishes.is_empty()
    }

    /// What is held.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.wishes.iter().filter_map(Wish::lease)
    }

    /// Takes in a datagram that came from `from`.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddrV4, datagram: &[u8]) {
        self.shared.counters.received += 1;
        let Ok(message) = Message::decode(datagram) else {
            self.shared.counters.malformed += 1;
            return;
        };
        if self.handle_message(now, from, message) {
            self.unsendable = None;
        } else {
            self.shared.counters.unexpected += 1;
        }
        self.advance(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
    }

    /// The driver could not send to `to`; it is repeated as if it were lost.
    pub fn handle_send_error(&mut self, to: SocketAddrV4, error: &str) {
        self.shared.counters.unsendable += 1;
        if self.unsendable.as_deref() != Some(error) {
            self.unsendable = Some(error.into());
            self.shared.event(Event::CannotSend { to, error: error.into() });
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.shared.transmits.pop_front()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shared.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.wishes.iter().filter_map(Wish::deadline).chain(self.scope.deadline()).min()
    }

    /// What has passed since the start.
    pub fn counters(&self) -> Counters {
        self.shared.counters
    }

    fn alive(&self) -> impl Iterator<Item = &Wish> {
        self.wishes.iter().filter(|wish| wish.is_alive())
    }

    /// Whether it was an answer to anything.
    fn handle_message(&mut self, now: Time, from: SocketAddrV4, message: Message<'_>) -> bool {
        let (Kind::Offer | Kind::Ack | Kind::Nak) = message.kind else { return false };
        // Both are mandatory in what a server sends.
        let (Some(server), Some(id)) = (message.options.server, message.options.lease_id) else { return false };
        let answer = Answer { from, server, id, message };
        if self.scope.handle_answer(&mut self.shared, &answer) {
            return true;
        }
        let Some(index) = self.wishes.iter().position(|wish| wish.id.as_bytes() == answer.id) else { return false };
        let held: Vec<Ipv4Addr> = self.leases().map(|lease| lease.address).collect();
        self.wishes[index].handle_answer(&mut self.shared, now, &answer, |address| held.contains(&address))
    }

    /// Whatever can be done now.
    fn advance(&mut self, now: Time) {
        self.scope.handle_timeout(&mut self.shared, now);
        for wish in &mut self.wishes {
            wish.handle_timeout(&mut self.shared, now);
        }
        self.wishes.retain(|wish| !wish.is_done());
        if std::mem::take(&mut self.shared.scope_in_doubt) {
            self.scope.doubt(&self.shared);
        }
        if !self.wishes.iter().any(Wish::needs_scope) {
            return self.scope.stop();
        }
        self.scope.want(&mut self.shared, now);
        if let Some(scope) = self.scope.known() {
            for wish in self.wishes.iter_mut().filter(|wish| wish.needs_scope()) {
                wish.begin(&mut self.shared, now, scope);
            }
        }
    }
}
