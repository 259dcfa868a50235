//! Servers and places.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::bed::{Bed, run, server, silence};
use crate::site::tickets::{TicketAsk, Verdict};
use crate::site::{LeaseRow, Site};

fn group(last: u8) -> IpAddr {
    IpAddr::from([239, 1, 2, last])
}

async fn dead(site: &Site) -> Vec<String> {
    site.servers().await.unwrap().into_iter().filter(|seen| seen.dead).map(|seen| seen.row.id).collect()
}

pub(super) async fn a_silent_server_is_dead_and_only_that_one(bed: &Bed) {
    let site = bed.with_servers(&["a", "b"]).await;
    silence(&site, "a", 14).await;
    assert!(dead(&site).await.is_empty());
    silence(&site, "a", 2).await;
    let seen = site.servers().await.unwrap();
    assert_eq!(seen[0].row, server("a"));
    assert!(seen[0].dead && !seen[0].stopped && (16_000..20_000).contains(&seen[0].silent_ms), "{seen:?}");
    assert!(!seen[1].dead && seen[1].silent_ms < 4_000, "{seen:?}");
    assert!(site.beat("a").await.unwrap());
    assert!(dead(&site).await.is_empty());
}

pub(super) async fn nobody_dies_of_the_databases_own_absence(bed: &Bed) {
    let site = bed.with_servers(&["a", "b"]).await;
    assert!(site.take_place("a", group(1), 63000, "s", false).await.unwrap());
    let ask = TicketAsk { server: "a", image: "i", client: "c", host: "h", priority: 0, cap: Some(1) };
    assert_eq!(site.ask_ticket(ask).await.unwrap(), Verdict::Admitted);
    // For a minute nothing could be written.
    run(&site, "UPDATE servers SET beat_ms = beat_ms - 60000").await;
    run(&site, "UPDATE site SET beat_ms = beat_ms - 60000, since_ms = since_ms - 60000").await;
    let other = TicketAsk { server: "b", client: "d", ..ask };
    for back in [false, true] {
        if back {
            assert!(site.beat("b").await.unwrap());
        }
        assert!(dead(&site).await.is_empty(), "back: {back}");
        assert!(!site.take_place("b", group(1), 63000, "t", false).await.unwrap(), "back: {back}");
        assert!(matches!(site.ask_ticket(other).await.unwrap(), Verdict::Queued { .. }), "back: {back}");
    }
    // b was heard for long again, a was not.
    run(&site, "UPDATE site SET since_ms = since_ms - 16000").await;
    assert_eq!(dead(&site).await, ["a"]);
    assert!(site.take_place("b", group(1), 63000, "t", false).await.unwrap());
    assert_eq!(site.ask_ticket(other).await.unwrap(), Verdict::Admitted);
}

pub(super) async fn a_server_that_left_leaves_nothing_behind(bed: &Bed) {
    let site = bed.with_servers(&["a", "b"]).await;
    assert!(site.take_place("a", group(1), 63000, "s", false).await.unwrap());
    site.retire_server("a").await.unwrap();
    assert_eq!(dead(&site).await, ["a"]);
    assert!(site.places().await.unwrap().is_empty());
    assert!(!site.beat("a").await.unwrap(), "it must register again");
    site.register_server(&server("a")).await.unwrap();
    assert!(dead(&site).await.is_empty());
}

pub(super) async fn a_server_that_the_site_forgot_is_told_so(bed: &Bed) {
    let site = bed.with_servers(&["a"]).await;
    assert!(site.beat("a").await.unwrap());
    assert!(!site.beat("b").await.unwrap());
}

pub(super) async fn an_address_is_taken_once(bed: &Bed) {
    let site = bed.with_servers(&["a", "b"]).await;
    assert!(site.take_place("a", group(1), 63000, "s", false).await.unwrap());
    assert!(site.take_place("a", group(1), 63000, "s", false).await.unwrap(), "it has it");
    assert!(!site.take_place("a", group(1), 63000, "t", false).await.unwrap());
    assert!(!site.take_place("b", group(1), 63001, "u", false).await.unwrap());
    assert!(!site.take_place("b", group(1), 63001, "u", true).await.unwrap(), "the other one does not share");
    site.free_place("b", group(1), 63000).await.unwrap();
    assert_eq!(site.places().await.unwrap().len(), 1, "not b's to give back");
    silence(&site, "a", 20).await;
    assert!(site.places().await.unwrap().is_empty());
    assert!(site.take_place("b", group(1), 63001, "u", false).await.unwrap(), "a is dead");
    assert!(site.beat("a").await.unwrap());
    assert!(!site.take_place("a", group(1), 63000, "s", false).await.unwrap(), "a learns that it was taken");
    site.free_places_of("b").await.unwrap();
    assert!(site.take_place("a", group(1), 63000, "s", false).await.unwrap());
}

pub(super) async fn one_address_is_shared_by_ports(bed: &Bed) {
    let site = bed.with_servers(&["a", "b"]).await;
    assert!(site.take_place("a", group(1), 63000, "s", true).await.unwrap());
    assert!(!site.take_place("b", group(1), 63000, "t", true).await.unwrap());
    assert!(site.take_place("b", group(1), 63001, "t", true).await.unwrap());
    assert!(!site.take_place("b", group(1), 63002, "u", false).await.unwrap(), "not alone there");
    let places = site.places().await.unwrap();
    assert_eq!(
        places.iter().map(|place| (place.port, place.server.as_str())).collect::<Vec<_>>(),
        [(63000, "a"), (63001, "b")]
    );
}

pub(super) async fn two_servers_never_take_the_same_place(bed: &Bed) {
    let (one, two) = (bed.with_servers(&["a", "b"]).await, bed.open().await);
    let takes = |site: Site, server: &'static str| {
        tokio::spawn(async move {
            let mut taken = BTreeSet::new();
            // Both try the same addresses, from the lowest on.
            let mut addresses = 1..=250;
            for session in 0..100 {
                let session = format!("{server}{session}");
                for last in addresses.by_ref() {
                    if site.take_place(server, group(last), 63000, &session, false).await.unwrap() {
                        taken.insert(last);
                        break;
                    }
                }
            }
            taken
        })
    };
    let (first, second) = (takes(one.clone(), "a"), takes(two, "b"));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.len(), second.len()), (100, 100));
    assert!(first.is_disjoint(&second));
    assert_eq!(one.places().await.unwrap().len(), 200);
}

pub(super) async fn leases_are_kept(bed: &Bed) {
    let site = bed.with_servers(&["a", "b"]).await;
    let lease = |last, expires_ms| LeaseRow {
        address: group(last),
        lease_id: "00aa".into(),
        dhcp_server: "192.0.2.9".into(),
        expires_ms,
    };
    site.put_lease("a", &lease(1, 1000)).await.unwrap();
    site.put_lease("a", &lease(2, 1000)).await.unwrap();
    site.put_lease("a", &lease(1, 5000)).await.unwrap();
    site.delete_lease("a", group(2)).await.unwrap();
    assert_eq!(site.leases("a").await.unwrap(), [lease(1, 5000)]);
    assert!(site.leases("b").await.unwrap().is_empty());
}
