//! An image by unicast: from sources that damage, break off and come back, and behind a multicast client.

#![allow(clippy::single_range_in_vec_init, clippy::type_complexity, clippy::unwrap_used, reason = "a test")]

use std::io::{self, Cursor, Read};
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use multicast_core::codec::CodecId;
use multicast_core::engine::{
    Client, ClientConfig, ClientError, ClientEvent, ClientSummary, ContentLocation, ContentSource, Engine,
    EngineConfig, Fetch, FetchConfig, FetchError, Inquired, Output, Session, SessionConfig, SourceError, Standing,
    inquire,
};
use multicast_core::image::Delivery;
use multicast_core::layout::{FileEntry, Geometry, Layout};
use multicast_core::manifest::{Hash, Manifest};
use multicast_core::net;
use multicast_core::pace::{Profile, Rate};
use multicast_core::receiver::ReceiverError;
use multicast_core::store::TargetOptions;
use multicast_core::types::{BlockIndex, ClientId, Slot};
use multicast_core::wire::{Inquiry, LeaveReason, Offer, Packet};

/// Blocks of 32 KiB: the first 100 KiB of a file are four.
const GEOMETRY: Geometry =
    Geometry { symbol_size: 1024, block_symbols: 32, parity_symbols: 32, codec: CodecId::ReedSolomon8 };
const BLOCK: u64 = 32 << 10;
const CLIENT: ClientId = ClientId(77);
const LIMIT: Duration = Duration::from_secs(30);

/// An image of files, with its manifest.
#[derive(Clone)]
struct Image {
    bytes: Vec<u8>,
    manifest: Manifest,
}

impl Image {
    fn new(seed: u64, sizes: &[u64]) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..sizes.iter().sum()).map(|_| random.u8(..)).collect();
        let files = sizes.iter().enumerate().map(|(n, &size)| FileEntry { name: format!("f{n}"), size }).collect();
        let layout = Layout::new(GEOMETRY, files).unwrap();
        let mut rest = &bytes[..];
        let mut hashes = Vec::new();
        for size in sizes {
            let (file, behind) = rest.split_at(*size as usize);
            hashes.extend(file.chunks(BLOCK as usize).map(Hash::of));
            rest = behind;
        }
        Self { bytes, manifest: Manifest { layout, hashes } }
    }

    fn first_block(&self) -> u32 {
        self.manifest.layout.manifest_blocks()
    }
}

/// What a source does with a request for bytes.
#[derive(Clone)]
enum Fault {
    No,
    /// The byte at this place of the image is wrong.
    Damage(u64),
    /// The connection breaks after so many bytes.
    Cut(usize),
    Fail(SourceError),
    /// Nothing more comes after so many bytes, for as long as anybody waits.
    Hang(usize),
}

/// A server in memory.
struct Memory {
    image: Image,
    /// Says what is to become of the request of this number.
    fault: Box<dyn FnMut(usize, &Range<u64>) -> Fault + Send>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    manifests: Vec<Standing>,
    reads: Vec<Range<u64>>,
    complete: Vec<Standing>,
}

impl Memory {
    fn new(image: &Image) -> (Self, Arc<Mutex<Log>>) {
        let log = Arc::new(Mutex::new(Log::default()));
        (Self { image: image.clone(), fault: Box::new(|_, _| Fault::No), log: log.clone() }, log)
    }

    fn faulty(
        image: &Image,
        fault: impl FnMut(usize, &Range<u64>) -> Fault + Send + 'static,
    ) -> (Self, Arc<Mutex<Log>>) {
        let (source, log) = Self::new(image);
        (Self { fault: Box::new(fault), ..source }, log)
    }
}

impl ContentSource for Memory {
    fn manifest(&mut self, standing: Standing) -> Result<Vec<u8>, SourceError> {
        self.log.lock().unwrap().manifests.push(standing);
        Ok(self.image.manifest.encode())
    }

    fn read(&mut self, range: Range<u64>, _: Standing) -> Result<Box<dyn Read + '_>, SourceError> {
        let number = self.log.lock().unwrap().reads.len();
        self.log.lock().unwrap().reads.push(range.clone());
        let mut bytes = self.image.bytes[range.start as usize..range.end as usize].to_vec();
        match (self.fault)(number, &range) {
            Fault::No => {}
            Fault::Damage(at) if range.contains(&at) => bytes[(at - range.start) as usize] ^= 1,
            Fault::Damage(_) => {}
            Fault::Cut(len) => bytes.truncate(len),
            Fault::Fail(error) => return Err(error),
            Fault::Hang(len) => {
                bytes.truncate(len);
                return Ok(Box::new(Cursor::new(bytes).chain(Hanging)));
            }
        }
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn complete(&mut self, standing: Standing) -> Result<(), SourceError> {
        self.log.lock().unwrap().complete.push(standing);
        Ok(())
    }
}

