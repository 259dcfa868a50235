//! What differs between platforms: Linux here, and the one place that a port has to replace.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, getsockopt, recvmsg, sendmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

use super::interface::Interface;

/// What [`wait`](super::wait) waits for.
pub type Handle<'a> = BorrowedFd<'a>;

pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    let mut all: Vec<Interface> = Vec::new();
    for entry in nix::ifaddrs::getifaddrs()? {
        // Labels of additional addresses, "eth0:1", are no interfaces.
        let name = entry.interface_name.split(':').next().unwrap_or_default();
        let position = match all.iter().position(|interface| interface.name == name) {
            Some(position) => position,
            None => {
                // Gone since the list was made.
                let Ok(index) = if_nametoindex(name) else { continue };
                all.push(describe(name, index, entry.flags));
                all.len() - 1
            }
        };
        match entry.address.as_ref().and_then(socket_address) {
            Some(SocketAddr::V4(v4)) => all[position].v4.push(*v4.ip()),
            Some(SocketAddr::V6(v6)) => all[position].v6.push(*v6.ip()),
            None => {}
        }
    }
    for interface in &mut all {
        if let Some(mtu) = interface.v4.first().and_then(|address| mtu_from(*address).ok()) {
            interface.mtu = mtu;
        }
    }
    Ok(all)
}

/// The MTU as routing sees it. Unlike /sys it is that of our own network namespace. Nothing is sent.
fn mtu_from(address: Ipv4Addr) -> io::Result<usize> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_multicast_if_v4(&address)?;
    socket.connect(&SocketAddr::from(([239, 194, 0, 1], 9)).into())?;
    usize::try_from(getsockopt(&socket, sockopt::IpMtu)?).map_err(io::Error::other)
}

/// Bytes of the largest packet that goes to `to` in one piece, as far as the system has learned of the path;
/// `None` if it does not tell. Nothing is sent.
pub fn path_mtu(to: SocketAddr) -> Option<usize> {
    if !to.is_ipv4() {
        return None;
    }
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.connect(&to.into()).ok()?;
    usize::try_from(getsockopt(&socket, sockopt::IpMtu).ok()?).ok()
}

fn describe(name: &str, index: u32, flags: InterfaceFlags) -> Interface {
    let number = |file: &str| {
        let text = fs::read_to_string(format!("/sys/class/net/{name}/{file}")).ok()?;
        text.trim().parse::<i64>().ok()
    };
    Interface {
        name: name.to_owned(),
        index,
        v4: Vec::new(),
        v6: Vec::new(),
        up: flags.contains(InterfaceFlags::IFF_UP),
        running: flags.contains(InterfaceFlags::IFF_RUNNING),
        multicast: flags.contains(InterfaceFlags::IFF_MULTICAST),
        loopback: flags.contains(InterfaceFlags::IFF_LOOPBACK),
        mtu: number("mtu").and_then(|mtu| usize::try_from(mtu).ok()).unwrap_or(1500),
        // Virtual links say -1, or refuse to be read.
        link_speed: number("speed").and_then(|speed| u32::try_from(speed).ok()).filter(|speed| *speed > 0),
    }
}

/// Asks for a send buffer of `bytes` and says what was granted, in the same measure.
pub(super) fn set_send_buffer(socket: &Socket, bytes: usize) -> io::Result<usize> {
    let bytes = bytes.min(BUFFER_LIMIT);
    // Above net.core.wmem_max only with CAP_NET_ADMIN.
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(socket.send_buffer_size()? / 2)
}

/// Asks for a receive buffer of `bytes` and says what was granted, in the same measure.
pub(super) fn set_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<usize> {
    let bytes = bytes.min(BUFFER_LIMIT);
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(socket.recv_buffer_size()? / 2)
}

/// The kernel keeps twice the size as an int.
const BUFFER_LIMIT: usize = i32::MAX as usize / 2;

/// Lets the system say [`SendFault::NoBuffers`] when the interface's queue refuses a datagram:
/// without it Linux drops them in silence.
pub(super) fn report_full_queues(socket: &Socket, v6: bool) -> io::Result<()> {
    let set = if v6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)
    } else {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)
    };
    Ok(set?)
}

/// Lets the socket get several datagrams of one sender in one piece; false if it can't.
pub(super) fn enable_gro(socket: &Socket) -> bool {
    setsockopt(socket, sockopt::UdpGroSegment, &true).is_ok()
}

/// Lets every received message carry the count of dropped ones; false if it can't.
pub(super) fn enable_drop_counter(socket: &Socket) -> bool {
    setsockopt(socket, sockopt::RxqOvfl, &1).is_ok()
}

/// Keeps the socket to the groups that it joined itself: else it gets what others on this host joined,
/// on other interfaces too.
pub(super) fn only_own_groups(socket: &Socket, v6: bool) -> io::Result<()> {
    if v6 { socket.set_multicast_all_v6(false) } else { socket.set_multicast_all_v4(false) }
}

/// A destination in the form that the system takes.
#[derive(Clone, Copy)]
pub(super) struct Target(SockaddrStorage);

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self(address.into())
    }
}

/// Why a datagram was not sent, as far as it makes a difference.
#[derive(Debug)]
pub(super) enum SendFault {
    /// The system, or the interface's driver, does not segment.
    NoSegmentation(io::Error),
    /// The interface's queue is full.
    NoBuffers,
    /// The socket's buffer stayed full up to the send timeout.
    TimedOut,
    /// No link, no route.
    Unreachable(io::Error),
    /// The bytes cannot be read.
    BadMemory,
    Other(io::Error),
}

