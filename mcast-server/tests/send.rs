//! `mcast-server send` as a process, with clients of the engine's in this one.

mod support;

use multicast_core::engine::{ClientError, ClientEvent};
use multicast_core::receiver::ReceiverError;
use multicast_core::wire::RefuseReason;
use nix::sys::signal::Signal;
use support::{LIMIT, Room, control};

const MIB: usize = 1 << 20;

#[test]
fn two_clients_get_the_image_and_the_summary_says_what_it_cost() {
    let room = Room::new(4 * MIB + 12_345);
    let mut server = room.send(&["--min-clients", "2", "--rate", "200mbit"]);
    let control = control(&mut server);
    let clients = [room.client(control, 1, "a"), room.client(control, 2, "b")];
    for client in clients {
        client.wait().unwrap();
    }
    let ended = server.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("a") && room.is_identical("b"));
    let summary = ended.last("summary");
    assert_eq!(summary["clients"], 2);
    assert_eq!(summary["clients_complete"], 2);
    assert_eq!(summary["image_bytes"], 4 * MIB + 12_345);
    let ratio = summary["wire_per_image"].as_f64().unwrap();
    assert!((1.03..2.0).contains(&ratio), "{ratio}");
    let session = ended.last("session");
    assert_eq!((&session["image"], &session["rate"]), (&"image.bin".into(), &200_000_000.into()));
    let progress = ended.last("progress");
    assert_eq!(progress["clients"].as_array().unwrap().len(), 2);
    assert_eq!(progress["clients"][0]["done"], 1.0);
}

#[test]
fn hashes_are_kept_for_the_next_start() {
    let room = Room::new(MIB);
    for cached in [false, true] {
        let mut server = room.send(&["--rate", "200mbit"]);
        let session = server.event("session");
        assert_eq!(session["manifest_cached"], cached);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.end().code, Some(130));
    }
}

#[test]
fn a_client_beyond_the_limit_is_told_and_gets_its_turn() {
    let room = Room::new(2 * MIB);
    let mut server = room.send(&["--max-clients", "1", "--rate", "50mbit", "--keep-open"]);
    let control = control(&mut server);
    let first = room.client(control, 1, "a");
    server.event("client_ready");
    let second = room.client(control, 2, "b");
    let refused = server.event("client_refused");
    assert_eq!((&refused["host"], &refused["reason"]), (&"pc-2".into(), &"full".into()));
    let told = second.events().recv_timeout(LIMIT).unwrap();
    assert!(matches!(told, ClientEvent::Refused { reason: RefuseReason::Full, .. }), "{told:?}");
    first.wait().unwrap();
    second.wait().unwrap();
    server.event_where("client_complete", |event| event["host"] == "pc-2");
    // Nobody is receiving: the signal is how a session that is kept open ends well.
    server.signal(Signal::SIGINT);
    assert_eq!(server.end().code, Some(0));
    assert!(room.is_identical("a") && room.is_identical("b"));
}

#[test]
fn ctrl_c_releases_the_clients_and_ends_with_its_own_code() {
    let room = Room::new(4 * MIB);
    let mut server = room.send(&["--rate", "10mbit"]);
    let client = room.client(control(&mut server), 1, "a");
    server.event("started");
    server.signal(Signal::SIGINT);
    let ended = server.end();
    assert_eq!(ended.code, Some(130));
    assert_eq!(ended.last("ended")["cause"], "cancelled");
    assert_eq!(ended.last("summary")["failed"][0]["host"], "pc-1");
    let error = client.wait().unwrap_err();
    assert!(matches!(error, ClientError::Receiver(ReceiverError::Cancelled)), "{error}");
}

#[test]
fn a_client_that_goes_is_named_and_the_code_says_so() {
    let room = Room::new(4 * MIB);
    let mut server = room.send(&["--rate", "20mbit", "--min-clients", "2"]);
    let control = control(&mut server);
    let (stays, goes) = (room.client(control, 1, "a"), room.client(control, 2, "b"));
    server.event("started");
    goes.cancel();
    goes.wait().unwrap_err();
    stays.wait().unwrap();
    let ended = server.end();
    assert_eq!(ended.code, Some(3));
    let summary = ended.last("summary");
    assert_eq!((&summary["clients_complete"], &summary["clients_left"]), (&1.into(), &1.into()));
    let failed = summary["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!((&failed[0]["host"], &failed[0]["reason"]), (&"pc-2".into(), &"interrupted by its user".into()));
    assert!(room.is_identical("a"));
}

#[test]
fn a_session_can_wait_for_the_command_to_start() {
    let room = Room::new(MIB);
    let mut server = room.send(&["--start-on-command", "--rate", "100mbit"]);
    let client = room.client(control(&mut server), 1, "a");
    server.event("client_ready");
    server.type_in("s\n");
    assert_eq!(server.event("started")["cause"], "command");
    client.wait().unwrap();
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn an_image_cut_while_it_is_served_is_named() {
    let room = Room::new(4 * MIB);
    let mut server = room.send(&["--rate", "10mbit"]);
    let client = room.client(control(&mut server), 1, "a");
    server.event("started");
    std::fs::File::options().write(true).open(&room.image).unwrap().set_len(MIB as u64).unwrap();
    let ended = server.end();
    ended.check_error(1, &["image.bin", "truncated"]);
    assert_eq!(ended.last("error")["exit_code"], 1);
    client.wait().unwrap_err();
    assert!(!room.path("a").exists());
}

#[test]
fn a_control_port_that_is_taken_is_named_and_the_first_server_goes_on() {
    let room = Room::new(MIB);
    let mut server = room.send(&["--rate", "100mbit"]);
    let control = control(&mut server);
    let port = control.port().to_string();
    let image = room.image.to_str().unwrap();
    let second = ["send", image, "--interface", "lo", "--control-port", &port, "--manifest-cache", "none"];
    support::run(room.folder.path(), &second).check_error(1, &[&port, "in use"]);
    room.client(control, 1, "a").wait().unwrap();
    assert_eq!(server.end().code, Some(0));
}
