//! Requests as real clients send them, and what they must be answered.

mod client;
mod full;
mod proxy;

use proptest::collection::vec;
use proptest::prelude::*;

use self::client::{Client, LOCALS, Site, pool, responder};
use super::*;
use crate::dhcp::wire::{Message, code};

/// A request of any kind with any options, some of them as they should be.
fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just((code::CLASS, b"PXEClient:Arch:00007:UNDI:003016".to_vec())),
        Just((code::CLASS, b"HTTPClient".to_vec())),
        Just((code::USER_CLASS, b"iPXE".to_vec())),
        Just((code::VENDOR, vec![71, 4, 0x80, 0, 0, 0, 255])),
        Just((code::SERVER_ID, vec![10, 0, 0, 1])),
        (90..120u8).prop_map(|last| (code::REQUESTED, vec![10, 0, 0, last])),
        (1u8..255, vec(any::<u8>(), 0..260)),
    ];
    let header = (1..9u8, 0..8u8, any::<u16>(), 0..6usize, 0..6usize);
    (header, vec(known, 0..6)).prop_map(|((kind, card, secs, own, relay), options)| {
        let addresses = [[0; 4], [10, 0, 0, 100], [10, 0, 0, 255], [255; 4], [224, 0, 0, 1], [10, 1, 0, 1]];
        let mut client = Client::card(card);
        client.message.secs = secs;
        client.message.ciaddr = addresses[own].into();
        client.message.giaddr = addresses[relay].into();
        client.message.options.push(code::KIND, &[kind]);
        for (code, value) in options.into_iter().filter(|(code, _)| *code != code::KIND) {
            client.message.options.push(code, &value);
        }
        client.message.to_bytes()
    })
}

fn any_datagram() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (any_request(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    let damaged = damaged.prop_map(|(mut bytes, at, byte, cut)| {
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        bytes
    });
    prop_oneof![4 => any_request(), 2 => damaged, 1 => vec(any::<u8>(), 0..600)]
}

proptest! {
    #[test]
    fn any_datagram_gets_one_event_and_at_most_one_answer_that_is_sound(
        datagrams in vec((any_datagram(), any::<bool>(), 0..20u64), 1..60),
        full: bool,
    ) {
        let mode = if full { Site::full(vec![pool()]) } else { Mode::Proxy };
        let mut responder = responder(Settings::new(mode));
        let mut now = client::NOW;
        for (datagram, boot_port, seconds) in datagrams {
            now += std::time::Duration::from_secs(seconds);
            let from = SocketAddrV4::new([10, 0, 0, 77].into(), 68);
            let arrival = Arrival { locals: &LOCALS, from, boot_port };
            responder.handle_timeout(now);
            while responder.poll_event().is_some() {}
            let answer = responder.handle_datagram(now, &arrival, &datagram);
            let mut requests = 0;
            let mut granted = Vec::new();
            while let Some(event) = responder.poll_event() {
                prop_assert!(!event.to_string().contains('\n'));
                match event {
                    Event::LeaseChanged(crate::dhcp::LeaseChange::Granted(lease)) => granted.push(lease.address),
                    Event::LeaseChanged(_) => {}
                    _ => requests += 1,
                }
            }
            prop_assert_eq!(requests, 1);
            if let Some(answer) = answer {
                let message = Message::decode(&answer.bytes).unwrap();
                let asked = Message::decode(&datagram).unwrap();
                prop_assert_eq!((message.xid, message.chaddr), (asked.xid, asked.chaddr));
                prop_assert!(answer.bytes.len() <= 1472);
                prop_assert!(!answer.to.address().ip().is_multicast());
                if message.kind() == Some(Kind::Ack) && !message.yiaddr.is_unspecified() {
                    prop_assert!(granted.contains(&message.yiaddr), "promised before it was kept");
                }
            }
        }
    }
}
