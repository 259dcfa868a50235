//! Whole sessions of a real sender and real receivers, written down as what each end heard.

use std::collections::VecDeque;
use std::time::Duration;

use fuzz_bodies::{Delivery, GROUP, ReceiverOp, ReportOp, SESSION, SenderOp, client_address};
use multicast_core::codec::CodecId;
use multicast_core::pace::Rate;
use multicast_core::receiver::{JobRunner, Receiver, ReceiverConfig, ReceiverEvent};
use multicast_core::sender::{Sender, SenderConfig, StartPolicy, Transmit};
use multicast_core::store::MemoryStore;
use multicast_core::types::{ClientId, Instant};

use super::Seeds;

/// The seeds of the receiver and of the sender.
pub(super) fn all() -> (Seeds, Seeds) {
    let (clean, from_clean) = record(CodecId::ReedSolomon8, usize::MAX);
    let (lossy, from_lossy) = record(CodecId::ReedSolomon16, 5);
    let receiver = vec![
        ("session-without-loss".into(), clean),
        ("session-with-loss".into(), lossy),
        ("session-by-symbols".into(), by_symbols(0, &RELEASED)),
        ("session-resumed".into(), by_symbols(32, &RELEASED)),
        ("session-with-slow-jobs".into(), by_symbols(16, &RELEASED)),
        ("session-with-a-narrow-window".into(), by_symbols(64, &RELEASED)),
        ("session-removed-after-its-end".into(), by_symbols(0, &REMOVED)),
        ("session-lost-while-storing".into(), by_symbols(4 + 16, &LOST)),
    ];
    let sender = vec![
        ("session-without-loss".into(), from_clean),
        ("session-with-loss".into(), from_lossy),
        ("session-with-commands".into(), commanded()),
    ];
    (receiver, sender)
}

/// A session of one client that loses every `lost`th buffer: what the receiver and the sender heard.
fn record(codec: CodecId, lost: usize) -> (Vec<u8>, Vec<u8>) {
    let delivery = Delivery::new(codec);
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut sender = Sender::new(sender_config(&delivery), now);
    let mut receiver = Receiver::new(receiver_config(), now);
    let store = MemoryStore::new(&delivery.layout);
    let mut runner = JobRunner::new(*delivery.layout.geometry());
    let (mut heard, mut told) = (vec![if codec == CodecId::ReedSolomon16 { 0x81 } else { 0 }], vec![0, 3]);
    let mut buffers = 0;
    while !(sender.is_finished() && receiver.is_finished()) {
        let mut to_group = VecDeque::new();
        while let Some(transmit) = sender.poll_transmit(now) {
            match transmit {
                Transmit::Symbols { run, sequence } => to_group.push_back(delivery.datagrams(SESSION, run, sequence)),
                Transmit::Group(datagram) => to_group.push_back((datagram, 0)),
                Transmit::Client(_, datagram) => {
                    ReceiverOp::Server(&datagram).write(&mut heard);
                    receiver.handle_datagram(now, &datagram);
                }
            }
        }
        settle(&mut receiver, &mut runner, &store, now);
        for (buffer, segment) in to_group {
            buffers += 1;
            if buffers % lost != 0 {
                ReceiverOp::Group { segment: segment as u8, buffer: &buffer }.write(&mut heard);
                let segment = if segment == 0 { buffer.len() } else { segment };
                receiver.handle_group(now, &buffer, segment, &store);
                settle(&mut receiver, &mut runner, &store, now);
            }
        }
        while let Some(datagram) = receiver.poll_transmit() {
            SenderOp::Datagram { from: 1, datagram: &datagram }.write(&mut told);
            sender.handle_datagram(now, client_address(1), &datagram);
        }
        let next = [sender.poll_timeout(now), receiver.poll_timeout()].into_iter().flatten().min();
        // As coarse as scripts tell time.
        let wait = (next.unwrap_or(now) - now).max(Duration::from_micros(1024));
        let wait = Duration::from_micros(wait.as_micros().div_ceil(1024) as u64 * 1024);
        ReceiverOp::Wait(wait).write(&mut heard);
        SenderOp::Wait(wait).write(&mut told);
        now = now + wait;
        sender.handle_timeout(now);
        receiver.handle_timeout(now);
    }
    assert!(store.is_committed() && store.into_files() == delivery.files);
    (heard, told)
}

fn sender_config(delivery: &Delivery) -> SenderConfig {
    SenderConfig {
        session: SESSION,
        image: "image".into(),
        group: GROUP,
        source: None,
        source_specific: false,
        layout: delivery.layout.clone(),
        manifest_root: delivery.manifest.root().0,
        priority: Vec::new(),
        start: StartPolicy::default(),
        max_clients: None,
        silence: Duration::from_secs(10),
        keep_open: false,
        rate: Rate::from_mbit(10),
        burst: 3028,
        adaptive: None,
        first_rate: None,
        batch: 4,
        headers: 42,
    }
}

