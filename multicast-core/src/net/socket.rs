//! What all sockets share, and the plain one for unicast control traffic.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::error::NetError;
use super::option;
use super::receive::Received;
use super::sys::{self, ControlBuffer, Handle, SendFault, Target};

/// What became of the wish for a socket buffer, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BufferSize {
    /// Asked for.
    pub asked: usize,
    /// Granted by the system.
    pub granted: usize,
}

impl BufferSize {
    /// Whether the system granted less than was asked for.
    pub fn is_short(self) -> bool {
        self.granted < self.asked
    }
}

/// A UDP socket for unicast between server and clients; it never blocks.
///
/// Nobody else on this host can bind its address, so two servers on one port exclude each other.
#[derive(Debug)]
pub struct ControlSocket {
    socket: Socket,
    local: SocketAddr,
    receive_buffer: BufferSize,
    /// For what the system says beside messages of a stream.
    said: ControlBuffer,
}

impl ControlSocket {
    /// Binds `address`, with port 0 any free one, and asks for a receive buffer of `receive_buffer`
    /// bytes.
    pub fn bind(address: SocketAddr, receive_buffer: usize) -> Result<Self, NetError> {
        let socket = new_socket(address).map_err(|source| NetError::Bind { address, source })?;
        bind(&socket, address)?;
        Self::prepare(socket, receive_buffer).map_err(|source| NetError::Bind { address, source })
    }

    fn prepare(socket: Socket, receive_buffer: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let granted = sys::set_receive_buffer(&socket, receive_buffer)?;
        let local = local_address(&socket)?;
        let receive_buffer = BufferSize { asked: receive_buffer, granted };
        Ok(Self { socket, local, receive_buffer, said: ControlBuffer::new() })
    }

    /// The address that it is bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The receive buffer that it has.
    pub fn receive_buffer(&self) -> BufferSize {
        self.receive_buffer
    }

    /// Sends everything with DF from now on, whatever the system has learned of the path, to find what passes.
    pub fn never_fragment(&self) -> io::Result<()> {
        option::never_fragment(&self.socket, self.local.is_ipv6())
    }

    /// Lets it send to all hosts of its link at once.
    pub fn allow_broadcast(&self) -> io::Result<()> {
        self.socket.set_broadcast(true)
    }

    /// Sends one datagram; false if there is no room for it now and it is lost.
    pub fn send_to(&self, datagram: &[u8], to: SocketAddr) -> Result<bool, NetError> {
        let interface = || self.local.to_string();
        match sys::send(&self.socket, &[io::IoSlice::new(datagram)], None, &Target::from(to)) {
            Ok(()) => Ok(true),
            Err(SendFault::NoBuffers | SendFault::TimedOut) => Ok(false),
            Err(SendFault::Unreachable(source)) => Err(NetError::LinkDown { interface: interface(), source }),
            Err(SendFault::BadMemory) => Err(NetError::Vanished),
            Err(SendFault::NoSegmentation(source) | SendFault::Other(source)) => {
                Err(NetError::Send { to, interface: interface(), source })
            }
        }
    }

    /// Takes the next datagram, its length and its sender; `None` if there is none now. What does not
    /// fit into `buf` is cut off.
    pub fn receive(&self, buf: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        let message = sys::receive(&self.socket, buf, &mut ControlBuffer::empty())?;
        Ok(message.map(|message| (message.len, message.from)))
    }

    /// Makes it fit for a stream to this host alone: asks for a receive buffer of `receive_buffer` bytes,
    /// and for several datagrams in one piece.
    pub fn expect_stream(&mut self, receive_buffer: usize) -> BufferSize {
        // Without either it is slower.
        let granted = sys::set_receive_buffer(&self.socket, receive_buffer).unwrap_or(self.receive_buffer.granted);
        self.receive_buffer = BufferSize { asked: receive_buffer, granted };
        sys::enable_gro(&self.socket);
        sys::enable_drop_counter(&self.socket);
        self.receive_buffer
    }

    /// Takes what came next: one or more datagrams of one sender, as of a
    /// [`MulticastReceiver`](super::MulticastReceiver); `None` if there is none now.
    pub fn receive_stream(&mut self, buf: &mut [u8]) -> io::Result<Option<Received>> {
        let Some(message) = sys::receive(&self.socket, buf, &mut self.said)? else { return Ok(None) };
        let segment = message.segment.filter(|segment| *segment > 0).unwrap_or(message.len);
        let drops = message.drops.unwrap_or(0).into();
        Ok(Some(Received { len: message.len, segment, from: message.from, drops }))
    }

    /// Itself, for a sender that shares it.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// To wait for.
    pub fn handle(&self) -> Handle<'_> {
        self.socket.as_fd()
    }
}

/// A UDP socket of the family of `address`, not bound.
pub(super) fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
}

pub(super) fn bind(socket: &Socket, address: SocketAddr) -> Result<(), NetError> {
    socket.bind(&address.into()).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => NetError::PortInUse { address, source },
        _ => NetError::Bind { address, source },
    })
}

pub(super) fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a UDP socket without an IP address"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::super::wait;
    use super::*;

    fn socket() -> ControlSocket {
        ControlSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), 200_000).unwrap()
    }

    #[test]
    fn a_second_server_on_a_port_is_refused() {
        let first = socket();
        let port = first.local_address().port();
        let error = ControlSocket::bind(first.local_address(), 200_000).unwrap_err();
        assert_eq!(error.to_string(), format!("UDP port {port} is already in use on 127.0.0.1"));
        assert!(error.help().is_some());
        let wildcard = ControlSocket::bind((Ipv4Addr::UNSPECIFIED, port).into(), 200_000);
        assert!(matches!(wildcard, Err(NetError::PortInUse { .. })));
    }

    #[test]
    fn datagrams_go_both_ways() {
        let (server, client) = (socket(), socket());
        let mut buf = [0; 100];
        assert!(server.receive(&mut buf).unwrap().is_none());
        assert!(client.send_to(b"hello", server.local_address()).unwrap());
        assert!(wait(&[server.handle()], Some(Duration::from_secs(5))).unwrap().contains(0));
        assert_eq!(server.receive(&mut buf).unwrap(), Some((5, client.local_address())));
        assert_eq!(&buf[..5], b"hello");
        assert!(server.send_to(b"", client.local_address()).unwrap());
        assert!(wait(&[client.handle()], Some(Duration::from_secs(5))).unwrap().contains(0));
        assert_eq!(client.receive(&mut buf).unwrap(), Some((0, server.local_address())));
    }

    #[test]
    fn a_peer_that_is_gone_is_no_error() {
        let (server, client) = (socket(), socket());
        let gone = client.local_address();
        drop(client);
        for _ in 0..3 {
            assert!(server.send_to(b"anyone there", gone).unwrap());
            assert!(server.receive(&mut [0; 100]).unwrap().is_none());
        }
    }

    #[test]
    fn the_granted_buffer_is_told() {
        let size = socket().receive_buffer();
        assert_eq!(size.asked, 200_000);
        assert!(!size.is_short() && size.granted < 400_000, "{size:?}");
    }
}
