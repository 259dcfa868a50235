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
        let mut rooms = self.rooms(arrival, request)?;
        self.check_wanted(request)?;
        self.be_patient(now, request)?;
        let giving = Giving::new(&self.settings, &*self.booting, arrival.locals, request);
        rooms.sort_by_key(|(room, pool)| {
            let kept = giving.reserved.is_some_and(|address| pool.network.contains(address));
            (!kept, self.leases.lease_of(*room, &request.client).is_none())
        });
        let full = rooms.first().map_or(Silence::NoAddress, |(_, pool)| Silence::PoolFull(pool.network));
        // Nobody gives way in one pool as long as another one has room.
        for may_evict in [false, true] {
            for (room, pool) in &rooms {
                let may_keep = |address| giving.may_keep(pool, address);
                let blocked = |address| giving.is_blocked(pool, address);
                let wish = Wish { may_evict, ..giving.wish(&may_keep) };
                if let Some(address) = self.leases.offer(now, *room, &wish, &blocked) {
                    let server = self.server(arrival, request, Some(pool.network))?;
                    let terms = Terms { address: Some(address), pool: pool.clone() };
                    return Ok(self.with_address(Kind::Offer, request, server, terms));
                }
            }
        }
        Err(full)
    }

    fn request(&mut self, now: Time, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        if let Some(other) = request.server.filter(|server| !self.is_ours(arrival, *server)) {
            for (room, _) in self.rooms(arrival, request).unwrap_or_default() {
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
        let server = self.server(arrival, request, Some(pool.network))?;
        // RFC 2131 §4.3.2: SELECTING names the server, INIT-REBOOT only the address, RENEWING has the address.
        let address = request.requested.or(request.address()).ok_or(Silence::NothingAsked)?;
        let chosen = request.server.is_some();
        let renewing = !chosen && request.address().is_some();
        let own = self.leases.lease_of(room, &request.client) == Some(address);
        let inside = pool.network.is_host(address);
        let authoritative = self.settings.authoritative();
        // A lease may have been forgotten, or another server's; only who is alone on the network may judge.
        let tried = chosen || own || (renewing && authoritative && !self.leases.is_held(address));
        let granted = inside && tried && {
            let giving = Giving::new(&self.settings, &*self.booting, arrival.locals, request);
            let may_keep = |address| giving.may_keep(&pool, address);
            let blocked = |address| giving.is_blocked(&pool, address);
            self.leases.grant(now, room, &giving.wish(&may_keep), address, &blocked)
        };
        if granted {
            return Ok(self.with_address(Kind::Ack, request, server, Terms { address: Some(address), pool }));
        }
        // Its own and not granted: it is kept for another machine now, or no longer in the pool. The lease stands until
        // it asks anew, as it may not hear this.
        if own || chosen || (authoritative && (!inside || self.leases.is_held(address))) {
            return Ok(Reply::new(Kind::Nak, server));
        }
        Err(Silence::UnknownLease(address))
    }

    fn inform(&mut self, arrival: &Arrival<'_>, request: &Request) -> Result<Reply, Silence> {
        let (_, pool) = self.room(arrival, request)?;
        self.check_wanted(request)?;
        let address = request.address().ok_or(Silence::NothingAsked)?;
        if request.link.or(request.relay()).is_none() && !pool.network.contains(address) {
            return Err(Silence::NoPool(address));
        }
        let server = self.server(arrival, request, Some(pool.network))?;
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
        let mut rooms = self.rooms(arrival, request)?;
        let wanted = request.requested.or(request.address());
        let fits = |(_, pool): &(usize, Pool)| wanted.is_some_and(|address| pool.network.contains(address));
        Ok(rooms.swap_remove(rooms.iter().position(fits).unwrap_or(0)))
    }

    /// The pools of the client's link, at least one; an interface with several addresses may have several.
    fn rooms(&self, arrival: &Arrival<'_>, request: &Request) -> Result<Vec<(usize, Pool)>, Silence> {
        // What a relay agent says goes before what the client says; a client that renews is where its address is, or
        // comes from elsewhere to this link.
        let told = request.link.or(request.relay());
        let room = told.or(request.address()).and_then(|address| self.leases.room_of(address));
        let mut rooms = Vec::from_iter(room);
        if rooms.is_empty() && told.is_none() {
            let here = arrival.locals.iter().filter_map(|local| self.leases.room_of(local.address));
            here.for_each(|room| {
                if !rooms.contains(&room) {
                    rooms.push(room);
                }
            });
        }
        let found: Vec<_> =
            rooms.into_iter().filter_map(|room| Some((room, self.leases.pool(room)?.clone()))).collect();
        let nowhere = told.or(request.address()).or(arrival.locals.first().map(|local| local.address));
        if found.is_empty() { Err(nowhere.map_or(Silence::NoAddress, Silence::NoPool)) } else { Ok(found) }
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

/// What decides whether a client gets an address.
struct Giving<'a> {
    settings: &'a Settings,
    booting: &'a dyn Booting,
    locals: &'a [Local],
    request: &'a Request,
    /// The address that the site keeps for it.
    reserved: Option<Ipv4Addr>,
}

impl<'a> Giving<'a> {
    fn new(settings: &'a Settings, booting: &'a dyn Booting, locals: &'a [Local], request: &'a Request) -> Self {
        let reserved = booting.reserved(&request.machine);
        Self { settings, booting, locals, request, reserved }
    }

    fn wish(&self, may_keep: &'a dyn Fn(Ipv4Addr) -> bool) -> Wish<'a> {
        let Request { client, machine, requested, .. } = self.request;
        Wish { client, mac: machine.mac, reserved: self.reserved, requested: *requested, may_evict: false, may_keep }
    }

    /// Ours, a router's or a name server's.
    fn is_a_servers(&self, pool: &Pool, address: Ipv4Addr) -> bool {
        self.settings.server == Some(address)
            || pool.router == Some(address)
            || pool.dns.contains(&address)
            || self.locals.iter().any(|local| local.address == address)
    }

    /// Whether the pool must not give it.
    fn is_blocked(&self, pool: &Pool, address: Ipv4Addr) -> bool {
        self.is_a_servers(pool, address) || self.booting.is_reserved(address)
    }

    /// Whether it may stay whose it is.
    fn may_keep(&self, pool: &Pool, address: Ipv4Addr) -> bool {
        let may = self.reserved == Some(address) || self.booting.may_keep(&self.request.machine, address);
        !self.is_a_servers(pool, address) && (may || pool.contains(address) && !self.booting.is_reserved(address))
    }
}
