//! GF(2⁸) by `reed-solomon-erasure`.

use bytes::Bytes;
use reed_solomon_erasure::galois_8::ReedSolomon;

use super::{CodeShape, CodecError, CodecId, ErasureCodec, usable_parity};
use crate::types::SymbolIndex;

/// Keeps the matrix of the last shape: making one costs k³.
#[derive(Default)]
pub(super) struct ReedSolomon8 {
    matrix: Option<(u16, u16, ReedSolomon)>,
}

impl ReedSolomon8 {
    fn matrix(&mut self, shape: CodeShape) -> Result<&ReedSolomon, CodecError> {
        let (k, r) = (shape.source, shape.parity);
        if self.matrix.as_ref().is_none_or(|kept| (kept.0, kept.1) != (k, r)) {
            let unsupported = |_| CodecError::Shape {
                codec: CodecId::ReedSolomon8,
                source_symbols: k,
                parity_symbols: r,
                symbol_size: shape.symbol_size,
            };
            let made = ReedSolomon::new(usize::from(k), usize::from(r)).map_err(unsupported)?;
            self.matrix = Some((k, r, made));
        }
        Ok(&self.matrix.as_ref().expect("made above").2)
    }
}

impl ErasureCodec for ReedSolomon8 {
    fn encode(&mut self, shape: CodeShape, source: &[u8], parity: &mut [u8]) -> Result<(), CodecError> {
        let size = usize::from(shape.symbol_size);
        let matrix = self.matrix(shape)?;
        let source: Vec<&[u8]> = source.chunks_exact(size).collect();
        let mut parity: Vec<&mut [u8]> = parity.chunks_exact_mut(size).collect();
        matrix.encode_sep(&source, &mut parity).expect("as many symbols of one size as the shape says");
        Ok(())
    }

    fn decode(
        &mut self,
        shape: CodeShape,
        block: &mut [u8],
        present: &[bool],
        parity: &[(SymbolIndex, Bytes)],
    ) -> Result<(), CodecError> {
        let (k, r, size) = (usize::from(shape.source), usize::from(shape.parity), usize::from(shape.symbol_size));
        let matrix = self.matrix(shape)?;
        let mut kept = vec![0; r * size];
        let mut have = vec![false; k + r];
        have[..k].copy_from_slice(present);
        for (index, bytes) in usable_parity(shape, parity) {
            kept[index * size..(index + 1) * size].copy_from_slice(bytes);
            have[k + index] = true;
        }
        let count = have.iter().filter(|&&have| have).count();
        if count < k {
            return Err(CodecError::TooFewSymbols { have: count, need: k });
        }
        let mut symbols: Vec<(&mut [u8], bool)> =
            block.chunks_exact_mut(size).chain(kept.chunks_exact_mut(size)).zip(have).collect();
        matrix.reconstruct_data(&mut symbols).expect("k symbols of one size are there");
        Ok(())
    }
}
