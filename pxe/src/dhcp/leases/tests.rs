use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NOW: Time = Duration::from_secs(1_000);
const NOTHING: Blocked<'static> = &|_| false;

fn address(last: u8) -> Ipv4Addr {
    [10, 0, 0, last].into()
}

/// A pool of `count` addresses from 10.0.0.100 on.
fn leases(count: u8) -> Leases {
    let network = "10.0.0.0/24".parse().unwrap();
    Leases::new(&[Pool::new(network, address(100), address(99 + count))])
}

fn card(number: u8) -> (ClientId, Mac) {
    let mac = Mac([2, 0, 0, 0, 0, number]);
    (ClientId::Card(mac), mac)
}

fn wish((client, mac): &(ClientId, Mac)) -> Wish<'_> {
    Wish { client, mac: *mac, reserved: None, requested: None, may_evict: true, may_keep: &|_| true }
}

impl Leases {
    fn offer_to(&mut self, now: Time, number: u8) -> Option<Ipv4Addr> {
        self.offer(now, 0, &wish(&card(number)), NOTHING)
    }

    fn lease_to(&mut self, now: Time, number: u8) -> Ipv4Addr {
        let address = self.offer_to(now, number).unwrap();
        assert!(self.grant(now, 0, &wish(&card(number)), address, NOTHING));
        address
    }
}

#[test]
fn a_client_is_offered_the_same_address_again() {
    let mut leases = leases(50);
    let first = leases.offer_to(NOW, 1);
    assert!(first.is_some());
    assert_eq!(leases.offer_to(NOW + OFFER_HOLD * 3, 1), first);
}

#[test]
fn a_full_pool_has_nothing_to_offer_until_an_offer_is_old() {
    let mut leases = leases(2);
    assert!(leases.offer_to(NOW, 1).is_some() && leases.offer_to(NOW, 2).is_some());
    assert_eq!(leases.offer_to(NOW, 3), None);
    assert!(leases.offer_to(NOW + OFFER_GRACE, 3).is_some());
}

#[test]
fn what_an_operator_takes_back_somebody_else_can_have() {
    let mut leases = leases(1);
    let address = leases.lease_to(NOW, 1);
    while leases.poll_change().is_some() {}
    assert!(leases.withdraw(address) && !leases.withdraw(address));
    let change = leases.poll_change();
    assert!(matches!(change, Some(LeaseChange::Ended { why: End::Withdrawn, .. })), "{change:?}");
    assert_eq!((leases.poll_change(), leases.next_expiry()), (None, None));
    assert_eq!(leases.lease_to(NOW, 2), address);
}

#[test]
fn a_lease_never_gives_way() {
    let mut leases = leases(1);
    leases.lease_to(NOW, 1);
    assert_eq!(leases.offer_to(NOW + OFFER_GRACE * 2, 2), None);
    leases.expire(NOW + Duration::from_secs(3600));
    assert!(leases.offer_to(NOW + Duration::from_secs(3600), 2).is_some());
}

#[test]
fn a_reserved_address_goes_before_the_one_that_a_client_has() {
    let mut leases = leases(50);
    let old = leases.lease_to(NOW, 1);
    let client = card(1);
    let wish = Wish { reserved: Some(address(7)), ..wish(&client) };
    assert_eq!(leases.offer(NOW, 0, &wish, NOTHING), Some(address(7)));
    assert!(!leases.is_held(old));
}

#[test]
fn a_reserved_address_that_somebody_has_is_not_taken_away() {
    let mut leases = leases(1);
    leases.lease_to(NOW, 1);
    let client = card(2);
    let wish = Wish { reserved: Some(address(100)), ..wish(&client) };
    assert_eq!(leases.offer(NOW, 0, &wish, NOTHING), None);
    assert!(!leases.grant(NOW, 0, &wish, address(100), NOTHING));
}

#[test]
fn a_reserved_address_follows_the_card_from_one_identifier_to_the_next() {
    let mut leases = leases(9);
    let (_, mac) = card(1);
    for client in [ClientId::Card(mac), ClientId::Other(mac, vec![255, 1])] {
        let id = (client, mac);
        let wish = Wish { reserved: Some(address(7)), ..wish(&id) };
        assert_eq!(leases.offer(NOW, 0, &wish, NOTHING), Some(address(7)));
        assert!(leases.grant(NOW, 0, &wish, address(7), NOTHING));
    }
    assert_eq!(leases.leases().count(), 1);
}

#[test]
fn what_may_not_stay_its_own_is_neither_offered_nor_granted_again() {
    let mut leases = leases(2);
    let old = leases.lease_to(NOW, 1);
    let id = card(1);
    let wish = Wish { may_keep: &|_| false, ..wish(&id) };
    assert!(!leases.grant(NOW, 0, &wish, old, &|address| address == old));
    assert_eq!(leases.leases().count(), 1, "it may not have heard the no");
    let new = leases.offer(NOW, 0, &wish, &|address| address == old).unwrap();
    assert!(new != old && leases.leases().count() == 0);
}

