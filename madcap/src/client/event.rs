//! What a client tells.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::{Lease, LeaseId, Refusal};

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to; may be a group.
    pub to: SocketAddrV4,
    /// UDP payload.
    pub bytes: Vec<u8>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A server has told its scopes, and this is the one that addresses will be of.
    ScopeChosen {
        /// The scope.
        scope: ChosenScope,
    },
    /// An address is ours.
    Leased {
        /// Until when, and from whom.
        lease: Lease,
    },
    /// An address is ours for longer; an adopted one is confirmed.
    Renewed {
        /// Until when, and from whom.
        lease: Lease,
    },
    /// An address is ours no more and must not be sent to. Another one is asked for at once.
    Lost {
        /// The group.
        address: Ipv4Addr,
        /// What the server knew it by.
        id: LeaseId,
        /// Why.
        why: LostReason,
    },
    /// An address was given back.
    Released {
        /// The group.
        address: Ipv4Addr,
        /// What the server knew it by.
        id: LeaseId,
        /// Whether the server said so. If it did not, it keeps the address until the lease ends.
        confirmed: bool,
    },
    /// Nobody answers. Told once, until somebody does; it is asked again and again.
    ServerSilent {
        /// What was asked.
        asked: Asked,
        /// How many times, without an answer.
        tries: u32,
    },
    /// Somebody answers after [`Event::ServerSilent`].
    ServerAnswers {
        /// What was asked.
        asked: Asked,
        /// Who answers.
        server: SocketAddrV4,
    },
    /// No address, or no longer lease, and why. Told once for each wish and reason; it is asked again, less and
    /// less often. A lease that is not renewed remains ours until it ends.
    Refused {
        /// Why.
        error: Refusal,
    },
    /// A datagram could not be sent, as the driver told. Told once, until one could.
    CannotSend {
        /// Where to.
        to: SocketAddrV4,
        /// Why.
        error: String,
    },
}

/// Why an address was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// Nobody renewed it in time.
    #[error("the lease has expired")]
    Expired,
    /// The server knows it no more, or renewed something else.
    #[error("{0}")]
    Refused(#[source] Refusal),
}

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Asked {
    /// The list of scopes (GETINFO).
    Scopes,
    /// Who has an address (DISCOVER). Servers that have none are silent, too.
    Offers,
    /// An address (REQUEST).
    Lease,
    /// A longer lease (RENEW).
    Renewal,
    /// To take an address back (RELEASE).
    Release,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scopes => "its multicast scopes",
            Self::Offers => "an offer of an address",
            Self::Lease => "an address",
            Self::Renewal => "a longer lease",
            Self::Release => "the release of an address",
        })
    }
}

/// The scope that addresses are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenScope {
    /// Its ID.
    pub first: Ipv4Addr,
    /// Its last address.
    pub last: Ipv4Addr,
    /// Hops at most of what is sent to its groups (RFC 2730 §2.8).
    pub ttl: u8,
    /// A name for people.
    pub name: Option<String>,
}

/// What has passed since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams given out to be sent.
    pub sent: u64,
    /// Datagrams taken in.
    pub received: u64,
    /// Of those: no messages.
    pub malformed: u64,
    /// Of those: to nothing that is being asked; late, twice, or from another server than the chosen one.
    pub unexpected: u64,
    /// Datagrams that could not be sent.
    pub unsendable: u64,
}
