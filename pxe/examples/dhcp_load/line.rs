//! The clients' port of an interface, and machines without number behind it.

use std::io::{ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use pxe::dhcp::wire::{BROADCAST, Kind, Message, Op, Options, code};
use pxe::dhcp::{CLIENT_PORT, SERVER_PORT};
use socket2::{Domain, Socket, Type};

/// Port 68 of an interface.
pub(crate) struct Line {
    socket: UdpSocket,
}

impl Line {
    pub(crate) fn open(interface: &str) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_broadcast(true)?;
        socket.set_recv_buffer_size(8 << 20)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT).into())?;
        Ok(Self { socket: socket.into() })
    }

    /// Sends to every server.
    pub(crate) fn ask(&self, bytes: &[u8]) -> Result<()> {
        self.ask_at(bytes, SERVER_PORT)
    }

    /// Sends to every server's port.
    pub(crate) fn ask_at(&self, bytes: &[u8], port: u16) -> Result<()> {
        self.socket.send_to(bytes, (Ipv4Addr::BROADCAST, port)).map(drop)
    }

    /// What comes within `wait`.
    pub(crate) fn receive(&self, wait: Duration) -> Result<Option<Vec<u8>>> {
        let mut buffer = [0; 2048];
        // A timeout of zero would mean none at all.
        self.socket.set_read_timeout(Some(wait.max(Duration::from_micros(1))))?;
        match self.socket.recv_from(&mut buffer) {
            Ok((len, SocketAddr::V4(_))) => Ok(Some(buffer[..len].to_vec())),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A request of a BIOS, whose number is its card and its transaction.
pub(crate) fn machine(number: u32, kind: Kind) -> Message {
    let mut options = Options::default();
    options.push(code::KIND, &[kind as u8]);
    options.push(code::MAX_SIZE, &1464u16.to_be_bytes());
    options.push(code::CLASS, b"PXEClient:Arch:00000:UNDI:002001");
    options.push(code::ARCHITECTURE, &[0, 0]);
    let [a, b, c, d] = number.to_be_bytes();
    options.push(code::UUID, &[0, a, b, c, d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    // What a boot ROM wants to know.
    options.push(55, &[1, 3, 6, 15, 28, 43, 54, 60, 66, 67, 97]);
    let none = Ipv4Addr::UNSPECIFIED;
    let mut chaddr = [0; 16];
    chaddr[..6].copy_from_slice(&[0x02, 0x4c, a, b, c, d]);
    Message {
        op: Op::Request,
        htype: 1,
        hlen: 6,
        hops: 0,
        xid: number,
        secs: 0,
        // Cards that do not exist hear nothing else.
        flags: BROADCAST,
        ciaddr: none,
        yiaddr: none,
        siaddr: none,
        giaddr: none,
        chaddr,
        sname: Vec::new(),
        file: Vec::new(),
        options,
    }
}

/// The value below which `share` of the values are; they must be sorted.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
