//! Calls a server's HTTP side for the lab: many connections that say nothing, or so many requests a second.
//!
//! ```text
//! callers silent ADDRESS CONNECTIONS SECONDS
//! callers requests ADDRESS PER_SECOND SECONDS TOKEN PATH…
//! ```
//!
//! Once a second it prints what it has, as NDJSON.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

const CALLERS: u64 = 4;
/// Connections opened between two breaths.
const AT_ONCE: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["silent", address, connections, seconds] => {
            silent(address.parse()?, connections.parse()?, Duration::from_secs(seconds.parse()?))
        }
        ["requests", address, per_second, seconds, token, paths @ ..] if !paths.is_empty() => {
            let paths = paths.iter().map(|&path| path.to_owned()).collect();
            requests(address.parse()?, per_second.parse()?, Duration::from_secs(seconds.parse()?), token, paths)
        }
        _ => {
            Err("usage: callers silent ADDRESS CONNECTIONS SECONDS, or requests ADDRESS PER_SECOND SECONDS TOKEN PATH…"
                .into())
        }
    }
}

/// Begins connections and says nothing on them.
fn silent(address: SocketAddr, connections: usize, time: Duration) -> Result<(), Box<dyn Error>> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let begun = Instant::now();
    let mut held = Vec::with_capacity(connections);
    while held.len() < connections {
        for _ in 0..AT_ONCE.min(connections - held.len()) {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            // It is under way; the system goes on with it.
            let _ = socket.connect(&address.into());
            held.push(socket);
        }
        println!("{{\"begun\":{}}}", held.len());
        std::thread::sleep(Duration::from_millis(50));
    }
    while begun.elapsed() < time {
        let open = held.iter().filter(|socket| socket.peer_addr().is_ok()).count();
        println!("{{\"open\":{open}}}");
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Asks evenly, by a few connections that are kept.
fn requests(
    address: SocketAddr,
    per_second: u64,
    time: Duration,
    token: &str,
    paths: Vec<String>,
) -> Result<(), Box<dyn Error>> {
    let answered = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let interval = Duration::from_secs_f64(CALLERS as f64 / per_second as f64);
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (answered, paths, token) = (answered.clone(), paths.clone(), token.to_owned());
            std::thread::spawn(move || call(address, interval, begun + time, &token, &paths, &answered))
        })
        .collect();
    let mut before = 0;
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_secs(1));
        let now = answered.load(Ordering::Relaxed);
        println!("{{\"per_second\":{}}}", now - before);
        before = now;
    }
    for caller in callers {
        caller.join().map_err(|_| "a caller panicked")?.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn call(
    address: SocketAddr,
    interval: Duration,
    end: Instant,
    token: &str,
    paths: &[String],
    answered: &AtomicU64,
) -> std::io::Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut writer, mut reader) = (stream.try_clone()?, BufReader::new(stream));
    let mut next = Instant::now();
    for number in 0_usize.. {
        let now = Instant::now();
        if now >= end {
            break;
        }
        std::thread::sleep(next.saturating_duration_since(now));
        // Who is late asks at once, and no more often than that.
        next = (next + interval).max(Instant::now() - 10 * interval);
        let path = &paths[number % paths.len()];
        write!(writer, "GET {path} HTTP/1.1\r\nHost: lab\r\nAuthorization: Bearer {token}\r\n\r\n")?;
        let (mut line, mut length, mut ok) = (String::new(), 0, false);
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            ok |= line.starts_with("HTTP/1.1 200");
            if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = bytes.trim().parse().map_err(std::io::Error::other)?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        answered.fetch_add(u64::from(ok), Ordering::Relaxed);
    }
    Ok(())
}
