//! Any datagram at a client's or a server's MADCAP port.

use std::net::{Ipv4Addr, SocketAddrV4};

use madcap::wire::Message;
use madcap::{Client, Config, Responder, ResponderConfig, Time};

/// What decodes says the same when it is encoded and decoded again, and neither side minds. Whether it decoded.
pub fn madcap(datagram: &[u8]) -> bool {
    let from = SocketAddrV4::new(Ipv4Addr::LOCALHOST, madcap::PORT);
    let mut responder = Responder::new(ResponderConfig::new(Ipv4Addr::LOCALHOST));
    responder.handle_datagram(Time::ZERO, from, datagram);
    while let Some(answer) = responder.poll_transmit() {
        Message::decode(&answer.bytes).expect("a server's answer is a message");
    }
    let mut client = Client::new(Config::default(), 1);
    client.wish(Time::ZERO, 1);
    client.handle_datagram(Time::ZERO, from, datagram);
    match Message::parse(datagram) {
        Ok(message) => {
            // Unknown options are not kept, so the bytes may be others.
            assert_eq!(Message::parse(&message.to_bytes()), Ok(message));
            true
        }
        Err(_) => false,
    }
}
