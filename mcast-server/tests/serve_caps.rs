//! More clients than may be served: the queue, its order, and the other way out of it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use multicast_core::engine::ClientEvent;
use multicast_core::types::ClientId;
use multicast_core::wire::{Join, Packet, RefuseReason};
use nix::sys::signal::Signal;

use support::database::Database;
use support::point::{Point, Site, until};

fn queue(point: &Point) -> Vec<String> {
    let rows = point.get("/api/v1/queue").json();
    rows.as_array().unwrap().iter().map(|row| row["host"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_one_too_many_hears_its_place_and_is_served_when_one_is_free() {
    let mut site = Site::new();
    site.set("clients.max", "2").table("[[image]]\nfile = \"a.img\"\nstart.on_command = true\n");
    let content = site.image("a.img", 1 << 20, 1);
    let point = site.start();
    let served = [site.client("a.img", 1), site.client("a.img", 2)];
    served.iter().for_each(|guest| _ = guest.joined());
    let third = site.client("a.img", 3);
    let told = third.event(|event| matches!(event, ClientEvent::Refused { reason: RefuseReason::Full, .. }));
    let ClientEvent::Refused { text, .. } = &told else { unreachable!() };
    assert!(text.contains("full: 2 of 2 clients are served; this one is number 1 of 1 that wait"), "{text}");
    assert_eq!(serde_json::to_value(&told).unwrap()["reason"], "full");
    let fourth = site.client("a.img", 4);
    assert!(fourth.refused("full").contains("number 2 of 2"));
    assert_eq!(queue(&point), ["pc-3", "pc-4"]);

    let session = point.session("a.img", |session| session["active"] == 2);
    assert_eq!(point.command(session["id"].as_str().unwrap(), "start").0, 200);
    let begun = Instant::now();
    served.into_iter().for_each(|guest| guest.check(&content));
    third.check(&content);
    fourth.check(&content);
    assert!(begun.elapsed() < Duration::from_secs(8), "places are handed on within seconds: {:?}", begun.elapsed());
    assert!(queue(&point).is_empty());
    let metrics = point.get("/metrics").text();
    assert!(metrics.contains("mcast_clients_waiting 0\n"), "{metrics}");
}

#[test]
fn an_urgent_image_goes_before_what_waits_longer() {
    let mut site = Site::new();
    site.set("clients.max", "1").table("[[image]]\nfile = \"held.img\"\nstart.on_command = true\n");
    site.table("[[image]]\nfile = \"urgent.img\"\npriority = 9\n")
        .table("[[image]]\nfile = \"later.img\"\npriority = 1\n");
    let (urgent, later) = (site.image("urgent.img", 1 << 20, 1), site.image("later.img", 1 << 20, 2));
    let held = site.image("held.img", 1 << 20, 3);
    let point = site.start();
    let first = site.client("held.img", 1);
    first.joined();
    let second = site.client("later.img", 2);
    second.refused("number 1 of 1");
    let third = site.client("urgent.img", 3);
    third.refused("number 1 of 2");
    assert_eq!(queue(&point), ["pc-3", "pc-2"]);
    let session = point.session("held.img", |_| true);
    assert_eq!(point.command(session["id"].as_str().unwrap(), "start").0, 200);
    first.check(&held);
    third.check(&urgent);
    second.check(&later);
    let history = until("the history of all three", || {
        let rows = point.get("/api/v1/history").json().as_array().unwrap().clone();
        (rows.iter().filter(|row| row["state"] == "complete").count() == 3).then_some(rows)
    });
    let done = |host: &str| history.iter().find(|row| row["host"] == host).unwrap()["joined_ms"].as_i64().unwrap();
    assert!(done("pc-3") <= done("pc-2"), "{history:?}");
}

#[test]
fn when_full_it_may_send_to_unicast_unless_the_image_is_for_multicast_only() {
    let mut site = Site::new();
    site.set("clients.max", "1").set("clients.when_full", "\"unicast\"");
    site.table("[[image]]\nfile = \"a.img\"\nstart.on_command = true\n");
    site.table("[[image]]\nfile = \"only.img\"\nmulticast = \"only\"\n");
    let content = site.image("a.img", 1 << 20, 1);
    let only = site.image("only.img", 1 << 20, 2);
    let point = site.start();
    let first = site.client("a.img", 1);
    first.joined();
    let told = site.client("a.img", 2).fails();
    assert!(told.contains("take it by unicast: full: 1 of 1 clients are served"), "{told}");
    let third = site.client("only.img", 3);
    third.refused("full: 1 of 1");
    let session = point.session("a.img", |session| session["active"] == 1);
    assert_eq!(point.command(session["id"].as_str().unwrap(), "start").0, 200);
    first.check(&content);
    third.check(&only);
}

#[test]
fn a_reload_raises_the_cap_for_those_who_wait() {
    let mut site = Site::new();
    site.set("clients.max", "1").table("[[image]]\nfile = \"a.img\"\nstart.clients = 2\n");
    let content = site.image("a.img", 1 << 20, 1);
    let point = site.start();
    let first = site.client("a.img", 1);
    first.joined();
    let second = site.client("a.img", 2);
    second.refused("full");
    site.set("clients.max", "2");
    site.write_config();
    point.signal(Signal::SIGHUP);
    point.log.wait("applied: clients.max: 1 → 2 (at once)");
    first.check(&content);
    second.check(&content);
}

/// Clients that join by hand, without ever reporting.
struct Crowd {
    socket: UdpSocket,
    clients: Vec<(u64, &'static str)>,
    offered: BTreeSet<u64>,
}

impl Crowd {
    fn of(point: &Point, clients: Vec<(u64, &'static str)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(point.control).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Self { socket, clients, offered: BTreeSet::new() }
    }

    /// Those without an offer ask again; then hears what comes.
    fn ask(&mut self) {
        for (client, image) in self.clients.iter().filter(|(client, _)| !self.offered.contains(client)) {
            let (mut datagram, host) = (Vec::new(), format!("pc-{client}"));
            Join { client: ClientId(*client), image, host: &host, credential: &[] }.encode(&mut datagram);
            self.socket.send(&datagram).unwrap();
        }
        let mut buffer = [0; 2048];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            if let Ok(Packet::Offer(offer)) = Packet::decode(&buffer[..len]) {
                self.offered.insert(offer.client.0);
            }
        }
    }
}

#[test]
fn without_the_database_nobody_waits_for_the_questions_of_others_and_who_is_served_counts_afterwards() {
    let mut site = Site::new();
    site.set("clients.max", "61").set("clients.silence", "\"10m\"").set("start.on_command", "true");
    site.image("a.img", 1 << 20, 1);
    site.image("b.img", 1 << 20, 2);
    let point = site.start();
    point.image("a.img", "ready");
    point.image("b.img", "ready");
    let mut database = Database::of(&site);
    // Who has no groups yet when its site is away can open no session.
    let taken = "SELECT COUNT(*) FROM places";
    until("groups for two sessions", || (database.number(taken) >= 2).then_some(()));
    // Nobody else can write now.
    database.say("BEGIN IMMEDIATE");
    let clients = (1..=60).map(|client| (client, "a.img")).chain([(61, "b.img")]);
    let mut crowd = Crowd::of(&point, clients.collect());
    let begun = Instant::now();
    until("all to be let in", || {
        crowd.ask();
        (crowd.offered.len() == 61).then_some(())
    });
    // One after the other their questions take 1.5 s each, four at a time.
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
    let late = site.client("a.img", 62);
    late.refused("full: 61 of 61");
    database.say("COMMIT");
    until("a place in the site's queue", || (queue(&point) == ["pc-62"]).then_some(()));
    let last = site.client("b.img", 63);
    last.refused("full: 61 of 61 clients are served; this one is number 2 of 2 that wait");
}

#[test]
fn who_came_without_a_cap_counts_when_a_reload_sets_one() {
    let mut site = Site::new();
    site.table("[[image]]\nfile = \"a.img\"\nstart.on_command = true\n");
    let content = site.image("a.img", 1 << 20, 1);
    let point = site.start();
    let served = [site.client("a.img", 1), site.client("a.img", 2)];
    served.iter().for_each(|guest| _ = guest.joined());
    site.set("clients.max", "2");
    site.write_config();
    point.signal(Signal::SIGHUP);
    point.log.wait("applied: clients.max: none → 2 (at once)");
    let third = site.client("a.img", 3);
    third.refused("full: 2 of 2 clients are served");
    let session = point.session("a.img", |session| session["active"] == 2);
    assert_eq!(point.command(session["id"].as_str().unwrap(), "start").0, 200);
    served.into_iter().for_each(|guest| guest.check(&content));
    third.check(&content);
}
