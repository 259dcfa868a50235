//! The server's port at one address.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes of requests that may wait, each with some hundred of the kernel's own: a room of machines that are
/// switched on together.
const WAITING: usize = 1 << 20;

/// A socket that requests come to.
pub(super) struct Door {
    socket: UdpSocket,
    address: SocketAddr,
    control: Vec<u8>,
}

/// A datagram that came.
pub(super) struct Knock {
    pub(super) len: usize,
    pub(super) client: SocketAddr,
    /// The address that it was sent to.
    pub(super) server: IpAddr,
}

impl Door {
    /// Listens at `address`; if that is unspecified, at all addresses of its family.
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        // More than the system's limit is a privilege; up to the limit everybody may have.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &WAITING)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &WAITING));
        socket.bind(&address.into())?;
        let socket: UdpSocket = socket.into();
        // Room for the larger of the two.
        let control = nix::cmsg_space!(nix::libc::in6_pktinfo);
        Ok(Self { address: socket.local_addr()?, socket, control })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, to wait for.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next datagram; none if there is none now. What does not fit into the buffer has no length.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> io::Result<Option<Knock>> {
        let mut slices = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let message = match recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut self.control), MsgFlags::empty()) {
            Ok(message) => message,
            // An ICMP error of an answer that was sent earlier is no datagram either.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let Some(client) = message.address.as_ref().and_then(to_std) else { return Ok(None) };
        let len = if message.flags.contains(MsgFlags::MSG_TRUNC) { 0 } else { message.bytes };
        let mut server = self.address.ip();
        for part in message.cmsgs()? {
            server = match part {
                // The interface's own address, also of what was sent to all.
                ControlMessageOwned::Ipv4PacketInfo(info) => IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()),
                ControlMessageOwned::Ipv6PacketInfo(info) => IpAddr::from(info.ipi6_addr.s6_addr),
                _ => server,
            };
        }
        Ok(Some(Knock { len, client, server }))
    }
}

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}
