//! The server over real sockets, on loopback.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use pxe::files::{BootFiles, BootName};
use pxe::tftp::wire::{ErrorCode, Mode, Options, Packet, Request};
use pxe::tftp::{Aborted, Asker, Content, Event, Outcome, Refusal, Settings, Source, TftpServer};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// A server of a folder, and what it tells.
struct Site {
    folder: TempDir,
    server: TftpServer,
    events: mpsc::Receiver<Event>,
}

fn settings() -> Settings {
    Settings::new(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))])
}

fn site(settings: Settings) -> Site {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("boot")).unwrap();
    let (told, events) = mpsc::channel();
    let source = BootFiles::new(folder.path().join("boot"));
    let server = TftpServer::start(settings, source, move |event| _ = told.send(event)).unwrap();
    Site { folder, server, events }
}

impl Site {
    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join("boot").join(name), bytes).unwrap();
    }

    fn client(&self) -> Client {
        Client::new(self.server.addresses()[0])
    }

    /// The first event that `pick` takes.
    fn event<T>(&self, pick: impl Fn(Event) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.events.recv_timeout(LONG).expect("an event in time")) {
                return picked;
            }
        }
    }
}

struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Options(Options),
    Data(u16, Vec<u8>),
    Error(ErrorCode, String),
}

