//! Why an address or a port cannot be used, and what would do instead.

use std::io;
use std::net::IpAddr;

use super::class::GroupClass;
use super::ports::PortRange;

/// Why an address, or a pool of them, cannot serve sessions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// A unicast, broadcast or unspecified address.
    #[error("cannot allocate {address} for a session: it is no multicast address")]
    NotMulticast {
        /// The address in question.
        address: IpAddr,
    },
    /// The address belongs to others by its block.
    #[error(
        "cannot allocate {address} for a session: it lies in {block} ({}, {})",
        class.name(),
        class.reference()
    )]
    Refused {
        /// The address in question.
        address: IpAddr,
        /// Its block, as a prefix or a range.
        block: &'static str,
        /// The block's class.
        class: GroupClass,
    },
    /// Some addresses of a pool's range belong to others.
    #[error("address range {range} includes {block} ({}, {})", class.name(), class.reference())]
    SpansRefused {
        /// The range as it was written.
        range: String,
        /// The first block in it that is refused.
        block: &'static str,
        /// The block's class.
        class: GroupClass,
    },
    /// Text that is neither an address, a range nor a prefix.
    #[error("{text:?} is no address, no range A-B and no prefix A/N")]
    Syntax {
        /// The part of the text that was not understood.
        text: String,
    },
    /// A range whose end lies before its start, or is of the other address family.
    #[error("address range {range} does not run upwards from {first} to {last}")]
    Backwards {
        /// The range as it was written.
        range: String,
        /// Its first address.
        first: IpAddr,
        /// Its last address.
        last: IpAddr,
    },
    /// A range that leaves the IPv6 prefix that gives it its scope.
    #[error("address range {range} spans more than one class of IPv6 group")]
    MixedScopes {
        /// The range as it was written.
        range: String,
    },
    /// A prefix longer than an address.
    #[error("prefix length of {prefix} is above {limit}")]
    PrefixLength {
        /// The prefix as it was written.
        prefix: String,
        /// Bits of an address of this family.
        limit: u8,
    },
    /// A prefix with bits set behind its length.
    #[error("{prefix} has bits set behind its prefix length, its first address is {first}")]
    HostBits {
        /// The prefix as it was written.
        prefix: String,
        /// The prefix's first address.
        first: IpAddr,
    },
    /// A pool of more parts than anyone writes by hand.
    #[error("the address pool has {count} parts, at most {limit} are allowed")]
    TooManyParts {
        /// Parts found.
        count: usize,
        /// Parts allowed.
        limit: usize,
    },
    /// The address is no member of the pool.
    #[error("{address} is not in the address pool {pool}")]
    Foreign {
        /// The address in question.
        address: IpAddr,
        /// The pool as it was written.
        pool: String,
    },
    /// The address serves another session.
    #[error("{address} is in use by another session")]
    InUse {
        /// The address in question.
        address: IpAddr,
    },
    /// Nothing is left.
    #[error("the address pool {pool} is exhausted: {in_use} of its addresses are in use, the others cannot be used")]
    Exhausted {
        /// The pool as it was written.
        pool: String,
        /// Addresses that serve sessions.
        in_use: usize,
    },
}

impl AddressError {
    /// What to do about it, in a line.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NotMulticast { .. } | Self::Refused { .. } | Self::SpansRefused { .. } => {
                "use an address of 239.0.0.0/8, for example --address auto"
            }
            Self::Syntax { .. } | Self::TooManyParts { .. } => {
                "write an address, a range 239.194.0.1-239.194.0.99, a prefix 239.194.0.0/24, \
                 several of them with commas between, or auto"
            }
            Self::Backwards { .. } => "write the lower address first, both of one family",
            Self::MixedScopes { .. } => "keep the range within one prefix, for example ff15::/112",
            Self::PrefixLength { .. } => "write at most /32 behind an IPv4 and /128 behind an IPv6 address",
            Self::HostBits { .. } => "write the first address of the prefix, or a shorter length",
            Self::Foreign { .. } | Self::InUse { .. } => "choose another address, or let the pool choose",
            Self::Exhausted { .. } => "end a session, or enlarge the pool",
        }
    }
}

/// Why a range of ports, or a port of it, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// Text that is neither a port nor two of them.
    #[error("{text:?} is no port and no range of ports, which are numbers from 1 to 65535")]
    Syntax {
        /// The text as it was written.
        text: String,
    },
    /// Port 0 means "any" to the system and can't be told to clients.
    #[error("port range {text} contains port 0, the lowest one is 1")]
    Zero {
        /// The text as it was written.
        text: String,
    },
    /// The end lies before the start.
    #[error("port range {first}-{last} ends before it starts")]
    Backwards {
        /// The first number.
        first: u16,
        /// The second, smaller number.
        last: u16,
    },
    /// The only port of the range has an owner on this host.
    #[error("UDP port {port} is in use on {local}")]
    Taken {
        /// The port.
        port: u16,
        /// The local address it was tried on.
        local: IpAddr,
    },
    /// Every port of the range has an owner on this host.
    #[error("all {count} UDP ports of {range} are in use on {local}")]
    AllTaken {
        /// The range.
        range: PortRange,
        /// Its ports.
        count: usize,
        /// The local address they were tried on.
        local: IpAddr,
    },
    /// The system refuses for another reason than an owner.
    #[error("cannot bind UDP port {port} on {local}")]
    Bind {
        /// The port.
        port: u16,
        /// The local address it was tried on.
        local: IpAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl PortError {
    /// What to do about it, in a line.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Syntax { .. } | Self::Zero { .. } | Self::Backwards { .. } => {
                "write the lower port first, for example 63000-64000"
            }
            Self::Taken { .. } | Self::AllTaken { .. } => {
                "choose other ports, or end the program that holds them (ss -lunp names it)"
            }
            Self::Bind { .. } => "choose ports above 1023 and an address of this host",
        }
    }
}
