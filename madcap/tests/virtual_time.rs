//! Clients and servers in virtual time: what goes wrong between them, and what becomes of it.

mod room;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use madcap::{Asked, Config, Event, Lease, LostReason, Mood, PORT, Refusal, ResponderEvent, Time};
use proptest::prelude::*;
use room::{Network, Room, seconds};

fn by_group() -> Config {
    Config::default()
}

fn by_server() -> Config {
    Config { server: Some(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), PORT)), ..Config::default() }
}

fn is_silent(event: &Event, about: Asked) -> bool {
    matches!(event, Event::ServerSilent { asked, .. } if *asked == about)
}

fn is_back(event: &Event, about: Asked) -> bool {
    matches!(event, Event::ServerAnswers { asked, .. } if *asked == about)
}

fn is_renewed(event: &Event) -> bool {
    matches!(event, Event::Renewed { .. })
}

fn is_expired(event: &Event) -> bool {
    matches!(event, Event::Lost { why: LostReason::Expired, .. })
}

fn is_unknown(event: &Event) -> bool {
    matches!(event, Event::Lost { why: LostReason::Refused(Refusal::UnknownLease { .. }), .. })
}

fn is_refused(event: &Event) -> bool {
    matches!(event, Event::Refused { .. })
}

#[test]
fn as_many_addresses_as_wished_are_leased_by_group_and_by_server() {
    for config in [by_group(), by_server()] {
        let mut room = Room::with_server(1, 9, seconds(60));
        let guest = room.join(config, 3);
        room.run_for(seconds(2));
        let held: BTreeSet<_> = room.held(guest).into_iter().collect();
        assert_eq!(held.len(), 3, "{held:?}");
        assert!(held.iter().all(|address| address.octets()[..3] == [239, 192, 0]));
        let chosen = room.count(guest, |event| matches!(event, Event::ScopeChosen { scope } if scope.ttl == 15));
        assert_eq!(chosen, 1);
        assert_eq!(room.hosts[0].responder.in_use(), 3);
    }
}

#[test]
fn a_configured_scope_is_not_asked_for() {
    let mut room = Room::with_server(2, 9, seconds(60));
    let guest = room.join(Config { scope: Some(Ipv4Addr::new(239, 192, 0, 0)), ..by_server() }, 1);
    room.run_for(seconds(1));
    assert_eq!(room.held(guest).len(), 1);
    assert!(!room.hosts[0].events.iter().any(|(_, event)| matches!(event, ResponderEvent::Told { .. })));
}

#[test]
fn a_scope_that_the_server_does_not_have_is_refused_with_its_reason() {
    let mut room = Room::with_server(3, 9, seconds(60));
    let guest = room.join(Config { scope: Some(Ipv4Addr::new(239, 1, 1, 0)), ..by_server() }, 1);
    room.run_for(seconds(300));
    let told: Vec<_> = room.guests[guest].events.iter().map(|(_, event)| event).collect();
    let [Event::Refused { error: error @ Refusal::NotCompleted { option: Some(4), .. } }] = told[..] else {
        panic!("{told:?}")
    };
    assert!(error.to_string().contains("multicast scope"), "{error}");
}

#[test]
fn a_lease_is_renewed_at_its_half_and_kept_for_hours() {
    let mut room = Room::with_server(4, 9, seconds(60));
    let guest = room.join(by_group(), 1);
    room.run_for(seconds(29));
    let address = room.held(guest);
    assert_eq!(room.count(guest, is_renewed), 0);
    room.run_for(seconds(3));
    assert_eq!(room.count(guest, is_renewed), 1);
    room.run_for(seconds(2 * 3600));
    assert_eq!(room.held(guest), address);
    let renewed = room.count(guest, is_renewed);
    assert!((238..=242).contains(&renewed), "{renewed} renewals in two hours of 60 s leases");
}

