//! The service point of this server (`[pxe]`): its sockets and threads, from the settings to the end.
//!
//! [`directory`] is the site as the crate `pxe` asks it: [`follow`] keeps what machines are to boot in memory,
//! [`journal`] writes behind what happened. [`networks`] says where to listen, [`hello`] answers machines that have
//! booted into the client, [`counts`] is for the metrics, [`seldom`] for warnings that may be many.

mod counts;
mod directory;
mod follow;
mod hello;
mod journal;
mod networks;
mod seldom;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use pxe::dhcp::driver::Listening;
use pxe::dhcp::{self, DhcpServer, DriverConfig};
use pxe::images::{Loaders, Store};
use pxe::point::PointSettings;
use pxe::tftp::TftpServer;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use self::counts::Counts;
pub(crate) use self::directory::Directory;
pub(crate) use self::follow::FollowState;
pub(crate) use self::hello::routes as hello_routes;
pub(crate) use self::journal::JournalState;
use self::seldom::Seldom;
use super::http::listener::Listener;
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::site::Site;

/// Between two looks at the folder of boot images, in which somebody may change something by hand.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The service point while it runs.
pub(crate) struct Running {
    pub(crate) point: Arc<pxe::point::Point<Directory>>,
    pub(crate) tftp: TftpServer,
    directory: Arc<Directory>,
    listening: Vec<Listening>,
    told: Arc<Notify>,
    /// If this server answers DHCP, as long as it does.
    dhcp: Mutex<Option<DhcpServer>>,
}

/// What it needs of the server around it.
pub(crate) struct Surroundings {
    pub(crate) settings: Arc<Settings>,
    pub(crate) changes: watch::Receiver<Arc<Settings>>,
    pub(crate) site: Site,
    /// This server's number for ever.
    pub(crate) server: String,
    /// By which booted clients know the site, if they reach it by TLS.
    pub(crate) trust: Option<String>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// The sockets for firmware and iPXE, before anything else is begun.
pub(crate) fn bind(settings: &Settings) -> Result<Vec<TcpListener>, Failure> {
    if !settings.pxe.enabled {
        return Ok(Vec::new());
    }
    let bind = |address: Ipv4Addr| {
        let address = SocketAddr::from((address, settings.pxe.http));
        Listener::bind(address).map_err(|error| {
            Failure::new(Exit::Error, format!("cannot listen on {address} (pxe.http): {error}"))
                .with_help(Some("another program has this port: choose another one by pxe.http"))
        })
    };
    networks::addresses(&settings.pxe)?.into_iter().map(|(_, address)| bind(address)).collect()
}

impl Running {
    /// Starts DHCP and TFTP, and what keeps the site in memory. Nobody is answered before the site was asked once.
    pub(crate) async fn start(around: Surroundings) -> Result<Arc<Self>, Failure> {
        let settings = around.settings.clone();
        let failure = |error: &dyn std::error::Error| Failure::of(Exit::Error, error);
        let images = Store::open(settings.boot_images()).map_err(|error| failure(&error))?;
        let directory = Directory::open(around.site.clone(), around.server.clone(), &settings.pxe).await;
        let directory = directory.map_err(|error| super::site_failure(&error))?;
        let point = pxe::point::Point::new(
            directory.clone(),
            images.clone(),
            Loaders::new(settings.pxe.loaders()),
            PointSettings {
                http_port: settings.pxe.http,
                client_server: settings.pxe.client_server.as_ref().map(ToString::to_string),
                control_port: settings.server.control_port,
                trust: around.trust.clone(),
            },
        );
        let leases = around.site.take_pxe_leases(&around.server, &settings.pxe.pools()).await;
        let leases = leases.map_err(|error| super::site_failure(&error))?;
        directory.counts().know(&leases, SystemTime::now());
        let addresses = networks::addresses(&settings.pxe)?;
        let tftp = {
            let (notes, own) = (point.clone(), addresses.iter().map(|(_, address)| *address).collect::<Vec<_>>());
            let tell = move |event: pxe::tftp::Event| {
                if let pxe::tftp::Event::Trouble { what } = &event {
                    warn!("TFTP: {what}");
                }
                notes.note_tftp(&event);
            };
            TftpServer::start(settings.pxe.tftp_settings(&own), point.clone(), tell).map_err(|error| {
                failure(&error).with_help(Some(
                    "port 69 needs CAP_NET_BIND_SERVICE (docs/booting.md), and may be another server's",
                ))
            })?
        };
        let dhcp = start_dhcp(&settings, &point, leases, directory.clone())?;
        let listening = match &dhcp {
            Some(dhcp) => dhcp.listening().to_vec(),
            None => networks::listening(addresses),
        };
        tokio::spawn(directory.memory().clone().follow(around.changes.clone(), around.stop.clone()));
        tokio::spawn(look_at_images(images, around.stop.clone()));
        for place in &listening {
            let (interface, address) = (&place.interface, place.address);
            let mode = settings.pxe.mode.word();
            info!(interface, %address, mode, http = settings.pxe.http, "machines boot from here");
            if place.shared {
                info!("another server of this host has port 67 of {interface}, too: machines ask at 4011");
            }
        }
        let told = directory.told().clone();
        Ok(Arc::new(Self { point, tftp, directory, listening, told, dhcp: Mutex::new(dhcp) }))
    }

