//! What a client makes of a server's answers, one by one.

use std::net::{Ipv4Addr, SocketAddrV4};

use madcap::wire::{AddressRange, ErrorOption, Kind, Message, Options, Scope};
use madcap::{Client, Config, Event, LOCAL_SCOPE, Refusal, SERVER_GROUP, Time, Transmit};

const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 2535);
const SCOPE: Ipv4Addr = Ipv4Addr::new(239, 192, 0, 0);

fn sent(client: &mut Client) -> Transmit {
    client.poll_transmit().expect("something to send")
}

/// Answers `question`, from the server's well-known address, or from another one.
fn answer(client: &mut Client, now: Time, question: &Transmit, kind: Kind, options: Options<'_>) {
    let question = Message::decode(&question.bytes).expect("the client speaks MADCAP");
    let server = Some(options.server.unwrap_or((*SERVER.ip()).into()));
    let options = Options { server, lease_id: question.options.lease_id, ..options };
    let bytes = Message { kind, xid: question.xid, options }.to_bytes();
    client.handle_datagram(now, SERVER, &bytes);
}

fn grant(address: [u8; 4], seconds: u32) -> Options<'static> {
    let ranges = Some(vec![AddressRange { first: address.into(), count: 1 }]);
    Options { lease_time: Some(seconds), scope: Some(SCOPE), ranges, ..Options::default() }
}

/// A client that has asked a configured server for one address.
fn asking() -> (Client, Transmit) {
    let mut client = Client::new(Config { server: Some(SERVER), scope: Some(SCOPE), ..Config::default() }, 5);
    client.wish(Time::ZERO, 1);
    let request = sent(&mut client);
    (client, request)
}

#[test]
fn the_group_is_asked_for_scopes_then_for_offers_and_told_whose_is_taken() {
    let mut client = Client::new(Config::default(), 6);
    client.wish(Time::ZERO, 1);
    let question = sent(&mut client);
    assert_eq!(question.to, SERVER_GROUP);
    assert_eq!(question.to.to_string(), "239.255.255.254:2535");
    let message = Message::decode(&question.bytes).expect("valid");
    assert_eq!((message.kind, message.options.request_list.as_deref()), (Kind::GetInfo, Some(&[9][..])));

    let scope = Scope { first: SCOPE, last: Ipv4Addr::new(239, 192, 0, 255), ttl: 15, names: Vec::new() };
    let scopes = Options { scopes: Some(vec![scope]), ..Options::default() };
    answer(&mut client, Time::ZERO, &question, Kind::Ack, scopes);
    let discover = sent(&mut client);
    let message = Message::decode(&discover.bytes).expect("valid");
    assert_eq!((message.kind, message.options.scope, discover.to), (Kind::Discover, Some(SCOPE), SERVER_GROUP));
    assert_eq!(message.options.lease_time, Some(3600));

    let offer = Options { lease_time: Some(3600), scope: Some(SCOPE), ..Options::default() };
    answer(&mut client, Time::ZERO, &discover, Kind::Offer, offer);
    let request = sent(&mut client);
    let message = Message::decode(&request.bytes).expect("valid");
    assert_eq!(
        (message.kind, message.options.server, request.to),
        (Kind::Request, Some((*SERVER.ip()).into()), SERVER_GROUP)
    );
    let discovered = Message::decode(&discover.bytes).expect("valid");
    assert_eq!(message.options.lease_id, discovered.options.lease_id);
    assert_ne!(message.xid, discovered.xid);

    answer(&mut client, Time::ZERO, &request, Kind::Ack, grant([239, 192, 0, 9], 3600));
    let lease = *client.leases().next().expect("leased");
    assert_eq!((lease.address, lease.server), (Ipv4Addr::new(239, 192, 0, 9), SERVER));
    assert_eq!(lease.expires, Time::from_secs(3600));
}

#[test]
fn a_server_without_a_list_of_scopes_is_asked_for_the_local_scope() {
    let mut client = Client::new(Config { server: Some(SERVER), ..Config::default() }, 7);
    client.wish(Time::ZERO, 1);
    let question = sent(&mut client);
    answer(&mut client, Time::ZERO, &question, Kind::Ack, Options::default());
    assert_eq!(client.poll_transmit(), None, "another server might know more");
    let now = client.poll_timeout().expect("not for long");
    client.handle_timeout(now);
    let request = sent(&mut client);
    let message = Message::decode(&request.bytes).expect("valid");
    assert_eq!((message.kind, message.options.scope), (Kind::Request, Some(LOCAL_SCOPE)));
}