#[test]
fn a_silent_server_is_told_once_and_asked_until_it_is_back() {
    for config in [by_group(), by_server()] {
        let mut room = Room::with_server(5, 9, seconds(60));
        room.hosts[0].responder.set_mood(Mood::Silent);
        let guest = room.join(config, 4);
        room.run_for(seconds(3600));
        let told: Vec<_> = room.guests[guest].events.clone();
        let [(at, Event::ServerSilent { asked: Asked::Scopes, tries: 5 })] = told[..] else { panic!("{told:?}") };
        assert!((seconds(27)..seconds(35)).contains(&at), "1 + 2 + 4 + 8 + 16 s, ± 10 %: {at:?}");
        // At most five tries in 31 s and two minutes' rest: some dozens an hour.
        let asked = room.hosts[0].events.len();
        assert!((60..=160).contains(&asked), "{asked} questions in an hour");
        room.hosts[0].responder.set_mood(Mood::Serve);
        room.run_for(seconds(150));
        assert_eq!(room.held(guest).len(), 4);
        assert_eq!(room.count(guest, |event| is_back(event, Asked::Scopes)), 1);
    }
}

#[test]
fn a_lease_outlives_a_server_that_is_away_for_a_while() {
    for config in [by_group(), by_server()] {
        let mut room = Room::with_server(6, 9, seconds(600));
        let guest = room.join(config, 1);
        room.run_for(seconds(10));
        let address = room.held(guest);
        room.hosts[0].responder.set_mood(Mood::Silent);
        room.run_for(seconds(500));
        assert_eq!(room.count(guest, |event| is_silent(event, Asked::Renewal)), 1);
        room.hosts[0].responder.set_mood(Mood::Serve);
        room.run_until("renewed", |room| room.count(guest, is_renewed) == 1);
        assert_eq!(room.held(guest), address);
        assert_eq!(room.count(guest, |event| is_back(event, Asked::Renewal)), 1);
    }
}

#[test]
fn renewal_is_tried_more_often_towards_the_end() {
    let mut room = Room::with_server(7, 9, seconds(3600));
    let guest = room.join(by_server(), 1);
    room.run_for(seconds(10));
    room.hosts[0].responder.set_mood(Mood::Silent);
    room.hosts[0].events.clear();
    let expires = room.lease(guest).expires;
    room.run_for(expires - room.now - seconds(1));
    let tries: Vec<Duration> = room.hosts[0].events.iter().map(|(at, _)| expires - *at).collect();
    assert!(tries[0] <= seconds(1805) && tries[0] >= seconds(1795), "half: {:?}", tries[0]);
    let within = |from: u64, to: u64| tries.iter().filter(|left| (seconds(from)..seconds(to)).contains(left)).count();
    assert!(within(0, 30) >= 8, "the last half minute: {}", within(0, 30));
    assert!(within(0, 60) > within(600, 660), "{} and {}", within(0, 60), within(600, 660));
}

#[test]
fn a_lease_that_nobody_renews_is_lost_in_time_and_replaced_when_the_server_is_back() {
    let mut room = Room::with_server(8, 9, seconds(60));
    let guest = room.join(by_group(), 1);
    room.run_for(seconds(10));
    let lease = room.lease(guest);
    room.hosts[0].responder.set_mood(Mood::Silent);
    room.run_for(lease.expires - room.now - Duration::from_millis(1));
    assert_eq!(room.held(guest), [lease.address], "until its last moment");
    room.run_for(seconds(300));
    assert!(room.held(guest).is_empty());
    let lost = room.guests[guest].events.iter().find(|(_, event)| is_expired(event)).expect("it was told");
    assert_eq!(lost.0, lease.expires);
    let server = room.hosts[0].events.iter().find(|(_, event)| matches!(event, ResponderEvent::Expired { .. }));
    assert!(server.expect("it ended there, too").0 >= lease.expires, "never before the client stops");
    room.hosts[0].responder.set_mood(Mood::Serve);
    room.run_for(seconds(150));
    assert_eq!(room.held(guest).len(), 1);
}

