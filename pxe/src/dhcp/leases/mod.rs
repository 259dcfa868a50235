//! Whose address is whose, as a state machine: one address is never two clients'.
//!
//! An address is offered, leased, or set aside because somebody else uses it. What is leased is told as
//! [`LeaseChange`]s, for whoever keeps them over a restart; offers are forgotten.

mod client;

pub use client::{ClientId, ParseClientIdError};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Pool, Time};
use crate::machine::Mac;

/// An offer stands for so long: firmware collects offers for some seconds before it chooses.
pub const OFFER_HOLD: Duration = Duration::from_secs(30);
/// Not before this an offer gives way to another client, when no address is free.
const OFFER_GRACE: Duration = Duration::from_secs(5);
/// An address that a client found in use is set aside for so long.
pub const DECLINE_HOLD: Duration = Duration::from_secs(600);
/// A pool without a free address is searched again after this: reservations come and go without a word.
const SEARCH_AGAIN: Duration = Duration::from_secs(1);

/// An address that is a client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which one.
    pub address: Ipv4Addr,
    /// Whose.
    pub client: ClientId,
    /// The client's card.
    pub mac: Mac,
    /// When it ends.
    pub until: Time,
}

/// What is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseChange {
    /// An address is a client's, or is for longer.
    Granted(Lease),
    /// It is no more.
    Ended {
        /// What it was.
        lease: Lease,
        /// Why.
        why: End,
    },
}

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Its time was over.
    Expired,
    /// The client gave it back.
    Released,
    /// The client found the address in use by somebody else.
    Declined,
    /// The client has another address now.
    Moved,
    /// An operator took it back.
    Withdrawn,
}

impl End {
    /// As it stands in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Released => "released",
            Self::Declined => "declined",
            Self::Moved => "moved",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// Who wants an address, and which one.
pub(super) struct Wish<'a> {
    pub(super) client: &'a ClientId,
    pub(super) mac: Mac,
    /// The address that the site keeps for this card.
    pub(super) reserved: Option<Ipv4Addr>,
    /// The address that the client asks for.
    pub(super) requested: Option<Ipv4Addr>,
    /// Whether an offer that is old, or an address that was set aside, may give way to it if no address is free.
    pub(super) may_evict: bool,
    /// Whether an address that it has may stay its own: the pool may have changed since, and what the site keeps for
    /// whom.
    pub(super) may_keep: &'a dyn Fn(Ipv4Addr) -> bool,
}

/// Addresses that must not be given: a server's, a router's, another machine's. Reserved ones are asked for too.
pub(super) type Blocked<'a> = &'a dyn Fn(Ipv4Addr) -> bool;

/// All addresses.
pub(super) struct Leases {
    rooms: Vec<Room>,
    held: BTreeMap<Ipv4Addr, Held>,
    /// The one address of a client in a room.
    clients: BTreeMap<(usize, ClientId), Ipv4Addr>,
    due: BTreeSet<(Time, Ipv4Addr)>,
    changes: VecDeque<LeaseChange>,
}

/// A pool and what is known of it.
struct Room {
    pool: Pool,
    /// Addresses of the pool's range that are held.
    used: u32,
    /// No free address was found then, and none has become free since.
    full: Option<Time>,
}

struct Held {
    room: usize,
    state: State,
    since: Time,
    until: Time,
}

#[derive(PartialEq)]
enum State {
    Offered(ClientId, Mac),
    Leased(ClientId, Mac),
    Declined,
}

impl State {
    fn holder(&self) -> Option<(&ClientId, Mac)> {
        match self {
            Self::Offered(client, mac) | Self::Leased(client, mac) => Some((client, *mac)),
            Self::Declined => None,
        }
    }
}

impl Leases {
    /// Pools of which every address is free.
    pub(super) fn new(pools: &[Pool]) -> Self {
        let rooms = pools.iter().map(|pool| Room { pool: pool.clone(), used: 0, full: None }).collect();
        Self { rooms, held: BTreeMap::new(), clients: BTreeMap::new(), due: BTreeSet::new(), changes: VecDeque::new() }
    }

    /// Takes over a lease of an earlier life; whether its address is in one of the networks and free.
    pub(super) fn load(&mut self, now: Time, lease: Lease) -> bool {
        let Some(room) = self.room_of(lease.address) else { return false };
        let known = self.clients.contains_key(&(room, lease.client.clone()));
        if lease.until <= now || known || self.held.contains_key(&lease.address) {
            return false;
        }
        let state = State::Leased(lease.client, lease.mac);
        self.insert(lease.address, Held { room, state, since: now, until: lease.until });
        true
    }

    /// The room whose network an address is in.
    pub(super) fn room_of(&self, address: Ipv4Addr) -> Option<usize> {
        self.rooms.iter().position(|room| room.pool.network.contains(address))
    }

    pub(super) fn pool(&self, room: usize) -> Option<&Pool> {
        self.rooms.get(room).map(|room| &room.pool)
    }

