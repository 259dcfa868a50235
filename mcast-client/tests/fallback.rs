//! `mcast-client receive` where multicast does not get: what it says, and that the image comes by HTTP.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::time::SystemTime;

use identity::{Fingerprint, SiteIdentity};
use multicast_core::engine::ContentLocation;
use multicast_core::wire::{Directory, Packet, Refusal, RefuseReason};
use nix::sys::signal::Signal;
use support::deaf::{SILENT_GROUP, deafened};
use support::http::{Content, Fault, HttpServer, Request};
use support::{Program, Room, client};

const MIB: usize = 1 << 20;
const BLOCK: usize = 1440 * 1024;

/// A room whose server has its content at an HTTP server with these faults.
fn room(bytes: usize, fault: impl FnMut(&Request) -> Fault + Send + 'static) -> (Room, HttpServer) {
    let mut http = None;
    let room = Room::with_content(bytes, |content| {
        let server = http.insert(HttpServer::start(content, fault));
        Some(ContentLocation { port: server.address.port(), tls: None })
    });
    (room, http.unwrap())
}

#[test]
fn a_client_that_hears_no_multicast_says_so_and_fetches_the_image() {
    let (room, http) = room(20 * MIB + 77, |_| Fault::No);
    let session = room.serve("image.bin", 100);
    let mut command = room.receive_at(deafened(room.engine.control_address()), "copy");
    let ended = Program::start(command.args(["--json", "--fallback-after", "1s"])).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("copy"));
    let detour = ended.last("unicast");
    let reason = detour["reason"].as_str().unwrap();
    assert!(reason.contains(SILENT_GROUP) && reason.contains("no IGMP querier"), "{reason}");
    assert_eq!(detour["from"], format!("http://{}", http.address));
    assert_eq!((&detour["checked"], &detour["fingerprint"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(ended.last("fetching")["image"], "image.bin");
    assert_eq!(ended.last("summary")["way"], "unicast");
    assert_eq!(ended.last("progress")["bytes_done"], 20 * MIB + 77);

    let requests = http.requests();
    assert_eq!(requests[0].path, "/content/images/image.bin/manifest");
    assert_eq!(http.bytes_asked(), 20 * MIB + 77);
    let last = requests.last().unwrap();
    let blocks = ended.last("summary")["blocks"].as_u64().unwrap();
    assert_eq!((last.method.as_str(), last.header("x-mcast-verified")), ("HEAD", &*format!("{blocks}/{blocks}")));
    for request in &requests {
        assert_eq!(request.header("x-mcast-client").len(), 16);
        assert!(!request.header("x-mcast-host").is_empty());
        assert!(request.header("x-mcast-reason").starts_with("heard%20nothing%20of%20239."), "{request:?}");
    }
    let left = session.events().iter().find(|event| format!("{event:?}").contains("Unsuitable"));
    assert!(format!("{left:?}").contains(SILENT_GROUP), "the session was not told: {left:?}");
    session.cancel();
}

#[test]
fn without_content_or_without_leave_a_deaf_client_ends_as_ever() {
    let (with, http) = room(MIB, |_| Fault::No);
    let without = Room::new(MIB);
    for (room, fallback) in [(&without, "auto"), (&with, "never")] {
        let session = room.serve("image.bin", 100);
        let mut command = room.receive_at(deafened(room.engine.control_address()), "copy");
        command.args(["--deaf-limit", "2s", "--fallback-after", "1s", "--fallback", fallback]);
        let since = std::time::Instant::now();
        Program::start(&mut command).end().check_error(3, &["nothing is heard", SILENT_GROUP]);
        assert!(since.elapsed().as_secs_f64() > 1.8, "only who has another way gives up so soon");
        session.cancel();
    }
    assert!(http.requests().is_empty());
}

#[test]
fn broken_connections_a_busy_server_and_a_wrong_byte_do_no_harm() {
    let mut number = 0;
    let fault = move |_: &Request| {
        number += 1;
        match number {
            1 => Fault::Cut(3 * BLOCK + 1000),
            2 => Fault::Status("503 Service Unavailable", "Retry-After: 1"),
            3 => Fault::Cut(0),
            _ => Fault::No,
        }
    };
    let (room, http) = room(30 * MIB, fault);
    let session = room.serve("image.bin", 100);
    let ended = Program::start(room.receive("copy").args(["--json", "--fallback", "only"])).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("copy"));
    let told: Vec<_> = ended.events.iter().filter(|event| event["event"] == "source_failed").collect();
    assert_eq!(told.len(), 3, "{told:?}");
    let requests: Vec<_> = http.requests().into_iter().filter(|request| request.range().is_some()).collect();
    let starts: Vec<_> = requests.iter().filter_map(Request::range).map(|(first, _)| first).collect();
    assert_eq!(starts[..4], [0, 3 * BLOCK, 3 * BLOCK, 3 * BLOCK], "it goes on behind the last block that came");
    assert_eq!((requests[0].header("if-match"), requests[1].header("if-match")), ("", "\"one\""));
    session.cancel();
}

#[test]
fn asked_for_it_fetches_the_servers_only_image_without_joining() {
    let (room, http) = room(3 * MIB, |_| Fault::No);
    let session = room.serve("image.bin", 100);
    let ended = Program::start(room.receive("copy").args(["--fallback", "only"])).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("copy"));
    let lines: Vec<_> = ended.events.iter().filter_map(|line| line.as_str()).collect();
    assert!(lines.iter().any(|line| line.contains("fetching from http://127.0.0.1")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("cannot be checked")), "{lines:#?}");
    assert!(lines.last().unwrap().contains("by unicast"), "{lines:#?}");
    assert!(http.requests()[0].header("x-mcast-reason").contains("asked"));
    assert_eq!(session.snapshot().unwrap().clients.len(), 0);
    session.cancel();
    session.wait().unwrap();

    // Without a session nobody can tell which one that is.
    let ended = Program::start(room.receive("again").args(["--fallback", "only"])).end();
    ended.check_error(4, &["which of its images", "--image"]);
    let ended = Program::start(room.receive("again").args(["--fallback", "only", "--image", "image.bin"])).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("again"));
}

