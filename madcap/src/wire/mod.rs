//! Every byte of a MADCAP message (RFC 2730 §2.1): the only module that knows an offset.
//!
//! All integers are big-endian.
//!
//! | offset | width | field                                                           |
//! |-------:|------:|-----------------------------------------------------------------|
//! |      0 |     1 | version, 0                                                      |
//! |      1 |     1 | message type, [`Kind`]                                          |
//! |      2 |     2 | address family of the addresses within, 1: IPv4 (IANA's number) |
//! |      4 |     4 | transaction (`xid`), chosen by the client, repeated by the server |
//! |      8 |   …   | options; the last one is End (code 0, length 0)                 |
//!
//! An option (§3) is
//!
//! | offset | width | field                   |
//! |-------:|------:|-------------------------|
//! |      0 |     2 | code, [`OptionCode`]    |
//! |      2 |     2 | bytes of the value, `n` |
//! |      4 |  `n`  | value, see [`Options`]  |
//!
//! Options come in any order, each at most once; unknown ones are skipped (§2.1.5). Decoding borrows, names
//! what is missing, refuses bytes behind End and cannot panic. Only IPv4 groups are read; the server may
//! identify itself by either family.

mod cursor;
mod lists;
mod options;

pub use lists::{AddressRange, Features, Scope, ScopeName};
pub use options::{AddressCount, ErrorOption, Options};

use cursor::{Reader, Writer};

/// The version of the protocol (RFC 2730 §2.1.1).
pub const VERSION: u8 = 0;

/// IANA's address family number of IPv4, in the message's header and in a server identifier.
pub const FAMILY_IPV4: u16 = 1;

/// IANA's address family number of IPv6.
pub const FAMILY_IPV6: u16 = 2;

/// Bytes of the shortest message: header and End.
pub const MIN_MESSAGE_LEN: usize = 12;

/// What a message is (RFC 2730 §2.2, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Client, multicast: who can give an address?
    Discover = 1,
    /// Server: I can, and hold one for you.
    Offer = 2,
    /// Client: give me an address.
    Request = 3,
    /// Client: let me keep it for longer.
    Renew = 4,
    /// Server: yes.
    Ack = 5,
    /// Server: no, and why.
    Nak = 6,
    /// Client: I need it no more.
    Release = 7,
    /// Client: which scopes are there?
    GetInfo = 8,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Discover,
            2 => Self::Offer,
            3 => Self::Request,
            4 => Self::Renew,
            5 => Self::Ack,
            6 => Self::Nak,
            7 => Self::Release,
            8 => Self::GetInfo,
            _ => return None,
        })
    }

    /// As RFC 2730 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Discover => "DISCOVER",
            Self::Offer => "OFFER",
            Self::Request => "REQUEST",
            Self::Renew => "RENEW",
            Self::Ack => "ACK",
            Self::Nak => "NAK",
            Self::Release => "RELEASE",
            Self::GetInfo => "GETINFO",
        }
    }

    /// What a message of this kind must have, whatever it answers (RFC 2730 §3, table 5).
    pub fn mandatory(self) -> &'static [OptionCode] {
        use OptionCode::{Error, LeaseId, LeaseTime, MulticastScope, RequestList, ServerId};
        match self {
            Self::Discover | Self::Request => &[LeaseId, MulticastScope],
            Self::Offer => &[LeaseTime, ServerId, LeaseId, MulticastScope],
            Self::Renew | Self::Release => &[LeaseId],
            Self::Ack => &[ServerId, LeaseId],
            Self::Nak => &[ServerId, LeaseId, Error],
            Self::GetInfo => &[LeaseId, RequestList],
        }
    }

    /// What an ACK must have beyond that if it answers a message of this kind.
    pub fn mandatory_in_ack(self) -> &'static [OptionCode] {
        match self {
            Self::Request | Self::Renew => {
                &[OptionCode::LeaseTime, OptionCode::MulticastScope, OptionCode::AddressRanges]
            }
            _ => &[],
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// An option's code (RFC 2730 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum OptionCode {
    /// The last one.
    End = 0,
    /// Seconds of the lease, wanted or granted.
    LeaseTime = 1,
    /// The server's address.
    ServerId = 2,
    /// The lease, chosen by the client.
    LeaseId = 3,
    /// The scope, by its first address.
    MulticastScope = 4,
    /// Codes of the options that GETINFO asks for.
    RequestList = 5,
    /// When the lease begins.
    StartTime = 6,
    /// How many addresses are wanted.
    AddressCount = 7,
    /// The language that names of scopes are wanted in.
    Language = 8,
    /// The scopes of the server.
    ScopeList = 9,
    /// Addresses granted, or wanted.
    AddressRanges = 10,
    /// The sender's clock.
    CurrentTime = 11,
    /// Optional features.
    FeatureList = 12,
    /// When to ask again.
    RetryTime = 13,
    /// Seconds of the shortest lease that is of use.
    MinLeaseTime = 14,
    /// The latest beginning that is of use.
    MaxStartTime = 15,
    /// Why not.
    Error = 16,
}

