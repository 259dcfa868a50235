//! `mcast-server ctl` against a real `mcast-server serve` on loopback, with clients of the engine's in this process.

#![allow(clippy::unwrap_used, reason = "a test")]

mod point;
mod pxe;
#[path = "../support/mod.rs"]
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use expect_test::expect;
use multicast_core::engine::ClientError;
use serde_json::Value;

use point::{OPERATOR, Options, Point, Said, Watch, ctl, eventually, free_tcp, impostor, write_secret};

const MIB: usize = 1 << 20;

#[test]
fn what_there_is_is_shown_as_tables_and_as_the_api_says_it() {
    let point = Point::start(Options::default());
    expect![[r#"
        image      state       size  multicast  priority  start
        image.bin  ready  97.66 KiB  allowed           5  on command
    "#]]
    .assert_eq(&point.ctl(&["images"]).fine());
    assert_eq!(point.ctl(&["sessions"]).fine(), "no sessions\n");
    assert_eq!(point.ctl(&["clients"]).fine(), "no clients\n");
    assert_eq!(point.ctl(&["queue"]).fine(), "nobody waits\n");
    assert_eq!(point.ctl(&["history"]).fine(), "nothing was delivered yet\n");
    assert_eq!(point.ctl(&["ready"]).fine(), "ready: the site's database answers; images: 1, all ready\n");
    for (arguments, path) in [
        (&["images"][..], "images"),
        (&["images", "image.bin"], "images/image.bin"),
        (&["sessions", "--ended", "5"], "sessions?ended=5"),
        (&["clients"], "clients"),
        (&["queue"], "queue"),
        (&["history", "--limit", "7", "--image", "a b&c"], "history?limit=7&image=a%20b%26c"),
        (&["settings"], "settings"),
        (&["ready"], "ready"),
        (&["openapi"], "openapi.json"),
    ] {
        let said = point.ctl(&[arguments, &["--json"]].concat()).fine();
        assert_eq!(said, format!("{}\n", point.api(path)), "{arguments:?}");
    }
    let settings = point.ctl(&["settings"]).fine();
    assert!(settings.contains("\nstart.on_command") && !settings.contains(OPERATOR), "{settings}");
    point.ctl(&["images", "no such"]).check_error(3, &["refuses (404)", "no such"]);
    let error = point.ctl(&["images", "no such", "--json"]);
    let document: Value = serde_json::from_str(&error.stdout).unwrap();
    assert_eq!((error.code, &document["exit_code"]), (3, &3.into()));
}

#[test]
fn a_site_is_seen_at_a_glance() {
    let point = Point::start(Options::default());
    let status = point.ctl(&["status", "--json"]).json();
    let site: Value = serde_json::from_str(&point.api("site")).unwrap();
    assert_eq!((&status["site"], &status["ready"]["database"]), (&site, &true.into()));
    assert_eq!((&status["sessions"], &status["queue"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    let text = point.ctl(&["status"]).fine();
    let id = |value: &Value| value.as_str().unwrap().to_owned();
    let up = text.split_once("up for ").unwrap().1.lines().next().unwrap();
    let text = text
        .replace(&id(&site["id"]), "SITE")
        .replace(&id(&site["servers"][0]["id"]), "SERVER")
        .replace(&id(&site["fingerprint"]), "FINGERPRINT")
        .replace(&point.url(), "HTTP-SIDE")
        .replace(&point.control.to_string(), "CONTROL")
        .replace(&format!("up for {up}"), "up for TIME");
    // Other addresses of other lengths: what lies between columns varies.
    let text = text.lines().map(|line| line.split("  ").filter(|part| !part.is_empty()).collect::<Vec<_>>().join("|"));
    expect![[r#"
        site|Lab 3 (SITE)
        server|localhost, version 0.1.0, up for TIME
        fingerprint|FINGERPRINT
        your role|operator
        database|answers
        images|1, all ready
        sessions|none
        clients|0 receiving, 0 complete
        queue|nobody waits

        server|state|clients ask|HTTP|version|id
        localhost|alive|CONTROL|HTTP-SIDE|0.1.0|SERVER
    "#]]
    .assert_eq(&text.map(|line| line.replace("| ", "|") + "\n").collect::<String>());
}

#[test]
fn a_session_is_started_paused_resumed_and_watched_to_its_end() {
    let point = Point::start(Options { bytes: 6 * MIB, rate: "20mbit", ..Options::default() });
    let mut watch = Watch::start(point.command(&["watch", "--json"]));
    assert_eq!(watch.json(|line| line["kind"] == "connected")["server"], point.url());
    let client = point.room.client_of("image.bin", point.control, 1, "copy");
    let joined = watch.json(|line| line["event"] == "client_ready");
    let id = joined["session"].as_str().unwrap();
    watch.state("waiting");

    let sessions = point.ctl(&["sessions"]).fine();
    assert!(sessions.contains(&format!("\n{id}  image.bin  waiting  0.0 %")), "{sessions}");
    let one = point.ctl(&["session", &id[..6], "--json"]).json();
    assert_eq!((&one["id"], &one["active"]), (&id.into(), &1.into()));
    let sheet = point.ctl(&["session", "image.bin"]).fine();
    assert!(sheet.contains("\nclients      1 receiving\n"), "{sheet}");
    point.ctl(&["pause", id]).check_error(5, &["refuses (409)", id, "is waiting: it cannot be paused"]);
    // A name that means nothing is found before anything is done.
    point.ctl(&["start", "image.bin", "other.bin"]).check_error(3, &["\"other.bin\"", "ctl sessions"]);
    watch.state("waiting");

    let told = Watch::start(point.command(&["watch", "image.bin"]));
    assert_eq!(point.ctl(&["start", "image.bin"]).fine(), format!("session {id} of image.bin is started\n"));
    assert_eq!(watch.json(|line| line["event"] == "started")["cause"], "command");
    watch.state("running");
    assert_eq!(point.ctl(&["pause", &id[..10], id, "--json"]).fine(), "{\"status\":\"done\"}\n", "they are one");
    watch.json(|line| line["event"] == "paused");
    watch.state("paused");
    let clients = point.ctl(&["clients", "--session", "image.bin", "--json"]).json();
    assert_eq!((&clients[0]["host"], &clients[0]["session"]), (&"pc-1".into(), &id.into()));
    point.ctl(&["pause", id]).check_error(5, &["is paused"]);
    assert_eq!(point.ctl(&["resume", id]).fine(), format!("session {id} of image.bin is resumed\n"));
    watch.json(|line| line["event"] == "client_complete");
    client.wait().unwrap();
    assert!(point.room.is_identical("copy"));

    watch.state("idle");
    assert_eq!(point.ctl(&["cancel", id]).fine(), format!("session {id} of image.bin is cancelled\n"));
    watch.json(|line| line["event"] == "ended");
    watch.json(|line| line["kind"] == "sessions" && line["sessions"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(told.code(), Some(0), "it ends with its session");
    point.ctl(&["session", id]).check_error(3, &[id, "--ended 20"]);
    let history = || point.ctl(&["history", "--image", "image.bin", "--json"]).json();
    let history = eventually(history, |history| history[0]["state"] == "complete");
    assert_eq!((&history[0]["session"], &history[0]["host"]), (&id.into(), &"pc-1".into()));
    let history = point.ctl(&["history"]).fine();
    assert!(history.contains("  pc-1  image.bin  complete  "), "{history}");
    let ended = || point.ctl(&["sessions", "--ended", "1"]).fine();
    eventually(ended, |ended| ended.contains(&format!("\n{id}  image.bin  ended: cancelled by ops  ")));
}

#[test]
fn a_client_is_removed_by_whoever_may_and_says_which() {
    let point = Point::start(Options::default());
    let mut watch = Watch::start(point.command(&["watch", "--json"]));
    watch.json(|line| line["kind"] == "connected");
    let clients = [1, 2].map(|number| point.room.client_of("image.bin", point.control, number, &number.to_string()));
    for _ in &clients {
        watch.json(|line| line["event"] == "client_ready");
    }
    watch.json(|line| line["kind"] == "sessions" && line["sessions"][0]["active"] == 2);

    point.viewer(&["clients"]).fine();
    point
        .viewer(&["start", "image.bin"])
        .check_error(4, &["refuses (403)", "\"wall\" has role viewer", "viewer.token"]);
    point.viewer(&["remove", "image.bin", "pc-1", "--yes"]).check_error(4, &["refuses (403)"]);
    point.ctl(&["remove", "image.bin", "00000", "--yes"]).check_error(
        2,
        &["\"00000\" means 2 clients", "0000000000000001  pc-1 at 127.0.0.1", "0000000000000002  pc-2"],
    );
    point.ctl(&["remove", "image.bin", "pc-3", "--yes"]).check_error(3, &["\"pc-3\"", "ctl clients --session"]);
    point.ctl(&["remove", "other.bin", "pc-1", "--yes"]).check_error(3, &["\"other.bin\""]);
    // Nobody is there to answer.
    point.ctl(&["remove", "image.bin", "pc-1"]).check_error(2, &["--yes"]);

    let said = point.ctl(&["remove", "image.bin", "pc-1", "--yes"]).fine();
    assert!(said.starts_with("pc-1 (0000000000000001, 127.0.0.1:") && said.contains("is removed from"), "{said}");
    assert_eq!(watch.json(|line| line["event"] == "client_removed")["host"], "pc-1");
    let said = point.ctl(&["remove", "image.bin", "0000000000000002", "--yes", "--json"]).json();
    assert_eq!(said["status"], "done");
    for client in clients {
        let error = client.wait().unwrap_err();
        assert!(matches!(error, ClientError::Receiver(_)), "{error}");
    }
}

#[test]
fn a_token_comes_from_a_file_the_environment_or_the_configuration_and_is_its_owners_alone() {
    let point = Point::start(Options::default());
    let (home, file) = (point.room.folder.path(), point.room.path("operator.token"));
    let file = file.to_str().unwrap();
    point.ctl(&["images"]).fine();
    Said::by(&mut point.bare(&["images", "--token-file", file])).fine();
    Said::by(point.bare(&["images"]).env("MCAST_CTL_TOKEN_FILE", file)).fine();
    Said::by(ctl(home).arg("images").env("MCAST_CTL_SERVER", point.url()).env("MCAST_CTL_TOKEN", OPERATOR)).fine();
    fs::create_dir_all(point.room.path(".config/mcast")).unwrap();
    let config = format!("server = {:?}\ntoken_file = \"../../operator.token\"\n", point.url());
    fs::write(point.room.path(".config/mcast/ctl.toml"), config).unwrap();
    Said::by(ctl(home).arg("images")).fine();
    fs::write(point.room.path(".config/mcast/ctl.toml"), "sever = \"x\"\n").unwrap();
    point.ctl(&["images"]).check_error(2, &["ctl.toml", "line 1", "sever", "token_file"]);
    fs::remove_file(point.room.path(".config/mcast/ctl.toml")).unwrap();

    let none = Said::by(&mut point.bare(&["images"]));
    none.check_error(4, &[&point.url(), "refuses (401)", "no token", "--token-file", "MCAST_CTL_TOKEN"]);
    let wrong = Said::by(point.bare(&["images"]).env("MCAST_CTL_TOKEN", "wrong"));
    wrong.check_error(4, &["refuses (401)", "not known", "MCAST_CTL_TOKEN"]);
    fs::set_permissions(file, Permissions::from_mode(0o640)).unwrap();
    point.ctl(&["images", "--token-file", file]).check_error(2, &["--token-file", "mode 0640", "chmod 600"]);
    point.ctl(&["images", "--token-file", "/nowhere"]).check_error(2, &["/nowhere", "belong to you"]);
    // Both are for anybody.
    Said::by(&mut point.bare(&["ready"])).fine();
    Said::by(&mut point.bare(&["openapi"])).fine();
}

#[test]
fn an_api_that_is_off_is_said_to_be() {
    let point = Point::start(Options { tokens: false, ..Options::default() });
    point.ctl(&["status"]).check_error(4, &["the API is off", "mcast-server token"]);
    point.ctl(&["ready"]).fine();
}

#[test]
fn https_is_trusted_by_its_fingerprint_or_by_the_systems_authorities_alone() {
    let point = Point::start(Options { tls: true, ..Options::default() });
    let fingerprint = point.fingerprint.as_str();
    let ask = |arguments: &[&str]| Said::by(point.bare(arguments).env("MCAST_CTL_TOKEN", OPERATOR));
    let status = ask(&["status", "--trust", &fingerprint.to_lowercase()]).fine();
    assert!(status.contains(fingerprint), "{status}");
    Said::by(point.command(&["images"]).env("SSL_CERT_FILE", "/dev/null")).fine();

    let other = "WERC-8GMR-ZGE1-96QV-YK49-JVXS-461Z";
    ask(&["images", "--trust", other]).check_error(1, &[&point.url(), "not the trusted", fingerprint, other]);
    ask(&["images", "--trust", &other.replace('Z', "Y")]).check_error(2, &["--trust", "typing error"]);
    let help = format!("--trust {fingerprint}");
    ask(&["images"]).check_error(1, &[&point.url(), "no authority", "compare", &help]);
    let without = Said::by(point.bare(&["images"]).env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/nowhere"));
    without.check_error(1, &["cannot be trusted", &help]);

    // Somebody has the system trust the site's certificate, which is for the name of its server.
    let certificate = point.room.path("state/identity/site.crt");
    let by_name = format!("https://localhost:{}", point.http.port());
    let vouched = |server: &str| {
        let mut command = point.bare(&["images", "--server", server]);
        Said::by(command.env("MCAST_CTL_TOKEN", OPERATOR).env("SSL_CERT_FILE", &certificate))
    };
    vouched(&by_name).fine();
    vouched(&point.url()).check_error(1, &["cannot be trusted", "127.0.0.1", &help]);

    let plain = format!("http://{}", point.http);
    ask(&["images", "--server", &plain]).check_error(1, &[&plain, "https://"]);
    ask(&["images", "--server", &plain, "--trust", other]).check_error(2, &["--trust", "https://"]);
}

#[test]
fn who_does_not_answer_or_answers_otherwise_is_named_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let ask = |server: &str, arguments: &[&str]| Said::by(ctl(home.path()).args(arguments).args(["--server", server]));
    let down = format!("http://{}", free_tcp());
    ask(&down, &["status"]).check_error(1, &[&down, "connection refused", "http.listen"]);
    ask(&down, &["watch"]).check_error(1, &["connection refused"]);
    ask(&down.replace("http", "https"), &["status"]).check_error(1, &["connection refused"]);
    let silent = format!("http://{}", impostor(None));
    ask(&silent, &["status", "--timeout", "300ms"]).check_error(1, &[&silent, "300ms", "--timeout"]);
    ask(&silent.replace("http", "https"), &["status", "--timeout", "300ms"]).check_error(1, &["300ms"]);
    let plain = format!("https://{}", impostor(Some("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")));
    ask(&plain, &["status"]).check_error(1, &["does not speak TLS", "http://"]);
    ask("http://host.invalid", &["ready"]).check_error(1, &["http://host.invalid", "name is right"]);

    let page = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
    ask(&format!("http://{}", impostor(Some(page))), &["status"]).check_error(1, &["not as the API", "http.listen"]);
    let away = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
    ask(&format!("http://{}", impostor(Some(away))), &["status"]).check_error(1, &["status 302", "not as the API"]);
    let none = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    ask(&format!("http://{}", impostor(Some(none))), &["status"]).check_error(1, &["status 404"]);
    let unwell = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n\
                  {\"ready\":false,\"database\":false,\"images_ready\":1,\"images\":2}";
    let said = ask(&format!("http://{}", impostor(Some(unwell))), &["ready"]);
    assert_eq!((said.code, said.stderr.as_str()), (6, ""));
    assert_eq!(said.stdout, "not ready: the site's database does not answer; images: 2, 1 ready\n");
}

#[test]
fn a_watch_lives_through_a_restart_and_follows_its_session() {
    let mut point = Point::start(Options::default());
    let client = point.room.client_of("image.bin", point.control, 1, "copy");
    let mut all = Watch::start(point.command(&["watch", "--json"]));
    all.json(|line| line["event"] == "client_ready" || line["sessions"][0]["active"] == 1);
    let mut one = Watch::start(point.command(&["watch", "image.bin"]));
    one.line(|line| line.ends_with("image.bin: waiting: 1 client there"));

    point.stop();
    all.json(|line| line["kind"] == "disconnected" && line["error"].as_str().is_some_and(|text| !text.is_empty()));
    one.line(|line| line.contains("no connection: ") && line.ends_with("; trying again"));
    point.start_again();
    assert_eq!(all.json(|line| line["kind"] == "connected" && line["again"] == true)["server"], point.url());
    one.line(|line| line.contains("connected to http://") && line.ends_with(" again"));
    one.line(|line| line.contains("goes on as "));
    all.json(|line| line["sessions"][0]["active"] == 1);
    point.ctl(&["start", "image.bin"]).fine();
    client.wait().unwrap();
    one.line(|line| line.contains("pc-1 is complete"));
    point.ctl(&["cancel", "image.bin"]).fine();
    assert_eq!(one.code(), Some(0));
}

#[test]
fn a_watch_ends_when_its_token_is_no_longer_known() {
    let mut point = Point::start(Options::default());
    let mut command = point.command(&["watch"]);
    let mut watch = Watch::start({
        command.stderr(Stdio::piped());
        command
    });
    watch.line(|line| line.contains("connected to "));
    point.stop();
    let config = fs::read_to_string(point.room.path("server.toml")).unwrap();
    write_secret(&point.room.path("server.toml"), &config.replace(OPERATOR, "another-0123456789abcdef"));
    point.start_again();
    assert_eq!(watch.code(), Some(4));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let point = Point::start(Options::default());
    let mut child = point.command(&["openapi"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn wrong_arguments_are_named() {
    let home = tempfile::tempdir().unwrap();
    let rows: [(&[&str], &[&str]); 9] = [
        (&["--server", "deploy:62999", "status"], &["deploy:62999", "https://deploy:62999"]),
        (&["--server", "http://10.9.9.9:1", "start", "a"], &["readable to all", "https://"]),
        (&["sessions", "--ended", "1001"], &["1001", "1000"]),
        (&["history", "--limit", "0"], &["0", "1..=1000"]),
        (&["status", "--timeout", "0s"], &["0s", "30s"]),
        (&["start"], &["SESSION"]),
        (&["start", ""], &["SESSION"]),
        (&["stop", "a"], &["stop"]),
        (&["status", "--token", OPERATOR], &["--token"]),
    ];
    for (arguments, words) in rows {
        let said = Said::by(ctl(home.path()).args(arguments).env("MCAST_CTL_TOKEN", "secret"));
        println!("{arguments:?} {}", said.stderr);
        assert_eq!(said.code, 2, "{arguments:?}");
        assert!(words.iter().all(|word| said.stderr.contains(word)), "{}", said.stderr);
    }
}
