//! Keeps the examples of `docs/protocol.md` true: the bytes that stand there are the ones that travel.
//!
//! An example is a fenced block whose info string is `hex` and its name; `;` begins a comment.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write;

use multicast_core::codec::{CodeShape, CodecId};
use multicast_core::layout::{FileEntry, Geometry, Layout};
use multicast_core::manifest::{Hash, Manifest};
use multicast_core::types::{BlockIndex, ClientId, Sequence, SessionId, Slot, SymbolIndex};
use multicast_core::wire::{
    ContentLocation, Directory, Echo, Heartbeat, Inquiry, Join, Leave, LeaveReason, Offer, Packet, Poll, Probe,
    Refusal, RefuseReason, Release, ReleaseReason, Report, RunEncoder, SYMBOL_HEADER_LEN, Sample, SampleAnswer,
    SampleWay, SampleWish, Samples, SessionState, Symbol,
};

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

const SESSION: SessionId = SessionId(0x5E55_0001);
const CLIENT: ClientId = ClientId(0x0123_4567_89AB_CDEF);
const IMAGE: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// The bytes of the example `name` as the document shows them.
fn documented(name: &str) -> Vec<u8> {
    let fence = format!("```hex {name}\n");
    let (_, rest) = DOCUMENT.split_once(&fence).unwrap_or_else(|| panic!("the document has no example {name:?}"));
    let (block, _) = rest.split_once("```").expect("a fence has an end");
    let bytes = block.lines().flat_map(|line| line.split(';').next().unwrap_or_default().split_whitespace());
    bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("{name}: {byte:?} is no byte"))).collect()
}

/// The example `name` shows exactly `bytes`.
fn check(name: &str, bytes: &[u8]) {
    assert!(documented(name) == bytes, "example {name:?} of docs/protocol.md should read\n{}", hex(bytes));
}

/// As [`check`], and `bytes` are read as `packet`.
fn check_packet(name: &str, bytes: &[u8], packet: &Packet<'_>) {
    check(name, bytes);
    assert_eq!(Packet::decode(bytes).as_ref(), Ok(packet), "{name}");
}

