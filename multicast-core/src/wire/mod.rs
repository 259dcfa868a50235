//! Every byte that travels: the only module that knows an offset.
//!
//! All integers are big-endian. Every datagram begins with the same eight bytes:
//!
//! | offset | width | field                                                     |
//! |-------:|------:|-----------------------------------------------------------|
//! |      0 |     1 | version (high four bits) and kind (low four bits)         |
//! |      1 |     1 | flags; one that is not defined for the kind is an error   |
//! |      2 |     2 | bytes of the whole datagram; in a symbol its symbol index |
//! |      4 |     4 | session, 0 where none is meant                            |
//!
//! Decoding borrows, names what is missing, refuses trailing bytes and cannot panic.

use crate::types::SessionId;

mod cursor;
mod directory;
mod heartbeat;
mod join;
mod probe;
mod report;
mod runs;
mod symbol;

pub use directory::{ContentLocation, Directory, INQUIRY_LEN, Inquiry};
pub use heartbeat::{Heartbeat, Poll, SessionState};
pub use join::{Join, Offer, Refusal, RefuseReason};
pub use probe::{
    Echo, MAX_PROBE_LEN, MIN_PROBE_LEN, Probe, SAMPLE_HEADER_LEN, Sample, SampleAnswer, SampleWay, SampleWish, Samples,
};
pub use report::{Leave, LeaveReason, Release, ReleaseReason, Report};
pub use runs::{Run, RunDecoder, RunEncoder};
pub use symbol::{SYMBOL_HEADER_LEN, Symbol};

/// The version of the protocol that this crate speaks.
pub const VERSION: u8 = 1;

/// Bytes of a control datagram's payload at most: fits a 1,500-byte frame with any IP header. Those that try
/// the way may be longer, [`MAX_PROBE_LEN`].
pub const MAX_CONTROL_LEN: usize = 1400;

/// What kind of datagram it is, the low four bits of its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// To the group: one symbol.
    Symbol = 0,
    /// To the group: state of the session, and who is to report.
    Heartbeat = 1,
    /// To the server: asks for an image.
    Join = 2,
    /// To a client: the session's terms.
    Offer = 3,
    /// To a client: no, and why. Its layout is the same in every version.
    Refusal = 4,
    /// To the server: what a client lacks.
    Report = 5,
    /// To the server: a client goes without the whole image.
    Leave = 6,
    /// To a client: the session is over for it.
    Release = 7,
    /// To the server: asks where its content for single clients is.
    Inquiry = 8,
    /// To a client: where that is.
    Directory = 9,
    /// To the server: tries the way there and back, and may ask for samples.
    Probe = 10,
    /// To a client: that arrived.
    Echo = 11,
    /// To the group or to a client: one datagram of a trial.
    Sample = 12,
}

impl Kind {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Symbol,
            1 => Self::Heartbeat,
            2 => Self::Join,
            3 => Self::Offer,
            4 => Self::Refusal,
            5 => Self::Report,
            6 => Self::Leave,
            7 => Self::Release,
            8 => Self::Inquiry,
            9 => Self::Directory,
            10 => Self::Probe,
            11 => Self::Echo,
            12 => Self::Sample,
            _ => return None,
        })
    }

    fn first_byte(self) -> u8 {
        VERSION << 4 | self as u8
    }
}

