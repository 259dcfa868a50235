//! What happened to machines, and which addresses they have.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use pxe::boot::{BootNote, Stage};
use pxe::dhcp::{ClientId, Lease, Network, Pool};
use pxe::machine::{Machine, Platform};

use super::bed::{Bed, run};
use super::pxe::{computer, mac};
use crate::site::{BOOTS_KEPT, BootFilter, BootRow, ComputerRow, PxeLeaseRow, Site};

fn note(last: u8, text: &str, refused: bool) -> BootRow {
    let machine = Machine { platform: Some(Platform::UefiX64), ..Machine::new(mac(last)) };
    let address = Some([10, 0, 0, last].into());
    let note = BootNote { machine, address, stage: Stage::Dhcp, deployment: None, text: text.into(), refused };
    BootRow::new(SystemTime::now(), &note)
}

async fn texts(site: &Site, filter: BootFilter) -> Vec<String> {
    site.boots(&filter).await.unwrap().into_iter().map(|seen| seen.row.text).collect()
}

pub(super) async fn what_happened_is_read_from_its_end(bed: &Bed) {
    let (site, other) = (bed.with_servers(&["a"]).await, bed.open().await);
    site.add_computer(&computer("pc-1", 1)).await.unwrap();
    let first: Vec<_> = (0..60).map(|n| note(1, &format!("n{n}\0"), false)).collect();
    site.put_boots("a", &first).await.unwrap();
    other.put_boots("b", &[note(2, "unknown", true), note(1, "last", false)]).await.unwrap();
    site.put_boots("a", &[]).await.unwrap();
    let all = BootFilter { limit: 2, ..BootFilter::default() };
    let seen = site.boots(&all).await.unwrap();
    assert_eq!(seen[0].row, BootRow { at_ms: seen[0].row.at_ms, ..note(1, "last", false) });
    assert_eq!((seen[0].server_name.as_str(), seen[0].computer.as_deref()), ("b", Some("pc-1")));
    assert_eq!((seen[1].row.refused, &seen[1].computer), (true, &None));
    let before = BootFilter { before: Some(seen[1].id), ..all.clone() };
    assert_eq!(texts(&site, before).await, ["n59\u{fffd}", "n58\u{fffd}"]);
    assert_eq!(texts(&site, BootFilter { refused: true, limit: 9, ..all.clone() }).await, ["unknown"]);
    assert_eq!(texts(&site, BootFilter { mac: Some(mac(2)), ..all }).await, ["unknown"]);
    assert_eq!(
        site.boots(&BootFilter { limit: 99, ..BootFilter::default() }).await.unwrap()[5].server_name,
        "server a"
    );
}

pub(super) async fn what_happened_is_kept_in_bounds(bed: &Bed) {
    let site = bed.open().await;
    site.put_boots("a", &[note(1, "old", false), note(1, "young", false)]).await.unwrap();
    run(&site, &format!("UPDATE pxe_boots SET turn = {} WHERE message = 'young'", BOOTS_KEPT - 2)).await;
    let long = "ü".repeat(1000);
    site.put_boots("a", &[note(1, &long, false), note(1, "new", false)]).await.unwrap();
    let kept = texts(&site, BootFilter { limit: 9, ..BootFilter::default() }).await;
    assert_eq!(kept, ["new", &long[..500], "young", "old"]);
    site.put_boots("a", &[note(1, "newer", false)]).await.unwrap();
    assert_eq!(texts(&site, BootFilter { limit: 9, ..BootFilter::default() }).await.last().unwrap(), "young");
    run(&site, "UPDATE pxe_boots SET at_ms = at_ms - 172800000 WHERE message = 'young'").await;
    assert_eq!(site.prune_pxe(1).await.unwrap(), 1);
    assert_eq!(texts(&site, BootFilter { limit: 9, ..BootFilter::default() }).await.len(), 3);
}

pub(super) async fn leases_outlive_their_server(bed: &Bed) {
    let (site, other) = (bed.with_servers(&["a"]).await, bed.open().await);
    let network: Network = "10.0.0.0/24".parse().unwrap();
    let elsewhere: Network = "10.1.0.0/24".parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let lease = |last: u8, client, seconds| {
        let until = Duration::from_secs(now.as_secs() + seconds);
        Lease { address: [10, 0, 0, last].into(), client, mac: mac(last), until }
    };
    let (nine, ten) =
        (lease(9, ClientId::Card(mac(9)), 600), lease(10, ClientId::Other(mac(10), vec![0xff, 0, 7]), 600));
    let over = lease(11, ClientId::Card(mac(11)), 0);
    site.add_computer(&computer("pc-9", 9)).await.unwrap();
    let rows = [&ten, &nine, &over].map(|lease| PxeLeaseRow::new(network, lease));
    site.put_pxe_leases("a", &rows).await.unwrap();
    let far = Lease { address: [10, 1, 0, 9].into(), ..nine.clone() };
    site.put_pxe_leases("gone", &[PxeLeaseRow::new(elsewhere, &far)]).await.unwrap();
    let seen = other.pxe_leases().await.unwrap();
    let addresses: Vec<Ipv4Addr> = seen.iter().map(|seen| seen.row.address).collect();
    assert_eq!(addresses, [nine.address, ten.address, far.address], "in order, without what is over");
    assert_eq!((seen[0].server_name.as_str(), seen[0].computer.as_deref()), ("server a", Some("pc-9")));
    assert_eq!(seen[2].server_name, "gone");

    let longer = Lease { until: nine.until + Duration::from_secs(60), ..nine.clone() };
    site.put_pxe_leases("a", &[PxeLeaseRow::new(network, &longer)]).await.unwrap();
    site.delete_pxe_leases(Some("a"), &[(network, ten.address), (elsewhere, nine.address)]).await.unwrap();
    let pool = |last: u8| Pool::new(network, [10, 0, 0, 100].into(), [10, 0, 0, last].into());
    assert_eq!(other.take_pxe_leases("a", &[pool(150)]).await.unwrap(), [longer.clone(), over.clone()]);
    assert_eq!(other.take_pxe_leases("b", &[pool(150)]).await.unwrap(), [], "another server's");

    let kept = Lease { address: [10, 0, 0, 200].into(), ..ten.clone() };
    site.put_pxe_leases("a", &[PxeLeaseRow::new(network, &kept)]).await.unwrap();
    let kept_for = ComputerRow { address: Some(kept.address), ..computer("pc-10", 10) };
    site.add_computer(&kept_for).await.unwrap();
    assert_eq!(other.take_pxe_leases("b", &[pool(150)]).await.unwrap(), [kept], "its address is kept for it anywhere");
    site.delete_pxe_leases(Some("a"), &[(network, [10, 0, 0, 200].into())]).await.unwrap();

    // Its successor, which gives of a network that was made larger.
    let large: Network = "10.0.0.0/23".parse().unwrap();
    let heir = Pool::new(large, [10, 0, 0, 1].into(), [10, 0, 1, 250].into());
    assert_eq!(other.take_pxe_leases("b", std::slice::from_ref(&heir)).await.unwrap(), [longer.clone(), over]);
    let gone = [(network, nine.address), (large, nine.address)];
    site.delete_pxe_leases(Some("a"), &gone).await.unwrap();
    assert_eq!(site.pxe_leases().await.unwrap()[0].row.network, large, "it is the successor's now");
    site.delete_pxe_leases(None, &gone).await.unwrap();
    assert!(site.pxe_leases().await.unwrap().iter().all(|seen| seen.row.network == elsewhere));
}
