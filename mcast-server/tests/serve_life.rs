//! From the start to the end and on: restarts, reloads, and starts that cannot be.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rcgen::{CertificateParams, KeyPair};
use support::LIMIT;
use support::http::{Events, connect, head};
use support::point::{OPERATOR, Point, Site, VIEWER, until};

/// A session under way whose two clients have something of the image.
fn under_way(site: &mut Site) -> (Point, Vec<support::point::Guest>, Vec<u8>) {
    site.set("rate.custom", "\"12mbit\"");
    let content = site.image("a.img", 6 << 20, 1);
    let point = site.start();
    let guests = vec![site.client("a.img", 1), site.client("a.img", 2)];
    guests.iter().for_each(|guest| _ = guest.joined());
    point.session("a.img", |session| session["active"] == 2 && session["progress"].as_f64().unwrap() > 0.2);
    (point, guests, content)
}

/// The clients go on with what they have, in a session that nobody had to ask for anew.
fn check_goes_on(site: &Site, guests: Vec<support::point::Guest>, content: &[u8]) {
    let point = site.start();
    point.session("a.img", |session| session["active"] == 2);
    for guest in ["pc-1", "pc-2"] {
        point.log.wait(&format!("{guest} holds"));
    }
    guests.into_iter().for_each(|guest| guest.check(content));
    let ended = point.get("/api/v1/sessions?ended=10").json();
    let told = |session: &serde_json::Value| session["outcome"].as_str().is_some_and(|text| text.contains("taken up"));
    assert!(ended.as_array().unwrap().iter().any(told), "{ended}");
}

#[test]
fn after_a_stop_clients_go_on_with_the_next_start() {
    let mut site = Site::new();
    let (point, guests, content) = under_way(&mut site);
    // Whoever looks on does not hold it up.
    let mut news = Events::open(point.http, "/api/v1/events", VIEWER);
    let (code, took) = point.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(4), "{took:?}");
    while news.next().is_some() {}
    check_goes_on(&site, guests, &content);
}

