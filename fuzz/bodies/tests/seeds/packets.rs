//! A datagram of every kind, and of every reason and flag that changes how it is read.

use std::net::Ipv6Addr;

use fuzz_bodies::{Delivery, GROUP, SESSION, encode};
use multicast_core::codec::CodecId;
use multicast_core::types::{BlockIndex, ClientId, Sequence, Slot, SymbolIndex};
use multicast_core::wire::{
    ContentLocation, Directory, Echo, Heartbeat, Inquiry, Join, Leave, LeaveReason, Offer, Packet, Poll, Probe,
    Refusal, RefuseReason, Release, ReleaseReason, Report, RunEncoder, Sample, SampleAnswer, SampleWay, SampleWish,
    Samples, SessionState, Symbol,
};

use super::Seeds;

const CLIENT: ClientId = ClientId(1);

pub(super) fn all() -> Seeds {
    let runs = runs();
    let content = ContentLocation { port: 8095, tls: None };
    let tls = ContentLocation { tls: Some([7; 32]), ..content };
    let packets = [
        ("symbol", Packet::Symbol(symbol())),
        ("heartbeat-waiting", Packet::Heartbeat(heartbeat(SessionState::Waiting, Some(5000)))),
        ("heartbeat-running", Packet::Heartbeat(heartbeat(SessionState::Running, None))),
        ("join", Packet::Join(Join { client: CLIENT, image: "win11", host: "room-3-pc-7", credential: &[] })),
        ("join-credential", Packet::Join(Join { client: CLIENT, image: "", host: "ä", credential: &[1, 2, 3] })),
        ("offer", Packet::Offer(Box::new(offer()))),
        ("offer-source-specific", Packet::Offer(Box::new(offer_source_specific()))),
        ("refusal-full", Packet::Refusal(Refusal::new(CLIENT, RefuseReason::Full, 3000, "full"))),
        ("report", Packet::Report(report(BlockIndex(7), &runs))),
        ("report-complete", Packet::Report(complete())),
        ("leave", Packet::Leave(Leave { session: SESSION, client: CLIENT, reason: LeaveReason::Disk, text: "full" })),
        ("release", Packet::Release(release())),
        ("refusal-unicast", Packet::Refusal(Refusal::new(CLIENT, RefuseReason::Unicast, 0, "unicast only"))),
        ("inquiry", Packet::Inquiry(Inquiry { client: CLIENT, image: "win11" })),
        ("directory", Packet::Directory(Directory { client: CLIENT, content: Some(content), image: "win11" })),
        ("directory-tls", Packet::Directory(Directory { client: CLIENT, content: Some(tls), image: "" })),
        ("directory-of-nothing", Packet::Directory(Directory { client: CLIENT, content: None, image: "" })),
        ("probe", Packet::Probe(Probe { samples: None, ..probe() })),
        ("probe-for-samples", Packet::Probe(probe())),
        ("echo", Packet::Echo(echo(SampleAnswer::None))),
        ("echo-busy", Packet::Echo(echo(SampleAnswer::Busy { retry_ms: 5000 }))),
        ("echo-of-samples", Packet::Echo(echo(SampleAnswer::Coming(samples())))),
        ("sample", Packet::Sample(sample(false))),
        ("sample-last", Packet::Sample(sample(true))),
    ];
    let mut seeds: Seeds = packets.iter().map(|(name, packet)| ((*name).into(), encode(packet))).collect();
    let mut other =
        encode(&Packet::Refusal(Refusal { speaks: 2, ..Refusal::new(CLIENT, RefuseReason::Version, 0, "") }));
    other[0] = 0x24;
    seeds.push(("refusal-of-version-2".into(), other));
    seeds
}

fn probe() -> Probe {
    let wish = SampleWish { way: SampleWay::Client, rate_kbit: 50_000, ms: 2000, len: 1472 };
    Probe { client: CLIENT, number: 3, samples: Some(wish), key: 5, len: 90, echo_len: 80 }
}

fn echo(answer: SampleAnswer) -> Echo {
    let (number, clock_ms, rate_kbit) = (3, 1_700_000_000_000, 930_000);
    Echo { client: CLIENT, number, clock_ms, rate_kbit, largest: 1472, answer, key: 5, len: 80 }
}

fn samples() -> Samples {
    Samples { starts_in_ms: 1000, rate_kbit: 50_000, to: GROUP, ms: 2000 }
}

fn sample(last: bool) -> Sample {
    Sample { client: CLIENT, number: 3, sequence: Sequence(77), last, len: 72 }
}

fn symbol() -> Symbol<'static> {
    let (block, symbol) = (BlockIndex(3), SymbolIndex(2));
    Symbol { session: SESSION, block, symbol, sequence: Sequence(u32::MAX), payload: b"payload!" }
}

fn heartbeat(state: SessionState, starts_in_ms: Option<u32>) -> Heartbeat {
    Heartbeat {
        session: SESSION,
        sequence: Sequence(1000),
        poll: Poll { number: 12, first: Slot(3), count: 40, spread_ms: 2 },
        state,
        clients: 50,
        complete: 4,
        awaited: 10,
        starts_in_ms,
        rate_kbit: 930_000,
    }
}

fn offer() -> Offer {
    let delivery = Delivery::new(CodecId::ReedSolomon8);
    Offer {
        session: SESSION,
        client: CLIENT,
        slot: Slot(0),
        group: GROUP,
        source: None,
        source_specific: false,
        geometry: *delivery.layout.geometry(),
        silence_ms: 10_000,
        manifest_root: delivery.manifest.root().0,
        image: "image".into(),
        files: delivery.layout.files().to_vec(),
    }
}

fn offer_source_specific() -> Offer {
    Offer { source: Some(Ipv6Addr::LOCALHOST.into()), source_specific: true, ..offer() }
}

/// One run of each form.
fn runs() -> Vec<u8> {
    let mut runs = RunEncoder::new(BlockIndex(7), 200);
    for (count, deficit) in [(1, 9), (64, 0), (1, 300), (1000, 1024), (70_000, 0), (1, 128)] {
        assert!(runs.push(count, deficit));
    }
    runs.finish().2
}

fn report(from: BlockIndex, runs: &[u8]) -> Report<'_> {
    Report {
        session: SESSION,
        client: CLIENT,
        complete: false,
        as_of: Sequence(1000),
        poll: 12,
        received: 990,
        dropped: 2,
        verified: 5,
        from,
        to: BlockIndex(from.0 + 1 + 64 + 1 + 1000 + 70_000 + 1),
        runs,
    }
}

fn complete() -> Report<'static> {
    Report { complete: true, to: BlockIndex(0), ..report(BlockIndex(0), &[]) }
}

fn release() -> Release<'static> {
    Release { session: SESSION, client: CLIENT, reason: ReleaseReason::Complete, text: "complete" }
}
