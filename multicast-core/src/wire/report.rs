//! What a client says of itself while it takes part, and how it is let go.

use super::cursor::{REASON_LIMIT, Reader, Writer};
use super::runs::RunDecoder;
use super::{Kind, WireError};
use crate::types::{BlockIndex, ClientId, Sequence, SessionId};

/// What a client lacks.
///
/// Flag 1: the client has everything, verified and stored; the report then covers nothing.
///
/// | offset | width | field                                                             |
/// |-------:|------:|-------------------------------------------------------------------|
/// |      0 |     8 | common prefix                                                     |
/// |      8 |     8 | client                                                            |
/// |     16 |     4 | as of: symbols sent before the client looked (sequence)           |
/// |     20 |     4 | poll that it answers, 0 if it came by itself                      |
/// |     24 |     4 | symbols received in this session, modulo 2³²                      |
/// |     28 |     4 | datagrams that the client's own socket dropped, modulo 2³²        |
/// |     32 |     4 | blocks verified                                                   |
/// |     36 |     4 | first block that the report covers                                |
/// |     40 |     4 | block that it ends before                                         |
/// |     44 |     … | runs of equal deficit that cover exactly these, see [`RunDecoder`] |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// The session.
    pub session: SessionId,
    /// Who reports.
    pub client: ClientId,
    /// Everything is there.
    pub complete: bool,
    /// Symbols sent before the client looked.
    pub as_of: Sequence,
    /// The poll that it answers, 0 for none.
    pub poll: u32,
    /// Symbols received in this session.
    pub received: u32,
    /// Datagrams that the client's own socket dropped.
    pub dropped: u32,
    /// Blocks verified.
    pub verified: u32,
    /// The first block covered.
    pub from: BlockIndex,
    /// The block that it ends before.
    pub to: BlockIndex,
    /// Encoded runs; checked, they cover exactly `from..to`.
    pub runs: &'a [u8],
}

impl<'a> Report<'a> {
    /// Bytes before the runs.
    pub const HEADER_LEN: usize = 44;

    /// Reads a report and checks that its runs cover what it says.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        let (flags, session, mut r) = Reader::open(datagram, "report", Kind::Report, 1)?;
        let client = r.client()?;
        let (as_of, poll) = (Sequence(r.u32("as of")?), r.u32("poll")?);
        let (received, dropped, verified) = (r.u32("received")?, r.u32("dropped")?, r.u32("verified")?);
        let (from, to) = (BlockIndex(r.u32("first block")?), BlockIndex(r.u32("end block")?));
        let runs = r.rest();
        if to < from {
            return Err(WireError::Value { field: "end block", value: to.0.into(), bound: "at least the first block" });
        }
        RunDecoder::check(runs, from, to)?;
        Ok(Self { session, client, complete: flags & 1 != 0, as_of, poll, received, dropped, verified, from, to, runs })
    }

    /// The runs: ranges of blocks and the symbols that each block of the range lacks, 0 if it is complete.
    pub fn runs(&self) -> RunDecoder<'a> {
        RunDecoder::new(self.runs, self.from)
    }

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer::open(out, Kind::Report, self.complete.into(), self.session);
        w.client(self.client).u32(self.as_of.0).u32(self.poll);
        w.u32(self.received).u32(self.dropped).u32(self.verified);
        w.u32(self.from.0).u32(self.to.0).bytes(self.runs);
        w.finish();
    }
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)* }

        impl $name {
            fn from_wire(reason: u8) -> Result<Self, WireError> {
                match reason {
                    $($value => Ok(Self::$variant),)*
                    other => Err(WireError::Value { field: "reason", value: other.into(), bound: "a known reason" }),
                }
            }
        }
    };
}

reasons! {
    /// Why a client goes without the whole image.
    LeaveReason {
        /// Its disk is full, broken, too small or read-only.
        Disk = 1,
        /// Its user ended it.
        Interrupted = 2,
        /// The offer does not suit what it was started for.
        Unsuitable = 3,
    }
}

reasons! {
    /// Why the session is over for a client.
    ReleaseReason {
        /// The server knows that it has everything.
        Complete = 1,
        /// The operator removed it.
        Removed = 2,
        /// The session was cancelled.
        Cancelled = 3,
        /// It was silent for too long; it may join again.
        Silent = 4,
        /// It is to go on with another stream of the session: it joins again.
        Moved = 5,
        /// It keeps others waiting, or does not get on; it may be started again.
        Evicted = 6,
    }
}

/// A client goes without the whole image.
///
/// | offset | width | field                                                 |
/// |-------:|------:|-------------------------------------------------------|
/// |      0 |     8 | common prefix                                         |
/// |      8 |     8 | client                                                |
/// |     16 |     1 | reason: 1 disk, 2 interrupted, 3 unsuitable           |
/// |     17 |   2+n | the reason in words                                   |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave<'a> {
    /// The session.
    pub session: SessionId,
    /// Who goes.
    pub client: ClientId,
    /// Why.
    pub reason: LeaveReason,
    /// The reason in words.
    pub text: &'a str,
}

/// The session is over for a client.
///
/// | offset | width | field                                                                       |
/// |-------:|------:|-----------------------------------------------------------------------------|
/// |      0 |     8 | common prefix                                                               |
/// |      8 |     8 | client that it is for                                                       |
/// |     16 |     1 | reason: 1 complete, 2 removed, 3 cancelled, 4 silent, 5 moved, 6 evicted    |
/// |     17 |   2+n | the reason in words                                                         |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release<'a> {
    /// The session.
    pub session: SessionId,
    /// The client that it is for.
    pub client: ClientId,
    /// Why.
    pub reason: ReleaseReason,
    /// The reason in words.
    pub text: &'a str,
}

macro_rules! farewell {
    ($name:ident, $kind:expr, $what:literal, $reason:ident) => {
        impl<'a> $name<'a> {
            /// Reads one.
            pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
                let (_, session, mut r) = Reader::open(datagram, $what, $kind, 0)?;
                let client = r.client()?;
                let reason = $reason::from_wire(r.u8("reason")?)?;
                let text = r.text("reason in words", REASON_LIMIT)?;
                r.finish()?;
                Ok(Self { session, client, reason, text })
            }

            /// Appends it to `out`.
            pub fn encode(&self, out: &mut Vec<u8>) {
                let mut w = Writer::open(out, $kind, 0, self.session);
                w.client(self.client).u8(self.reason as u8).text(self.text, REASON_LIMIT);
                w.finish();
            }
        }
    };
}

farewell!(Leave, Kind::Leave, "leave", LeaveReason);
farewell!(Release, Kind::Release, "release", ReleaseReason);
