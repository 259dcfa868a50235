//! Windows Imaging files: where the parts lie that say what all others mean.
//!
//! Read with positional reads of bounded size, so that no field, however large it claims to be,
//! makes us allocate more than the file really holds. Format: Microsoft's "Windows Imaging File
//! Format (WIM)" white paper, and for solid and pipable files the headers of wimlib.

mod blob_table;
mod error;
mod header;
mod integrity;
mod resource;
mod source;
mod summary;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use error::{WimError, WimNote, WimPart};
pub use header::{Compression, WimFlags, WimHeader};
pub use integrity::{IntegrityReport, verify_integrity};
pub use resource::{ResourceFlags, ResourceHeader};
pub use summary::WimSummary;

use header::HEADER_SIZE;
pub(crate) use source::ReadAt;

/// Bytes before each resource of a pipable WIM: magic 8, size 8, SHA-1 20, flags 4.
const PIPABLE_HEADER_SIZE: u64 = 40;
const PIPABLE_RESOURCE_MAGIC: u64 = 0x2B9B_9BA2_443D_B9D8;

/// A WIM, its fields checked against the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wim {
    header: WimHeader,
    file_size: u64,
    blobs: u64,
    solid_resources: u64,
    metadata: Vec<Range<u64>>,
    /// The copy of the XML that a pipable WIM begins with.
    leading_xml: Option<Range<u64>>,
    notes: Vec<WimNote>,
}

impl Wim {
    /// Reads the WIM in `bytes`; `None` if they do not begin as one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, WimError> {
        Self::read(bytes)
    }

    /// Reads the WIM in `source`; `None` if it does not begin as one.
    pub(crate) fn read<S: ReadAt + ?Sized>(source: &S) -> Result<Option<Self>, WimError> {
        let Some(header) = read_header(source)? else { return Ok(None) };
        let file_size = source.size();
        header.check(file_size)?;
        let mut notes = header.notes();
        let mut wim = Self {
            leading_xml: if header.pipable { leading_xml(source)? } else { None },
            header,
            file_size,
            blobs: 0,
            solid_resources: 0,
            metadata: Vec::new(),
            notes: Vec::new(),
        };
        if wim.header.blob_table.flags.compressed() {
            notes.push(WimNote::CompressedBlobTable);
        } else {
            let table = blob_table::scan(source, &wim.header)?;
            (wim.blobs, wim.solid_resources, wim.metadata) = (table.blobs, table.solid_resources, table.metadata);
            notes.extend(
                table.surplus_metadata.map(|found| WimNote::SurplusMetadata { found, images: wim.header.image_count }),
            );
        }
        wim.notes = notes;
        Ok(Some(wim))
    }

    /// Its header; of a pipable WIM the one at the end, which is complete.
    pub fn header(&self) -> &WimHeader {
        &self.header
    }

    /// Where the metadata of its images lie, in the order of the images; only the first part of a
    /// split WIM has them.
    pub fn metadata(&self) -> &[Range<u64>] {
        &self.metadata
    }

    /// What is odd about it without being wrong.
    pub fn notes(&self) -> &[WimNote] {
        &self.notes
    }

    /// The byte ranges without which the rest cannot be used: header, blob table, XML, integrity
    /// table and metadata. Sorted; none touches or overlaps another.
    pub fn priority_ranges(&self) -> Vec<Range<u64>> {
        let header = &self.header;
        let before = if header.pipable { PIPABLE_HEADER_SIZE } else { 0 };
        let with_prefix = |range: Range<u64>| range.start.saturating_sub(before)..range.end;
        let mut ranges = Vec::with_capacity(7 + self.metadata.len());
        ranges.push(0..HEADER_SIZE as u64);
        ranges.extend(self.leading_xml.clone());
        ranges.extend([header.blob_table.range(), header.xml_data.range()].map(with_prefix));
        ranges.push(header.integrity_table.range());
        ranges.extend(self.metadata.iter().cloned().map(with_prefix));
        if header.bootable_here() {
            ranges.push(with_prefix(header.boot_metadata.range()));
        }
        if header.pipable {
            ranges.push(self.file_size - HEADER_SIZE as u64..self.file_size);
        }
        merge(ranges)
    }

    /// What a user wants to know of it.
    pub fn summary(&self) -> WimSummary {
        WimSummary {
            version: self.header.version,
            compression: self.header.compression(),
            part: self.header.part_number,
            parts: self.header.total_parts,
            images: self.header.image_count,
            blobs: self.blobs,
            size: self.file_size,
            integrity_table: self.header.has_integrity_table(),
            solid: self.solid_resources > 0,
            pipable: self.header.pipable,
        }
    }
}

/// The header, from the end if the WIM is pipable: its first one was written before the places of
/// the tables were known.
fn read_header<S: ReadAt + ?Sized>(source: &S) -> Result<Option<WimHeader>, WimError> {
    let file_size = source.size();
    let mut magic = [0; 8];
    if file_size < magic.len() as u64 {
        return Ok(None);
    }
    source.read_at(0, &mut magic)?;
    let Some(pipable) = header::kind(magic) else { return Ok(None) };
    if file_size < HEADER_SIZE as u64 {
        return Err(WimError::HeaderTruncated { file_size });
    }
    let mut bytes = [0; HEADER_SIZE];
    source.read_at(if pipable { file_size - HEADER_SIZE as u64 } else { 0 }, &mut bytes)?;
    WimHeader::decode(&bytes)
        .filter(|header| header.pipable == pipable)
        .map(Some)
        .ok_or(WimError::NoHeaderAtEnd { offset: file_size - HEADER_SIZE as u64 })
}

/// The XML that follows the first header of a pipable WIM, so that a reader of a pipe has it early.
fn leading_xml<S: ReadAt + ?Sized>(source: &S) -> Result<Option<Range<u64>>, WimError> {
    let start = HEADER_SIZE as u64;
    let end = source.size() - start;
    let mut bytes = [0; PIPABLE_HEADER_SIZE as usize];
    if end < start + PIPABLE_HEADER_SIZE {
        return Ok(None);
    }
    source.read_at(start, &mut bytes)?;
    let magic = resource::le_u64(&bytes, 0);
    let size = resource::le_u64(&bytes, 8);
    let data = start + PIPABLE_HEADER_SIZE;
    match data.checked_add(size) {
        _ if magic != PIPABLE_RESOURCE_MAGIC => Ok(None),
        Some(xml_end) if xml_end <= end => Ok(Some(start..xml_end)),
        _ => Err(WimError::Outside { what: WimPart::LeadingXml, offset: data, size, file_size: source.size() }),
    }
}

/// Sorted, without the empty ones, those that touch made one.
fn merge(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