#[test]
fn an_address_that_is_no_usable_group_is_refused_and_given_back() {
    for address in [[224, 0, 0, 7], [10, 0, 0, 1], [239, 255, 255, 254], [255, 255, 255, 255]] {
        let (mut client, request) = asking();
        answer(&mut client, Time::ZERO, &request, Kind::Ack, grant(address, 3600));
        let expected = Refusal::BadAddress { server: (*SERVER.ip()).into(), address: address.into() };
        assert_eq!(client.poll_event(), Some(Event::Refused { error: expected }));
        assert_eq!(client.leases().count(), 0);
        let release = sent(&mut client);
        let message = Message::decode(&release.bytes).expect("valid");
        assert_eq!((message.kind, release.to), (Kind::Release, SERVER));
        let requested = Message::decode(&request.bytes).expect("valid");
        assert_eq!(message.options.lease_id, requested.options.lease_id);
    }
}

#[test]
fn a_lease_for_no_time_for_later_or_without_an_address_is_refused() {
    let later = Options { start_time: Some(1_000_100), current_time: Some(1_000_000), ..grant([239, 192, 0, 1], 60) };
    let nothing = Options { ranges: Some(Vec::new()), ..grant([0; 4], 60) };
    for (options, text) in [
        (later, "for 60 s from 100 s on"),
        (grant([239, 192, 0, 1], 0), "for 0 s from 0 s on"),
        (nothing, "without an address"),
    ] {
        let (mut client, request) = asking();
        answer(&mut client, Time::ZERO, &request, Kind::Ack, options);
        let Some(Event::Refused { error }) = client.poll_event() else { panic!("{text}: not refused") };
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.help().is_empty());
    }
}

#[test]
fn a_lease_from_now_on_by_the_servers_clock_is_taken_whatever_ours_shows() {
    let (mut client, request) = asking();
    let now = Options { start_time: Some(77), current_time: Some(75), ..grant([239, 192, 0, 1], 60) };
    answer(&mut client, Time::ZERO, &request, Kind::Ack, now);
    assert_eq!(client.leases().count(), 1);
}

#[test]
fn an_answer_without_what_is_mandatory_is_ignored() {
    let (mut client, request) = asking();
    let address_only = Options { lease_time: None, ..grant([239, 192, 0, 1], 60) };
    answer(&mut client, Time::ZERO, &request, Kind::Ack, address_only);
    assert_eq!((client.leases().count(), client.poll_event()), (0, None));
    assert_eq!(client.counters().malformed, 1);
}

#[test]
fn an_address_that_is_held_already_is_not_taken_twice() {
    let mut client = Client::new(Config { server: Some(SERVER), scope: Some(SCOPE), ..Config::default() }, 8);
    client.wish(Time::ZERO, 2);
    let requests = [sent(&mut client), sent(&mut client)];
    for request in &requests {
        answer(&mut client, Time::ZERO, request, Kind::Ack, grant([239, 192, 0, 1], 60));
    }
    assert_eq!(client.leases().count(), 1);
    assert!(matches!(client.poll_event(), Some(Event::Leased { .. })));
    assert!(matches!(client.poll_event(), Some(Event::Refused { error: Refusal::Twice { .. } })));
}

#[test]
fn repetitions_are_the_same_bytes_and_a_late_answer_to_the_first_still_counts() {
    let (mut client, request) = asking();
    let mut now = Time::ZERO;
    for _ in 0..4 {
        now = client.poll_timeout().expect("it is repeated");
        client.handle_timeout(now);
        assert_eq!(sent(&mut client), request);
    }
    answer(&mut client, now, &request, Kind::Ack, grant([239, 192, 0, 1], 60));
    let lease = *client.leases().next().expect("leased");
    assert_eq!(lease.expires, Time::from_secs(60), "from when it was first asked for");
}

#[test]
fn an_answer_to_another_transaction_or_from_another_server_is_counted_and_ignored() {
    let (mut client, request) = asking();
    let mut other = request.clone();
    other.bytes[7] ^= 1;
    answer(&mut client, Time::ZERO, &other, Kind::Ack, grant([239, 192, 0, 1], 60));
    assert_eq!((client.leases().count(), client.counters().unexpected), (0, 1));
    client.handle_datagram(Time::ZERO, SERVER, &request.bytes);
    assert_eq!(client.counters().unexpected, 2, "its own question");
}

#[test]
fn clock_skew_is_told_by_its_name() {
    let (mut client, request) = asking();
    let error = ErrorOption { code: ErrorOption::CLOCK_SKEW, extra: &[0; 4] };
    answer(&mut client, Time::ZERO, &request, Kind::Nak, Options { error: Some(error), ..Options::default() });
    let Some(Event::Refused { error }) = client.poll_event() else { panic!("not told") };
    assert_eq!(error.to_string(), "server 10.0.0.1 refuses: excessive clock skew");
}

#[test]
fn what_cannot_be_sent_is_told_once() {
    let (mut client, request) = asking();
    for _ in 0..3 {
        client.handle_send_error(request.to, "network is unreachable");
    }
    assert!(matches!(client.poll_event(), Some(Event::CannotSend { to, .. }) if to == SERVER));
    assert_eq!(client.poll_event(), None);
    assert_eq!(client.counters().unsendable, 3);
}
