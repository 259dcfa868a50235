//! The header of a WIM.

use super::error::{WimError, WimNote, WimPart};
use super::resource::{RESOURCE_HEADER_SIZE, ResourceHeader, le_u16, le_u32, take};

/// Bytes of the header in the file.
pub(super) const HEADER_SIZE: usize = 208;

const MAGIC: [u8; 8] = *b"MSWIM\0\0\0";
const PIPABLE_MAGIC: [u8; 8] = *b"WLPWM\0\0\0";

const VERSION_DEFAULT: u32 = 0x0001_0D00;
const VERSION_SOLID: u32 = 0x0000_0E00;

/// Images that wimlib accepts at most; it also bounds what we keep in memory.
const IMAGE_LIMIT: u32 = 65_535;

/// The header; all numbers little-endian.
///
/// | offset | width | field                                                             |
/// |-------:|------:|-------------------------------------------------------------------|
/// |      0 |     8 | magic: `MSWIM\0\0\0`, or `WLPWM\0\0\0` for a pipable one           |
/// |      8 |     4 | header size: 208                                                  |
/// |     12 |     4 | version: 0x10d00, or 0xe00 if there may be solid resources        |
/// |     16 |     4 | flags                                                             |
/// |     20 |     4 | chunk size: bytes compressed at a time                            |
/// |     24 |    16 | GUID, the same in all parts of a split WIM                        |
/// |     40 |     2 | part number, from 1                                               |
/// |     42 |     2 | total parts                                                       |
/// |     44 |     4 | image count                                                       |
/// |     48 |    24 | blob table: resource header                                       |
/// |     72 |    24 | XML data: resource header                                         |
/// |     96 |    24 | metadata of the bootable image: resource header, or zeros         |
/// |    120 |     4 | index of the bootable image from 1, or 0                          |
/// |    124 |    24 | integrity table: resource header, or zeros                        |
/// |    148 |    60 | unused                                                            |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WimHeader {
    /// Whether it can be read from a pipe (wimlib's variant, another magic).
    pub pipable: bool,
    /// As it stands in the file: 208.
    pub header_size: u32,
    /// 0x10d00 or 0xe00.
    pub version: u32,
    /// How it is compressed and used.
    pub flags: WimFlags,
    /// Bytes compressed at a time in resources that are not solid.
    pub chunk_size: u32,
    /// Random; the same in all parts of a split WIM.
    pub guid: [u8; 16],
    /// Which part of a split WIM it is, from 1.
    pub part_number: u16,
    /// Parts of the split WIM; 1 if it is whole.
    pub total_parts: u16,
    /// Images.
    pub image_count: u32,
    /// Where the table of all blobs lies.
    pub blob_table: ResourceHeader,
    /// Where the description of the images lies.
    pub xml_data: ResourceHeader,
    /// Where the metadata of the bootable image lie.
    pub boot_metadata: ResourceHeader,
    /// The bootable image, from 1, or 0.
    pub boot_index: u32,
    /// Where the table of SHA-1 sums over the file lies.
    pub integrity_table: ResourceHeader,
}

/// Flags of a WIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WimFlags(pub u32);

impl WimFlags {
    /// 0x02: resources are compressed.
    pub fn compressed(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// 0x40: it is being written to.
    pub fn write_in_progress(self) -> bool {
        self.0 & 0x40 != 0
    }
}

/// How the resources of a WIM are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast.
    Xpress,
    /// The usual one.
    Lzx,
    /// Of solid (ESD) files.
    Lzms,
    /// One that we do not know; it changes nothing for us.
    Unknown,
}

/// Whether a file that begins with `magic` is a WIM, and then whether it is a pipable one.
pub(super) fn kind(magic: [u8; 8]) -> Option<bool> {
    match magic {
        MAGIC => Some(false),
        PIPABLE_MAGIC => Some(true),
        _ => None,
    }
}

impl WimHeader {
    /// Reads one, without a check beyond the magic.
    pub(super) fn decode(bytes: &[u8; HEADER_SIZE]) -> Option<Self> {
        let resource = |at| ResourceHeader::decode(&take::<RESOURCE_HEADER_SIZE>(bytes, at));
        Some(Self {
            pipable: kind(take(bytes, 0))?,
            header_size: le_u32(bytes, 8),
            version: le_u32(bytes, 12),
            flags: WimFlags(le_u32(bytes, 16)),
            chunk_size: le_u32(bytes, 20),
            guid: take(bytes, 24),
            part_number: le_u16(bytes, 40),
            total_parts: le_u16(bytes, 42),
            image_count: le_u32(bytes, 44),
            blob_table: resource(48),
            xml_data: resource(72),
            boot_metadata: resource(96),
            boot_index: le_u32(bytes, 120),
            integrity_table: resource(124),
        })
    }

