//! The smallest files that are WIMs: a header, a blob, metadata, the blob table and the XML.

use super::Seeds;

const HEADER: usize = 208;
const METADATA: u8 = 2;
const SOLID: u8 = 0x10;

pub(super) fn all() -> Seeds {
    vec![
        ("plain".into(), Wim::new(0x10d00).with_images().finish(None)),
        ("empty".into(), Wim::new(0x10d00).finish(None)),
        ("integrity-table".into(), Wim::new(0x10d00).with_images().finish(Some(128))),
        ("solid".into(), Wim::new(0xe00).with_images().with_solid().finish(None)),
        ("pipable".into(), pipable()),
        ("split-part-2".into(), split_part()),
    ]
}

/// The parts of a WIM, as they are appended.
struct Wim {
    bytes: Vec<u8>,
    version: u32,
    table: Vec<u8>,
    images: u32,
    /// Total parts, and this one.
    parts: (u16, u16),
    /// Where the metadata of the first image lie.
    boot: [u8; 24],
}

impl Wim {
    fn new(version: u32) -> Self {
        Self { bytes: vec![0; HEADER], version, table: Vec::new(), images: 0, parts: (1, 1), boot: [0; 24] }
    }

    fn with_images(mut self) -> Self {
        let blob = self.append(b"the bytes of a file", 0);
        self.entry(blob, [1; 20]);
        for image in [2, 3] {
            let metadata = self.append(&[image; 40], METADATA);
            self.entry(metadata, [image; 20]);
            self.boot = metadata;
            self.images += 1;
        }
        self
    }

    /// A solid resource with two blobs in it.
    fn with_solid(mut self) -> Self {
        let (offset, size) = (self.bytes.len() as u64, 30);
        self.bytes.extend([3; 30]);
        self.entry(resource(size, SOLID, offset, 1 << 32), [0; 20]);
        self.entry(resource(1000, SOLID, 0, 1000), [4; 20]);
        self.entry(resource(24, SOLID, 1000, 24), [5; 20]);
        self
    }

    /// With an integrity table of chunks of so many bytes, if any.
    fn finish(mut self, integrity_chunk: Option<u32>) -> Vec<u8> {
        let table = std::mem::take(&mut self.table);
        let table = self.append(&table, METADATA);
        let covered = self.bytes.len() - HEADER;
        let xml = self.append(b"<WIM></WIM>", METADATA);
        let integrity = match integrity_chunk {
            Some(chunk) => {
                let entries = covered.div_ceil(chunk as usize) as u32;
                let numbers = [12 + 20 * entries, entries, chunk].map(u32::to_le_bytes).concat();
                self.append(&[numbers, vec![9; 20 * entries as usize]].concat(), 0)
            }
            None => [0; 24],
        };
        let header = self.header(*b"MSWIM\0\0\0", [table, xml, self.boot], integrity);
        self.bytes[..HEADER].copy_from_slice(&header);
        self.bytes
    }

    fn header(&self, magic: [u8; 8], [table, xml, boot]: [[u8; 24]; 3], integrity: [u8; 24]) -> Vec<u8> {
        let mut header = magic.to_vec();
        header.extend([HEADER as u32, self.version, 0, 0].map(u32::to_le_bytes).concat());
        header.extend([7; 16]);
        header.extend([self.parts.1, self.parts.0].map(u16::to_le_bytes).concat());
        header.extend(self.images.to_le_bytes());
        header.extend([table, xml, boot].concat());
        header.extend(u32::from(self.images > 0).to_le_bytes());
        header.extend(integrity);
        header.resize(HEADER, 0);
        header
    }

    fn append(&mut self, bytes: &[u8], flags: u8) -> [u8; 24] {
        let (offset, size) = (self.bytes.len() as u64, bytes.len() as u64);
        self.bytes.extend(bytes);
        resource(size, flags, offset, size)
    }

    fn entry(&mut self, resource: [u8; 24], sha1: [u8; 20]) {
        self.table.extend(resource);
        self.table.extend(self.parts.1.to_le_bytes());
        self.table.extend(1u32.to_le_bytes());
        self.table.extend(sha1);
    }
}

fn resource(size: u64, flags: u8, offset: u64, original_size: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&(size | u64::from(flags) << 56).to_le_bytes());
    bytes[8..16].copy_from_slice(&offset.to_le_bytes());
    bytes[16..].copy_from_slice(&original_size.to_le_bytes());
    bytes
}

/// A prefix before each resource, the XML twice, and the true header at the end.
fn pipable() -> Vec<u8> {
    let mut wim = Wim::new(0x10d00);
    let prefixed = |wim: &mut Wim, bytes: &[u8]| {
        wim.bytes.extend(0x2B9B_9BA2_443D_B9D8_u64.to_le_bytes());
        wim.bytes.extend((bytes.len() as u64).to_le_bytes());
        wim.bytes.extend([0; 24]);
        wim.append(bytes, METADATA)
    };
    prefixed(&mut wim, b"<WIM></WIM>");
    let metadata = prefixed(&mut wim, &[2; 40]);
    wim.entry(metadata, [2; 20]);
    wim.images = 1;
    let table = wim.table.clone();
    let table = prefixed(&mut wim, &table);
    let xml = prefixed(&mut wim, b"<WIM></WIM>");
    let first = wim.header(*b"WLPWM\0\0\0", [[0; 24]; 3], [0; 24]);
    let last = wim.header(*b"WLPWM\0\0\0", [table, xml, metadata], [0; 24]);
    wim.bytes[..HEADER].copy_from_slice(&first);
    wim.bytes.extend(last);
    wim.bytes
}

fn split_part() -> Vec<u8> {
    let mut wim = Wim::new(0x10d00);
    wim.parts = (3, 2);
    let blob = wim.append(b"the bytes of another file", 0);
    wim.entry(blob, [6; 20]);
    wim.finish(None)
}