/// A datagram that says what it must not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It ends before a field does.
    #[error("the datagram ends within {what}")]
    Truncated {
        /// The field.
        what: &'static str,
    },
    /// Another version of the protocol.
    #[error("protocol version {found}, this end speaks {VERSION}")]
    Version {
        /// As received.
        found: u8,
    },
    /// A kind that this version does not have.
    #[error("unknown kind {found} of datagram")]
    Kind {
        /// As received.
        found: u8,
    },
    /// A flag that the kind does not have.
    #[error("unknown flags {found:#04x} in {what}")]
    Flags {
        /// The kind.
        what: &'static str,
        /// As received.
        found: u8,
    },
    /// The length field does not tell the datagram's length.
    #[error("the datagram claims {claimed} bytes and has {actual}")]
    Length {
        /// As claimed.
        claimed: u16,
        /// As received.
        actual: usize,
    },
    /// Bytes after the last field.
    #[error("{bytes} bytes behind the end of {what}")]
    Trailing {
        /// The kind.
        what: &'static str,
        /// How many.
        bytes: usize,
    },
    /// A field out of its range.
    #[error("{field} is {value}, it must be {bound}")]
    Value {
        /// The field.
        field: &'static str,
        /// As received.
        value: u64,
        /// What is allowed.
        bound: &'static str,
    },
    /// A text or credential longer than any end may send.
    #[error("{what} has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// The field.
        what: &'static str,
        /// As received.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Text that is not UTF-8, or has control characters.
    #[error("{what} is not UTF-8 without control characters")]
    Text {
        /// The field.
        what: &'static str,
    },
    /// A table of files that cannot be.
    #[error("table of files: {0}")]
    Files(String),
}

/// A decoded datagram; it borrows from the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// One symbol.
    Symbol(Symbol<'a>),
    /// State of the session.
    Heartbeat(Heartbeat),
    /// A client asks for an image.
    Join(Join<'a>),
    /// The session's terms.
    Offer(Box<Offer>),
    /// No, and why.
    Refusal(Refusal<'a>),
    /// What a client lacks.
    Report(Report<'a>),
    /// A client goes.
    Leave(Leave<'a>),
    /// The session is over for a client.
    Release(Release<'a>),
    /// A client asks where the content is.
    Inquiry(Inquiry<'a>),
    /// Where the content is.
    Directory(Directory<'a>),
    /// A client tries the way.
    Probe(Probe),
    /// That arrived.
    Echo(Echo),
    /// One datagram of a trial.
    Sample(Sample),
}

/// The version and kind of a datagram, whatever the rest says.
pub fn peek(datagram: &[u8]) -> Result<(u8, Kind), WireError> {
    let first = *datagram.first().ok_or(WireError::Truncated { what: "version and kind" })?;
    let kind = Kind::from_bits(first & 0x0F).ok_or(WireError::Kind { found: first & 0x0F });
    if first >> 4 != VERSION && !matches!(kind, Ok(Kind::Refusal)) {
        return Err(WireError::Version { found: first >> 4 });
    }
    Ok((first >> 4, kind?))
}

/// Whether a datagram belongs to a session's stream, if it can be read at all: a symbol or a heartbeat.
pub fn is_stream(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| [Kind::Symbol as u8, Kind::Heartbeat as u8].contains(&(first & 0x0F)))
}

/// The session that a datagram names, whatever the rest says.
pub fn session_of(datagram: &[u8]) -> Option<SessionId> {
    Some(SessionId(u32::from_be_bytes(*datagram.get(4..)?.first_chunk()?)))
}

impl<'a> Packet<'a> {
    /// Reads a datagram of any kind.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        Ok(match peek(datagram)?.1 {
            Kind::Symbol => Self::Symbol(Symbol::decode(datagram)?),
            Kind::Heartbeat => Self::Heartbeat(Heartbeat::decode(datagram)?),
            Kind::Join => Self::Join(Join::decode(datagram)?),
            Kind::Offer => Self::Offer(Box::new(Offer::decode(datagram)?)),
            Kind::Refusal => Self::Refusal(Refusal::decode(datagram)?),
            Kind::Report => Self::Report(Report::decode(datagram)?),
            Kind::Leave => Self::Leave(Leave::decode(datagram)?),
            Kind::Release => Self::Release(Release::decode(datagram)?),
            Kind::Inquiry => Self::Inquiry(Inquiry::decode(datagram)?),
            Kind::Directory => Self::Directory(Directory::decode(datagram)?),
            Kind::Probe => Self::Probe(Probe::decode(datagram)?),
            Kind::Echo => Self::Echo(Echo::decode(datagram)?),
            Kind::Sample => Self::Sample(Sample::decode(datagram)?),
        })
    }
}