/// The example `name` shows `bytes` but for the zeros that fill them up.
fn check_beginning(name: &str, bytes: &[u8]) {
    let shown = documented(name);
    let filled = bytes.get(shown.len()..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    let bytes = hex(bytes);
    assert!(filled && bytes.starts_with(hex(&shown).trim_end()), "example {name:?} should read\n{bytes}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(16).fold(String::new(), |mut text, line| {
        for byte in line {
            let _ = write!(text, "{byte:02x} ");
        }
        text + "\n"
    })
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

/// Ten bytes in symbols of four: a full block and a short one.
fn manifest() -> Manifest {
    let geometry = Geometry { symbol_size: 4, block_symbols: 2, parity_symbols: 2, codec: CodecId::ReedSolomon8 };
    let files = vec![FileEntry { name: "image".into(), size: IMAGE.len() as u64 }];
    let layout = Layout::new(geometry, files).unwrap();
    Manifest { layout, hashes: IMAGE.chunks(8).map(Hash::of).collect() }
}

fn offer() -> Offer {
    let manifest = manifest();
    Offer {
        session: SESSION,
        client: CLIENT,
        slot: Slot(3),
        group: "239.194.7.9:63000".parse().unwrap(),
        source: Some("192.0.2.1".parse().unwrap()),
        source_specific: false,
        geometry: *manifest.layout.geometry(),
        silence_ms: 30_000,
        manifest_root: manifest.root().0,
        image: "image".into(),
        files: manifest.layout.files().to_vec(),
    }
}

#[test]
fn a_join_and_its_answers_read_as_documented() {
    let join = Join { client: CLIENT, image: "image", host: "pc-17", credential: &[] };
    check_packet("join", &encoded(|out| join.encode(out)), &Packet::Join(join));

    let offer = offer();
    check_packet("offer", &encoded(|out| offer.encode(out)), &Packet::Offer(Box::new(offer.clone())));

    let refusal = Refusal::new(CLIENT, RefuseReason::Full, 12_000, "full: 2 of 2");
    check_packet("refusal", &encoded(|out| refusal.encode(out)), &Packet::Refusal(refusal));
}

#[test]
fn an_inquiry_and_its_answer_read_as_documented() {
    let inquiry = Inquiry { client: CLIENT, image: "image" };
    let bytes = encoded(|out| inquiry.encode(out));
    assert_eq!(Packet::decode(&bytes), Ok(Packet::Inquiry(inquiry)));
    check_beginning("inquiry", &bytes);

    let content = Some(ContentLocation { port: 8095, tls: Some([0x5A; 32]) });
    let directory = Directory { client: CLIENT, content, image: "image" };
    check_packet("directory", &encoded(|out| directory.encode(out)), &Packet::Directory(directory));
    let nothing = Directory { client: CLIENT, content: None, image: "" };
    check_packet("directory-of-nothing", &encoded(|out| nothing.encode(out)), &Packet::Directory(nothing));
}

#[test]
fn a_trial_reads_as_documented() {
    let number = 7;
    let key = 0x1C2D_3E4F_5061_7283;
    let wish = SampleWish { way: SampleWay::Group, rate_kbit: 50_000, ms: 2000, len: 1472 };
    let probe = Probe { client: CLIENT, number, samples: Some(wish), key, len: 96, echo_len: 96 };
    let bytes = encoded(|out| probe.encode(out));
    assert_eq!(Packet::decode(&bytes), Ok(Packet::Probe(probe)));
    check_beginning("probe", &bytes);

    let to = "239.194.7.9:63000".parse().unwrap();
    let samples = Samples { starts_in_ms: 1000, rate_kbit: 50_000, to, ms: 2000 };
    let echo = Echo {
        client: CLIENT,
        number,
        clock_ms: 0x0195_5A1E_0C80,
        rate_kbit: 930_000,
        largest: 1472,
        answer: SampleAnswer::Coming(samples),
        key,
        len: 96,
    };
    let bytes = encoded(|out| echo.encode(out));
    assert_eq!(Packet::decode(&bytes), Ok(Packet::Echo(echo)));
    check_beginning("echo", &bytes);

    for (name, sequence, last) in [("sample", 0, false), ("sample-last", 8256, true)] {
        let sample = Sample { client: CLIENT, number, sequence: Sequence(sequence), last, len: 1472 };
        let bytes = encoded(|out| sample.encode(out));
        assert_eq!(Packet::decode(&bytes), Ok(Packet::Sample(sample)));
        check_beginning(name, &bytes);
    }
}

#[test]
fn what_goes_to_the_group_reads_as_documented() {
    let heartbeat = Heartbeat {
        session: SESSION,
        sequence: Sequence(259),
        poll: Poll { number: 7, first: Slot(0), count: 4, spread_ms: 0 },
        state: SessionState::Running,
        clients: 4,
        complete: 1,
        awaited: 0,
        starts_in_ms: None,
        rate_kbit: 930_000,
    };
    check_packet("heartbeat", &encoded(|out| heartbeat.encode(out)), &Packet::Heartbeat(heartbeat));

    let payload = [8, 9, 0, 0];
    let (block, sequence) = (BlockIndex(15), Sequence(258));
    let symbol = Symbol { session: SESSION, block, symbol: SymbolIndex(0), sequence, payload: &payload };
    let bytes = [&symbol.header()[..], &payload].concat();
    assert_eq!(bytes.len(), SYMBOL_HEADER_LEN + 4);
    check_packet("symbol", &bytes, &Packet::Symbol(symbol));
}

#[test]
fn what_a_client_reports_and_how_it_parts_read_as_documented() {
    let mut runs = RunEncoder::new(BlockIndex(0), 1356);
    assert!(runs.push(14, 0) && runs.push(1, 2) && runs.push(1, 1));
    let (from, to, runs) = runs.finish();
    check("runs", &runs);
    let report = Report {
        session: SESSION,
        client: CLIENT,
        complete: false,
        as_of: Sequence(259),
        poll: 7,
        received: 250,
        dropped: 0,
        verified: 14,
        from,
        to,
        runs: &runs,
    };
    check_packet("report", &encoded(|out| report.encode(out)), &Packet::Report(report));

    let nothing = BlockIndex(0);
    let complete = Report {
        complete: true,
        poll: 0,
        received: 253,
        verified: 16,
        from: nothing,
        to: nothing,
        runs: &[],
        ..report
    };
    check_packet("complete", &encoded(|out| complete.encode(out)), &Packet::Report(complete));

    let leave = Leave { session: SESSION, client: CLIENT, reason: LeaveReason::Disk, text: "disk full" };
    check_packet("leave", &encoded(|out| leave.encode(out)), &Packet::Leave(leave));

    let release = Release { session: SESSION, client: CLIENT, reason: ReleaseReason::Complete, text: "complete" };
    check_packet("release", &encoded(|out| release.encode(out)), &Packet::Release(release));
}

#[test]
fn the_manifest_reads_as_documented() {
    let manifest = manifest();
    check("manifest", &manifest.encode());
    assert_eq!((manifest.layout.manifest_blocks(), manifest.layout.blocks()), (14, 16));
}

#[test]
fn both_codes_make_the_documented_parity() {
    check("parity-8 block-14", &parity(CodecId::ReedSolomon8, [2, 2, 4], &IMAGE[..8]));
    check("parity-8 block-15", &parity(CodecId::ReedSolomon8, [1, 2, 4], &[8, 9, 0, 0]));
    check("parity-8 k3-r2", &parity(CodecId::ReedSolomon8, [3, 2, 4], &ramp(12)));
    check("parity-16 high", &parity(CodecId::ReedSolomon16, [5, 2, 4], &ramp(20)));
    check("parity-16 low", &parity(CodecId::ReedSolomon16, [2, 5, 4], &ramp(8)));
    check("parity-16 tail", &parity(CodecId::ReedSolomon16, [3, 1, 70], &ramp(210)));
}

/// Byte `n` is 7 n + 1, modulo 256.
fn ramp(len: u8) -> Vec<u8> {
    (0..len).map(|n| n.wrapping_mul(7).wrapping_add(1)).collect()
}

fn parity(codec: CodecId, [source, parity, symbol_size]: [u16; 3], bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; usize::from(parity) * usize::from(symbol_size)];
    codec.coder().encode(CodeShape { source, parity, symbol_size }, bytes, &mut out).unwrap();
    out
}
