//! Sessions on demand: who opens one, when it begins, what an operator does with it, and its end.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::{ToSpan, ZonedDateTime};
use support::database::Database;
use support::http::Answer;
use support::point::{OPERATOR, Point, Site, until};

/// How the session of this number ended.
fn outcome(point: &Point, id: &str) -> String {
    until("the session's end", || {
        let all = point.get("/api/v1/sessions?ended=20").json();
        let ended = all.as_array().unwrap().iter().find(|session| session["id"] == id && session["state"] == "ended");
        ended.map(|session| session["outcome"].as_str().unwrap().to_owned())
    })
}

fn id_of(session: &serde_json::Value) -> String {
    session["id"].as_str().unwrap().to_owned()
}

#[test]
fn the_first_client_opens_a_session_the_next_join_it_and_an_empty_one_closes() {
    let mut site = Site::new();
    site.set("rate.custom", "\"20mbit\"").set("session.linger", "\"1s\"");
    let (a, b) = (site.image("a.img", 3 << 20, 1), site.image("b.img", 1 << 20, 2));
    let point = site.start();
    point.image("a.img", "ready");
    point.image("b.img", "ready");
    assert!(point.sessions().is_empty(), "nobody has asked");
    let guests = [site.client("a.img", 1), site.client("a.img", 2), site.client("b.img", 3)];
    let groups = [guests[0].joined(), guests[1].joined(), guests[2].joined()];
    assert_eq!(groups[0], groups[1]);
    assert!(groups[0].ip() != groups[2].ip() && groups[0].port() != groups[2].port(), "{groups:?}");
    let session = point.session("a.img", |session| session["active"] == 2);
    assert_eq!(session["group"], groups[0].to_string());
    assert_eq!(point.sessions().len(), 2);
    let [one, two, three] = guests;
    one.check(&a);
    two.check(&a);
    three.check(&b);
    assert_eq!(outcome(&point, &id_of(&session)), "finished");
    until("all sessions to close", || point.sessions().is_empty().then_some(()));
    // Without a name it is ambiguous, and the next one opens another session.
    let told = site.client("", 4).fails();
    assert!(told.contains("a.img, b.img"), "{told}");
    let again = site.client("a.img", 5);
    again.joined();
    assert_ne!(point.session("a.img", |_| true)["id"], session["id"]);
    again.check(&a);
}

#[test]
fn a_session_begins_by_count_by_waiting_by_the_clock_or_by_command() {
    let mut site = Site::new();
    let at = (ZonedDateTime::now() + 3.seconds()).strftime("%H:%M:%S").to_string();
    for (name, start) in [
        ("count", "clients = 2".to_owned()),
        ("wait", "wait = \"1500ms\"".to_owned()),
        ("clock", format!("at = \"{at}\"")),
        ("command", "on_command = true".to_owned()),
    ] {
        site.table(&format!("[[image]]\nfile = \"{name}.img\"\n[image.start]\n{start}\n"));
    }
    let names = ["count", "wait", "clock", "command"];
    let images = names.map(|name| site.image(&format!("{name}.img"), 100_000, name.len() as u64));
    let point = site.start();
    names.iter().for_each(|name| drop(point.image(&format!("{name}.img"), "ready")));
    let begun = Instant::now();
    let [count, wait, clock, command] = [1, 2, 3, 4].map(|n| site.client(&format!("{}.img", names[n - 1]), n as u64));
    for guest in [&count, &wait, &clock, &command] {
        guest.joined();
    }
    let view = |name: &str| point.session(&format!("{name}.img"), |session| session["active"] == 1);
    assert_eq!((&view("count")["state"], &view("count")["awaited"]), (&"waiting".into(), &2.into()));
    assert_eq!(view("command")["state"], "waiting");
    let hour = view("clock")["starts_ms"].as_i64().unwrap();
    assert!(view("count")["starts_ms"].is_null());

    wait.check(&images[1]);
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    clock.check(&images[2]);
    assert!(ZonedDateTime::now().timestamp().as_millisecond() >= hour, "not before its hour");
    assert_eq!((&view("count")["state"], &view("command")["state"]), (&"waiting".into(), &"waiting".into()));
    let second = site.client("count.img", 5);
    count.check(&images[0]);
    second.check(&images[0]);
    let (status, body) = point.command(&id_of(&view("command")), "start");
    assert_eq!((status, &body["status"]), (200, &"done".into()));
    command.check(&images[3]);
    point.log.wait("session is to be started");
}

