//! Asks a server where its content for single clients is.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::net::{ControlSocket, NetError, wait};
use crate::types::ClientId;
use crate::wire::{ContentLocation, Directory, INQUIRY_LEN, Inquiry, Packet};

/// First pause before it asks again; it grows by half up to the longest.
const INTERVAL: Duration = Duration::from_millis(200);
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Answers are few and small.
const BUFFER: usize = 64 << 10;

/// What came of an inquiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inquired {
    /// The server answered.
    Told {
        /// Where the content is, on the host that was asked; `None` if it has none for single clients.
        content: Option<ContentLocation>,
        /// The image that was meant: the one named, or the server's only one; empty if it cannot tell.
        image: String,
    },
    /// Nothing came: the server is not there, or knows no inquiries.
    Silence,
}

/// Asks `server` where `image` (empty for its only one) can be had by unicast, again and again until it
/// answers or `patience` is over.
pub fn inquire(server: SocketAddr, client: ClientId, image: &str, patience: Duration) -> Result<Inquired, NetError> {
    let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let socket = ControlSocket::bind(SocketAddr::new(any, 0), BUFFER)?;
    let mut question = Vec::with_capacity(INQUIRY_LEN);
    Inquiry { client, image }.encode(&mut question);
    let end = Instant::now() + patience;
    let mut interval = INTERVAL;
    loop {
        let again = end.min(Instant::now() + interval);
        // No route, no room: it is sent again.
        let _ = socket.send_to(&question, server);
        if let Some(told) = listen(&socket, client, again) {
            return Ok(told);
        }
        if Instant::now() >= end {
            return Ok(Inquired::Silence);
        }
        interval = (interval * 3 / 2).min(INTERVAL_MAX);
    }
}

/// The answer, if it comes by `until`.
fn listen(socket: &ControlSocket, client: ClientId, until: Instant) -> Option<Inquired> {
    let mut buffer = [0; 2048];
    loop {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        // It wakes for an ICMP message, too: the server is not there, or not yet.
        let _ = wait(&[socket.handle()], Some(left));
        while let Ok(Some((len, _))) = socket.receive(&mut buffer) {
            match Packet::decode(&buffer[..len]) {
                Ok(Packet::Directory(Directory { client: of, content, image })) if of == client => {
                    return Some(Inquired::Told { content, image: image.to_owned() });
                }
                _ => {}
            }
        }
    }
}
