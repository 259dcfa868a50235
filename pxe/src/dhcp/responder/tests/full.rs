use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::client::{Client, LOCALS, NOW, SERVER, Site, pool, responder};
use crate::dhcp::wire::{BROADCAST, Kind, Message, code};
use crate::dhcp::{Arrival, Booting, Destination, Event, LeaseChange, Local, Mode, Pool, Responder, Settings, Silence};
use crate::machine::Machine;

fn full() -> Responder {
    responder(Settings::new(Site::full(vec![pool()])))
}

fn authoritative() -> Responder {
    responder(Settings::new(Mode::Full { pools: vec![pool()], others: true, authoritative: true }))
}

fn discover(client: Client) -> Client {
    client.kind(Kind::Discover)
}

#[test]
fn a_machine_gets_an_address_and_its_file() {
    let mut full = full();
    let offer = discover(Client::bios(1)).answered(NOW, &mut full);
    assert!(pool().contains(offer.yiaddr));
    assert_eq!(offer.file, b"bios/boot");
    let ack = Client::bios(1).selecting(offer.yiaddr).answered(NOW, &mut full);
    assert_eq!((ack.kind(), ack.yiaddr, &*ack.file), (Some(Kind::Ack), offer.yiaddr, &b"bios/boot"[..]));
    assert_eq!(ack.options.get(code::LEASE_TIME), Some(&3600u32.to_be_bytes()[..]));
    assert_eq!(ack.options.address(code::NETMASK), Some([255, 255, 255, 0].into()));
    assert_eq!(ack.options.address(code::ROUTER), Some([10, 0, 0, 254].into()));
}

#[test]
fn firmware_ipxe_and_a_plain_client_of_one_card_have_one_address() {
    let mut full = full();
    let firmware = Client::bios(1).leases(NOW, &mut full);
    let ipxe = Client::bios(1).with(code::USER_CLASS, b"iPXE").with(code::CLIENT_ID, &[1, 0x52, 0x54, 0, 0, 0, 1]);
    assert_eq!(ipxe.leases(NOW, &mut full), firmware);
    assert_eq!(Client::card(1).leases(NOW, &mut full), firmware);
}

#[test]
fn ipxe_is_spared_the_wait_for_a_proxy() {
    let client = discover(Client::bios(1)).with(code::IPXE, &[19, 1, 1]);
    assert_eq!(client.answered(NOW, &mut full()).options.get(code::IPXE), Some(&[176, 1, 1][..]));
}

#[test]
fn a_machine_that_boots_nothing_gets_an_address_and_the_reason_is_told() {
    let (answer, events) = discover(Client::bios(13)).asks(NOW, &mut full());
    let offer = Message::decode(&answer.unwrap().bytes).unwrap();
    assert!(pool().contains(offer.yiaddr));
    assert!(offer.file.is_empty() && offer.options.get(code::BOOT_FILE).is_none());
    assert!(offer.options.get(code::CLASS).is_none() && offer.siaddr.is_unspecified());
    assert!(events[0].to_string().ends_with("boots nothing: the site does not know it"), "{}", events[0]);
}

#[test]
fn clients_that_do_not_boot_get_addresses_if_that_is_wanted() {
    let client = discover(Client::card(1));
    assert!(pool().contains(client.answered(NOW, &mut full()).yiaddr));
    let only_booting = Mode::Full { pools: vec![pool()], others: false, authoritative: false };
    assert_eq!(client.silence(NOW, &mut responder(Settings::new(only_booting))), Silence::NotBooting);
}

#[test]
fn a_reserved_address_is_one_machines_only() {
    let mut reserved = pool();
    (reserved.first, reserved.last) = ([10, 0, 0, 7].into(), [10, 0, 0, 8].into());
    let mut full = responder(Settings::new(Site::full(vec![reserved])));
    assert_eq!(Client::bios(1).leases(NOW, &mut full), Ipv4Addr::new(10, 0, 0, 8));
    assert!(matches!(discover(Client::bios(2)).silence(NOW, &mut full), Silence::PoolFull(_)));
    assert_eq!(Client::bios(7).leases(NOW, &mut full), Ipv4Addr::new(10, 0, 0, 7));
}

