//! What anybody can send to an open port: each has its answer, and none of it keeps others from theirs.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Once;
use std::time::{Duration, Instant};

use serde_json::json;
use support::http::{Answer, Events, answer, ask, connect};
use support::point::{OPERATOR, Point, Site, VIEWER};

/// Checks that the API refuses with this status, in JSON, with these words.
fn check(answer: &Answer, status: u16, words: &[&str]) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let problem = answer.json();
    let text = format!("{}: {}", problem["error"].as_str().unwrap(), problem["help"].as_str().unwrap_or_default());
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

/// Nothing that came before has hurt it.
fn check_alive(point: &Point) {
    let begun = Instant::now();
    assert_eq!(point.ask("GET", "/api/v1/health", None, None).json()["status"], "ok");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_body_that_is_no_wish_is_refused_with_what_is_wrong_and_what_to_send() {
    let mut site = Site::new();
    site.set("http.body_limit", "\"1KiB\"");
    let point = site.start();
    let bearer = format!("Bearer {OPERATOR}");
    let post = |kind: &str, body: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        ask(point.http, "POST", "/api/v1/sessions/1-2", &headers, body.as_bytes()).unwrap()
    };
    let json = "application/json";
    let send = r#"send {"command": "start"}"#;
    check(&post(json, "no json"), 400, &["line 1", send]);
    check(&post(json, "{\"command\": \"start\""), 400, &["EOF", send]);
    check(&post(json, r#"{"command": "start", "when": 3}"#), 422, &["when", "command", send]);
    check(&post(json, r#"{"command": "explode"}"#), 422, &["explode", "`start`", send]);
    check(&post(json, r#"{"command": 3}"#), 400, &["command", send]);
    check(&post(json, "{}"), 422, &["command", send]);
    check(&post(json, &"[".repeat(1000)), 400, &[send]);
    check(&post("text/plain", r#"{"command": "start"}"#), 415, &["application/json", send]);
    check(&post("application/x-www-form-urlencoded", "command=start"), 415, &["application/json", send]);
    check(&post(json, &" ".repeat(1025)), 413, &["1024 bytes", "http.body_limit"]);
    check(&post(json, &" ".repeat(64 << 20)), 413, &["1024 bytes"]);
    check(&post(json, r#"{"command": "start"}"#), 404, &["1-2"]);
    // A body that never comes does not hold its sender's place for ever; one without a length is counted as it comes.
    let chunked = format!("{:x}\r\n{}\r\n0\r\n\r\n", 2000, " ".repeat(2000));
    let mut stream = connect(point.http).unwrap();
    write!(
        stream,
        "POST /api/v1/sessions/1-2 HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nContent-Type: {json}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunked}"
    )
    .unwrap();
    check(&answer(&mut BufReader::new(stream), false).unwrap(), 413, &["1024 bytes"]);
    check_alive(&point);
}

#[test]
fn odd_queries_names_and_methods_are_refused_in_json() {
    let site = Site::new();
    site.image("a.img", 1000, 1);
    let point = site.start();
    let get = |path: &str| point.get(path);
    for query in ["ended=x", "ended=-1", "ended=4294967296", "ended=1001", "ended=", "limit=5", "ended=1&ended=2"] {
        check(&get(&format!("/api/v1/sessions?{query}")), 400, &[]);
    }
    for query in ["limit=0", "limit=1001", "limit=ten", "images=a", "limit=99999999999999999999"] {
        check(&get(&format!("/api/v1/history?{query}")), 400, &[]);
    }
    check(&get("/api/v1/sessions?ended=1001"), 400, &["ended is 1001", "1000"]);
    check(&get("/api/v1/sessions/1-2/map?columns=1025"), 400, &["columns is 1025", "1 to 1024"]);
    let long = "x".repeat(2000);
    let ids =
        ["%00", "..%2f..%2fetc%2fpasswd", "%F0%9F%92%BF", "a%20b", "'%20OR%201=1--", "%22%3Cscript%3E", "-", &long];
    for id in ids {
        check(&get(&format!("/api/v1/sessions/{id}")), 404, &["there is no session"]);
        check(&get(&format!("/api/v1/sessions/{id}/clients")), 404, &["there is no session"]);
        check(&get(&format!("/api/v1/images/{id}")), 404, &["there is no image"]);
        let delete = |id: &str, client: &str| {
            point.ask("DELETE", &format!("/api/v1/sessions/{id}/clients/{client}"), Some(OPERATOR), None)
        };
        check(&delete(id, "1"), 404, &["there is no session"]);
        check(&delete("1-2", id), 404, &[]);
        // The database takes it as a text, whatever is in it.
        assert_eq!(get(&format!("/api/v1/history?image={id}")).json(), json!([]));
    }
    for broken in ["%FF", "%C3%28"] {
        check(&get(&format!("/api/v1/sessions/{broken}")), 400, &["UTF-8"]);
        assert_eq!(get(&format!("/api/v1/history?image={broken}")).json(), json!([]));
    }
    check(&get("/api/v1/nothing"), 404, &["/api/v1/openapi.json"]);
    check(&get("/api/v2/sessions"), 404, &[]);
    for (method, path) in
        [("PUT", "/api/v1/images"), ("DELETE", "/api/v1/sessions"), ("POST", "/"), ("BREW", "/metrics")]
    {
        let answer = point.ask(method, path, Some(OPERATOR), None);
        check(&answer, 405, &["method"]);
        assert!(answer.header("allow").is_some_and(|methods| methods.contains("GET")), "{method} {path}: {answer:?}");
    }
}

#[test]
fn no_path_leads_out_of_the_folders() {
    let site = Site::new();
    site.image("a.img", 1000, 1);
    std::fs::write(site.path("secret"), "secret").unwrap();
    std::fs::write(site.path("packages/.hidden"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", site.path("packages/link")).unwrap();
    let point = site.start();
    point.image("a.img", "ready");
    let ups = ["..", "%2e%2e", ".%2e", "%2E%2E", "%252e%252e", "..%00", "....", "..;", "..%5c"];
    let mut paths: Vec<String> = Vec::new();
    for up in ups {
        for slash in ["/", "%2f", "%5c", "//", "/./", "%c0%af"] {
            for folder in ["packages", "images"] {
                paths.push(format!("/content/{folder}/{up}{slash}secret"));
                paths.push(format!("/content/{folder}/x{slash}{up}{slash}{up}{slash}secret"));
                paths.push(format!("/{up}{slash}{up}{slash}server.toml"));
            }
        }
    }
    for path in
        ["link", ".hidden", "%2fetc%2fpasswd", "/etc/passwd", "./.hidden", "%2ehidden", "file:%2f%2f%2fetc%2fpasswd"]
    {
        paths.push(format!("/content/packages/{path}"));
    }
    for path in paths {
        let answer = point.ask("GET", &path, None, None);
        assert!([400, 404].contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        let text = answer.text();
        assert!(
            !text.contains("operator-0123") && !text.contains("root:") && !text.starts_with("secret"),
            "{path}: {text}"
        );
    }
}

#[test]
fn too_many_headers_too_long_ones_and_too_long_addresses_are_refused() {
    let point = Site::new().start();
    let sent = |text: &str| {
        let mut stream = connect(point.http).unwrap();
        // It need not take all of it.
        let _ = stream.write_all(text.as_bytes());
        answer(&mut BufReader::new(stream), false).map(|answer| answer.status).unwrap_or(0)
    };
    let many: String = (0..5000).map(|number| format!("x-{number}: y\r\n")).collect();
    assert_eq!(sent(&format!("GET /api/v1/health HTTP/1.1\r\nHost: x\r\n{many}\r\n")), 431);
    assert_eq!(sent(&format!("GET /api/v1/health HTTP/1.1\r\nHost: x\r\nx: {}\r\n\r\n", "y".repeat(1 << 20))), 431);
    // Where it cannot be told apart from the other it may be the one or the other.
    assert!([414, 431].contains(&sent(&format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(1 << 20)))));
    // What fits is read to its end.
    assert_eq!(sent(&format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(8 << 10))), 404);
    check_alive(&point);
}

#[test]
fn what_is_no_http_ends_its_own_connection_only() {
    let point = Site::new().start();
    let garbage = support::point::noise(10_000, 7);
    let odd: [&[u8]; 9] = [
        &garbage,
        b"\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /api/v1/health HTTP/9.9\r\n\r\n",
        b"GET /api/v1/health HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /api/v1/health HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/sessions/x HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a handshake of TLS",
    ];
    for text in odd {
        let mut stream = connect(point.http).unwrap();
        let _ = stream.write_all(text);
        let mut back = Vec::new();
        let _ = stream.read_to_end(&mut back);
        let back = String::from_utf8_lossy(&back).into_owned();
        assert!(back.is_empty() || back.starts_with("HTTP/1.1 4"), "{text:?}: {back}");
        check_alive(&point);
    }
    // What is asked in one go is answered in order, until it makes no sense any more.
    let mut stream = connect(point.http).unwrap();
    let one = "GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(format!("{}\x01\x02garbage\r\n\r\n{one}", one.repeat(50)).as_bytes()).unwrap();
    let mut from = BufReader::new(stream);
    for _ in 0..50 {
        assert_eq!(answer(&mut from, false).unwrap().status, 200);
    }
    assert!(answer(&mut from, false).is_ok_and(|answer| answer.status == 400));
    assert!(answer(&mut from, false).is_err(), "nothing behind it counts");
}

/// Connections that say nothing, or begin a request and do not end it.
fn half_open(point: &Point, number: usize) -> Vec<TcpStream> {
    let begun = ["", "GET /api/v1/health HTTP/1.1\r\nHost: x\r\n", "POST /api/v1/sessions/x HTT"];
    let open = |number: usize| {
        let mut stream = connect(point.http).unwrap();
        let _ = stream.write_all(begun[number % begun.len()].as_bytes());
        stream
    };
    (0..number).map(open).collect()
}

#[test]
fn hundreds_of_half_open_connections_keep_nobody_out_and_disturb_nobody() {
    let mut site = Site::new();
    site.set("http.max_connections", "64").set("rate.custom", "\"16mbit\"");
    let content = site.image("a.img", 4 << 20, 1);
    let point = site.start();
    point.image("a.img", "ready");
    // All three are under way: a session, a stream of news, and a fetch of which not all has been taken.
    let guest = site.client("a.img", 1);
    guest.joined();
    let mut news = Events::open(point.http, "/api/v1/events", VIEWER);
    let mut fetch = connect(point.http).unwrap();
    write!(fetch, "GET /content/images/a.img HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut first = [0; 100];
    fetch.read_exact(&mut first).unwrap();

    let mut open = half_open(&point, 300);
    for _ in 0..5 {
        check_alive(&point);
        assert_eq!(point.get("/api/v1/site").status, 200);
        open.extend(half_open(&point, 30));
    }
    point.log.wait("as many connections as allowed are open");
    guest.check(&content);
    news.next_of("event");
    let mut rest = first.to_vec();
    fetch.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(&content), "it was fetched to its end");
    // Who went for others was told so by the end of the connection, the last ones are still there.
    let ended = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let mut byte = [0];
        !matches!(stream.read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let gone = open.iter_mut().map(ended).filter(|ended| *ended).count();
    assert!(gone >= 300 + 5 * 30 - 64, "{gone}");
}

#[test]
fn a_port_that_speaks_tls_survives_what_does_not() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(tokio_rustls::rustls::crypto::ring::default_provider().install_default()));
    let mut site = Site::new();
    site.set("http.tls", "\"always\"").set("http.max_connections", "64");
    let point = site.start();
    assert!(point.log.lines().iter().any(|line| line.contains("fingerprint of the site")));
    let client = reqwest::blocking::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    let alive = || {
        let answer = client.get(format!("https://{}/api/v1/health", point.http)).send().unwrap();
        assert_eq!(answer.status(), 200);
    };
    alive();
    let garbage = support::point::noise(10_000, 8);
    let odd: [&[u8]; 5] = [
        &garbage,
        b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x80\x2e\x01\x00\x02",
    ];
    let mut open = Vec::new();
    for text in odd.iter().cycle().take(200) {
        let mut stream = connect(point.http).unwrap();
        let _ = stream.write_all(text);
        open.push(stream);
    }
    let mut back = [0; 5];
    // An alert, or the end.
    let told = open[1].read(&mut back);
    assert!(told.is_err() || back[0] == 0x15 || back == [0; 5], "no HTTP on the TLS port: {back:?}");
    let begun = Instant::now();
    let fresh = reqwest::blocking::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    assert_eq!(fresh.get(format!("https://{}/api/v1/ready", point.http)).send().unwrap().status(), 200);
    alive();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn with_few_descriptors_it_serves_fewer_connections_and_says_so() {
    let mut site = Site::new();
    site.set("rate.custom", "\"40mbit\"");
    let content = site.image("a.img", 1 << 20, 1);
    let point = site.start_after("ulimit -n 300");
    let told = point.log.wait("connections are served at a time, not 2048");
    assert!(told.contains("300 files") && told.contains("LimitNOFILE"), "{told}");
    let _open = half_open(&point, 400);
    check_alive(&point);
    site.client("a.img", 1).check(&content);
    check_alive(&point);
}
