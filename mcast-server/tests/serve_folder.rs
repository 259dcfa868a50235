//! The folder of images changes while it is served.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use support::point::{Point, Site, noise, replace, until};

/// The state of an image, if there is such an image.
fn state(point: &Point, name: &str) -> Option<String> {
    let answer = point.get(&format!("/api/v1/images/{name}"));
    (answer.status == 200).then(|| answer.json()["state"].as_str().unwrap().to_owned())
}

#[test]
fn a_new_image_is_served_within_seconds_and_one_that_goes_no_more() {
    let site = Site::new();
    let first = site.image("first.img", 100_000, 1);
    let point = site.start();
    point.image("first.img", "ready");
    // Who asks for what is not there yet is told what there is, and waits.
    let early = site.client("second.img", 1);
    early.refused("there is no image named \"second.img\", only: first.img");
    let begun = Instant::now();
    let second = site.image("second.img", 100_000, 2);
    early.check(&second);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // Removed while its session is idle: that closes, and nobody gets it any more.
    fs::remove_file(site.path("images/second.img")).unwrap();
    until("it to be gone", || state(&point, "second.img").is_none().then_some(()));
    until("its session to close", || point.sessions().is_empty().then_some(()));
    site.client("second.img", 2).refused("there is no image named");
    // What programs leave beside images is none.
    for name in ["a.part", ".hidden", "b.tmp", "c~", "d.mcast-manifest"] {
        site.image(name, 1000, 3);
    }
    fs::create_dir(site.path("images/folder")).unwrap();
    nix::unistd::mkfifo(&site.path("images/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    site.client("", 3).check(&first);
    let images = point.get("/api/v1/images").json();
    assert_eq!(images.as_array().unwrap().len(), 1, "{images}");
}

#[test]
fn a_file_replaced_under_way_is_the_old_one_to_its_session_and_the_new_one_to_the_next() {
    let mut site = Site::new();
    site.set("rate.custom", "\"16mbit\"");
    let old = site.image("a.img", 4 << 20, 1);
    let point = site.start();
    let first = site.client("a.img", 1);
    first.joined();
    let session = point.session("a.img", |session| session["state"] == "running");
    let new = noise(3 << 20, 2);
    replace(&site.path("images/a.img"), &new);
    until("the new one to be ready", || (point.image("a.img", "ready")["bytes"] == new.len()).then_some(()));
    // Who comes now waits for the new one rather than getting the old.
    let second = site.client("a.img", 2);
    second.refused("it has changed, and the last version is still being sent");
    first.check(&old);
    second.check(&new);
    assert_ne!(point.session("a.img", |_| true)["id"], session["id"]);
}

#[test]
fn a_file_overwritten_under_way_ends_its_session_and_says_so() {
    let mut site = Site::new();
    site.set("rate.custom", "\"8mbit\"");
    site.image("a.img", 4 << 20, 1);
    let point = site.start();
    let first = site.client("a.img", 1);
    first.joined();
    let id = point.session("a.img", |session| session["state"] == "running")["id"].as_str().unwrap().to_owned();
    let new = noise(4 << 20, 2);
    // Over itself, as a careless copy does.
    File::options().write(true).open(site.path("images/a.img")).unwrap().write_all(&new).unwrap();
    let outcome = until("the session's end", || {
        let all = point.get("/api/v1/sessions?ended=5").json();
        let ended = all.as_array().unwrap().iter().find(|session| session["id"] == id && session["state"] == "ended");
        ended.map(|session| session["outcome"].as_str().unwrap().to_owned())
    });
    assert!(outcome.starts_with("failed: ") && outcome.contains("a.img") && outcome.contains("changed"), "{outcome}");
    point.log.wait("session failed");
    let metrics = point.get("/metrics").text();
    assert!(metrics.contains("\nmcast_deliveries_failed_total 1\n"), "{metrics}");
    assert!(!metrics.contains("\nmcast_sent_bytes_total 0\n"), "what it sent stays counted");
    // Its client gets nothing of the new bytes; who asks then gets them all.
    first.fails();
    site.client("a.img", 2).check(&new);
}

#[test]
fn a_file_that_grows_is_not_served_before_it_rests() {
    let mut site = Site::new();
    site.set("content.settle", "\"1s\"");
    let point = site.start();
    let content = noise(2 << 20, 1);
    let guest = site.client("a.img", 1);
    let mut file = File::create(site.path("images/a.img")).unwrap();
    let pieces = content.chunks(content.len() / 8);
    let mut kept_up = 0;
    for piece in pieces {
        let written = Instant::now();
        file.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(250));
        let seen = state(&point, "a.img");
        // A machine that stood still meanwhile made it rest.
        if written.elapsed() < Duration::from_secs(1) {
            assert!(seen.as_deref().is_none_or(|state| state == "settling"), "{seen:?}");
            kept_up += 1;
        }
    }
    assert!(kept_up > 0);
    let rested = Instant::now();
    guest.refused("its files are still being written");
    let fetched = support::http::ask(point.http, "GET", "/content/images/a.img", &[], b"").unwrap();
    if fetched.status != 200 {
        assert_eq!((fetched.status, fetched.header("retry-after")), (503, Some("2")), "{}", fetched.text());
    }
    guest.check(&content);
    assert!(rested.elapsed() < Duration::from_secs(20), "{:?}", rested.elapsed());
}

#[test]
fn what_cannot_be_served_is_shown_with_its_reason_and_served_once_it_can() {
    let mut site = Site::new();
    site.table("[[image]]\nname = \"set\"\nfiles = [\"a.bin\", \"b.bin\"]\n");
    site.image("a.bin", 1000, 1);
    site.image("empty.img", 0, 1);
    fs::write(site.path("images/lying.wim"), [&b"MSWIM\0\0\0\xd0\0\0\0"[..], &[0xff; 300]].concat()).unwrap();
    let point = site.start();
    let problem = |name: &str| point.image(name, "broken")["problem"].as_str().unwrap().to_owned();
    assert!(problem("set").contains("b.bin\" does not exist"), "{}", problem("set"));
    assert!(problem("empty.img").contains("is empty"), "{}", problem("empty.img"));
    assert!(problem("lying.wim").contains("lying.wim"), "{}", problem("lying.wim"));
    let guest = site.client("empty.img", 1);
    guest.refused("is empty");
    let content = site.image("empty.img", 1000, 2);
    guest.check(&content);
    site.image("b.bin", 1000, 2);
    point.image("set", "ready");

    // The folder itself goes and comes back, as one that is mounted does.
    fs::rename(site.path("images"), site.path("away")).unwrap();
    point.log.wait("cannot read the images' folder");
    fs::rename(site.path("away"), site.path("images")).unwrap();
    site.image("late.img", 1000, 3);
    point.image("late.img", "ready");
    point.image("set", "ready");
    // Another one takes its name: that one is looked at, and watched.
    fs::rename(site.path("images"), site.path("old")).unwrap();
    fs::create_dir(site.path("images")).unwrap();
    until("the other folder to be looked at", || state(&point, "late.img").is_none().then_some(()));
    let begun = Instant::now();
    site.image("new.img", 1000, 4);
    point.image("new.img", "ready");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn an_image_whose_folder_is_away_when_its_hashing_ends_is_served_once_that_is_back() {
    let site = Site::new();
    // It takes a while to hash, and no room.
    File::create(site.path("images/a.img")).unwrap().set_len(512 << 20).unwrap();
    let point = site.start();
    point.image("a.img", "hashing");
    fs::rename(site.path("images"), site.path("away")).unwrap();
    let broken = point.image("a.img", "broken");
    assert!(broken["problem"].as_str().unwrap().contains("a.img\" does not exist"), "{broken}");
    // Nothing about the file tells that it was away.
    fs::rename(site.path("away"), site.path("images")).unwrap();
    point.image("a.img", "ready");
}

#[test]
fn a_file_that_may_not_be_read_is_shown_with_its_reason_and_served_once_it_may() {
    let site = Site::new();
    let content = site.image("a.img", 1000, 1);
    let path = site.path("images/a.img");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let point = site.start();
    let broken = point.image("a.img", "broken");
    assert!(broken["problem"].as_str().unwrap().contains("ermission denied"), "{broken}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    site.client("a.img", 1).check(&content);
}
