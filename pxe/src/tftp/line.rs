//! The way to one client: a socket of its own, whose port is the transfer's identity (RFC 1350 §4), and the blocks
//! that lie ready for it.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};

use super::option::{Fragments, path_mtu, set_fragments};
use super::source::Content;
use super::terms::Terms;
use super::wire::{DATA_HEADER, DEFAULT_BLOCK, LARGEST_BLOCK, data_header};

/// Bytes that one call may send: an IP packet's, without headers of either family.
const LARGEST_SEND: usize = 65_535 - 40 - 8;
/// Datagrams that one call may send (UDP_MAX_SEGMENTS of Linux before 6.2).
const MOST_SEGMENTS: usize = 64;
/// Bytes that are read at once for a client that takes block after block.
const READ_AHEAD: usize = 32 << 10;

/// A socket to one client, and what it is sent.
pub(super) struct Line {
    socket: UdpSocket,
    v6: bool,
    content: Content,
    ready: Ready,
    segmenting: bool,
    fragments: Fragments,
    trouble: Option<io::Error>,
}

/// Blocks as they travel, each behind its header, one after the other.
#[derive(Default)]
struct Ready {
    bytes: Vec<u8>,
    first: u64,
    count: u64,
}

/// What became of blocks that were to be sent.
#[derive(Debug)]
pub(super) enum Sent {
    /// So many were.
    Blocks(u64),
    /// So many were, then the socket was full.
    Blocked(u64),
    /// Nobody listens at the client's port.
    Gone,
    /// The file cannot be read.
    Content(io::Error),
}

/// A socket from `local` to `client`; its port is one of `ports`, if they are given. `start` says where to begin
/// in them.
pub(super) fn connect(
    local: IpAddr,
    client: SocketAddr,
    ports: Option<&RangeInclusive<u16>>,
    start: u64,
) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(client), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    match ports {
        None => socket.bind(&SocketAddr::new(local, 0).into())?,
        Some(ports) => bind_within(&socket, local, ports, start)?,
    }
    socket.connect(&client.into())?;
    Ok(socket.into())
}

