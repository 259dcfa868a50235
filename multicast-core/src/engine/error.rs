//! Errors of the engine, by who is to blame.

use crate::address::{AddressError, PortError};
use crate::codec::CodecError;
use crate::image::ImageError;
use crate::manifest::ManifestError;
use crate::net::NetError;
use crate::pace::Rate;
use crate::receiver::ReceiverError;
use crate::store::StoreError;
use crate::types::BlockIndex;

/// Why an engine or a session could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The network refuses.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The group address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No port is free.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A symbol would not fit into a frame.
    #[error("symbols of {symbol} bytes make datagrams of {datagram} bytes, interface {interface} carries {limit}")]
    SymbolTooLarge {
        /// Bytes of a symbol.
        symbol: u16,
        /// Bytes of its datagram.
        datagram: usize,
        /// The interface's name.
        interface: String,
        /// Bytes of a datagram that it carries.
        limit: usize,
    },
    /// It takes groups only from what it was lent, and that is in use.
    #[error("no group address is left for another stream: all {in_use} that were lent are in use")]
    NothingLent {
        /// Groups in use.
        in_use: usize,
    },
    /// Another session of this engine has an image of this name.
    #[error("an image named {name:?} is being served already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The lowest rate for each session would be more than all of them may have together.
    #[error("no rate is left for another session: {sessions} share {total}, each needs {} at least", Rate::MIN)]
    NoRateLeft {
        /// Bits per second on the wire of all sessions together.
        total: Rate,
        /// Sessions that share it.
        sessions: usize,
    },
    /// The system lacks means, such as threads.
    #[error("the system refuses {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
}

/// Why a session ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The image cannot be read any more, or is not what it was.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The network refuses for good.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A block cannot be coded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The session's thread is gone.
    #[error("the session's thread ended unexpectedly")]
    Thread,
}

/// Why a client ended without the image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The protocol, the server or the store.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    /// What was to be fetched by unicast.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The output cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network refuses.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The system lacks means, such as threads.
    #[error("the system refuses {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// The client's thread is gone.
    #[error("the client's thread ended unexpectedly")]
    Thread,
}

/// Why an image could not be fetched by unicast.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server will not, or is not who it should be.
    #[error("the server refuses: {text}")]
    Refused {
        /// Why.
        text: String,
    },
    /// Nothing came within the time set.
    #[error("nothing was fetched in {seconds:.0} s of trying: {last}")]
    GivenUp {
        /// How long it tried.
        seconds: f64,
        /// What happened last.
        last: String,
    },
    /// A manifest that cannot be.
    #[error("the server's manifest makes no sense: {0}")]
    Manifest(#[from] ManifestError),
    /// A block that never was what the manifest says.
    #[error(
        "block {block} did not match its hash in any of {tries} tries: the server's image is not the one that its manifest describes"
    )]
    BlockDamaged {
        /// Which.
        block: BlockIndex,
        /// How often it was fetched.
        tries: u32,
    },
}
