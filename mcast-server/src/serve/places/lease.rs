//! Places whose addresses a DHCP server leases (MADCAP, RFC 2730).

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use command_line::chain;
use madcap::driver::{DriverConfig, DriverError, MadcapClient};
use madcap::{Config, Event, Lease, LostReason};
use multicast_core::net::Interface;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::{Keeper, Trouble};
use crate::config;
use crate::site::{LeaseRow, Site, SiteError};

/// For so long leases are given back at the end.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

/// What is leased.
pub(crate) struct Leases {
    client: MadcapClient,
    events: mpsc::UnboundedReceiver<Event>,
    /// What was heard and is not looked at yet.
    heard: Vec<Event>,
    /// What the site does not know yet.
    untold: VecDeque<Untold>,
    /// Places that are lent to the engine, by their addresses.
    lent: Vec<SocketAddr>,
    /// Addresses leased ahead of need.
    spare: usize,
}

/// Something that the site has to be told or asked.
enum Untold {
    /// Leased or renewed.
    Lease(Lease),
    /// Not leased any more.
    Gone(Ipv4Addr),
}

/// Why addresses cannot be leased at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LeaseError {
    #[error(
        "interface {interface} has no IPv4 address: MADCAP (multicast.address = \"madcap\") leases IPv4 groups only"
    )]
    NoAddress { interface: String },
    #[error("cannot find the MADCAP server {server} (multicast.madcap.server)")]
    Server {
        server: String,
        #[source]
        source: Option<std::io::Error>,
    },
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Site(#[from] SiteError),
}

impl Leases {
    /// Begins to lease; takes up what an earlier run of this server has leased.
    pub(crate) async fn start(
        settings: &config::Madcap,
        interface: &Interface,
        site: &Site,
        server: &str,
    ) -> Result<Self, LeaseError> {
        let local = interface.v4.first().copied();
        let local = local.ok_or_else(|| LeaseError::NoAddress { interface: interface.name.clone() })?;
        let scope = if let Some(IpAddr::V4(scope)) = settings.scope { Some(scope) } else { None };
        let client =
            Config { server: resolve(&settings.server)?, scope, lease_time: settings.lease, ..Config::default() };
        let client = MadcapClient::start(DriverConfig::new(client, local))?;
        for row in site.leases(server).await? {
            match lease_of(&row, &client) {
                Some(lease) => client.adopt(lease),
                None => debug!("a lease of {} in the site cannot be read", row.address),
            }
        }
        let (tell, events) = mpsc::unbounded_channel();
        let heard = client.events().clone();
        let pass_on = move || heard.iter().all(|event| tell.send(event).is_ok());
        std::thread::Builder::new()
            .name("madcap-events".into())
            .spawn(pass_on)
            .map_err(|source| LeaseError::Server { server: settings.server.to_string(), source: Some(source) })?;
        let spare = settings.spare.max(1) as usize;
        client.wish(spare);
        Ok(Self { client, events, heard: Vec::new(), untold: VecDeque::new(), lent: Vec::new(), spare })
    }

    /// Waits for something to look at.
    pub(super) async fn news(&mut self) {
        match self.events.recv().await {
            Some(event) => self.heard.push(event),
            None => std::future::pending().await,
        }
    }

    /// Lends what was leased, takes back what was lost, and has as many leased as will be needed.
    pub(super) async fn refill(&mut self, keeper: &mut Keeper) -> Result<(), Trouble> {
        while let Ok(event) = self.events.try_recv() {
            self.heard.push(event);
        }
        for event in std::mem::take(&mut self.heard) {
            self.handle(keeper, event);
        }
        keeper.give_ended();
        self.tell(keeper).await.map_err(Trouble::Site)?;
        let lent = keeper.engine.lent();
        self.client.wish(lent.in_use.len() + self.spare);
        for place in lent.free.iter().skip(self.spare) {
            if let IpAddr::V4(address) = place.ip()
                && keeper.recall(*place)
            {
                self.lent.retain(|other| other != place);
                self.client.release(address);
            }
        }
        Ok(())
    }

    /// What can be done without the site: what was lost must not wait for it.
    fn handle(&mut self, keeper: &mut Keeper, event: Event) {
        match event {
            Event::Leased { lease } => {
                info!(group = %lease.address, server = %lease.server, "group address is leased");
                self.untold.push_back(Untold::Lease(lease));
            }
            Event::Renewed { lease } => {
                info!(group = %lease.address, server = %lease.server, "lease is renewed");
                self.untold.push_back(Untold::Lease(lease));
            }
            Event::Lost { address, why, .. } => {
                let why = match why {
                    LostReason::Expired => "it has run out".to_owned(),
                    LostReason::Refused(refusal) => refusal.to_string(),
                    other => format!("{other:?}"),
                };
                self.take_back(keeper, address, &why);
                self.gone(address);
            }
            Event::Released { address, .. } => self.gone(address),
            Event::ScopeChosen { scope } => info!("groups are leased from {} to {}", scope.first, scope.last),
            Event::ServerSilent { asked, tries } => {
                warn!(
                    "no MADCAP server answers after {tries} questions for {asked}: is one on this network, and UDP 2535 open?"
                );
            }
            Event::ServerAnswers { server, .. } => info!(%server, "the MADCAP server answers"),
            Event::Refused { error } => warn!("the MADCAP server refuses: {error}; {}", error.help()),
            Event::CannotSend { to, error } => warn!("cannot send to the MADCAP server at {to}: {error}"),
            other => debug!("{other:?}"),
        }
    }

