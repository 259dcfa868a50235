use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::blob_table::BlobEntry;
use super::header::HEADER_SIZE;
use super::integrity::IntegrityTable;
use super::testing::{WimBuilder, encode_entry, encode_header, encode_resource};
use super::*;
use crate::image::Delivery;

fn read(bytes: &[u8]) -> Wim {
    Wim::from_bytes(bytes).unwrap().unwrap()
}

fn error_of(bytes: &[u8]) -> String {
    Wim::from_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn the_parts_that_say_what_all_others_mean_come_first_and_nothing_else() {
    let wim = read(&WimBuilder::default().blob(1000).metadata(100).blob(2000).integrity(512).finish());
    // 208 header, 1000 blob, 100 metadata, 2000 blob, 150 table, 80 XML, 12 + 20 × 7 sums.
    assert_eq!(wim.priority_ranges(), [0..208, 1208..1308, 3308..3308 + 150 + 80 + 12 + 140]);
    assert_eq!(wim.summary().to_string(), "WIM, 1 image, LZX, 2 blobs, 3690 bytes, integrity table");
}

#[test]
fn a_pipable_wim_is_read_by_its_second_header_and_sent_with_the_headers_of_its_resources() {
    let wim = read(&WimBuilder::default().pipable().metadata(100).blob(1000).integrity(1 << 20).finish());
    let table = 208 + 40 + 60 + 140 + 1040;
    let end = table + 40 + 100 + 40 + 80 + 32 + 208;
    assert_eq!(wim.priority_ranges(), [0..308 + 140, table..end]);
    assert!(wim.summary().pipable && wim.summary().integrity_table);
}

#[test]
fn a_pipable_wim_that_was_cut_is_no_wim_to_stream() {
    let mut bytes = WimBuilder::default().pipable().metadata(100).blob(1000).finish();
    bytes.pop();
    assert!(error_of(&bytes).starts_with("no header at offset "), "{}", error_of(&bytes));
}

#[test]
fn blobs_within_a_solid_resource_are_not_taken_for_places_in_the_file() {
    let wim = read(&WimBuilder::default().solid(1000).metadata(100).finish());
    let summary = wim.summary();
    assert!(summary.solid);
    assert_eq!((summary.blobs, summary.version), (2, 0xe00));
    assert_eq!(wim.metadata(), std::slice::from_ref(&(1208..1308)));
}

#[test]
fn a_part_of_a_split_wim_is_judged_by_what_it_holds_itself() {
    let mut builder = WimBuilder::default().part(2, 3).blob(1000);
    builder.header.image_count = 4;
    builder.header.boot_index = 1;
    // Of part 1, whose places are none of this file.
    let elsewhere = ResourceHeader { size: 5000, offset: 1 << 40, original_size: 5000, flags: ResourceFlags(2) };
    builder.header.boot_metadata = elsewhere;
    builder.entry(elsewhere, [9; 20]);
    builder.entries[1].part_number = 1;
    let wim = read(&builder.finish());
    assert_eq!(wim.metadata(), []);
    assert_eq!(wim.priority_ranges(), [0..208, 1208..1208 + 100 + 80]);
    assert_eq!(wim.summary().to_string(), "WIM part 2 of 3, 4 images, LZX, 1 blob, 1388 bytes, no integrity table");
}

#[test]
fn bytes_without_the_magic_are_no_wim() {
    for bytes in [&b""[..], b"MSWIM", b"MSWIM\0\0\x01", b"\xEB\x58\x90MSDOS5.0", &[0; 5000]] {
        assert!(Wim::from_bytes(bytes).unwrap().is_none());
    }
}

#[test]
fn a_lying_header_field_is_named_with_its_value_and_its_bound() {
    let lie = |change: fn(&mut WimBuilder)| {
        let mut builder = WimBuilder::default().blob(1000).metadata(100);
        change(&mut builder);
        error_of(&builder.finish())
    };
    assert_eq!(lie(|b| b.header.header_size = 212), "header size is 212, it must be 208");
    assert_eq!(lie(|b| b.header.version = 1), "version is 1, it must be 68864 (0x10d00) or 3584 (0xe00)");
    assert!(lie(|b| b.header.chunk_size = 33000).starts_with("chunk size is 33000, it must be a power of two"));
    assert_eq!(lie(|b| b.header.total_parts = 0), "total parts is 0, it must be at least 1");
    assert_eq!(lie(|b| b.header.part_number = 2), "part number is 2, it must be 1 to 1, the total parts");
    assert_eq!(lie(|b| b.header.part_number = 0), "part number is 0, it must be 1 to 1, the total parts");
    assert_eq!(lie(|b| b.header.image_count = 65_536), "image count is 65536, it must be at most 65535");
    assert_eq!(
        lie(|b| b.header.image_count = 2),
        "image count is 2, it must be at most 1, the number of metadata resources in the blob table"
    );
}

#[test]
fn a_resource_beyond_the_end_of_the_file_is_named_with_its_place() {
    let place = |at: usize, resource: ResourceHeader| {
        let mut bytes = WimBuilder::default().blob(1000).metadata(100).finish();
        bytes[at..at + 24].copy_from_slice(&encode_resource(&resource));
        error_of(&bytes)
    };
    let far = ResourceHeader { size: 456, offset: 1400, original_size: 456, flags: ResourceFlags(2) };
    let wide = ResourceHeader { offset: u64::MAX, ..far };
    let early = ResourceHeader { offset: 100, ..far };
    assert_eq!(place(48, far), "blob table at offset 1400 + size 456 exceeds the file size 1488");
    assert_eq!(place(72, far), "xml data at offset 1400 + size 456 exceeds the file size 1488");
    assert_eq!(place(124, far), "integrity table at offset 1400 + size 456 exceeds the file size 1488");
    assert_eq!(place(72, wide), format!("xml data at offset {} + size 456 exceeds the file size 1488", u64::MAX));
    assert_eq!(place(72, early), "xml data at offset 100 lies within the header of 208 bytes");
    assert_eq!(place(72, ResourceHeader::default()), "xml data size is 0, it must be above 0");
    assert_eq!(
        place(48, ResourceHeader::default()),
        "blob table size is 0, it must be at least 50, as there are 1 images"
    );
    let short = ResourceHeader { size: 99, original_size: 99, offset: 1308, ..far };
    assert_eq!(place(48, short), "blob table size is 99, it must be a multiple of 50");
    let grown = ResourceHeader { original_size: 500, size: 100, offset: 1308, ..far };
    assert_eq!(place(48, grown), "blob table is not compressed, but has size 100 and original size 500");
    assert_eq!(
        place(1308, far),
        "metadata (entry 0 of the blob table) at offset 1400 + size 456 exceeds the file size 1488"
    );
    assert_eq!(
        place(1358, ResourceHeader { flags: ResourceFlags(0), ..far }),
        "blob (entry 1 of the blob table) at offset 1400 + size 456 exceeds the file size 1488"
    );
    assert!(place(1358, ResourceHeader { original_size: 5, ..far }).contains("is not compressed, but has size 456"));
}

#[test]
fn a_wim_of_which_only_the_magic_is_left_is_an_error() {
    let bytes = WimBuilder::default().metadata(100).finish();
    assert_eq!(error_of(&bytes[..207]), "it has 207 bytes, the header alone takes 208");
    assert_eq!(error_of(&bytes[..8]), "it has 8 bytes, the header alone takes 208");
}

#[test]
fn a_wim_whose_writing_was_interrupted_says_so() {
    let mut bytes = encode_header(&WimBuilder::default().header);
    bytes[16] |= 0x40;
    assert!(error_of(&bytes).contains("it was never finished"));
    let mut builder = WimBuilder::default().metadata(100);
    builder.header.flags.0 |= 0x40;
    assert_eq!(read(&builder.finish()).notes(), [WimNote::WriteInProgress]);
}

#[test]
fn what_is_odd_without_being_wrong_is_noted_and_still_delivered() {
    let mut builder = WimBuilder::default().metadata(100).metadata(100);
    builder.header.image_count = 1;
    builder.header.boot_index = 5;
    let wim = read(&builder.finish());
    assert_eq!(
        wim.notes(),
        [WimNote::BootIndex { index: 5, images: 1 }, WimNote::SurplusMetadata { found: 2, images: 1 }]
    );
    assert_eq!(wim.metadata(), std::slice::from_ref(&(208..308)));
}

#[test]
fn a_compressed_blob_table_is_sent_first_although_it_cannot_be_read() {
    let mut bytes = WimBuilder::default().blob(1000).metadata(100).finish();
    bytes[48 + 7] |= 0x04;
    let wim = read(&bytes);
    assert_eq!(wim.notes(), [WimNote::CompressedBlobTable]);
    assert_eq!(wim.priority_ranges(), [0..208, 1308..1488]);
}

#[test]
fn what_nothing_refers_to_may_lie_anywhere() {
    let mut builder = WimBuilder::default().metadata(100);
    builder.entry(ResourceHeader { size: 9, offset: 1 << 50, original_size: 9, flags: ResourceFlags(2) }, [4; 20]);
    builder.entries[1].references = 0;
    assert_eq!(read(&builder.finish()).metadata(), std::slice::from_ref(&(208..308)));
}

#[test]
fn tables_past_four_gibibytes_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.wim");
    let file = File::create(&path).unwrap();
    let big = 5u64 << 30;
    let mut builder = WimBuilder::default();
    let place = |size, offset, flags| ResourceHeader { size, offset, original_size: size, flags: ResourceFlags(flags) };
    builder.entry(place(big, 208, 0), [1; 20]);
    builder.entry(place(1000, 208 + big, 2), [2; 20]);
    builder.header.image_count = 1;
    let table_at = 208 + big + 1000;
    builder.header.blob_table = place(100, table_at, 2);
    builder.header.xml_data = place(80, table_at + 100, 2);
    file.write_all_at(&encode_header(&builder.header), 0).unwrap();
    file.write_all_at(&encode_entry(&builder.entries[0]), table_at).unwrap();
    file.write_all_at(&encode_entry(&builder.entries[1]), table_at + 50).unwrap();
    file.set_len(table_at + 180).unwrap();

    let delivery = Delivery::open(&[path]).unwrap();
    let wim = delivery.wim(0).unwrap().unwrap();
    assert_eq!(wim.priority_ranges(), [0..208, 208 + big..table_at + 180]);

    file.set_len(table_at + 179).unwrap();
    let cut = Delivery::open(&[delivery.files()[0].path().to_owned()]).unwrap();
    assert!(cut.wim(0).unwrap_err().to_string().contains("xml data at offset 5368710428 + size 80 exceeds"));
}