/// Gives nothing for longer than any test takes.
struct Hanging;

impl Read for Hanging {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(LIMIT * 4);
        Ok(0)
    }
}

fn lost() -> SourceError {
    SourceError::Lost { text: "connection refused".into() }
}

fn config(output: &Path) -> FetchConfig {
    FetchConfig {
        image: "image".into(),
        output: output.to_owned(),
        fresh: false,
        target: TargetOptions::new(CLIENT),
        wait_limit: Some(LIMIT),
        seed: 1,
    }
}

fn fetch(output: &Path, source: Memory) -> (Result<ClientSummary, ClientError>, Vec<ClientEvent>) {
    let fetch = Fetch::start(config(output), Box::new(source), None).unwrap();
    let events = fetch.events().iter().collect();
    (fetch.wait(), events)
}

fn read_bytes(log: &Mutex<Log>) -> u64 {
    log.lock().unwrap().reads.iter().map(|range| range.end - range.start).sum()
}

/// The only thing in `folder` is the file `name`.
fn only_name(folder: &Path, name: &str) -> bool {
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names == [name]
}

#[test]
fn an_image_is_fetched_verified_and_stored_and_the_server_hears_of_its_end() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(1, &[1_000_003]));
    let (source, log) = Memory::new(&image);
    let (summary, events) = fetch(&folder.path().join("copy"), source);
    let summary = summary.unwrap();
    assert!(std::fs::read(folder.path().join("copy")).unwrap() == image.bytes);
    assert!(only_name(folder.path(), "copy"));
    assert_eq!(read_bytes(&log), 1_000_003);
    let blocks = image.manifest.layout.blocks();
    assert_eq!((summary.receiver.verified, summary.receiver.verified_bytes), (blocks, 1_000_003));
    assert_eq!(log.lock().unwrap().manifests, [Standing { client: CLIENT, verified: 0, blocks: 0 }]);
    assert_eq!(log.lock().unwrap().complete, [Standing { client: CLIENT, verified: blocks, blocks }]);
    assert_eq!(events.last(), Some(&ClientEvent::Complete));
}

#[test]
fn several_files_are_told_apart() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(2, &[100_000, 1, 70_000]));
    let (result, _) = fetch(folder.path(), Memory::new(&image).0);
    result.unwrap();
    assert!(std::fs::read(folder.path().join("f0")).unwrap() == image.bytes[..100_000]);
    assert!(std::fs::read(folder.path().join("f1")).unwrap() == image.bytes[100_000..100_001]);
    assert!(std::fs::read(folder.path().join("f2")).unwrap() == image.bytes[100_001..]);
}

#[test]
fn a_wrong_block_is_fetched_again_alone() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(3, &[1 << 20]));
    let fault = |number, _: &Range<u64>| if number == 0 { Fault::Damage(5 * BLOCK + 9) } else { Fault::No };
    let (source, log) = Memory::faulty(&image, fault);
    let (summary, events) = fetch(&folder.path().join("copy"), source);
    assert_eq!(summary.unwrap().receiver.counters.damaged_blocks, 1);
    assert!(std::fs::read(folder.path().join("copy")).unwrap() == image.bytes);
    assert_eq!(log.lock().unwrap().reads, [0..1 << 20, 5 * BLOCK..6 * BLOCK]);
    let block = BlockIndex(image.first_block() + 5);
    assert!(events.contains(&ClientEvent::BlockDamaged { block }), "{events:?}");
}

#[test]
fn a_block_that_is_always_wrong_ends_it_by_name_and_the_others_stay() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(4, &[1 << 20]));
    let output = folder.path().join("copy");
    let (result, _) = fetch(&output, Memory::faulty(&image, |_, _| Fault::Damage(7 * BLOCK)).0);
    let wrong = BlockIndex(image.first_block() + 7);
    let error = result.unwrap_err();
    assert!(
        matches!(error, ClientError::Fetch(FetchError::BlockDamaged { block, tries: 3 }) if block == wrong),
        "{error}"
    );
    assert!(!output.exists(), "a wrong image must not have the name");

    let (source, log) = Memory::new(&image);
    let kept = fetch(&output, source).0.unwrap().kept_blocks;
    assert_eq!((kept, log.lock().unwrap().reads.clone()), (31, vec![7 * BLOCK..8 * BLOCK]));
    assert!(std::fs::read(output).unwrap() == image.bytes);
}