    /// Where machines are answered.
    pub(crate) fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The site as this server sees it, its own settings included.
    pub(crate) fn site(&self) -> Arc<pxe::boot::Site> {
        pxe::boot::Directory::site(&*self.directory)
    }

    /// What came of requests since the start.
    pub(crate) fn counts(&self) -> &Counts {
        self.directory.counts()
    }

    /// Has DHCP forget whose an address is.
    pub(crate) fn withdraw(&self, address: Ipv4Addr) {
        if let Some(dhcp) = &*self.dhcp() {
            dhcp.withdraw(address);
        }
    }

    fn dhcp(&self) -> MutexGuard<'_, Option<DhcpServer>> {
        self.dhcp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told when a machine has news.
    pub(crate) fn told(&self) -> &Notify {
        &self.told
    }

    /// Asks the site anew: something was changed here.
    pub(crate) fn refresh(&self) {
        self.directory.memory().hurry();
    }

    /// How fresh is what machines are answered by, and what waits to be written.
    pub(crate) fn standing(&self) -> (FollowState, JournalState) {
        (self.directory.memory().state().borrow().clone(), self.directory.journal().state().borrow().clone())
    }

    /// Answers no more DHCP, as what it promised from now on would not be kept, and tells the site what it does not
    /// know yet. Whether it could within `limit`.
    pub(crate) async fn finish(&self, limit: Duration) -> bool {
        let dhcp = self.dhcp().take();
        // It ends after the request that it answers now.
        let _ = tokio::task::spawn_blocking(move || drop(dhcp)).await;
        self.directory.flush(limit).await
    }
}

fn start_dhcp(
    settings: &Settings,
    point: &Arc<pxe::point::Point<Directory>>,
    leases: Vec<dhcp::Lease>,
    directory: Arc<Directory>,
) -> Result<Option<DhcpServer>, Failure> {
    let Some(how) = settings.pxe.dhcp_settings() else { return Ok(None) };
    let (notes, unsent) = (point.clone(), Seldom::default());
    let tell = move |event: dhcp::Event| {
        if matches!(event, dhcp::Event::Unsent { .. })
            && let Some(more) = unsent.is_due(Instant::now())
        {
            warn!(more, "DHCP: {event}");
        }
        directory.counts().dhcp(&event);
        notes.note_dhcp(&event);
        if let dhcp::Event::LeaseChanged(change) = &event {
            directory.journal().lease(change);
        }
    };
    let config = DriverConfig { settings: how, interfaces: settings.pxe.interfaces.clone(), leases };
    let dhcp = DhcpServer::start(config, point.clone(), tell).map_err(|error| {
        Failure::of(Exit::Error, &error)
            .with_help(Some("port 67 needs CAP_NET_BIND_SERVICE; with pxe.mode = \"off\" it is not needed"))
    })?;
    Ok(Some(dhcp))
}

/// Takes over what somebody changed in the folder of boot images by hand.
async fn look_at_images(images: Arc<Store>, mut stop: watch::Receiver<bool>) {
    let mut told = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            _ = stop.wait_for(|stops| *stops) => return,
        }
        let images = images.clone();
        let looked = tokio::task::spawn_blocking(move || images.refresh()).await;
        let wrong = looked.ok().and_then(Result::err).map(|error| error.to_string());
        if let Some(wrong) = wrong.as_ref().filter(|wrong| told.as_ref() != Some(*wrong)) {
            warn!("a boot image cannot be used: {wrong}");
        }
        told = wrong;
    }
}
