//! Addresses, ports and numbers for streams, and their names at the door.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use crossbeam_channel::Sender as Channel;

use super::door::{Door, lock};
use super::error::EngineError;
use super::session::Inbound;
use crate::address::{AddressPool, PortRange, check_group, find_free_port};
use crate::net::Interface;
use crate::types::{Instant, SessionId};

/// What the streams of an engine take from and give back to; clones share it.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) interface: Interface,
    pub(super) door: Arc<Mutex<Door>>,
    allocation: Arc<Mutex<Allocation>>,
}

struct Allocation {
    addresses: AddressPool,
    ports: PortRange,
    only_lent: bool,
    lent: Lent,
    rng: fastrand::Rng,
}

/// Groups and ports that an engine was lent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lent {
    /// No stream uses these.
    pub free: Vec<SocketAddr>,
    /// Streams use these.
    pub in_use: Vec<SocketAddr>,
    /// Taken back; streams use these until their end.
    pub recalled: Vec<SocketAddr>,
}

impl Places {
    pub(super) fn new(
        interface: Interface,
        addresses: AddressPool,
        ports: PortRange,
        only_lent: bool,
        seed: u64,
    ) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let lent = Lent::default();
        let allocation = Arc::new(Mutex::new(Allocation { addresses, ports, only_lent, lent, rng }));
        Self { interface, door: Arc::default(), allocation }
    }

    /// A number for a stream.
    pub(super) fn number(&self) -> SessionId {
        SessionId(lock(&self.allocation).rng.u32(1..))
    }

    /// A group and a port, to be given back by [`free`](Self::free): `group`, or one that was lent or is
    /// in the pool.
    pub(super) fn take(&self, group: Option<IpAddr>) -> Result<SocketAddr, EngineError> {
        let mut allocation = lock(&self.allocation);
        if group.is_none()
            && let Some(place) = allocation.lent.free.pop()
        {
            allocation.lent.in_use.push(place);
            return Ok(place);
        }
        if allocation.only_lent {
            return Err(EngineError::NothingLent { in_use: allocation.lent.in_use.len() });
        }
        let group = match group {
            Some(group) => {
                allocation.addresses.reserve(group)?;
                group
            }
            None => allocation.addresses.allocate()?,
        };
        let local = self.interface.address_for(group).unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let seed = allocation.rng.u64(..);
        match find_free_port(allocation.ports, local, seed) {
            Ok(port) => Ok(self.interface.socket_address(group, port)),
            Err(error) => {
                allocation.addresses.free(group);
                Err(error.into())
            }
        }
    }

    /// Gives a group back.
    pub(super) fn free(&self, to: SocketAddr) {
        let mut allocation = lock(&self.allocation);
        let Allocation { lent, addresses, .. } = &mut *allocation;
        if let Some(at) = lent.in_use.iter().position(|place| *place == to) {
            lent.in_use.swap_remove(at);
            // The one that rested longest is taken next: its old members have left it.
            lent.free.insert(0, to);
        } else if let Some(at) = lent.recalled.iter().position(|place| *place == to) {
            lent.recalled.swap_remove(at);
        } else {
            addresses.free(to.ip());
        }
    }

    /// See [`Engine::lend`](super::Engine::lend).
    pub(super) fn lend(&self, place: SocketAddr) -> Result<(), EngineError> {
        check_group(place.ip())?;
        let place = self.interface.socket_address(place.ip(), place.port());
        let mut allocation = lock(&self.allocation);
        let lent = &mut allocation.lent;
        if let Some(at) = lent.recalled.iter().position(|other| *other == place) {
            lent.in_use.push(lent.recalled.swap_remove(at));
        } else if !lent.free.contains(&place) && !lent.in_use.contains(&place) {
            lent.free.insert(0, place);
        }
        Ok(())
    }

    /// See [`Engine::recall`](super::Engine::recall).
    pub(super) fn recall(&self, place: SocketAddr) -> bool {
        let place = self.interface.socket_address(place.ip(), place.port());
        let mut allocation = lock(&self.allocation);
        let lent = &mut allocation.lent;
        lent.free.retain(|other| *other != place);
        let used = lent.in_use.iter().position(|other| *other == place);
        lent.recalled.extend(used.map(|at| lent.in_use.swap_remove(at)));
        used.is_none()
    }

    pub(super) fn lent(&self) -> Lent {
        lock(&self.allocation).lent.clone()
    }

    /// Lets clients that ask for `name` reach a session.
    pub(super) fn admit(
        &self,
        now: Instant,
        session: SessionId,
        name: &str,
        inbound: &Channel<Inbound>,
    ) -> Result<(), EngineError> {
        let mut door = lock(&self.door);
        if door.sessions.values().any(|(other, _)| other == name) {
            return Err(EngineError::NameTaken { name: name.to_owned() });
        }
        door.preparing.retain(|other| other != name);
        door.sessions.insert(session, (name.to_owned(), inbound.clone()));
        door.admit_early(name, inbound, now);
        Ok(())
    }

    /// Lets the clients of a further stream reach its session.
    pub(super) fn admit_stream(&self, stream: SessionId, inbound: &Channel<Inbound>) {
        lock(&self.door).streams.insert(stream, inbound.clone());
    }

    /// The session, or the further stream, of this number cannot be reached any more.
    pub(super) fn dismiss(&self, number: SessionId) {
        let mut door = lock(&self.door);
        door.sessions.remove(&number);
        door.streams.remove(&number);
    }
}