#[test]
fn a_broken_connection_goes_on_behind_the_last_block_that_came() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(5, &[1 << 20]));
    let fault = |number, _: &Range<u64>| if number < 3 { Fault::Cut(3 * BLOCK as usize + 100) } else { Fault::No };
    let (source, log) = Memory::faulty(&image, fault);
    let (result, events) = fetch(&folder.path().join("copy"), source);
    result.unwrap();
    assert!(std::fs::read(folder.path().join("copy")).unwrap() == image.bytes);
    let starts: Vec<_> = log.lock().unwrap().reads.iter().map(|range| range.start).collect();
    assert_eq!(starts, [0, 3 * BLOCK, 6 * BLOCK, 9 * BLOCK]);
    let told = |event: &&ClientEvent| matches!(event, ClientEvent::SourceFailed { text, .. } if text.contains("block"));
    assert!(events.iter().any(|event| told(&event)), "{events:?}");
}

#[test]
fn a_server_that_is_away_or_busy_is_asked_again_and_that_is_told_once() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(6, &[1 << 20]));
    let fault = |number, _: &Range<u64>| match number {
        0 | 1 => Fault::Fail(lost()),
        2 => Fault::Fail(SourceError::Busy { text: "busy".into(), after: Duration::from_millis(300) }),
        _ => Fault::No,
    };
    let (result, events) = fetch(&folder.path().join("copy"), Memory::faulty(&image, fault).0);
    result.unwrap();
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::SourceFailed { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["connection refused", "busy"]);
}

#[test]
fn a_server_that_stays_away_is_given_up_after_the_limit() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(7, &[1 << 20]));
    let (source, _) = Memory::faulty(&image, |_, _| Fault::Fail(lost()));
    let mut config = config(&folder.path().join("copy"));
    config.wait_limit = Some(Duration::from_millis(700));
    let fetch = Fetch::start(config, Box::new(source), None).unwrap();
    let error = fetch.wait().unwrap_err();
    assert!(matches!(&error, ClientError::Fetch(FetchError::GivenUp { last, .. }) if last == "connection refused"));
}

#[test]
fn what_is_final_ends_it_at_once() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(8, &[1 << 20]));
    let with = |error: SourceError| {
        let (source, _) = Memory::faulty(&image, move |_, _| Fault::Fail(error.clone()));
        fetch(&folder.path().join("copy"), source).0.unwrap_err()
    };
    assert!(matches!(with(SourceError::Changed), ClientError::Receiver(ReceiverError::ImageChanged)));
    let refused = with(SourceError::Refused { text: "not you".into() });
    assert!(matches!(&refused, ClientError::Fetch(FetchError::Refused { text }) if text == "not you"), "{refused}");
}

#[test]
fn cancelled_in_a_read_that_hangs_it_ends_and_the_next_run_fetches_the_rest() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(9, &[1 << 20]));
    let output = folder.path().join("copy");
    let (source, _) = Memory::faulty(&image, |_, _| Fault::Hang(10 * BLOCK as usize + 5));
    let begun = Fetch::start(config(&output), Box::new(source), None).unwrap();
    let first = image.first_block();
    let since = std::time::Instant::now();
    while begun.snapshot().verified < first + 10 {
        assert!(since.elapsed() < LIMIT, "{:?}", begun.snapshot());
        std::thread::sleep(Duration::from_millis(5));
    }
    begun.cancel();
    assert!(matches!(begun.wait(), Err(ClientError::Receiver(ReceiverError::Left(_)))));
    assert!(since.elapsed() < LIMIT);

    let (source, log) = Memory::new(&image);
    let (summary, events) = fetch(&output, source);
    assert_eq!(summary.unwrap().kept_blocks, 10);
    assert!(events.contains(&ClientEvent::Resumed { kept_blocks: 10, kept_bytes: 10 * BLOCK }), "{events:?}");
    assert_eq!(log.lock().unwrap().reads, [10 * BLOCK..1 << 20]);
    assert!(std::fs::read(&output).unwrap() == image.bytes);
}

