//! `mcast-client receive --booted`: the kernel's command line says whose machine this is.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use multicast_core::engine::ContentLocation;
use support::http::{Fault, HttpServer};
use support::{Program, Room, client};

const TOKEN: &str = "0123456789abcdefghij";

/// A room whose server answers so to a machine that says hello.
fn room(hello: (&'static str, &'static str)) -> (Room, HttpServer) {
    let mut http = None;
    let room = Room::with_content(3 << 20, |mut content| {
        content.hello = Some(hello);
        let server = http.insert(HttpServer::start(content, |_| Fault::No));
        Some(ContentLocation { port: server.address.port(), tls: None })
    });
    std::fs::write(
        room.path("cmdline"),
        format!(
            "quiet mcast.server={} mcast.token={TOKEN} BOOTIF=01-52-54-00-ab-cd-01 mcast.output=disk\n",
            room.engine.control_address()
        ),
    )
    .unwrap();
    (room, http.unwrap())
}

fn receive(room: &Room) -> std::process::Command {
    let mut command = client();
    command.args(["receive", "--booted", "cmdline", "--wait", "20s"]).current_dir(room.folder.path());
    command
}

#[test]
fn the_server_says_which_image_the_machine_gets() {
    let (room, http) = room(("200 OK", r#"{"deployment": "lab 7", "image": "image.bin"}"#));
    let session = room.serve("image.bin", 100);
    let ended = Program::start(&mut receive(&room)).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("deployment \"lab 7\""), "{}", ended.stderr);
    assert!(room.is_identical("disk"));
    let hello = &http.requests()[0];
    assert_eq!((hello.method.as_str(), hello.header("authorization")), ("POST", &*format!("Bearer {TOKEN}")));
    let body: serde_json::Value = serde_json::from_str(&hello.body).unwrap();
    assert_eq!(body["macs"], serde_json::json!(["52:54:00:ab:cd:01"]));
    assert!(body["boot"].as_str().unwrap().len() >= 16, "{body}");
    session.cancel();
}

#[test]
fn who_is_refused_hears_why_and_a_token_without_trust_in_its_server_is_not_shown() {
    let (refusing, http) = room(("403 Forbidden", r#"{"error": "this token was used by another start"}"#));
    Program::start(&mut receive(&refusing)).end().check_error(4, &["refuses this machine", "used by another start"]);
    assert_eq!(http.requests().len(), 1);
    // Who names a fingerprint does not give the token to a server without TLS.
    let mut line = std::fs::read_to_string(refusing.path("cmdline")).unwrap();
    line.push_str(&format!(" mcast.trust={}", identity::Fingerprint::from_bytes([7; 32])));
    std::fs::write(refusing.path("cmdline"), line).unwrap();
    Program::start(&mut receive(&refusing)).end().check_error(4, &["without TLS"]);
    assert_eq!(http.requests().len(), 1);
}

#[test]
fn without_a_place_for_the_image_the_token_is_kept() {
    let (room, http) = room(("200 OK", r#"{"deployment": "lab 7", "image": "image.bin"}"#));
    let mut command = receive(&room);
    Program::start(command.args(["--output", "no-folder/disk"])).end().check_error(5, &["no-folder"]);
    std::fs::write(room.path("cmdline"), "quiet").unwrap();
    Program::start(&mut receive(&room)).end().check_error(2, &["cmdline has no mcast.server=", "--server"]);
    assert!(http.requests().is_empty());
}