#[test]
fn a_renewal_of_what_the_server_has_forgotten_is_lost_at_once_and_replaced() {
    for config in [by_group(), by_server()] {
        let mut room = Room::with_server(9, 9, seconds(60));
        let guest = room.join(config, 1);
        room.run_for(seconds(10));
        let old = room.lease(guest);
        room.hosts[0].responder.set_mood(Mood::RefuseRenewals);
        room.run_until("lost", |room| room.count(guest, is_unknown) == 1);
        assert!(room.now < seconds(32), "at the half: {:?}", room.now);
        room.hosts[0].responder.set_mood(Mood::Serve);
        room.run_for(seconds(2));
        assert_ne!(room.lease(guest).id, old.id);
    }
}

#[test]
fn a_lease_that_is_not_prolonged_remains_ours_until_it_ends() {
    let mut room = Room::with_server(10, 9, seconds(60));
    let guest = room.join(by_server(), 1);
    room.run_for(seconds(10));
    let lease = room.lease(guest);
    room.hosts[0].responder.set_mood(Mood::Refuse);
    room.run_for(lease.expires - room.now - Duration::from_millis(1));
    assert_eq!(room.held(guest), [lease.address]);
    assert_eq!(room.count(guest, is_refused), 1, "told once");
    room.run_for(seconds(1));
    assert_eq!(room.count(guest, is_expired), 1);
}

#[test]
fn what_a_pool_does_not_have_is_told_and_got_when_somebody_gives_it_back() {
    let mut room = Room::with_server(11, 3, seconds(600));
    let rich = room.join(by_server(), 3);
    room.run_for(seconds(1));
    let poor = room.join(by_server(), 1);
    room.run_for(seconds(1000));
    assert!(room.held(poor).is_empty());
    assert_eq!(room.count(poor, is_refused), 1, "told once: {:?}", room.guests[poor].events);
    let given = room.held(rich)[0];
    assert!(room.with(rich, |client, now| client.release(now, given)));
    room.run_for(seconds(140));
    assert_eq!(room.held(poor), [given]);
    assert_eq!(room.held(rich).len(), 2, "it does not want it back");
}

#[test]
fn servers_of_the_group_that_have_nothing_are_silent_about_offers() {
    let mut room = Room::with_server(12, 1, seconds(600));
    let rich = room.join(by_group(), 1);
    room.run_for(seconds(1));
    let poor = room.join(by_group(), 1);
    room.run_for(seconds(1000));
    let told: Vec<_> = room.guests[poor].events.iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(told.iter().filter(|event| is_silent(event, Asked::Offers)).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|event| is_silent(event, Asked::Scopes)).count(), 0, "{told:?}");
    room.with(rich, madcap::Client::release_all);
    room.run_for(seconds(150));
    assert_eq!(room.held(poor).len(), 1);
}

#[test]
fn of_two_servers_the_longer_lease_is_taken_and_the_other_lets_go() {
    let mut room = Room::new(13);
    room.serve(9, seconds(60));
    let longer = room.serve(9, seconds(120));
    let guest = room.join(by_group(), 1);
    room.run_for(seconds(3));
    assert_eq!(*room.lease(guest).server.ip(), room.hosts[longer].address);
    assert_eq!(room.hosts[0].responder.in_use(), 0);
    assert_eq!(room.hosts[longer].responder.in_use(), 1);
}

