//! Who else serves on a link.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::net::{ControlSocket, Interface, wait};
use crate::types::ClientId;
use crate::wire::{MIN_PROBE_LEN, Packet, Probe};

/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(400);
const BUFFER: usize = 256 << 10;

/// Servers that answer at `port` of any host of the interface's link but this one, within `patience`. The
/// question is a broadcast (RFC 919), which no router passes on.
pub fn others(interface: &Interface, port: u16, client: ClientId, patience: Duration) -> io::Result<Vec<SocketAddr>> {
    let Some(own) = interface.v4.first() else { return Err(io::ErrorKind::AddrNotAvailable.into()) };
    let socket = ControlSocket::bind((*own, 0).into(), BUFFER).map_err(io::Error::other)?;
    socket.allow_broadcast()?;
    let len = MIN_PROBE_LEN as u16;
    let mut question = Vec::new();
    Probe { client, number: 0, samples: None, key: 0, len, echo_len: len }.encode(&mut question);
    let everybody = SocketAddr::from((Ipv4Addr::BROADCAST, port));
    let (end, mut found, mut buffer) = (Instant::now() + patience, Vec::new(), [0; 2048]);
    while Instant::now() < end {
        socket.send_to(&question, everybody).map_err(io::Error::other)?;
        let again = end.min(Instant::now() + INTERVAL);
        while let Some(left) = again.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            let _ = wait(&[socket.handle()], Some(left));
            while let Ok(Some((len, from))) = socket.receive(&mut buffer) {
                let theirs = matches!(Packet::decode(&buffer[..len]), Ok(Packet::Echo(echo)) if echo.client == client);
                let local = matches!(from.ip(), IpAddr::V4(v4) if interface.v4.contains(&v4));
                if theirs && !local && !found.contains(&from) {
                    found.push(from);
                }
            }
        }
    }
    Ok(found)
}