    /// What is leased now.
    pub(super) fn leases(&self) -> impl Iterator<Item = Lease> {
        self.held.iter().filter_map(|(address, held)| held.lease(*address))
    }

    /// The address that a client has, if it is leased.
    pub(super) fn lease_of(&self, room: usize, client: &ClientId) -> Option<Ipv4Addr> {
        let address = *self.clients.get(&(room, client.clone()))?;
        matches!(self.held.get(&address)?.state, State::Leased(..)).then_some(address)
    }

    /// Whether an address is offered, leased or set aside.
    pub(super) fn is_held(&self, address: Ipv4Addr) -> bool {
        self.held.contains_key(&address)
    }

    /// Holds an address for a client: the reserved one, the one that it has, the one that it asks for, or a free one,
    /// in this order. `None` if there is none.
    pub(super) fn offer(&mut self, now: Time, room: usize, wish: &Wish<'_>, blocked: Blocked<'_>) -> Option<Ipv4Addr> {
        let current = self.clients.get(&(room, wish.client.clone())).copied();
        let free = |address: &Ipv4Addr| {
            let inside = self.rooms.get(room).is_some_and(|room| room.pool.contains(*address));
            inside && !blocked(*address) && !self.held.contains_key(address)
        };
        let address = wish
            .reserved
            .filter(|address| self.may_claim(room, wish, *address))
            .or(current.filter(|address| (wish.may_keep)(*address)))
            .or(wish.requested.filter(free))
            .or_else(|| self.search(now, room, wish, blocked))?;
        if current == Some(address) {
            self.prolong_offer(now, address);
        } else {
            self.clear(room, wish.client, address);
            let state = State::Offered(wish.client.clone(), wish.mac);
            self.insert(address, Held { room, state, since: now, until: now + OFFER_HOLD });
        }
        Some(address)
    }

    /// Leases `address` to a client if it is the client's already, or free and to be had; whether it was.
    pub(super) fn grant(
        &mut self,
        now: Time,
        room: usize,
        wish: &Wish<'_>,
        address: Ipv4Addr,
        blocked: Blocked<'_>,
    ) -> bool {
        let Some(Room { pool, .. }) = self.rooms.get(room) else { return false };
        let until = now + pool.lease;
        let own = self.held.get(&address).is_some_and(|held| held.is_of(wish.client)) && (wish.may_keep)(address);
        let reserved = wish.reserved == Some(address) && self.may_claim(room, wish, address);
        let free = pool.contains(address) && !blocked(address) && !self.held.contains_key(&address);
        if !(own || reserved || free) {
            return false;
        }
        self.clear(room, wish.client, address);
        self.remove(address);
        let state = State::Leased(wish.client.clone(), wish.mac);
        self.insert(address, Held { room, state, since: now, until });
        let lease = Lease { address, client: wish.client.clone(), mac: wish.mac, until };
        self.changes.push_back(LeaseChange::Granted(lease));
        true
    }

    /// Forgets what was offered to a client that took another server's offer; a lease stays.
    pub(super) fn drop_offer(&mut self, room: usize, client: &ClientId) {
        let Some(&address) = self.clients.get(&(room, client.clone())) else { return };
        if self.held.get(&address).is_some_and(|held| matches!(held.state, State::Offered(..))) {
            self.remove(address);
        }
    }

    /// Takes an address back from its client; whether it was the client's.
    pub(super) fn release(&mut self, client: &ClientId, address: Ipv4Addr) -> bool {
        let own = self.held.get(&address).is_some_and(|held| held.is_of(client));
        if own {
            self.end(address, End::Released);
        }
        own
    }

    /// Forgets whose an address is, so that another client can have it; whether it was anybody's.
    pub(super) fn withdraw(&mut self, address: Ipv4Addr) -> bool {
        let held = self.held.contains_key(&address);
        self.end(address, End::Withdrawn);
        held
    }

    /// Sets aside an address that its client found in use; whether it was the client's.
    pub(super) fn decline(&mut self, now: Time, client: &ClientId, address: Ipv4Addr) -> bool {
        let Some(held) = self.held.get(&address).filter(|held| held.is_of(client)) else { return false };
        let room = held.room;
        self.end(address, End::Declined);
        self.insert(address, Held { room, state: State::Declined, since: now, until: now + DECLINE_HOLD });
        true
    }

