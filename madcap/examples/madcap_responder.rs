//! A small MADCAP server in a process of its own, for tests and for benches without another server.
//!
//! It prints one line for each event, the first one when it listens:
//!
//! ```text
//! listening address=0.0.0.0:2535 server=127.0.0.1 range=239.192.0.0-239.192.0.255
//! leased address=239.192.0.0 client=127.0.0.1:46131 seconds=30
//! ```
//!
//! What it is told by lines on its standard input it does from then on: `serve`, `silent`, `refuse`,
//! `refuse-renewals`; `quit` ends it, the end of the input does not.

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use madcap::{Mood, PORT, Responder, ResponderConfig, SERVER_GROUP};
use socket2::{Domain, Protocol, Socket, Type};

/// Leases multicast addresses by MADCAP (RFC 2730). Nothing is kept when it ends.
#[derive(Parser)]
struct Arguments {
    /// Address to listen at; multicast is heard only by 0.0.0.0 or the group's own address
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    listen: Ipv4Addr,
    /// Address of the interface to join 239.255.255.254 on; none: unicast only
    #[arg(long, value_name = "ADDRESS")]
    interface: Option<Ipv4Addr>,
    /// Address to be known by [default: that of the interface, else the one to listen at]
    #[arg(long, value_name = "ADDRESS")]
    server_id: Option<Ipv4Addr>,
    /// UDP port; 0: any, which the first line tells
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Addresses to lease; the first one is also the scope's ID
    #[arg(long, value_name = "A-B", value_parser = range, default_value = "239.192.0.0-239.192.0.255")]
    range: (Ipv4Addr, Ipv4Addr),
    /// For how long at most
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "1h")]
    lease: Duration,
    /// The scope's name
    #[arg(long, default_value = "test")]
    name: String,
    /// The scope's TTL
    #[arg(long, default_value_t = 15)]
    ttl: u8,
    /// What to do first
    #[arg(long, value_enum, default_value_t = MoodArgument::Serve)]
    mood: MoodArgument,
}

#[derive(Clone, Copy, ValueEnum)]
enum MoodArgument {
    /// Answer
    Serve,
    /// Be deaf
    Silent,
    /// Say no to requests and renewals
    Refuse,
    /// Forget what is to be renewed
    RefuseRenewals,
}

impl From<MoodArgument> for Mood {
    fn from(mood: MoodArgument) -> Self {
        match mood {
            MoodArgument::Serve => Self::Serve,
            MoodArgument::Silent => Self::Silent,
            MoodArgument::Refuse => Self::Refuse,
            MoodArgument::RefuseRenewals => Self::RefuseRenewals,
        }
    }
}

fn range(text: &str) -> Result<(Ipv4Addr, Ipv4Addr), String> {
    let (first, last) = text.split_once('-').ok_or("two addresses with a hyphen between them")?;
    let address = |text: &str| text.parse::<Ipv4Addr>().map_err(|error| format!("{text:?}: {error}"));
    let (first, last) = (address(first)?, address(last)?);
    if first > last {
        return Err(format!("{first} is behind {last}"));
    }
    Ok((first, last))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let socket = open(&arguments)?;
    let server = arguments.server_id.or(arguments.interface).unwrap_or(arguments.listen);
    let (first, last) = arguments.range;
    println!("listening address={} server={server} range={first}-{last}", socket.local_addr()?);
    let responder = Responder::new(ResponderConfig {
        first,
        last,
        ttl: arguments.ttl,
        name: arguments.name,
        lease: arguments.lease,
        mood: arguments.mood.into(),
        ..ResponderConfig::new(server)
    });
    run(responder, &socket, &commands())
}

fn open(arguments: &Arguments) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(arguments.listen, arguments.port).into())?;
    if let Some(interface) = arguments.interface {
        socket.join_multicast_v4(SERVER_GROUP.ip(), &interface)?;
    }
    // So that expiry and the standard input are looked at.
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    Ok(socket.into())
}

/// Lines of the standard input.
fn commands() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

fn run(mut responder: Responder, socket: &UdpSocket, commands: &Receiver<String>) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut buffer = vec![0; 65_536];
    loop {
        while let Ok(command) = commands.try_recv() {
            match (command.trim(), MoodArgument::from_str(command.trim(), true)) {
                ("quit", _) => return Ok(()),
                (command, Ok(mood)) => {
                    responder.set_mood(mood.into());
                    println!("mood {command}");
                }
                (command, Err(_)) => eprintln!("unknown command {command:?}"),
            }
        }
        match socket.recv_from(&mut buffer) {
            Ok((len, SocketAddr::V4(from))) => responder.handle_datagram(start.elapsed(), from, &buffer[..len]),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        responder.handle_timeout(start.elapsed());
        while let Some(transmit) = responder.poll_transmit() {
            if let Err(error) = socket.send_to(&transmit.bytes, transmit.to) {
                eprintln!("cannot answer {}: {error}", transmit.to);
            }
        }
        while let Some(event) = responder.poll_event() {
            println!("{event}");
        }
        io::stdout().flush()?;
    }
}
