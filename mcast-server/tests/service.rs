//! `mcast-server serve` as what runs it sees it: its log, what it tells systemd, and its metrics, which the dashboard
//! shows.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{LIMIT, Program, Room, server};
use tempfile::TempDir;

const TOKEN: &str = "mcast_only-for-this-test-0123456789";

/// A distribution point in the room's folder.
struct Point {
    room: Room,
    program: Program,
    control: SocketAddr,
    http: SocketAddr,
}

impl Point {
    fn start(extra: &str, command: impl FnOnce(&mut Command)) -> Self {
        let room = Room::new(300_000);
        fs::create_dir(room.path("images")).unwrap();
        fs::copy(&room.image, room.path("images/lab.img")).unwrap();
        let control: SocketAddr = ([127, 0, 0, 1], free_port(true)).into();
        let http: SocketAddr = ([127, 0, 0, 1], free_port(false)).into();
        let settings = format!(
            "[site]\nstate = \"state\"\n[server]\ninterface = \"lo\"\ncontrol_port = {}\n[content]\nimages = \"images\"\n\
             [http]\nlisten = \"{http}\"\n[[token]]\nname = \"test\"\nrole = \"metrics\"\ntoken = \"{TOKEN}\"\n{extra}",
            control.port()
        );
        let config = room.path("server.toml");
        fs::write(&config, settings).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        let mut serve = server();
        serve.arg("serve").arg("--config").arg(&config);
        // Whoever runs the tests may himself be run by systemd.
        for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"] {
            serve.env_remove(variable);
        }
        command(&mut serve);
        Self { program: Program::start(&mut serve), room, control, http }
    }

    /// The metrics, once the server answers.
    fn metrics(&self) -> String {
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            if let Ok(answer) = get(self.http, "/metrics")
                && let Some((head, body)) = answer.split_once("\r\n\r\n")
                && head.starts_with("HTTP/1.1 200")
            {
                return body.to_owned();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no metrics at {}", self.http);
    }

    /// The metrics, once they hold this.
    fn metrics_with(&self, wanted: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let text = self.metrics();
            if text.contains(wanted) {
                return text;
            }
            assert!(Instant::now() < end, "no {wanted:?} in {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn end(self) -> (Room, support::program::Ended) {
        self.program.signal(Signal::SIGTERM);
        (self.room, self.program.end())
    }
}

/// The socket at which systemd listens to a service.
struct Systemd {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Systemd {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self { folder, socket }
    }

    fn manage(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
    }

    /// Waits for the next message with this in it.
    fn hear(&mut self, wanted: &str) -> String {
        let mut others = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let length =
                self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted} ({error}): {others:?}"));
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.contains(wanted) {
                return said;
            }
            others.push(said);
        }
    }
}

fn free_port(udp: bool) -> u16 {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound =
        if udp { UdpSocket::bind(any).unwrap().local_addr() } else { TcpListener::bind(any).unwrap().local_addr() };
    bound.unwrap().port()
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn every_line_of_a_json_log_is_an_object() {
    let point = Point::start("[log]\nformat = \"json\"\n", |_| {});
    point.metrics_with("mcast_images{state=\"ready\"} 1");
    point.program.signal(Signal::SIGHUP);
    let (_room, ended) = point.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |text: &str| lines.iter().find(|line| line["fields"]["message"].as_str() == Some(text));
    assert_eq!(said("image is ready").unwrap()["fields"]["image"], "lab.img", "{}", ended.stderr);
    assert!(said("serving").is_some_and(|line| line["level"] == "INFO"), "{}", ended.stderr);
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["target"].is_string(), "{line}");
    }
}

#[test]
fn a_reload_changes_how_much_is_logged() {
    let mut systemd = Systemd::new();
    let point = Point::start("[log]\nformat = \"json\"\nlevel = \"warn\"\n", |command| systemd.manage(command));
    systemd.hear("READY=1");
    let config = point.room.path("server.toml");
    let text = fs::read_to_string(&config).unwrap().replace("\"warn\"", "\"info\"");
    fs::write(&config, text).unwrap();
    point.program.signal(Signal::SIGHUP);
    systemd.hear("READY=1");
    let (_room, ended) = point.end();
    let said: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("\"INFO\"")).collect();
    assert!(!said.iter().any(|line| line.contains("\"serving\"")), "{}", ended.stderr);
    assert!(said.iter().any(|line| line.contains("sessions go on with the next start")), "{}", ended.stderr);
}

