//! The symbol: the only datagram that carries bytes of the image.

use super::{Kind, WireError, peek};
use crate::types::{BlockIndex, Sequence, SessionId, SymbolIndex};

/// Bytes before a symbol's payload.
pub const SYMBOL_HEADER_LEN: usize = 16;

/// One symbol of a block: a slice of the image or a parity symbol of it.
///
/// | offset | width | field                                                 |
/// |-------:|------:|-------------------------------------------------------|
/// |      0 |     1 | version and kind                                      |
/// |      1 |     1 | flags, 0                                              |
/// |      2 |     2 | symbol: below the block's `k` source, from `k` parity |
/// |      4 |     4 | session                                               |
/// |      8 |     4 | block                                                 |
/// |     12 |     4 | sequence: symbols sent before this one                |
/// |     16 |     … | payload: exactly one symbol, filled up with zeros     |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// The session that it belongs to.
    pub session: SessionId,
    /// Block of the stream.
    pub block: BlockIndex,
    /// Symbol of the block.
    pub symbol: SymbolIndex,
    /// Its number among all symbols sent.
    pub sequence: Sequence,
    /// The symbol's bytes.
    pub payload: &'a [u8],
}

impl<'a> Symbol<'a> {
    /// Reads a symbol; how long a payload must be only the session knows.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        let (_, kind) = peek(datagram)?;
        if kind != Kind::Symbol {
            return Err(WireError::Kind { found: kind as u8 });
        }
        let (header, payload) = datagram
            .split_first_chunk::<SYMBOL_HEADER_LEN>()
            .ok_or(WireError::Truncated { what: "the symbol's header" })?;
        let [_, flags, s0, s1, n0, n1, n2, n3, b0, b1, b2, b3, q0, q1, q2, q3] = *header;
        if flags != 0 {
            return Err(WireError::Flags { what: "symbol", found: flags });
        }
        Ok(Self {
            session: SessionId(u32::from_be_bytes([n0, n1, n2, n3])),
            block: BlockIndex(u32::from_be_bytes([b0, b1, b2, b3])),
            symbol: SymbolIndex(u16::from_be_bytes([s0, s1])),
            sequence: Sequence(u32::from_be_bytes([q0, q1, q2, q3])),
            payload,
        })
    }

    /// The bytes before the payload, which the sender gathers from the image itself.
    pub fn header(&self) -> [u8; SYMBOL_HEADER_LEN] {
        let mut header = [0; SYMBOL_HEADER_LEN];
        header[0] = Kind::Symbol.first_byte();
        header[2..4].copy_from_slice(&self.symbol.0.to_be_bytes());
        header[4..8].copy_from_slice(&self.session.0.to_be_bytes());
        header[8..12].copy_from_slice(&self.block.0.to_be_bytes());
        header[12..16].copy_from_slice(&self.sequence.0.to_be_bytes());
        header
    }
}