#[test]
fn what_is_there_of_another_image_is_discarded() {
    let (folder, old, new) = (tempfile::tempdir().unwrap(), Image::new(10, &[1 << 20]), Image::new(11, &[900_000]));
    let output = folder.path().join("copy");
    let fault = |number, _: &Range<u64>| match number {
        0 => Fault::Cut(4 * BLOCK as usize),
        _ => Fault::Fail(SourceError::Changed),
    };
    fetch(&output, Memory::faulty(&old, fault).0).0.unwrap_err();
    let (source, log) = Memory::new(&new);
    let (result, events) = fetch(&output, source);
    result.unwrap();
    assert!(events.iter().any(|event| matches!(event, ClientEvent::Discarded { .. })), "{events:?}");
    assert!(std::fs::read(&output).unwrap() == new.bytes);
    assert_eq!(read_bytes(&log), 900_000);
    assert!(only_name(folder.path(), "copy"));
}

/// A server on loopback with a session of the given image.
struct Server {
    engine: Engine,
    session: Session,
}

impl Server {
    fn start(image: &Image, folder: &Path, rate: Rate) -> Self {
        let seed = fastrand::u64(..);
        let engine = Engine::start(EngineConfig {
            control_port: 0,
            content: Some(ContentLocation { port: 8095, tls: Some([9; 32]) }),
            ..EngineConfig::new(net::choose(Some("lo")).unwrap(), seed).unwrap()
        });
        let engine = engine.unwrap();
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join("f0");
        std::fs::write(&path, &image.bytes).unwrap();
        let delivery = Delivery::open(&[path]).unwrap();
        let config = SessionConfig::new("image", Profile::Custom(rate));
        let session = engine.start_session(config, delivery, image.manifest.clone()).unwrap();
        Self { engine, session }
    }
}

fn client(server: SocketAddr, output: PathBuf) -> Client {
    let config = ClientConfig {
        server,
        interface: net::choose(Some("lo")).unwrap(),
        image: String::new(),
        output,
        fresh: false,
        host: "test".into(),
        target: TargetOptions::new(CLIENT),
        wait_limit: Some(LIMIT),
        deaf_limit: LIMIT,
        staging: 1 << 20,
        receive_buffer: 4 << 20,
        seed: 1,
    };
    Client::start(config).unwrap()
}

/// Receives by multicast until some blocks are here; what the client then leaves.
fn part_of(image: &Image, folder: &Path, output: &Path) -> Output {
    let server = Server::start(image, &folder.join("server"), Rate::from_mbit(20));
    let client = client(server.engine.control_address(), output.to_owned());
    let (since, first) = (std::time::Instant::now(), image.first_block());
    while client.snapshot().verified < first + 8 {
        assert!(since.elapsed() < LIMIT, "{:?}", client.snapshot());
        std::thread::sleep(Duration::from_millis(5));
    }
    client.cancel();
    let (result, output) = client.wait_with_output();
    assert!(matches!(result, Err(ClientError::Receiver(ReceiverError::Left(_)))), "{result:?}");
    server.session.wait().unwrap();
    output.unwrap()
}

#[test]
fn behind_a_multicast_client_only_the_rest_is_fetched() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(12, &[8 << 20]));
    let path = folder.path().join("copy");
    let output = part_of(&image, folder.path(), &path);
    let held = output.held_blocks();
    assert!((8..256).contains(&held), "{held}");
    let (source, log) = Memory::new(&image);
    let fetch = Fetch::start(config(&path), Box::new(source), Some(output)).unwrap();
    let events: Vec<_> = fetch.events().iter().collect();
    fetch.wait().unwrap();
    assert!(std::fs::read(&path).unwrap() == image.bytes);
    assert_eq!(read_bytes(&log), (8 << 20) - u64::from(held) * BLOCK);
    assert!(!events.iter().any(|event| matches!(event, ClientEvent::Rechecking { .. })), "it was verified just now");
}

#[test]
fn behind_a_multicast_client_of_an_earlier_run_only_the_rest_is_fetched() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(13, &[8 << 20]));
    let path = folder.path().join("copy");
    let held = part_of(&image, folder.path(), &path).held_blocks();
    let (source, log) = Memory::new(&image);
    let (summary, _) = fetch(&path, source);
    assert_eq!(summary.unwrap().kept_blocks, held);
    assert_eq!(read_bytes(&log), (8 << 20) - u64::from(held) * BLOCK);
    assert!(std::fs::read(&path).unwrap() == image.bytes);
}