/// Keeps an address for card 99 from some moment on.
struct Later(AtomicBool, Ipv4Addr);

impl Booting for Later {
    fn boot_file(&self, _: &Machine, _: Ipv4Addr) -> Result<String, String> {
        Ok("boot".into())
    }

    fn reserved(&self, machine: &Machine) -> Option<Ipv4Addr> {
        (machine.mac.0[5] == 99 && self.0.load(Relaxed)).then_some(self.1)
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        self.0.load(Relaxed) && address == self.1
    }
}

#[test]
fn an_address_that_is_reserved_later_is_not_prolonged_and_becomes_the_other_machines() {
    let mut one = pool();
    one.last = one.first;
    let site = Arc::new(Later(AtomicBool::new(false), one.first));
    let mut full = Responder::new(Settings::new(Site::full(vec![one.clone()])), site.clone()).unwrap();
    let address = Client::card(1).leases(NOW, &mut full);
    site.0.store(true, Relaxed);
    let renewal = Client::card(1).kind(Kind::Request).at(address);
    for later in [1800, 1900] {
        let nak = renewal.answered(NOW + Duration::from_secs(later), &mut full);
        assert_eq!(nak.kind(), Some(Kind::Nak), "also if it did not hear the first");
    }
    let now = NOW + Duration::from_secs(2000);
    assert!(matches!(discover(Client::card(1)).silence(now, &mut full), Silence::PoolFull(_)));
    assert!(matches!(discover(Client::card(2)).silence(now, &mut full), Silence::PoolFull(_)));
    let over = NOW + Duration::from_secs(3601);
    assert_eq!(Client::card(99).leases(over, &mut full), address);
}

#[test]
fn what_a_pool_has_no_more_is_not_prolonged() {
    let mut large = full();
    let address = Client::card(1).leases(NOW, &mut large);
    let lease = large.leases().next().unwrap();
    let first = Ipv4Addr::from(if address == pool().first { [10, 0, 0, 101] } else { [10, 0, 0, 100] });
    let small = Pool { first, last: first, ..pool() };
    let mut full = responder(Settings::new(Site::full(vec![small])));
    assert!(full.load(NOW, lease));
    let renewal = Client::card(1).kind(Kind::Request).at(address);
    assert_eq!(renewal.answered(NOW, &mut full).kind(), Some(Kind::Nak));
    assert_ne!(discover(Client::card(1)).answered(NOW, &mut full).yiaddr, address);
}

#[test]
fn a_computer_that_is_known_by_its_board_keeps_its_address_when_its_system_asks() {
    let mut full = full();
    let reserved = Ipv4Addr::new(10, 0, 0, 9);
    assert_eq!(Client::bios(9).leases(NOW, &mut full), reserved);
    assert_eq!(Client::card(9).leases(NOW, &mut full), reserved, "without option 97");
    let renewal = Client::card(9).kind(Kind::Request).at(reserved);
    assert_eq!(renewal.answered(NOW, &mut full).yiaddr, reserved);
    assert!(pool().contains(Client::card(10).leases(NOW, &mut full)));
}

#[test]
fn systems_that_were_copied_with_their_identifier_have_an_address_each() {
    let mut full = full();
    let copy = |number| Client::card(number).with(code::CLIENT_ID, &[255, 1, 2, 3, 4, 0, 2, 0, 0]);
    let first = copy(1).leases(NOW, &mut full);
    assert_ne!(copy(2).leases(NOW, &mut full), first);
    assert_eq!(copy(1).leases(NOW, &mut full), first);
}

/// An interface with two networks.
const TWO_LOCALS: [Local; 2] = [LOCALS[0], Local { address: Ipv4Addr::new(10, 5, 0, 1), prefix: 24 }];

