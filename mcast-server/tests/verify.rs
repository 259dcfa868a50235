//! `mcast-server verify` of a WIM made by hand.

mod support;

use serde_json::Value;
use sha1::{Digest, Sha1};
use support::{Room, run};

const HEADER: usize = 208;
const CHUNK: usize = 4096;

/// A WIM without images: header, `filling` bytes, a blob table of one blob, XML, and its integrity
/// table, as Microsoft's white paper lays them out.
fn wim(filling: usize) -> Vec<u8> {
    let mut wim = vec![0; HEADER];
    wim.extend((0..filling).map(|i| i as u8));
    let blobs = wim.len();
    wim.extend(resource(HEADER, filling, 0));
    wim.extend(1u16.to_le_bytes());
    wim.extend(1u32.to_le_bytes());
    wim.extend([7; 20]);
    let xml = wim.len();
    wim.extend(b"<WIM></WIM>");
    let table = wim.len();
    let sums: Vec<_> = wim[HEADER..xml].chunks(CHUNK).map(Sha1::digest).collect();
    let size = 12 + 20 * sums.len();
    for number in [size, sums.len(), CHUNK] {
        wim.extend((number as u32).to_le_bytes());
    }
    sums.iter().for_each(|sum| wim.extend(&sum[..]));

    let mut header = b"MSWIM\0\0\0".to_vec();
    for number in [HEADER as u32, 0x10d00, 0, 0] {
        header.extend(number.to_le_bytes());
    }
    header.extend([1; 16]);
    for number in [1u16, 1] {
        header.extend(number.to_le_bytes());
    }
    header.extend(0u32.to_le_bytes());
    header.extend(resource(blobs, 50, 0));
    header.extend(resource(xml, table - xml, 0));
    header.extend([0; 24 + 4]);
    header.extend(resource(table, size, 0));
    wim[..header.len()].copy_from_slice(&header);
    wim
}

/// 56 bits of size and 8 of flags, the offset, the original size.
fn resource(offset: usize, size: usize, flags: u64) -> Vec<u8> {
    [size as u64 | flags << 56, offset as u64, size as u64].iter().flat_map(|number| number.to_le_bytes()).collect()
}

#[test]
fn a_wim_is_checked_against_its_own_sums() {
    let room = Room::new(1000);
    let mut bytes = wim(10_000);
    std::fs::write(room.path("good.wim"), &bytes).unwrap();
    bytes[HEADER + 5000] ^= 1;
    std::fs::write(room.path("bad.wim"), &bytes).unwrap();
    let ended = run(room.folder.path(), &["verify", "good.wim"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.events[0], "good.wim: good: all 3 checksums of the WIM's integrity table match");

    let ended = run(room.folder.path(), &["verify", "--json", "bad.wim", "good.wim", "image.bin"]);
    assert_eq!(ended.code, Some(3));
    let verdicts: Vec<_> = ended.events.iter().filter(|e| e["event"] == "verified").collect();
    assert_eq!(verdicts.iter().map(|e| &e["verdict"]).collect::<Vec<_>>(), ["bad", "good", "unchecked"]);
    assert!(verdicts[0]["text"].as_str().unwrap().contains("first chunk 1"), "{}", verdicts[0]);
    assert_eq!(verdicts[2]["wim"], Value::Null);
}

#[test]
fn an_image_without_sums_is_not_said_to_be_good() {
    let room = Room::new(1000);
    assert_eq!(run(room.folder.path(), &["verify", "image.bin"]).code, Some(4));
}

#[test]
fn a_wim_whose_fields_lie_is_damaged_and_the_others_are_still_checked() {
    let room = Room::new(1000);
    let mut bytes = wim(100);
    bytes.truncate(300);
    std::fs::write(room.path("cut.wim"), &bytes).unwrap();
    std::fs::write(room.path("good.wim"), wim(100)).unwrap();
    let ended = run(room.folder.path(), &["verify", "--json", "cut.wim", "good.wim"]);
    assert_eq!(ended.code, Some(3));
    let verdicts: Vec<_> = ended.events.iter().map(|event| &event["verdict"]).collect();
    assert_eq!(verdicts, ["bad", "good"]);
}
