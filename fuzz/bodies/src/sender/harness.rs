//! A driver that does to its sender what a script says, and watches it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use multicast_core::codec::CodecId;
use multicast_core::pace::{AdaptConfig, Rate};
use multicast_core::sender::{EndCause, Sender, SenderConfig, SenderEvent, StartPolicy, SymbolRun, Transmit};
use multicast_core::types::{BlockIndex, ClientId, Instant, Sequence};
use multicast_core::wire::{Join, Leave, LeaveReason, MAX_CONTROL_LEN, Packet, Report, RunEncoder, SessionState};

use super::op::{ReportOp, SenderOp};
use crate::delivery::{Delivery, GROUP, SESSION};
use crate::wire::encode;

static DELIVERY: LazyLock<Delivery> = LazyLock::new(|| Delivery::new(CodecId::ReedSolomon8));

/// Datagrams at one moment at most: all that the pacer lets go, and an answer or two.
const AT_ONCE: usize = 4096;

pub(super) struct Harness {
    sender: Sender,
    batch: u16,
    now: Instant,
    sequence: Sequence,
    finished: bool,
    /// So many may yet be waited for.
    deadlines: u32,
}

/// The address of client `number`.
pub fn client_address(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)), 40_000)
}

impl Harness {
    pub(super) fn new(setup: u8, batch: u8) -> Self {
        let batch = u16::from(batch % 44) + 1;
        let layout = DELIVERY.layout.clone();
        let config = SenderConfig {
            session: SESSION,
            image: "image".into(),
            group: GROUP,
            source: None,
            source_specific: false,
            manifest_root: DELIVERY.manifest.root().0,
            priority: vec![BlockIndex(layout.blocks() - 1)],
            start: StartPolicy {
                clients: (setup & 1 != 0).then_some(2),
                wait: (setup & 2 != 0).then_some(Duration::from_secs(5)),
                on_command: setup & 4 != 0,
            },
            max_clients: (setup & 8 != 0).then_some(2),
            silence: Duration::from_secs(10),
            keep_open: setup & 16 != 0,
            rate: if setup & 32 == 0 { Rate::from_mbit(10) } else { Rate::MIN },
            burst: 3028,
            adaptive: (setup & 64 != 0).then(AdaptConfig::default),
            first_rate: None,
            batch,
            headers: 42,
            layout,
        };
        let now = Instant::from_nanos(1_000_000_000);
        let sender = Sender::new(config, now);
        let mut harness = Self { sender, batch, now, sequence: Sequence(0), finished: false, deadlines: 300 };
        harness.drive();
        harness
    }

    pub(super) fn apply(&mut self, op: SenderOp<'_>) {
        match op {
            SenderOp::Datagram { from, datagram } => self.hear(from, datagram),
            SenderOp::Wait(time) => {
                self.now = self.now + time;
                self.sender.handle_timeout(self.now);
            }
            SenderOp::Deadlines(count) => {
                // All of a script together, or one input takes all day.
                let count = u32::from(count).min(self.deadlines);
                self.deadlines -= count;
                for _ in 0..count {
                    self.deadline();
                    self.drive();
                }
            }
            SenderOp::Join { client } => {
                let join = Join { client: ClientId(client.into()), image: "", host: "host", credential: &[] };
                self.hear(client, &encode(&Packet::Join(join)));
            }
            SenderOp::Report(report) => self.report(report),
            SenderOp::Leave { client } => {
                let (id, reason) = (ClientId(client.into()), LeaveReason::Disk);
                let leave = Leave { session: SESSION, client: id, reason, text: "disk full" };
                self.hear(client, &encode(&Packet::Leave(leave)));
            }
            SenderOp::Start => self.sender.start(self.now),
            SenderOp::Pause => self.sender.pause(),
            SenderOp::Resume => self.sender.resume(self.now),
            SenderOp::Cancel => self.sender.cancel(self.now),
            SenderOp::Remove { client } => drop(self.sender.remove(self.now, ClientId(client.into()))),
        }
        self.drive();
    }

    /// Whether every client was done with.
    pub(super) fn is_over(&self) -> bool {
        self.finished
    }