#[test]
fn a_pipe_that_got_its_beginning_by_multicast_gets_the_rest_behind_it() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(14, &[8 << 20]));
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap()
    });
    let output = part_of(&image, folder.path(), &pipe);
    let (source, log) = Memory::new(&image);
    let fetch = Fetch::start(config(&pipe), Box::new(source), Some(output)).unwrap();
    fetch.wait().unwrap();
    assert!(reader.join().unwrap() == image.bytes);
    assert!(read_bytes(&log) < 8 << 20);
}

#[test]
fn a_source_of_another_image_than_the_offered_one_is_refused() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(15, &[8 << 20]));
    let path = folder.path().join("copy");
    let output = part_of(&image, folder.path(), &path);
    let (source, log) = Memory::new(&Image::new(16, &[8 << 20]));
    let fetch = Fetch::start(config(&path), Box::new(source), Some(output)).unwrap();
    assert!(matches!(fetch.wait(), Err(ClientError::Receiver(ReceiverError::ImageChanged))));
    assert_eq!(read_bytes(&log), 0);
}

#[test]
fn a_server_says_where_its_content_is_and_which_image_is_meant() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(17, &[100_000]));
    let server = Server::start(&image, folder.path(), Rate::from_mbit(20));
    let content = Some(ContentLocation { port: 8095, tls: Some([9; 32]) });
    for (asked, told) in [("", "image"), ("another", "another")] {
        let answer = inquire(server.engine.control_address(), CLIENT, asked, LIMIT).unwrap();
        assert_eq!(answer, Inquired::Told { content, image: told.into() });
    }
    server.session.cancel();
    server.session.wait().unwrap();
}

#[test]
fn a_server_that_knows_no_inquiries_is_asked_some_times_and_then_left_alone() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let answer = inquire(server.local_addr().unwrap(), CLIENT, "image", Duration::from_millis(600));
    assert_eq!(answer.unwrap(), Inquired::Silence);
    let mut buffer = [0; 2048];
    server.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let asked = std::iter::from_fn(|| server.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec()));
    let asked: Vec<_> = asked.collect();
    assert!((2..=4).contains(&asked.len()), "{}", asked.len());
    let inquiry = Inquiry { client: CLIENT, image: "image" };
    assert!(asked.iter().all(|datagram| Packet::decode(datagram) == Ok(Packet::Inquiry(inquiry))));
}

/// Offers a group that nobody sends to, to whoever joins, and counts who leaves and why.
fn silent_server(image: &Image, left: mpsc::Sender<String>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let offer = Offer {
        session: multicast_core::types::SessionId(5),
        client: CLIENT,
        slot: Slot(0),
        group: SocketAddr::from(([239, 194, 77, 3], 63_977)),
        source: None,
        source_specific: false,
        geometry: GEOMETRY,
        silence_ms: 30_000,
        manifest_root: image.manifest.root().0,
        image: "image".into(),
        files: image.manifest.layout.files().to_vec(),
    };
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            match Packet::decode(&buffer[..len]) {
                Ok(Packet::Join(_)) => {
                    let mut answer = Vec::new();
                    offer.encode(&mut answer);
                    socket.send_to(&answer, from).unwrap();
                }
                Ok(Packet::Leave(leave)) => {
                    assert_eq!(leave.reason, LeaveReason::Unsuitable);
                    if left.send(leave.text.to_owned()).is_err() {
                        return;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    });
    address
}

#[test]
fn a_deaf_client_for_which_there_is_another_way_says_so_and_takes_it() {
    let (folder, image) = (tempfile::tempdir().unwrap(), Image::new(18, &[1 << 20]));
    let path = folder.path().join("copy");
    let (left, leaves) = mpsc::channel();
    let client = client(silent_server(&image, left), path.clone());
    let joined = client.events().iter().find(|event| matches!(event, ClientEvent::Joined { .. }));
    assert!(joined.is_some());
    client.set_deaf_limit(Duration::from_millis(300));
    let (result, output) = client.wait_with_output();
    assert!(matches!(result, Err(ClientError::Receiver(ReceiverError::Deaf { .. }))), "{result:?}");
    assert!(leaves.recv_timeout(LIMIT).unwrap().contains("239.194.77.3:63977"));
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let (source, _) = Memory::faulty(&image, move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Fault::No
    });
    let fetch = Fetch::start(config(&path), Box::new(source), output).unwrap();
    fetch.wait().unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert!(std::fs::read(&path).unwrap() == image.bytes);
}
