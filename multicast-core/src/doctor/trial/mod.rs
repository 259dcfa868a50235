//! Measures from the client's side, over sockets: asks, follows the samples, and counts.

mod following;
mod line;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant as Deadline, SystemTime, UNIX_EPOCH};

use self::following::{Following, GONE};
use self::line::Line;
use super::desk::LONGEST;
use super::path::PathSearch;
use super::tally::{Counts, Tally};
use crate::address::{GroupClass, classify};
use crate::engine::Clock;
use crate::net::{
    BufferSize, ControlSocket, Interface, MulticastReceiver, NetError, Overhear, RECEIVE_BUFFER, Received, wait,
};
use crate::pace::{Rate, headers_on_wire, largest_payload};
use crate::types::{ClientId, Instant};
use crate::wire::{
    Echo, INQUIRY_LEN, Inquiry, MAX_PROBE_LEN, MIN_PROBE_LEN, Packet, Probe, Sample, SampleWay, SampleWish, Samples,
};

/// Between two questions that were not answered.
const INTERVAL: Duration = Duration::from_millis(200);
/// A size that so many questions in a row did not bring back does not pass: at 20 % loss each way one of 600
/// sizes is wronged.
const TRIES: u32 = 4;
/// A size's answer is waited for so long, or four round trips.
const PATH_PATIENCE: Duration = Duration::from_millis(60);
/// After the last sample was due.
const GRACE: Duration = Duration::from_millis(700);
const BUFFER: usize = 256 << 10;

/// A following of one group: before it is joined, joined, after it was left.
const UNJOINED: Duration = Duration::from_secs(1);
const JOINED: Duration = Duration::from_millis(1500);
/// A report that was lost is repeated within a second (RFC 3376 §8.11).
const JOIN_PATIENCE: Duration = Duration::from_secs(3);
/// A switch asks twice, a second apart, before it believes that nobody is left (RFC 3376 §8.8).
const LEFT: Duration = Duration::from_secs(5);
const TRICKLE_LEN: u16 = 100;

/// Whether a server answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Contact {
    /// It does.
    Answered(Peer),
    /// It does, but knows no probes: an older one.
    Old,
    /// Its host says that nobody listens at this port.
    Refused,
    /// There is no way to it, and why.
    NoRoute(io::ErrorKind),
    /// Nothing comes.
    Silent,
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peer {
    /// There and back.
    pub round_trip: Duration,
    /// Seconds that its clock is ahead of this host's.
    pub clock_ahead: f64,
    /// What samples may have at most; `None` if it sends none.
    pub rate: Option<Rate>,
    /// Bytes of the largest datagram that its interface sends in one piece.
    pub largest: u16,
}

/// Bytes of payload that go through in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathFacts {
    /// What both ends could send.
    pub limit: u16,
    /// Datagrams of so many bytes go there and come back; `None` if none of any size did.
    pub both: Option<u16>,
    /// Datagrams of so many bytes go there.
    pub there: Option<u16>,
}

/// Why there are no samples.
#[derive(Debug)]
pub enum NoSamples {
    /// The server sends none.
    Off,
    /// It was busy all the time.
    Busy,
    /// It has no group and port for them.
    NoPlace,
    /// It does not answer any more.
    Silent,
    /// This host cannot take part.
    Net(NetError),
}

impl From<NetError> for NoSamples {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

/// What was seen of a group: before it was joined, while it was, and after it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Membership {
    /// Packets could be seen before the system sorts them: what the three below count.
    pub overheard: bool,
    /// Samples that reached the interface before anybody here had joined.
    pub before: u32,
    /// Samples that reached the interface while the group was joined.
    pub at_interface: u32,
    /// How long they still came after it was left; `None` if that was not watched.
    pub lingered: Option<Duration>,
    /// They still came when the watch ended.
    pub never_stopped: bool,
    /// Who asked whether somebody else wants the group when it was left: a querier.
    pub asked_by: Option<Ipv4Addr>,
    /// Samples that the system handed over.
    pub received: u32,
    /// From the join to the first of them.
    pub joined_in: Option<Duration>,
}

