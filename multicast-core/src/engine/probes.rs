//! Answers probes, and sends the samples that one asked for, from a thread of its own.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant as Deadline, SystemTime, UNIX_EPOCH};

use crossbeam_channel::unbounded;

use super::clock::Clock;
use super::door::lock;
use super::places::Places;
use super::priority;
use super::session::Inbound;
use crate::doctor::{Desk, Due, Order, ProbePolicy, SampleStream, Step};
use crate::net::{ControlSocket, MulticastSender, NetError, SenderOptions, path_mtu};
use crate::pace::{Profile, largest_payload};
use crate::types::{Instant, Sequence};
use crate::wire::{
    Echo, MAX_PROBE_LEN, MIN_PROBE_LEN, Probe, SAMPLE_HEADER_LEN, SampleAnswer, SampleWay, SessionState,
};

/// A session says within this whether it sends; one that does not is busy sending.
const SESSION_PATIENCE: Duration = Duration::from_millis(200);
/// While a session runs there are no samples; how long it will is not known.
const SESSION_RETRY_MS: u32 = 5000;
/// The engine's end is looked for so often.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Answers up to so many bytes fit any path.
const SMALL: u16 = 508;
/// What samples are filled with.
static ZEROS: [u8; MAX_PROBE_LEN - SAMPLE_HEADER_LEN] = [0; MAX_PROBE_LEN - SAMPLE_HEADER_LEN];

/// What answers probes; clones share it.
#[derive(Clone)]
pub(super) struct Probes {
    desk: Arc<Mutex<Desk>>,
    policy: Option<ProbePolicy>,
    places: Places,
    socket: Arc<ControlSocket>,
    clock: Clock,
}

impl Probes {
    pub(super) fn new(
        policy: Option<ProbePolicy>,
        places: Places,
        socket: Arc<ControlSocket>,
        clock: Clock,
        seed: u64,
    ) -> Self {
        let secret = blake3::derive_key("mcast 2026 key of probes", &seed.to_le_bytes());
        let desk = Arc::new(Mutex::new(Desk::new(policy.map(|policy| policy.rate), secret)));
        Self { desk, policy, places, socket, clock }
    }

    /// Answers a probe, now or as soon as it is known whether there can be samples.
    pub(super) fn handle(&self, from: SocketAddr, probe: Probe) {
        let step = lock(&self.desk).handle_probe(self.clock.now(), from, &probe);
        match step {
            Step::Answer(answer) => self.answer(from, &probe, answer),
            Step::Wait => {}
            Step::Open(order) => {
                let this = self.clone();
                let thread = thread::Builder::new().name("mcast-probe".into()).spawn(move || this.serve(probe, order));
                if thread.is_err() {
                    lock(&self.desk).give_up();
                }
            }
        }
    }