#[test]
fn a_server_that_says_so_is_fetched_from() {
    let mut http = None;
    let room = Room::with_content(3 * MIB, |content| {
        http = Some(HttpServer::start(content, |_| Fault::No));
        None
    });
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let content = Some(ContentLocation { port: http.unwrap().address.port(), tls: None });
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = server.recv_from(&mut buffer) {
            let mut answer = Vec::new();
            match Packet::decode(&buffer[..len]) {
                Ok(Packet::Join(join)) => {
                    Refusal::new(join.client, RefuseReason::Unicast, 0, "all 2 places are taken").encode(&mut answer);
                }
                Ok(Packet::Inquiry(inquiry)) => {
                    Directory { client: inquiry.client, content, image: "image.bin" }.encode(&mut answer);
                }
                other => panic!("{other:?}"),
            }
            server.send_to(&answer, from).unwrap();
        }
    });
    let ended = Program::start(room.receive_at(address, "copy").arg("--json")).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("copy"));
    assert!(ended.last("unicast")["reason"].as_str().unwrap().contains("all 2 places are taken"));
    let mut never = room.receive_at(address, "again");
    Program::start(never.args(["--fallback", "never"])).end().check_error(4, &["all 2 places", "--fallback auto"]);
}

#[test]
fn a_run_that_was_interrupted_is_taken_up_by_the_next_one() {
    let (room, http) = room(20 * MIB, {
        let mut first = true;
        move |_| if std::mem::take(&mut first) { Fault::Hang(5 * BLOCK + 9) } else { Fault::No }
    });
    let only = ["--json", "--fallback", "only", "--image", "image.bin"];
    let mut first = Program::start(room.receive("copy").args(only));
    first.event_where("progress", |event| event["blocks_done"].as_u64() >= Some(6));
    first.signal(Signal::SIGINT);
    first.end().check_error(130, &["interrupted", "the same command"]);
    assert!(!room.path("copy").exists());
    let asked = http.bytes_asked();
    let ended = Program::start(room.receive("copy").args(only)).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("copy"));
    assert_eq!(ended.last("summary")["kept_blocks"], 5);
    assert_eq!(http.bytes_asked() - asked, 20 * MIB - 5 * BLOCK);
}