/// What came of samples at a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamFacts {
    /// To a group, or to this host alone.
    pub way: SampleWay,
    /// Bits per second on the wire, by the server's word.
    pub rate: Rate,
    /// Bytes of each datagram.
    pub len: u16,
    /// What arrived.
    pub counts: Counts,
    /// Messages that this host dropped because its socket's buffer was full.
    pub dropped: u64,
    /// That buffer.
    pub buffer: BufferSize,
}

/// A client that tries one server.
pub struct Trial {
    server: SocketAddr,
    interface: Interface,
    client: ClientId,
    line: Line,
    clock: Clock,
    /// Of the last question.
    number: u32,
    round_trip: Duration,
    largest: u16,
}

impl Trial {
    /// Tries `server` from `interface`; `client` is a random number.
    pub fn new(server: SocketAddr, interface: Interface, client: ClientId) -> Result<Self, NetError> {
        let line = Line::open(server)?;
        let clock = Clock::start();
        // An interface that cannot is told by its size.
        let system = |source| NetError::Bind { address: line.socket.local_address(), source };
        line.socket.never_fragment().map_err(system)?;
        let round_trip = PATH_PATIENCE;
        Ok(Self { server, interface, client, line, clock, number: client.0 as u32, round_trip, largest: 0 })
    }

    /// Whether the server answers within `patience`.
    pub fn contact(&mut self, patience: Duration) -> Contact {
        let contact = match self.knock(patience) {
            Ok(contact) => contact,
            Err(error) => Contact::NoRoute(error.kind()),
        };
        if let Contact::Answered(peer) = &contact {
            (self.round_trip, self.largest) = (peer.round_trip, peer.largest);
        }
        contact
    }