    fn answer(&self, from: SocketAddr, probe: &Probe, answer: SampleAnswer) {
        let (rate_kbit, key) = {
            let desk = lock(&self.desk);
            (desk.rate_kbit(), desk.key(from))
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let largest = largest_payload(from.ip(), self.places.interface.mtu);
        let echo = Echo {
            client: probe.client,
            number: probe.number,
            clock_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            rate_kbit,
            largest: u16::try_from(largest).unwrap_or(u16::MAX),
            answer,
            key,
            len: in_one_piece(from, probe.echo_len),
        };
        let mut payload = Vec::with_capacity(echo.len.into());
        echo.encode(&mut payload);
        // A lost answer is asked for again.
        let _ = self.socket.send_to(&payload, from);
    }

    /// Opens what was ordered, if it can be, and sends it.
    fn serve(&self, probe: Probe, order: Order) {
        let refuse = |answer| {
            lock(&self.desk).give_up();
            self.answer(order.from, &probe, answer);
        };
        if self.a_session_runs() {
            return refuse(SampleAnswer::Busy { retry_ms: SESSION_RETRY_MS });
        }
        let to = match order.way {
            SampleWay::Client => order.from,
            SampleWay::Group => match self.places.take(None) {
                Ok(to) => to,
                Err(_) => return refuse(SampleAnswer::NoPlace),
            },
        };
        let (answer, starts) = lock(&self.desk).open(self.clock.now(), to);
        self.answer(order.from, &probe, answer);
        let bytes = self.send(order, to, starts);
        if order.way == SampleWay::Group {
            self.places.free(to);
        }
        lock(&self.desk).close(self.clock.now(), bytes);
    }

    /// Whether samples would take a session's rate.
    fn a_session_runs(&self) -> bool {
        let sessions: Vec<_> = lock(&self.places.door).sessions.values().map(|(_, inbound)| inbound.clone()).collect();
        let (reply, answers) = unbounded();
        // One that has just ended does not run.
        let asked = sessions.iter().filter(|inbound| inbound.send(Inbound::Snapshot(reply.clone())).is_ok()).count();
        drop(reply);
        let end = Deadline::now() + SESSION_PATIENCE;
        for _ in 0..asked {
            match answers.recv_deadline(end) {
                Ok(snapshot) if snapshot.state != SessionState::Running => {}
                Ok(_) | Err(crossbeam_channel::RecvTimeoutError::Timeout) => return true,
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return false,
            }
        }
        false
    }

    /// Sends the samples; how many bytes they had on the wire.
    fn send(&self, order: Order, to: SocketAddr, starts: Instant) -> u64 {
        let mut stream = SampleStream::new(order, to.ip(), starts);
        // Who asked sees that none come.
        let Ok(mut sender) = self.sender(order, to) else { return 0 };
        priority::raise();
        while !lock(&self.places.door).closed {
            match stream.poll(self.clock.now()) {
                Due::Batch { first, count } => {
                    // A link that is gone for a moment shows as loss.
                    let _ = send_batch(&mut sender, &stream, first, count, to);
                }
                Due::Last(sample) => {
                    let mut payload = Vec::new();
                    sample.encode(&mut payload);
                    let _ = sender.send_to(&payload, to);
                }
                Due::Wait(then) => thread::sleep(self.clock.until(then).min(LOOK_INTERVAL)),
                Due::Over => break,
            }
        }
        stream.bytes()
    }

    fn sender(&self, order: Order, to: SocketAddr) -> Result<MulticastSender, NetError> {
        let policy = self.policy.unwrap_or(ProbePolicy::new(order.rate));
        let send_buffer = Profile::Custom(order.rate).send_buffer();
        let options = SenderOptions { ttl: policy.ttl, dscp: policy.dscp, send_buffer };
        match order.way {
            SampleWay::Group => MulticastSender::new(&self.places.interface, to.ip(), &options),
            SampleWay::Client => MulticastSender::to_one(&self.socket, &self.places.interface, &options),
        }
    }
}

fn send_batch(
    sender: &mut MulticastSender,
    stream: &SampleStream,
    first: Sequence,
    count: u16,
    to: SocketAddr,
) -> Result<(), NetError> {
    let samples: Vec<_> = (0..count).map(|n| stream.sample(first.plus(n.into()))).collect();
    let len = samples.first().map_or(0, |sample| usize::from(sample.len));
    let headers: Vec<_> = samples.iter().map(crate::wire::Sample::header).collect();
    let filling = IoSlice::new(&ZEROS[..len.saturating_sub(SAMPLE_HEADER_LEN)]);
    let slices: Vec<_> = headers.iter().flat_map(|header| [IoSlice::new(header), filling]).collect();
    sender.send_batch(&slices, len, count.into(), to)
}

/// Bytes of an answer of `wanted` bytes that goes to `to` in one piece: fragments would arrive, and say nothing.
fn in_one_piece(to: SocketAddr, wanted: u16) -> u16 {
    if wanted <= SMALL {
        return wanted;
    }
    let known = path_mtu(to).map_or(usize::MAX, |mtu| largest_payload(to.ip(), mtu));
    wanted.min(u16::try_from(known).unwrap_or(u16::MAX)).max(MIN_PROBE_LEN as u16)
}
