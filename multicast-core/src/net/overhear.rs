//! Packets that are not for us, or for the system: what needs CAP_NET_RAW.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket};
use socket2::{Domain, Protocol, Socket, Type};

use super::interface::Interface;
use super::option;
use super::sys::Handle;

/// IPv4 packets that arrive on one interface, also for groups that nobody here has joined, before any
/// firewall of this host; it never blocks.
#[derive(Debug)]
pub struct Overhear {
    socket: OwnedFd,
    interface: usize,
}

impl Overhear {
    /// Begins to listen; `PermissionDenied` without CAP_NET_RAW.
    pub fn open(interface: &Interface) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthIp)?;
        // Network cards leave out frames for groups that nobody joined.
        option::all_groups(&socket, interface.index)?;
        Ok(Self { socket, interface: interface.index as usize })
    }

    /// Takes the next packet and its length; `None` if there is none now. What does not fit into `buf` is cut
    /// off.
    pub fn receive(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buf) {
                Ok((len, Some(from))) if from.ifindex() == self.interface => return Ok(Some(len)),
                // Of another interface: the socket hears all.
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// To wait for.
    pub fn handle(&self) -> Handle<'_> {
        self.socket.as_fd()
    }
}

/// IGMP messages that reach this host on one interface; it never blocks and sends nothing.
#[derive(Debug)]
pub struct IgmpListener(Socket);

impl IgmpListener {
    /// Begins to listen; `PermissionDenied` without CAP_NET_RAW.
    pub fn open(interface: &Interface) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(2)))?;
        socket.bind_device(Some(interface.name.as_bytes()))?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Takes the next IPv4 packet with one and its length; `None` if there is none now.
    pub fn receive(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        super::sys::receive_raw(&self.0, buf)
    }

    /// To wait for.
    pub fn handle(&self) -> Handle<'_> {
        self.0.as_fd()
    }
}