#[test]
fn another_servers_refusal_does_not_end_a_lease() {
    let mut room = Room::with_server(14, 9, seconds(80));
    let guest = room.join(by_group(), 1);
    room.run_for(seconds(5));
    let lease = room.lease(guest);
    room.hosts[0].responder.set_mood(Mood::Silent);
    // It hears what goes to the group in the last eighth, and does not know the lease.
    let other = room.serve(9, seconds(80));
    room.run_for(lease.expires - room.now - seconds(1));
    let refused =
        |event: &ResponderEvent| matches!(event, ResponderEvent::Refused { kind, .. } if kind.name() == "RENEW");
    assert!(room.hosts[other].events.iter().any(|(_, event)| refused(event)), "it was asked");
    assert_eq!(room.held(guest), [lease.address]);
    room.hosts[0].responder.set_mood(Mood::Serve);
    room.run_for(seconds(30));
    assert_eq!(room.held(guest).len(), 1);
}

#[test]
fn an_adopted_lease_is_renewed_at_once_by_its_identifier() {
    for config in [by_group(), by_server()] {
        let mut room = Room::with_server(15, 9, seconds(600));
        let before = room.join(config.clone(), 1);
        room.run_for(seconds(10));
        let lease = room.lease(before);
        // The process ends and another one takes over; nobody renews for the old one.
        room.guests[before].client = madcap::Client::new(config.clone(), 99);
        let after = room.join(config, 0);
        assert!(room.with(after, |client, now| client.adopt(now, lease)));
        assert!(!room.with(after, |client, now| client.adopt(now, lease)), "once is enough");
        room.with(after, |client, now| client.wish(now, 2));
        room.run_for(seconds(2));
        assert_eq!(room.count(after, is_renewed), 1);
        let held = room.held(after);
        assert!(held.contains(&lease.address) && held.len() == 2, "it is one of the two: {held:?}");
        assert_eq!(room.hosts[0].responder.in_use(), 2);
    }
}

#[test]
fn an_adopted_lease_that_is_over_or_unknown_is_lost_and_replaced() {
    let mut room = Room::with_server(16, 9, seconds(600));
    let other = room.join(by_server(), 1);
    room.run_for(seconds(10));
    let known = room.lease(other);
    let guest = room.join(by_server(), 0);
    let over = Lease { expires: room.now, ..known };
    room.with(guest, |client, now| client.adopt(now, over));
    assert_eq!(room.count(guest, is_expired), 1);
    room.run_for(seconds(1));
    assert_eq!(room.held(guest).len(), 1);

    let id = "00112233445566778899aabbccddeeff00".parse().expect("an identifier");
    let unknown = Lease { id, address: Ipv4Addr::new(239, 192, 0, 8), ..known };
    room.with(guest, |client, now| client.adopt(now, unknown));
    room.run_for(seconds(1));
    assert_eq!(room.count(guest, is_unknown), 1);
    assert_eq!(room.held(guest).len(), 2);
}

#[test]
fn everything_is_given_back_and_the_server_has_it_again() {
    let mut room = Room::with_server(17, 9, seconds(600));
    let guest = room.join(by_group(), 5);
    room.run_for(seconds(2));
    room.with(guest, madcap::Client::release_all);
    assert!(room.held(guest).is_empty());
    room.run_for(seconds(2));
    let confirmed = room.count(guest, |event| matches!(event, Event::Released { confirmed: true, .. }));
    assert_eq!(confirmed, 5);
    assert_eq!(room.hosts[0].responder.in_use(), 0);
    assert!(room.guests[guest].client.is_idle());
    assert_eq!(room.guests[guest].client.poll_timeout(), None);
}

#[test]
fn a_release_that_nobody_confirms_ends_all_the_same() {
    let mut room = Room::with_server(18, 9, seconds(600));
    let guest = room.join(by_group(), 1);
    room.run_for(seconds(2));
    room.hosts[0].responder.set_mood(Mood::Silent);
    room.with(guest, madcap::Client::release_all);
    room.run_for(seconds(60));
    assert_eq!(room.count(guest, |event| matches!(event, Event::Released { confirmed: false, .. })), 1);
    assert!(room.guests[guest].client.is_idle());
}