    fn knock(&self, patience: Duration) -> io::Result<Contact> {
        // Connected, it is told when nobody listens.
        let socket = UdpSocket::bind(any(self.server))?;
        socket.connect(self.server)?;
        let (mut question, mut inquiry) = (Vec::new(), Vec::with_capacity(INQUIRY_LEN));
        self.probe(0, 0, None).encode(&mut question);
        Inquiry { client: self.client, image: "" }.encode(&mut inquiry);
        let end = Deadline::now() + patience;
        let (mut refused, mut old) = (0, false);
        let mut buffer = [0; 2048];
        while Deadline::now() < end && refused < 3 {
            let sent = Deadline::now();
            // The system tells of a refusal by the next call, whichever it is.
            for datagram in [&question, &inquiry] {
                match socket.send(datagram) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => refused += 1,
                    Err(error) => return Err(error),
                }
            }
            loop {
                let left = (sent + INTERVAL).saturating_duration_since(Deadline::now());
                if left.is_zero() {
                    break;
                }
                socket.set_read_timeout(Some(left))?;
                match socket.recv(&mut buffer) {
                    Ok(len) => match Packet::decode(&buffer[..len]) {
                        Ok(Packet::Echo(echo)) if echo.client == self.client => {
                            return Ok(Contact::Answered(peer(&echo, sent.elapsed())));
                        }
                        Ok(Packet::Directory(directory)) if directory.client == self.client => old = true,
                        _ => {}
                    },
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => refused += 1,
                    Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(match (old, refused) {
            (true, _) => Contact::Old,
            (false, 0) => Contact::Silent,
            (false, _) => Contact::Refused,
        })
    }

    /// The largest datagrams that pass without being fragmented.
    pub fn path(&mut self) -> PathFacts {
        let own = largest_payload(self.server.ip(), self.interface.mtu);
        let limit = self.largest.min(u16::try_from(own.min(MAX_PROBE_LEN)).unwrap_or(u16::MAX));
        let limit = limit.clamp(MIN_PROBE_LEN as u16, MAX_PROBE_LEN as u16);
        let both = self.search(limit, |size| size);
        let there = if both == Some(limit) { both } else { self.search(limit, |_| MIN_PROBE_LEN as u16) };
        PathFacts { limit, both, there }
    }

    fn search(&mut self, limit: u16, echo_len: impl Fn(u16) -> u16) -> Option<u16> {
        let mut search = PathSearch::new(MIN_PROBE_LEN as u16, limit);
        while let Some(size) = search.next() {
            let patience = PATH_PATIENCE.max(self.round_trip * 4);
            let mut passes = |_| {
                self.number = self.number.wrapping_add(1);
                let probe = Probe { len: size, echo_len: echo_len(size), ..self.probe(self.number, 0, None) };
                // One that is cut short tells that the server knows better.
                self.line.ask(self.server, &probe, patience).is_some_and(|echo| echo.len == probe.echo_len)
            };
            let passed = (0..TRIES).any(&mut passes);
            search.tried(size, passed);
        }
        search.largest()
    }

    /// Follows a trickle to a group that is joined and, if packets can be overheard, left again: the group, and
    /// what was seen of it.
    pub fn follow(&mut self, overhear: Option<&Overhear>) -> Result<(SocketAddr, Membership), NoSamples> {
        let time = match overhear {
            Some(_) => UNJOINED + JOIN_PATIENCE + LEFT + GONE,
            None => JOIN_PATIENCE,
        };
        let samples = self.order(wish(SampleWay::Group, Rate::MIN, time, TRICKLE_LEN))?;
        let starts = self.clock.now() + Duration::from_millis(samples.starts_in_ms.into());
        let mut following = Following {
            overhear,
            receiver: None,
            group: samples.to,
            client: self.client,
            seen: Membership { overheard: overhear.is_some(), ..Membership::default() },
            buffer: vec![0; RECEIVE_BUFFER],
            latest: starts,
        };
        let clock = self.clock;
        if overhear.is_some() {
            following.until(&clock, starts + UNJOINED, |_| false);
            following.seen.before = std::mem::take(&mut following.seen.at_interface);
        }
        let receiver = join(&self.interface, samples.to, self.server.ip(), BUFFER)?;
        following.receiver = Some(receiver);
        let joined = clock.now().max(starts);
        following.until(&clock, joined + JOIN_PATIENCE, |seen| seen.received > 0);
        following.seen.joined_in = (following.seen.received > 0).then(|| clock.now() - joined);
        if following.seen.received > 0 {
            let stay = clock.now() + if overhear.is_some() { JOINED } else { JOINED / 3 };
            following.until(&clock, stay, |_| false);
        }
        following.receiver = None;
        if overhear.is_some() && following.seen.at_interface > 0 {
            let at_interface = following.seen.at_interface;
            let left = clock.now();
            following.latest = left;
            following.until_silent(&clock, left + LEFT);
            following.seen.lingered = Some(following.latest - left);
            following.seen.never_stopped = clock.now() - following.latest < GONE;
            following.seen.at_interface = at_interface;
        }
        Ok((samples.to, following.seen))
    }

    /// Counts samples of `len` bytes that come for `time` at `rate`, or what of these the server grants.
    pub fn stream(
        &mut self,
        way: SampleWay,
        rate: Rate,
        time: Duration,
        len: u16,
        receive_buffer: usize,
    ) -> Result<StreamFacts, NoSamples> {
        let wish = wish(way, rate, time.min(LONGEST), len);
        let (samples, mut source) = match way {
            SampleWay::Group => {
                let samples = self.order(wish)?;
                let receiver = join(&self.interface, samples.to, self.server.ip(), receive_buffer)?;
                (samples, Source::Group(receiver))
            }
            SampleWay::Client => {
                // They come to where they were asked for from.
                let mut line = Line::open(self.server)?;
                let samples = line.order(self.server, self.client, &mut self.number, wish)?;
                line.socket.expect_stream(receive_buffer);
                (samples, Source::Client(line.socket))
            }
        };
        let rate = Rate::from_bits(u64::from(samples.rate_kbit) * 1000);
        let wire = headers_on_wire(samples.to.ip()) + usize::from(len);
        let most = rate.bytes_in(Duration::from_millis(samples.ms.into())) / wire as u64;
        // A batch beyond, and what a pacer makes good for.
        let mut tally = Tally::new(u32::try_from(most + most / 16).unwrap_or(u32::MAX).saturating_add(256));
        let end = self.clock.now() + Duration::from_millis(u64::from(samples.starts_in_ms) + u64::from(samples.ms));
        let dropped = self.count(&mut source, &mut tally, wire, end + GRACE);
        Ok(StreamFacts { way, rate, len, counts: tally.counts(), dropped, buffer: source.buffer() })
    }

    /// Counts until the server says that it is over, or the time is.
    fn count(&self, source: &mut Source, tally: &mut Tally, wire: usize, end: Instant) -> u64 {
        let mut buffer = vec![0; RECEIVE_BUFFER];
        let mut dropped = 0;
        while !tally.is_over() && self.clock.now() < end {
            let _ = wait(&[source.handle()], Some(self.clock.until(end)));
            while let Ok(Some(received)) = source.receive(&mut buffer) {
                dropped = dropped.max(received.drops);
                let now = self.clock.now();
                for datagram in received.datagrams(&buffer) {
                    if let Some(sample) = ours(datagram, self.client) {
                        tally.handle(now, &sample, wire);
                    }
                }
            }
        }
        dropped
    }

    fn order(&mut self, wish: SampleWish) -> Result<Samples, NoSamples> {
        self.line.order(self.server, self.client, &mut self.number, wish)
    }

    fn probe(&self, number: u32, key: u64, samples: Option<SampleWish>) -> Probe {
        let len = MIN_PROBE_LEN as u16;
        Probe { client: self.client, number, samples, key, len, echo_len: len }
    }
}

/// Where samples at a rate come from.
enum Source {
    Group(MulticastReceiver),
    Client(ControlSocket),
}

impl Source {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        match self {
            Self::Group(receiver) => receiver.receive(buffer),
            Self::Client(socket) => socket.receive_stream(buffer),
        }
    }

    fn handle(&self) -> crate::net::Handle<'_> {
        match self {
            Self::Group(receiver) => receiver.handle(),
            Self::Client(socket) => socket.handle(),
        }
    }