#[test]
fn blocked_addresses_are_passed_over() {
    let mut leases = leases(3);
    let blocked = |other: Ipv4Addr| other != address(101);
    assert_eq!(leases.offer(NOW, 0, &wish(&card(1)), &blocked), Some(address(101)));
    assert_eq!(leases.offer(NOW, 0, &wish(&card(2)), &blocked), None);
}

#[test]
fn a_declined_address_is_set_aside_and_comes_back() {
    let mut leases = leases(1);
    let address = leases.lease_to(NOW, 1);
    assert!(!leases.decline(NOW, &card(2).0, address), "only its client may");
    assert!(leases.decline(NOW, &card(1).0, address));
    assert_eq!(leases.offer_to(NOW, 1), None);
    leases.expire(NOW + DECLINE_HOLD);
    assert_eq!(leases.offer_to(NOW + DECLINE_HOLD, 1), Some(address));
}

#[test]
fn changes_tell_what_is_to_be_kept() {
    let mut leases = leases(9);
    let address = leases.lease_to(NOW, 1);
    let Some(LeaseChange::Granted(lease)) = leases.poll_change() else { panic!("a lease") };
    assert_eq!((lease.address, lease.until), (address, NOW + Duration::from_secs(3600)));
    leases.release(&card(1).0, address);
    assert_eq!(leases.poll_change(), Some(LeaseChange::Ended { lease, why: End::Released }));
    leases.offer_to(NOW, 1);
    leases.expire(NOW + OFFER_HOLD);
    assert_eq!(leases.poll_change(), None, "offers are not kept");
}

#[test]
fn what_was_kept_is_taken_over_if_it_still_holds() {
    let mut old = leases(9);
    let address = old.lease_to(NOW, 1);
    let lease = old.leases().next().unwrap();
    let mut new = leases(9);
    assert!(!new.load(lease.until, lease.clone()), "it is over");
    assert!(!new.load(NOW, Lease { address: [10, 9, 9, 9].into(), ..lease.clone() }), "no network of ours");
    assert!(new.load(NOW, lease.clone()));
    assert!(!new.load(NOW, Lease { client: card(2).0, ..lease }), "the address is taken");
    assert_eq!(new.lease_of(0, &card(1).0), Some(address));
}

#[derive(Debug, Clone)]
enum Step {
    Offer(u8, Option<u8>),
    Grant(u8, u8),
    Drop(u8),
    Release(u8, u8),
    Decline(u8, u8),
    Wait(u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    let client = 0..12u8;
    let address = 95..110u8;
    prop_oneof![
        (client.clone(), proptest::option::of(address.clone())).prop_map(|(who, what)| Step::Offer(who, what)),
        (client.clone(), address.clone()).prop_map(|(who, what)| Step::Grant(who, what)),
        client.clone().prop_map(Step::Drop),
        (client.clone(), address.clone()).prop_map(|(who, what)| Step::Release(who, what)),
        (client, address).prop_map(|(who, what)| Step::Decline(who, what)),
        (0..2000u16).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Kept is what a database would hold: an address in it is one client's, and a client's only one.
    #[test]
    fn an_address_is_never_two_clients(steps in vec(any_step(), 1..200)) {
        let mut leases = leases(8);
        let mut kept: BTreeMap<Ipv4Addr, Lease> = BTreeMap::new();
        let mut now = NOW;
        for step in steps {
            match step {
                Step::Offer(who, requested) => {
                    let client = card(who);
                    let wish = Wish { requested: requested.map(address), ..wish(&client) };
                    let offered = leases.offer(now, 0, &wish, NOTHING);
                    if let Some(other) = offered.and_then(|offered| kept.get(&offered)) {
                        prop_assert_eq!(&other.client, &client.0);
                    }
                }
                Step::Grant(who, what) => _ = leases.grant(now, 0, &wish(&card(who)), address(what), NOTHING),
                Step::Drop(who) => leases.drop_offer(0, &card(who).0),
                Step::Release(who, what) => _ = leases.release(&card(who).0, address(what)),
                Step::Decline(who, what) => _ = leases.decline(now, &card(who).0, address(what)),
                Step::Wait(seconds) => {
                    now += Duration::from_secs(u64::from(seconds));
                    leases.expire(now);
                }
            }
            while let Some(change) = leases.poll_change() {
                match change {
                    LeaseChange::Granted(lease) => {
                        if let Some(before) = kept.insert(lease.address, lease.clone()) {
                            prop_assert_eq!(before.client, lease.client);
                        }
                    }
                    LeaseChange::Ended { lease, .. } => prop_assert_eq!(kept.remove(&lease.address), Some(lease)),
                }
            }
            prop_assert!(kept.values().all(|lease| lease.until > now));
            prop_assert_eq!(leases.leases().collect::<Vec<_>>(), kept.values().cloned().collect::<Vec<_>>());
            prop_assert!(leases.held.len() <= 8 && leases.due.len() == leases.held.len());
            prop_assert_eq!(leases.rooms[0].used as usize, leases.held.len());
        }
    }
}