fn verify(bytes: &[u8]) -> Result<IntegrityReport, String> {
    let wim = read(bytes);
    let table = IntegrityTable::read(bytes, &wim).map_err(|e| e.to_string())?;
    let mut last = 0;
    let report = table
        .verify(bytes, |done, total| last = done.max(last).min(total), &AtomicBool::new(false))
        .map_err(|e| e.to_string())?;
    assert_eq!(last, wim.header().blob_table.range().end - HEADER_SIZE as u64);
    Ok(report)
}

#[test]
fn the_integrity_table_finds_the_damaged_chunk() {
    let mut bytes = WimBuilder::default().blob(3000).metadata(500).integrity(1000).finish();
    assert_eq!(verify(&bytes), Ok(IntegrityReport::Good { chunks: 4 }));
    // The last byte that is covered, and one in the second chunk.
    bytes[208 + 1500] ^= 1;
    let covered = read(&bytes).header().blob_table.range().end as usize;
    bytes[covered - 22] ^= 1;
    let report = verify(&bytes).unwrap();
    assert!(!report.is_ok());
    let IntegrityReport::Bad { chunks: 4, bad: 2, chunk: 1, range, expected, got } = &report else {
        panic!("{report:?}")
    };
    assert_eq!(*range, 1208..2208);
    assert_ne!(expected, got);
    assert!(report.to_string().starts_with("2 of 4 checksums"));
}