    fn hear(&mut self, from: u8, datagram: &[u8]) {
        self.sender.handle_datagram(self.now, client_address(from), datagram);
    }

    fn deadline(&mut self) {
        self.now = self.now.max(self.sender.poll_timeout(self.now).unwrap_or(self.now));
        self.sender.handle_timeout(self.now);
    }

    fn report(&mut self, op: ReportOp<'_>) {
        let mut runs = RunEncoder::new(BlockIndex(op.from.into()), MAX_CONTROL_LEN - Report::HEADER_LEN);
        let fits = op.deficits.iter().take_while(|deficit| runs.push(1, u16::from(**deficit))).count();
        assert!(fits == op.deficits.len() || fits > 500, "{fits} blocks are too many for a report");
        let (from, to, runs) = runs.finish();
        let report = Report {
            session: SESSION,
            client: ClientId(op.client.into()),
            complete: op.complete,
            as_of: Sequence(self.sequence.0.wrapping_sub(op.behind.into())),
            poll: 1,
            received: op.received.into(),
            dropped: 0,
            verified: op.verified.into(),
            from,
            to,
            runs: &runs,
        };
        self.hear(op.client, &encode(&Packet::Report(report)));
    }

    /// What a driver does after every step.
    fn drive(&mut self) {
        self.send();
        while let Some(event) = self.sender.poll_event() {
            if let SenderEvent::Ended { cause } = event {
                assert_eq!(self.sender.state(), SessionState::Ended);
                self.finished |= cause == EndCause::Finished;
            }
        }
        self.time_moves_on();
        let snapshot = self.sender.snapshot(self.now);
        assert_eq!(snapshot.counters.symbols, u64::from(self.sequence.0));
        assert!(snapshot.clients.iter().all(|client| client.verified <= snapshot.blocks));
        assert!(snapshot.clients.iter().all(|client| (0.0..=1.0).contains(&client.loss)));
    }

    fn send(&mut self) {
        for _ in 0..AT_ONCE {
            match self.sender.poll_transmit(self.now) {
                None => return,
                Some(Transmit::Symbols { run, sequence }) => self.check_run(run, sequence),
                Some(Transmit::Group(datagram)) => match Packet::decode(&datagram) {
                    Ok(Packet::Heartbeat(heartbeat)) => {
                        assert_eq!(heartbeat.session, SESSION);
                        assert!(heartbeat.complete <= heartbeat.clients);
                    }
                    other => panic!("{other:?} does not go to the group"),
                },
                Some(Transmit::Client(_, datagram)) => {
                    assert!(datagram.len() <= MAX_CONTROL_LEN);
                    let packet = Packet::decode(&datagram).expect("what it says can be read");
                    let to_client = matches!(packet, Packet::Offer(_) | Packet::Refusal(_) | Packet::Release(_));
                    assert!(to_client, "{packet:?} does not go to a client");
                }
            }
        }
        panic!("it never stops sending at {:?}", self.now);
    }

    fn check_run(&mut self, run: SymbolRun, sequence: Sequence) {
        assert_eq!(self.sender.state(), SessionState::Running);
        assert_eq!(sequence, self.sequence);
        self.sequence = sequence.plus(run.count.into());
        let layout = &DELIVERY.layout;
        let symbols = layout.symbols_of(run.block);
        assert!(symbols > 0 && (1..=self.batch).contains(&run.count), "{run:?}");
        let end = run.first.0 + run.count;
        let last = if run.first.0 < symbols { symbols } else { symbols + layout.geometry().parity_symbols };
        assert!(end <= last, "{run:?}");
    }

    /// Once a deadline was handled the next one lies ahead: no driver spins.
    fn time_moves_on(&mut self) {
        match self.sender.poll_timeout(self.now) {
            None => assert!(self.sender.is_finished()),
            Some(due) if due <= self.now => {
                self.sender.handle_timeout(self.now);
                self.send();
                let next = self.sender.poll_timeout(self.now);
                assert!(next.is_none_or(|next| next > self.now), "{next:?} at {:?}", self.now);
            }
            Some(_) => {}
        }
    }
}
