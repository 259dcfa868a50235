//! Decodes by syndromes, at a cost that grows with what is missing.
//!
//! The points are taken in cosets of 2^t, t as small as the loss allows:
//! 1. what the source symbols that are here contribute to parity at those cosets that hold the
//!    received parity symbols: each source coset is interpolated, scaled, and added up; together with
//!    the received parity that gives one syndrome for each missing symbol;
//! 2. the inverse of a Cauchy matrix is one again: the syndromes, scaled, are interpolated, and
//!    evaluated at those source cosets that miss symbols.
//!
//! For `k` source symbols and a few missing that is about `k`·(t/2 + 1) multiplications of a symbol,
//! within memory of 2^(t+1) symbols; for many missing no more than encoding twice.

use reed_solomon_simd::engine::DefaultEngine;

use super::points::{Distances, Points, factor, log};
use super::rows::{self, Piece};

/// Restores source symbols; keeps working memory between blocks.
pub(super) struct Repair {
    engine: DefaultEngine,
    distances: Distances,
    work: Vec<Piece>,
}

/// A damaged block.
pub(super) struct Damaged<'a> {
    pub(super) points: Points,
    /// Bytes of a symbol.
    pub(super) size: usize,
    /// The source symbols.
    pub(super) block: &'a mut [u8],
    /// Which of them are there.
    pub(super) present: &'a [bool],
    /// Points of those that are not.
    pub(super) missing: &'a [usize],
    /// Parity symbols with their points, in ascending order; at least as many as are missing.
    pub(super) parity: &'a [(usize, &'a [u8])],
}

/// Neighbouring points from `base` on whose received parity symbols are used.
struct Coset<'a> {
    base: usize,
    parity: &'a [(usize, &'a [u8])],
}

impl Repair {
    pub(super) fn new() -> Self {
        Self { engine: DefaultEngine::new(), distances: Distances::default(), work: Vec::new() }
    }

    /// Fills in what is missing.
    pub(super) fn restore(&mut self, damaged: Damaged<'_>) {
        let (coset_log, cosets) = choose_cosets(&damaged);
        let pieces = rows::pieces(damaged.size);
        self.work.resize((1 + cosets.len()) * (pieces << coset_log), [0; 64]);
        let step = Step {
            engine: &self.engine,
            coset_log,
            pieces,
            points: damaged.points,
            size: damaged.size,
            cosets: &cosets,
        };
        let (scratch, sums) = self.work.split_at_mut(pieces << coset_log);
        step.parity_of_present(&damaged, scratch, sums);
        let used: Vec<usize> = cosets.iter().flat_map(|coset| coset.parity).map(|&(point, _)| point).collect();
        let quotient = self.distances.quotient(damaged.missing, &used);
        step.syndromes(sums, quotient);
        step.solve(damaged, scratch, sums, quotient);
    }
}

/// The size of coset at which the work is least, as a logarithm, and the cosets whose parity is used.
fn choose_cosets<'a>(damaged: &Damaged<'a>) -> (u32, Vec<Coset<'a>>) {
    let costs = (0..=damaged.points.chunk_log).map(|coset_log| {
        let (cosets, _) = fullest(damaged, coset_log);
        (work(damaged, coset_log, cosets.len()), coset_log)
    });
    let (_, coset_log) = costs.min().expect("a range that is not empty");
    let (mut cosets, surplus) = fullest(damaged, coset_log);
    // Exactly as many parity symbols as are missing make the matrix a square one.
    if let Some(last) = cosets.last_mut() {
        last.parity = &last.parity[..last.parity.len() - surplus];
    }
    (coset_log, cosets)
}

/// The fewest cosets that together hold enough parity, and how much more than enough.
fn fullest<'a>(damaged: &Damaged<'a>, coset_log: u32) -> (Vec<Coset<'a>>, usize) {
    let groups = damaged.parity.chunk_by(|(a, _), (b, _)| a >> coset_log == b >> coset_log);
    let mut cosets: Vec<Coset<'a>> =
        groups.map(|parity| Coset { base: parity[0].0 >> coset_log << coset_log, parity }).collect();
    cosets.sort_by_key(|coset| std::cmp::Reverse(coset.parity.len()));
    let (mut have, mut count) = (0, 0);
    while have < damaged.missing.len() {
        have += cosets[count].parity.len();
        count += 1;
    }
    cosets.truncate(count);
    (cosets, have - damaged.missing.len())
}

/// Multiplications of a symbol, about, with `cosets` cosets of parity.
fn work(damaged: &Damaged<'_>, coset_log: u32, cosets: usize) -> usize {
    let size = 1 << coset_log;
    let transform = size * coset_log as usize / 2;
    let source = damaged.present.len().div_ceil(size);
    let incomplete = damaged.missing.chunk_by(|a, b| a >> coset_log == b >> coset_log).count();
    source * (transform + cosets * size) + 2 * cosets * transform + incomplete * (transform + cosets * size)
}