/// Sends the bytes of `slices` as one datagram, or in datagrams of `segment` bytes.
pub(super) fn send(
    socket: &Socket,
    slices: &[IoSlice<'_>],
    segment: Option<u16>,
    to: &Target,
) -> Result<(), SendFault> {
    let segments = segment.as_ref().map(ControlMessage::UdpGsoSegments);
    loop {
        match sendmsg(socket.as_raw_fd(), slices, segments.as_slice(), MsgFlags::empty(), Some(&to.0)) {
            Ok(_) => return Ok(()),
            // With reports of full queues come those of earlier datagrams that a host refused.
            Err(Errno::EINTR | Errno::ECONNREFUSED) => {}
            Err(errno) => return Err(fault(errno, segment.is_some())),
        }
    }
}

fn fault(errno: Errno, segmented: bool) -> SendFault {
    match errno {
        Errno::EINVAL | Errno::EIO | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT if segmented => {
            SendFault::NoSegmentation(errno.into())
        }
        Errno::ENOBUFS => SendFault::NoBuffers,
        Errno::EAGAIN => SendFault::TimedOut,
        Errno::ENETUNREACH | Errno::ENETDOWN | Errno::EHOSTUNREACH | Errno::ENODEV | Errno::ENXIO => {
            SendFault::Unreachable(errno.into())
        }
        Errno::EFAULT => SendFault::BadMemory,
        other => SendFault::Other(other.into()),
    }
}

/// Waits until the socket takes something again; false if it does not within `timeout`.
pub(super) fn wait_for_room(socket: &Socket, timeout: Duration) -> bool {
    let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    ppoll(&mut polled, Some(TimeSpec::from(timeout)), None).is_ok_and(|ready| ready > 0)
}

/// Room for what the system says beside a message, kept between calls.
#[derive(Debug)]
pub(super) struct ControlBuffer(Vec<u8>);

impl ControlBuffer {
    pub(super) fn new() -> Self {
        Self(nix::cmsg_space!(i32, u32))
    }

    /// For sockets that ask for nothing of the kind.
    pub(super) fn empty() -> Self {
        Self(Vec::new())
    }
}

/// A received message.
pub(super) struct Message {
    pub(super) len: usize,
    /// Bytes of each datagram in it but the last, if there are several.
    pub(super) segment: Option<usize>,
    pub(super) from: SocketAddr,
    /// Messages dropped since the socket was made, modulo 2³²; absent while there are none.
    pub(super) drops: Option<u32>,
    /// The message was longer than the buffer.
    pub(super) truncated: bool,
}

/// The next message, `None` if there is none now.
pub(super) fn receive(socket: &Socket, buf: &mut [u8], control: &mut ControlBuffer) -> io::Result<Option<Message>> {
    loop {
        let mut slices = [IoSliceMut::new(buf)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control.0), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::EINTR | Errno::ECONNREFUSED) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let Some(from) = message.address.as_ref().and_then(socket_address) else { continue };
        let truncated = message.flags.contains(MsgFlags::MSG_TRUNC);
        let mut received = Message { len: message.bytes, segment: None, from, drops: None, truncated };
        for said in message.cmsgs().into_iter().flatten() {
            match said {
                ControlMessageOwned::UdpGroSegments(size) => received.segment = usize::try_from(size).ok(),
                ControlMessageOwned::RxqOvfl(drops) => received.drops = Some(drops),
                _ => {}
            }
        }
        return Ok(Some(received));
    }
}

/// The next packet's length, `None` if there is none now.
pub(super) fn receive_raw(socket: &Socket, buf: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        let mut slices = [IoSliceMut::new(buf)];
        match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, None, MsgFlags::MSG_DONTWAIT) {
            Ok(message) => return Ok(Some(message.bytes)),
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into())
}

/// Waits until one of `handles` can be read, or `timeout` is over. Bit `i` of the answer stands for
/// handle `i`.
pub(super) fn wait(handles: &[Handle<'_>], timeout: Option<Duration>) -> io::Result<u64> {
    let mut polled: Vec<_> = handles.iter().map(|handle| PollFd::new(*handle, PollFlags::POLLIN)).collect();
    // Nanoseconds, where poll has milliseconds: the pacer's pauses are shorter than one.
    match ppoll(&mut polled, timeout.map(TimeSpec::from_duration), None) {
        Ok(_) => {}
        // As if the time were over: the caller looks at its clock in any case.
        Err(Errno::EINTR) => return Ok(0),
        Err(errno) => return Err(errno.into()),
    }
    // Errors count as readable too: the next receive tells them, and waiting again would not wait.
    let ready = polled.iter().enumerate().filter(|(_, fd)| fd.any().unwrap_or(true));
    Ok(ready.fold(0, |bits, (index, _)| bits | 1 << index))
}

/// A flag that makes a handle readable.
#[derive(Debug)]
pub(super) struct Event(EventFd);

impl Event {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    pub(super) fn set(&self) {
        // Fails only when it is set 2⁶⁴ − 1 times already.
        let _ = self.0.write(1);
    }

    pub(super) fn clear(&self) {
        // Fails only when it is not set.
        let _ = self.0.read();
    }

    pub(super) fn handle(&self) -> Handle<'_> {
        self.0.as_fd()
    }
}

/// Where a receiver binds: to the group itself, so that the system sorts out what goes to other groups
/// on the same port.
pub(super) fn bind_address(interface: &Interface, group: IpAddr, port: u16) -> SocketAddr {
    interface.socket_address(group, port)
}
