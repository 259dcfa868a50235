//! How a client comes in: it asks, and is offered the session's terms or refused.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::cursor::{REASON_LIMIT, Reader, TEXT_LIMIT, Writer};
use super::{Kind, VERSION, WireError};
use crate::codec::CodecId;
use crate::layout::{FileEntry, Geometry};
use crate::types::{ClientId, SessionId, Slot};

/// Bytes of a credential at most; longer ones are cut.
const CREDENTIAL_LIMIT: usize = 512;

/// How an offer says that it does not know the group's source.
const UNKNOWN: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// A client asks for an image.
///
/// | offset | width | field                                               |
/// |-------:|------:|-----------------------------------------------------|
/// |      0 |     8 | common prefix; session 0                            |
/// |      8 |     8 | client                                              |
/// |     16 |   2+n | name of the image, empty for the server's only one  |
/// |      … |   2+n | host name of the client, for people to read         |
/// |      … |   2+n | credential, empty in this version                   |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Join<'a> {
    /// Who asks.
    pub client: ClientId,
    /// The image's name, empty for the server's only one.
    pub image: &'a str,
    /// The client's host name.
    pub host: &'a str,
    /// What proves the client's identity; empty in this version.
    pub credential: &'a [u8],
}

impl<'a> Join<'a> {
    /// Reads a join.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        let (_, session, mut r) = Reader::open(datagram, "join", Kind::Join, 0)?;
        if session != SessionId(0) {
            return Err(WireError::Value { field: "session", value: session.0.into(), bound: "0 in a join" });
        }
        let client = r.client()?;
        let (image, host) = (r.text("name of the image", TEXT_LIMIT)?, r.text("host name", TEXT_LIMIT)?);
        let credential = r.sized("credential")?;
        if credential.len() > CREDENTIAL_LIMIT {
            let bytes = credential.len();
            return Err(WireError::TooLong { what: "credential", bytes, limit: CREDENTIAL_LIMIT });
        }
        r.finish()?;
        Ok(Self { client, image, host, credential })
    }

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer::open(out, Kind::Join, 0, SessionId(0));
        w.client(self.client).text(self.image, TEXT_LIMIT).text(self.host, TEXT_LIMIT);
        w.sized(&self.credential[..self.credential.len().min(CREDENTIAL_LIMIT)]);
        w.finish();
    }
}

/// The terms of a session; all that a client needs to take part.
///
/// Flag 1: membership of the group is to be source-specific (RFC 4607).
///
/// | offset | width | field                                                        |
/// |-------:|------:|--------------------------------------------------------------|
/// |      0 |     8 | common prefix                                                |
/// |      8 |     8 | client that it is for                                        |
/// |     16 |     4 | the client's slot                                            |
/// |     20 |    16 | group, an IPv4 one mapped into IPv6                          |
/// |     36 |     2 | UDP port of the group                                        |
/// |     38 |    16 | address that the group's datagrams come from, :: if unknown  |
/// |     54 |     1 | codec: 1 Reed-Solomon GF(2⁸), 2 Reed-Solomon GF(2¹⁶) Leopard |
/// |     55 |     1 | protection of the payload: 0 none                            |
/// |     56 |     2 | bytes of a symbol                                            |
/// |     58 |     2 | source symbols of a full block                               |
/// |     60 |     2 | parity symbols of every block                                |
/// |     62 |     4 | ms of silence after which a client is given up               |
/// |     66 |    32 | BLAKE3 of the encoded manifest                               |
/// |     98 |   2+n | name of the image                                            |
/// |      … |     … | table of files, as in the manifest                           |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The session.
    pub session: SessionId,
    /// The client that it is for.
    pub client: ClientId,
    /// The client's place in the polls.
    pub slot: Slot,
    /// Group and port of the symbols and heartbeats.
    pub group: SocketAddr,
    /// Where they come from, if that is known.
    pub source: Option<IpAddr>,
    /// Join the group for this source only.
    pub source_specific: bool,
    /// How the image is cut and coded.
    pub geometry: Geometry,
    /// Milliseconds of silence after which a client is given up.
    pub silence_ms: u32,
    /// BLAKE3 of the encoded manifest.
    pub manifest_root: [u8; 32],
    /// Name of the image.
    pub image: String,
    /// The files, as the manifest will repeat them.
    pub files: Vec<FileEntry>,
}