/// A pool of one address in the first of them, and one up to 10.5.0.`last` in the second.
fn two_pools(last: u8) -> Responder {
    let mut one = pool();
    one.last = one.first;
    let second = Pool::new("10.5.0.0/24".parse().unwrap(), [10, 5, 0, 100].into(), [10, 5, 0, last].into());
    responder(Settings::new(Site::full(vec![one, second])))
}

#[test]
fn an_interface_with_two_networks_gives_addresses_of_both() {
    let mut full = two_pools(109);
    let arrival = Arrival::at_67(&TWO_LOCALS, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68));
    let mut leases = |client: Client| {
        let (offer, _) = discover(client.clone()).asks_at(NOW, &mut full, arrival);
        let offer = Message::decode(&offer.unwrap().bytes).unwrap();
        let chosen = client.selecting(offer.yiaddr).with(code::SERVER_ID, offer.options.get(code::SERVER_ID).unwrap());
        let ack = Message::decode(&chosen.asks_at(NOW, &mut full, arrival).0.unwrap().bytes).unwrap();
        assert_eq!((ack.kind(), ack.yiaddr), (Some(Kind::Ack), offer.yiaddr));
        (ack.yiaddr, ack.options.address(code::SERVER_ID).unwrap())
    };
    assert_eq!(leases(Client::card(1)), ([10, 0, 0, 100].into(), SERVER));
    let (address, server) = leases(Client::card(2));
    assert_eq!((address.octets()[1], server), (5, Ipv4Addr::new(10, 5, 0, 1)));
    assert_eq!(leases(Client::card(2)).0, address);
    assert_eq!(leases(Client::card(7)).0, Ipv4Addr::new(10, 0, 0, 7), "kept for it, beside the full pool");
}

#[test]
fn nobody_gives_way_in_one_pool_while_another_one_has_room() {
    let mut full = two_pools(100);
    let arrival = Arrival::at_67(&TWO_LOCALS, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68));
    let mut offered = |number, seconds| {
        let (offer, _) = discover(Client::card(number)).asks_at(NOW + Duration::from_secs(seconds), &mut full, arrival);
        Some(Message::decode(&offer?.bytes).unwrap().yiaddr.octets()[1])
    };
    assert_eq!(offered(1, 0), Some(0));
    assert_eq!(offered(2, 10), Some(5));
    assert_eq!(offered(3, 11), Some(0), "the older offer gives way");
    assert_eq!(offered(4, 12), None);
}

#[test]
fn who_comes_with_an_address_of_elsewhere_is_told_no_by_who_is_alone_on_the_network() {
    let client = Client::card(1).kind(Kind::Request).at([192, 168, 0, 5].into());
    assert_eq!(client.answered(NOW, &mut authoritative()).kind(), Some(Kind::Nak));
    assert!(matches!(client.silence(NOW, &mut full()), Silence::UnknownLease(_)));
}

#[test]
fn our_own_address_and_the_routers_are_never_given() {
    let network = "10.0.0.0/24".parse().unwrap();
    let small = Pool { router: Some([10, 0, 0, 2].into()), ..Pool::new(network, SERVER, [10, 0, 0, 3].into()) };
    let mut full = responder(Settings::new(Site::full(vec![small])));
    assert_eq!(Client::bios(1).leases(NOW, &mut full), Ipv4Addr::new(10, 0, 0, 3));
    assert!(matches!(discover(Client::bios(2)).silence(NOW, &mut full), Silence::PoolFull(_)));
}

#[test]
fn a_client_that_chose_another_server_is_never_told_no_and_its_offer_is_dropped() {
    let mut one = pool();
    one.last = one.first;
    let mut full = responder(Settings::new(Mode::Full { pools: vec![one], others: true, authoritative: true }));
    discover(Client::bios(1)).answered(NOW, &mut full);
    let other = Ipv4Addr::new(10, 0, 0, 2);
    let chosen = Client::bios(1).selecting([10, 0, 0, 55].into()).with(code::SERVER_ID, &other.octets());
    assert_eq!(chosen.silence(NOW, &mut full), Silence::OtherServer(other));
    assert!(pool().contains(discover(Client::bios(2)).answered(NOW, &mut full).yiaddr));
}