impl Client {
    fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self { socket, server }
    }

    fn send(&self, packet: &Packet<'_>) {
        self.socket.send_to(&packet.to_bytes(), self.server).unwrap();
    }

    fn ask(&self, name: &[u8], options: Options) {
        self.send(&Packet::Read(Request { name, mode: Mode::Octet, options }));
    }

    /// The next answer; from then on the client speaks to the port that it came from.
    fn hear(&mut self) -> Answer {
        let mut buffer = vec![0; 65_536];
        let (len, from) = self.socket.recv_from(&mut buffer).expect("an answer in time");
        self.server = from;
        match Packet::decode(&buffer[..len]).unwrap() {
            Packet::OptionAck(options) => Answer::Options(options),
            Packet::Data { block, payload } => Answer::Data(block, payload.to_vec()),
            Packet::Error { code, text } => Answer::Error(code, String::from_utf8(text.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn fetch(&mut self, name: &str, options: Options) -> Result<Vec<u8>, (ErrorCode, String)> {
        self.ask(name.as_bytes(), options);
        let (mut bytes, mut have, mut size, mut window) = (Vec::new(), 0_u16, 512, 1);
        loop {
            match self.hear() {
                Answer::Options(agreed) => {
                    size = usize::from(agreed.block_size.unwrap_or(512));
                    window = agreed.window.unwrap_or(1);
                    self.send(&Packet::Ack { block: 0 });
                }
                Answer::Data(block, payload) if block == have.wrapping_add(1) => {
                    have = block;
                    bytes.extend_from_slice(&payload);
                    let last = payload.len() < size;
                    if last || have.is_multiple_of(window) {
                        self.send(&Packet::Ack { block });
                    }
                    if last {
                        return Ok(bytes);
                    }
                }
                Answer::Data(..) => self.send(&Packet::Ack { block: have }),
                Answer::Error(code, text) => return Err((code, text)),
            }
        }
    }
}

fn windows(block: u16, window: u16) -> Options {
    Options { block_size: Some(block), window: Some(window), size: Some(0), timeout: None }
}

#[test]
fn files_arrive_as_they_are_whatever_was_agreed_on() {
    let site = site(settings());
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|i| (i * 7 / 3) as u8).collect();
    site.put("Image.bin", &bytes);
    for options in [Options::default(), windows(1468, 1), windows(1468, 4), windows(1468, 64), windows(65_464, 2)] {
        assert!(site.client().fetch("\\IMAGE.BIN", options).unwrap() == bytes, "{options:?}");
    }
    site.put("even", &[1; 1024]);
    assert_eq!(site.client().fetch("even", Options::default()).unwrap(), [1; 1024]);
    site.put("empty", &[]);
    assert_eq!(site.client().fetch("empty", windows(1468, 4)).unwrap(), Vec::<u8>::new());
}

#[test]
fn the_end_of_a_transfer_is_told_with_its_figures() {
    let site = site(settings());
    site.put("x", &[7; 5000]);
    site.client().fetch("x", windows(1024, 4)).unwrap();
    let (served, confirmed) = site.event(|event| match event {
        Event::Done { served, confirmed, .. } => Some((served, confirmed)),
        _ => None,
    });
    assert_eq!((served.name.as_str(), served.size, served.block, served.window), ("x", 5000, 1024, 4));
    assert!(confirmed);
    let counters = site.server.counters();
    assert_eq!((counters.started, counters.done, counters.active, counters.bytes), (1, 1, 0, 5000));
}

#[test]
fn writing_and_text_are_refused_with_words() {
    let site = site(settings());
    let mut client = site.client();
    let request = |mode| Request { name: b"x", mode, options: Options::default() };
    client.send(&Packet::Write(request(Mode::Octet)));
    assert_eq!(client.hear(), Answer::Error(ErrorCode::DENIED, "this server is read-only".into()));
    let mut client = site.client();
    client.send(&Packet::Read(request(Mode::Netascii)));
    let words = "mode netascii is not served, use octet";
    assert_eq!(client.hear(), Answer::Error(ErrorCode::ILLEGAL, words.into()));
}

#[test]
fn nothing_outside_the_folder_is_handed_out_and_no_answer_tells_a_path() {
    let site = site(settings());
    fs::write(site.folder.path().join("secret"), "secret").unwrap();
    symlink(site.folder.path().join("secret"), site.folder.path().join("boot/link")).unwrap();
    let absolute = site.folder.path().join("secret");
    for name in ["../secret", "..\\secret", "/../secret", "a/../../secret", "link", absolute.to_str().unwrap()] {
        let (code, text) = site.client().fetch(name, Options::default()).unwrap_err();
        assert!([ErrorCode::NOT_FOUND, ErrorCode::DENIED].contains(&code), "{name}: {code}");
        assert!(!text.contains(site.folder.path().to_str().unwrap()), "{name}: {text}");
    }
}

#[test]
fn a_file_that_shrinks_on_its_way_is_an_error_to_the_client() {
    let site = site(settings());
    site.put("x", &[1; 200_000]);
    let mut client = site.client();
    client.ask(b"x", Options::default());
    assert!(matches!(client.hear(), Answer::Data(1, _)));
    site.put("x", &[1; 600]);
    let mut block = 1;
    let text = loop {
        client.send(&Packet::Ack { block });
        match client.hear() {
            Answer::Data(number, _) => block = number,
            Answer::Error(_, text) => break text,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(text, "the file cannot be read");
    site.event(|event| matches!(event, Event::Aborted { why: Aborted::Content(_), .. }).then_some(()));
}

#[test]
fn a_clients_error_and_a_closed_port_end_a_transfer() {
    let site = site(settings());
    site.put("x", &[1; 200_000]);
    let mut client = site.client();
    client.ask(b"x", windows(1468, 4));
    assert!(matches!(client.hear(), Answer::Options(_)));
    client.send(&Packet::Error { code: ErrorCode::OPTIONS, text: b"" });
    let why = |event| match event {
        Event::Aborted { why, .. } => Some(why),
        _ => None,
    };
    assert_eq!(site.event(why), Aborted::Client(Outcome::SizeOnly));
    let mut client = site.client();
    client.ask(b"x", windows(1468, 4));
    assert!(matches!(client.hear(), Answer::Options(_)));
    drop(client);
    assert_eq!(site.event(why), Aborted::Client(Outcome::Gone));
}

#[test]
fn abandoned_transfers_make_room_for_who_comes_new() {
    let site = site(Settings { transfers: 8, transfers_per_client: 8, ..settings() });
    site.put("x", &[1; 200_000]);
    let abandoned: Vec<_> = (0..50)
        .map(|_| {
            let mut client = site.client();
            client.ask(b"x", windows(1468, 4));
            assert!(matches!(client.hear(), Answer::Options(_)));
            client
        })
        .collect();
    assert_eq!(site.client().fetch("x", windows(1468, 4)).unwrap().len(), 200_000);
    assert_eq!(abandoned.len(), 50);
    assert!(site.server.counters().active <= 8);
}

#[test]
fn who_makes_room_before_it_could_answer_is_not_told_an_error() {
    let site = site(Settings { transfers: 1, ..settings() });
    site.put("x", &[1; 100]);
    let mut slow = site.client();
    slow.ask(b"x", windows(1468, 4));
    assert!(matches!(slow.hear(), Answer::Options(_)));
    assert_eq!(site.client().fetch("x", windows(1468, 4)).unwrap().len(), 100);
    // Its next try is served; an error would come before it.
    slow.server = site.server.addresses()[0];
    assert_eq!(slow.fetch("x", windows(1468, 4)).unwrap().len(), 100);
}

#[test]
fn a_port_that_asks_for_something_else_is_not_told_that_the_old_transfer_ends() {
    let site = site(settings());
    site.put("x", &[1; 200_000]);
    site.put("y", &[2; 100]);
    let mut client = site.client();
    client.ask(b"x", windows(1468, 1));
    assert!(matches!(client.hear(), Answer::Options(_)));
    client.send(&Packet::Ack { block: 0 });
    assert!(matches!(client.hear(), Answer::Data(1, _)));
    client.server = site.server.addresses()[0];
    assert_eq!(client.fetch("y", windows(1468, 1)), Ok(vec![2; 100]));
}

#[test]
fn with_few_ports_who_is_silent_makes_room() {
    let site = site(Settings { ports: Some(45_700..=45_701), ..settings() });
    site.put("x", &[1; 100]);
    for _ in 0..4 {
        let mut abandoned = site.client();
        abandoned.ask(b"x", windows(1468, 4));
        assert!(matches!(abandoned.hear(), Answer::Options(_)));
        drop(abandoned);
    }
    assert_eq!(site.client().fetch("x", windows(1468, 4)).unwrap().len(), 100);
}

#[test]
fn a_request_that_comes_twice_is_served_once() {
    let site = site(settings());
    site.put("x", &[1; 10]);
    let mut client = site.client();
    client.ask(b"x", windows(1468, 4));
    client.ask(b"x", windows(1468, 4));
    assert!(matches!(client.hear(), Answer::Options(_)));
    let port = client.server;
    assert!(matches!(client.hear(), Answer::Options(_)));
    assert_eq!(client.server, port);
    assert_eq!(site.server.counters().started, 1);
}

#[test]
fn garbage_is_counted_and_not_answered() {
    let site = site(settings());
    site.put("x", b"served");
    let mut client = site.client();
    for bytes in [&b""[..], b"\0", b"\0\x04\0\0", b"\0\x09abc", &[255; 2000]] {
        client.socket.send_to(bytes, client.server).unwrap();
    }
    // The request behind it is what is answered first.
    assert_eq!(client.fetch("x", Options::default()).unwrap(), b"served");
    assert_eq!(site.server.counters().garbage, 5);
}

#[test]
fn stopping_tells_the_clients() {
    let Site { folder, server, events } = site(settings());
    fs::write(folder.path().join("boot/x"), [1; 200_000]).unwrap();
    let mut client = Client::new(server.addresses()[0]);
    client.ask(b"x", windows(1468, 4));
    assert!(matches!(client.hear(), Answer::Options(_)));
    server.stop();
    assert!(matches!(client.hear(), Answer::Error(ErrorCode::OTHER, _)));
    assert!(matches!(events.iter().last(), Some(Event::Aborted { why: Aborted::Stopped, .. })));
}

#[test]
fn answers_come_from_the_ports_and_with_the_windows_that_are_set() {
    let site = site(Settings { ports: Some(45_600..=45_699), window_limit: 8, block_limit: Some(9000), ..settings() });
    site.put("x", &[1; 10]);
    let mut client = site.client();
    client.ask(b"x", windows(65_464, 64));
    let Answer::Options(options) = client.hear() else { panic!("no options") };
    assert_eq!((options.block_size, options.window), (Some(9000), Some(8)));
    assert!((45_600..=45_699).contains(&client.server.port()));
}

/// Makes a script for whoever asks, and says nothing about other names.
struct Scripts(Arc<Mutex<Vec<Asker>>>);

impl Source for Scripts {
    fn open(&self, name: &BootName, asker: Asker) -> Result<Content, Refusal> {
        self.0.lock().unwrap().push(asker);
        match name.to_string().as_str() {
            "boot.ipxe" => Ok(Content::Bytes(format!("#!ipxe\necho {}\n", asker.client).into_bytes().into())),
            other => Err(Refusal::silent(format!("nothing is told about {other}"))),
        }
    }
}

#[test]
fn a_program_can_make_what_it_serves() {
    let askers = Arc::new(Mutex::new(Vec::new()));
    let wildcard = Settings::new(vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))]);
    let (told, events) = mpsc::channel();
    let server = TftpServer::start(wildcard, Scripts(Arc::clone(&askers)), move |event| _ = told.send(event)).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.addresses()[0].port()));
    let mut client = Client::new(address);
    let own = client.socket.local_addr().unwrap();
    let script = client.fetch("/boot.ipxe", windows(1468, 4)).unwrap();
    assert_eq!(String::from_utf8(script).unwrap(), format!("#!ipxe\necho {own}\n"));
    let server_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert_eq!(*askers.lock().unwrap(), [Asker { client: own, server: server_address }]);
    Client::new(address).ask(b"other", Options::default());
    let refused = events.iter().find(|event| matches!(event, Event::Refused { .. }));
    assert!(matches!(refused, Some(Event::Refused { answered: false, .. })), "{refused:?}");
}