    /// Tells the site all that it does not know, in order; what fails is told at the next look.
    async fn tell(&mut self, keeper: &mut Keeper) -> Result<(), SiteError> {
        while let Some(untold) = self.untold.pop_front() {
            let told = match &untold {
                Untold::Lease(lease) => self.tell_lease(keeper, lease).await,
                Untold::Gone(address) => keeper.site.delete_lease(&keeper.server, (*address).into()).await,
            };
            if let Err(error) = told {
                self.untold.push_front(untold);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn tell_lease(&mut self, keeper: &mut Keeper, lease: &Lease) -> Result<(), SiteError> {
        // After a restart a renewal is the first that is heard of it.
        if !self.has(lease.address) {
            self.lend(keeper, lease).await?;
        }
        keeper.site.put_lease(&keeper.server, &row_of(lease, &self.client)).await
    }

    /// The address is nobody's to lend, whatever the site has not heard of it.
    fn gone(&mut self, address: Ipv4Addr) {
        self.untold.retain(|untold| !matches!(untold, Untold::Lease(lease) if lease.address == address));
        self.untold.push_back(Untold::Gone(address));
    }

    fn has(&self, address: Ipv4Addr) -> bool {
        self.lent.iter().any(|place| place.ip() == IpAddr::V4(address))
    }

    async fn lend(&mut self, keeper: &mut Keeper, lease: &Lease) -> Result<(), SiteError> {
        let lent = keeper.engine.lent();
        let Some(port) = keeper.free_port(&lent) else {
            warn!("no UDP port of multicast.ports is free for group {}", lease.address);
            return Ok(());
        };
        let place = SocketAddr::from((lease.address, port));
        if !keeper.take(place, false).await? {
            warn!("another server of the site uses {}, which was leased to this one", lease.address);
            self.client.release(lease.address);
            return Ok(());
        }
        match keeper.engine.lend(place) {
            Ok(()) => self.lent.push(place),
            Err(error) => warn!("{} was leased and cannot be used: {error}", lease.address),
        }
        Ok(())
    }

    fn take_back(&mut self, keeper: &mut Keeper, address: Ipv4Addr, why: &str) {
        for place in self.lent.extract_if(.., |place| place.ip() == IpAddr::V4(address)) {
            let goes_on = if keeper.recall(place) { "" } else { "; its session goes on there" };
            warn!(group = %address, "the lease is lost: {why}{goes_on}");
        }
    }

    /// Releases everything: a stop in good order leaves no lease behind.
    pub(super) async fn give_back(self, keeper: &Keeper) {
        let Self { client, .. } = self;
        let released = tokio::task::spawn_blocking(move || client.shutdown(RELEASE_LIMIT)).await;
        if !released.is_ok_and(|shutdown| shutdown.complete) {
            return warn!("the MADCAP server did not confirm that leases were given back; they run out by themselves");
        }
        for row in keeper.site.leases(&keeper.server).await.unwrap_or_default() {
            if let Err(error) = keeper.site.delete_lease(&keeper.server, row.address).await {
                warn!("{}", chain(&error));
            }
        }
    }
}

/// The server's address; none for the group at which any server answers.
fn resolve(server: &config::HostPort) -> Result<Option<SocketAddrV4>, LeaseError> {
    let text = server.to_string();
    let failed = |source| LeaseError::Server { server: text.clone(), source };
    let found = text.to_socket_addrs().map_err(|error| failed(Some(error)))?;
    let v4 = |address| if let SocketAddr::V4(address) = address { Some(address) } else { None };
    let address = found.filter_map(v4).next().ok_or_else(|| failed(None))?;
    Ok((!address.ip().is_multicast()).then_some(address))
}

fn row_of(lease: &Lease, client: &MadcapClient) -> LeaseRow {
    let expires = client.clock().to_system(lease.expires);
    let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
    LeaseRow {
        address: lease.address.into(),
        lease_id: lease.id.to_string(),
        // The scope is needed to renew it.
        dhcp_server: format!("{} {}", lease.server, lease.scope),
        expires_ms: i64::try_from(expires.as_millis()).unwrap_or(i64::MAX),
    }
}

fn lease_of(row: &LeaseRow, client: &MadcapClient) -> Option<Lease> {
    let (server, scope) = row.dhcp_server.split_once(' ')?;
    let expires: SystemTime = UNIX_EPOCH + Duration::from_millis(row.expires_ms.max(0).unsigned_abs());
    Some(Lease {
        address: if let IpAddr::V4(address) = row.address { address } else { return None },
        id: row.lease_id.parse().ok()?,
        server: server.parse().ok()?,
        scope: scope.parse().ok()?,
        expires: client.clock().from_system(expires),
    })
}