#[test]
fn a_client_that_chose_us_and_an_address_of_another_is_told_no() {
    let mut full = full();
    let taken = Client::bios(1).leases(NOW, &mut full);
    let (answer, _) = Client::bios(2).selecting(taken).asks(NOW, &mut full);
    let answer = answer.unwrap();
    assert_eq!(answer.to, Destination::Broadcast(68));
    let nak = Message::decode(&answer.bytes).unwrap();
    assert_eq!((nak.kind(), nak.yiaddr), (Some(Kind::Nak), Ipv4Addr::UNSPECIFIED));
    assert!(nak.file.is_empty());
}

#[test]
fn a_reboot_with_a_known_address_keeps_it() {
    let mut full = full();
    let address = Client::card(1).leases(NOW, &mut full);
    let again = Client::card(1).kind(Kind::Request).with(code::REQUESTED, &address.octets());
    assert_eq!(again.answered(NOW, &mut full).yiaddr, address);
}

#[test]
fn a_reboot_with_an_unknown_address_gets_silence() {
    let inside = Client::card(1).kind(Kind::Request).with(code::REQUESTED, &[10, 0, 0, 105]);
    let outside = Client::card(1).kind(Kind::Request).with(code::REQUESTED, &[192, 168, 0, 5]);
    for client in [&inside, &outside] {
        assert!(matches!(client.silence(NOW, &mut full()), Silence::UnknownLease(_)));
    }
    assert!(matches!(inside.silence(NOW, &mut authoritative()), Silence::UnknownLease(_)));
    assert_eq!(outside.answered(NOW, &mut authoritative()).kind(), Some(Kind::Nak));
}

#[test]
fn a_renewal_is_answered_to_the_client_and_prolongs() {
    let mut full = full();
    let address = Client::card(1).leases(NOW, &mut full);
    let later = NOW + Duration::from_secs(1800);
    let (answer, events) = Client::card(1).kind(Kind::Request).at(address).asks(later, &mut full);
    assert_eq!(answer.unwrap().to, Destination::Unicast(SocketAddrV4::new(address, 68)));
    let Some(Event::LeaseChanged(LeaseChange::Granted(lease))) = events.first() else { panic!("{events:?}") };
    assert_eq!(lease.until, later + Duration::from_secs(3600));
}

#[test]
fn a_forgotten_lease_is_renewed_only_by_who_is_alone_on_the_network() {
    let client = Client::card(1).kind(Kind::Request).at([10, 0, 0, 105].into());
    assert!(matches!(client.silence(NOW, &mut full()), Silence::UnknownLease(_)));
    assert_eq!(client.answered(NOW, &mut authoritative()).kind(), Some(Kind::Ack));
}

#[test]
fn a_lease_that_is_over_goes_to_the_next() {
    let mut one = pool();
    one.last = one.first;
    let mut full = responder(Settings::new(Site::full(vec![one])));
    let address = Client::card(1).leases(NOW, &mut full);
    assert!(matches!(discover(Client::card(2)).silence(NOW, &mut full), Silence::PoolFull(_)));
    let due = full.poll_timeout().unwrap();
    full.handle_timeout(due);
    assert!(matches!(full.poll_event(), Some(Event::LeaseChanged(LeaseChange::Ended { .. }))));
    assert_eq!(discover(Client::card(2)).answered(due, &mut full).yiaddr, address);
}

#[test]
fn a_released_address_is_free_and_only_its_client_releases_it() {
    let mut full = full();
    let address = Client::card(1).leases(NOW, &mut full);
    let release = |number| Client::card(number).kind(Kind::Release).at(address).with(code::SERVER_ID, &SERVER.octets());
    assert!(matches!(release(2).silence(NOW, &mut full), Silence::UnknownLease(_)));
    assert_eq!(release(1).silence(NOW, &mut full), Silence::Released(address));
    assert_eq!(full.leases().count(), 0);
}