#[test]
fn an_integrity_table_that_contradicts_itself_or_the_file_is_an_error() {
    let bytes = WimBuilder::default().blob(3000).metadata(500).integrity(1000).finish();
    let at = read(&bytes).header().integrity_table.offset as usize;
    let lie = |field: usize, value: u32| {
        let mut bytes = bytes.clone();
        bytes[at + field..at + field + 4].copy_from_slice(&value.to_le_bytes());
        verify(&bytes).unwrap_err()
    };
    assert_eq!(lie(0, 91), "integrity table's own size is 91, it must be 92, as the header says");
    assert_eq!(
        lie(4, u32::MAX),
        "integrity table entries is 4294967295, it must be what fits 92 bytes: 12 + 20 an entry"
    );
    assert_eq!(lie(8, 0), "integrity table chunk size is 0, it must be at least 1");
    assert_eq!(lie(8, 100), "integrity table entries is 4, it must be 36, one for each 100 bytes from 208 to 3808");
}

#[test]
fn verification_of_a_file_tells_raw_bytes_from_a_wim_without_table_and_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["raw", "plain.wim", "checked.wim"].map(|name| folder.path().join(name));
    std::fs::write(&paths[0], "raw").unwrap();
    std::fs::write(&paths[1], WimBuilder::default().metadata(100).finish()).unwrap();
    std::fs::write(&paths[2], WimBuilder::default().metadata(100).integrity(64).finish()).unwrap();
    let delivery = Delivery::open(&paths).unwrap();
    let verify = |file, cancel| verify_integrity(&delivery, file, |_, _| (), &AtomicBool::new(cancel));
    assert_eq!(verify(0, false).unwrap(), IntegrityReport::NotWim);
    assert_eq!(verify(1, false).unwrap(), IntegrityReport::Absent);
    assert_eq!(verify(2, false).unwrap(), IntegrityReport::Good { chunks: 3 });
    assert_eq!(verify(2, true).unwrap_err().to_string(), "cancelled");
}