fn receiver_config() -> ReceiverConfig {
    ReceiverConfig {
        client: ClientId(1),
        image: String::new(),
        host: "host".into(),
        staging: 1 << 14,
        wait_limit: None,
        deaf_limit: Duration::from_secs(20),
        seed: 1,
    }
}

fn settle(receiver: &mut Receiver, runner: &mut JobRunner, store: &MemoryStore, now: Instant) {
    loop {
        if let Some(job) = receiver.poll_job() {
            let done = runner.run(job, store);
            receiver.handle_job(now, done);
        } else if let Some(event) = receiver.poll_event() {
            match event {
                ReceiverEvent::Offered { .. } => receiver.accept(now, None),
                ReceiverEvent::Failed(error) => panic!("{error}"),
                _ => {}
            }
        } else {
            break;
        }
    }
}

const fn heartbeat(state: u8) -> ReceiverOp<'static> {
    ReceiverOp::Heartbeat { state, clients: 1, first: 0, count: 1 }
}

/// The server hears of the completion and lets the client go.
const RELEASED: [ReceiverOp<'_>; 5] = [
    ReceiverOp::Settle,
    heartbeat(1),
    ReceiverOp::Deadline,
    ReceiverOp::Release(0),
    ReceiverOp::Wait(Duration::from_millis(1)),
];

/// The operator removes a client that is complete, but does not know it yet.
const REMOVED: [ReceiverOp<'_>; 3] = [ReceiverOp::Settle, heartbeat(1), ReceiverOp::Release(1)];

/// Every block is verified and only the store is not yet done when the session ends; that takes
/// longer than the client would wait for a session.
const LOST: [ReceiverOp<'_>; 5] = [
    ReceiverOp::RunJob,
    ReceiverOp::TellJob,
    heartbeat(4),
    ReceiverOp::Wait(Duration::from_secs(31)),
    ReceiverOp::Settle,
];

/// A session in the short form that a fuzzer can bend: source symbols of some blocks, parity of
/// others; the last block comes damaged at first. How it ends is `ending`.
fn by_symbols(setup: u8, ending: &[ReceiverOp<'_>]) -> Vec<u8> {
    let last = Delivery::new(CodecId::ReedSolomon8).layout.blocks() as u8 - 1;
    let mut script = vec![setup];
    let damage = (0, 0);
    let mut ops = vec![ReceiverOp::Offer { twist: 0 }, heartbeat(0), ReceiverOp::Deadline, heartbeat(1)];
    for block in 0..last {
        let first = block % 3;
        ops.extend([ReceiverOp::Symbols { block, first, count: 5, damage }, ReceiverOp::RunJob]);
        ops.extend([ReceiverOp::TellJob, ReceiverOp::Window(block + 3)]);
    }
    let damaged = ReceiverOp::Symbols { block: last, first: 0, count: 5, damage: (16, 1) };
    let again = ReceiverOp::Symbols { block: last, first: 0, count: 5, damage };
    ops.extend([damaged, ReceiverOp::Settle, again]);
    ops.iter().chain(ending).for_each(|op| op.write(&mut script));
    script
}

/// A session in the short form: two clients complete, one is removed, one falls silent.
fn commanded() -> Vec<u8> {
    let report = |client, deficits| {
        let (complete, behind, received, verified, from) = (false, 0, 0, 0, 0);
        SenderOp::Report(ReportOp { client, complete, behind, received, verified, from, deficits })
    };
    let complete = |client| {
        let (behind, received, verified, from, deficits) = (0, 40, 14, 0, &[][..]);
        SenderOp::Report(ReportOp { client, complete: true, behind, received, verified, from, deficits })
    };
    let all = [4; 14];
    // Two clients start it; a third of at most two would be refused.
    let mut script = vec![1, 3];
    let joins = [1, 2].map(|client| SenderOp::Join { client });
    let late = [SenderOp::Join { client: 3 }, SenderOp::Join { client: 4 }, report(3, &[0, 2, 0, 1]), report(4, &all)];
    let commands = [SenderOp::Pause, SenderOp::Deadlines(2), SenderOp::Resume, SenderOp::Remove { client: 3 }];
    let ops = joins.into_iter().chain([report(1, &all), report(2, &all), SenderOp::Deadlines(20)]).chain(late);
    let ops = ops.chain([SenderOp::Deadlines(20)]).chain(commands).chain([complete(1), SenderOp::Deadlines(9)]);
    let ops = ops.chain([complete(2), SenderOp::Wait(Duration::from_secs(11)), SenderOp::Deadlines(40)]);
    ops.for_each(|op| op.write(&mut script));
    script
}
