//! The networks that machines are answered in.

use std::net::Ipv4Addr;

use pxe::dhcp::Interface;
use pxe::dhcp::driver::Listening;

use crate::config::Pxe;
use crate::exit::{Exit, Failure};

/// This server's addresses there, each with its interface: no other one is listened at.
pub(super) fn addresses(pxe: &Pxe) -> Result<Vec<(String, Ipv4Addr)>, Failure> {
    let found = Interface::find(&pxe.interfaces).map_err(|error| Failure::of(Exit::Error, &error))?;
    let all: Vec<_> = found
        .iter()
        .flat_map(|interface| interface.locals.iter().map(|local| (interface.name.clone(), local.address)))
        .collect();
    if all.is_empty() {
        let text = format!("no interface of pxe.interfaces ({}) has an IPv4 address", pxe.interfaces.join(", "));
        return Err(Failure::new(Exit::Error, text).with_help(Some("give it one before machines are to boot from it")));
    }
    Ok(all)
}

/// The same as where something listens.
pub(super) fn listening(addresses: Vec<(String, Ipv4Addr)>) -> Vec<Listening> {
    addresses.into_iter().map(|(interface, address)| Listening { interface, address, shared: false }).collect()
}
