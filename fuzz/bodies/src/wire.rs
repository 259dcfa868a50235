//! Any datagram.

use multicast_core::layout::Layout;
use multicast_core::wire::{Packet, VERSION, peek};

/// What decodes says the same as its bytes: encoded again it is those bytes. Whether it decoded.
pub fn wire(datagram: &[u8]) -> bool {
    let Ok(packet) = Packet::decode(datagram) else { return false };
    let (version, _) = peek(datagram).expect("it decoded");
    let mut again = encode(&packet);
    if version != VERSION {
        // Only a refusal may be of another version; what it is encoded as is ours.
        assert!(matches!(packet, Packet::Refusal(_)));
        again[0] = datagram[0];
    }
    assert_eq!(again, datagram, "{packet:?}");
    match &packet {
        Packet::Report(report) => {
            let mut next = report.from.0;
            for run in report.runs() {
                assert!(run.blocks.start == next && run.blocks.end > next);
                next = run.blocks.end;
            }
            assert_eq!(next, report.to.0);
        }
        // A client makes a layout of whatever it is offered.
        Packet::Offer(offer) => drop(Layout::new(offer.geometry, offer.files.clone())),
        _ => {}
    }
    true
}

/// The bytes of `packet`.
pub fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match packet {
        Packet::Symbol(symbol) => {
            out.extend(symbol.header());
            out.extend(symbol.payload);
        }
        Packet::Heartbeat(heartbeat) => heartbeat.encode(&mut out),
        Packet::Join(join) => join.encode(&mut out),
        Packet::Offer(offer) => offer.encode(&mut out),
        Packet::Refusal(refusal) => refusal.encode(&mut out),
        Packet::Report(report) => report.encode(&mut out),
        Packet::Leave(leave) => leave.encode(&mut out),
        Packet::Release(release) => release.encode(&mut out),
        Packet::Inquiry(inquiry) => inquiry.encode(&mut out),
        Packet::Directory(directory) => directory.encode(&mut out),
        Packet::Probe(probe) => probe.encode(&mut out),
        Packet::Echo(echo) => echo.encode(&mut out),
        Packet::Sample(sample) => sample.encode(&mut out),
    }
    out
}
