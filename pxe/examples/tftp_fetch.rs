//! A raw TFTP client, to measure and to try servers with: it chooses block and window, bears loss, and can behave
//! badly. Each command prints one line of JSON.
//!
//! ```text
//! tftp_fetch get 10.0.0.1:69 pxelinux.0 --block 1468 --window 4
//! {"event":"done","bytes":42376,"seconds":0.001,"block":1468,"window":4,"blocks":29,"repeated":0,"timeouts":0}
//! ```

use std::error::Error;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use pxe::tftp::wire::{DEFAULT_BLOCK, ErrorCode, Mode, Options, Packet, Request};

/// Fetches files by TFTP, or tries a server's patience.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch a file
    Get(Get),
    /// Begin transfers and say no word any more
    Leave(Leave),
    /// End a transfer by an error, and listen for what comes nevertheless
    Refuse(Refuse),
    /// Send random bytes to the server's port
    Garbage(Garbage),
}

/// What is asked for, and how.
#[derive(Args, Clone)]
struct Asked {
    /// The server's address and port
    server: SocketAddr,
    /// The file
    name: String,
    /// Bytes of a block
    #[arg(long)]
    block: Option<u16>,
    /// Blocks of a window
    #[arg(long)]
    window: Option<u16>,
    /// Ask for the size, too
    #[arg(long)]
    size: bool,
    /// Address to ask from
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    from: IpAddr,
    /// Milliseconds until the last word is said again
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    resend: u64,
}

#[derive(Args)]
struct Get {
    #[command(flatten)]
    asked: Asked,
    /// Where to write it [default: nowhere]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What it should be equal to
    #[arg(long, value_name = "FILE")]
    same_as: Option<PathBuf>,
    /// How many at once
    #[arg(long, default_value_t = 1)]
    at_once: usize,
}

#[derive(Args)]
struct Leave {
    #[command(flatten)]
    asked: Asked,
    /// How many
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// Acknowledge so many answers first
    #[arg(long, default_value_t = 0)]
    answers: u16,
}

#[derive(Args)]
struct Refuse {
    #[command(flatten)]
    asked: Asked,
    /// Milliseconds to listen afterwards
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    listen: u64,
}

#[derive(Args)]
struct Garbage {
    /// The server's address and port
    server: SocketAddr,
    /// How many datagrams
    count: u64,
}

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    match Arguments::parse().command {
        Command::Get(get) => get.run(),
        Command::Leave(leave) => leave.run(),
        Command::Refuse(refuse) => refuse.run(),
        Command::Garbage(garbage) => garbage.run(),
    }
}