#[test]
fn what_an_earlier_run_received_by_multicast_is_not_fetched() {
    let (room, http) = room(20 * MIB, |_| Fault::No);
    let session = room.serve("image.bin", 60);
    let mut first = Program::start(room.receive("copy").arg("--json"));
    first.event_where("progress", |event| event["blocks_done"].as_u64() >= Some(4));
    first.signal(Signal::SIGINT);
    assert_eq!(first.end().code, Some(130));
    session.wait().unwrap();

    let session = room.serve("image.bin", 60);
    let mut command = room.receive_at(deafened(room.engine.control_address()), "copy");
    let ended = Program::start(command.args(["--json", "--fallback-after", "1s"])).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("copy"));
    let kept = ended.last("summary")["kept_blocks"].as_u64().unwrap() as usize;
    assert!(kept >= 3, "{kept}");
    assert_eq!(http.bytes_asked(), 20 * MIB - kept * BLOCK);
    session.cancel();
}

#[test]
fn the_standard_output_carries_what_is_fetched() {
    let (room, _http) = room(5 * MIB + 3, |_| Fault::No);
    let mut command = room.receive("-");
    let output = command.args(["--fallback", "only", "--image", "image.bin", "--spool", "2"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(output.stdout == std::fs::read(&room.image).unwrap());
}

#[test]
fn what_cannot_be_fetched_is_an_error_that_says_why() {
    let only = ["--fallback", "only", "--image"];
    let (room, _http) = room(3 * MIB, |_| Fault::Status("412 Precondition Failed", "X: y"));
    let ended = Program::start(room.receive("copy").args(only).arg("image.bin")).end();
    ended.check_error(4, &["other bytes"]);
    let at = |server: SocketAddr, image: &str| {
        let mut command = client();
        command.args(["receive", "--output", "copy", "--wait", "1s", "--server", &server.to_string()]);
        command.args(only).arg(image).current_dir(room.folder.path());
        Program::start(&mut command).end()
    };
    at(room.engine.control_address(), "no such").check_error(3, &["no image named \"no such\""]);
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    at(nobody.local_addr().unwrap(), "image.bin").check_error(3, &["asking the server"]);
    let trust = Fingerprint::from_bytes([7; 32]).to_string();
    let ended = Program::start(room.receive("copy").args(only).args(["image.bin", "--trust", &trust])).end();
    ended.check_error(4, &["without TLS", "--trust"]);
    let nothing = Room::new(MIB);
    let ended = Program::start(nothing.receive("copy").args(only).arg("image.bin")).end();
    ended.check_error(4, &["no content for single clients"]);
}

/// A room whose content is served over TLS by `site`, and told to be so by the fingerprint `told`.
fn secret_room(site: &SiteIdentity, told: Fingerprint) -> (Room, HttpServer) {
    let mut http = None;
    let config = site.server_config();
    let room = Room::with_content(3 * MIB, |content: Content| {
        let config = config.clone();
        let server = http.insert(HttpServer::start_over(
            content,
            |_| Fault::No,
            move |stream| {
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                Box::new(rustls::StreamOwned::new(connection, stream))
            },
        ));
        Some(ContentLocation { port: server.address.port(), tls: Some(*told.bytes()) })
    });
    (room, http.unwrap())
}

#[test]
fn over_tls_it_fetches_from_the_holder_of_the_key_and_from_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = ["127.0.0.1".to_owned()];
    let (site, _) = SiteIdentity::open_or_create(folder.path(), "Lab", &hosts, SystemTime::now()).unwrap();
    let (right, wrong) = (site.fingerprint(), Fingerprint::from_bytes([7; 32]));
    let only = ["--json", "--fallback", "only", "--image", "image.bin"];

    let (room, http) = secret_room(&site, right);
    let ended = Program::start(room.receive("copy").args(only).args(["--trust", &right.to_string()])).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(room.is_identical("copy"));
    assert_eq!(ended.last("unicast")["checked"], true);
    assert_eq!(ended.last("unicast")["from"], format!("https://{}", http.address));

    let ended = Program::start(room.receive("again").args(only)).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.last("unicast")["checked"], false, "it is the server's own word");
    assert_eq!(ended.last("unicast")["fingerprint"], right.to_string());

    let asked = http.requests().len();
    let ended = Program::start(room.receive("not").args(only).args(["--trust", &wrong.to_string()])).end();
    ended.check_error(4, &[&right.to_string(), &wrong.to_string()]);
    assert_eq!(http.requests().len(), asked);

    // Somebody else answers in the place of the site that is trusted.
    let (room, http) = secret_room(&site, wrong);
    let ended = Program::start(room.receive("not").args(only).args(["--trust", &wrong.to_string()])).end();
    ended.check_error(4, &[&right.to_string(), "not the trusted"]);
    assert!(http.requests().is_empty() && !room.path("not").exists());
}