#[test]
fn a_wish_that_is_taken_back_while_it_is_asked_for_leaves_nothing_at_the_server() {
    let mut room = Room::with_server(19, 9, seconds(600));
    room.network = Network { delay: Duration::from_millis(400), ..Network::GOOD };
    let guest = room.join(by_server(), 4);
    let leased = |room: &Room| room.hosts[0].responder.in_use();
    room.run_until("granted at the server", |room| leased(room) == 4);
    room.with(guest, |client, now| client.wish(now, 0));
    let held = room.held(guest);
    held.iter().for_each(|address| assert!(room.with(guest, |client, now| client.release(now, *address))));
    room.run_for(seconds(20));
    assert_eq!(leased(&room), 0);
    assert!(room.guests[guest].client.is_idle());
}

/// A bad day for two clients: their seeds, the network's faults, a server that comes and goes.
fn bad_day(seed: u64, config: &Config, loss: f64) {
    let mut room = Room::with_server(seed, 5, seconds(45));
    room.network = Network { loss, duplication: 0.1, delay: Duration::from_millis(1500) };
    let guests = [room.join(config.clone(), 3), room.join(config.clone(), 3)];
    let mut dice = fastrand::Rng::with_seed(seed);
    for _ in 0..40 {
        // A server that forgets leases gives addresses twice, whatever its clients do: not that one.
        let mood = dice.choice([Mood::Serve, Mood::Serve, Mood::Silent, Mood::Refuse]);
        room.hosts[0].responder.set_mood(mood.expect("four of them"));
        if let Some(address) = room.held(guests[0]).first().copied().filter(|_| dice.bool()) {
            room.with(guests[0], |client, now| {
                client.release(now, address) && {
                    client.wish(now, 3);
                    true
                }
            });
        }
        room.run_for(Duration::from_secs_f64(dice.f64() * 60.0));
    }
    assert_eq!(room.double_holdings, [""; 0], "seed {seed}");
    // When the storm is over, five addresses are shared by two clients that wish for three each.
    room.network = Network::GOOD;
    room.hosts[0].responder.set_mood(Mood::Serve);
    room.run_for(seconds(400));
    let held: BTreeSet<_> = guests.iter().flat_map(|guest| room.held(*guest)).collect();
    assert_eq!(held.len(), 5, "seed {seed}");
    assert_eq!(room.double_holdings, [""; 0], "seed {seed}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_clients_never_hold_the_same_address(seed: u64, loss in 0.0..0.4) {
        bad_day(seed, &by_group(), loss);
        bad_day(seed, &by_server(), loss);
    }

    #[test]
    fn nonsense_harms_neither_side(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..30)) {
        let mut room = Room::with_server(20, 9, seconds(60));
        let guest = room.join(by_group(), 2);
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 9), 9);
        for (index, datagram) in datagrams.iter().enumerate() {
            // Half of them with a header that is let in.
            let header = [0, 1 + (index % 8) as u8, 0, 1, 0, 0, 0, 1];
            let bytes = if index % 2 == 0 { datagram.clone() } else { [&header[..], datagram].concat() };
            room.with(guest, |client, now| client.handle_datagram(now, from, &bytes));
            let now = room.now;
            room.hosts[0].responder.handle_datagram(now, from, &bytes);
        }
        room.run_for(seconds(5));
        prop_assert_eq!(room.held(guest).len(), 2);
        let counters = room.guests[guest].client.counters();
        prop_assert_eq!(counters.malformed + counters.unexpected, datagrams.len() as u64);
    }
}

#[test]
fn a_lease_without_end_fits_the_wire() {
    // 136 years are the wire's limit; more is asked for as that.
    let mut room = Room::with_server(21, 9, Time::MAX);
    let guest = room.join(Config { lease_time: Time::MAX, ..by_server() }, 1);
    room.run_for(seconds(1));
    assert!(room.lease(guest).expires > seconds(u64::from(u32::MAX)));
}