#[test]
fn systemd_is_told_of_the_start_reloads_signs_of_life_and_the_stop() {
    let mut systemd = Systemd::new();
    let point = Point::start("", |command| {
        systemd.manage(command);
        command.env("WATCHDOG_USEC", "400000");
    });
    let mut until = |wanted: &str| systemd.hear(wanted);
    until("READY=1");
    until("STATUS=1 of 1 image ready, 0 sessions, 0 active clients");
    let begun = Instant::now();
    (0..4).for_each(|_| drop(until("WATCHDOG=1")));
    assert!(begun.elapsed() < Duration::from_secs(4 * 4), "twice as often as asked for: {:?}", begun.elapsed());
    point.program.signal(Signal::SIGHUP);
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="));
    until("READY=1");
    let config = point.room.path("server.toml");
    fs::write(&config, "wrong").unwrap();
    point.program.signal(Signal::SIGHUP);
    until("RELOADING=1");
    until("READY=1");
    point.program.signal(Signal::SIGTERM);
    until("STOPPING=1");
    let ended = point.program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("the settings stay as they were"), "{}", ended.stderr);
}

/// The names and labels of all series in a text of metrics, and the values of each label.
fn series(metrics: &str) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut all: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = match line.split_once('{') {
            Some((name, rest)) => (name, rest.split_once('}').unwrap().0),
            None => (line.split(' ').next().unwrap(), ""),
        };
        let of = all.entry(name.to_owned()).or_default();
        for (label, value) in labels.split(',').filter_map(|pair| pair.split_once('=')) {
            of.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
    all
}

/// The dashboard's expressions, with the panel that each is of.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    };
    dashboard["panels"].as_array().unwrap().iter().flat_map(of_panel).collect()
}

/// Words of an expression that begin as our metrics do.
fn metrics_of(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("mcast_"))
}

#[test]
fn the_dashboard_shows_what_the_server_exposes_and_labels_are_bounded() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let point = Point::start("[start]\nclients = 2\n", |_| {});
    point.metrics_with("mcast_images{state=\"ready\"} 1");
    // One client waits for a second one, so that there is a session.
    let client = point.room.client_of("lab.img", point.control, 1, "copy");
    let exposed = series(&point.metrics_with("mcast_session_clients"));

    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().filter_map(|v| v["name"].as_str()).collect();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() >= 15, "{}", expressions.len());
    let mut shown = BTreeSet::new();
    for (panel, expression) in &expressions {
        let names: Vec<&str> = metrics_of(expression).collect();
        assert!(!names.is_empty(), "{panel}: {expression}");
        // Those of a server that boots machines are compared where one does (serve_pxe.rs).
        for name in names.into_iter().filter(|name| !name.starts_with("mcast_pxe_")) {
            assert!(exposed.contains_key(name), "{panel} shows {name}, which is not among {:?}", exposed.keys());
            shown.insert(name.to_owned());
        }
        for variable in expression.split('$').skip(1) {
            let name = variable.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            assert!(variables.contains(&name) || name == "__rate_interval", "{panel} uses ${name}: {variables:?}");
        }
    }
    let missing: Vec<_> = exposed.keys().filter(|name| !shown.contains(*name)).collect();
    assert!(missing.is_empty(), "the dashboard does not show {missing:?}");

    let states: BTreeSet<_> = ["settling", "hashing", "ready", "broken", "active", "complete", "failed"].into();
    for (name, labels) in &exposed {
        for (label, values) in labels {
            match label.as_str() {
                "state" => assert!(values.iter().all(|value| states.contains(value.as_str())), "{name}: {values:?}"),
                // One for each session that runs, of which there is one.
                "session" | "image" => assert!(values.len() == 1, "{name}: {values:?}"),
                other => panic!("{name} has a label {other:?}, whose values nobody bounds"),
            }
        }
    }
    client.cancel();
    let _ = client.wait();
    let (_room, ended) = point.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_token_that_was_made_opens_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test-token");
    let made = support::run(folder.path(), &["token", "--file", path.to_str().unwrap()]);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = made.events.iter().filter_map(Value::as_str).collect();
    let lines = lines.join("\n").replace("\"test\"", "\"made\"");
    let point = Point::start(&lines, |_| {});
    point.metrics();
    let token = fs::read_to_string(&path).unwrap();
    let mut stream = TcpStream::connect(point.http).unwrap();
    let request = "GET /api/v1/sessions HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer";
    write!(stream, "{request} {}\r\n\r\n", token.trim()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("[]"), "{answer}");
    let again = support::run(folder.path(), &["token", "--file", path.to_str().unwrap()]);
    again.check_error(1, &["exists and is left as it is"]);
    let lonely = support::run(folder.path(), &["token", "--owner", "nobody"]);
    assert!(lonely.code == Some(2) && lonely.stderr.contains("--file <FILE>"), "{}", lonely.stderr);
    let unknown = support::run(folder.path(), &["token", "--file", "x", "--owner", "no-such-user"]);
    unknown.check_error(1, &["there is no user \"no-such-user\""]);
    assert!(!folder.path().join("x").exists());
}
