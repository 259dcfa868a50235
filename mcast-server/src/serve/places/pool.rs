//! Places out of a pool of addresses, each taken in the site first.

use std::collections::HashSet;
use std::net::SocketAddr;

use multicast_core::address::{AddressPool, PortRange, find_free_port};
use multicast_core::engine::Lent;
use tracing::{info, warn};

use super::{Keeper, Trouble};

/// Places that are free for the next streams; so many are taken ahead.
const AHEAD: usize = 2;
/// Addresses tried at a look, of which other servers may have some.
const TRIES: usize = 64;

/// The pool of the settings.
pub(crate) struct Pool {
    pub(crate) addresses: AddressPool,
    /// It is one address: sessions share it, each with a port of its own.
    shared: bool,
}

impl Pool {
    pub(crate) fn new(addresses: AddressPool) -> Self {
        let shared = is_single(&addresses);
        Self { addresses, shared }
    }

    /// Takes places until enough are free, and gives back what is too much.
    pub(super) async fn refill(&mut self, keeper: &mut Keeper) -> Result<(), Trouble> {
        self.give_back(keeper);
        let (mut tries, mut foreign) = (0, Vec::new());
        let outcome = loop {
            let lent = keeper.engine.lent();
            if lent.free.len() >= AHEAD {
                break Ok(());
            }
            // One that is left is enough for the next stream.
            let none_left = || if lent.free.is_empty() { Err(Trouble::NoneLeft) } else { Ok(()) };
            let Some(place) = self.candidate(keeper, &lent) else { break none_left() };
            tries += 1;
            match keeper.take(place, self.shared).await {
                Ok(true) => {
                    if let Err(error) = keeper.engine.lend(place) {
                        warn!("{place} cannot be used: {error}");
                        keeper.give(place);
                        foreign.push(place.ip());
                        break none_left();
                    }
                }
                Ok(false) => {
                    foreign.push(place.ip());
                    if tries == TRIES {
                        break none_left();
                    }
                }
                Err(error) => {
                    foreign.push(place.ip());
                    break Err(Trouble::Site(error));
                }
            }
        };
        // Others may give theirs back until the next look.
        for address in foreign {
            self.addresses.free(address);
        }
        outcome
    }

    fn give_back(&mut self, keeper: &mut Keeper) {
        for place in keeper.give_ended() {
            self.addresses.free(place.ip());
        }
        let mut free = keeper.engine.lent().free;
        while free.len() > 2 * AHEAD
            && let Some(place) = free.pop()
        {
            self.recall(keeper, place);
        }
    }

    /// Takes a place back; false if a stream uses it, until whose end it stays this server's.
    fn recall(&mut self, keeper: &mut Keeper, place: SocketAddr) -> bool {
        let at_once = keeper.recall(place);
        if at_once {
            self.addresses.free(place.ip());
        }
        at_once
    }

    /// A group of the pool and a port that nobody here uses.
    fn candidate(&mut self, keeper: &mut Keeper, lent: &Lent) -> Option<SocketAddr> {
        let port = keeper.free_port(lent)?;
        let address = if self.shared { self.addresses.clone().allocate() } else { self.addresses.allocate() };
        Some(SocketAddr::new(address.ok()?, port))
    }

    /// After the site was out of reach another server may have what this one took.
    pub(super) async fn confirm(&mut self, keeper: &mut Keeper) {
        let lent = keeper.engine.lent();
        for place in lent.free.iter().chain(&lent.in_use) {
            match keeper.take(*place, self.shared).await {
                Ok(true) => {}
                Ok(false) => {
                    let in_use = !self.recall(keeper, *place);
                    info!(%place, in_use, "another server of the site has taken this group");
                }
                Err(_) => return,
            }
        }
    }
}

impl Keeper {
    /// A port that no stream of this server uses, and no other program of this host.
    pub(super) fn free_port(&mut self, lent: &Lent) -> Option<u16> {
        let used: HashSet<u16> =
            [&lent.free, &lent.in_use, &lent.recalled].into_iter().flatten().map(SocketAddr::port).collect();
        let seed = self.rng.u64(..);
        let mut ports = self.ports.from_seed(seed).filter(|port| !used.contains(port));
        ports.find_map(|port| find_free_port(PortRange::new(port, port).ok()?, self.local, 0).ok())
    }
}

/// Whether the pool is one address.
fn is_single(pool: &AddressPool) -> bool {
    let mut pool = pool.clone();
    pool.allocate().is_ok() && pool.allocate().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_shared_and_several_are_not() {
        let single = |text: &str| is_single(&AddressPool::parse(text, 1).unwrap());
        assert_eq!(["239.1.1.1", "239.1.1.1-239.1.1.2", "auto"].map(single), [true, false, false]);
    }
}
