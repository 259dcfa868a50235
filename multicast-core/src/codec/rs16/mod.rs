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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reed_solomon_simd::ReedSolomonDecoder;

    /// Which symbols arrive: loss spread or in one burst, from some parity symbol on, with some to spare.
    #[derive(Debug, Clone, Copy)]
    struct Loss {
        lost: usize,
        burst: bool,
        first_parity: usize,
        parity_loss: f64,
        spare: usize,
        seed: u64,
    }

    impl Loss {
        fn present(&self, k: usize) -> Vec<bool> {
            let mut rng = fastrand::Rng::with_seed(self.seed);
            let mut present = vec![true; k];
            if self.burst {
                let first = rng.usize(..=k - self.lost);
                present[first..first + self.lost].fill(false);
            } else {
                rng.choose_multiple(0..k, self.lost).into_iter().for_each(|i| present[i] = false);
            }
            present
        }

        /// In a random order, as after reordering on the way.
        fn parity(&self, k: usize, r: usize) -> Vec<usize> {
            let mut rng = fastrand::Rng::with_seed(!self.seed);
            let sent = (0..r).map(|i| k + (self.first_parity + i) % r);
            let (mut came, missed): (Vec<_>, Vec<_>) = sent.partition(|_| rng.f64() >= self.parity_loss);
            came.extend(missed);
            came.truncate(self.lost + self.spare);
            rng.shuffle(&mut came);
            came
        }
    }

    /// What the library's decoder makes of the same symbols.
    fn decode_by_fft(shape: CodeShape, block: &mut [u8], present: &[bool], parity: &[(SymbolIndex, Bytes)]) {
        let (k, r, size) = sizes(shape);
        let mut decoder = ReedSolomonDecoder::new(k, r, size).unwrap();
        for (i, symbol) in block.chunks(size).enumerate().filter(|&(i, _)| present[i]) {
            decoder.add_original_shard(i, symbol).unwrap();
        }
        parity.iter().for_each(|(i, bytes)| decoder.add_recovery_shard(i.index() - k, bytes).unwrap());
        for (i, symbol) in decoder.decode().unwrap().restored_original_iter() {
            block[i * size..][..size].copy_from_slice(symbol);
        }
    }

    fn agrees(coder: &mut ReedSolomon16, shape: CodeShape, loss: Loss) {
        let (k, r, size) = sizes(shape);
        let mut source = vec![0; k * size];
        fastrand::Rng::with_seed(loss.seed).fill(&mut source);
        let mut encoded = vec![0; r * size];
        coder.encode(shape, &source, &mut encoded).unwrap();
        let symbol = |i: usize| Bytes::copy_from_slice(&encoded[(i - k) * size..][..size]);

        let present = loss.present(k);
        let parity: Vec<_> = loss.parity(k, r).into_iter().map(|i| (SymbolIndex(i as u16), symbol(i))).collect();
        let mut ours = source.clone();
        ours.chunks_mut(size).zip(&present).filter(|(_, present)| !**present).for_each(|(lost, _)| lost.fill(0xEE));
        let mut theirs = ours.clone();
        coder.decode(shape, &mut ours, &present, &parity).unwrap();
        decode_by_fft(shape, &mut theirs, &present, &parity);
        assert!(ours == theirs && ours == source, "{shape:?} {loss:?}");
    }

    fn shapes() -> impl Strategy<Value = (u16, u16)> {
        prop_oneof![(1u16..1100, 1u16..1100), (1u16..40, 1u16..300), (1u16..300, 1u16..40), (1u16..9, 1u16..9)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn it_agrees_with_the_librarys_decoder(
            (source, parity) in shapes(),
            half in 1u16..80,
            (few, share) in (any::<bool>(), 0.0..=1.0f64),
            burst: bool,
            (from, parity_loss, spare) in (any::<u16>(), 0.0..0.9f64, 0usize..4),
            seed: u64,
        ) {
            let shape = CodeShape { source, parity, symbol_size: 2 * half };
            let most = usize::from(source.min(parity));
            let lost = if few { most.min(1 + (share * 12.0) as usize) } else { 1 + (share * (most - 1) as f64) as usize };
            let loss = Loss { lost, burst, first_parity: (from % parity).into(), parity_loss, spare, seed };
            agrees(&mut ReedSolomon16::default(), shape, loss);
        }
    }

    #[test]
    fn a_coder_changes_between_shapes() {
        let mut coder = ReedSolomon16::default();
        let loss = Loss { lost: 7, burst: false, first_parity: 0, parity_loss: 0.1, spare: 0, seed: 1 };
        for (source, parity, symbol_size, lost) in
            [(1024, 1024, 1440, 10), (37, 1024, 1440, 37), (1024, 1024, 1440, 700), (1024, 16, 62, 16), (3, 2, 2, 1)]
        {
            agrees(&mut coder, CodeShape { source, parity, symbol_size }, Loss { lost, ..loss });
        }
    }

    #[test]
    fn the_largest_blocks_come_back() {
        for (source, parity, lost) in
            [(32_767, 32_767, 9), (32_767, 100, 100), (20, 32_767, 20), (20_000, 32_767, 12_000)]
        {
            let loss = Loss { lost, burst: false, first_parity: 77, parity_loss: 0.05, spare: 0, seed: 2 };
            agrees(&mut ReedSolomon16::default(), CodeShape { source, parity, symbol_size: 2 }, loss);
        }
    }

    #[test]
    fn the_same_parity_symbol_twice_counts_once() {
        let shape = CodeShape { source: 4, parity: 4, symbol_size: 2 };
        let twice = [(SymbolIndex(4), Bytes::from_static(&[1, 2])), (SymbolIndex(4), Bytes::from_static(&[1, 2]))];
        let decoded = ReedSolomon16::default().decode(shape, &mut [0; 8], &[true, false, false, true], &twice);
        assert_eq!(decoded, Err(CodecError::TooFewSymbols { have: 3, need: 4 }));
    }
}