#[test]
fn an_answer_under_way_at_a_stop_is_sent_to_its_end() {
    let site = Site::new();
    // More than the system takes from a server in advance.
    let content = site.image("a.img", 48 << 20, 1);
    let point = site.start();
    point.image("a.img", "ready");
    let mut stream = connect(point.http).unwrap();
    write!(stream, "GET /content/images/a.img HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut from = BufReader::new(stream);
    assert_eq!(head(&mut from).unwrap().0, 200);
    let mut taken = vec![0; 10_000];
    from.read_exact(&mut taken).unwrap();
    point.signal(Signal::SIGTERM);
    until("the port to be closed", || TcpStream::connect(point.http).is_err().then_some(()));
    // Long enough for a server that waits for nobody to be gone, and far less than it waits.
    std::thread::sleep(Duration::from_millis(500));
    from.read_to_end(&mut taken).unwrap();
    assert!(taken == content, "{} of {} bytes", taken.len(), content.len());
    assert_eq!(point.end(), Some(0));
}

#[test]
fn after_a_crash_clients_go_on_with_the_next_start() {
    let mut site = Site::new();
    let (point, guests, content) = under_way(&mut site);
    point.kill();
    check_goes_on(&site, guests, &content);
}

#[test]
fn a_start_that_fails_loses_no_session() {
    let mut site = Site::new();
    let (point, guests, content) = under_way(&mut site);
    point.kill();
    let taken = UdpSocket::bind(("0.0.0.0", site.control.number)).unwrap();
    site.start_in_vain().check_error(1, &["in use"]);
    drop(taken);
    check_goes_on(&site, guests, &content);
}

#[test]
fn a_session_whose_image_has_gone_is_over() {
    let mut site = Site::new();
    let (point, guests, _) = under_way(&mut site);
    point.kill();
    drop(guests);
    fs::remove_file(site.path("images/a.img")).unwrap();
    let point = site.start();
    let outcome = until("the session's end", || {
        let ended = point.get("/api/v1/sessions?ended=10").json();
        ended.as_array().unwrap().iter().find_map(|session| session["outcome"].as_str().map(str::to_owned))
    });
    assert!(outcome.contains("does not serve the image any more"), "{outcome}");
}

#[test]
fn a_session_that_waited_waits_again_after_a_restart() {
    let mut site = Site::new();
    site.table("[[image]]\nfile = \"a.img\"\nstart.clients = 2\n");
    let content = site.image("a.img", 100_000, 1);
    let point = site.start();
    let first = site.client("a.img", 1);
    first.joined();
    point.session("a.img", |session| session["active"] == 1);
    assert_eq!(point.terminate().0, Some(0));
    let point = site.start();
    let session = point.session("a.img", |session| session["active"] == 1);
    assert_eq!(session["state"], "waiting");
    let second = site.client("a.img", 2);
    first.check(&content);
    second.check(&content);
}

#[test]
fn a_reload_takes_over_what_it_can_and_says_what_has_to_wait() {
    let mut site = Site::new();
    site.image("a.img", 1000, 1);
    let point = site.start();
    point.image("a.img", "ready");
    site.set("session.linger", "\"7m\"").set("rate.total", "\"100mbit\"");
    site.tables = site.tables.replace(VIEWER, "another-0123456789abcdef");
    site.table("[[image]]\nfile = \"a.img\"\nversion = \"8\"\npriority = 9\n");
    site.write_config();
    point.signal(Signal::SIGHUP);
    point.log.wait("applied: session.linger: \\\"5m\\\" → \\\"7m\\\" (at once)");
    point.log.wait("applied: image \\\"a.img\\\"");
    point.log.wait("needs a restart: rate.total: none → \\\"100mbit\\\" (at the next start)");
    let token = point.log.wait("applied: token \\\"wall\\\" token: changed");
    assert!(!token.contains("0123456789abcdef"), "{token}");
    let setting = |key: &str| {
        let all = point.get("/api/v1/settings").json();
        all.as_array()
            .unwrap()
            .iter()
            .find(|one| one["key"] == key)
            .map(|one| one["value"].as_str().unwrap().to_owned())
    };
    assert!(setting("session.linger").unwrap().contains("7m"));
    assert!(!setting("rate.total").is_some_and(|rate| rate.contains("100")), "what counts now is shown");
    assert!(!point.get("/api/v1/settings").text().contains("0123456789abcdef"), "secrets are not shown");
    until("the image's new terms", || (point.image("a.img", "ready")["version"] == "8").then_some(()));
    let status = |token| point.ask("GET", "/api/v1/site", Some(token), None).status;
    assert_eq!([status(VIEWER), status("another-0123456789abcdef"), status(OPERATOR)], [401, 200, 200]);

    let lines = point.log.lines().len();
    fs::write(site.path("server.toml"), "[content]\nimagse = \"images\"\n").unwrap();
    point.signal(Signal::SIGHUP);
    let told = point.log.wait_after(lines, "the settings stay as they were");
    assert!(told.contains("imagse") && told.contains("images"), "{told}");
    assert!(setting("session.linger").unwrap().contains("7m"));
    let lines = point.log.lines().len();
    site.write_config();
    fs::set_permissions(site.path("server.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    point.signal(Signal::SIGHUP);
    point.log.wait_after(lines, "chmod o-rwx");
    let lines = point.log.lines().len();
    site.write_config();
    point.signal(Signal::SIGHUP);
    point.log.wait_after(lines, "needs a restart: rate.total");
    assert_eq!(point.ask("GET", "/api/v1/health", None, None).status, 200);
}

/// Waits until a stream ends well, whatever it tells until then.
fn ends(stream: &mut Events) {
    let begun = Instant::now();
    while stream.next().is_some() {
        assert!(begun.elapsed() < LIMIT, "it goes on and on");
    }
}

#[test]
fn a_reload_ends_the_streams_of_tokens_that_are_gone_and_no_others() {
    let mut site = Site::new();
    site.set("rate.custom", "\"4mbit\"");
    let content = site.image("a.img", 4 << 20, 1);
    let point = site.start();
    let guest = site.client("a.img", 1);
    guest.joined();
    let id = point.session("a.img", |session| session["active"] == 1)["id"].as_str().unwrap().to_owned();
    let map = format!("/api/v1/sessions/{id}/map");
    let [mut news, mut stays] = [VIEWER, OPERATOR].map(|token| Events::open(point.http, "/api/v1/events", token));
    let mut map = Events::open(point.http, &map, VIEWER);
    for stream in [&mut news, &mut stays, &mut map] {
        assert!(stream.next().is_some());
    }
    // What has nothing to do with a token ends no stream, and neither does another name for it.
    site.set("session.linger", "\"1s\"");
    site.tables = site.tables.replace("name = \"wall\"", "name = \"wall-2\"");
    site.write_config();
    point.signal(Signal::SIGHUP);
    point.log.wait("applied: session.linger");
    assert!(news.next().is_some() && map.next().is_some());

    site.tables = site.tables.replace(VIEWER, "another-0123456789abcdef");
    site.write_config();
    point.signal(Signal::SIGHUP);
    ends(&mut news);
    ends(&mut map);
    point.log.wait("stream ends: its token opens it no more");
    assert_eq!(point.ask("GET", "/api/v1/site", Some(VIEWER), None).status, 401);
    // The other one hears how it goes on, to its end.
    guest.check(&content);
    while stays.next_of("event")["event"] != "ended" {}
}

/// What an authority would give for this machine, in place of what is there.
fn certify(site: &Site, key: &KeyPair, serial: u64) -> Vec<u8> {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.serial_number = Some(serial.into());
    let certificate = params.self_signed(key).unwrap();
    fs::write(site.path("site.crt"), certificate.pem()).unwrap();
    fs::write(site.path("site.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(site.path("site.key"), fs::Permissions::from_mode(0o600)).unwrap();
    certificate.der().to_vec()
}

/// What the server shows to whoever connects now.
fn shown(point: &Point) -> Vec<u8> {
    // Another test of this process may have done so.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::blocking::Client::builder().no_proxy().tls_info(true);
    let client = builder.tls_danger_accept_invalid_certs(true).build().unwrap();
    let answer = client.get(format!("https://{}/api/v1/health", point.http)).send().unwrap();
    let peer = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    peer.peer_certificate().unwrap().to_vec()
}

#[test]
fn a_renewed_certificate_is_taken_over_by_a_reload_and_another_key_is_not() {
    let mut site = Site::new();
    let [key, other] = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
    let first = certify(&site, &key, 1);
    let path = |name: &str| format!("{:?}", site.path(name));
    let (certificate, secret) = (path("site.crt"), path("site.key"));
    site.set("http.tls", "\"always\"").set("http.certificate", &certificate).set("http.key", &secret);
    let point = site.start();
    assert_eq!(shown(&point), first);
    let second = certify(&site, &key, 2);
    assert_eq!(shown(&point), first, "a file that is being replaced is not read by itself");
    point.signal(Signal::SIGHUP);
    point.log.wait("the certificate is taken over");
    assert_eq!(shown(&point), second);

    certify(&site, &other, 3);
    let lines = point.log.lines().len();
    point.signal(Signal::SIGHUP);
    point.log.wait_after(lines, "needs a restart: the key of the certificate");
    fs::write(site.path("site.crt"), "nothing").unwrap();
    let lines = point.log.lines().len();
    point.signal(Signal::SIGHUP);
    let told = point.log.wait_after(lines, "the certificate stays as it was");
    assert!(told.contains("site.crt"), "{told}");
    assert_eq!(shown(&point), second);
}

/// Settings are refused with their place in the file.
fn check_refused(ended: &support::program::Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?} in: {}", ended.stderr);
    }
}

#[test]
fn a_secret_that_everybody_can_read_is_refused() {
    let site = Site::new();
    let config = site.write_config();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = support::run(site.folder.path(), &["serve", "--config", config.to_str().unwrap()]);
    check_refused(&ended, &["server.toml:", "mode 0644", "chmod o-rwx"]);
    assert!(!ended.stderr.contains(OPERATOR));

    let mut site = Site::new();
    fs::write(site.path("token"), OPERATOR).unwrap();
    fs::set_permissions(site.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    site.tables = "[[token]]\nname = \"ops\"\nrole = \"operator\"\ntoken_file = \"token\"\n".to_owned();
    check_refused(&site.start_in_vain(), &["token_file", "0644", "chmod"]);
    fs::set_permissions(site.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(site.start().get("/api/v1/site").status, 200);
}

#[test]
fn a_port_that_another_program_has_is_named() {
    let site = Site::new();
    // The first start has more to say: it makes the site's certificate.
    assert_eq!(site.start().terminate().0, Some(0));
    let taken = TcpListener::bind(("127.0.0.1", site.http.number)).unwrap();
    let port = site.http.number.to_string();
    site.start_in_vain().check_error(1, &["cannot listen on 127.0.0.1", &port, "http.listen", "another program"]);
    drop(taken);

    let taken = UdpSocket::bind(("0.0.0.0", site.control.number)).unwrap();
    let port = site.control.number.to_string();
    site.start_in_vain().check_error(1, &[&port, "in use"]);
    drop(taken);

    let mut site = site;
    let metrics = support::point::Port::free();
    let taken = TcpListener::bind(("127.0.0.1", metrics.number)).unwrap();
    site.set("http.metrics_listen", &format!("\"127.0.0.1:{}\"", metrics.number));
    site.start_in_vain().check_error(1, &["http.metrics_listen", &metrics.number.to_string()]);
    drop(taken);
    // Another server of ours is another program, too.
    let point = site.start();
    site.start_in_vain().check_error(1, &["cannot listen"]);
    assert_eq!(point.get("/api/v1/site").status, 200);
}

#[test]
fn damaged_state_is_named_and_never_thrown_away() {
    let site = Site::new();
    assert_eq!(site.start().terminate().0, Some(0));
    let id = fs::read_to_string(site.path("state/server-id")).unwrap();
    assert_eq!(site.start().terminate().0, Some(0));
    assert_eq!(fs::read_to_string(site.path("state/server-id")).unwrap(), id, "it stays the same server");
    for damaged in ["", "xyz", "0123456789abcde", "0123456789abcdefg\n"] {
        fs::write(site.path("state/server-id"), damaged).unwrap();
        site.start_in_vain().check_error(1, &["server-id", "damaged", "remove it"]);
        assert_eq!(fs::read_to_string(site.path("state/server-id")).unwrap(), damaged);
    }
    fs::write(site.path("state/server-id"), &id).unwrap();

    let database = site.path("state/site.sqlite");
    let sound = fs::read(&database).unwrap();
    let mut damaged = sound.clone();
    damaged[..100].copy_from_slice(&support::point::noise(100, 1));
    for damaged in [damaged, b"no database at all".repeat(500)] {
        fs::write(&database, &damaged).unwrap();
        site.start_in_vain().check_error(1, &["site.sqlite", "no SQLite database, or it is damaged", "restore"]);
        assert!(fs::read(&database).unwrap() == damaged);
    }
    fs::write(&database, &sound).unwrap();
    assert_eq!(site.start().terminate().0, Some(0));
}

#[test]
fn a_state_folder_that_cannot_be_used_is_named() {
    let mut site = Site::new();
    fs::write(site.path("file"), "").unwrap();
    site.set("site.state", "\"file/state\"");
    site.start_in_vain().check_error(1, &["state folder", "file/state", "site.state"]);
    site.set("site.state", "\"file\"");
    site.start_in_vain().check_error(1, &["file", "site.state"]);
    site.set("site.state", "\"state\"");
    fs::set_permissions(site.path("state"), fs::Permissions::from_mode(0o500)).unwrap();
    site.start_in_vain().check_error(1, &["state", "ermission denied"]);
}
