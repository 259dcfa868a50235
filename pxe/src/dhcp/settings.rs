//! How requests are answered.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::Network;
use super::wire::pxe::Menu;

/// How requests are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Boot files beside another DHCP server, or addresses too.
    pub mode: Mode,
    /// A machine is answered once it has asked for so long, by its own count or by ours: another PXE server goes
    /// first.
    pub delay: Duration,
    /// The address of ours that machines are told, instead of the one of the interface that they are heard at.
    pub server: Option<Ipv4Addr>,
    /// Shown by the firmware before it loads anything; without one it loads at once.
    pub menu: Option<Menu>,
}

/// Who gives addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Another server.
    Proxy,
    /// This one.
    Full {
        /// What is given, a pool for each network.
        pools: Vec<Pool>,
        /// Clients that do not boot get addresses, too.
        others: bool,
        /// No other server gives addresses in these networks: a client that comes with an address of another
        /// network is told no, so that it asks anew at once; and one whose lease is not known may keep it.
        authoritative: bool,
    },
}

/// Addresses of one network, and what its clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The clients' subnet.
    pub network: Network,
    /// The first address that is given.
    pub first: Ipv4Addr,
    /// The last address that is given.
    pub last: Ipv4Addr,
    /// A router in the same network.
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// The clients' domain.
    pub domain: Option<String>,
    /// How long an address is given for, in whole seconds.
    pub lease: Duration,
}

/// What cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Full mode needs something to give.
    #[error("there is no pool of addresses to give; mode proxy needs none")]
    NoPool,
    /// Two pools for one client.
    #[error("the networks {0} and {1} overlap")]
    Overlap(Network, Network),
    /// First and last are no range of the network.
    #[error("{first} to {last} is no range of addresses in {network}")]
    Range {
        /// As set.
        first: Ipv4Addr,
        /// As set.
        last: Ipv4Addr,
        /// As set.
        network: Network,
    },
    /// Firmware gives up (UEFI: PXE-E99) if it is told a router that it does not reach.
    #[error("router {router} is not in its clients' network {network}")]
    Router {
        /// As set.
        router: Ipv4Addr,
        /// As set.
        network: Network,
    },
    /// Too short to boot with, or too long to write down.
    #[error("a lease of {0:?} in {1} is not between {SHORTEST_LEASE:?} and 136 years")]
    Lease(Duration, Network),
    /// Too many name servers, or too long a domain, for one option.
    #[error("{what} of {network} take {bytes} bytes, at most {MAX_TEXT} fit")]
    TooLong {
        /// Which setting.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
        /// Where.
        network: Network,
    },
    /// An address that no machine can load from.
    #[error("{0} cannot be the server's address")]
    Server(Ipv4Addr),
}

/// The shortest lease: a machine must come through its boot.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(120);
/// So many bytes of name servers and of a domain leave room for the boot file.
const MAX_TEXT: usize = 64;

impl Settings {
    /// Answers at once, without a menu, with the interface's own address.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self { mode, delay: Duration::ZERO, server: None, menu: None }
    }

    /// Whether they can be served.
    ///
    /// # Errors
    /// [`SettingsError`], the first thing that is wrong.
    pub fn check(&self) -> Result<(), SettingsError> {
        if let Some(server) = self.server.filter(|server| !is_host(*server)) {
            return Err(SettingsError::Server(server));
        }
        let Mode::Full { pools, .. } = &self.mode else { return Ok(()) };
        if pools.is_empty() {
            return Err(SettingsError::NoPool);
        }
        for (at, pool) in pools.iter().enumerate() {
            pool.check()?;
            if let Some(other) = pools.iter().take(at).find(|other| other.network.overlaps(pool.network)) {
                return Err(SettingsError::Overlap(other.network, pool.network));
            }
        }
        Ok(())
    }

    /// The pools of full mode.
    pub(super) fn pools(&self) -> &[Pool] {
        match &self.mode {
            Mode::Proxy => &[],
            Mode::Full { pools, .. } => pools,
        }
    }

    pub(super) fn authoritative(&self) -> bool {
        matches!(self.mode, Mode::Full { authoritative: true, .. })
    }
}

impl Pool {
    /// A pool without a router, name servers or a domain, whose leases last an hour.
    #[must_use]
    pub fn new(network: Network, first: Ipv4Addr, last: Ipv4Addr) -> Self {
        let lease = Duration::from_secs(3600);
        Self { network, first, last, router: None, dns: Vec::new(), domain: None, lease }
    }

    /// How many addresses there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::from(self.last).saturating_sub(u32::from(self.first)).saturating_add(1)
    }

    /// Whether an address is one of those given.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let &Self { network, first, last, lease, .. } = self;
        if first > last || !network.is_host(first) || !network.is_host(last) {
            return Err(SettingsError::Range { first, last, network });
        }
        if let Some(router) = self.router.filter(|router| !network.is_host(*router)) {
            return Err(SettingsError::Router { router, network });
        }
        if lease < SHORTEST_LEASE || lease.as_secs() >= u64::from(u32::MAX) {
            return Err(SettingsError::Lease(lease, network));
        }
        let lengths =
            [("name servers", self.dns.len() * 4), ("the domain", self.domain.as_ref().map_or(0, String::len))];
        match lengths.into_iter().find(|(_, bytes)| *bytes > MAX_TEXT) {
            Some((what, bytes)) => Err(SettingsError::TooLong { what, bytes, network }),
            None => Ok(()),
        }
    }
}

/// Whether an address can be one machine's at all.
pub(super) fn is_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.octets()[0] == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::new("10.0.0.0/24".parse().unwrap(), [10, 0, 0, 100].into(), [10, 0, 0, 199].into())
    }

    fn check(pools: Vec<Pool>) -> Result<(), SettingsError> {
        Settings::new(Mode::Full { pools, others: true, authoritative: false }).check()
    }

    #[test]
    fn a_router_outside_of_the_clients_network_is_refused() {
        let router = Ipv4Addr::new(10, 0, 1, 1);
        let error = check(vec![Pool { router: Some(router), ..pool() }]).unwrap_err();
        assert_eq!(error.to_string(), "router 10.0.1.1 is not in its clients' network 10.0.0.0/24");
    }

    #[test]
    fn each_wrong_pool_is_refused() {
        let wrong = [
            Pool { first: [10, 0, 0, 200].into(), ..pool() },
            Pool { last: [10, 0, 0, 255].into(), ..pool() },
            Pool { first: [10, 0, 0, 0].into(), ..pool() },
            Pool { lease: Duration::from_secs(10), ..pool() },
            Pool { domain: Some("x".repeat(65)), ..pool() },
            Pool { dns: vec![Ipv4Addr::LOCALHOST; 17], ..pool() },
        ];
        for pool in wrong {
            assert!(check(vec![pool.clone()]).is_err(), "{pool:?}");
        }
        assert_eq!(check(Vec::new()), Err(SettingsError::NoPool));
        assert!(matches!(check(vec![pool(), pool()]), Err(SettingsError::Overlap(..))));
        assert_eq!(check(vec![pool()]), Ok(()));
    }

    #[test]
    fn a_server_that_no_machine_reaches_is_refused() {
        let settings = Settings { server: Some(Ipv4Addr::BROADCAST), ..Settings::new(Mode::Proxy) };
        assert!(settings.check().is_err());
    }
}
