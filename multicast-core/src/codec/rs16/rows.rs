//! Symbols in the form that the engine computes on: rows of 64-byte pieces, low bytes of 32 elements
//! before their high bytes.

use reed_solomon_simd::engine::{DefaultEngine, Engine, ShardsRefMut};

/// A part of a row.
pub(super) type Piece = [u8; 64];

/// Pieces of a symbol of `size` bytes.
pub(super) fn pieces(size: usize) -> usize {
    size.div_ceil(size_of::<Piece>())
}

/// Where the low and the high bytes of a symbol's shorter last piece lie, in the symbol and in the row.
/// What else the row's piece holds are elements of no symbol: they stay among themselves.
fn tail(size: usize) -> (usize, usize) {
    let tail = size % size_of::<Piece>();
    (size - tail, tail / 2)
}

/// Puts `symbol` into `row`.
pub(super) fn load(row: &mut [Piece], symbol: &[u8]) {
    let (whole, half) = tail(symbol.len());
    let row = row.as_flattened_mut();
    row[..whole].copy_from_slice(&symbol[..whole]);
    row[whole..][..half].copy_from_slice(&symbol[whole..][..half]);
    if half > 0 {
        row[whole + 32..][..half].copy_from_slice(&symbol[whole + half..]);
    }
}

/// Adds `symbol` to `row`.
pub(super) fn add_symbol(row: &mut [Piece], symbol: &[u8]) {
    let (whole, half) = tail(symbol.len());
    let row = row.as_flattened_mut();
    xor(&mut row[..whole], &symbol[..whole]);
    xor(&mut row[whole..][..half], &symbol[whole..][..half]);
    if half > 0 {
        xor(&mut row[whole + 32..][..half], &symbol[whole + half..]);
    }
}

/// Takes `symbol` out of `row`.
pub(super) fn store(row: &[Piece], symbol: &mut [u8]) {
    let (whole, half) = tail(symbol.len());
    let row = row.as_flattened();
    symbol[..whole].copy_from_slice(&row[..whole]);
    symbol[whole..][..half].copy_from_slice(&row[whole..][..half]);
    if half > 0 {
        symbol[whole + half..].copy_from_slice(&row[whole + 32..][..half]);
    }
}

/// Adds `other` to `rows`.
pub(super) fn add(rows: &mut [Piece], other: &[Piece]) {
    xor(rows.as_flattened_mut(), other.as_flattened());
}

fn xor(bytes: &mut [u8], other: &[u8]) {
    bytes.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
}

/// Multiplies `rows` by the element of this logarithm.
pub(super) fn multiply(engine: &DefaultEngine, rows: &mut [Piece], factor: u16) {
    if factor != 0 {
        engine.mul(rows, factor);
    }
}

/// From the values at the coset of points from `base` on, `rows`, to their polynomial. Rows from
/// `used` on must be zero.
pub(super) fn interpolate(engine: &DefaultEngine, rows: &mut [Piece], pieces: usize, used: usize, base: usize) {
    let count = rows.len() / pieces;
    engine.ifft(&mut ShardsRefMut::new(count, pieces, rows), 0, count, used, base);
}

/// From a polynomial to its values at the coset from `base` on; only the first `used` are wanted.
pub(super) fn evaluate(engine: &DefaultEngine, rows: &mut [Piece], pieces: usize, used: usize, base: usize) {
    let count = rows.len() / pieces;
    engine.fft(&mut ShardsRefMut::new(count, pieces, rows), 0, count, used, base);
}