/// What both halves of the work share.
struct Step<'a> {
    engine: &'a DefaultEngine,
    coset_log: u32,
    /// Pieces of a row.
    pieces: usize,
    points: Points,
    /// Bytes of a symbol.
    size: usize,
    cosets: &'a [Coset<'a>],
}

impl Step<'_> {
    /// Sets `sums`, a coset behind the other, to the parity of the source symbols that are there.
    fn parity_of_present(&self, damaged: &Damaged<'_>, scratch: &mut [Piece], sums: &mut [Piece]) {
        sums.fill([0; 64]);
        let symbols = damaged.block.chunks(self.size << self.coset_log);
        let present = damaged.present.chunks(1 << self.coset_log);
        for (number, (symbols, present)) in symbols.zip(present).enumerate() {
            let base = self.points.source + (number << self.coset_log);
            let mut rows = scratch.chunks_exact_mut(self.pieces);
            for ((symbol, &present), row) in symbols.chunks_exact(self.size).zip(present).zip(&mut rows) {
                if present { rows::load(row, symbol) } else { row.fill([0; 64]) }
            }
            rows.for_each(|row| row.fill([0; 64]));
            rows::interpolate(self.engine, scratch, self.pieces, present.len(), base);
            let mut scaled = 0;
            for (coset, sum) in self.cosets.iter().zip(self.each_coset(sums)) {
                let share = self.points.share(base, coset.base, self.coset_log);
                rows::multiply(self.engine, scratch, factor(share - scaled));
                scaled = share;
                rows::add(sum, scratch);
            }
        }
        for (coset, sum) in self.cosets.iter().zip(self.each_coset(sums)) {
            let used = coset.parity.last().map_or(0, |(point, _)| point - coset.base + 1);
            rows::evaluate(self.engine, sum, self.pieces, used, coset.base);
        }
    }

    /// Turns the parity of what is there into the polynomials by which what is missing is found.
    fn syndromes(&self, sums: &mut [Piece], quotient: &[i64]) {
        for (coset, sum) in self.cosets.iter().zip(self.each_coset(sums)) {
            let mut parity = coset.parity.iter().peekable();
            for (point, row) in (coset.base..).zip(sum.chunks_exact_mut(self.pieces)) {
                match parity.next_if(|(at, _)| *at == point) {
                    Some((_, symbol)) => {
                        rows::add_symbol(row, symbol);
                        rows::multiply(self.engine, row, factor(quotient[point] - self.points.scale(point)));
                    }
                    None => row.fill([0; 64]),
                }
            }
            let used = coset.parity.last().map_or(0, |(point, _)| point - coset.base + 1);
            rows::interpolate(self.engine, sum, self.pieces, used, coset.base);
        }
    }

    /// Evaluates those polynomials, `sums`, where symbols are missing, and stores these.
    fn solve(&self, damaged: Damaged<'_>, scratch: &mut [Piece], sums: &mut [Piece], quotient: &[i64]) {
        let mut scaled = vec![0; self.cosets.len()];
        let first = &self.cosets[0];
        for missing in damaged.missing.chunk_by(|a, b| a >> self.coset_log == b >> self.coset_log) {
            let base = missing[0] >> self.coset_log << self.coset_log;
            let vanishing = |coset: &Coset<'_>| log((base ^ coset.base) >> self.coset_log);
            scratch.fill([0; 64]);
            for ((coset, sum), scaled) in self.cosets.iter().zip(self.each_coset(sums)).zip(&mut scaled) {
                // The first one's share is left as it is: it goes into the last factor.
                let share = vanishing(first) - vanishing(coset);
                rows::multiply(self.engine, sum, factor(share - *scaled));
                *scaled = share;
                rows::add(scratch, sum);
            }
            let used = missing[missing.len() - 1] - base + 1;
            rows::evaluate(self.engine, scratch, self.pieces, used, base);
            for &point in missing {
                let row = &mut scratch[(point - base) * self.pieces..][..self.pieces];
                let last = -quotient[point] - self.points.scale(point) - vanishing(first);
                rows::multiply(self.engine, row, factor(last));
                let start = (point - self.points.source) * self.size;
                rows::store(row, &mut damaged.block[start..start + self.size]);
            }
        }
    }

    fn each_coset<'b>(&self, sums: &'b mut [Piece]) -> impl Iterator<Item = &'b mut [Piece]> {
        sums.chunks_exact_mut(self.pieces << self.coset_log)
    }
}
