//! Groups and ports for the streams: taken in the site, so that no two servers use the same, and lent to
//! the engine ahead of need.

mod lease;
mod pool;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use command_line::chain;
use multicast_core::address::PortRange;
use multicast_core::engine::Engine;
use tokio::sync::{Notify, watch};
use tracing::warn;

pub(crate) use self::lease::Leases;
pub(crate) use self::pool::Pool;
use crate::site::{Recorder, Site, SiteError};

/// Between two looks, if nobody asks for one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Looks after which it is asked whether what was taken is still ours.
const CONFIRM_LOOKS: u32 = 10;

/// Keeps the engine in places.
pub(crate) struct Keeper {
    pub(crate) engine: Arc<Engine>,
    pub(crate) site: Site,
    pub(crate) recorder: Recorder,
    pub(crate) server: String,
    /// Told when a stream found none.
    pub(crate) wanted: Arc<Notify>,
    /// The interface's own address, at which ports are tried.
    pub(crate) local: IpAddr,
    pub(crate) ports: PortRange,
    pub(crate) rng: fastrand::Rng,
    /// Taken back from the engine while a stream used them.
    pub(crate) ending: Vec<SocketAddr>,
}

/// Where places come from.
pub(crate) enum Source {
    Pool(Pool),
    Leases(Leases),
}

/// Why there are too few.
enum Trouble {
    Site(SiteError),
    NoneLeft,
}

impl Keeper {
    /// Runs until `stop` says true, and gives everything back.
    pub(crate) async fn run(mut self, mut source: Source, mut stop: watch::Receiver<bool>) {
        let mut told = false;
        for look in 1_u32.. {
            let outcome = match &mut source {
                Source::Pool(pool) => pool.refill(&mut self).await,
                Source::Leases(leases) => leases.refill(&mut self).await,
            };
            tell(outcome, &mut told);
            if let Source::Pool(pool) = &mut source
                && look.is_multiple_of(CONFIRM_LOOKS)
            {
                pool.confirm(&mut self).await;
            }
            let news = async {
                match &mut source {
                    Source::Pool(_) => std::future::pending().await,
                    Source::Leases(leases) => leases.news().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = self.wanted.notified() => {}
                () = news => {}
                _ = stop.wait_for(|stops| *stops) => break,
            }
        }
        if let Source::Leases(leases) = source {
            leases.give_back(&self).await;
        }
        if let Err(error) = self.site.free_places_of(&self.server).await {
            warn!("the site still counts this server's groups as used: {}", chain(&error));
        }
    }

    /// Takes a place in the site; false if another server has it.
    async fn take(&self, place: SocketAddr, shared: bool) -> Result<bool, SiteError> {
        self.site.take_place(&self.server, place.ip(), place.port(), "", shared).await
    }

    /// Takes a place back from the engine. It is the site's again at once, or at the end of the stream that uses it:
    /// then false.
    fn recall(&mut self, place: SocketAddr) -> bool {
        let at_once = self.engine.recall(place);
        if at_once {
            self.give(place);
        } else {
            self.ending.push(place);
        }
        at_once
    }

    /// Gives back what was taken back and is not used any more: gives that.
    fn give_ended(&mut self) -> Vec<SocketAddr> {
        if self.ending.is_empty() {
            return Vec::new();
        }
        let used = self.engine.lent().recalled;
        let ended: Vec<_> = self.ending.extract_if(.., |place| !used.contains(place)).collect();
        ended.iter().for_each(|place| self.give(*place));
        ended
    }

    /// Gives a place back to the site, at once or when its database is there again.
    fn give(&self, place: SocketAddr) {
        self.recorder.free_place(place.ip(), place.port());
    }
}

/// Says it once.
fn tell(outcome: Result<(), Trouble>, told: &mut bool) {
    match outcome {
        Ok(()) => *told = false,
        Err(trouble) if !std::mem::replace(told, true) => match trouble {
            Trouble::Site(error) => warn!("no group can be taken in the site: {}", chain(&error)),
            Trouble::NoneLeft => warn!("no group address or port is left for another session"),
        },
        Err(_) => {}
    }
}
