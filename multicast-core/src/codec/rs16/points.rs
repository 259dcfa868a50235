//! Where a block's symbols stand in the field, and the few products that follow from it.
//!
//! The code evaluates a polynomial at 65,536 points, numbered as the field's elements are written (in
//! a Cantor basis). A chunk is 2^m neighbouring points. High rate: parity is chunk 0, the source is
//! the chunks behind it. Low rate: the source is chunk 0, parity is the chunks behind it.
//!
//! For a Cantor basis the polynomial that vanishes on points `0..2^t` takes `x` to `x >> t`, and its
//! derivative is 1. So parity at point `x` has of the source symbol at point `y` the share
//!
//! ```text
//! g(x, y) = ((x ^ y) >> m) / (x ^ y)
//! ```
//!
//! a Cauchy matrix whose rows and columns are scaled, and all that decoding needs is in closed form.

use reed_solomon_simd::engine::{GF_MODULUS, tables};

/// Whether parity of `k` and `r` symbols is the code's high-rate variant.
fn is_high_rate(k: usize, r: usize) -> bool {
    let (k_chunk, r_chunk) = (k.next_power_of_two(), r.next_power_of_two());
    k_chunk > r_chunk || (k_chunk == r_chunk && k <= r)
}

/// The points of one shape's symbols.
#[derive(Debug, Clone, Copy)]
pub(super) struct Points {
    /// Point of the first source symbol, the others follow.
    pub(super) source: usize,
    /// Point of the first parity symbol, the others follow.
    pub(super) parity: usize,
    /// A chunk is two to the power of this many points: `m`.
    pub(super) chunk_log: u32,
}

impl Points {
    pub(super) fn new(k: usize, r: usize) -> Self {
        if is_high_rate(k, r) {
            let chunk = r.next_power_of_two();
            Self { source: chunk, parity: 0, chunk_log: chunk.ilog2() }
        } else {
            let chunk = k.next_power_of_two();
            Self { source: 0, parity: chunk, chunk_log: chunk.ilog2() }
        }
    }

    /// Logarithm of `x >> m`, or 0, which scales the matrix' row or column of point `x`; only the rows or
    /// only the columns have one.
    pub(super) fn scale(&self, x: usize) -> i64 {
        match x >> self.chunk_log {
            0 => 0,
            scale => log(scale),
        }
    }

    /// Logarithm of what turns the share that a coset of 2^`coset_log` source points, `source` one of
    /// them, has in the polynomial through it into the share it has in parity at the coset of `parity`.
    pub(super) fn share(&self, source: usize, parity: usize, coset_log: u32) -> i64 {
        let apart = source ^ parity;
        log(apart >> self.chunk_log) - log(apart >> coset_log)
    }
}

/// Logarithm of a field element other than 0; that of 0 is a multiple of the group's order, so that a
/// factor 0 drops out of a product.
pub(super) fn log(element: usize) -> i64 {
    i64::from(tables::get_exp_log().log[element])
}

/// A sum of logarithms as the engine takes it.
pub(super) fn factor(log: i64) -> u16 {
    log.rem_euclid(i64::from(GF_MODULUS)) as u16
}

/// Products of distances between points.
#[derive(Default)]
pub(super) struct Distances {
    /// Walsh transform of the logarithms of the points from 0 on.
    logs: Vec<i64>,
    values: Vec<i64>,
}

impl Distances {
    /// At each point of both slices: the logarithm of the product of its distances to all points
    /// `over`, divided by that of its distances to all points `under`. Its distance to itself is left
    /// out.
    pub(super) fn quotient(&mut self, over: &[usize], under: &[usize]) -> &[i64] {
        let last = over.iter().chain(under).max().copied().unwrap_or(0);
        let count = (last + 1).next_power_of_two();
        self.values.clear();
        self.values.resize(count, 0);
        let points = over.len() + under.len();
        if points * points < count * count.ilog2() as usize {
            self.sum(over, under);
        } else {
            self.convolve(over, under);
        }
        &self.values
    }

    /// For few points, and at these only.
    fn sum(&mut self, over: &[usize], under: &[usize]) {
        let logs = &tables::get_exp_log().log;
        let total = |points: &[usize], x| points.iter().map(|y| i64::from(logs[x ^ y])).sum::<i64>();
        for &x in over.iter().chain(under) {
            self.values[x] = total(over, x) - total(under, x);
        }
    }

    /// A sum over distances `x ^ y` is a convolution, which for all points together takes two
    /// transforms.
    fn convolve(&mut self, over: &[usize], under: &[usize]) {
        let count = self.values.len();
        if self.logs.len() != count {
            self.logs.clear();
            self.logs.extend((0..count).map(log));
            walsh(&mut self.logs);
        }
        over.iter().for_each(|&point| self.values[point] += 1);
        under.iter().for_each(|&point| self.values[point] -= 1);
        walsh(&mut self.values);
        self.values.iter_mut().zip(&self.logs).for_each(|(value, log)| *value *= log);
        walsh(&mut self.values);
        let bits = count.ilog2();
        self.values.iter_mut().for_each(|value| *value >>= bits);
    }
}

/// Walsh-Hadamard transform; twice gives `values` times their number. From logarithms of up to
/// 65,536 points no sum exceeds 2^48.
fn walsh(values: &mut [i64]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_quotient(over: &[usize], under: &[usize]) {
        let mut distances = Distances::default();
        let quotient = distances.quotient(over, under);
        let sum = |points: &[usize], x| points.iter().filter(|&&y| y != x).map(|&y| log(x ^ y)).sum::<i64>();
        for &x in over.iter().chain(under) {
            assert_eq!(factor(quotient[x]), factor(sum(over, x) - sum(under, x)), "point {x}");
        }
    }

    #[test]
    fn products_of_few_and_of_many_distances_are_right() {
        check_quotient(&[5, 9, 300], &[0, 7, 1000]);
        let points: Vec<usize> = (0..400).map(|i| i * 5 % 1024).collect();
        check_quotient(&points[..200], &points[200..]);
        // The largest sums that a code can ask for.
        check_quotient(&(65_000..65_536).collect::<Vec<_>>(), &(0..700).collect::<Vec<_>>());
    }
}