impl OptionCode {
    /// The known option of that code.
    pub fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            0 => Self::End,
            1 => Self::LeaseTime,
            2 => Self::ServerId,
            3 => Self::LeaseId,
            4 => Self::MulticastScope,
            5 => Self::RequestList,
            6 => Self::StartTime,
            7 => Self::AddressCount,
            8 => Self::Language,
            9 => Self::ScopeList,
            10 => Self::AddressRanges,
            11 => Self::CurrentTime,
            12 => Self::FeatureList,
            13 => Self::RetryTime,
            14 => Self::MinLeaseTime,
            15 => Self::MaxStartTime,
            16 => Self::Error,
            _ => return None,
        })
    }

    /// As RFC 2730 writes it, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::LeaseTime => "lease time",
            Self::ServerId => "server identifier",
            Self::LeaseId => "lease identifier",
            Self::MulticastScope => "multicast scope",
            Self::RequestList => "option request list",
            Self::StartTime => "start time",
            Self::AddressCount => "number of addresses requested",
            Self::Language => "requested language",
            Self::ScopeList => "multicast scope list",
            Self::AddressRanges => "list of address ranges",
            Self::CurrentTime => "current time",
            Self::FeatureList => "feature list",
            Self::RetryTime => "retry time",
            Self::MinLeaseTime => "minimum lease time",
            Self::MaxStartTime => "maximum start time",
            Self::Error => "error",
        }
    }
}

impl std::fmt::Display for OptionCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A datagram that is no MADCAP message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It ends before a field does.
    #[error("the message ends within {what}")]
    Truncated {
        /// The field.
        what: &'static str,
    },
    /// Another version of the protocol.
    #[error("protocol version {found}, it must be {VERSION}")]
    Version {
        /// As received.
        found: u8,
    },
    /// A message type that RFC 2730 does not have.
    #[error("unknown message type {found}")]
    Kind {
        /// As received.
        found: u8,
    },
    /// Addresses of a family that is not read.
    #[error("address family {found} in {what}")]
    Family {
        /// The field.
        what: &'static str,
        /// As received, IANA's number.
        found: u16,
    },
    /// An option that is shorter or longer than its kind.
    #[error("option {option} has {length} bytes, it must have {bound}")]
    OptionLength {
        /// The option.
        option: OptionCode,
        /// As received, in bytes.
        length: usize,
        /// What is allowed.
        bound: &'static str,
    },
    /// An option that is there twice.
    #[error("option {option} is there twice")]
    Duplicate {
        /// The option.
        option: OptionCode,
    },
    /// An option that the kind of message must have.
    #[error("{kind} without option {option}")]
    Missing {
        /// The message.
        kind: Kind,
        /// What it lacks.
        option: OptionCode,
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
    /// Bytes after the End option.
    #[error("{bytes} bytes behind the end option")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// A decoded message; it borrows from the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// The transaction.
    pub xid: u32,
    /// What it says.
    pub options: Options<'a>,
}

impl<'a> Message<'a> {
    /// Reads a message that has all that its kind must have.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        let message = Self::parse(datagram)?;
        message.require(message.kind.mandatory())?;
        Ok(message)
    }

    /// Reads a message, mandatory options or not: what a server needs to say which one is missing.
    ///
    /// Options that a kind must not have (table 5) are let through: they do no harm.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(datagram);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(WireError::Version { found: version });
        }
        let kind = reader.u8("message type")?;
        let kind = Kind::from_byte(kind).ok_or(WireError::Kind { found: kind })?;
        let family = reader.u16("address family")?;
        if family != FAMILY_IPV4 {
            return Err(WireError::Family { what: "header", found: family });
        }
        let xid = reader.u32("xid")?;
        Ok(Self { kind, xid, options: Options::parse(reader)? })
    }

    /// Whether an ACK has what it must have to answer `request`.
    pub fn answers(&self, request: Kind) -> Result<(), WireError> {
        self.require(request.mandatory_in_ack())
    }

    /// Appends its bytes to `out`. A list or text that is longer than its length field can tell is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(VERSION).u8(self.kind as u8).u16(FAMILY_IPV4).u32(self.xid);
        self.options.encode(&mut writer);
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.encode(&mut out);
        out
    }

    fn require(&self, options: &[OptionCode]) -> Result<(), WireError> {
        match options.iter().find(|option| !self.options.has(**option)) {
            None => Ok(()),
            Some(&option) => Err(WireError::Missing { kind: self.kind, option }),
        }
    }
}

#[cfg(test)]
mod tests;
