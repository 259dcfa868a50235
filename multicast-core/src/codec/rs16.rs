//! GF(2¹⁶) by `reed-solomon-simd`.

use bytes::Bytes;
use reed_solomon_simd::{Error, ReedSolomonDecoder, ReedSolomonEncoder};

use super::{CodeShape, CodecError, CodecId, ErasureCodec, usable_parity};
use crate::types::SymbolIndex;

/// Keeps both coders' working memory between blocks.
#[derive(Default)]
pub(super) struct ReedSolomon16 {
    encoder: Option<ReedSolomonEncoder>,
    decoder: Option<ReedSolomonDecoder>,
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

    fn decoder(&mut self, shape: CodeShape) -> Result<&mut ReedSolomonDecoder, Error> {
        let (k, r, size) = sizes(shape);
        match &mut self.decoder {
            Some(decoder) => decoder.reset(k, r, size)?,
            none => *none = Some(ReedSolomonDecoder::new(k, r, size)?),
        }
        Ok(self.decoder.as_mut().expect("made above"))
    }
}

fn sizes(shape: CodeShape) -> (usize, usize, usize) {
    (usize::from(shape.source), usize::from(shape.parity), usize::from(shape.symbol_size))
}

impl ErasureCodec for ReedSolomon16 {
    fn encode(&mut self, shape: CodeShape, source: &[u8], parity: &mut [u8]) -> Result<(), CodecError> {
        let size = usize::from(shape.symbol_size);
        let failed = |error| to_codec_error(shape, error);
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
        let size = usize::from(shape.symbol_size);
        let failed = |error| to_codec_error(shape, error);
        debug_assert_eq!(block.len(), shape.source_bytes());
        let decoder = self.decoder(shape).map_err(failed)?;
        for (index, symbol) in block.chunks_exact(size).enumerate().filter(|&(i, _)| present[i]) {
            decoder.add_original_shard(index, symbol).map_err(failed)?;
        }
        for (index, bytes) in usable_parity(shape, parity) {
            decoder.add_recovery_shard(index, bytes).map_err(failed)?;
        }
        let decoded = decoder.decode().map_err(failed)?;
        for (index, symbol) in decoded.restored_original_iter() {
            block[index * size..(index + 1) * size].copy_from_slice(symbol);
        }
        Ok(())
    }
}

fn to_codec_error(shape: CodeShape, error: Error) -> CodecError {
    match error {
        Error::NotEnoughShards { original_count, original_received_count, recovery_received_count } => {
            CodecError::TooFewSymbols { have: original_received_count + recovery_received_count, need: original_count }
        }
        _ => CodecError::Shape {
            codec: CodecId::ReedSolomon16,
            source_symbols: shape.source,
            parity_symbols: shape.parity,
            symbol_size: shape.symbol_size,
        },
    }
}
