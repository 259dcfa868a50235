//! A network that carries unicast but no multicast.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};

use multicast_core::wire::Packet;

/// Where nobody sends to.
pub const SILENT_GROUP: &str = "239.194.99.7:63998";

/// Stands between `server` and its clients: all goes through, but the group that it offers is another
/// one. Clients ask at the address returned.
pub fn deafened(server: SocketAddr) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut servers: HashMap<SocketAddr, UdpSocket> = HashMap::new();
        let mut buffer = [0; 2048];
        while let Ok((len, client)) = socket.recv_from(&mut buffer) {
            let back = || answers(server, socket.try_clone().unwrap(), client);
            // One that refuses has gone.
            let _ = servers.entry(client).or_insert_with(back).send(&buffer[..len]);
        }
    });
    address
}

/// A socket towards `server`, whose answers go to `client`.
fn answers(server: SocketAddr, to_clients: UdpSocket, client: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    let listening = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok(len) = listening.recv(&mut buffer) {
            let mut answer = buffer[..len].to_vec();
            if let Ok(Packet::Offer(mut offer)) = Packet::decode(&buffer[..len]) {
                offer.group = SILENT_GROUP.parse().unwrap();
                answer.clear();
                offer.encode(&mut answer);
            }
            // One that refuses has gone.
            let _ = to_clients.send_to(&answer, client);
        }
    });
    socket
}
