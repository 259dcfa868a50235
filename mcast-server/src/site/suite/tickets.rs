//! Who is served, and who waits.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::bed::{Bed, run, silence};
use crate::site::{Served, ServedClient, Site, TicketAsk, Verdict};

const ASK: TicketAsk<'static> =
    TicketAsk { server: "a", image: "win11", client: "", host: "pc", priority: 0, cap: Some(2) };

async fn ask(site: &Site, client: &str) -> Verdict {
    site.ask_ticket(TicketAsk { client, ..ASK }).await.unwrap()
}

fn queued(place: u32, waiting: u32, admitted: u32) -> Verdict {
    Verdict::Queued { place, waiting, admitted }
}

pub(super) async fn the_cap_holds_over_servers(bed: &Bed) {
    let (site, other) = (bed.with_servers(&["a", "b"]).await, bed.open().await);
    assert_eq!(ask(&site, "1").await, Verdict::Admitted);
    assert_eq!(other.ask_ticket(TicketAsk { server: "b", client: "2", ..ASK }).await.unwrap(), Verdict::Admitted);
    assert_eq!(ask(&other, "3").await, queued(1, 1, 2));
    assert_eq!(ask(&site, "4").await, queued(2, 2, 2));
    assert_eq!(ask(&site, "3").await, queued(1, 2, 2), "it asks again");
    assert_eq!(ask(&site, "1").await, Verdict::Admitted, "it is already");
    let image = "linux";
    assert_eq!(site.ask_ticket(TicketAsk { image, client: "1", ..ASK }).await.unwrap(), queued(3, 3, 2));
    assert_eq!(site.ticket_count().await.unwrap(), 2);
    site.free_ticket("win11", "2").await.unwrap();
    assert_eq!(ask(&site, "4").await, queued(2, 3, 1), "the free place is kept for 3");
    assert_eq!(ask(&site, "3").await, Verdict::Admitted);
    assert_eq!(site.ask_ticket(TicketAsk { client: "9", cap: None, ..ASK }).await.unwrap(), Verdict::Admitted);
    let queue = site.queue().await.unwrap();
    let clients: Vec<_> = queue.iter().map(|ticket| (ticket.client.as_str(), ticket.admitted)).collect();
    assert_eq!(clients, [("1", true), ("3", true), ("9", true), ("4", false), ("1", false)]);
    site.free_tickets_of("a").await.unwrap();
    assert!(site.queue().await.unwrap().is_empty());
}

pub(super) async fn a_higher_priority_goes_first(bed: &Bed) {
    let site = bed.with_servers(&["a"]).await;
    for client in ["1", "2", "3", "4"] {
        ask(&site, client).await;
    }
    let urgent = TicketAsk { client: "5", priority: 10, ..ASK };
    assert_eq!(site.ask_ticket(urgent).await.unwrap(), queued(1, 3, 2));
    assert_eq!(ask(&site, "3").await, queued(2, 3, 2));
    site.free_ticket("win11", "1").await.unwrap();
    assert_eq!(ask(&site, "3").await, queued(2, 3, 1));
    assert_eq!(site.ask_ticket(urgent).await.unwrap(), Verdict::Admitted);
}

pub(super) async fn who_stops_asking_loses_its_place(bed: &Bed) {
    let site = bed.with_servers(&["a"]).await;
    for client in ["1", "2", "3", "4"] {
        ask(&site, client).await;
    }
    run(&site, "UPDATE tickets SET asked_ms = asked_ms - 11000 WHERE client IN ('2', '3')").await;
    assert_eq!(site.queue().await.unwrap().len(), 3);
    assert_eq!(ask(&site, "3").await, queued(2, 2, 2), "it comes after 4 now");
    assert_eq!(ask(&site, "2").await, Verdict::Admitted, "who is served need not ask");
}

pub(super) async fn a_dead_servers_tickets_are_void(bed: &Bed) {
    let site = bed.with_servers(&["a", "b"]).await;
    assert_eq!(ask(&site, "1").await, Verdict::Admitted);
    assert_eq!(ask(&site, "2").await, Verdict::Admitted);
    let third = TicketAsk { server: "b", client: "3", ..ASK };
    assert_eq!(site.ask_ticket(third).await.unwrap(), queued(1, 1, 2));
    silence(&site, "a", 20).await;
    assert_eq!(site.ticket_count().await.unwrap(), 0);
    assert_eq!(site.ask_ticket(third).await.unwrap(), Verdict::Admitted);
    assert_eq!(site.ticket_count().await.unwrap(), 1);
}

pub(super) async fn what_was_asked_for_after_it_was_freed_stays(bed: &Bed) {
    let site = bed.with_servers(&["a"]).await;
    ask(&site, "1").await;
    site.free_ticket_after("win11", "1", Duration::from_secs(5)).await.unwrap();
    assert_eq!(site.ticket_count().await.unwrap(), 1);
    run(&site, "UPDATE tickets SET asked_ms = asked_ms - 6000").await;
    site.free_ticket_after("win11", "1", Duration::from_secs(5)).await.unwrap();
    assert_eq!(site.ticket_count().await.unwrap(), 0);
}

