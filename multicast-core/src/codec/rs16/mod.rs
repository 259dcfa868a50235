//! GF(2¹⁶): parity by `reed-solomon-simd`, decoding by syndromes on its engine.

mod points;
mod repair;
mod rows;

use bytes::Bytes;
use reed_solomon_simd::{Error, ReedSolomonEncoder};

use self::points::Points;
use self::repair::{Damaged, Repair};
use super::{CodeShape, CodecError, CodecId, ErasureCodec, usable_parity};
use crate::types::SymbolIndex;

/// Keeps working memory between blocks. What only one direction needs is made when it is first used:
/// a clean receiver needs neither.
#[derive(Default)]
pub(super) struct ReedSolomon16 {
    encoder: Option<ReedSolomonEncoder>,
    repair: Option<Repair>,
}

impl ReedSolomon16 {
    fn encoder(&mut self, shape: CodeShape) -> Result<&mut ReedSolomonEncoder, Error> {
        let (k, r, size) = sizes(shape);
        match &mut self.encoder {
            Some(encoder) => encoder.reset(k, r, size)?,
            none => *none = Some(ReedSolomonEncoder::new(k, r, size)?),
        }
        Ok(self.encoder.as_mut().expect("made above"))
    }
}

fn sizes(shape: CodeShape) -> (usize, usize, usize) {
    (usize::from(shape.source), usize::from(shape.parity), usize::from(shape.symbol_size))
}

fn unsupported(shape: CodeShape) -> CodecError {
    CodecError::Shape {
        codec: CodecId::ReedSolomon16,
        source_symbols: shape.source,
        parity_symbols: shape.parity,
        symbol_size: shape.symbol_size,
    }
}

impl ErasureCodec for ReedSolomon16 {
    fn encode(&mut self, shape: CodeShape, source: &[u8], parity: &mut [u8]) -> Result<(), CodecError> {
        let size = usize::from(shape.symbol_size);
        let failed = |_| unsupported(shape);
        let encoder = self.encoder(shape).map_err(failed)?;
        for symbol in source.chunks_exact(size).take(usize::from(shape.source)) {
            encoder.add_original_shard(symbol).map_err(failed)?;
        }
        let encoded = encoder.encode().map_err(failed)?;
        for (out, symbol) in parity.chunks_exact_mut(size).zip(encoded.recovery_iter()) {
            out.copy_from_slice(symbol);
        }
        Ok(())
    }

    fn decode(
        &mut self,
        shape: CodeShape,
        block: &mut [u8],
        present: &[bool],
        parity: &[(SymbolIndex, Bytes)],
    ) -> Result<(), CodecError> {
        let (k, r, size) = sizes(shape);
        debug_assert_eq!((block.len(), present.len()), (shape.source_bytes(), k));
        if !ReedSolomonEncoder::supports(k, r) || size == 0 || !size.is_multiple_of(2) {
            return Err(unsupported(shape));
        }
        let points = Points::new(k, r);
        let missing: Vec<usize> = (0..k).filter(|&i| !present[i]).map(|i| points.source + i).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut usable: Vec<(usize, &[u8])> =
            usable_parity(shape, parity).map(|(index, bytes)| (points.parity + index, bytes.as_ref())).collect();
        usable.sort_by_key(|(point, _)| *point);
        usable.dedup_by_key(|(point, _)| *point);
        if usable.len() < missing.len() {
            return Err(CodecError::TooFewSymbols { have: k - missing.len() + usable.len(), need: k });
        }
        let damaged = Damaged { points, size, block, present, missing: &missing, parity: &usable };
        self.repair.get_or_insert_with(Repair::new).restore(damaged);
        Ok(())
    }
}
