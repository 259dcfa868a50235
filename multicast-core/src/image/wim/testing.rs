//! Writes WIMs for tests: the reverse of what the parser reads.

use sha1::{Digest, Sha1};

use super::blob_table::{BlobEntry, ENTRY_SIZE};
use super::header::{HEADER_SIZE, WimFlags, WimHeader};
use super::resource::{RESOURCE_HEADER_SIZE, ResourceFlags, ResourceHeader};
use super::{PIPABLE_HEADER_SIZE, PIPABLE_RESOURCE_MAGIC};

pub(super) fn encode_resource(resource: &ResourceHeader) -> [u8; RESOURCE_HEADER_SIZE] {
    let mut bytes = [0; RESOURCE_HEADER_SIZE];
    bytes[..8].copy_from_slice(&(resource.size | u64::from(resource.flags.0) << 56).to_le_bytes());
    bytes[8..16].copy_from_slice(&resource.offset.to_le_bytes());
    bytes[16..].copy_from_slice(&resource.original_size.to_le_bytes());
    bytes
}

pub(super) fn encode_entry(entry: &BlobEntry) -> [u8; ENTRY_SIZE] {
    let mut bytes = [0; ENTRY_SIZE];
    bytes[..24].copy_from_slice(&encode_resource(&entry.resource));
    bytes[24..26].copy_from_slice(&entry.part_number.to_le_bytes());
    bytes[26..30].copy_from_slice(&entry.references.to_le_bytes());
    bytes[30..].copy_from_slice(&entry.sha1);
    bytes
}

pub(super) fn encode_header(header: &WimHeader) -> [u8; HEADER_SIZE] {
    let mut bytes = Vec::with_capacity(HEADER_SIZE);
    bytes.extend_from_slice(if header.pipable { b"WLPWM\0\0\0" } else { b"MSWIM\0\0\0" });
    for number in [header.header_size, header.version, header.flags.0, header.chunk_size] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&header.guid);
    bytes.extend_from_slice(&header.part_number.to_le_bytes());
    bytes.extend_from_slice(&header.total_parts.to_le_bytes());
    bytes.extend_from_slice(&header.image_count.to_le_bytes());
    for resource in [&header.blob_table, &header.xml_data, &header.boot_metadata] {
        bytes.extend_from_slice(&encode_resource(resource));
    }
    bytes.extend_from_slice(&header.boot_index.to_le_bytes());
    bytes.extend_from_slice(&encode_resource(&header.integrity_table));
    bytes.resize(HEADER_SIZE, 0);
    bytes.try_into().unwrap()
}

/// Builds a WIM: blobs and metadata in the order of the calls, then blob table, XML and, if asked
/// for, the integrity table.
pub(crate) struct WimBuilder {
    pub(super) header: WimHeader,
    bytes: Vec<u8>,
    pub(super) entries: Vec<BlobEntry>,
    integrity_chunk: Option<u32>,
}

impl Default for WimBuilder {
    fn default() -> Self {
        let nowhere = ResourceHeader::default();
        let header = WimHeader {
            pipable: false,
            header_size: HEADER_SIZE as u32,
            version: 0x10d00,
            flags: WimFlags(0x0004_0002),
            chunk_size: 32768,
            guid: [7; 16],
            part_number: 1,
            total_parts: 1,
            image_count: 0,
            blob_table: nowhere,
            xml_data: nowhere,
            boot_metadata: nowhere,
            boot_index: 0,
            integrity_table: nowhere,
        };
        Self { header, bytes: vec![0; HEADER_SIZE], entries: Vec::new(), integrity_chunk: None }
    }
}

impl WimBuilder {
    /// Like wimlib's `--pipable`: another magic, a copy of the XML first, a header before each resource.
    pub(crate) fn pipable(mut self) -> Self {
        self.header.pipable = true;
        self.append(&[b'x'; 60], ResourceFlags(2));
        self
    }

    pub(crate) fn part(mut self, number: u16, total: u16) -> Self {
        (self.header.part_number, self.header.total_parts) = (number, total);
        self
    }

    pub(crate) fn integrity(mut self, chunk_size: u32) -> Self {
        self.integrity_chunk = Some(chunk_size);
        self
    }

    pub(crate) fn blob(mut self, size: usize) -> Self {
        let resource = self.append(&vec![1; size], ResourceFlags(0));
        self.entry(resource, [1; 20]);
        self
    }

    pub(crate) fn metadata(mut self, size: usize) -> Self {
        let mut resource = self.append(&vec![2; size], ResourceFlags(0x06));
        resource.original_size = 10 * size as u64;
        self.entry(resource, [2; 20]);
        self.header.image_count += 1;
        self
    }

    /// A solid resource of `size` bytes with two blobs that expand to more than the whole file.
    pub(crate) fn solid(mut self, size: usize) -> Self {
        self.header.version = 0xe00;
        let mut resource = self.append(&vec![3; size], ResourceFlags(0x14));
        resource.original_size = ResourceHeader::SOLID_MARKER;
        self.entry(resource, [0; 20]);
        for (offset, size) in [(0, 1 << 33), (1 << 33, 5)] {
            self.entry(ResourceHeader { size, flags: ResourceFlags(0x10), offset, original_size: size }, [3; 20]);
        }
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let table: Vec<u8> = self.entries.iter().flat_map(encode_entry).collect();
        self.header.blob_table = self.append(&table, ResourceFlags(2));
        let covered = HEADER_SIZE..self.bytes.len();
        self.header.xml_data = self.append(&[b'x'; 80], ResourceFlags(2));
        if let Some(chunk_size) = self.integrity_chunk {
            let sums: Vec<[u8; 20]> =
                self.bytes[covered].chunks(chunk_size as usize).map(|chunk| Sha1::digest(chunk).into()).collect();
            let mut table = Vec::new();
            for number in [12 + 20 * sums.len() as u32, sums.len() as u32, chunk_size] {
                table.extend_from_slice(&number.to_le_bytes());
            }
            table.extend(sums.concat());
            let (offset, size) = (self.bytes.len() as u64, table.len() as u64);
            self.bytes.extend(table);
            self.header.integrity_table = ResourceHeader { size, offset, original_size: size, flags: ResourceFlags(0) };
        }
        let header = encode_header(&self.header);
        if self.header.pipable {
            self.bytes.extend_from_slice(&header);
            let nowhere = ResourceHeader::default();
            self.header.blob_table = nowhere;
            self.header.xml_data = nowhere;
            self.header.integrity_table = nowhere;
        }
        self.bytes[..HEADER_SIZE].copy_from_slice(&encode_header(&self.header));
        self.bytes
    }

    pub(super) fn entry(&mut self, resource: ResourceHeader, sha1: [u8; 20]) {
        let part_number = self.header.part_number;
        self.entries.push(BlobEntry { resource, part_number, references: 1, sha1 });
    }

    fn append(&mut self, bytes: &[u8], flags: ResourceFlags) -> ResourceHeader {
        if self.header.pipable {
            self.bytes.extend_from_slice(&PIPABLE_RESOURCE_MAGIC.to_le_bytes());
            self.bytes.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            self.bytes.resize(self.bytes.len() + PIPABLE_HEADER_SIZE as usize - 16, 0);
        }
        let (offset, size) = (self.bytes.len() as u64, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        ResourceHeader { size, flags, offset, original_size: size }
    }
}
