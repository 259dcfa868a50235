//! A UDP socket that belongs to one interface: what differs between platforms, Linux here.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};

use super::Interface;

/// Room for what a switched-on classroom sends before the thread gets its turn. Above net.core.rmem_max the system
/// gives less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A UDP socket that hears and speaks by one interface only.
///
/// `SO_BINDTODEVICE` needs no privilege since Linux 5.7 (`CAP_NET_RAW` before that); port 67 needs
/// `CAP_NET_BIND_SERVICE`.
pub(super) struct LinkSocket {
    socket: UdpSocket,
    index: u32,
    shared: bool,
}

impl LinkSocket {
    /// Binds `port`; where `share` allows it, beside a DHCP server of this host.
    ///
    /// That server's unicast must not come here: of two sockets of one port the system chooses the one that is bound
    /// to the interface. So a shared socket is bound to the broadcast address, where both get a copy.
    pub(super) fn open(interface: &Interface, port: u16, share: bool) -> io::Result<Self> {
        let alone = Self::bind(interface, Ipv4Addr::UNSPECIFIED, port, false);
        if !share {
            return alone;
        }
        match alone {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                Self::bind(interface, Ipv4Addr::BROADCAST, port, true)
            }
            Ok(alone) => {
                // Not before it was bound, or a server that was there first would not have been found out; from now
                // on one that starts later can bind, too.
                socket2::SockRef::from(&alone.socket).set_reuse_address(true)?;
                Ok(alone)
            }
            error => error,
        }
    }

    fn bind(interface: &Interface, address: Ipv4Addr, port: u16, shared: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind_device(Some(interface.name.as_bytes()))?;
        socket.set_broadcast(true)?;
        socket.set_reuse_address(shared)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.bind(&SocketAddrV4::new(address, port).into())?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: socket.into(), index: interface.index, shared })
    }

    /// Whether another server of this host has the port, too: then only broadcasts are heard.
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// The next datagram; `None` if there is none now. Longer ones than the buffer are cut.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddrV4)>> {
        match self.socket.recv_from(buffer) {
            Ok((len, SocketAddr::V4(from))) => Ok(Some((len, from))),
            Ok((_, SocketAddr::V6(_))) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends by our address `source`, whichever others the interface has.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddrV4, source: Ipv4Addr) -> io::Result<()> {
        let info = nix::libc::in_pktinfo {
            ipi_ifindex: self.index.cast_signed(),
            ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from(source).to_be() },
            ipi_addr: nix::libc::in_addr { s_addr: 0 },
        };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let to = SockaddrIn::from(to);
        sendmsg(self.socket.as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }
}

impl AsFd for LinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn loopback() -> Interface {
        Interface::find(&["lo".to_owned()]).unwrap().remove(0)
    }

    /// A port that is free now.
    fn free_port() -> u16 {
        UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn receive(socket: &LinkSocket) -> Option<Vec<u8>> {
        let mut buffer = [0; 100];
        for _ in 0..500 {
            if let Some((len, _)) = socket.receive(&mut buffer).unwrap() {
                return Some(buffer[..len].to_vec());
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked_for() {
        let port = free_port();
        let socket = LinkSocket::open(&loopback(), port, false).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"question", (Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_eq!(receive(&socket).as_deref(), Some(&b"question"[..]));
        let SocketAddr::V4(to) = client.local_addr().unwrap() else { panic!("IPv4") };
        socket.send(b"answer", to, [127, 0, 0, 2].into()).unwrap();
        let mut buffer = [0; 100];
        let (len, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&b"answer"[..], ([127, 0, 0, 2], port).into()));
    }

    #[test]
    fn a_shared_port_leaves_unicast_to_the_other_server() {
        let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        other.set_reuse_address(true).unwrap();
        other.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        let other = UdpSocket::from(other);
        let port = other.local_addr().unwrap().port();
        let error = LinkSocket::open(&loopback(), port, false).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);

        let shared = LinkSocket::open(&loopback(), port, true).unwrap();
        assert!(shared.is_shared());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"unicast", (Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(other.recv_from(&mut buffer).unwrap().0, 7);
        assert!(shared.receive(&mut buffer).unwrap().is_none());
    }
}