    fn buffer(&self) -> BufferSize {
        match self {
            Self::Group(receiver) => receiver.receive_buffer(),
            Self::Client(socket) => socket.receive_buffer(),
        }
    }
}

fn join(
    interface: &Interface,
    group: SocketAddr,
    server: IpAddr,
    buffer: usize,
) -> Result<MulticastReceiver, NetError> {
    let source = classify(group.ip()).is_some_and(GroupClass::needs_source).then_some(server);
    MulticastReceiver::join(interface, interface.socket_address(group.ip(), group.port()), source, buffer)
}

fn wish(way: SampleWay, rate: Rate, time: Duration, len: u16) -> SampleWish {
    let rate_kbit = u32::try_from(rate.bits() / 1000).unwrap_or(u32::MAX);
    SampleWish { way, rate_kbit, ms: u16::try_from(time.as_millis()).unwrap_or(u16::MAX), len }
}

/// A sample that was sent for `client`.
fn ours(datagram: &[u8], client: ClientId) -> Option<Sample> {
    Sample::decode(datagram).ok().filter(|sample| sample.client == client)
}

fn peer(echo: &Echo, round_trip: Duration) -> Peer {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let clock_ahead = echo.clock_ms as f64 / 1000.0 + round_trip.as_secs_f64() / 2.0 - now;
    let rate = (echo.rate_kbit > 0).then(|| Rate::from_bits(u64::from(echo.rate_kbit) * 1000));
    Peer { round_trip, clock_ahead, rate, largest: echo.largest }
}

fn any(server: SocketAddr) -> SocketAddr {
    let ip: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    SocketAddr::new(ip, 0)
}