impl Offer {
    /// Reads an offer; whether its geometry makes sense [`Layout::new`](crate::layout::Layout::new) tells.
    pub fn decode(datagram: &[u8]) -> Result<Self, WireError> {
        let (flags, session, mut r) = Reader::open(datagram, "offer", Kind::Offer, 1)?;
        let (client, slot) = (r.client()?, Slot(r.u32("slot")?));
        let group = SocketAddr::new(r.address("group")?, r.u16("port")?);
        let source = Some(r.address("source")?).filter(|a| *a != UNKNOWN);
        if source.is_some_and(|a| a.is_unspecified()) {
            return Err(WireError::Value { field: "source", value: 0, bound: "an address, or :: if it is unknown" });
        }
        let codec = r.u8("codec")?;
        let codec = CodecId::from_wire(codec).ok_or(WireError::Value {
            field: "codec",
            value: codec.into(),
            bound: "1 or 2",
        })?;
        let protection = r.u8("protection")?;
        if protection != 0 {
            return Err(WireError::Value { field: "protection", value: protection.into(), bound: "0 (none)" });
        }
        let geometry = Geometry {
            symbol_size: r.u16("symbol size")?,
            block_symbols: r.u16("symbols a block")?,
            parity_symbols: r.u16("parity symbols")?,
            codec,
        };
        let silence_ms = r.u32("silence")?;
        let manifest_root = r.hash("manifest's hash")?;
        let image = r.text("name of the image", TEXT_LIMIT)?.to_owned();
        let table = r.rest();
        let (files, used) = crate::manifest::decode_file_table(table).map_err(|e| WireError::Files(e.to_string()))?;
        if used != table.len() {
            return Err(WireError::Trailing { what: "offer", bytes: table.len() - used });
        }
        Ok(Self {
            session,
            client,
            slot,
            group,
            source,
            source_specific: flags & 1 != 0,
            geometry,
            silence_ms,
            manifest_root,
            image,
            files,
        })
    }

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut table = Vec::new();
        crate::manifest::encode_file_table(&self.files, &mut table);
        let mut w = Writer::open(out, Kind::Offer, self.source_specific.into(), self.session);
        w.client(self.client).u32(self.slot.0);
        w.address(self.group.ip()).u16(self.group.port());
        w.address(self.source.unwrap_or(UNKNOWN));
        let g = &self.geometry;
        w.u8(g.codec as u8).u8(0).u16(g.symbol_size).u16(g.block_symbols).u16(g.parity_symbols);
        w.u32(self.silence_ms).bytes(&self.manifest_root).text(&self.image, TEXT_LIMIT).bytes(&table);
        w.finish();
    }
}

/// Why a server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[repr(u8)]
pub enum RefuseReason {
    /// It speaks another version of the protocol.
    Version = 1,
    /// It has no image of that name.
    NoSuchImage = 2,
    /// It has several, and none was named.
    Ambiguous = 3,
    /// The session has all the clients it may have.
    Full = 4,
    /// The image is being prepared.
    Preparing = 5,
    /// The operator removed this client from the session.
    Removed = 6,
    /// It knows nothing of the session that a datagram named.
    UnknownSession = 7,
    /// Not by multicast, or not now: the client is to take the image by unicast.
    Unicast = 8,
}

impl RefuseReason {
    fn from_wire(reason: u8) -> Option<Self> {
        Some(match reason {
            1 => Self::Version,
            2 => Self::NoSuchImage,
            3 => Self::Ambiguous,
            4 => Self::Full,
            5 => Self::Preparing,
            6 => Self::Removed,
            7 => Self::UnknownSession,
            8 => Self::Unicast,
            _ => return None,
        })
    }
}

/// No, and why. The only datagram that an end of another version can read: its layout stays.
///
/// | offset | width | field                                                                   |
/// |-------:|------:|-------------------------------------------------------------------------|
/// |      0 |     8 | common prefix; the version is the refusing end's                        |
/// |      8 |     8 | client that it is for, 0 if that could not be read                      |
/// |     16 |     1 | reason: 1 version, 2 no such image, 3 ambiguous, 4 full, 5 preparing, 6 removed, 7 unknown session, 8 unicast |
/// |     17 |     1 | version that the refusing end speaks                                    |
/// |     18 |     4 | ms after which another try makes sense, 0 if none does                  |
/// |     22 |   2+n | the reason in words                                                     |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The session that the refused datagram named, or none.
    pub session: SessionId,
    /// The client that it is for.
    pub client: ClientId,
    /// Why.
    pub reason: RefuseReason,
    /// The version that the refusing end speaks.
    pub speaks: u8,
    /// Milliseconds after which another try makes sense, 0 if none does.
    pub retry_ms: u32,
    /// The reason in words.
    pub text: &'a str,
}

impl<'a> Refusal<'a> {
    /// A refusal by this end.
    pub fn new(client: ClientId, reason: RefuseReason, retry_ms: u32, text: &'a str) -> Self {
        Self { session: SessionId(0), client, reason, speaks: VERSION, retry_ms, text }
    }

    /// Reads a refusal of any version.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        let (_, session, mut r) = Reader::open(datagram, "refusal", Kind::Refusal, 0)?;
        let client = r.client()?;
        let reason = r.u8("reason")?;
        let reason = RefuseReason::from_wire(reason).ok_or(WireError::Value {
            field: "reason",
            value: reason.into(),
            bound: "1 to 8",
        })?;
        let (speaks, retry_ms, text) =
            (r.u8("version spoken")?, r.u32("retry time")?, r.text("reason in words", REASON_LIMIT)?);
        r.finish()?;
        Ok(Self { session, client, reason, speaks, retry_ms, text })
    }

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer::open(out, Kind::Refusal, 0, self.session);
        w.client(self.client).u8(self.reason as u8).u8(self.speaks).u32(self.retry_ms).text(self.text, REASON_LIMIT);
        w.finish();
    }
}
