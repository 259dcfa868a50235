//! Erasure codes: any `k` distinct symbols of a block, source or parity, give the block back.

mod rs16;
mod rs8;

use bytes::Bytes;

use crate::types::SymbolIndex;

/// A code by its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[repr(u8)]
pub enum CodecId {
    /// Reed-Solomon over GF(2⁸), Vandermonde made systematic: at most 255 symbols in all, O(k·r).
    ReedSolomon8 = 1,
    /// Reed-Solomon over GF(2¹⁶) by FFT (Leopard): at most 32,768 of each kind, O(n log n).
    ReedSolomon16 = 2,
}

impl CodecId {
    /// The code of this number, if there is one.
    pub fn from_wire(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::ReedSolomon8),
            2 => Some(Self::ReedSolomon16),
            _ => None,
        }
    }

    /// Source and parity symbols of a block at most.
    pub fn limits(self) -> (u16, u16) {
        match self {
            Self::ReedSolomon8 => (254, 254),
            Self::ReedSolomon16 => (32_767, 32_767),
        }
    }

    /// Symbols of both kinds together at most.
    pub fn total_limit(self) -> usize {
        match self {
            Self::ReedSolomon8 => 255,
            // A symbol's index is 16 bits on the wire.
            Self::ReedSolomon16 => 65_534,
        }
    }

    /// A coder for it; it keeps tables and working memory between blocks.
    pub fn coder(self) -> Box<dyn ErasureCodec> {
        match self {
            Self::ReedSolomon8 => Box::new(rs8::ReedSolomon8::default()),
            Self::ReedSolomon16 => Box::new(rs16::ReedSolomon16::default()),
        }
    }
}

/// The sizes of one coded block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeShape {
    /// Source symbols, `k`.
    pub source: u16,
    /// Parity symbols, `r`; both ends must use the same, it shapes the code.
    pub parity: u16,
    /// Bytes of a symbol, even.
    pub symbol_size: u16,
}

impl CodeShape {
    fn source_bytes(&self) -> usize {
        usize::from(self.source) * usize::from(self.symbol_size)
    }
}

/// What a code cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Sizes that the code does not support.
    #[error("{codec:?} cannot code {source_symbols} source and {parity_symbols} parity symbols of {symbol_size} bytes")]
    Shape {
        /// The code.
        codec: CodecId,
        /// Source symbols asked for.
        source_symbols: u16,
        /// Parity symbols asked for.
        parity_symbols: u16,
        /// Bytes of a symbol asked for.
        symbol_size: u16,
    },
    /// Fewer than `k` distinct symbols.
    #[error("{have} of {need} symbols are there")]
    TooFewSymbols {
        /// Distinct symbols given.
        have: usize,
        /// The block's `k`.
        need: usize,
    },
}

/// Makes parity symbols from a block and a block from any `k` of its symbols.
pub trait ErasureCodec: Send {
    /// Fills `parity` (`shape.parity` symbols) from `source` (`shape.source` symbols, the last one
    /// filled up with zeros).
    fn encode(&mut self, shape: CodeShape, source: &[u8], parity: &mut [u8]) -> Result<(), CodecError>;

    /// Restores the source symbols that are missing in `block`; `present[i]` says whether source
    /// symbol `i` is there, `parity` lists parity symbols by their index from `k` on.
    fn decode(
        &mut self,
        shape: CodeShape,
        block: &mut [u8],
        present: &[bool],
        parity: &[(SymbolIndex, Bytes)],
    ) -> Result<(), CodecError>;
}

/// The parity symbols of `parity` that fit `shape`, by their index among the parity symbols.
fn usable_parity(shape: CodeShape, parity: &[(SymbolIndex, Bytes)]) -> impl Iterator<Item = (usize, &Bytes)> {
    let (k, r) = (usize::from(shape.source), usize::from(shape.parity));
    parity
        .iter()
        .filter(move |(symbol, bytes)| {
            (k..k + r).contains(&symbol.index()) && bytes.len() == usize::from(shape.symbol_size)
        })
        .map(move |(symbol, bytes)| (symbol.index() - k, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn restores_any_loss(codec: CodecId, shape: CodeShape, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (k, r, size) = (usize::from(shape.source), usize::from(shape.parity), usize::from(shape.symbol_size));
        let source: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(k * size).collect();
        let mut parity = vec![0; r * size];
        let mut coder = codec.coder();
        coder.encode(shape, &source, &mut parity).unwrap();

        let mut survivors: Vec<usize> = (0..k + r).collect();
        rng.shuffle(&mut survivors);
        survivors.truncate(k);
        let present: Vec<bool> = (0..k).map(|i| survivors.contains(&i)).collect();
        let mut damaged = source.clone();
        for (i, symbol) in damaged.chunks_mut(size).enumerate() {
            if !present[i] {
                symbol.fill(0xEE);
            }
        }
        let kept: Vec<_> = survivors
            .iter()
            .filter(|&&i| i >= k)
            .map(|&i| (SymbolIndex(i as u16), Bytes::copy_from_slice(&parity[(i - k) * size..(i - k + 1) * size])))
            .collect();
        coder.decode(shape, &mut damaged, &present, &kept).unwrap();
        assert!(damaged == source, "{codec:?} {shape:?} seed {seed}");

        if let Some((_, fewer)) = kept.split_last() {
            let short = coder.decode(shape, &mut damaged, &present, fewer);
            assert_eq!(short, Err(CodecError::TooFewSymbols { have: k - 1, need: k }));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_k_of_a_small_block_restore_it(k in 1u16..60, r in 1u16..60, half in 1u16..20, seed: u64) {
            restores_any_loss(CodecId::ReedSolomon8, CodeShape { source: k, parity: r, symbol_size: half * 2 }, seed);
        }

        #[test]
        fn any_k_of_a_large_block_restore_it(k in 1u16..700, r in 1u16..600, half in 1u16..20, seed: u64) {
            restores_any_loss(CodecId::ReedSolomon16, CodeShape { source: k, parity: r, symbol_size: half * 2 }, seed);
        }
    }
}
