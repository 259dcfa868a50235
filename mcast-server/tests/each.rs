//! `mcast-server send --each`: several images at once, each in a session of its own.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::HashSet;
use std::path::PathBuf;

use multicast_core::engine::Client;
use nix::sys::signal::Signal;
use support::{Program, Room, control};

const MIB: usize = 1 << 20;

/// The room's image and further ones of these sizes, none like another.
fn images(room: &Room, sizes: &[usize]) -> Vec<PathBuf> {
    let further = sizes.iter().enumerate().map(|(i, &size)| {
        let path = room.path(&format!("image-{i}.bin"));
        let content: Vec<u8> =
            (0..size.div_ceil(8) as u64).flat_map(|n| (n + i as u64).wrapping_mul(0x9E37_79B9).to_be_bytes()).collect();
        std::fs::write(&path, &content[..size]).unwrap();
        path
    });
    std::iter::once(room.image.clone()).chain(further).collect()
}

/// A server of all of them, and its arguments.
fn send_each(room: &Room, images: &[PathBuf], arguments: &[&str]) -> Program {
    let further = images[1..].iter().map(|path| path.to_str().unwrap());
    room.send(&further.chain(["--each"]).chain(arguments.iter().copied()).collect::<Vec<_>>())
}

fn name(image: &std::path::Path) -> &str {
    image.file_name().unwrap().to_str().unwrap()
}

#[test]
fn four_images_reach_their_clients_under_one_total_rate() {
    const TOTAL: f64 = 100e6;
    let room = Room::new(2 * MIB);
    let images = images(&room, &[2 * MIB + 1, 2 * MIB - 77, 2 * MIB]);
    let mut server = send_each(&room, &images, &["--rate", "1gbit", "--total-rate", "100mbit"]);
    let control = control(&mut server);
    let clients: Vec<Client> =
        (1..).zip(&images).map(|(i, image)| room.client_of(name(image), control, i, &format!("copy-{i}"))).collect();
    clients.into_iter().for_each(|client| drop(client.wait().unwrap()));
    let ended = server.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for (i, image) in (1..).zip(&images) {
        assert!(std::fs::read(image).unwrap() == std::fs::read(room.path(&format!("copy-{i}"))).unwrap(), "{image:?}");
    }
    let of = |event: &str| ended.events.iter().filter(|e| e["event"] == event).collect::<Vec<_>>();
    let summaries = of("summary");
    let names: HashSet<_> = summaries.iter().map(|summary| summary["image"].as_str().unwrap()).collect();
    assert_eq!(names, images.iter().map(|image| name(image)).collect());
    assert!(summaries.iter().all(|summary| summary["complete"] == true && summary["clients"] == 1));
    // Nothing is faster than the total allows; loopback alone would carry it in a fraction of that.
    let bits: f64 = summaries.iter().map(|summary| summary["wire_bytes"].as_f64().unwrap() * 8.0).sum();
    let longest = summaries.iter().map(|summary| summary["seconds"].as_f64().unwrap()).fold(0.0, f64::max);
    assert!(longest > 0.9 * bits / TOTAL, "{longest} s for {bits} bits");
    // Whatever is told of a session says of which one.
    let sessions: HashSet<_> = of("session").iter().map(|session| session["session"].as_u64().unwrap()).collect();
    assert_eq!(sessions.len(), 4);
    for event in ["client_joined", "started", "client_complete", "ended", "progress", "summary"] {
        let told = of(event);
        assert!(told.len() >= 4 && told.iter().all(|e| sessions.contains(&e["session"].as_u64().unwrap())), "{event}");
        assert!(told.iter().all(|e| names.contains(e["image"].as_str().unwrap())), "{event}");
    }
}

#[test]
fn one_image_that_is_damaged_meanwhile_is_no_trouble_of_the_other() {
    let room = Room::new(2 * MIB);
    let images = images(&room, &[2 * MIB]);
    let mut server = send_each(&room, &images, &["--rate", "10mbit"]);
    let control = control(&mut server);
    let (whole, cut) = (room.client_of("image.bin", control, 1, "a"), room.client_of("image-0.bin", control, 2, "b"));
    server.event_where("started", |event| event["image"] == "image-0.bin");
    std::fs::File::options().write(true).open(&images[1]).unwrap().set_len(1000).unwrap();
    cut.wait().unwrap_err();
    whole.wait().unwrap();
    let ended = server.end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("image-0.bin") && ended.stderr.contains("truncated"), "{}", ended.stderr);
    assert_eq!(ended.last("summary")["image"], "image.bin");
    assert!(room.is_identical("a"));
}

#[test]
fn ctrl_c_ends_all_sessions() {
    let room = Room::new(MIB);
    let images = images(&room, &[MIB, MIB]);
    let mut server = send_each(&room, &images, &["--min-clients", "2"]);
    (0..3).for_each(|_| drop(server.event("session")));
    server.signal(Signal::SIGINT);
    let ended = server.end();
    assert_eq!(ended.code, Some(130));
    assert_eq!(ended.events.iter().filter(|event| event["event"] == "summary").count(), 3);
}
