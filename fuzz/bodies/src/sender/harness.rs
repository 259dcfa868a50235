//! A driver that does to the streams of a session what a script says, and watches them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use multicast_core::codec::CodecId;
use multicast_core::pace::{AdaptConfig, Rate};
use multicast_core::sender::{
    EndCause, Ladder, LadderConfig, SenderConfig, SenderEvent, StartPolicy, StreamWish, SymbolRun, Transmit,
};
use multicast_core::types::{BlockIndex, ClientId, Instant, Sequence, SessionId};
use multicast_core::wire::{Join, Leave, LeaveReason, MAX_CONTROL_LEN, Packet, Report, RunEncoder, SessionState};

use super::op::{ReportOp, SenderOp};
use crate::delivery::{Delivery, GROUP, SESSION};
use crate::wire::encode;

static DELIVERY: LazyLock<Delivery> = LazyLock::new(|| Delivery::new(CodecId::ReedSolomon8));

/// Datagrams at one moment at most: all that the pacer lets go, and an answer or two.
const AT_ONCE: usize = 4096;

pub(super) struct Harness {
    ladder: Ladder,
    batch: u16,
    now: Instant,
    /// What comes next of each stream; a further one has a number of its own.
    streams: HashMap<SessionId, Sequence>,
    /// The stream that was last offered to whom.
    offered: HashMap<ClientId, SessionId>,
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
                after: (setup & 6 == 6).then_some(Duration::from_secs(3)),
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
        let terms = LadderConfig {
            slow_after: Duration::from_secs(1),
            slower_stream: setup & 128 != 0,
            unicast: 2,
            least_rate: (batch % 2 == 0).then_some(Rate::MIN),
            stalled_after: Some(Duration::from_secs(20)),
            ..LadderConfig::default()
        };
        let mut harness = Self {
            ladder: Ladder::new(config, terms, now),
            batch,
            now,
            streams: HashMap::from([(SESSION, Sequence(0))]),
            offered: HashMap::new(),
            finished: false,
            deadlines: 300,
        };
        harness.drive();
        harness
    }

    pub(super) fn apply(&mut self, op: SenderOp<'_>) {
        match op {
            SenderOp::Datagram { from, datagram } => self.hear(from, datagram),
            SenderOp::Wait(time) => {
                self.now = self.now + time;
                self.ladder.handle_timeout(self.now);
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
                let leave = Leave { session: self.stream_of(id), client: id, reason, text: "disk full" };
                self.hear(client, &encode(&Packet::Leave(leave)));
            }
            SenderOp::Start => self.ladder.start(self.now),
            SenderOp::Pause => self.ladder.pause(),
            SenderOp::Resume => self.ladder.resume(self.now),
            SenderOp::Cancel => self.ladder.cancel(self.now),
            SenderOp::Remove { client } => drop(self.ladder.remove(self.now, ClientId(client.into()))),
        }
        self.drive();
    }

    /// Whether every client was done with.
    pub(super) fn is_over(&self) -> bool {
        self.finished
    }

    fn hear(&mut self, from: u8, datagram: &[u8]) {
        self.ladder.handle_datagram(self.now, client_address(from), datagram);
    }

    fn deadline(&mut self) {
        self.now = self.now.max(self.ladder.poll_timeout(self.now).unwrap_or(self.now));
        self.ladder.handle_timeout(self.now);
    }

    fn report(&mut self, op: ReportOp<'_>) {
        let mut runs = RunEncoder::new(BlockIndex(op.from.into()), MAX_CONTROL_LEN - Report::HEADER_LEN);
        let fits = op.deficits.iter().take_while(|deficit| runs.push(1, u16::from(**deficit))).count();
        assert!(fits == op.deficits.len() || fits > 500, "{fits} blocks are too many for a report");
        let (from, to, runs) = runs.finish();
        let client = ClientId(op.client.into());
        let session = self.stream_of(client);
        let report = Report {
            session,
            client,
            complete: op.complete,
            as_of: Sequence(self.streams[&session].0.wrapping_sub(op.behind.into())),
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

    /// Which stream a client takes itself to be served by.
    fn stream_of(&self, client: ClientId) -> SessionId {
        self.offered.get(&client).copied().unwrap_or(SESSION)
    }

    /// What a driver does after every step.
    fn drive(&mut self) {
        self.send();
        while let Some(event) = self.ladder.poll_event() {
            if let SenderEvent::Ended { cause } = event {
                assert_eq!(self.ladder.state(), SessionState::Ended);
                self.finished |= cause == EndCause::Finished;
            }
        }
        self.fulfil_wishes();
        self.time_moves_on();
        let snapshot = self.ladder.snapshot(self.now);
        assert_eq!(snapshot.counters.symbols, self.streams.values().map(|next| u64::from(next.0)).sum::<u64>());
        assert!(snapshot.clients.iter().all(|client| client.verified <= snapshot.blocks));
        assert!(snapshot.clients.iter().all(|client| (0.0..=1.0).contains(&client.loss)));
    }

    /// Every third stream cannot be opened.
    fn fulfil_wishes(&mut self) {
        while let Some(wish) = self.ladder.poll_wish() {
            let StreamWish::Open { to } = wish else { continue };
            let number = self.streams.len() as u32;
            if number % 3 == 2 {
                self.streams.insert(SessionId(SESSION.0 + number), Sequence(0));
                self.ladder.give_up_opening(self.now, "no address is free");
                continue;
            }
            let stream = SessionId(SESSION.0 + number);
            self.streams.insert(stream, Sequence(0));
            let group = SocketAddr::new(GROUP.ip(), GROUP.port() + number as u16);
            self.ladder.open(self.now, stream, to.unwrap_or(group));
        }
    }

    fn send(&mut self) {
        for _ in 0..AT_ONCE {
            match self.ladder.poll_transmit(self.now) {
                None => return,
                Some((stream, Transmit::Symbols { run, sequence })) => self.check_run(stream, run, sequence),
                Some((stream, Transmit::Group(datagram))) => match Packet::decode(&datagram) {
                    Ok(Packet::Heartbeat(heartbeat)) => {
                        assert_eq!(heartbeat.session, stream);
                        assert!(heartbeat.complete <= heartbeat.clients);
                    }
                    other => panic!("{other:?} does not go to the group"),
                },
                Some((_, Transmit::Client(_, datagram))) => {
                    assert!(datagram.len() <= MAX_CONTROL_LEN);
                    let packet = Packet::decode(&datagram).expect("what it says can be read");
                    let to_client = matches!(packet, Packet::Offer(_) | Packet::Refusal(_) | Packet::Release(_));
                    assert!(to_client, "{packet:?} does not go to a client");
                    if let Packet::Offer(offer) = packet {
                        self.offered.insert(offer.client, offer.session);
                    }
                }
            }
        }
        panic!("it never stops sending at {:?}", self.now);
    }

    fn check_run(&mut self, stream: SessionId, run: SymbolRun, sequence: Sequence) {
        assert_eq!(self.ladder.state(), SessionState::Running);
        let next = self.streams.get_mut(&stream).expect("a stream that is open");
        assert_eq!(sequence, *next);
        *next = sequence.plus(run.count.into());
        let layout = &DELIVERY.layout;
        let symbols = layout.symbols_of(run.block);
        assert!(symbols > 0 && (1..=self.batch).contains(&run.count), "{run:?}");
        let end = run.first.0 + run.count;
        let last = if run.first.0 < symbols { symbols } else { symbols + layout.geometry().parity_symbols };
        assert!(end <= last, "{run:?}");
    }

    /// Once a deadline was handled the next one lies ahead: no driver spins.
    fn time_moves_on(&mut self) {
        match self.ladder.poll_timeout(self.now) {
            None => assert!(self.ladder.is_finished()),
            Some(due) if due <= self.now => {
                self.ladder.handle_timeout(self.now);
                self.send();
                self.fulfil_wishes();
                let next = self.ladder.poll_timeout(self.now);
                assert!(next.is_none_or(|next| next > self.now), "{next:?} at {:?}", self.now);
            }
            Some(_) => {}
        }
    }
}
