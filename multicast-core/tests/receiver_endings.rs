//! How a receiver learns that its session is over.

use std::net::SocketAddr;
use std::time::Duration;

use multicast_core::layout::{FileEntry, Geometry, Layout};
use multicast_core::receiver::{Receiver, ReceiverConfig, ReceiverError, ReceiverEvent};
use multicast_core::store::MemoryStore;
use multicast_core::types::{ClientId, Instant, Sequence, SessionId, Slot};
use multicast_core::wire::{Heartbeat, Offer, Poll, Refusal, RefuseReason, Release, ReleaseReason, SessionState};

const CLIENT: ClientId = ClientId(1);
const SESSION: SessionId = SessionId(5);

#[test]
fn a_cancellation_that_comes_behind_the_groups_word_of_the_end_still_counts() {
    let now = Instant::ZERO;
    let mut receiver = Receiver::new(config(), now);
    let files = vec![FileEntry { name: "image".into(), size: 100_000 }];
    let layout = Layout::new(Geometry::for_size(100_000, 1440), files.clone()).unwrap();
    let store = MemoryStore::new(&layout);
    receiver.handle_datagram(now, &bytes(|out| offer(files, *layout.geometry()).encode(out)));
    receiver.accept(now, None);
    for state in [SessionState::Running, SessionState::Ended] {
        let datagram = bytes(|out| heartbeat(state).encode(out));
        receiver.handle_group(now, &datagram, datagram.len(), &store);
    }
    assert!(!receiver.is_finished(), "it asks for the session again");
    let release = Release { session: SESSION, client: CLIENT, reason: ReleaseReason::Cancelled, text: "" };
    receiver.handle_datagram(now, &bytes(|out| release.encode(out)));
    let last = std::iter::from_fn(|| receiver.poll_event()).last();
    assert!(matches!(last, Some(ReceiverEvent::Failed(ReceiverError::Cancelled))), "{last:?}");
}

#[test]
fn who_is_to_take_it_by_unicast_ends_with_the_servers_words() {
    let now = Instant::ZERO;
    let mut receiver = Receiver::new(config(), now);
    let refusal = Refusal::new(CLIENT, RefuseReason::Unicast, 0, "this image is not sent by multicast");
    receiver.handle_datagram(now, &bytes(|out| refusal.encode(out)));
    let last = std::iter::from_fn(|| receiver.poll_event()).last();
    let text = "this image is not sent by multicast";
    let expected = |error: &ReceiverError| matches!(error, ReceiverError::TakeUnicast { text: told } if told == text);
    assert!(matches!(&last, Some(ReceiverEvent::Failed(error)) if expected(error)), "{last:?}");
    assert!(receiver.is_finished(), "there is no session to leave");
}

fn config() -> ReceiverConfig {
    ReceiverConfig {
        client: CLIENT,
        image: String::new(),
        host: String::new(),
        staging: 1 << 14,
        wait_limit: None,
        deaf_limit: Duration::from_secs(30),
        seed: 1,
    }
}

fn bytes(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

fn offer(files: Vec<FileEntry>, geometry: Geometry) -> Offer {
    Offer {
        session: SESSION,
        client: CLIENT,
        slot: Slot(0),
        group: SocketAddr::from(([239, 194, 0, 1], 63_000)),
        source: None,
        source_specific: false,
        geometry,
        silence_ms: 30_000,
        manifest_root: [0; 32],
        image: "image".into(),
        files,
    }
}

fn heartbeat(state: SessionState) -> Heartbeat {
    Heartbeat {
        session: SESSION,
        sequence: Sequence(0),
        poll: Poll { number: 0, first: Slot(0), count: 0, spread_ms: 0 },
        state,
        clients: 1,
        complete: 0,
        awaited: 0,
        starts_in_ms: None,
        rate_kbit: 1000,
    }
}
