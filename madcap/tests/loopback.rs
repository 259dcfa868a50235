//! Both ends over real sockets, on loopback.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use madcap::driver::DriverConfig;
use madcap::{Config, Event, Lease, MadcapClient, Responder, ResponderConfig, SERVER_GROUP, Timing};

/// A responder in a thread, until it is dropped.
struct Server {
    address: SocketAddrV4,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Server {
    fn start(lease: Duration) -> Self {
        Self::over(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback"), lease)
    }

    /// One that the group reaches, by loopback only.
    fn in_group(lease: Duration) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
        socket.join_multicast_v4(SERVER_GROUP.ip(), &Ipv4Addr::LOCALHOST).expect("loopback carries multicast");
        Self::over(socket, lease)
    }

    fn over(socket: UdpSocket, lease: Duration) -> Self {
        let SocketAddr::V4(address) = socket.local_addr().expect("it is bound") else { panic!("bound to IPv4") };
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a valid timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut responder = Responder::new(ResponderConfig { lease, ..ResponderConfig::new(Ipv4Addr::LOCALHOST) });
        let thread = thread::spawn(move || {
            let start = Instant::now();
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((len, SocketAddr::V4(from))) = socket.recv_from(&mut buffer) {
                    responder.handle_datagram(start.elapsed(), from, &buffer[..len]);
                }
                responder.handle_timeout(start.elapsed());
                while let Some(transmit) = responder.poll_transmit() {
                    socket.send_to(&transmit.bytes, transmit.to).expect("loopback is up");
                }
            }
            responder.in_use()
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// How many addresses were in use at its end.
    fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is stopped once").join().expect("it did not panic")
    }
}

fn start(server: &Server) -> MadcapClient {
    start_with(Config { server: Some(server.address), ..Config::default() })
}

fn start_with(config: Config) -> MadcapClient {
    let timing = Timing { first: Duration::from_millis(200), ..Timing::default() };
    let config = Config { timing, ..config };
    MadcapClient::start(DriverConfig::new(config, Ipv4Addr::LOCALHOST)).expect("loopback is there")
}

/// The next lease that is told of, as `wanted` sees it.
fn next(client: &MadcapClient, wanted: impl Fn(Event) -> Option<Lease>) -> Lease {
    loop {
        let event = client.events().recv_timeout(Duration::from_secs(20)).expect("within 20 s");
        if let Some(lease) = wanted(event) {
            return lease;
        }
    }
}

fn leased(event: Event) -> Option<Lease> {
    match event {
        Event::Leased { lease } => Some(lease),
        _ => None,
    }
}

fn renewed(event: Event) -> Option<Lease> {
    match event {
        Event::Renewed { lease } => Some(lease),
        _ => None,
    }
}

#[test]
fn addresses_are_leased_renewed_adopted_and_given_back() {
    let server = Server::start(Duration::from_secs(2));
    let client = start(&server);
    client.wish(2);
    let first = next(&client, leased);
    let second = next(&client, leased);
    assert_ne!(first.address, second.address);
    let again = next(&client, renewed);
    assert!(again.expires > first.expires);

    // Dropped without a shutdown, it keeps its leases for another life.
    let clock = client.clock();
    let ends = clock.to_system(again.expires);
    drop(client);
    let client = start(&server);
    client.adopt(Lease { expires: client.clock().from_system(ends), ..again });
    assert_eq!(next(&client, renewed).address, again.address);
    client.release(again.address);
    let released = |event| match event {
        Event::Released { address, confirmed: true, .. } => Some(Lease { address, ..again }),
        _ => None,
    };
    assert_eq!(next(&client, released).address, again.address);
    client.wish(3);
    for _ in 0..3 {
        next(&client, leased);
    }
    let shutdown = client.shutdown(Duration::from_secs(10));
    assert!(shutdown.complete, "{shutdown:?}");
    assert_eq!(shutdown.counters.malformed, 0);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(server.stop(), 0, "what was not given back has expired");
}

#[test]
fn a_server_is_found_by_its_group_and_then_asked_by_its_address() {
    let server = Server::in_group(Duration::from_secs(2));
    let group = SocketAddrV4::new(*SERVER_GROUP.ip(), server.address.port());
    let client = start_with(Config { group, ..Config::default() });
    client.wish(1);
    let lease = next(&client, leased);
    assert_eq!(lease.server, SocketAddrV4::new(Ipv4Addr::LOCALHOST, group.port()));
    assert_eq!(next(&client, renewed).address, lease.address);
    assert!(client.shutdown(Duration::from_secs(10)).complete);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_shutdown_waits_no_longer_than_it_may() {
    let server = Server::start(Duration::from_secs(60));
    let client = start(&server);
    client.wish(1);
    next(&client, leased);
    assert_eq!(server.stop(), 1);
    let start = Instant::now();
    let shutdown = client.shutdown(Duration::from_millis(300));
    assert!(!shutdown.complete, "nobody could confirm it");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    // TEST-NET-1 (RFC 5737) is nobody's.
    let config = DriverConfig::new(Config::default(), Ipv4Addr::new(192, 0, 2, 1));
    let Err(error) = MadcapClient::start(config) else { panic!("it was opened") };
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}
