//! Messages of a lease's life, as a client and a server exchange them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use madcap::wire::{AddressCount, AddressRange, Features, Kind, Message, Options};
use madcap::{Client, Config, Responder, ResponderConfig, Time};

use super::Seeds;

/// Each kind of message once, and one with every option.
pub(crate) fn all() -> Seeds {
    let mut seeds = Seeds::new();
    let mut keep = |bytes: &[u8]| {
        let kind = Message::decode(bytes).expect("both sides speak MADCAP").kind;
        let name = format!("{}-{}", seeds.len(), kind.name().to_lowercase());
        seeds.push((name, bytes.to_vec()));
    };
    let from = SocketAddrV4::new(Ipv4Addr::LOCALHOST, madcap::PORT);
    let mut server = Responder::new(ResponderConfig::new(Ipv4Addr::LOCALHOST));
    let mut client = Client::new(Config::default(), 1);
    let mut talk = |client: &mut Client, now: Time| {
        while let Some(question) = client.poll_transmit() {
            keep(&question.bytes);
            server.handle_datagram(now, from, &question.bytes);
            while let Some(answer) = server.poll_transmit() {
                keep(&answer.bytes);
                client.handle_datagram(now, from, &answer.bytes);
            }
        }
    };
    client.wish(Time::ZERO, 1);
    talk(&mut client, Time::ZERO);
    let half = Duration::from_secs(1800);
    client.handle_timeout(half);
    talk(&mut client, half);
    let lease = *client.leases().next().expect("leased above");
    client.release_all(half);
    talk(&mut client, half);
    // The server knows it no more.
    client.adopt(half, lease);
    talk(&mut client, half);
    seeds.push(("every-option".into(), every_option()));
    seeds
}

fn every_option() -> Vec<u8> {
    let options = Options {
        lease_time: Some(3600),
        server: Some(Ipv4Addr::LOCALHOST.into()),
        lease_id: Some(b"\0lease"),
        scope: Some(Ipv4Addr::new(239, 192, 0, 0)),
        request_list: Some(vec![9, 12]),
        start_time: Some(1_000_000),
        count: Some(AddressCount { minimum: 1, desired: 4 }),
        language: Some(b"en"),
        scopes: Some(Vec::new()),
        ranges: Some(vec![AddressRange { first: Ipv4Addr::new(239, 192, 0, 4), count: 4 }]),
        current_time: Some(1_000_000),
        features: Some(Features { supported: vec![0, 1, 2], ..Features::default() }),
        retry_time: Some(1_000_060),
        min_lease_time: Some(60),
        max_start_time: Some(1_000_060),
        error: None,
    };
    Message { kind: Kind::Request, xid: 1, options }.to_bytes()
}