#[test]
fn a_declined_address_is_not_offered_again() {
    let mut full = full();
    let address = Client::card(1).leases(NOW, &mut full);
    let decline = Client::card(1).kind(Kind::Decline).with(code::REQUESTED, &address.octets());
    assert_eq!(decline.silence(NOW, &mut full), Silence::Declined(address));
    assert_ne!(discover(Client::card(1)).answered(NOW, &mut full).yiaddr, address);
}

/// Networks behind relay agents, and the one here.
fn three_networks() -> Responder {
    let far = |second: u8| {
        let network = format!("10.{second}.0.0/24").parse().unwrap();
        let pool = Pool::new(network, [10, second, 0, 100].into(), [10, second, 0, 109].into());
        Pool { router: Some([10, second, 0, 254].into()), ..pool }
    };
    responder(Settings::new(Site::full(vec![pool(), far(1), far(2)])))
}

#[test]
fn behind_a_relay_the_network_is_the_relays() {
    let relay = Ipv4Addr::new(10, 1, 0, 254);
    let client = discover(Client::bios(1)).relayed_by(relay).with(code::RELAY, &[1, 1, 9]);
    let (answer, _) = client.asks(NOW, &mut three_networks());
    let answer = answer.unwrap();
    assert_eq!(answer.to, Destination::Relay(SocketAddrV4::new(relay, 67)));
    let offer = Message::decode(&answer.bytes).unwrap();
    assert_eq!(offer.yiaddr.octets()[1], 1);
    assert_eq!(offer.options.address(code::ROUTER), Some([10, 1, 0, 254].into()));
    assert_eq!(offer.options.get(code::RELAY), Some(&[1, 1, 9][..]));
    assert_eq!(offer.options.iter().last().unwrap().0, code::RELAY, "where relay agents look for it");
}

#[test]
fn link_selection_goes_before_the_relays_address() {
    let link = [5, 4, 10, 2, 0, 0];
    let client = discover(Client::bios(1)).relayed_by([10, 1, 0, 254].into()).with(code::RELAY, &link);
    assert_eq!(client.answered(NOW, &mut three_networks()).yiaddr.octets()[1], 2);
    let client = discover(Client::bios(1)).with(code::SUBNET, &[10, 2, 0, 0]);
    assert_eq!(client.answered(NOW, &mut three_networks()).yiaddr.octets()[1], 2);
}

#[test]
fn a_no_behind_a_relay_is_to_be_broadcast_there() {
    let client = Client::bios(1).selecting([10, 9, 0, 1].into()).relayed_by([10, 1, 0, 254].into());
    let nak = client.answered(NOW, &mut three_networks());
    assert_eq!((nak.kind(), nak.flags), (Some(Kind::Nak), BROADCAST));
}

#[test]
fn a_network_without_a_pool_is_named() {
    let relay = Ipv4Addr::new(10, 7, 0, 254);
    assert_eq!(discover(Client::bios(1)).relayed_by(relay).silence(NOW, &mut full()), Silence::NoPool(relay));
}

#[test]
fn who_only_wants_to_know_is_told_and_keeps_its_address() {
    let elsewhere = Client::card(1).kind(Kind::Inform).at([192, 168, 0, 5].into());
    assert!(matches!(elsewhere.silence(NOW, &mut full()), Silence::NoPool(_)));
    let client = Client::card(1).kind(Kind::Inform).at([10, 0, 0, 55].into());
    let ack = client.answered(NOW, &mut full());
    assert_eq!((ack.kind(), ack.yiaddr), (Some(Kind::Ack), Ipv4Addr::UNSPECIFIED));
    assert_eq!(ack.options.get(code::LEASE_TIME), None);
    assert!(ack.options.address(code::ROUTER).is_some());
}

#[test]
fn port_4011_tells_the_file_here_too() {
    let from = SocketAddrV4::new([10, 0, 0, 100].into(), 4011);
    let request = Client::pxe(1, 7).at(*from.ip()).kind(Kind::Request);
    let (answer, _) = request.asks_at(NOW, &mut full(), Arrival::at_4011(&LOCALS, from));
    assert_eq!(Message::decode(&answer.unwrap().bytes).unwrap().file, b"uefi-x64/boot");
}