#[test]
fn an_operator_pauses_resumes_removes_and_cancels() {
    let mut site = Site::new();
    site.set("rate.custom", "\"12mbit\"");
    site.image("a.img", 6 << 20, 1);
    let point = site.start();
    let (first, second) = (site.client("a.img", 1), site.client("a.img", 2));
    first.joined();
    second.joined();
    let id = id_of(&point.session("a.img", |session| session["state"] == "running" && session["active"] == 2));
    let sent = || point.session("a.img", |_| true)["wire_bytes"].as_u64().unwrap();
    assert_eq!(point.command(&id, "resume").0, 409);
    assert_eq!(point.command(&id, "pause").0, 200);
    point.session("a.img", |session| session["state"] == "paused");
    let (status, body) = point.command(&id, "pause");
    assert_eq!(status, 409);
    assert!(body["error"].as_str().unwrap().contains("is paused: it cannot be paused"), "{body}");
    let before = sent();
    std::thread::sleep(Duration::from_millis(1200));
    // Heartbeats go on.
    assert!(sent() - before < 100_000, "{} bytes while it is paused", sent() - before);
    assert_eq!(point.command(&id, "resume").0, 200);
    point.session("a.img", |session| session["state"] == "running");

    let remove = |client: &str| -> Answer {
        point.ask("DELETE", &format!("/api/v1/sessions/{id}/clients/{client}"), Some(OPERATOR), None)
    };
    assert_eq!(remove(&second.id()).status, 200);
    let told = second.fails();
    assert!(told.contains("removed from the session by its operator"), "{told}");
    let view = until("the removed client to be shown", || {
        let clients = point.get(&format!("/api/v1/sessions/{id}/clients")).json();
        clients.as_array().unwrap().iter().find(|client| client["state"] == "removed").cloned()
    });
    assert!(view["host"] == "pc-2" && view["reason"].as_str().is_some(), "{view}");

    assert_eq!(point.command(&id, "cancel").0, 200);
    let told = first.fails();
    assert!(told.contains("cancelled by its operator"), "{told}");
    assert_eq!(outcome(&point, &id), "cancelled by ops");
    until("the session to be gone", || (point.command(&id, "pause").0 == 404).then_some(()));
    assert_eq!(remove("1").status, 404);
    // Who did what is in the log.
    point.log.wait("client is removed");
    let line = point.log.wait("session is to be cancelled");
    assert!(line.contains("\"by\":\"ops\""), "{line}");
}

#[test]
fn sessions_of_one_address_have_ports_of_their_own() {
    let mut site = Site::new();
    site.set("multicast.address", "\"239.211.7.1\"").set("rate.custom", "\"40mbit\"");
    let names = ["a.img", "b.img", "c.img", "d.img"];
    let images: Vec<_> = names.iter().zip(1..).map(|(name, seed)| site.image(name, 1 << 20, seed)).collect();
    let point = site.start();
    names.iter().for_each(|name| drop(point.image(name, "ready")));
    let guests: Vec<_> = names.iter().zip(1..).map(|(name, number)| site.client(name, number)).collect();
    let groups: HashSet<_> = guests.iter().map(support::point::Guest::joined).collect();
    assert_eq!(groups.len(), 4, "{groups:?}");
    assert!(groups.iter().all(|group| group.ip().to_string() == "239.211.7.1"), "{groups:?}");
    guests.into_iter().zip(&images).for_each(|(guest, image)| guest.check(image));
}