impl Get {
    fn run(self) -> Result<(), Failed> {
        let wanted = self.same_as.map(fs::read).transpose()?;
        let fetches: Vec<_> = (0..self.at_once)
            .map(|_| {
                let asked = self.asked.clone();
                thread::spawn(move || Fetch::begin(&asked)?.run())
            })
            .collect();
        let mut failed = None;
        for fetch in fetches {
            let done = fetch.join().map_err(|_| "a fetch panicked")?.and_then(|got| {
                if wanted.as_ref().is_some_and(|wanted| *wanted != got.bytes) {
                    return Err(format!("what came ({} bytes) is not what is wanted", got.bytes.len()).into());
                }
                Ok(got)
            });
            match done {
                Ok(got) => {
                    println!("{}", got.told());
                    self.output.as_ref().map_or(Ok(()), |output| fs::write(output, &got.bytes))?;
                }
                Err(error) => {
                    println!(r#"{{"event":"failed","why":{:?}}}"#, error.to_string());
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Leave {
    fn run(self) -> Result<(), Failed> {
        let mut left = Vec::new();
        for _ in 0..self.count {
            let mut fetch = Fetch::begin(&self.asked)?;
            fetch.say_last()?;
            for _ in 0..self.answers {
                // A server that is full does not take it.
                if !fetch.receive()? || fetch.take().is_err() {
                    break;
                }
            }
            // The port stays open, or the system would tell the server.
            left.push(fetch);
        }
        println!(r#"{{"event":"left","transfers":{}}}"#, left.len());
        std::io::stdout().flush()?;
        thread::sleep(Duration::from_secs(3600));
        Ok(())
    }
}

impl Refuse {
    fn run(self) -> Result<(), Failed> {
        let mut fetch = Fetch::begin(&self.asked)?;
        fetch.say_last()?;
        while !fetch.receive()? {
            fetch.say_last()?;
        }
        let error = Packet::Error { code: ErrorCode::OPTIONS, text: b"enough" };
        fetch.socket.send_to(&error.to_bytes(), fetch.peer)?;
        let (end, mut more) = (Instant::now() + Duration::from_millis(self.listen), 0);
        while Instant::now() < end {
            more += u64::from(fetch.receive()?);
        }
        println!(r#"{{"event":"refused","more":{more}}}"#);
        Ok(())
    }
}

impl Garbage {
    fn run(self) -> Result<(), Failed> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let mut random = fastrand::Rng::with_seed(1);
        let mut bytes = [0; 1400];
        for number in 0..self.count {
            let len = random.usize(0..bytes.len());
            random.fill(&mut bytes[..len]);
            // Half of them look like TFTP up to the opcode.
            if number % 2 == 0 && len >= 2 {
                (bytes[0], bytes[1]) = (0, random.u8(0..8));
            }
            socket.send_to(&bytes[..len], self.server)?;
        }
        println!(r#"{{"event":"sent","datagrams":{}}}"#, self.count);
        Ok(())
    }
}

/// A file that came.
struct Got {
    bytes: Vec<u8>,
    took: Duration,
    block: u16,
    window: u16,
    blocks: u64,
    repeated: u64,
    timeouts: u64,
}

impl Got {
    fn told(&self) -> String {
        let Self { bytes, took, block, window, blocks, repeated, timeouts } = self;
        format!(
            r#"{{"event":"done","bytes":{},"seconds":{:.6},"block":{block},"window":{window},"blocks":{blocks},"repeated":{repeated},"timeouts":{timeouts}}}"#,
            bytes.len(),
            took.as_secs_f64()
        )
    }
}

/// One file on its way to us.
struct Fetch {
    socket: UdpSocket,
    peer: SocketAddr,
    /// What is said again when nothing comes.
    last_word: Vec<u8>,
    buffer: Vec<u8>,
    len: usize,
    asked: Options,
    block: u16,
    window: u16,
    bytes: Vec<u8>,
    /// Blocks that have come, in order.
    have: u64,
    in_window: u16,
    /// The gap was told.
    told: bool,
    over: bool,
    repeated: u64,
    timeouts: u64,
    begun: Instant,
}

impl Fetch {
    fn begin(asked: &Asked) -> Result<Self, Failed> {
        let socket = UdpSocket::bind((asked.from, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(asked.resend.max(1))))?;
        let options =
            Options { block_size: asked.block, window: asked.window, size: asked.size.then_some(0), timeout: None };
        let request = Request { name: asked.name.as_bytes(), mode: Mode::Octet, options };
        Ok(Self {
            socket,
            peer: asked.server,
            last_word: Packet::Read(request).to_bytes(),
            buffer: vec![0; 65_536],
            len: 0,
            asked: options,
            block: DEFAULT_BLOCK,
            window: 1,
            bytes: Vec::new(),
            have: 0,
            in_window: 0,
            told: false,
            over: false,
            repeated: 0,
            timeouts: 0,
            begun: Instant::now(),
        })
    }

    fn run(mut self) -> Result<Got, Failed> {
        self.say_last()?;
        while !self.over {
            if self.receive()? {
                self.take()?;
            } else {
                self.timeouts += 1;
                if self.timeouts > 100 {
                    return Err(format!("{} does not answer", self.peer).into());
                }
                self.say_last()?;
            }
        }
        let took = self.begun.elapsed();
        self.linger()?;
        let Self { bytes, block, window, have: blocks, repeated, timeouts, .. } = self;
        Ok(Got { bytes, took, block, window, blocks, repeated, timeouts })
    }

    /// Whether something of the server came in time.
    fn receive(&mut self) -> Result<bool, Failed> {
        match self.socket.recv_from(&mut self.buffer) {
            Ok((len, from)) => {
                self.len = len;
                // The first answer tells the port that the transfer has.
                if self.have == 0 && from.ip() == self.peer.ip() {
                    self.peer = from;
                }
                Ok(from == self.peer)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn take(&mut self) -> Result<(), Failed> {
        match Packet::decode(&self.buffer[..self.len])? {
            Packet::OptionAck(options) => {
                self.block = options.block_size.unwrap_or(DEFAULT_BLOCK);
                self.window = options.window.unwrap_or(1);
                if self.have == 0 {
                    self.bytes.reserve(usize::try_from(options.size.unwrap_or(0))?);
                    self.acknowledge()?;
                }
                Ok(())
            }
            Packet::Data { block, payload } => {
                let ahead = block.wrapping_sub((self.have + 1) as u16);
                if ahead == 0 {
                    self.have += 1;
                    self.in_window += 1;
                    self.told = false;
                    self.over = payload.len() < usize::from(self.block);
                    self.bytes.extend_from_slice(payload);
                    if self.over || self.in_window >= self.window { self.acknowledge() } else { Ok(()) }
                } else if ahead < u16::MAX / 2 {
                    // A gap: told once (RFC 7440 §4).
                    if std::mem::replace(&mut self.told, true) { Ok(()) } else { self.acknowledge() }
                } else {
                    self.repeated += 1;
                    // Our answer to it is lost, or late.
                    if ahead == u16::MAX { self.acknowledge() } else { Ok(()) }
                }
            }
            Packet::Error { code, text } => Err(format!("{code}: {}", String::from_utf8_lossy(text)).into()),
            other => Err(format!("the server sent {other:?} to {:?}", self.asked).into()),
        }
    }

    fn acknowledge(&mut self) -> Result<(), Failed> {
        self.in_window = 0;
        self.last_word = Packet::Ack { block: self.have as u16 }.to_bytes();
        self.say_last()
    }

    fn say_last(&mut self) -> Result<(), Failed> {
        self.socket.send_to(&self.last_word, self.peer)?;
        Ok(())
    }

    /// Stays for a moment: should the last acknowledgement be lost, the last block comes again (RFC 1350 §6).
    fn linger(&mut self) -> Result<(), Failed> {
        self.socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        while self.receive()? {
            self.say_last()?;
        }
        Ok(())
    }
}
