//! A bare machine as operators see it: from the first refusal to the client that runs. The machine is played as far
//! as HTTP goes, which is what iPXE and the booted client speak.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::{Value, json};
use support::http::{Answer, Events, ask};
use support::point::{BootPorts, METRICS, OPERATOR, Point, Site, VIEWER, until};

const MAC: &str = "52:54:00:00:00:01";

/// A server that boots machines, and what it takes to stop being one.
struct Bench {
    site: Site,
    point: Point,
    /// Where iPXE asks.
    boot: SocketAddr,
    _ports: BootPorts,
}

impl Bench {
    fn start() -> Self {
        Self::with("off", "")
    }

    fn with(mode: &str, tables: &str) -> Self {
        let ports = BootPorts::take();
        let mut site = Site::new();
        site.image("lab.img", 1000, 1);
        let point = site.table(tables).booting(mode, &ports).start();
        let boot = ([127, 0, 0, 1], ports.http.number).into();
        Self { site, point, boot, _ports: ports }
    }

    fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let body = body.to_string();
        let answer = self.point.ask(method, &format!("/api/v1/pxe/{path}"), Some(OPERATOR), Some(&body));
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
        answer.json()
    }

    fn get(&self, path: &str) -> Value {
        self.point.get(format!("/api/v1/pxe/{path}").trim_end_matches('/')).json()
    }

    /// Puts files on it as a boot image.
    fn put_image(&self, name: &str, files: &[(&str, &[u8])]) -> Answer {
        let mut body = Vec::new();
        for (file, content) in files {
            let head = format!(
                "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file}\"\r\nContent-Type: \
                 application/octet-stream\r\n\r\n"
            );
            body.extend([head.as_bytes(), content, b"\r\n"].concat());
        }
        body.extend(b"--X--\r\n");
        self.put_form(name, &body)
    }

    fn put_form(&self, name: &str, body: &[u8]) -> Answer {
        let bearer = format!("Bearer {OPERATOR}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "multipart/form-data; boundary=X")];
        ask(self.point.http, "PUT", &format!("/api/v1/pxe/images/{name}"), &headers, body).unwrap()
    }

    /// The script that the machine gets.
    fn script(&self) -> String {
        let of = format!("mac={MAC}&uuid=&firmware=efi&build=x86_64&wide=1");
        let answer = ask(self.boot, "GET", &format!("/pxe/v1/scripts/machine?{of}"), &[], b"").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// Waits until the script has this in it: a change takes a moment to be known.
    fn script_with(&self, part: &str) -> String {
        until(part, || Some(self.script()).filter(|script| script.contains(part)))
    }

    fn machine(&self) -> Value {
        let machines = self.get("machines");
        machines.as_array().unwrap().iter().find(|machine| machine["mac"] == MAC).cloned().unwrap_or_default()
    }

    /// Names in the folder of boot images.
    fn folder(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.site.path("state/boot-images")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Enough of a Linux kernel of 64 bits to be one (Documentation/arch/x86/boot.rst).
fn kernel(bytes: usize) -> Vec<u8> {
    let mut kernel = vec![0; bytes];
    for (at, part) in [(0x1fe, &[0x55, 0xaa][..]), (0x202, b"HdrS"), (0x206, &[0x0f, 2]), (0x236, &[1, 0])] {
        kernel[at..at + part.len()].copy_from_slice(part);
    }
    kernel
}

/// What stands behind `name` in a text, to the next space.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let rest = text.split_once(name).unwrap_or_else(|| panic!("no {name} in {text}")).1;
    rest.split([' ', '\n']).next().unwrap()
}

/// Names of metrics of bare machines in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let words = lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|word| word.starts_with("mcast_pxe_")).collect()
}

#[test]
#[ignore = "needs root for UDP 67 and 69: a scenario of the lab"]
fn a_machine_is_followed_from_its_refusal_to_its_client_and_boots_once() {
    let bench = Bench::start();
    let mut news = Events::open(bench.point.http, "/api/v1/events", VIEWER);

    // Whom nobody knows is refused, with the reason wherever one looks.
    let refusal = "the site does not know this machine";
    assert!(bench.script().contains(refusal));
    let told = news.next_of("boots");
    assert_eq!((&told["server"], &told["machines"][0]["mac"]), (&json!("here"), &json!(MAC)));
    let machine = bench.machine();
    assert_eq!((&machine["refused"], &machine["platform"]), (&json!(true), &json!("uefi-x64")), "{machine}");
    let log = until("the refusal in the log", || {
        let log = bench.get("log?refused=true&mac=52-54-00-00-00-01");
        log.as_array().unwrap().first().cloned()
    });
    assert!(log["text"].as_str().unwrap().contains(refusal), "{log}");
    assert_eq!((&log["refused"], &log["computer"], &log["server"]), (&json!(true), &Value::Null, &json!("here")));

    // What is missing is named before anyone boots.
    bench.send("POST", "computers", json!({ "name": "pc-1", "macs": [MAC] }));
    let deployment = json!({ "name": "install", "target": "computer:pc-1", "boot_image": "client", "image": "lab.img", "once": true });
    bench.send("POST", "deployments", deployment);
    let check = until("what is missing", || {
        Some(bench.get("check")).filter(|check| check["findings"].to_string().contains("boot image client"))
    });
    assert_eq!(check["ready"], false, "{check}");
    let put = bench.put_image("client", &[("vmlinuz", &kernel(5000)), ("initrd.img", b"\x1f\x8b of a kind")]);
    assert_eq!(put.status, 200, "{}", put.text());
    let platforms: Vec<_> =
        put.json()["programs"].as_array().unwrap().iter().map(|one| one["platform"].clone()).collect();
    assert_eq!(platforms, ["bios", "uefi-x64"]);

    // It loads what its script names, and its client says hello with the token that stands there.
    let script = bench.script_with("mcast.token=");
    let token = value(&script, "mcast.token=").to_owned();
    for name in ["kernel --name vmlinuz ", "initrd --name initramfs0 "] {
        let url = value(&script, name).replace("${netX/mac:hexhyp}", &MAC.replace(':', "-"));
        let path = url.split_once("/pxe/v1").unwrap().1;
        let file = ask(bench.boot, "GET", &format!("/pxe/v1{path}"), &[], b"").unwrap();
        assert_eq!(file.status, 200, "{url}");
    }
    assert_eq!(
        until("it to have loaded", || Some(bench.machine()).filter(|one| one["stage"] == "kernel"))["computer"],
        "pc-1"
    );
    let done = until("what is done once", || {
        Some(bench.get("deployments")[0]["done"].clone()).filter(|done| *done != json!([]))
    });
    assert_eq!(done, json!(["pc-1"]));
    let hello = json!({ "boot": "1", "host": "pc-1", "macs": [MAC] }).to_string();
    let welcome = bench.point.ask("POST", "/pxe/v1/hello", Some(&token), Some(&hello));
    assert_eq!((welcome.status, welcome.json()), (200, json!({ "deployment": "install", "image": "lab.img" })));
    let machine = bench.machine();
    assert_eq!((&machine["stage"], &machine["refused"]), (&json!("client"), &json!(false)), "{machine}");
    while news.next_of("boots")["machines"][0]["stage"] != "client" {}

    // Once is once, until an operator says otherwise.
    bench.script_with("is done");
    assert_eq!(
        bench.send("POST", "deployments/install/again", json!({ "computer": "pc-1" })),
        json!({ "machines": 1 })
    );
    bench.script_with("mcast.token=");

    let metrics = bench.point.ask("GET", "/metrics", Some(METRICS), None).text();
    for line in ["mcast_pxe_steps_total{stage=\"client\"} 1", "mcast_pxe_leases 0", "mcast_pxe_site_reachable 1"] {
        assert!(metrics.contains(line), "no {line} in:\n{metrics}");
    }
    assert!(!metrics.contains(MAC) && !metrics.contains("pc-1"), "no label is a machine");
    let dashboard = include_str!("../../docs/grafana-dashboard.json");
    assert_eq!(names(&metrics), names(dashboard), "the dashboard shows what there is");
}

/// A DHCP client on the loopback interface, whose answers are broadcasts there.
struct Card {
    socket: UdpSocket,
    last: u8,
}

impl Card {
    fn new(last: u8) -> Self {
        let socket = UdpSocket::bind("0.0.0.0:68").unwrap();
        setsockopt(&socket, sockopt::BindToDevice, &"lo".into()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, last }
    }

    /// Asks for an address until it has one.
    fn lease(&self) -> Ipv4Addr {
        let offered = self.ask(1, &[]);
        let server = [54, 4, 127, 0, 0, 1];
        let leased = self.ask(3, &[&[50, 4], &offered.octets()[..], &server].concat());
        assert_eq!(leased, offered);
        leased
    }

    /// Sends a DHCPDISCOVER (1) or a DHCPREQUEST (3), and gives the address of the answer (RFC 2131 §2).
    fn ask(&self, kind: u8, options: &[u8]) -> Ipv4Addr {
        let mut message = vec![0; 236];
        message[..12].copy_from_slice(&[1, 1, 6, 0, 0, 0, 0, self.last, 0, 0, 0x80, 0]);
        message[28..34].copy_from_slice(&[2, 0, 0, 0, 0, self.last]);
        message.extend([99, 130, 83, 99, 53, 1, kind]);
        message.extend(options);
        message.push(255);
        self.socket.send_to(&message, "127.0.0.1:67").unwrap();
        let mut answer = [0; 2000];
        let (length, _) = self.socket.recv_from(&mut answer).unwrap();
        assert!(length > 240);
        Ipv4Addr::new(answer[16], answer[17], answer[18], answer[19])
    }
}

#[test]
#[ignore = "needs root for UDP 67 and 69: a scenario of the lab"]
fn an_address_whose_lease_is_forgotten_is_somebody_elses_next() {
    let network = "[[pxe.network]]\nnetwork = \"127.0.0.0/8\"\npool = \"127.0.0.50-127.0.0.50\"\n";
    let bench = Bench::with("full", network);
    let address = Card::new(1).lease();
    let leases = until("the lease", || Some(bench.get("leases")).filter(|leases| *leases != json!([])));
    let lease = &leases[0];
    let expected = (json!(address.to_string()), json!("02:00:00:00:00:01"), json!("127.0.0.0/8"), json!("here"));
    assert_eq!(
        (&lease["address"], &lease["mac"], &lease["network"], &lease["server"]),
        (&expected.0, &expected.1, &expected.2, &expected.3)
    );
    assert_eq!(bench.get("")["leases"], 1);
    let forgotten = bench.point.ask("DELETE", &format!("/api/v1/pxe/leases/{address}"), Some(OPERATOR), None);
    assert_eq!((forgotten.status, bench.get("leases")), (200, json!([])), "{}", forgotten.text());
    // The thread that answers hears of it a moment later.
    let metrics = || bench.point.ask("GET", "/metrics", Some(METRICS), None).text();
    until("the lease to end", || metrics().contains("mcast_pxe_leases 0\n").then_some(()));
    assert_eq!(Card::new(2).lease(), address);
}

#[test]
#[ignore = "needs root for UDP 67 and 69: a scenario of the lab"]
fn answering_is_switched_while_it_runs() {
    let bench = Bench::start();
    bench.put_image("client", &[("vmlinuz", &kernel(1000))]);
    bench.send("POST", "deployments", json!({ "name": "all", "target": "all", "boot_image": "client" }));
    assert_eq!(bench.send("PUT", "policy", json!({ "unknown": true }))["unknown_here"], true);
    bench.script_with("mcast.token=");
    assert_eq!(bench.send("PUT", "policy", json!({ "respond": false }))["respond_here"], false);
    bench.script_with("answering is switched off");
    bench.send("PUT", "policy", json!({ "respond": true, "password": "correct horse" }));
    let script = until("the password to be asked for", || Some(bench.script()).filter(|one| one.contains("assword")));
    assert!(
        !script.contains("correct horse") && !script.contains("argon2") && !script.contains("mcast.token"),
        "{script}"
    );
}

#[test]
#[ignore = "needs root for UDP 67 and 69: a scenario of the lab"]
fn an_upload_that_is_refused_or_broken_off_leaves_nothing_and_what_was_there_stays() {
    let bench = Bench::start();
    let put = bench.put_image("client", &[("vmlinuz", &kernel(3000))]);
    assert_eq!(put.status, 200, "{}", put.text());
    let before = (bench.get("images"), bench.folder());

    let refused = bench.put_image("client", &[("vmlinuz", &kernel(4000)), ("notes.txt", b"to be done")]);
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("notes.txt is no part of a boot image"), "{}", refused.text());
    assert_eq!(bench.put_image("..", &[("vmlinuz", &kernel(1000))]).status, 422, "it is no name");
    assert_eq!(bench.put_image(".hidden", &[("vmlinuz", &kernel(1000))]).status, 422);
    // The form ends in the middle.
    let head = b"--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"vmlinuz\"\r\n\r\n";
    assert_eq!(bench.put_form("client", &[&head[..], &kernel(2000)].concat()).status, 400);
    // So does the connection.
    use std::io::Write;
    let mut stream = support::http::connect(bench.point.http).unwrap();
    write!(
        stream,
        "PUT /api/v1/pxe/images/client HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {OPERATOR}\r\nContent-Type: \
         multipart/form-data; boundary=X\r\nContent-Length: 1000000\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&[&head[..], &kernel(100_000)].concat()).unwrap();
    until("the upload to begin", || (bench.folder().len() > before.1.len()).then_some(()));
    drop(stream);
    until("nothing of it to be left", || (bench.folder() == before.1).then_some(()));
    assert_eq!((bench.get("images"), bench.folder()), before);
    let removed = bench.point.ask("DELETE", "/api/v1/pxe/images/client", Some(OPERATOR), None);
    assert_eq!((removed.status, bench.folder()), (200, Vec::new()), "{}", removed.text());
}