fn any_resource() -> impl Strategy<Value = ResourceHeader> {
    (0u64..1 << 56, any::<u8>(), any::<u64>(), any::<u64>()).prop_map(|(size, flags, offset, original_size)| {
        ResourceHeader { size, flags: ResourceFlags(flags), offset, original_size }
    })
}

fn small_wim() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), any::<bool>(), prop::collection::vec((0..3u8, 1..400usize), 0..6)).prop_map(
        |(pipable, integrity, parts)| {
            let mut builder = WimBuilder::default();
            builder = if pipable { builder.pipable() } else { builder };
            builder = if integrity { builder.integrity(256) } else { builder };
            for (kind, size) in parts {
                builder = match kind {
                    0 => builder.blob(size),
                    1 => builder.metadata(size),
                    _ => builder.solid(size),
                };
            }
            builder.finish()
        },
    )
}

/// Whatever is read must be usable: ranges within the file, and the integrity table too.
fn use_all_of(bytes: &[u8]) {
    let Ok(Some(wim)) = Wim::from_bytes(bytes) else { return };
    let mut end = 0;
    for range in wim.priority_ranges() {
        assert!(range.start >= end && range.start < range.end && range.end <= bytes.len() as u64);
        end = range.end;
    }
    let _ = wim.summary().to_string();
    if wim.header().has_integrity_table()
        && let Ok(table) = IntegrityTable::read(bytes, &wim)
    {
        table.verify(bytes, |_, _| (), &AtomicBool::new(false)).unwrap();
    }
}

proptest! {
    #[test]
    fn resource_headers_survive_a_round_trip(resource in any_resource()) {
        prop_assert_eq!(ResourceHeader::decode(&encode_resource(&resource)), resource);
    }

    #[test]
    fn blob_entries_survive_a_round_trip(
        resource in any_resource(), part_number: u16, references: u32, sha1: [u8; 20],
    ) {
        let entry = BlobEntry { resource, part_number, references, sha1 };
        prop_assert_eq!(BlobEntry::decode(&encode_entry(&entry)), entry);
    }

    #[test]
    fn headers_survive_a_round_trip(
        resources in prop::array::uniform4(any_resource()), words: [u32; 6], parts: [u16; 2], guid: [u8; 16],
        pipable: bool,
    ) {
        let [header_size, version, flags, chunk_size, image_count, boot_index] = words;
        let [blob_table, xml_data, boot_metadata, integrity_table] = resources;
        let header = WimHeader {
            pipable, header_size, version, flags: WimFlags(flags), chunk_size, guid, part_number: parts[0],
            total_parts: parts[1], image_count, blob_table, xml_data, boot_metadata, boot_index, integrity_table,
        };
        prop_assert_eq!(WimHeader::decode(&encode_header(&header)), Some(header));
    }

    #[test]
    fn every_wim_that_is_right_is_read(bytes in small_wim()) {
        prop_assert!(Wim::from_bytes(&bytes).unwrap().is_some());
        use_all_of(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..1000), magic in 0..3u8,
    ) {
        let head: &[u8] = [&b""[..], b"MSWIM\0\0\0", b"WLPWM\0\0\0"][usize::from(magic)];
        for at in [0, bytes.len().saturating_sub(HEADER_SIZE)] {
            if let Some(place) = bytes.get_mut(at..at + head.len()) {
                place.copy_from_slice(head);
            }
        }
        use_all_of(&bytes);
    }

    #[test]
    fn a_damaged_wim_never_panics_nor_names_bytes_that_do_not_exist(
        mut bytes in small_wim(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        use_all_of(&bytes);
    }

    /// Damage where it hurts: the headers and the tables, not the blobs.
    #[test]
    fn a_damaged_header_never_panics(
        mut bytes in small_wim(), damage in prop::collection::vec((0..HEADER_SIZE, any::<u8>()), 1..6),
    ) {
        let header = if bytes.starts_with(b"WLPWM") { bytes.len() - HEADER_SIZE } else { 0 };
        for (at, byte) in damage {
            bytes[header + at] = byte;
        }
        use_all_of(&bytes);
    }
}
