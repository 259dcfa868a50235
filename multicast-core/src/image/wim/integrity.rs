//! A WIM's own integrity table: SHA-1 sums over the bytes from the header to the blob table's end.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use sha1::{Digest, Sha1};

use super::ReadAt;
use super::Wim;
use super::error::WimError;
use super::header::HEADER_SIZE;
use super::resource::{le_u32, take};
use crate::image::delivery::Delivery;
use crate::image::error::ImageError;

/// Bytes of the table before its first sum.
pub(super) const TABLE_HEADER_SIZE: u64 = 12;
const SUM_SIZE: u64 = 20;
/// Bytes read at a time; a chunk of the table can be up to 4 GiB.
const READ_SIZE: u64 = 1 << 20;

/// What the integrity table says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntegrityReport {
    /// It is no WIM, so there is nothing to check it against.
    NotWim,
    /// The WIM has no integrity table.
    Absent,
    /// Every sum matched.
    Good {
        /// How many.
        chunks: u32,
    },
    /// A sum did not match.
    Bad {
        /// Sums in the table.
        chunks: u32,
        /// Sums that did not match.
        bad: u32,
        /// The first one that did not match, from 0.
        chunk: u32,
        /// Its bytes in the file.
        range: Range<u64>,
        /// SHA-1 by the table.
        expected: [u8; 20],
        /// SHA-1 of what is there.
        got: [u8; 20],
    },
}

impl IntegrityReport {
    /// Whether nothing speaks against the file.
    pub fn is_ok(&self) -> bool {
        !matches!(self, Self::Bad { .. })
    }
}

impl fmt::Display for IntegrityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |sum: &[u8]| sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match self {
            Self::NotWim => f.write_str("no WIM: it has no checksums of its own"),
            Self::Absent => f.write_str("the WIM has no integrity table"),
            Self::Good { chunks } => write!(f, "all {chunks} checksums of the WIM's integrity table match"),
            Self::Bad { chunks, bad, chunk, range, expected, got } => write!(
                f,
                "{bad} of {chunks} checksums of the WIM's integrity table do not match, first chunk {chunk} (bytes {} to {}): expected {}, got {}",
                range.start,
                range.end,
                hex(expected),
                hex(got)
            ),
        }
    }
}

/// Checks file `file` against the integrity table of the WIM that it is.
///
/// `progress` is told the bytes checked and the bytes to check; raising `cancel` ends it with
/// [`ImageError::Cancelled`].
///
/// # Panics
/// If there is no such file.
pub fn verify_integrity(
    image: &Delivery,
    file: usize,
    progress: impl FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<IntegrityReport, ImageError> {
    let file = &image.files()[file];
    let Some(wim) = Wim::read(file).map_err(|error| file.wim_failed(error))? else {
        return Ok(IntegrityReport::NotWim);
    };
    if !wim.header().has_integrity_table() {
        return Ok(IntegrityReport::Absent);
    }
    let table = IntegrityTable::read(file, &wim).map_err(|error| file.wim_failed(error))?;
    let report = table.verify(file, progress, cancel)?;
    file.check_unchanged()?;
    Ok(report)
}

/// The table; its fields agree with one another and with the file.
///
/// | offset | width | field                                          |
/// |-------:|------:|------------------------------------------------|
/// |      0 |     4 | size: bytes of the table                       |
/// |      4 |     4 | entries                                        |
/// |      8 |     4 | chunk size: bytes that an entry covers         |
/// |     12 |  20 each | SHA-1 of each chunk                         |
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IntegrityTable {
    /// Where the first sum lies.
    sums: u64,
    entries: u32,
    chunk_size: u32,
    covered: Range<u64>,
}

impl IntegrityTable {
    /// Reads the table of a WIM that has one.
    pub(super) fn read<S: ReadAt + ?Sized>(source: &S, wim: &Wim) -> Result<Self, WimError> {
        let lie = |field, value: u32, limit| Err(WimError::Field { field, value: value.into(), limit });
        let place = &wim.header().integrity_table;
        let mut bytes = [0; TABLE_HEADER_SIZE as usize];
        source.read_at(place.offset, &mut bytes)?;
        let (size, entries, chunk_size) = (le_u32(&bytes, 0), le_u32(&bytes, 4), le_u32(&bytes, 8));
        if place.flags.compressed() {
            return lie("integrity table flags", place.flags.0.into(), "without 0x4 (compressed)".into());
        }
        if u64::from(size) != place.size {
            return lie("integrity table's own size", size, format!("{}, as the header says", place.size));
        }
        if TABLE_HEADER_SIZE + u64::from(entries) * SUM_SIZE != place.size {
            return lie(
                "integrity table entries",
                entries,
                format!("what fits {} bytes: 12 + 20 an entry", place.size),
            );
        }
        if chunk_size == 0 {
            return lie("integrity table chunk size", 0, "at least 1".into());
        }
        let covered = HEADER_SIZE as u64..wim.header().blob_table.range().end.max(HEADER_SIZE as u64);
        let needed = (covered.end - covered.start).div_ceil(chunk_size.into());
        if u64::from(entries) != needed {
            let limit = format!("{needed}, one for each {chunk_size} bytes from 208 to {}", covered.end);
            return lie("integrity table entries", entries, limit);
        }
        Ok(Self { sums: place.offset + TABLE_HEADER_SIZE, entries, chunk_size, covered })
    }

    /// Checks every chunk.
    pub(super) fn verify<S: ReadAt + ?Sized>(
        &self,
        source: &S,
        mut progress: impl FnMut(u64, u64),
        cancel: &AtomicBool,
    ) -> Result<IntegrityReport, ImageError> {
        let total = self.covered.end - self.covered.start;
        let mut buf = vec![0; READ_SIZE.min(self.chunk_size.into()).min(total) as usize];
        let mut first = None;
        let mut bad = 0;
        for chunk in 0..self.entries {
            let start = self.covered.start + u64::from(chunk) * u64::from(self.chunk_size);
            let range = start..self.covered.end.min(start + u64::from(self.chunk_size));
            let expected = self.sum(source, chunk)?;
            let mut sha1 = Sha1::new();
            let mut at = range.start;
            while at < range.end {
                if cancel.load(Ordering::Relaxed) {
                    return Err(ImageError::Cancelled);
                }
                let part = &mut buf[..READ_SIZE.min(range.end - at) as usize];
                source.read_at(at, part)?;
                sha1.update(&*part);
                at += part.len() as u64;
                progress(at - self.covered.start, total);
            }
            let got: [u8; 20] = sha1.finalize().into();
            if got != expected {
                bad += 1;
                first.get_or_insert((chunk, range, expected, got));
            }
        }
        Ok(match first {
            None => IntegrityReport::Good { chunks: self.entries },
            Some((chunk, range, expected, got)) => {
                IntegrityReport::Bad { chunks: self.entries, bad, chunk, range, expected, got }
            }
        })
    }

    fn sum<S: ReadAt + ?Sized>(&self, source: &S, chunk: u32) -> Result<[u8; 20], ImageError> {
        let mut sum = [0; SUM_SIZE as usize];
        source.read_at(self.sums + u64::from(chunk) * SUM_SIZE, &mut sum)?;
        Ok(take(&sum, 0))
    }
}
