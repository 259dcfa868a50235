//! Machines that are switched on together, each up to its boot file.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::Args;
use pxe::dhcp::wire::{Kind, Message, code};
use pxe::tftp::wire::{Mode, Options, Packet, Request};

use crate::Failed;
use crate::line::{Line, machine, quantile};

#[derive(Args)]
pub(crate) struct Boots {
    /// How many machines
    #[arg(long, default_value_t = 20)]
    count: u32,
    /// The number of the first machine
    #[arg(long, default_value_t = 1_000_000)]
    first: u32,
    /// Seconds after which those that are not through have failed
    #[arg(long, default_value_t = 30)]
    limit: u64,
}

/// A machine on its way to an address.
struct Asking {
    number: u32,
    /// What it said last, and when.
    said: Vec<u8>,
    at: Instant,
}

/// Firmware asks again after a second at the earliest.
const AGAIN: Duration = Duration::from_secs(1);

impl Boots {
    pub(crate) fn run(self, line: &Line) -> Result<(), Failed> {
        let start = Instant::now();
        let mut asking = HashMap::new();
        for number in self.first..self.first + self.count {
            let said = machine(number, Kind::Discover).to_bytes();
            line.ask(&said)?;
            asking.insert(number, Asking { number, said, at: Instant::now() });
        }
        let (mut fetches, mut again) = (Vec::new(), 0);
        while !asking.is_empty() && start.elapsed() < Duration::from_secs(self.limit) {
            let answer = line.receive(Duration::from_millis(20))?.and_then(|bytes| Message::decode(&bytes).ok());
            if let Some(answer) = answer
                && let Some(machine) = asking.get_mut(&answer.xid)
                && let Some(fetch) = machine.take(line, &answer)?
            {
                asking.remove(&answer.xid);
                fetches.push(fetch);
            }
            for machine in asking.values_mut().filter(|machine| machine.at.elapsed() > AGAIN) {
                line.ask(&machine.said)?;
                machine.at = Instant::now();
                again += 1;
            }
        }
        let results: Vec<_> = fetches.into_iter().map(|fetch| fetch.join().map_err(|_| "a fetch panicked")).collect();
        let (mut seconds, mut bytes) = (Vec::new(), 0);
        for result in results {
            match result? {
                Ok((len, at)) => {
                    bytes += len;
                    seconds.push((at - start).as_secs_f64());
                }
                Err(error) => eprintln!("{error}"),
            }
        }
        seconds.sort_by(f64::total_cmp);
        println!(
            r#"{{"event":"boots","machines":{},"booted":{},"bytes":{bytes},"asked_again":{again},"median_s":{:.4},"most_s":{:.4}}}"#,
            self.count,
            seconds.len(),
            quantile(&seconds, 0.5),
            quantile(&seconds, 1.0),
        );
        Ok(())
    }
}

/// How many bytes came, and when the last did.
type Fetched = Result<(usize, Instant), Failed>;

impl Asking {
    /// Takes an answer; once the machine knows what to load it begins.
    fn take(&mut self, line: &Line, answer: &Message) -> Result<Option<JoinHandle<Fetched>>, Failed> {
        match answer.kind() {
            Some(Kind::Offer) if !answer.yiaddr.is_unspecified() => {
                let mut request = machine(self.number, Kind::Request);
                let server = answer.options.address(code::SERVER_ID).ok_or("an offer without a server")?;
                request.options.push(code::SERVER_ID, &server.octets());
                request.options.push(code::REQUESTED, &answer.yiaddr.octets());
                self.said = request.to_bytes();
                self.at = Instant::now();
                line.ask(&self.said)?;
                Ok(None)
            }
            Some(Kind::Ack | Kind::Offer) => {
                let option = answer.options.get(code::BOOT_FILE).unwrap_or(&answer.file);
                let file = option.strip_suffix(b"\0").unwrap_or(option).to_vec();
                if file.is_empty() {
                    return Ok(None);
                }
                let server = answer.siaddr;
                Ok(Some(thread::spawn(move || fetch(server, &file))))
            }
            _ => Ok(None),
        }
    }
}

/// Fetches a file as a boot ROM does: block by block.
fn fetch(server: Ipv4Addr, file: &[u8]) -> Fetched {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(AGAIN))?;
    let options = Options { block_size: Some(1456), ..Options::default() };
    let mut said = Packet::Read(Request { name: file, mode: Mode::Octet, options }).to_bytes();
    let mut to = SocketAddr::from((server, 69));
    let (mut block_size, mut bytes, mut have) = (512, 0, 0u16);
    let mut buffer = vec![0; 65_536];
    let mut tries = 0;
    loop {
        socket.send_to(&said, to)?;
        let Ok((len, from)) = socket.recv_from(&mut buffer) else {
            tries += 1;
            if tries > 10 {
                return Err(format!("{to} is silent").into());
            }
            continue;
        };
        to = from;
        match Packet::decode(&buffer[..len])? {
            Packet::OptionAck(options) => block_size = options.block_size.map_or(512, usize::from),
            Packet::Data { block, payload } if block == have.wrapping_add(1) => {
                have = block;
                bytes += payload.len();
                if payload.len() < block_size {
                    socket.send_to(&Packet::Ack { block: have }.to_bytes(), to)?;
                    return Ok((bytes, Instant::now()));
                }
            }
            Packet::Error { text, .. } => return Err(String::from_utf8_lossy(text).into()),
            _ => {}
        }
        said = Packet::Ack { block: have }.to_bytes();
    }
}
