//! A reader that names what is missing, and its counterpart.

use std::net::{IpAddr, Ipv6Addr};

use super::{Kind, WireError};
use crate::types::{ClientId, SessionId};

/// Bytes of a name at most; longer ones are cut.
pub(super) const TEXT_LIMIT: usize = 255;

/// Bytes of a reason in words at most; longer ones are cut.
pub(super) const REASON_LIMIT: usize = 1024;

/// Reads a control datagram front to back.
pub(super) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks the common prefix of a control datagram; the caller has peeked at version and kind.
    pub(super) fn open(
        datagram: &'a [u8],
        what: &'static str,
        kind: Kind,
        known_flags: u8,
    ) -> Result<(u8, SessionId, Self), WireError> {
        let mut reader = Self { what, rest: datagram };
        let first = reader.u8("version and kind")?;
        if first & 0x0F != kind as u8 {
            return Err(WireError::Kind { found: first & 0x0F });
        }
        let flags = reader.u8("flags")?;
        if flags & !known_flags != 0 {
            return Err(WireError::Flags { what, found: flags });
        }
        let claimed = reader.u16("length")?;
        if usize::from(claimed) != datagram.len() {
            return Err(WireError::Length { claimed, actual: datagram.len() });
        }
        let session = SessionId(reader.u32("session")?);
        Ok((flags, session, reader))
    }

    pub(super) fn bytes(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated { what })?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated { what })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, WireError> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(super) fn client(&mut self) -> Result<ClientId, WireError> {
        self.array("client").map(u64::from_be_bytes).map(ClientId)
    }

    pub(super) fn hash(&mut self, what: &'static str) -> Result<[u8; 32], WireError> {
        self.array(what)
    }

    /// An IPv6 address, or an IPv4 one mapped into it (RFC 4291 §2.5.5.2).
    pub(super) fn address(&mut self, what: &'static str) -> Result<IpAddr, WireError> {
        let address = Ipv6Addr::from(self.array::<16>(what)?);
        Ok(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
    }

    /// Bytes behind a length of 16 bits.
    pub(super) fn sized(&mut self, what: &'static str) -> Result<&'a [u8], WireError> {
        let len = self.u16(what)?;
        self.bytes(usize::from(len), what)
    }

    /// Text of at most `limit` bytes, as [`Writer::text`] writes it: what a terminal would obey is refused.
    pub(super) fn text(&mut self, what: &'static str, limit: usize) -> Result<&'a str, WireError> {
        let bytes = self.sized(what)?;
        if bytes.len() > limit {
            return Err(WireError::TooLong { what, bytes: bytes.len(), limit });
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control));
        text.ok_or(WireError::Text { what })
    }

    /// So many zeros.
    pub(super) fn zeros(&mut self, len: usize, what: &'static str) -> Result<(), WireError> {
        match self.bytes(len, what)?.iter().find(|byte| **byte != 0) {
            None => Ok(()),
            Some(byte) => Err(WireError::Value { field: what, value: (*byte).into(), bound: "0" }),
        }
    }

    /// Nothing but zeros may be left.
    pub(super) fn only_zeros(mut self, what: &'static str) -> Result<(), WireError> {
        self.zeros(self.rest.len(), what)
    }

    /// Everything that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(WireError::Trailing { what: self.what, bytes }),
        }
    }
}

/// Appends one control datagram to a buffer.
pub(super) struct Writer<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
}

impl<'b> Writer<'b> {
    pub(super) fn open(out: &'b mut Vec<u8>, kind: Kind, flags: u8, session: SessionId) -> Self {
        let start = out.len();
        out.extend([kind.first_byte(), flags, 0, 0]);
        out.extend(session.0.to_be_bytes());
        Self { out, start }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn client(&mut self, client: ClientId) -> &mut Self {
        self.bytes(&client.0.to_be_bytes())
    }

    pub(super) fn address(&mut self, address: IpAddr) -> &mut Self {
        let mapped = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        self.bytes(&mapped.octets())
    }

    /// Bytes behind a length of 16 bits.
    pub(super) fn sized(&mut self, bytes: &[u8]) -> &mut Self {
        self.u16(bytes.len() as u16).bytes(bytes)
    }

    /// Text of at most `limit` bytes, cut at a character's border where it is longer, with blanks for
    /// control characters.
    pub(super) fn text(&mut self, text: &str, limit: usize) -> &mut Self {
        let text = text.replace(char::is_control, " ");
        let mut end = text.len().min(limit);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.sized(&text.as_bytes()[..end])
    }

    /// Zeros until the buffer has `end` bytes.
    pub(super) fn zeros_to(&mut self, end: usize) -> &mut Self {
        self.out.resize(end.max(self.out.len()), 0);
        self
    }

    /// Sets the length, now that it is known.
    pub(super) fn finish(self) {
        let len = (self.out.len() - self.start) as u16;
        self.out[self.start + 2..self.start + 4].copy_from_slice(&len.to_be_bytes());
    }
}

/// What belongs to no session names none.
pub(super) fn no_session(session: SessionId) -> Result<(), WireError> {
    match session {
        SessionId(0) => Ok(()),
        SessionId(session) => Err(WireError::Value { field: "session", value: session.into(), bound: "0" }),
    }
}
