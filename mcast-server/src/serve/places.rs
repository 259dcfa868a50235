//! Groups and ports for the streams: taken in the site, so that no two servers use the same, and lent to
//! the engine ahead of need.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use multicast_core::address::{AddressPool, PortRange, find_free_port};
use multicast_core::engine::{Engine, Lent};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use crate::site::{Site, SiteError};

/// Places that are free for the next streams; so many are taken ahead.
const AHEAD: usize = 2;
/// Between two looks, if nobody asks for one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at whether what was taken is still ours.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(10);
/// Addresses tried at a look, of which other servers may have some.
const TRIES: usize = 64;

/// Keeps the engine in places.
pub(crate) struct Places {
    pub(crate) engine: Arc<Engine>,
    pub(crate) site: Site,
    pub(crate) server: String,
    /// Told when somebody found none.
    pub(crate) wanted: Arc<Notify>,
    /// By which its ports are tried: the interface's own address.
    pub(crate) local: IpAddr,
    pub(crate) ports: PortRange,
    pub(crate) pool: AddressPool,
    pub(crate) seed: u64,
}

impl Places {
    /// Runs until `stop` says true, and gives everything back.
    pub(crate) async fn keep(mut self, mut stop: watch::Receiver<bool>) {
        let shared = is_single(&self.pool);
        let (mut told, mut since_confirm) = (false, Duration::ZERO);
        loop {
            let outcome = self.refill(shared).await;
            self.tell(outcome, &mut told);
            if since_confirm >= CONFIRM_INTERVAL {
                since_confirm = Duration::ZERO;
                self.confirm(shared).await;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => since_confirm += LOOK_INTERVAL,
                () = self.wanted.notified() => {}
                _ = stop.wait_for(|stops| *stops) => break,
            }
        }
        if let Err(error) = self.site.free_places_of(&self.server).await {
            warn!("the site still counts this server's groups as used: {}", crate::exit::chain(&error));
        }
    }

    fn tell(&self, outcome: Result<(), Failure>, told: &mut bool) {
        match outcome {
            Ok(()) => *told = false,
            Err(failure) if !std::mem::replace(told, true) => match failure {
                Failure::Site(error) => warn!("no group can be taken in the site: {}", crate::exit::chain(&error)),
                Failure::NoneLeft => warn!(pool = %self.pool, "no group address or port is left for another session"),
            },
            Err(_) => {}
        }
    }

    /// Takes places until enough are free, and gives back what is too much.
    async fn refill(&mut self, shared: bool) -> Result<(), Failure> {
        let mut lent = self.engine.lent();
        while lent.free.len() > 2 * AHEAD
            && let Some(place) = lent.free.pop()
        {
            if self.engine.recall(place) {
                self.site.free_place(&self.server, place.ip(), place.port()).await.map_err(Failure::Site)?;
                self.pool.free(place.ip());
            }
        }
        let mut tries = 0;
        let mut foreign = Vec::new();
        let outcome = loop {
            let lent = self.engine.lent();
            if lent.free.len() >= AHEAD {
                break Ok(());
            }
            let Some(place) = self.candidate(&lent, shared) else { break Err(Failure::NoneLeft) };
            tries += 1;
            match self.site.take_place(&self.server, place.ip(), place.port(), "", shared).await {
                Ok(true) => {
                    if let Err(error) = self.engine.lend(place) {
                        warn!("{place} cannot be used: {error}");
                    }
                }
                Ok(false) if tries < TRIES => foreign.push(place.ip()),
                Ok(false) => break Err(Failure::NoneLeft),
                Err(error) => break Err(Failure::Site(error)),
            }
        };
        // Others may give theirs back until the next look.
        for address in foreign {
            self.pool.free(address);
        }
        outcome
    }

    /// A group of the pool and a port that nobody here uses.
    fn candidate(&mut self, lent: &Lent, shared: bool) -> Option<SocketAddr> {
        let used: HashSet<u16> = lent.free.iter().chain(&lent.in_use).map(SocketAddr::port).collect();
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let port = self.ports.from_seed(self.seed).filter(|port| !used.contains(port)).find_map(|port| {
            let only = PortRange::new(port, port).ok()?;
            find_free_port(only, self.local, 0).ok()
        })?;
        let mut pool = self.pool.clone();
        // Of one address all sessions have it, each with a port of its own.
        let address = if shared { pool.allocate().ok()? } else { self.pool.allocate().ok()? };
        Some(SocketAddr::new(address, port))
    }

    /// After the site was out of reach another server may have what this one took.
    async fn confirm(&mut self, shared: bool) {
        let lent = self.engine.lent();
        for place in lent.free.iter().chain(&lent.in_use) {
            match self.site.take_place(&self.server, place.ip(), place.port(), "", shared).await {
                Ok(true) => {}
                Ok(false) => {
                    let in_use = !self.engine.recall(*place);
                    info!(%place, in_use, "another server of the site has taken this group");
                }
                Err(_) => return,
            }
        }
    }
}

/// Why there are too few.
enum Failure {
    Site(SiteError),
    NoneLeft,
}

/// Whether the pool is one address: then sessions share it.
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
