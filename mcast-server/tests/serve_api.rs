//! The API as its own description has it: every path, method and status; who may ask what; news as they happen.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "serve_api/pxe.rs"]
mod pxe;
mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::http::{Answer, Events, ask};
use support::point::{BootPorts, Guest, METRICS, OPERATOR, Point, Site, VIEWER, until};

/// A server with something to tell of everything: a client that is done, one that waits for a session to be started,
/// and one that waits for its place.
struct Busy {
    site: Site,
    point: Point,
    session: String,
    _waiting: Guest,
    _queued: Guest,
}

impl Busy {
    fn new() -> Self {
        let mut site = Site::new();
        site.set("clients.max", "1");
        site.table("[[image]]\nfile = \"held.img\"\nversion = \"7\"\nstart.on_command = true\n");
        let small = site.image("small.img", 1 << 20, 1);
        site.image("held.img", 2 << 20, 2);
        site.table("[[image]]\nfile = \"only.img\"\nmulticast = \"only\"\n");
        site.image("only.img", 1000, 4);
        site.image("odd \"name\" ä.img", 1000, 3);
        std::fs::write(site.path("packages/driver.zip"), "driver").unwrap();
        let point = site.start();
        site.client("small.img", 1).check(&small);
        let waiting = site.client("held.img", 2);
        waiting.joined();
        let queued = site.client("held.img", 3);
        queued.refused("full");
        let session = point.session("held.img", |session| session["active"] == 1)["id"].as_str().unwrap().to_owned();
        until("the history of the first client", || {
            let history = point.get("/api/v1/history").json();
            history.as_array().unwrap().iter().any(|row| row["state"] == "complete").then_some(())
        });
        Self { site, point, session, _waiting: waiting, _queued: queued }
    }
}

/// A described address, and one request of it.
struct Case {
    method: &'static str,
    path: &'static str,
    to: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    status: u16,
}

fn case(method: &'static str, path: &'static str, to: &str, token: Option<&str>, status: u16) -> Case {
    let headers = token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}"))).into_iter().collect();
    Case { method, path, to: to.to_owned(), headers, body: None, status }
}

impl Case {
    fn body(mut self, body: &str) -> Self {
        self.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        self.body = Some(body.to_owned());
        self
    }

    /// A form with these fields: name, file's name, content.
    fn form(mut self, fields: &[(&str, Option<&str>, &str)]) -> Self {
        let mut body = String::new();
        for (name, file, content) in fields {
            let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
            body += &format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n");
        }
        self.headers.push(("Content-Type".to_owned(), "multipart/form-data; boundary=X".to_owned()));
        self.body = Some(body + "--X--\r\n");
        self
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn ask(&self, point: &Point) -> Answer {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = self.body.as_deref().unwrap_or_default().as_bytes();
        ask(point.http, self.method, &self.to, &headers, body)
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.to))
    }
}

/// The description, and what it says of answers.
struct Described(Value);

impl Described {
    fn of(point: &Point) -> Self {
        let mut description = point.ask("GET", "/api/v1/openapi.json", None, None).json();
        // What is not described is not to be answered either.
        for schema in description["components"]["schemas"].as_object_mut().unwrap().values_mut() {
            if schema["type"] == "object" && schema.get("properties").is_some() {
                schema["additionalProperties"] = json!(false);
            }
        }
        Self(description)
    }

    fn operations(&self) -> impl Iterator<Item = (&String, &String, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods
                .filter(|(_, operation)| operation.is_object())
                .map(move |(method, operation)| (path, method, operation))
        })
    }

    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let of = format!("{method} {path}: {}", answer.status);
        let operation = &self.0["paths"][path][method.to_lowercase()];
        let response = &operation["responses"][answer.status.to_string()];
        assert!(response.is_object(), "{of} is not described: {}", answer.text());
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{of} has a body: {}", answer.text());
            return;
        };
        let kind = answer.header("content-type").unwrap_or_else(|| panic!("{of} has no type"));
        let kind = kind.split(';').next().unwrap();
        let described = content.get(kind).unwrap_or_else(|| panic!("{of} is {kind}, not as described"));
        if kind == "application/json" {
            self.check_schema(&described["schema"], &answer.json(), &of);
        }
    }

    /// Checks a value against a schema, or against a component by its name.
    fn check_schema(&self, schema: &Value, value: &Value, of: &str) {
        let mut schema = match schema {
            Value::String(name) => json!({ "$ref": format!("#/components/schemas/{name}") }),
            schema => schema.clone(),
        };
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let problems: Vec<_> = validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(problems.is_empty(), "{of}: {problems:#?} in {value:#}");
    }
}

