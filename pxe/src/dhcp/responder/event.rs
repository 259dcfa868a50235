//! What a responder tells: one event for each request, and what changes in leases.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::Destination;
use crate::dhcp::Network;
use crate::dhcp::leases::LeaseChange;
use crate::dhcp::wire::{Kind, WireError};
use crate::machine::{Mac, Machine};

/// Something happened. Its text is one line.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A request was answered.
    Answered(Answered),
    /// A request was not.
    Ignored(Ignored),
    /// A lease began, goes on or ended. Told before the answer that promises it.
    LeaseChanged(LeaseChange),
    /// An answer could not be sent.
    Unsent {
        /// Where to.
        to: Destination,
        /// By which address of ours.
        source: Ipv4Addr,
        /// By which interface.
        interface: String,
        /// What the system says.
        error: String,
    },
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Who asked.
    pub machine: Machine,
    /// What it asked.
    pub request: Kind,
    /// What it was answered.
    pub answer: Kind,
    /// Where the answer goes.
    pub to: Destination,
    /// The address that it got, or has.
    pub address: Option<Ipv4Addr>,
    /// What it loads.
    pub boot: BootAnswer,
    /// Options that did not fit into what the client takes.
    pub left_out: Vec<u8>,
}

/// What a machine was told to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootAnswer {
    /// This file or URL.
    File(String),
    /// To show the menu and ask again.
    Menu,
    /// Nothing: it did not ask.
    NotAsked,
    /// Nothing, for this reason.
    Refused(String),
}

/// A request that was not answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Ignored {
    /// Who asked, if the request says so.
    pub machine: Option<Machine>,
    /// Where it came from.
    pub from: SocketAddrV4,
    /// What it asked.
    pub request: Option<Kind>,
    /// Why there is no answer.
    pub why: Silence,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Silence {
    /// No DHCP.
    #[error("it is malformed: {0}")]
    Malformed(#[from] WireError),
    /// A message of a server.
    #[error("it is a server's message")]
    ServerMessage,
    /// Option 53 is missing or unknown.
    #[error("it does not say what it asks (option 53)")]
    NoKind,
    /// No Ethernet address.
    #[error("its hardware address has {0} bytes, an Ethernet address has 6")]
    Hardware(u8),
    /// No card's address.
    #[error("{0} is no card's address")]
    NoCard(Mac),
    /// No address to send an answer to.
    #[error("no answer can be sent to {0}, which it names as its own or as its relay agent's")]
    Unreachable(Ipv4Addr),
    /// The interface has no address.
    #[error("the interface that it came by has no IPv4 address")]
    NoAddress,
    /// It does not boot from the network.
    #[error("it does not boot from the network (option 60 names no PXEClient or HTTPClient)")]
    NotBooting,
    /// Beside another server: it boots nothing.
    #[error("{0}")]
    NoBoot(String),
    /// Another server goes first.
    #[error("it has asked for {}, and is answered after {}", seconds(.waited), seconds(.delay))]
    Delayed {
        /// So long it has asked.
        waited: Duration,
        /// As set.
        delay: Duration,
    },
    /// It took another server's offer.
    #[error("it chose the server {0}")]
    OtherServer(Ipv4Addr),
    /// It speaks with the server that it has its address of.
    #[error("it asks the server that gives addresses")]
    NotProxys,
    /// No pool for its network.
    #[error("there is no pool for the network of {0}")]
    NoPool(Ipv4Addr),
    /// No address is left.
    #[error("no address of the pool of {0} is free")]
    PoolFull(Network),
    /// It wants to keep an address that it does not have of this server.
    #[error("{0} is not its address by this server's book")]
    UnknownLease(Ipv4Addr),
    /// A request without an address.
    #[error("it asks for no address")]
    NothingAsked,
    /// Nothing to answer: it gave its address back.
    #[error("it gave {0} back, which needs no answer")]
    Released(Ipv4Addr),
    /// Nothing to answer: the address is in use by somebody else.
    #[error("it found {0} in use, which is set aside now")]
    Declined(Ipv4Addr),
}

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs())
}

impl Event {
    /// Who asked, if the event is about a request.
    #[must_use]
    pub fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Answered(answered) => Some(&answered.machine),
            Self::Ignored(ignored) => ignored.machine.as_ref(),
            Self::LeaseChanged(_) | Self::Unsent { .. } => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answered) => answered.fmt(f),
            Self::Ignored(Ignored { machine, from, request, why }) => {
                match machine {
                    Some(machine) => write!(f, "{}", machine.mac)?,
                    None => write!(f, "{from}")?,
                }
                let request = request.map_or("a datagram", Kind::name);
                write!(f, " sent {request} and is not answered: {why}")
            }
            Self::LeaseChanged(LeaseChange::Granted(lease)) => {
                write!(f, "{} is leased to {} ({})", lease.address, lease.mac, lease.client)
            }
            Self::LeaseChanged(LeaseChange::Ended { lease, why }) => {
                write!(f, "the lease of {} by {} ended: {}", lease.address, lease.mac, why.name())
            }
            Self::Unsent { to, source, interface, error } => {
                write!(f, "an answer from {source} {to} by {interface} could not be sent: {error}")
            }
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent {} and is answered {} ({})", self.machine.mac, self.request, self.answer, self.to)?;
        if let Some(address) = self.address {
            write!(f, ", address {address}")?;
        }
        match &self.boot {
            BootAnswer::File(file) => write!(f, ", boots {file}")?,
            BootAnswer::Menu => f.write_str(", shows the menu")?,
            BootAnswer::NotAsked => {}
            BootAnswer::Refused(why) => write!(f, ", boots nothing: {why}")?,
        }
        if !self.left_out.is_empty() {
            write!(f, ", without options {:?} for want of room", self.left_out)?;
        }
        Ok(())
    }
}