fn bind_within(socket: &Socket, local: IpAddr, ports: &RangeInclusive<u16>, start: u64) -> io::Result<()> {
    let count = ports.len().max(1);
    let skip = usize::try_from(start % count as u64).unwrap_or(0);
    let mut last = io::Error::from(ErrorKind::AddrInUse);
    for port in ports.clone().cycle_from(skip).take(count) {
        match socket.bind(&SocketAddr::new(local, port).into()) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Goes round a range from some place in it.
trait CycleFrom: Iterator + Clone {
    fn cycle_from(self, skip: usize) -> std::iter::Skip<std::iter::Cycle<Self>> {
        self.cycle().skip(skip)
    }
}

impl CycleFrom for RangeInclusive<u16> {}

impl Line {
    /// Takes the socket into service.
    pub(super) fn new(socket: UdpSocket, content: Content) -> io::Result<Self> {
        let v6 = socket.local_addr()?.is_ipv6();
        set_fragments(&socket, v6, Fragments::Ours)?;
        let ready = Ready::default();
        Ok(Self { socket, v6, content, ready, segmenting: true, fragments: Fragments::Ours, trouble: None })
    }

    /// Bytes of the largest block that reaches the client in one packet.
    pub(super) fn block_limit(&self) -> u16 {
        let headers = if self.v6 { 40 + 8 } else { 20 + 8 } + DATA_HEADER;
        let room = path_mtu(&self.socket, self.v6).unwrap_or(0).saturating_sub(headers);
        u16::try_from(room).unwrap_or(LARGEST_BLOCK).clamp(DEFAULT_BLOCK, LARGEST_BLOCK)
    }

    /// From now on routers, too, may cut datagrams: they may be larger than the path takes.
    pub(super) fn let_fragment(&mut self) {
        if self.fragments != Fragments::Anybody && set_fragments(&self.socket, self.v6, Fragments::Anybody).is_ok() {
            self.fragments = Fragments::Anybody;
        }
    }

    /// The socket, to wait for.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Our address and port.
    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What is sent.
    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// The client's next datagram.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer)
    }

    /// Why the last thing could not be sent, if it could not.
    pub(super) fn trouble(&self) -> Option<&io::Error> {
        self.trouble.as_ref()
    }

    /// Sends a packet as it is.
    pub(super) fn send(&mut self, packet: &[u8]) -> Sent {
        let done = self.socket.send(packet).map(drop);
        judge(&mut self.trouble, done, 1)
    }

    /// Sends `count` blocks from `first` on.
    pub(super) fn send_blocks(&mut self, terms: &Terms, first: u64, count: u64) -> Sent {
        let mut done = 0;
        while done < count {
            let (next, left) = (first + done, count - done);
            if let Err(error) = self.make_ready(terms, next) {
                return Sent::Content(error);
            }
            let batch = left.min(self.ready.first + self.ready.count - next);
            match self.send_ready(terms, next, batch) {
                Sent::Blocks(sent) => done += sent,
                Sent::Blocked(sent) => return Sent::Blocked(done + sent),
                other => return other,
            }
        }
        Sent::Blocks(done)
    }

    /// Reads the block and those behind it, unless it lies ready.
    fn make_ready(&mut self, terms: &Terms, block: u64) -> io::Result<()> {
        if (self.ready.first..self.ready.first + self.ready.count).contains(&block) {
            return Ok(());
        }
        let stride = usize::from(terms.block) + DATA_HEADER;
        let bytes = if terms.window > 4 { LARGEST_SEND } else { READ_AHEAD };
        let room = (bytes / stride).clamp(1, MOST_SEGMENTS) as u64;
        let count = room.min(terms.last_block() + 1 - block);
        // Should reading fail, nothing lies ready.
        self.ready.count = 0;
        self.ready.bytes.resize(stride * count as usize, 0);
        let (offset, _) = terms.extent(block);
        let mut slices = Vec::with_capacity(count as usize);
        for (number, place) in (block..).zip(self.ready.bytes.chunks_exact_mut(stride)) {
            let (header, payload) = place.split_at_mut(DATA_HEADER);
            header.copy_from_slice(&data_header(number as u16));
            let (_, len) = terms.extent(number);
            slices.push(IoSliceMut::new(payload.get_mut(..len).unwrap_or_default()));
        }
        self.content.read(&mut slices, offset)?;
        if block + count > terms.last_block() && !self.content.is_unchanged()? {
            return Err(io::Error::other("it was changed while it was sent"));
        }
        self.ready.first = block;
        self.ready.count = count;
        Ok(())
    }

    fn send_ready(&mut self, terms: &Terms, first: u64, count: u64) -> Sent {
        let stride = terms.block + DATA_HEADER as u16;
        let begin = (first - self.ready.first) as usize * usize::from(stride);
        let (_, last) = terms.extent(first + count - 1);
        let end = begin + (count as usize - 1) * usize::from(stride) + DATA_HEADER + last;
        let bytes = self.ready.bytes.get(begin..end).unwrap_or_default();
        if count > 1 && self.segmenting {
            match send_segments(&self.socket, bytes, stride) {
                // The interface, or the path, does not take it: one after the other then.
                Err(Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT) => {
                    self.segmenting = false;
                }
                done => return judge(&mut self.trouble, done.map_err(io::Error::from), count),
            }
        }
        for (done, packet) in (0..).zip(bytes.chunks(usize::from(stride))) {
            match judge(&mut self.trouble, self.socket.send(packet).map(drop), 1) {
                Sent::Blocks(_) => {}
                Sent::Blocked(_) => return Sent::Blocked(done),
                other => return other,
            }
        }
        Sent::Blocks(count)
    }
}

fn send_segments(socket: &UdpSocket, bytes: &[u8], segment: u16) -> Result<(), Errno> {
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    let to = None::<&SockaddrStorage>;
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::empty(), to).map(drop)
}

/// A link that is down or an address that does not answer is like loss: it may come back, and if it does not,
/// nobody answers.
fn judge(trouble: &mut Option<io::Error>, done: io::Result<()>, count: u64) -> Sent {
    let error = done.err();
    match error.as_ref().map(io::Error::kind) {
        Some(ErrorKind::WouldBlock | ErrorKind::Interrupted) => Sent::Blocked(0),
        Some(ErrorKind::ConnectionRefused) => Sent::Gone,
        _ => {
            *trouble = error;
            Sent::Blocks(count)
        }
    }
}