/// Asks, checks each answer against the description, and keeps what was answered.
struct Tried {
    described: Described,
    seen: BTreeSet<String>,
}

impl Tried {
    fn at(point: &Point, cases: Vec<Case>) -> Self {
        let mut tried = Self { described: Described::of(point), seen: BTreeSet::new() };
        for case in cases {
            let answer = case.ask(point);
            assert_eq!(answer.status, case.status, "{} {}: {}", case.method, case.to, answer.text());
            tried.described.check(case.method, case.path, &answer);
            tried.seen.insert(format!("{} {} {}", case.method.to_lowercase(), case.path, case.status));
        }
        tried
    }

    /// What is described, but was not answered so.
    fn missing(&self) -> Vec<String> {
        let statuses = |(path, method, operation): (&String, &String, &Value)| {
            let statuses = operation["responses"].as_object().unwrap().keys();
            statuses.map(|status| format!("{method} {path} {status}")).collect::<Vec<_>>()
        };
        self.described.operations().flat_map(statuses).filter(|one| !self.seen.contains(one)).collect()
    }
}

#[test]
fn every_path_method_and_status_is_answered_as_it_is_described() {
    let busy = Busy::new();
    let (point, session) = (&busy.point, &busy.session);
    let mut tried = Tried::at(point, cases(session));
    for (path, to) in [
        ("/api/v1/events", "/api/v1/events".to_owned()),
        ("/api/v1/sessions/{id}/map", format!("/api/v1/sessions/{session}/map?columns=4")),
    ] {
        assert!(Events::open(point.http, &to, VIEWER).next().is_some());
        tried.seen.insert(format!("get {path} 200"));
    }
    // Every described one has been seen, but those that need a database that is down, a server that is too slow,
    // another server of the site, an image that is just being hashed, a disk that is full, or somebody who sends
    // nothing for a minute; the lowest role's, which has none below; and what the next test asks a server that boots
    // machines.
    let apart = ["503", "504", "202", "507", "408"];
    let missing: Vec<_> = tried
        .missing()
        .into_iter()
        .filter(|one| !apart.iter().any(|status| one.ends_with(status)) && one != "get /metrics 403")
        .filter(|one| !pxe::of_one_that_boots(one) && !pxe::ELSEWHERE.contains(&one.as_str()))
        .collect();
    assert!(missing.is_empty(), "described, but not tried: {missing:#?}");
    // Lists had something in them, so that their rows have been checked.
    for list in ["images", "site/images", "sessions?ended=10", "clients", "queue", "history", "settings"] {
        let rows = point.get(&format!("/api/v1/{list}")).json();
        assert!(!rows.as_array().unwrap().is_empty(), "{list}");
    }
    drop(busy.site);
}

#[test]
#[ignore = "machines are booted by ports below 1024, for which it takes root"]
fn a_server_that_boots_machines_answers_as_it_is_described() {
    let ports = BootPorts::take();
    let mut site = Site::new();
    let booting = site.booting("off", &ports).start();
    let tried = Tried::at(&booting, pxe::cases_of_one_that_boots());
    let missing: Vec<_> = tried.missing().into_iter().filter(|one| pxe::of_one_that_boots(one)).collect();
    assert!(missing.is_empty(), "described, but not tried: {missing:#?}");
}

