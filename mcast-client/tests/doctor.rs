//! `mcast-client doctor` against engines on loopback.

mod support;

use std::net::UdpSocket;

use multicast_core::doctor::ProbePolicy;
use multicast_core::engine::{Engine, EngineConfig};
use multicast_core::net;
use multicast_core::pace::Rate;
use serde_json::Value;
use support::program::Ended;
use support::{Program, client};

fn doctor(server: &str, more: &[&str]) -> Ended {
    let mut command = client();
    command.args(["doctor", "--server", server, "--listen", "0s", "--time", "300ms"]).args(more);
    Program::start(&mut command).end()
}

fn engine(probes: Option<ProbePolicy>) -> Engine {
    let usual = EngineConfig::new(net::choose(Some("lo")).expect("lo is there"), 7).expect("there is memory");
    Engine::start(EngineConfig { control_port: 0, probes, ..usual }).expect("lo can be used")
}

fn finding<'a>(ended: &'a Ended, test: &str) -> &'a Value {
    let of_test = |event: &&Value| event["event"] == "finding" && event["test"] == test;
    ended.events.iter().find(of_test).unwrap_or_else(|| panic!("no {test} in {:#?}", ended.events))
}

#[test]
fn a_sound_server_is_found_sound() {
    let engine = engine(Some(ProbePolicy::new(Rate::from_mbit(20))));
    let ended = doctor(&engine.control_address().to_string(), &["--json"]);
    for test in ["interface", "route", "control port", "clock", "path MTU", "HTTP", "group"] {
        assert_eq!(finding(&ended, test)["outcome"], "ok", "{:#?}", ended.events);
    }
    assert_eq!(finding(&ended, "path MTU")["figures"]["both_ways_bytes"], 1472.0);
    for test in ["unicast rate", "multicast rate"] {
        assert_eq!(finding(&ended, test)["figures"]["rate_bits"], 20e6);
        assert!(finding(&ended, test)["figures"]["received"].as_f64().is_some_and(|received| received > 300.0));
    }
    let verdict = ended.last("verdict");
    assert_eq!(ended.code, verdict["exit_code"].as_i64().map(|code| code as i32));
    assert_eq!(verdict["summary"]["failures"], 0);
}

#[test]
fn a_server_that_sends_no_samples_leaves_these_tests_undone() {
    let engine = engine(None);
    let ended = doctor(&engine.control_address().to_string(), &["--json"]);
    for test in ["group", "unicast rate", "multicast rate"] {
        assert_eq!(finding(&ended, test)["outcome"], "not_testable");
    }
}

#[test]
fn a_port_at_which_nobody_listens_fails_in_words_and_by_its_code() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ended = doctor(&format!("127.0.0.1:{port}"), &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), ""));
    let lines: Vec<_> = ended.events.iter().filter_map(Value::as_str).collect();
    assert!(lines.iter().any(|line| line.starts_with("FAILURE  control port    nobody listens")), "{lines:#?}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    assert!(lines.last().is_some_and(|line| line.starts_with("not ready: 1 failure")), "{lines:#?}");
}

#[test]
fn an_interface_that_does_not_exist_is_a_finding() {
    let ended = doctor("127.0.0.1", &["--interface", "nope0", "--json"]);
    assert_eq!((ended.code, &finding(&ended, "interface")["outcome"]), (Some(3), &Value::from("failure")));
}

#[test]
fn wrong_arguments_are_errors_that_name_them() {
    for (arguments, word) in [
        (&["--time", "1m"][..], "100ms to 3s"),
        (&["--rate", "fast"], "fast"),
        (&["--network", "5g"], "5g"),
        (&["--rate", "1mbit", "--network", "1g"], "--network"),
    ] {
        let mut command = client();
        command.args(["doctor", "--server", "127.0.0.1"]).args(arguments);
        Program::start(&mut command).end().check_error(2, &[word]);
    }
    doctor("127.0.0.1:99999", &[]).check_error(2, &["99999"]);
}
