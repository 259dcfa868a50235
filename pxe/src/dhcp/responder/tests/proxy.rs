use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::client::{Client, LOCALS, NOW, SERVER, UUID, responder};
use crate::dhcp::wire::{BROADCAST, Kind, Message, code, pxe};
use crate::dhcp::{Arrival, Destination, Event, Local, Menu, Mode, Responder, Settings, Silence};

fn proxy() -> Responder {
    responder(Settings::new(Mode::Proxy))
}

fn discover(client: Client) -> Client {
    client.kind(Kind::Discover)
}

#[test]
fn a_bios_is_told_its_file_and_no_address() {
    let offer = discover(Client::bios(1)).answered(NOW, &mut proxy());
    assert_eq!((offer.kind(), offer.yiaddr), (Some(Kind::Offer), Ipv4Addr::UNSPECIFIED));
    assert_eq!(offer.file, b"bios/boot");
    assert_eq!(offer.options.get(code::BOOT_FILE), Some(&b"bios/boot\0"[..]));
    assert_eq!(offer.options.get(code::CLASS), Some(&b"PXEClient"[..]));
    assert_eq!(offer.options.get(code::VENDOR), Some(&[6, 1, 8, 255][..]));
    assert_eq!(offer.options.get(code::LEASE_TIME), None);
    assert_eq!(offer.options.get(code::NETMASK), None);
}

#[test]
fn everything_that_names_the_server_says_the_same() {
    let offer = discover(Client::bios(1)).answered(NOW, &mut proxy());
    assert_eq!(offer.siaddr, SERVER);
    assert_eq!(offer.sname, b"10.0.0.1");
    assert_eq!(offer.options.address(code::SERVER_ID), Some(SERVER));
    assert_eq!(offer.options.get(code::TFTP_SERVER), Some(&b"10.0.0.1"[..]));
}

#[test]
fn of_several_addresses_the_nearest_is_told() {
    let locals = [Local { address: [192, 168, 9, 2].into(), prefix: 24 }, LOCALS[0]];
    let at = |address: Ipv4Addr| {
        let from = SocketAddrV4::new(address, 68);
        let request = Client::bios(1).at(address).kind(Kind::Request);
        let (answer, _) = request.asks_at(NOW, &mut proxy(), Arrival::at_4011(&locals, from));
        let answer = answer.unwrap();
        (Message::decode(&answer.bytes).unwrap().siaddr, answer.source)
    };
    assert_eq!(at([10, 0, 0, 50].into()), (SERVER, SERVER));
    assert_eq!(at([192, 168, 9, 50].into()), ([192, 168, 9, 2].into(), [192, 168, 9, 2].into()));
}

#[test]
fn what_the_client_sent_is_repeated() {
    let mut client = discover(Client::bios(1)).with(code::CLIENT_ID, &[255, 1, 2]);
    client.message.flags = BROADCAST;
    let offer = client.answered(NOW, &mut proxy());
    assert_eq!(offer.options.get(code::UUID), Some(&UUID[..]));
    assert_eq!(offer.options.get(code::CLIENT_ID), Some(&[255, 1, 2][..]));
    assert_eq!((offer.xid, offer.flags), (client.message.xid, BROADCAST));
}

#[test]
fn a_client_without_an_address_is_answered_by_broadcast() {
    let (answer, _) = discover(Client::bios(1)).asks(NOW, &mut proxy());
    assert_eq!(answer.unwrap().to, Destination::Broadcast(68));
}

#[test]
fn clients_that_do_not_boot_are_left_to_the_other_server() {
    let client = Client::card(1).with(code::CLASS, b"MSFT 5.0");
    assert_eq!(discover(client).silence(NOW, &mut proxy()), Silence::NotBooting);
}

#[test]
fn a_machine_that_boots_nothing_is_not_answered_and_the_reason_is_told() {
    let why = discover(Client::bios(13)).silence(NOW, &mut proxy());
    assert_eq!(why.to_string(), "the site does not know it");
}

#[test]
fn firmware_without_a_name_is_told_by_its_number() {
    let why = discover(Client::pxe(1, 27)).silence(NOW, &mut proxy()).to_string();
    assert!(why.contains("architecture 27 (option 93)"), "{why}");
}

#[test]
fn the_first_architecture_that_is_known_counts() {
    let several = discover(Client::pxe(1, 27)).with(code::ARCHITECTURE, &[0, 27, 0, 9, 0, 0]);
    assert_eq!(several.answered(NOW, &mut proxy()).file, b"uefi-x64/boot");
}

#[test]
fn the_architecture_is_read_from_the_class_if_need_be() {
    let mut client = discover(Client::pxe(1, 7));
    client.message.options.take(code::ARCHITECTURE);
    assert_eq!(client.answered(NOW, &mut proxy()).file, b"uefi-x64/boot");
}

