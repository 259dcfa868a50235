//! What a receiver tells: events as they happen, and a picture on request.

use std::net::SocketAddr;

use crate::layout::{Layout, LayoutError};
use crate::manifest::ManifestError;
use crate::store::StoreError;
use crate::types::{BlockIndex, SessionId};
use crate::wire::{Offer, RefuseReason, SessionState, VERSION};

/// Something happened to a receiver.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiverEvent {
    /// A server offers a session. The driver opens the store, joins the group and calls
    /// [`accept`](super::Receiver::accept), or [`leave`](super::Receiver::leave) if it cannot.
    Offered {
        /// The terms.
        offer: Box<Offer>,
        /// The cut that follows from them.
        layout: Box<Layout>,
        /// The image that it is receiving already: only the group is to be joined.
        continues: bool,
    },
    /// A server refused; unless the reason is final it is asked again.
    Refused {
        /// Why.
        reason: RefuseReason,
        /// The same in the server's words.
        text: String,
    },
    /// The session's state changed.
    Session {
        /// Into this one.
        state: SessionState,
        /// Clients in the session.
        clients: u32,
        /// Clients that it waits for, 0 without such a threshold.
        awaited: u32,
        /// Milliseconds until it starts by itself.
        starts_in_ms: Option<u32>,
    },
    /// The session was joined but nothing of it is heard.
    Deaf {
        /// What should be heard.
        group: SocketAddr,
        /// For how long nothing was.
        seconds: f64,
    },
    /// The manifest is here and is what the offer said.
    ManifestVerified,
    /// A block did not match its hash and is fetched anew.
    BlockDamaged {
        /// Which.
        block: BlockIndex,
    },
    /// Nothing was heard of the session for too long; the server is asked again.
    SessionLost {
        /// The session.
        session: SessionId,
        /// For how long nothing was heard.
        seconds: f64,
    },
    /// The server serves this client by another stream from now on.
    Moved {
        /// Why, in the server's words.
        text: String,
    },
    /// Everything is verified and stored.
    Complete,
    /// It is over, for this reason.
    Failed(ReceiverError),
}

/// Why a receiver ends without the image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiverError {
    /// The server speaks another version of the protocol.
    #[error("the server speaks protocol version {server}, this client speaks {VERSION}: install matching versions")]
    Version {
        /// The server's.
        server: u8,
    },
    /// The server refuses for good.
    #[error("the server refuses: {text}")]
    Refused {
        /// Why.
        reason: RefuseReason,
        /// The same in the server's words.
        text: String,
    },
    /// The server does not serve this client by multicast, but has the image for it elsewhere.
    #[error("the server says: take it by unicast: {text}")]
    TakeUnicast {
        /// Why, in the server's words.
        text: String,
    },
    /// No session came within the time set.
    #[error("no session after {seconds:.0} s of waiting: {last}")]
    NoSession {
        /// How long it waited.
        seconds: f64,
        /// What the server last said.
        last: String,
    },
    /// The server answers, but nothing of its group arrives.
    #[error(
        "nothing is heard of group {group} after {seconds:.0} s: is the interface right, and does the network have an IGMP querier?"
    )]
    Deaf {
        /// What should be heard.
        group: SocketAddr,
        /// For how long nothing was.
        seconds: f64,
    },
    /// The operator removed this client.
    #[error("removed from the session by its operator")]
    Removed,
    /// The server does not wait for this client any longer.
    #[error("given up by the server: {text}")]
    Evicted {
        /// Why, in the server's words.
        text: String,
    },
    /// The operator cancelled the session.
    #[error("the session was cancelled by its operator")]
    Cancelled,
    /// The server came back with another image.
    #[error(
        "the server now offers other bytes under this name than the ones half received: run the same command again for the new ones"
    )]
    ImageChanged,
    /// An offer that cannot be.
    #[error("the server's offer makes no sense: {0}")]
    Offer(#[from] LayoutError),
    /// A manifest that cannot be.
    #[error("the server's manifest makes no sense: {0}")]
    Manifest(#[from] ManifestError),
    /// A manifest that tells another cut than the offer.
    #[error("the server's manifest and its offer do not fit together")]
    ManifestMismatch,
    /// The image cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Ended from this side.
    #[error("ended by this side: {0}")]
    Left(String),
}

/// Where a receiver stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ReceiverState {
    /// Asks the server for a session.
    Joining,
    /// Has an offer that the driver has not yet accepted.
    Offered,
    /// In the session.
    Receiving,
    /// Has everything; it is being stored for good.
    Storing,
    /// Stored; tells the server.
    Farewell,
    /// Over.
    Done,
}

/// What a receiver received and dropped so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReceiverCounters {
    /// Symbols received.
    pub symbols: u64,
    /// Symbols sent by the server while this client listened.
    pub symbols_sent: u64,
    /// Of those received, ones that brought nothing new.
    pub useless_symbols: u64,
    /// Symbols of blocks that the store cannot take yet.
    pub beyond_window: u64,
    /// Blocks rebuilt with parity.
    pub decoded_blocks: u64,
    /// Blocks that did not match their hash.
    pub damaged_blocks: u64,
    /// Datagrams that the socket dropped.
    pub socket_drops: u32,
    /// Datagrams that could not be read.
    pub malformed: u64,
    /// Well-formed datagrams of another session, or that nobody expected.
    pub unexpected: u64,
    /// Reports sent.
    pub reports: u64,
}

/// A receiver at one moment.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReceiverSnapshot {
    /// Where it stands.
    pub state: ReceiverState,
    /// Name of the image, once it is known.
    pub image: Option<String>,
    /// Bytes of the image, 0 until they are known.
    pub image_size: u64,
    /// Blocks of the stream, 0 until they are known.
    pub blocks: u32,
    /// Of these verified.
    pub verified: u32,
    /// Bytes of the image verified.
    pub verified_bytes: u64,
    /// Rate on the wire by the server's word, kbit/s.
    pub rate_kbit: u32,
    /// What was received and dropped so far.
    pub counters: ReceiverCounters,
}
