//! Multicast without any protocol, the physical limit of a lab: nothing is repaired, written or hashed.
//!
//! `limit send INTERFACE BYTES` sends so many bytes in symbols of the usual size, a super-packet a
//! call; `limit receive INTERFACE` counts them, several at once where the system joins them, and
//! prints `{"bytes":…,"seconds":…}`: what came, and how long from the first to the last of it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use benches::BATCH;
use multicast_core::layout::DEFAULT_SYMBOL_SIZE;
use multicast_core::net::{self, Interface};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBufForce, UdpGroSegment, UdpGsoSegment};
use socket2::{Domain, Socket, Type};

type Error = Box<dyn std::error::Error>;

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 194, 255, 9), 63_999);
/// What is sent, again and again: larger than any cache, as an image is.
const IMAGE: usize = 128 << 20;
/// Bytes that wait for a receiver that is not scheduled.
const RECEIVE_BUFFER: usize = 64 << 20;
/// A datagram shorter than any symbol says that this was all; one of them will arrive.
const END: &[u8] = b"end";
const ENDS: u32 = 20;
const BETWEEN_ENDS: Duration = Duration::from_millis(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["send", interface, bytes] => send(interface, bytes),
        ["receive", interface] => receive(interface),
        _ => Err("usage: limit send INTERFACE BYTES, or limit receive INTERFACE".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn send(interface: &str, bytes: &str) -> Result<(), Error> {
    let mut left: usize = bytes.parse()?;
    let image = vec![1; IMAGE];
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_multicast_if_v4(&address(&net::choose(Some(interface))?)?)?;
    socket.set_multicast_loop_v4(false)?;
    setsockopt(&socket, UdpGsoSegment, &i32::from(DEFAULT_SYMBOL_SIZE))?;
    let batch = usize::from(BATCH) * usize::from(DEFAULT_SYMBOL_SIZE);
    for part in image.chunks_exact(batch).cycle() {
        let part = &part[..left.min(batch)];
        socket.send_to(part, &GROUP.into())?;
        left -= part.len();
        if left == 0 {
            break;
        }
    }
    for _ in 0..ENDS {
        socket.send_to(END, &GROUP.into())?;
        std::thread::sleep(BETWEEN_ENDS);
    }
    Ok(())
}

fn receive(interface: &str) -> Result<(), Error> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // Without the right to it the usual buffer has to do.
    let _ = setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER);
    setsockopt(&socket, UdpGroSegment, &true)?;
    socket.bind(&GROUP.into())?;
    socket.join_multicast_v4(GROUP.ip(), &address(&net::choose(Some(interface))?)?)?;
    let socket = std::net::UdpSocket::from(socket);
    let mut buffer = vec![0; net::RECEIVE_BUFFER];
    let (mut bytes, mut first, mut last) = (0, None, Instant::now());
    loop {
        let len = socket.recv(&mut buffer)?;
        if buffer[..len] == *END {
            break;
        }
        last = Instant::now();
        first.get_or_insert(last);
        bytes += len;
    }
    let seconds = first.map_or(0.0, |first| (last - first).as_secs_f64());
    println!("{{\"bytes\":{bytes},\"seconds\":{seconds}}}");
    Ok(())
}

fn address(interface: &Interface) -> Result<Ipv4Addr, Error> {
    interface.v4.first().copied().ok_or_else(|| format!("interface {interface} has no IPv4 address").into())
}