#[test]
fn ipxe_is_known_by_its_user_class_and_not_by_option_175() {
    let plain = discover(Client::bios(1)).with(code::IPXE, &[19, 1, 1]);
    assert_eq!(plain.clone().answered(NOW, &mut proxy()).file, b"bios/boot");
    for class in [&b"iPXE"[..], b"\x04iPXE"] {
        let offer = plain.clone().with(code::USER_CLASS, class).answered(NOW, &mut proxy());
        assert_eq!(offer.file, b"boot.ipxe");
        assert_eq!(offer.options.get(code::IPXE), None, "there is no address in it: other offers are needed");
    }
}

#[test]
fn http_boot_gets_a_url_and_its_own_class() {
    let client = discover(Client::pxe(1, 16)).with(code::CLASS, b"HTTPClient:Arch:00016:UNDI:003001");
    let offer = client.answered(NOW, &mut proxy());
    assert_eq!(offer.options.get(code::CLASS), Some(&b"HTTPClient"[..]));
    assert_eq!(offer.options.get(code::BOOT_FILE), Some(&b"http://10.0.0.1/boot.efi\0"[..]));
    assert_eq!(offer.options.get(code::VENDOR), None);
}

#[test]
fn a_long_name_stands_in_the_option_only() {
    let offer = discover(Client::bios(14)).answered(NOW, &mut proxy());
    assert!(offer.file.is_empty());
    assert_eq!(offer.options.get(code::BOOT_FILE).map(<[u8]>::len), Some(201));
}

#[test]
fn a_name_that_no_option_holds_is_refused() {
    let why = discover(Client::bios(15)).silence(NOW, &mut proxy()).to_string();
    assert!(why.contains("256 bytes"), "{why}");
}

#[test]
fn port_4011_answers_to_the_port_that_asked() {
    for (port, client) in [(4011, Client::pxe(1, 7)), (68, Client::bios(2))] {
        let from = SocketAddrV4::new([10, 0, 0, 50].into(), port);
        let client = client.at(*from.ip()).kind(Kind::Request);
        let (answer, _) = client.asks_at(NOW, &mut proxy(), Arrival::at_4011(&LOCALS, from));
        let answer = answer.unwrap();
        assert_eq!(answer.to, Destination::Unicast(from));
        let ack = Message::decode(&answer.bytes).unwrap();
        assert_eq!((ack.kind(), ack.yiaddr), (Some(Kind::Ack), Ipv4Addr::UNSPECIFIED));
        assert!(!ack.file.is_empty());
    }
}

#[test]
fn the_dhcp_servers_own_business_is_left_to_it() {
    let mut proxy = proxy();
    let request = Client::bios(1).kind(Kind::Request).with(code::REQUESTED, &[10, 0, 0, 50]);
    let other = Ipv4Addr::new(10, 0, 0, 2);
    let chosen = request.clone().with(code::SERVER_ID, &other.octets());
    assert_eq!(chosen.silence(NOW, &mut proxy), Silence::OtherServer(other));
    assert_eq!(request.silence(NOW, &mut proxy), Silence::NotProxys);
    assert_eq!(Client::bios(1).kind(Kind::Release).silence(NOW, &mut proxy), Silence::NotProxys);
}

#[test]
fn an_address_is_asked_of_the_dhcp_server_even_if_it_stands_on_this_host() {
    let chosen = Client::bios(1).selecting([10, 0, 0, 50].into());
    assert_eq!(chosen.silence(NOW, &mut proxy()), Silence::NotProxys);
}

#[test]
fn a_boot_file_may_be_asked_for_at_port_67_too() {
    let client = Client::bios(1).at([10, 0, 0, 50].into()).kind(Kind::Request);
    let ack = client.with(code::SERVER_ID, &SERVER.octets()).answered(NOW, &mut proxy());
    assert_eq!((ack.kind(), &*ack.file), (Some(Kind::Ack), &b"bios/boot"[..]));
}

#[test]
fn behind_a_relay_the_answer_goes_to_the_relay_with_its_option() {
    let relay = Ipv4Addr::new(10, 1, 0, 254);
    let client = discover(Client::bios(1)).relayed_by(relay).with(code::RELAY, &[1, 2, 7, 7]);
    let (answer, _) = client.asks(NOW, &mut proxy());
    let answer = answer.unwrap();
    assert_eq!(answer.to, Destination::Relay(SocketAddrV4::new(relay, 67)));
    let offer = Message::decode(&answer.bytes).unwrap();
    assert_eq!((offer.giaddr, offer.options.get(code::RELAY)), (relay, Some(&[1, 2, 7, 7][..])));
    assert_eq!(offer.flags, BROADCAST, "the relay has no address to send it to");
}

#[test]
fn nobody_is_answered_whose_answer_would_go_to_all() {
    for relay in [Ipv4Addr::BROADCAST, [224, 0, 0, 1].into(), [10, 0, 0, 255].into(), Ipv4Addr::LOCALHOST] {
        let client = discover(Client::bios(1)).relayed_by(relay);
        assert_eq!(client.silence(NOW, &mut proxy()), Silence::Unreachable(relay));
    }
}

