//! Full mode: addresses, and boot files with them.

use std::net::Ipv4Addr;

use super::reply::{Reply, Terms};
use super::request::{Class, Request};
use super::{Arrival, Responder, Silence};
use crate::dhcp::leases::Wish;
use crate::dhcp::wire::Kind;
use crate::dhcp::{Booting, Local, Mode, Pool, Settings, Time};

impl Responder {
    pub(super) fn full(&mut self, now: Time, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        match request.kind {
            Kind::Discover => self.discover(now, arrival, request),
            Kind::Request => self.request(now, arrival, request),
            Kind::Inform => self.inform(arrival, request),
            Kind::Decline => self.decline(now, arrival, request),
            Kind::Release => self.release(arrival, request),
            Kind::Offer | Kind::Ack | Kind::Nak => Err(Silence::ServerMessage),
        }
    }

    fn discover(&mut self, now: Time, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        let (room, pool) = self.room(arrival, request)?;
        self.check_wanted(request)?;
        self.be_patient(now, request)?;
        let server = self.server(arrival, Some(pool.network))?;
        let wish = wish(&*self.booting, request);
        let offered = {
            let blocked = blocked(&self.settings, &*self.booting, arrival.locals, &pool);
            self.leases.offer(now, room, &wish, &blocked)
        };
        let address = offered.ok_or(Silence::PoolFull(pool.network))?;
        Ok(self.with_address(Kind::Offer, request, server, Terms { address: Some(address), pool }))
    }

    fn request(&mut self, now: Time, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        if let Some(other) = request.server.filter(|server| !self.is_ours(arrival, *server)) {
            if let Ok((room, _)) = self.room(arrival, request) {
                self.leases.drop_offer(room, &request.client);
            }
            return Err(Silence::OtherServer(other));
        }
        // A boot server is looked for by a machine that has its address.
        if request.item.is_some() && request.address().is_some() && request.class == Class::Pxe {
            return self.boot_service(arrival, request);
        }
        let (room, pool) = self.room(arrival, request)?;
        self.check_wanted(request)?;
        let server = self.server(arrival, Some(pool.network))?;
        // RFC 2131 §4.3.2: SELECTING names the server, INIT-REBOOT only the address, RENEWING has the address.
        let address = request.requested.or(request.address()).ok_or(Silence::NothingAsked)?;
        let chosen = request.server.is_some();
        let renewing = !chosen && request.address().is_some();
        let own = self.leases.lease_of(room, &request.client) == Some(address);
        let inside = pool.network.is_host(address);
        let authoritative = self.settings.authoritative();
        // A lease may have been forgotten, or another server's; only who is alone on the network may judge.
        let tried = chosen || own || (renewing && authoritative && !self.leases.is_held(address));
        let wish = wish(&*self.booting, request);
        let granted = inside && tried && {
            let blocked = blocked(&self.settings, &*self.booting, arrival.locals, &pool);
            self.leases.grant(now, room, &wish, address, &blocked)
        };
        if granted {
            return Ok(self.with_address(Kind::Ack, request, server, Terms { address: Some(address), pool }));
        }
        if chosen || (authoritative && (!inside || self.leases.is_held(address))) {
            return Ok(Reply::new(Kind::Nak, server));
        }
        Err(Silence::UnknownLease(address))
    }

    fn inform(&mut self, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        let (_, pool) = self.room(arrival, request)?;
        self.check_wanted(request)?;
        request.address().ok_or(Silence::NothingAsked)?;
        let server = self.server(arrival, Some(pool.network))?;
        Ok(self.with_address(Kind::Ack, request, server, Terms { address: None, pool }))
    }

    fn decline(&mut self, now: Time, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        let address = request.requested.ok_or(Silence::NothingAsked)?;
        self.check_addressed(arrival, request)?;
        let own = self.leases.decline(now, &request.client, address);
        Err(if own { Silence::Declined(address) } else { Silence::UnknownLease(address) })
    }

    fn release(&mut self, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        let address = request.address().ok_or(Silence::NothingAsked)?;
        self.check_addressed(arrival, request)?;
        let own = self.leases.release(&request.client, address);
        Err(if own { Silence::Released(address) } else { Silence::UnknownLease(address) })
    }

    fn with_address(&self, kind: Kind, request: &Request, server: Ipv4Addr, terms: Terms) -> Reply {
        let boot = self.boot(request, server, true);
        Reply { boot, terms: Some(terms), ..Reply::new(kind, server) }
    }

    /// The pool of the client's network.
    fn room(&self, arrival: &Arrival<'_>, request: &Request) -> Result<(usize, Pool), Silence> {
        // What a relay agent says goes before what the client says; a client that renews is where its address is.
        let told = request.link.or(request.relay()).or(request.address());
        let room = match told {
            Some(address) => self.leases.room_of(address),
            None => arrival.locals.iter().find_map(|local| self.leases.room_of(local.address)),
        };
        let nowhere = told.or(arrival.locals.first().map(|local| local.address));
        let found = room.and_then(|room| Some((room, self.leases.pool(room)?.clone())));
        found.ok_or(nowhere.map_or(Silence::NoAddress, Silence::NoPool))
    }

    fn check_wanted(&self, request: &Request) -> Result<(), Silence> {
        let only_booting = matches!(self.settings.mode, Mode::Full { others: false, .. });
        if only_booting && request.class == Class::Other { Err(Silence::NotBooting) } else { Ok(()) }
    }

    fn check_addressed(&self, arrival: &Arrival<'_>, request: &Request) -> Result<(), Silence> {
        match request.server.filter(|server| !self.is_ours(arrival, *server)) {
            Some(other) => Err(Silence::OtherServer(other)),
            None => Ok(()),
        }
    }
}

fn wish<'a>(booting: &dyn Booting, request: &'a Request) -> Wish<'a> {
    let reserved = booting.reserved(&request.machine);
    Wish { client: &request.client, mac: request.machine.mac, reserved, requested: request.requested }
}

/// Addresses that a pool must not give: ours, its routers', its name servers', and those kept for a machine.
fn blocked<'a>(
    settings: &'a Settings,
    booting: &'a dyn Booting,
    locals: &'a [Local],
    pool: &'a Pool,
) -> impl Fn(Ipv4Addr) -> bool + use<'a> {
    move |address| {
        settings.server == Some(address)
            || pool.router == Some(address)
            || pool.dns.contains(&address)
            || locals.iter().any(|local| local.address == address)
            || booting.is_reserved(address)
    }
}
