//! The blob table: one entry for each resource of a WIM, and each blob of a solid one.

use std::ops::Range;

use super::ReadAt;
use super::error::{WimError, WimPart};
use super::header::WimHeader;
use super::resource::{RESOURCE_HEADER_SIZE, ResourceHeader, le_u16, le_u32, take};

/// Bytes of an entry in the file.
pub(super) const ENTRY_SIZE: usize = 50;

/// Entries read at a time: 64,000 bytes.
const BATCH: usize = 1280;

/// An entry of the blob table; all numbers little-endian.
///
/// | offset | width | field                                                         |
/// |-------:|------:|---------------------------------------------------------------|
/// |      0 |    24 | where it lies: resource header                                |
/// |     24 |     2 | part of the split WIM that holds it, from 1                   |
/// |     26 |     4 | references from all images                                    |
/// |     30 |    20 | SHA-1 of the original bytes; zeros for a solid resource       |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlobEntry {
    pub(super) resource: ResourceHeader,
    pub(super) part_number: u16,
    pub(super) references: u32,
    pub(super) sha1: [u8; 20],
}

impl BlobEntry {
    pub(super) fn decode(bytes: &[u8; ENTRY_SIZE]) -> Self {
        Self {
            resource: ResourceHeader::decode(&take::<RESOURCE_HEADER_SIZE>(bytes, 0)),
            part_number: le_u16(bytes, 24),
            references: le_u32(bytes, 26),
            sha1: take(bytes, 30),
        }
    }
}

/// What the blob table says.
#[derive(Debug, Default)]
pub(super) struct BlobTable {
    /// Blobs that this file holds.
    pub(super) blobs: u64,
    pub(super) solid_resources: u64,
    /// Where the metadata of the images lie, in their order.
    pub(super) metadata: Vec<Range<u64>>,
    /// How many metadata resources there are, if more than images.
    pub(super) surplus_metadata: Option<u64>,
}

/// Goes through the table of a WIM whose header was checked and whose table is not compressed.
pub(super) fn scan<S: ReadAt + ?Sized>(source: &S, header: &WimHeader) -> Result<BlobTable, WimError> {
    let size = header.blob_table.size;
    if !size.is_multiple_of(ENTRY_SIZE as u64) {
        let limit = format!("a multiple of {ENTRY_SIZE}");
        return Err(WimError::Field { field: "blob table size", value: size, limit });
    }
    let mut table = BlobTable::default();
    let mut metadata_found = 0;
    let (mut index, entries) = (0, size / ENTRY_SIZE as u64);
    let mut buf = vec![0; ENTRY_SIZE * entries.min(BATCH as u64) as usize];
    while index < entries {
        let batch = &mut buf[..ENTRY_SIZE * (entries - index).min(BATCH as u64) as usize];
        source.read_at(header.blob_table.offset + index * ENTRY_SIZE as u64, batch)?;
        for bytes in batch.chunks_exact(ENTRY_SIZE) {
            let mut entry = BlobEntry::decode(&take(bytes, 0));
            if !header.knows_solid() {
                entry.resource = entry.resource.without_solid();
            }
            metadata_found += u64::from(add(&mut table, index, &entry, header, source.size())?);
            index += 1;
        }
    }
    if header.part_number == 1 {
        check_metadata(&mut table, metadata_found, header)?;
    }
    Ok(table)
}

/// Checks and counts entry `index`; whether it is the metadata of an image.
fn add(
    table: &mut BlobTable,
    index: u64,
    entry: &BlobEntry,
    header: &WimHeader,
    file_size: u64,
) -> Result<bool, WimError> {
    // Each part of a split WIM holds only what is its own, and what nothing refers to may be a
    // leftover (the WinPE images of WAIK 2.1 have such).
    if entry.part_number != header.part_number || entry.references == 0 {
        return Ok(false);
    }
    let resource = &entry.resource;
    if resource.flags.solid() {
        if resource.original_size == ResourceHeader::SOLID_MARKER {
            resource.check(WimPart::SolidResource(index), file_size)?;
            table.solid_resources += 1;
        } else {
            // Its offset counts within the decompressed solid resource.
            table.blobs += 1;
        }
        return Ok(false);
    }
    if entry.sha1 == [0; 20] || resource.size == 0 {
        return Ok(false);
    }
    let metadata = resource.flags.metadata();
    let what = if metadata { WimPart::Metadata(index) } else { WimPart::Blob(index) };
    resource.check_sizes(what)?;
    resource.check(what, file_size)?;
    if !metadata {
        table.blobs += 1;
    } else if table.metadata.len() < header.image_count as usize {
        table.metadata.push(resource.range());
    }
    Ok(metadata)
}

/// Readers give the first image the first metadata resource, and so on: none may lack its own.
fn check_metadata(table: &mut BlobTable, found: u64, header: &WimHeader) -> Result<(), WimError> {
    let images = u64::from(header.image_count);
    if found < images {
        let limit = format!("at most {found}, the number of metadata resources in the blob table");
        return Err(WimError::Field { field: "image count", value: images, limit });
    }
    table.surplus_metadata = (found > images).then_some(found);
    Ok(())
}