#[test]
fn under_a_total_rate_a_session_gets_by_its_priority() {
    let mut site = Site::new();
    site.set("rate.custom", "\"40mbit\"").set("rate.total", "\"40mbit\"");
    site.table("[[image]]\nfile = \"high.img\"\npriority = 9\n").table("[[image]]\nfile = \"low.img\"\npriority = 3\n");
    let (high, low) = (site.image("high.img", 16 << 20, 1), site.image("low.img", 8 << 20, 2));
    let point = site.start();
    point.image("high.img", "ready");
    point.image("low.img", "ready");
    let guests = [site.client("low.img", 1), site.client("high.img", 2)];
    let view = |name: &str| point.session(name, |session| session["state"] == "running");
    view("high.img");
    view("low.img");
    // Both out of one answer: the server looks at them at the same time, twice a second.
    let sent = || {
        let all = point.sessions();
        let of = |name: &str| {
            let session = all.iter().find(|session| session["image"] == name);
            session.and_then(|session| session["wire_bytes"].as_f64()).unwrap()
        };
        (of("high.img"), of("low.img"))
    };
    // Both have begun; from then on what they send is as their weights are.
    let settled = until("both to send", || Some(sent()).filter(|(high, low)| *high > 1e6 && *low > 1e6));
    let begun = Instant::now();
    let after = until("enough to compare", || Some(sent()).filter(|(high, _)| high - settled.0 > 8e6));
    let seconds = begun.elapsed().as_secs_f64();
    let (high_sent, low_sent) = (after.0 - settled.0, after.1 - settled.1);
    let ratio = high_sent / low_sent;
    assert!((2.0..4.5).contains(&ratio), "{high_sent} by {low_sent} in {seconds} s");
    assert!((high_sent + low_sent) * 8.0 / 1e6 < 40.0 * (seconds + 0.6), "{high_sent} and {low_sent} in {seconds} s");
    let [second, first] = guests;
    first.check(&high);
    second.check(&low);
}

#[test]
fn the_site_is_told_again_only_of_clients_of_whom_there_is_news() {
    let site = Site::new();
    let content = site.image("a.img", 1 << 20, 1);
    let point = site.start();
    point.image("a.img", "ready");
    site.client("a.img", 1).check(&content);
    let mut database = Database::of(&site);
    let complete = "SELECT COUNT(*) FROM clients WHERE state = 'complete' AND ended_ms IS NOT NULL";
    until("the client's end in the history", || (database.number(complete) == 1).then_some(()));
    database.say(
        "CREATE TABLE told (what TEXT); \
         CREATE TRIGGER told_session AFTER UPDATE ON sessions BEGIN INSERT INTO told VALUES ('session'); END; \
         CREATE TRIGGER told_client AFTER UPDATE ON clients BEGIN INSERT INTO told VALUES (old.client); END",
    );
    let of_sessions = "SELECT COUNT(*) FROM told WHERE what = 'session'";
    until("three records of the session", || (database.number(of_sessions) >= 3).then_some(()));
    assert_eq!(database.number("SELECT COUNT(*) FROM told WHERE what <> 'session'"), 0);

    site.client("a.img", 1).check(&content);
    let told = "SELECT COUNT(*) FROM told WHERE what <> 'session'";
    until("the same client's second run", || (database.number(told) > 0).then_some(()));
    let session = point.session("a.img", |_| true);
    assert_eq!(point.command(&id_of(&session), "cancel").0, 200);
    assert_eq!(outcome(&point, &id_of(&session)), "cancelled by ops");
    until("the end in the history", || {
        (database.number("SELECT COUNT(*) FROM sessions WHERE state = 'ended'") == 1).then_some(())
    });
    assert_eq!(database.number(complete), 1);
}