/// One request at least for each status of each address; those that change something last.
fn cases(session: &str) -> Vec<Case> {
    let mut cases = vec![
        case("GET", "/api/v1/health", "/api/v1/health", None, 200),
        case("GET", "/api/v1/ready", "/api/v1/ready", None, 200),
        case("GET", "/api/v1/openapi.json", "/api/v1/openapi.json", None, 200),
        case("GET", "/metrics", "/metrics", Some(METRICS), 200),
        case("GET", "/metrics", "/metrics", None, 401),
    ];
    let of_session = format!("/api/v1/sessions/{session}");
    let lists = [
        ("/api/v1/site", "/api/v1/site".to_owned()),
        ("/api/v1/settings", "/api/v1/settings".to_owned()),
        ("/api/v1/images", "/api/v1/images".to_owned()),
        ("/api/v1/site/images", "/api/v1/site/images".to_owned()),
        ("/api/v1/images/{name}", "/api/v1/images/held.img".to_owned()),
        ("/api/v1/sessions", "/api/v1/sessions?ended=10".to_owned()),
        ("/api/v1/sessions/{id}", of_session.clone()),
        ("/api/v1/sessions/{id}/clients", format!("{of_session}/clients")),
        ("/api/v1/clients", "/api/v1/clients".to_owned()),
        ("/api/v1/queue", "/api/v1/queue".to_owned()),
        ("/api/v1/history", "/api/v1/history?limit=5&image=small.img".to_owned()),
    ];
    for (path, to) in &lists {
        cases.push(case("GET", path, to, Some(VIEWER), 200));
        cases.push(case("GET", path, to, None, 401));
        cases.push(case("GET", path, to, Some(METRICS), 403));
    }
    for (path, to) in [("/api/v1/events", "/api/v1/events"), ("/api/v1/sessions/{id}/map", "/api/v1/sessions/1/map")] {
        cases.push(case("GET", path, to, None, 401));
        cases.push(case("GET", path, to, Some(METRICS), 403));
    }
    let (one, map) = ("/api/v1/sessions/{id}", "/api/v1/sessions/{id}/map");
    let clients = "/api/v1/sessions/{id}/clients";
    cases.extend([
        case("GET", "/api/v1/images/{name}", "/api/v1/images/odd%20%22name%22%20%C3%A4.img", Some(VIEWER), 200),
        case("GET", "/api/v1/images/{name}", "/api/v1/images/none", Some(VIEWER), 404),
        case("GET", "/api/v1/images/{name}", "/api/v1/images/%FF", Some(VIEWER), 400),
        case("GET", "/api/v1/clients", "/api/v1/clients?path=air", Some(VIEWER), 400),
        case("GET", "/api/v1/sessions", "/api/v1/sessions?ended=1001", Some(VIEWER), 400),
        case("GET", one, "/api/v1/sessions/1-2", Some(VIEWER), 404),
        case("GET", one, "/api/v1/sessions/%FF", Some(VIEWER), 400),
        case("GET", clients, "/api/v1/sessions/1-2/clients", Some(VIEWER), 404),
        case("GET", clients, "/api/v1/sessions/%FF/clients", Some(VIEWER), 400),
        case("GET", map, "/api/v1/sessions/1-2/map", Some(VIEWER), 404),
        case("GET", map, &format!("{of_session}/map?columns=0"), Some(VIEWER), 400),
        case("GET", "/api/v1/history", "/api/v1/history?limit=0", Some(VIEWER), 400),
    ]);
    cases.extend(content_cases());
    cases.extend(pxe::cases());
    let post = |to: &str, token, status| case("POST", one, to, token, status);
    let start = r#"{"command": "start"}"#;
    cases.extend([
        post(&of_session, None, 401).body(start),
        post(&of_session, Some(VIEWER), 403).body(start),
        post("/api/v1/sessions/1-2", Some(OPERATOR), 404).body(start),
        post(&of_session, Some(OPERATOR), 409).body(r#"{"command": "resume"}"#),
        post(&of_session, Some(OPERATOR), 400).body("{"),
        post(&of_session, Some(OPERATOR), 422).body(r#"{"command": "explode"}"#),
        post(&of_session, Some(OPERATOR), 413).body(&" ".repeat(65 << 10)),
        Case { body: Some(start.to_owned()), ..post(&of_session, Some(OPERATOR), 415) },
        post(&of_session, Some(OPERATOR), 200).body(start),
    ]);
    let client = "/api/v1/sessions/{id}/clients/{client}";
    let delete = |to: &str, token, status| case("DELETE", client, to, token, status);
    let second = format!("{of_session}/clients/{:016x}", 2);
    cases.extend([
        delete(&second, None, 401),
        delete(&second, Some(VIEWER), 403),
        delete(&format!("{of_session}/clients/77"), Some(OPERATOR), 404),
        delete(&format!("{of_session}/clients/%FF"), Some(OPERATOR), 400),
        delete(&second, Some(OPERATOR), 200),
    ]);
    cases
}

fn content_cases() -> Vec<Case> {
    let (image, manifest) = ("/content/images/{name}", "/content/images/{name}/manifest");
    let package = "/content/packages/{path}";
    let mut cases = Vec::new();
    for (path, to) in [(image, "/content/images/small.img"), (package, "/content/packages/driver.zip")] {
        cases.extend([
            case("GET", path, to, None, 200),
            case("GET", path, to, None, 206).header("Range", "bytes=1-3"),
            case("GET", path, to, None, 304).header("If-None-Match", "*"),
            case("GET", path, to, None, 412).header("If-Match", "\"0\""),
            case("GET", path, to, None, 416).header("Range", "bytes=99999999-"),
        ]);
    }
    cases.extend([
        case("GET", image, "/content/images/only.img", None, 403),
        case("GET", image, "/content/images/none", None, 404),
        case("GET", image, "/content/images/%FF", None, 400),
        case("GET", manifest, "/content/images/small.img/manifest", None, 200),
        case("GET", manifest, "/content/images/only.img/manifest", None, 403),
        case("GET", manifest, "/content/images/none/manifest", None, 404),
        case("GET", manifest, "/content/images/%FF/manifest", None, 400),
        case("GET", package, "/content/packages/none", None, 404),
        case("GET", package, "/content/packages/%FF", None, 400),
    ]);
    cases
}

#[test]
fn who_bears_no_token_or_a_wrong_or_a_lower_one_is_kept_out() {
    let mut site = Site::new();
    site.image("a.img", 1000, 1);
    let point = site.start();
    let described = Described::of(&point);
    let mut protected = 0;
    for (path, method, operation) in described.operations() {
        let to = filled(path);
        let method = method.to_uppercase();
        let status = |token| ask_status(&point, &method, &to, token);
        if operation.get("security").is_none() {
            assert!(status(None) < 500 && ![401, 403].contains(&status(None)), "{method} {to} is open");
            continue;
        }
        protected += 1;
        let least = match path.as_str() {
            "/metrics" => 0,
            _ if method == "GET" => 1,
            _ => 2,
        };
        for token in [None, Some("x"), Some(""), Some("operator-0123456789abcdeX"), Some("operator-0123456789abcde")] {
            assert_eq!(status(token), 401, "{method} {to} with {token:?}");
        }
        for (rank, token) in [METRICS, VIEWER, OPERATOR].into_iter().enumerate() {
            let kept_out = [401, 403].contains(&status(Some(token)));
            assert_eq!(kept_out, rank < least, "{method} {to} with {token}");
        }
    }
    assert!(protected > 12, "{protected}");
    // Nothing that takes no token is confused by one.
    assert_eq!(ask_status(&point, "GET", "/api/v1/health", Some("wrong")), 200);
    drop(point);

    site.tables.clear();
    let point = site.start();
    point.log.wait("the API is off");
    for (path, method, operation) in described.operations() {
        let to = filled(path);
        let method = method.to_uppercase();
        if operation.get("security").is_some() {
            for token in [None, Some(OPERATOR), Some("")] {
                let answer = point.ask(&method, &to, token, None);
                assert_eq!(answer.status, 403, "{method} {to}");
                assert!(answer.json()["help"].as_str().unwrap().contains("mcast-server token"), "{}", answer.text());
            }
        }
    }
    for open in ["/api/v1/health", "/api/v1/ready", "/api/v1/openapi.json", "/", "/page.js", "/content/images/a.img"] {
        assert_eq!(ask_status(&point, "GET", open, None), 200, "{open} stays open");
    }
}

/// A path with something in each of its places.
fn filled(path: &str) -> String {
    let places = [("{id}", "1-2"), ("{client}", "3"), ("{name}", "a.img"), ("{path}", "x"), ("{address}", "10.0.0.1")];
    places.iter().fold(path.to_owned(), |path, (place, value)| path.replace(place, value))
}

/// The status alone: an answer may be a stream without an end.
fn ask_status(point: &Point, method: &str, to: &str, token: Option<&str>) -> u16 {
    use std::io::Write;
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut stream = support::http::connect(point.http).unwrap();
    write!(stream, "{method} {to} HTTP/1.1\r\nHost: here\r\n{bearer}\r\n").unwrap();
    support::http::head(&mut std::io::BufReader::new(stream)).unwrap().0
}

#[test]
fn news_and_maps_come_as_messages_from_the_first_client_to_the_last_word() {
    let mut site = Site::new();
    site.set("rate.custom", "\"24mbit\"").set("session.linger", "\"2s\"");
    let content = site.image("a.img", 3 << 20, 1);
    let point = site.start();
    point.image("a.img", "ready");
    let described = Described::of(&point);
    let mut news = Events::open(point.http, "/api/v1/events", VIEWER);
    // First all that there is.
    let (name, data) = news.next().unwrap();
    let images: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (name.as_str(), &images["kind"], &images["images"][0]["name"]),
        ("images", &json!("images"), &json!("a.img"))
    );
    assert_eq!(news.next().unwrap().0, "sessions");

    let guest = site.client("a.img", 1);
    guest.joined();
    let session = point.session("a.img", |_| true)["id"].as_str().unwrap().to_owned();
    let mut map = Events::open(point.http, &format!("/api/v1/sessions/{session}/map?columns=8"), VIEWER);
    let first = map.next_of("map");
    assert_eq!(first["columns"], 8);
    let rows = first["rows"].as_object().unwrap();
    assert!(rows.values().all(|row| row.as_str().unwrap().len() == 16), "two digits a column: {rows:?}");
    let id = guest.id();
    guest.check(&content);
    // The map fills, and ends with the session.
    let mut last = None;
    loop {
        let (name, data) = map.next().unwrap();
        match name.as_str() {
            "map" => last = Some(serde_json::from_str::<Value>(&data).unwrap()),
            "ended" => break,
            other => panic!("{other}"),
        }
    }
    assert_eq!(last.unwrap()["rows"][&id], "ff".repeat(8));

    // Events tell its life in order, each with its session, its time and its words.
    let mut told = Vec::new();
    let mut views = 0;
    while told.last().is_none_or(|event| event != "ended") {
        let (name, data) = news.next().unwrap();
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(data["kind"], name, "{data}");
        match name.as_str() {
            "event" => {
                assert_eq!((&data["session"], &data["image"]), (&json!(session), &json!("a.img")), "{data}");
                assert!(data["ms"].as_i64().unwrap() > 1_600_000_000_000, "{data}");
                told.push(data["event"].as_str().unwrap().to_owned());
            }
            "sessions" => data["sessions"].as_array().unwrap().iter().for_each(|session| {
                views += 1;
                described.check_schema(&json!("SessionView"), session, "sessions");
            }),
            "images" => data["images"].as_array().unwrap().iter().for_each(|image| {
                described.check_schema(&json!("ImageView"), image, "images");
            }),
            other => panic!("{other}: {data}"),
        }
    }
    let place = |name: &str| told.iter().position(|event| event == name).unwrap_or_else(|| panic!("{name}: {told:?}"));
    assert!(place("client_joined") < place("started") && place("started") < place("client_complete"), "{told:?}");
    assert!(views > 0, "the session was seen as it went");
    while !news.next_of("sessions")["sessions"].as_array().unwrap().is_empty() {}
}
