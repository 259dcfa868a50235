//! `mcast-server doctor` on loopback: alone, beside a server, and with settings.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use multicast_core::doctor::{Contact, Trial};
use multicast_core::engine::{Engine, EngineConfig};
use multicast_core::net;
use multicast_core::pace::Rate;
use multicast_core::types::ClientId;
use nix::sys::signal::Signal;
use serde_json::Value;
use support::program::{Ended, Program};
use support::server;

fn doctor(more: &[&str]) -> Program {
    let mut command = server();
    command.args(["doctor", "--json", "--listen", "0s"]).args(more);
    Program::start(&mut command)
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn outcome<'a>(ended: &'a Ended, test: &str) -> &'a str {
    let of_test = |event: &&Value| event["event"] == "finding" && event["test"] == test;
    let finding = ended.events.iter().find(of_test).unwrap_or_else(|| panic!("no {test} in {:#?}", ended.events));
    finding["outcome"].as_str().unwrap_or_default()
}

fn lo(port: u16) -> [String; 4] {
    ["--interface".into(), "lo".into(), "--control-port".into(), port.to_string()]
}

fn as_str(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn a_sound_host_is_found_sound() {
    let ended = doctor(&as_str(&lo(free_port()))).end();
    for test in ["interface", "groups", "route", "group ports", "control port", "own stream"] {
        assert_eq!(outcome(&ended, test), "ok", "{:#?}", ended.events);
    }
    assert_eq!(ended.last("verdict")["summary"]["failures"], 0);
}

#[test]
fn it_lets_clients_test_until_it_is_told_to_end() {
    let port = free_port();
    let arguments = lo(port);
    let mut program = doctor(&[&as_str(&arguments)[..], &["--serve", "10m", "--rate", "20mbit"]].concat());
    program.event("serving");
    let server = ([127, 0, 0, 1], port).into();
    let mut trial = Trial::new(server, net::choose(Some("lo")).unwrap(), ClientId(5)).unwrap();
    let Contact::Answered(peer) = trial.contact(Duration::from_secs(20)) else { panic!("no answer") };
    assert_eq!(peer.rate, Some(Rate::from_mbit(20)));
    program.signal(Signal::SIGTERM);
    assert!([Some(0), Some(4)].contains(&program.end().code));
}

#[test]
fn beside_a_server_that_runs_that_one_is_tested() {
    let usual = EngineConfig::new(net::choose(Some("lo")).unwrap(), 9).unwrap();
    let engine = Engine::start(EngineConfig { control_port: 0, ..usual }).unwrap();
    let ended = doctor(&as_str(&lo(engine.control_address().port()))).end();
    assert_eq!(outcome(&ended, "control port"), "ok", "{:#?}", ended.events);
    // It was told to send none.
    assert_eq!(outcome(&ended, "own stream"), "not_testable");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ended = doctor(&as_str(&lo(silent.local_addr().unwrap().port()))).end();
    assert_eq!((ended.code, outcome(&ended, "control port")), (Some(3), "failure"));
}

#[test]
fn what_the_settings_name_is_tested() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let write = |text: &str| {
        let path = folder.path().join("server.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = write(&format!(
        "[site]\nstate = \"state\"\n[server]\ninterface = \"lo\"\ncontrol_port = {}\n[content]\nimages = \"images\"\n\
         [http]\nlisten = [\"{}\"]\n",
        free_port(),
        held.local_addr().unwrap()
    ));
    let ended = doctor(&["--config", &config]).end();
    assert_eq!((outcome(&ended, "database"), outcome(&ended, "HTTP")), ("ok", "failure"), "{:#?}", ended.events);
    assert!(!folder.path().join("state").exists(), "nothing is made by testing");
    let config = write("[servr]\ninterface = \"lo\"\n");
    let ended = doctor(&["--config", &config]).end();
    assert_eq!((ended.code, outcome(&ended, "settings")), (Some(3), "failure"));
}

#[test]
fn wrong_arguments_are_errors_that_name_them() {
    for (arguments, word) in [
        (&["--control-port", "0"][..], "0"),
        (&["--address", "224.0.0.7"], "224.0.0.7"),
        (&["--config", "a.toml", "--address", "auto"], "--address"),
        (&["--serve", "long"], "long"),
    ] {
        let mut command = server();
        command.arg("doctor").args(arguments);
        Program::start(&mut command).end().check_error(2, &[word]);
    }
}