#[test]
fn another_server_goes_first_until_the_client_has_waited() {
    let settings = Settings { delay: Duration::from_secs(4), ..Settings::new(Mode::Proxy) };
    let mut proxy = responder(settings);
    let mut client = discover(Client::bios(1));
    assert!(matches!(client.silence(NOW, &mut proxy), Silence::Delayed { .. }));
    client.message.secs = 4;
    assert_eq!(client.answered(NOW, &mut proxy).file, b"bios/boot");
    let mut silent = discover(Client::bios(2));
    assert!(matches!(silent.silence(NOW, &mut proxy), Silence::Delayed { .. }));
    silent.message.secs = 0;
    assert_eq!(silent.answered(NOW + Duration::from_secs(4), &mut proxy).file, b"bios/boot");
}

#[test]
fn seconds_in_the_wrong_byte_order_are_no_long_wait() {
    let settings = Settings { delay: Duration::from_secs(4), ..Settings::new(Mode::Proxy) };
    let mut client = discover(Client::bios(1));
    client.message.secs = 0x0200;
    let why = client.silence(NOW, &mut responder(settings));
    assert_eq!(why.to_string(), "it has asked for 2 s, and is answered after 4 s");
}

#[test]
fn a_menu_is_shown_by_plain_firmware_which_then_asks_for_its_item() {
    let menu =
        Menu { prompt: "Boot".into(), seconds: 3, boot: "Net".into(), disk: Some("Disk".into()), disk_first: false };
    let mut proxy = responder(Settings { menu: Some(menu.clone()), ..Settings::new(Mode::Proxy) });
    let offer = discover(Client::bios(1)).answered(NOW, &mut proxy);
    assert!(offer.file.is_empty() && offer.options.get(code::BOOT_FILE).is_none());
    assert_eq!(offer.options.get(code::VENDOR), Some(&*pxe::menu(&menu, SERVER)));

    let from = SocketAddrV4::new([10, 0, 0, 50].into(), 68);
    let item = [71, 4, 0x80, 0, 0, 0, 255];
    let request = Client::bios(1).at(*from.ip()).kind(Kind::Request).with(code::VENDOR, &item);
    let (answer, _) = request.asks_at(NOW, &mut proxy, Arrival::at_4011(&LOCALS, from));
    let ack = Message::decode(&answer.unwrap().bytes).unwrap();
    assert_eq!(ack.file, b"bios/boot");
    assert_eq!(ack.options.get(code::VENDOR).and_then(pxe::item), Some([0x80, 0, 0, 0]));
}

#[test]
fn ipxe_and_http_boot_are_shown_no_menu() {
    let menu = Menu { prompt: "Boot".into(), seconds: 3, boot: "Net".into(), disk: None, disk_first: false };
    let mut proxy = responder(Settings { menu: Some(menu), ..Settings::new(Mode::Proxy) });
    let ipxe = discover(Client::bios(1)).with(code::USER_CLASS, b"iPXE");
    assert_eq!(ipxe.answered(NOW, &mut proxy).file, b"boot.ipxe");
    let http = discover(Client::pxe(1, 16)).with(code::CLASS, b"HTTPClient");
    assert!(!http.answered(NOW, &mut proxy).file.is_empty());
}

#[test]
fn the_address_that_is_set_is_told_instead_of_the_interfaces() {
    let outside = Ipv4Addr::new(192, 0, 2, 1);
    let mut proxy = responder(Settings { server: Some(outside), ..Settings::new(Mode::Proxy) });
    let (answer, _) = discover(Client::bios(1)).asks(NOW, &mut proxy);
    let answer = answer.unwrap();
    assert_eq!(answer.source, SERVER);
    let offer = Message::decode(&answer.bytes).unwrap();
    assert_eq!((offer.siaddr, offer.options.address(code::SERVER_ID)), (outside, Some(outside)));
}

#[test]
fn a_hardware_address_that_is_no_cards_is_named() {
    let mut long = discover(Client::bios(1));
    long.message.hlen = 200;
    assert_eq!(long.silence(NOW, &mut proxy()), Silence::Hardware(200));
    let mut group = discover(Client::bios(1));
    group.message.chaddr[0] = 1;
    assert!(matches!(group.silence(NOW, &mut proxy()), Silence::NoCard(_)));
}

#[test]
fn the_event_says_who_got_what() {
    let (_, events) = discover(Client::bios(1)).asks(NOW, &mut proxy());
    let [event @ Event::Answered(_)] = &*events else { panic!("{events:?}") };
    let text = "52:54:00:00:00:01 sent DISCOVER and is answered OFFER (broadcast to port 68), boots bios/boot";
    assert_eq!(event.to_string(), text);
}