    /// How its resources are compressed.
    pub fn compression(&self) -> Compression {
        match self.flags.0 & 0xFFFF_0000 {
            _ if !self.flags.compressed() => Compression::None,
            flags if flags & 0x0002_0000 != 0 => Compression::Xpress,
            flags if flags & 0x0004_0000 != 0 => Compression::Lzx,
            flags if flags & 0x0008_0000 != 0 => Compression::Lzms,
            _ => Compression::Unknown,
        }
    }

    /// Whether it has a table of SHA-1 sums over the file.
    pub fn has_integrity_table(&self) -> bool {
        self.integrity_table.offset != 0 || self.integrity_table.size != 0
    }

    /// Whether the metadata of the bootable image lie in this file: the later parts of a split WIM
    /// may repeat a place that is one of the first part.
    pub(super) fn bootable_here(&self) -> bool {
        self.part_number == 1 && (1..=self.image_count).contains(&self.boot_index)
    }

    /// Whether entries of the blob table may speak of solid resources.
    pub(super) fn knows_solid(&self) -> bool {
        self.version == VERSION_SOLID
    }

    /// Fails on the first field that cannot be true of a file of `file_size` bytes.
    pub(super) fn check(&self, file_size: u64) -> Result<(), WimError> {
        let bound = |field, value: u64, ok: bool, limit: &str| {
            if ok { Ok(()) } else { Err(WimError::Field { field, value, limit: limit.to_owned() }) }
        };
        bound("header size", self.header_size.into(), self.header_size as usize == HEADER_SIZE, "208")?;
        let known = matches!(self.version, VERSION_DEFAULT | VERSION_SOLID);
        bound("version", self.version.into(), known, "68864 (0x10d00) or 3584 (0xe00)")?;
        let chunk_ok = self.chunk_size.is_power_of_two() && (4096..=1 << 30).contains(&self.chunk_size);
        let chunk_limit = "a power of two from 4096 to 1073741824, as resources are compressed";
        bound("chunk size", self.chunk_size.into(), chunk_ok || !self.flags.compressed(), chunk_limit)?;
        bound("total parts", self.total_parts.into(), self.total_parts > 0, "at least 1")?;
        let part_limit = format!("1 to {}, the total parts", self.total_parts);
        let part_ok = (1..=self.total_parts).contains(&self.part_number);
        bound("part number", self.part_number.into(), part_ok, &part_limit)?;
        bound("image count", self.image_count.into(), self.image_count <= IMAGE_LIMIT, "at most 65535")?;
        self.check_resources(file_size)
    }

    fn check_resources(&self, file_size: u64) -> Result<(), WimError> {
        let at_least = |field, value, limit: String| WimError::Field { field, value, limit };
        if self.blob_table.offset == 0 && self.flags.write_in_progress() {
            return Err(WimError::Unfinished { flags: self.flags.0 });
        }
        if self.blob_table.size == 0 && self.image_count > 0 {
            let limit = format!("at least 50, as there are {} images", self.image_count);
            return Err(at_least("blob table size", 0, limit));
        }
        if self.xml_data.size == 0 {
            return Err(at_least("xml data size", 0, "above 0".into()));
        }
        self.blob_table.check(WimPart::BlobTable, file_size)?;
        self.blob_table.check_sizes(WimPart::BlobTable)?;
        self.xml_data.check(WimPart::XmlData, file_size)?;
        if self.bootable_here() {
            self.boot_metadata.check(WimPart::BootMetadata, file_size)?;
        }
        if self.has_integrity_table() {
            let size = self.integrity_table.size;
            if size < 12 {
                return Err(at_least("integrity table size", size, "at least 12".into()));
            }
            self.integrity_table.check(WimPart::IntegrityTable, file_size)?;
        }
        Ok(())
    }

    /// What is odd about it.
    pub(super) fn notes(&self) -> Vec<WimNote> {
        let mut notes = Vec::new();
        if self.flags.write_in_progress() {
            notes.push(WimNote::WriteInProgress);
        }
        if self.boot_index > self.image_count {
            notes.push(WimNote::BootIndex { index: self.boot_index, images: self.image_count });
        }
        notes
    }
}