/// What a server knows that serves these clients, and is asked by those.
fn served(admitted: &[&str], asking: &[&str]) -> Served {
    let client = |client: &&str| {
        let (image, host) = ("win11".to_owned(), "pc".to_owned());
        ServedClient { image, client: (*client).to_owned(), host, priority: 0 }
    };
    let asking: HashSet<_> = asking.iter().map(|client| ("win11".to_owned(), (*client).to_owned())).collect();
    Served { as_of: Instant::now(), admitted: admitted.iter().map(client).collect(), asking }
}

/// Lets all that was asked for have been asked some seconds ago.
async fn age(site: &Site) {
    run(site, "UPDATE tickets SET asked_ms = asked_ms - 5000").await;
}

pub(super) async fn tickets_become_those_of_the_clients_that_are_served(bed: &Bed) {
    let site = bed.with_servers(&["a", "b"]).await;
    let at_b = |client| TicketAsk { server: "b", client, ..ASK };
    ask(&site, "nobody's").await;
    site.ask_ticket(at_b("b's")).await.unwrap();
    let answer_lost = TicketAsk { client: "answer lost", cap: None, ..ASK };
    assert_eq!(site.ask_ticket(answer_lost).await.unwrap(), Verdict::Admitted);
    for client in ["served since", "waits"] {
        assert!(matches!(ask(&site, client).await, Verdict::Queued { .. }));
    }
    site.ask_ticket(at_b("waits at b")).await.unwrap();
    site.ask_ticket(at_b("went to b")).await.unwrap();
    age(&site).await;
    let now = served(&["new", "served since", "went to b"], &["answer lost", "waits"]);
    site.reconcile_tickets("a", &now).await.unwrap();
    let mut queue: Vec<_> = site.queue().await.unwrap();
    queue.sort_by(|a, b| a.client.cmp(&b.client));
    let tickets: Vec<_> = queue.iter().map(|row| (row.client.as_str(), row.server.as_str(), row.admitted)).collect();
    let expected = [
        ("answer lost", "a", true),
        ("b's", "b", true),
        ("new", "a", true),
        ("served since", "a", true),
        ("waits", "a", false),
        ("waits at b", "b", false),
        ("went to b", "b", false),
    ];
    assert_eq!(tickets, expected);
    assert_eq!(ask(&site, "waits").await, queued(1, 3, 4));
}

pub(super) async fn what_was_asked_for_after_the_look_is_not_set_right(bed: &Bed) {
    let site = bed.with_servers(&["a"]).await;
    let nobody = served(&[], &[]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(ask(&site, "1").await, Verdict::Admitted);
    site.reconcile_tickets("a", &nobody).await.unwrap();
    assert_eq!(site.ticket_count().await.unwrap(), 1, "whoever looked could not know of it");
    age(&site).await;
    site.reconcile_tickets("a", &served(&[], &[])).await.unwrap();
    assert_eq!(site.ticket_count().await.unwrap(), 0);
}

pub(super) async fn who_was_served_without_a_ticket_counts_against_the_cap(bed: &Bed) {
    let site = bed.with_servers(&["a"]).await;
    let names: Vec<String> = (0..250).map(|n| n.to_string()).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(site.reconcile_tickets("a", &served(&all, &[])).await.unwrap(), 250);
    assert_eq!(site.reconcile_tickets("a", &served(&all, &[])).await.unwrap(), 0, "now they have one");
    assert_eq!(ask(&site, "late").await, queued(1, 1, 250));
    site.free_ticket("win11", "7").await.unwrap();
    assert_eq!(site.ticket_count().await.unwrap(), 249, "what was asserted can be given back at once");
}

pub(super) async fn fifty_clients_at_two_servers_are_served_in_their_order(bed: &Bed) {
    let sites = [bed.with_servers(&["a", "b"]).await, bed.open().await];
    let all: Vec<String> = (0..50).map(|n| format!("client {n}")).collect();
    let admitted = ask_all(&sites, &all).await;
    assert_eq!(admitted.len(), 10);
    let queue: Vec<String> = waiting(&sites[0]).await;
    assert_eq!(queue.len(), 40);
    let mut served = admitted;
    for round in 0..queue.len() {
        // One is done: whoever asks and in whatever order, the next in the queue is served, and it alone.
        sites[round % 2].free_ticket("win11", &served[round]).await.unwrap();
        let mut asking = queue[round..].to_vec();
        fastrand::Rng::with_seed(round as u64).shuffle(&mut asking);
        let admitted = ask_all(&sites, &asking).await;
        assert_eq!(admitted, [queue[round].clone()], "round {round}");
        assert_eq!(sites[0].ticket_count().await.unwrap(), 10);
        served.extend(admitted);
    }
    served.sort();
    served.dedup();
    assert_eq!(served.len(), 50);
}

async fn waiting(site: &Site) -> Vec<String> {
    site.queue().await.unwrap().into_iter().filter(|ticket| !ticket.admitted).map(|ticket| ticket.client).collect()
}

/// Lets all of them ask at once, at both servers; gives those who are served.
async fn ask_all(sites: &[Site; 2], clients: &[String]) -> Vec<String> {
    let mut asks = JoinSet::new();
    for (number, client) in clients.iter().cloned().enumerate() {
        let (site, server) = (sites[number % 2].clone(), ["a", "b"][number % 2]);
        asks.spawn(async move {
            let ask = TicketAsk { server, client: &client, cap: Some(10), ..ASK };
            (site.ask_ticket(ask).await.unwrap() == Verdict::Admitted).then_some(client)
        });
    }
    asks.join_all().await.into_iter().flatten().collect()
}
