//! Why the network cannot be used.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::interface::Interface;

/// Why a socket cannot be made, or not send or receive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// Another program, or another session, holds the port.
    #[error("UDP port {} is already in use on {}", address.port(), address.ip())]
    PortInUse {
        /// The address that was to be bound.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The address cannot be bound for another reason.
    #[error("cannot bind UDP address {address}")]
    Bind {
        /// The address that was to be bound.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system refuses a setting of the socket.
    #[error("cannot set {option} of a UDP socket on interface {interface}")]
    Option {
        /// What was to be set.
        option: &'static str,
        /// The interface's name.
        interface: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The interface has no address of the group's family.
    #[error("interface {interface} has no address to reach group {group} from")]
    NoAddress {
        /// The interface's name.
        interface: String,
        /// The group.
        group: IpAddr,
    },
    /// The system refuses membership.
    #[error("cannot join group {group} on interface {interface}")]
    Join {
        /// The group.
        group: IpAddr,
        /// The interface's name.
        interface: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A source-specific group is joined with its source only.
    #[error("group {group} is source-specific: joining it needs the sender's address")]
    NeedsSource {
        /// The group.
        group: IpAddr,
    },
    /// Group and source must be of one family, and source-specific joins of IPv6 are not supported yet.
    #[error("cannot join group {group} for source {from} only")]
    SourceFamily {
        /// The group.
        group: IpAddr,
        /// The source.
        from: IpAddr,
    },
    /// A datagram that the interface would have to fragment.
    #[error("a datagram of {size} bytes does not fit into one frame of interface {interface}, at most {limit} do")]
    TooLarge {
        /// Bytes of payload.
        size: usize,
        /// Bytes of payload that fit.
        limit: usize,
        /// The interface's name.
        interface: String,
    },
    /// A batch that one call cannot take.
    #[error(
        "a batch of {bytes} bytes in {segments} datagrams of {segment} bytes is no batch of at most {} bytes and {} datagrams",
        super::MAX_BATCH_BYTES,
        super::MAX_SEGMENTS
    )]
    Batch {
        /// Bytes in all slices.
        bytes: usize,
        /// Bytes of each datagram but the last.
        segment: usize,
        /// Datagrams that the caller counted.
        segments: usize,
    },
    /// The link or the route is gone, for now.
    #[error("the network behind interface {interface} cannot be reached")]
    LinkDown {
        /// The interface's name.
        interface: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The interface took nothing for a whole second.
    #[error("interface {interface} has not sent anything for a second")]
    Stalled {
        /// The interface's name.
        interface: String,
    },
    /// The mapped file that the bytes come from has become shorter.
    #[error("bytes to send have vanished: the image was truncated while it was served")]
    Vanished,
    /// Sending failed for another reason.
    #[error("cannot send to {to} from interface {interface}")]
    Send {
        /// The destination.
        to: SocketAddr,
        /// The interface's name, or the local address.
        interface: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl NetError {
    /// Whether the same call may well succeed later, so that a sender goes on after a pause.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::LinkDown { .. } | Self::Stalled { .. })
    }

    /// What to do about it, in a line, if there is something.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::PortInUse { .. } => Some("choose another port, or end the program that holds it (ss -lunp names it)"),
            Self::NoAddress { .. } => Some("give the interface an address, or choose another with --interface"),
            Self::TooLarge { .. } => Some("choose smaller symbols, or raise the interface's MTU"),
            Self::LinkDown { .. } | Self::Stalled { .. } => Some("check the cable, the switch and the interface"),
            _ => None,
        }
    }
}

/// Why no interface could be chosen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterfaceError {
    /// More than one could be meant.
    #[error("--interface is required: it could be {}", Candidates(.candidates))]
    Required {
        /// Those that could be meant.
        candidates: Vec<Interface>,
    },
    /// None carries traffic to other machines.
    #[error("--interface is required: none but loopback is up and has an address; there are {}", Candidates(.candidates))]
    NoneUsable {
        /// All that there are.
        candidates: Vec<Interface>,
    },
    /// No interface has this name or address.
    #[error("interface {spec:?} does not exist; there are {}", Candidates(.candidates))]
    Unknown {
        /// What was asked for.
        spec: String,
        /// All that there are.
        candidates: Vec<Interface>,
    },
    /// It exists, but can't do it.
    #[error("interface {name} cannot be used: it {reason}")]
    Unusable {
        /// Its name.
        name: String,
        /// What is the matter with it.
        reason: &'static str,
    },
    /// The system does not tell its interfaces.
    #[error("cannot list the network interfaces")]
    List {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

struct Candidates<'a>(&'a [Interface]);

impl fmt::Display for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, interface) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{interface}")?;
        }
        Ok(())
    }
}
