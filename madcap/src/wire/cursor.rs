//! A reader that names what is missing, and its counterpart.

use std::net::Ipv4Addr;

use super::{OptionCode, WireError};

/// Reads bytes front to back.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
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
        self.array(what).map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn ipv4(&mut self, what: &'static str) -> Result<Ipv4Addr, WireError> {
        self.array::<4>(what).map(Ipv4Addr::from)
    }

    /// Bytes behind a length of 8 bits.
    pub(super) fn short(&mut self, what: &'static str) -> Result<&'a [u8], WireError> {
        let len = self.u8(what)?;
        self.bytes(usize::from(len), what)
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }
}

/// Appends to a buffer.
pub(super) struct Writer<'b> {
    out: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    pub(super) fn new(out: &'b mut Vec<u8>) -> Self {
        Self { out }
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

    pub(super) fn ipv4(&mut self, address: Ipv4Addr) -> &mut Self {
        self.bytes(&address.octets())
    }

    /// Bytes behind a length of 8 bits.
    pub(super) fn short(&mut self, bytes: &[u8]) -> &mut Self {
        let bytes = &bytes[..bytes.len().min(usize::from(u8::MAX))];
        self.u8(bytes.len() as u8).bytes(bytes)
    }

    /// An option whose value is what `fill` writes.
    pub(super) fn option(&mut self, option: OptionCode, fill: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        self.u16(option as u16).u16(0);
        let start = self.out.len();
        fill(&mut Writer { out: self.out });
        self.out.truncate(start + usize::from(u16::MAX));
        let len = (self.out.len() - start) as u16;
        self.out[start - 2..start].copy_from_slice(&len.to_be_bytes());
        self
    }
}
