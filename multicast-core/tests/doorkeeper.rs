//! Joins at a real control socket on loopback, judged from outside of the engine.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use multicast_core::engine::{Ask, Doorkeeper, Engine, EngineConfig, EngineError, Lent, SessionConfig, Verdict};
use multicast_core::image::Delivery;
use multicast_core::layout::{Geometry, Layout};
use multicast_core::manifest;
use multicast_core::net;
use multicast_core::pace::Profile;
use multicast_core::types::ClientId;
use multicast_core::wire::{ContentLocation, Inquiry, Join, Packet, RefuseReason};

/// Says what it is told to say, and counts how often it was asked.
struct Told {
    verdict: Mutex<Verdict>,
    asked: AtomicU32,
}

impl Doorkeeper for Told {
    fn judge(&self, ask: &Ask<'_>) -> Verdict {
        assert_eq!((ask.client, ask.host, ask.image), (ClientId(7), "bench-7", "base.img"));
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.verdict.lock().unwrap().clone()
    }

    fn only_image(&self) -> Option<String> {
        Some("base.img".to_owned())
    }

    fn has_content(&self, image: &str) -> bool {
        image != "secret.img"
    }
}

struct Site {
    engine: Engine,
    keeper: Arc<Told>,
    client: UdpSocket,
}

impl Site {
    fn open(first: Verdict) -> Self {
        let keeper = Arc::new(Told { verdict: Mutex::new(first), asked: AtomicU32::new(0) });
        let usual = EngineConfig::new(net::choose(Some("lo")).unwrap(), std::process::id().into()).unwrap();
        let doorkeeper: Option<Arc<dyn Doorkeeper>> = Some(keeper.clone());
        let content = Some(ContentLocation { port: 8080, tls: None });
        let config = EngineConfig { control_port: 0, only_lent: true, doorkeeper, content, ..usual };
        let engine = Engine::start(config).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(engine.control_address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { engine, keeper, client }
    }

    fn join(&self) {
        let mut datagram = Vec::new();
        Join { client: ClientId(7), image: "base.img", host: "bench-7", credential: &[] }.encode(&mut datagram);
        self.client.send(&datagram).unwrap();
    }

    /// The next answer: an offer's image, or a refusal's reason, text and milliseconds.
    fn answer(&self) -> Result<String, (RefuseReason, String, u32)> {
        let mut buffer = [0; 2048];
        let len = self.client.recv(&mut buffer).unwrap();
        match Packet::decode(&buffer[..len]).unwrap() {
            Packet::Offer(offer) => Ok(offer.image),
            Packet::Refusal(refusal) => Err((refusal.reason, refusal.text.to_owned(), refusal.retry_ms)),
            other => panic!("{other:?}"),
        }
    }

    fn serve(&self) -> Result<(), EngineError> {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("base.img");
        std::fs::write(&image, vec![3; 100_000]).unwrap();
        let delivery = Delivery::open(&[image]).unwrap();
        let layout = Layout::new(Geometry::for_size(delivery.size(), 1440), delivery.file_entries()).unwrap();
        let manifest = manifest::build(&delivery, &layout, 0, |_| {}, &Default::default()).unwrap();
        self.engine.start_session(SessionConfig::new("base.img", Profile::Gigabit), delivery, manifest).map(drop)
    }
}

#[test]
fn a_refusal_reaches_the_client_in_its_words_and_with_its_time() {
    let (reason, retry) = (RefuseReason::Full, Duration::from_secs(2));
    let site = Site::open(Verdict::Refuse { reason, retry, text: "full: number 3 in the queue".into() });
    site.join();
    assert_eq!(site.answer(), Err((RefuseReason::Full, "full: number 3 in the queue".into(), 2000)));
}

#[test]
fn who_asked_before_the_session_was_there_is_taken_in_when_it_opens() {
    let site = Site::open(Verdict::Serve { image: "base.img".into() });
    site.join();
    assert_eq!(site.answer().unwrap_err().0, RefuseReason::Preparing);
    site.engine.lend("239.194.7.7:63007".parse().unwrap()).unwrap();
    site.join();
    site.serve().unwrap();
    assert_eq!(site.answer().unwrap_err().0, RefuseReason::Preparing);
    assert_eq!(site.answer(), Ok("base.img".into()), "without asking a third time");
    assert_eq!(site.keeper.asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_session_takes_a_place_that_was_lent_and_no_other() {
    let site = Site::open(Verdict::Admit);
    let none = site.serve().unwrap_err();
    assert_eq!(none.to_string(), "no group address is left for another stream: all 0 that were lent are in use");
    let place = "239.194.7.8:63008".parse().unwrap();
    site.engine.lend(place).unwrap();
    site.serve().unwrap();
    assert_eq!(site.engine.lent().in_use, [place]);
    assert!(!site.engine.recall(place), "a stream uses it");
    assert_eq!(site.engine.lent(), Lent { recalled: vec![place], ..Lent::default() });
    site.join();
    assert_eq!(site.answer(), Ok("base.img".into()));
    assert!(site.engine.lend("224.0.0.5:63000".parse().unwrap()).is_err(), "routers talk there");
}

#[test]
fn an_image_without_content_sends_nobody_elsewhere() {
    let site = Site::open(Verdict::Admit);
    let content = |image: &str| {
        let mut datagram = Vec::new();
        Inquiry { client: ClientId(7), image }.encode(&mut datagram);
        site.client.send(&datagram).unwrap();
        let mut buffer = [0; 2048];
        let len = site.client.recv(&mut buffer).unwrap();
        match Packet::decode(&buffer[..len]).unwrap() {
            Packet::Directory(directory) => directory.content.map(|content| content.port),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(["base.img", "", "secret.img"].map(content), [Some(8080), Some(8080), None]);
}

#[test]
fn refusals_that_nobody_listens_to_do_not_pile_up() {
    let (reason, retry) = (RefuseReason::Ambiguous, Duration::ZERO);
    let site = Site::open(Verdict::Refuse { reason, retry, text: "name one of: a, b".into() });
    for _ in 0..1000 {
        site.join();
        assert_eq!(site.answer().unwrap_err().0, RefuseReason::Ambiguous);
    }
    let waiting = site.engine.events().len();
    assert!((1..1000).contains(&waiting), "{waiting}");
}
