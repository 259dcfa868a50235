//! The machine's interfaces and their IPv4 addresses.

use std::io;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;

use super::Network;

/// An address of an interface, and how much of it names the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of the network.
    pub prefix: u8,
}

impl Local {
    /// The network that it is in.
    #[must_use]
    pub fn network(self) -> Network {
        Network::of(self.address, self.prefix)
    }
}

/// An interface of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the system calls it.
    pub name: String,
    /// Its number; another one under the same name is another interface.
    pub index: u32,
    /// Its IPv4 addresses, the first one first.
    pub locals: Vec<Local>,
}

/// What cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterfaceError {
    /// The system does not tell.
    #[error("cannot list the network interfaces")]
    List(#[from] io::Error),
    /// No interface is named.
    #[error("no interface is listed to answer at; there are: {there}")]
    None {
        /// Those that could be.
        there: String,
    },
    /// There is none of this name.
    #[error("there is no interface {name}; there are: {there}")]
    Unknown {
        /// As listed.
        name: String,
        /// Those that there are.
        there: String,
    },
    /// It has no address, so no machine could load from it.
    #[error("interface {name} has no IPv4 address; those with one: {there}")]
    NoAddress {
        /// As listed.
        name: String,
        /// Those that have.
        there: String,
    },
}

impl Interface {
    /// All interfaces of this machine, or of its network namespace.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn list() -> io::Result<Vec<Self>> {
        let mut all: Vec<Self> = Vec::new();
        for entry in getifaddrs()? {
            // Labels of additional addresses, "eth0:1", are no interfaces.
            let name = entry.interface_name.split(':').next().unwrap_or_default();
            let ipv4 = |storage: Option<nix::sys::socket::SockaddrStorage>| {
                storage.and_then(|storage| storage.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::ip))
            };
            let local = ipv4(entry.address).map(|address| {
                let mask = ipv4(entry.netmask).unwrap_or(Ipv4Addr::BROADCAST);
                Local { address, prefix: u32::from(mask).leading_ones() as u8 }
            });
            match all.iter_mut().find(|interface| interface.name == name) {
                Some(known) => known.locals.extend(local),
                None => {
                    // Gone since the list was made.
                    let Ok(index) = if_nametoindex(name) else { continue };
                    all.push(Self { name: name.to_owned(), index, locals: local.into_iter().collect() });
                }
            }
        }
        Ok(all)
    }

    /// The interfaces of these names, each with an address.
    ///
    /// # Errors
    /// [`InterfaceError`], for the first that cannot be listened at.
    pub fn find(names: &[String]) -> Result<Vec<Self>, InterfaceError> {
        let all = Self::list()?;
        let there = |those: &dyn Fn(&Self) -> bool| {
            let names: Vec<_> = all.iter().filter(|interface| those(interface)).map(|one| &*one.name).collect();
            names.join(", ")
        };
        let addressed = |interface: &Self| !interface.locals.is_empty();
        if names.is_empty() {
            return Err(InterfaceError::None { there: there(&addressed) });
        }
        let find = |name: &String| match all.iter().find(|interface| interface.name == *name) {
            None => Err(InterfaceError::Unknown { name: name.clone(), there: there(&|_| true) }),
            Some(found) if found.locals.is_empty() => {
                Err(InterfaceError::NoAddress { name: name.clone(), there: there(&addressed) })
            }
            Some(found) => Ok(found.clone()),
        };
        names.iter().map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_with_its_network() {
        let found = Interface::find(&["lo".to_owned()]).unwrap();
        assert_eq!(found[0].locals[0], Local { address: Ipv4Addr::LOCALHOST, prefix: 8 });
    }

    #[test]
    fn an_unknown_interface_is_named_and_so_are_the_known_ones() {
        let error = Interface::find(&["nope0".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("there is no interface nope0; there are: ") && error.contains("lo"), "{error}");
        assert!(matches!(Interface::find(&[]), Err(InterfaceError::None { .. })));
    }
}