    /// Ends what has run out.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(&(until, address)) = self.due.first() {
            if until > now {
                break;
            }
            self.end(address, End::Expired);
        }
    }

    /// When [`expire`](Self::expire) is next due.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.due.first().map(|(until, _)| *until)
    }

    pub(super) fn poll_change(&mut self) -> Option<LeaseChange> {
        self.changes.pop_front()
    }

    /// Whether the card of `wish` may have this address that the site keeps for it: it is free, or the same card's
    /// under another identifier, as firmware and systems send different ones.
    fn may_claim(&self, room: usize, wish: &Wish<'_>, address: Ipv4Addr) -> bool {
        let inside = self.rooms.get(room).is_some_and(|room| room.pool.network.is_host(address));
        let free = match self.held.get(&address) {
            None => true,
            Some(held) => held.state.holder().is_some_and(|(client, mac)| client == wish.client || mac == wish.mac),
        };
        inside && free
    }

    /// A free address of the pool; each card begins its search at a place of its own, so that it finds the same one
    /// again, and neighbours do not meet.
    fn search(&mut self, now: Time, room: usize, wish: &Wish<'_>, blocked: Blocked<'_>) -> Option<Ipv4Addr> {
        let Room { pool, used, full } = self.rooms.get(room)?;
        let size = pool.size();
        let searched = full.is_some_and(|at| now < at + SEARCH_AGAIN);
        if *used < size && !searched {
            let start = spread(wish.mac) % u64::from(size);
            let free = (0..u64::from(size))
                .map(|step| Ipv4Addr::from(u32::from(pool.first) + ((start + step) % u64::from(size)) as u32))
                .find(|address| {
                    !self.held.contains_key(address) && pool.network.is_host(*address) && !blocked(*address)
                });
            if free.is_some() {
                return free;
            }
            self.rooms.get_mut(room)?.full = Some(now);
        }
        if wish.may_evict { self.evict(now, room, blocked) } else { None }
    }

    /// Frees an address that was offered a while ago and not taken, or set aside.
    fn evict(&mut self, now: Time, room: usize, blocked: Blocked<'_>) -> Option<Ipv4Addr> {
        let pool = &self.rooms.get(room)?.pool;
        let gives_way = |address: &Ipv4Addr| {
            let held = self.held.get(address);
            held.is_some_and(|held| !matches!(held.state, State::Leased(..)) && held.since + OFFER_GRACE <= now)
        };
        let address = self
            .due
            .iter()
            .take_while(|(until, _)| *until <= now + DECLINE_HOLD)
            .map(|(_, address)| *address)
            .find(|address| pool.contains(*address) && gives_way(address) && !blocked(*address))?;
        let full = self.rooms.get(room)?.full;
        self.remove(address);
        // It is given away at once, so the pool is as full as before.
        self.rooms.get_mut(room)?.full = full;
        Some(address)
    }

    fn prolong_offer(&mut self, now: Time, address: Ipv4Addr) {
        if let Some(held) = self.held.get_mut(&address).filter(|held| matches!(held.state, State::Offered(..))) {
            self.due.remove(&(held.until, address));
            (held.since, held.until) = (now, now + OFFER_HOLD);
            self.due.insert((held.until, address));
        }
    }

    /// Makes room for a client at `address`: what it has elsewhere ends, and what the address was before.
    fn clear(&mut self, room: usize, client: &ClientId, address: Ipv4Addr) {
        let elsewhere = self.clients.get(&(room, client.clone())).copied().filter(|other| *other != address);
        if let Some(other) = elsewhere {
            self.end(other, End::Moved);
        }
        if self.held.get(&address).is_some_and(|held| !held.is_of(client)) {
            self.end(address, End::Moved);
        }
    }

    fn insert(&mut self, address: Ipv4Addr, held: Held) {
        if let Some((client, _)) = held.state.holder() {
            self.clients.insert((held.room, client.clone()), address);
        }
        if let Some(room) = self.rooms.get_mut(held.room).filter(|room| room.pool.contains(address)) {
            room.used += 1;
        }
        self.due.insert((held.until, address));
        self.held.insert(address, held);
    }

    /// Removes what is held, and tells of it if it was a lease.
    fn end(&mut self, address: Ipv4Addr, why: End) {
        let lease = self.remove(address).and_then(|held| held.lease(address));
        self.changes.extend(lease.map(|lease| LeaseChange::Ended { lease, why }));
    }

    fn remove(&mut self, address: Ipv4Addr) -> Option<Held> {
        let held = self.held.remove(&address)?;
        self.due.remove(&(held.until, address));
        if let Some((client, _)) = held.state.holder() {
            self.clients.remove(&(held.room, client.clone()));
        }
        if let Some(room) = self.rooms.get_mut(held.room).filter(|room| room.pool.contains(address)) {
            room.used -= 1;
            room.full = None;
        }
        Some(held)
    }
}

impl Held {
    fn is_of(&self, client: &ClientId) -> bool {
        self.state.holder().is_some_and(|(own, _)| own == client)
    }

    fn lease(&self, address: Ipv4Addr) -> Option<Lease> {
        match &self.state {
            State::Leased(client, mac) => Some(Lease { address, client: client.clone(), mac: *mac, until: self.until }),
            State::Offered(..) | State::Declined => None,
        }
    }
}

/// A number that scatters cards of one maker, whose addresses differ in their last bytes only (FNV-1a).
fn spread(mac: Mac) -> u64 {
    mac.0.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
