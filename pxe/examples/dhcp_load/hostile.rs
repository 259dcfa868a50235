//! Malformed and odd messages, as many as wanted, and whether sound ones are still answered.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use fastrand::Rng;
use pxe::dhcp::wire::{HEADER_LEN, Kind, Message, code};
use pxe::dhcp::{BOOT_PORT, SERVER_PORT};

use crate::Failed;
use crate::line::{Line, machine, quantile};

#[derive(Args)]
pub(crate) struct Hostile {
    /// How many messages
    #[arg(long, default_value_t = 100_000)]
    count: u32,
    /// What they are made of
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// So many messages go between two that are sound.
const BETWEEN: u32 = 500;
/// So many go at once: more than a socket's buffer holds would only be dropped there.
const AT_ONCE: u32 = 50;
/// The machine that asks soundly.
const SOUND: u32 = 0x00ff_0000;

impl Hostile {
    pub(crate) fn run(self, line: &Line) -> Result<(), Failed> {
        let mut rng = Rng::with_seed(self.seed);
        let (mut asked, mut answers, mut unsound, mut waits) = (0, 0, 0, Vec::new());
        let mut count = |bytes: Vec<u8>| {
            answers += 1;
            unsound += u32::from(Message::decode(&bytes).is_err());
        };
        for number in 0..self.count {
            let port = if rng.u8(0..4) == 0 { BOOT_PORT } else { SERVER_PORT };
            line.ask_at(&message(&mut rng, number), port)?;
            if number % AT_ONCE == AT_ONCE - 1 {
                thread::sleep(Duration::from_millis(2));
                while let Some(bytes) = line.receive(Duration::ZERO)? {
                    count(bytes);
                }
            }
            if number % BETWEEN == BETWEEN - 1 {
                asked += 1;
                waits.extend(sound(line, SOUND + asked, &mut count)?);
            }
        }
        waits.sort_by(f64::total_cmp);
        println!(
            r#"{{"event":"hostile","sent":{},"answers":{answers},"unsound":{unsound},"asked":{asked},"answered":{},"median_us":{:.1},"p99_us":{:.1}}}"#,
            self.count,
            waits.len(),
            quantile(&waits, 0.5),
            quantile(&waits, 0.99),
        );
        Ok(())
    }
}

/// Asks soundly: microseconds until the offer, if it comes within a second.
fn sound(line: &Line, xid: u32, other: &mut impl FnMut(Vec<u8>)) -> Result<Option<f64>, Failed> {
    let mut question = machine(SOUND, Kind::Discover);
    question.xid = xid;
    let question = question.to_bytes();
    let begun = Instant::now();
    line.ask(&question)?;
    while begun.elapsed() < Duration::from_secs(1) {
        let Some(bytes) = line.receive(Duration::from_millis(100))? else { continue };
        let took = begun.elapsed().as_secs_f64() * 1e6;
        match Message::decode(&bytes) {
            Ok(message) if message.xid == xid && message.kind() == Some(Kind::Offer) => return Ok(Some(took)),
            _ => other(bytes),
        }
    }
    Ok(None)
}

/// Something that no client should send.
fn message(rng: &mut Rng, number: u32) -> Vec<u8> {
    let kind = Kind::ALL[rng.usize(..Kind::ALL.len())];
    // Few machines, or the pool would be what is tried.
    let mut sound = machine(number % 16, kind);
    match rng.u8(0..10) {
        0 => (0..rng.usize(..1472)).map(|_| rng.u8(..)).collect(),
        1 => {
            let mut bytes = sound.to_bytes();
            bytes.truncate(rng.usize(..bytes.len()));
            bytes
        }
        2 => lying_length(rng, sound.to_bytes()),
        3 => overload_loop(rng, sound),
        4 => {
            sound.hlen = rng.u8(7..);
            sound.htype = rng.u8(..);
            sound.to_bytes()
        }
        5 => {
            let nobody = [[255; 4], [224, 0, 0, 1], [127, 0, 0, 1], [10, 77, 255, 255], [0, 0, 0, 1]];
            sound.giaddr = Ipv4Addr::from(nobody[rng.usize(..nobody.len())]);
            sound.to_bytes()
        }
        6 => {
            // Lists within options that end in the middle.
            for code in [code::VENDOR, code::USER_CLASS, code::RELAY, code::IPXE] {
                sound.options.push(code, &[71, 200, 1, 2]);
            }
            sound.to_bytes()
        }
        7 => {
            let mut bytes = sound.to_bytes();
            bytes.truncate(HEADER_LEN);
            // Options without a value, up to the end of the frame.
            bytes.extend([rng.u8(1..255), 0].repeat((1472 - HEADER_LEN) / 2));
            bytes
        }
        8 => {
            for code in 1..200 {
                sound.options.push(code, &vec![code; rng.usize(..6)]);
            }
            sound.to_bytes()
        }
        _ => {
            let mut bytes = sound.to_bytes();
            for _ in 0..rng.usize(1..8) {
                let at = rng.usize(..bytes.len());
                bytes[at] ^= 1 << rng.u8(..8);
            }
            bytes
        }
    }
}

/// One option says that it is longer than the message.
fn lying_length(rng: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = HEADER_LEN;
    for _ in 0..rng.usize(..6) {
        at += 2 + usize::from(bytes[at + 1]);
    }
    bytes[at + 1] = 255;
    bytes.truncate(at + rng.usize(2..40));
    bytes
}

/// Options in both fields that say there are options in both fields.
fn overload_loop(rng: &mut Rng, mut sound: Message) -> Vec<u8> {
    sound.options.push(code::OVERLOAD, &[3]);
    let mut bytes = sound.to_bytes();
    for (start, len) in [(44, 64), (108, 128)] {
        bytes[start..start + len].fill(0);
        bytes[start..start + 3].copy_from_slice(&[code::OVERLOAD, 1, 3]);
        if rng.bool() {
            // Without an end, and longer than the field.
            bytes[start + len - 2..start + len].copy_from_slice(&[60, 255]);
        }
    }
    bytes
}
