//! What a responder tells.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::wire::Kind;

/// What a responder has done. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponderEvent {
    /// An address is held for a client.
    Offered {
        /// Which one.
        address: Ipv4Addr,
        /// For whom.
        client: SocketAddrV4,
    },
    /// An address is a client's.
    Leased {
        /// Which one.
        address: Ipv4Addr,
        /// Whose.
        client: SocketAddrV4,
        /// For how long.
        lease: Duration,
    },
    /// An address is a client's for longer.
    Renewed {
        /// Which one.
        address: Ipv4Addr,
        /// Whose.
        client: SocketAddrV4,
        /// For how long from now.
        lease: Duration,
    },
    /// A client has given an address back.
    Released {
        /// Which one.
        address: Ipv4Addr,
        /// Who.
        client: SocketAddrV4,
    },
    /// A lease has ended, nobody has renewed it; or an offer, nobody has taken it.
    Expired {
        /// Which one.
        address: Ipv4Addr,
    },
    /// The scope was told.
    Told {
        /// Whom.
        client: SocketAddrV4,
    },
    /// A client was told no.
    Refused {
        /// Who.
        client: SocketAddrV4,
        /// To what.
        kind: Kind,
        /// The error's code.
        code: u16,
    },
    /// A datagram was left unanswered.
    Ignored {
        /// Whose.
        client: SocketAddrV4,
        /// Why.
        why: String,
    },
}

impl fmt::Display for ResponderEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offered { address, client } => write!(f, "offered address={address} client={client}"),
            Self::Leased { address, client, lease } => {
                write!(f, "leased address={address} client={client} seconds={}", lease.as_secs())
            }
            Self::Renewed { address, client, lease } => {
                write!(f, "renewed address={address} client={client} seconds={}", lease.as_secs())
            }
            Self::Released { address, client } => write!(f, "released address={address} client={client}"),
            Self::Expired { address } => write!(f, "expired address={address}"),
            Self::Told { client } => write!(f, "told client={client}"),
            Self::Refused { client, kind, code } => write!(f, "refused client={client} kind={kind} error={code}"),
            Self::Ignored { client, why } => write!(f, "ignored client={client} why={why:?}"),
        }
    }
}
