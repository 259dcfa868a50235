//! Trials of a running engine over loopback.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use multicast_core::doctor::{Contact, NoSamples, PathFacts, ProbePolicy, Trial};
use multicast_core::engine::{Engine, EngineConfig, SessionConfig};
use multicast_core::image::Delivery;
use multicast_core::layout::{DEFAULT_SYMBOL_SIZE, Geometry, Layout};
use multicast_core::pace::{Profile, Rate};
use multicast_core::types::ClientId;
use multicast_core::wire::{Echo, Packet, Probe, SampleAnswer, SampleWay, SampleWish};
use multicast_core::{manifest, net};

const PATIENCE: Duration = Duration::from_secs(20);

fn engine(probes: Option<ProbePolicy>) -> Engine {
    let seed = RandomState::new().build_hasher().finish();
    let usual = EngineConfig::new(net::choose(Some("lo")).unwrap(), seed).unwrap();
    Engine::start(EngineConfig { control_port: 0, probes, ..usual }).unwrap()
}

fn trial(engine: &Engine) -> Trial {
    let client = ClientId(RandomState::new().build_hasher().finish());
    Trial::new(engine.control_address(), net::choose(Some("lo")).unwrap(), client).unwrap()
}

#[test]
fn a_server_that_sends_samples_is_measured_by_both_ways() {
    let engine = engine(Some(ProbePolicy::new(Rate::from_mbit(40))));
    let mut trial = trial(&engine);
    let Contact::Answered(peer) = trial.contact(PATIENCE) else { panic!("no answer") };
    assert_eq!(peer.rate, Some(Rate::from_mbit(40)));
    assert!(peer.clock_ahead.abs() < 5.0 && peer.round_trip < PATIENCE, "{peer:?}");
    assert_eq!(trial.path(), PathFacts { limit: 1472, both: Some(1472), there: Some(1472) });

    let (group, seen) = trial.follow(None).unwrap();
    assert!(group.ip().is_multicast() && seen.received > 0 && seen.joined_in.is_some(), "{seen:?}");

    for way in [SampleWay::Client, SampleWay::Group] {
        // More than it grants.
        let facts = trial.stream(way, Rate::from_mbit(400), Duration::from_millis(500), 1472, 4 << 20).unwrap();
        let wanted = 40e6 * 0.5 / 8.0 / 1514.0;
        assert_eq!((facts.way, facts.rate), (way, Rate::from_mbit(40)));
        assert!((f64::from(facts.counts.sent) / wanted - 1.0).abs() < 0.1, "{facts:?}");
        // A machine that is busy otherwise may lose some even here.
        assert!(facts.counts.loss().unwrap() < 0.2, "{facts:?}");
    }
}

#[test]
fn a_server_that_sends_none_echoes_all_the_same() {
    let engine = engine(None);
    let mut trial = trial(&engine);
    let Contact::Answered(peer) = trial.contact(PATIENCE) else { panic!("no answer") };
    assert_eq!(peer.rate, None);
    assert_eq!(trial.path().both, Some(1472));
    assert!(matches!(trial.follow(None), Err(NoSamples::Off)));
}

#[test]
fn a_port_at_which_nobody_listens_is_told_from_one_that_is_silent() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap();
    let mut trial = Trial::new(server, net::choose(Some("lo")).unwrap(), ClientId(1)).unwrap();
    assert_eq!(trial.contact(Duration::from_millis(300)), Contact::Silent);
    drop(silent);
    assert_eq!(trial.contact(PATIENCE), Contact::Refused);
}

/// One question and its answer.
fn ask(socket: &UdpSocket, number: u32, key: u64) -> Echo {
    let samples = Some(SampleWish { way: SampleWay::Group, rate_kbit: 1000, ms: 100, len: 100 });
    let probe = Probe { client: ClientId(7), number, samples, key, len: 100, echo_len: 80 };
    let mut question = Vec::new();
    probe.encode(&mut question);
    socket.send(&question).unwrap();
    let mut answer = [0; 2048];
    let len = socket.recv(&mut answer).unwrap();
    match Packet::decode(&answer[..len]) {
        Ok(Packet::Echo(echo)) => {
            assert_eq!((echo.client, echo.number, echo.len), (ClientId(7), number, 80));
            echo
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_samples_come_without_a_key_nor_while_a_session_runs() {
    let engine = engine(Some(ProbePolicy::new(Rate::from_mbit(40))));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(engine.control_address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let echo = ask(&socket, 1, 0);
    assert_eq!(echo.answer, SampleAnswer::Key);

    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, [7; 10_000]).unwrap();
    let delivery = Delivery::open(&[image]).unwrap();
    let layout =
        Layout::new(Geometry::for_size(delivery.size(), DEFAULT_SYMBOL_SIZE), delivery.file_entries()).unwrap();
    let manifest = manifest::build(&delivery, &layout, 0, |_| {}, &AtomicBool::new(false)).unwrap();
    let config = SessionConfig::new("image", Profile::Custom(Rate::from_mbit(10)));
    let session = engine.start_session(config, delivery, manifest).unwrap();
    session.start_now();
    assert!(matches!(ask(&socket, 2, echo.key).answer, SampleAnswer::Busy { retry_ms: 5000 }));
    session.cancel();
    session.wait().unwrap();
    let SampleAnswer::Coming(samples) = ask(&socket, 3, echo.key).answer else { panic!("no samples") };
    assert!(samples.to.ip().is_multicast());
}
