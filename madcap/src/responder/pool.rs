//! Which address is whose, until when.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use crate::Time;

/// A range of addresses, and what is given of it.
pub(super) struct Pool {
    first: u32,
    last: u32,
    /// Where to look for a free one first: what was given back lately is given again as late as possible.
    next: u32,
    given: BTreeMap<u32, Given>,
    by_id: HashMap<Vec<u8>, u32>,
}

struct Given {
    id: Vec<u8>,
    until: Time,
    /// Else only held, for an offer.
    leased: bool,
}

impl Pool {
    /// `first` to `last`, both included; none if they are in the wrong order.
    pub(super) fn new(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        let (first, last) = (first.to_bits(), last.to_bits());
        Self { first, last, next: first, given: BTreeMap::new(), by_id: HashMap::new() }
    }

    pub(super) fn in_use(&self) -> usize {
        self.given.len()
    }

    /// Holds an address for an offer, or the one that the client has already.
    pub(super) fn hold(&mut self, id: &[u8], until: Time) -> Option<Ipv4Addr> {
        let address = self.take(id, until)?;
        let given = self.given.get_mut(&address)?;
        given.until = given.until.max(until);
        Some(address.into())
    }

    /// Leases what is held for the client, or has been leased to it, or else a free address.
    pub(super) fn lease(&mut self, id: &[u8], until: Time) -> Option<Ipv4Addr> {
        let address = self.take(id, until)?;
        let given = self.given.get_mut(&address)?;
        (given.until, given.leased) = (until, true);
        Some(address.into())
    }

    /// Prolongs a lease, if there is one.
    pub(super) fn renew(&mut self, id: &[u8], until: Time) -> Option<Ipv4Addr> {
        let address = *self.by_id.get(id)?;
        let given = self.given.get_mut(&address).filter(|given| given.leased)?;
        given.until = until;
        Some(address.into())
    }

    /// Takes back whatever the client has.
    pub(super) fn free(&mut self, id: &[u8]) -> Option<Ipv4Addr> {
        let address = self.by_id.remove(id)?;
        self.given.remove(&address);
        Some(address.into())
    }

    /// Takes back what is only held for the client.
    pub(super) fn let_go(&mut self, id: &[u8]) {
        let address = self.by_id.get(id);
        if address.and_then(|address| self.given.get(address)).is_some_and(|given| !given.leased) {
            self.free(id);
        }
    }

    /// Takes one address back whose time is over.
    pub(super) fn expire(&mut self, now: Time) -> Option<Ipv4Addr> {
        let (_, given) = self.given.iter().find(|(_, given)| given.until <= now)?;
        let id = given.id.clone();
        self.free(&id)
    }

    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.given.values().map(|given| given.until).min()
    }

    fn take(&mut self, id: &[u8], until: Time) -> Option<u32> {
        if let Some(address) = self.by_id.get(id) {
            return Some(*address);
        }
        let free = |address: &u32| !self.given.contains_key(address);
        let address = (self.next..=self.last).find(free).or_else(|| (self.first..self.next).find(free))?;
        self.next = if address == self.last { self.first } else { address + 1 };
        self.given.insert(address, Given { id: id.to_vec(), until, leased: false });
        self.by_id.insert(id.to_vec(), address);
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_is_given_once_and_given_again_when_its_time_is_over() {
        let address = |last| Ipv4Addr::new(239, 0, 1, last);
        let seconds = Duration::from_secs;
        let mut pool = Pool::new(address(1), address(2));
        assert_eq!(pool.lease(b"a", seconds(10)), Some(address(1)));
        assert_eq!(pool.lease(b"a", seconds(10)), Some(address(1)), "the same one to the same lease");
        assert_eq!(pool.hold(b"b", seconds(5)), Some(address(2)));
        assert_eq!(pool.lease(b"c", seconds(10)), None);
        assert_eq!(pool.renew(b"b", seconds(10)), None, "it was never leased");
        pool.let_go(b"a");
        pool.let_go(b"b");
        assert_eq!(pool.lease(b"c", seconds(12)), Some(address(2)), "only what was held is let go");
        assert_eq!(pool.next_expiry(), Some(seconds(10)));
        assert_eq!(pool.expire(seconds(10)), Some(address(1)));
        assert_eq!(pool.expire(seconds(10)), None);
        assert_eq!(pool.in_use(), 1);
    }
}
