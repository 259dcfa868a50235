//! How even a stream is, seen from the network: `sink INTERFACE GROUP:PORT` joins the group, takes
//! the system's time of each arrival, and half a second after the last one prints
//! `{"bytes":…,"seconds":…,"slowest":…,"fastest":…}`: bytes on the wire, headers counted, and the
//! bits per second in the slowest and the fastest 100 ms.

use std::io::IoSliceMut;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use multicast_core::net;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimeout, ReceiveTimestampns, UdpGroSegment};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt};
use nix::sys::time::TimeVal;
use socket2::{Domain, Socket, Type};

type Error = Box<dyn std::error::Error>;

const WINDOW: Duration = Duration::from_millis(100);
/// Without a symbol for so long the stream is over.
const IDLE: Duration = Duration::from_millis(500);
/// How often that is looked at when nothing comes, in seconds and microseconds.
const LOOK: TimeVal = TimeVal::new(0, 100_000);
/// Bytes on the wire that only symbols have.
const LEAST: u64 = 1000;
const RECEIVE_BUFFER: usize = 128 << 20;
/// Bytes of Ethernet's, IP's and UDP's headers.
const HEADERS: usize = 14 + 20 + 8;

/// What came at once: when, in nanoseconds, and bytes on the wire.
type Arrival = (u64, u64);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, group] = &arguments[..] else { return Err("usage: sink INTERFACE GROUP:PORT".into()) };
    let arrivals = listen(interface, group.parse()?)?;
    let (Some(&(first, _)), Some(&(last, _))) = (arrivals.first(), arrivals.last()) else {
        return Err("nothing came".into());
    };
    let bytes: u64 = arrivals.iter().map(|(_, bytes)| bytes).sum();
    let seconds = (last - first) as f64 / 1e9;
    let (slowest, fastest) = extremes(&arrivals).ok_or("the stream was shorter than 100 ms")?;
    println!("{{\"bytes\":{bytes},\"seconds\":{seconds},\"slowest\":{slowest},\"fastest\":{fastest}}}");
    Ok(())
}

fn listen(interface: &str, group: SocketAddrV4) -> Result<Vec<Arrival>, Error> {
    let interface = net::choose(Some(interface))?;
    let address = *interface.v4.first().ok_or_else(|| format!("interface {interface} has no IPv4 address"))?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // Clients on this host listen to the same port.
    socket.set_reuse_address(true)?;
    let _ = setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER);
    setsockopt(&socket, UdpGroSegment, &true)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    socket.bind(&group.into())?;
    socket.join_multicast_v4(group.ip(), &address)?;
    setsockopt(&socket, ReceiveTimeout, &LOOK)?;
    let mut buffer = vec![0; net::RECEIVE_BUFFER];
    let mut arrivals = Vec::with_capacity(1 << 20);
    let mut heard = None;
    loop {
        match receive(&socket, &mut buffer) {
            // Heartbeats go on before and after the stream.
            Ok((_, bytes)) if bytes < LEAST => {}
            Ok(arrival) => {
                arrivals.push(arrival);
                heard = Some(Instant::now());
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if heard.is_some_and(|heard| heard.elapsed() > IDLE) {
            return Ok(arrivals);
        }
    }
}

fn receive(socket: &Socket, buffer: &mut [u8]) -> nix::Result<Arrival> {
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec, i32);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty())?;
    let (mut at, mut segment) = (0, message.bytes);
    for part in message.cmsgs()? {
        match part {
            ControlMessageOwned::ScmTimestampns(time) => at = Duration::from(time).as_nanos() as u64,
            ControlMessageOwned::UdpGroSegments(bytes) => segment = bytes as usize,
            _ => {}
        }
    }
    let datagrams = message.bytes.div_ceil(segment.max(1));
    Ok((at, (message.bytes + datagrams * HEADERS) as u64))
}

/// Bits per second in the slowest and in the fastest 100 ms, of all that lie within the stream and
/// begin right behind an arrival.
fn extremes(arrivals: &[Arrival]) -> Option<(f64, f64)> {
    let window = WINDOW.as_nanos() as u64;
    let last = arrivals.last()?.0;
    let (mut least, mut most) = (u64::MAX, 0);
    let (mut end, mut sum) = (0, 0);
    for &(start, bytes) in arrivals.iter().take_while(|(start, _)| start + window <= last) {
        while arrivals.get(end).is_some_and(|(at, _)| *at <= start + window) {
            sum += arrivals[end].1;
            end += 1;
        }
        sum -= bytes;
        least = least.min(sum);
        most = most.max(sum);
    }
    let rate = |bytes: u64| bytes as f64 * 8.0 / WINDOW.as_secs_f64();
    (least < u64::MAX).then(|| (rate(least), rate(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn an_even_stream_has_no_slow_and_no_fast_window() {
        let arrivals: Vec<Arrival> = (0..500).map(|i| (i * MS, 1000)).collect();
        let (slowest, fastest) = extremes(&arrivals).unwrap();
        assert_eq!((slowest, fastest), (8_000_000.0, 8_000_000.0));
    }

    #[test]
    fn a_pause_and_the_rush_behind_it_are_both_seen() {
        let late = |i: u64| if (200..250).contains(&i) { 250 } else { i };
        let arrivals: Vec<Arrival> = (0..500).map(|i| (late(i) * MS, 1000)).collect();
        let (slowest, fastest) = extremes(&arrivals).unwrap();
        assert!(slowest < 4_200_000.0 && fastest > 11_000_000.0, "{slowest} {fastest}");
    }

    #[test]
    fn a_stream_shorter_than_a_window_tells_nothing() {
        assert_eq!(extremes(&[(0, 1), (MS, 1)]), None);
        assert_eq!(extremes(&[]), None);
    }
}
