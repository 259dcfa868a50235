//! Prints the table by which the default geometry is chosen, as Markdown:
//! `cargo run --release -p benches --example geometry`. It takes some ten seconds.

use std::time::{Duration, Instant};

use benches::{coded, lose};
use multicast_core::codec::{CodeShape, CodecId};
use multicast_core::sim::coded_repair;

/// Bytes of line time beside a symbol's: our header, UDP, IPv4, Ethernet with preamble, check and gap.
const HEADERS: f64 = 16.0 + 8.0 + 20.0 + 38.0;
/// A figure is the best of the turns that fit into this time.
const PATIENCE: Duration = Duration::from_millis(200);

/// A column's heading, without its unit where it has none.
const COLUMNS: [&str; 11] = [
    "symbol, B",
    "k = r",
    "sent/image, N=100, 1 %",
    "N=1,000, 1 %",
    "N=1,000, 5 %",
    "encode, MB/s",
    "decode, 1 % lost, MB/s",
    "decode, 5 % lost, MB/s",
    "memory, MiB",
    "first block at 1 Gbit/s, ms",
    "at 100 Mbit/s, ms",
];

fn main() {
    println!("| {} |", COLUMNS.join(" | "));
    println!("|{}", "---:|".repeat(COLUMNS.len()));
    for symbol_size in [1440, 720] {
        for k in [128, 256, 512, 1024, 2048, 4096] {
            println!("| {} |", row(CodeShape { source: k, parity: k, symbol_size }).join(" | "));
        }
    }
}

fn row(shape: CodeShape) -> [String; COLUMNS.len()] {
    let (k, size) = (u32::from(shape.source), f64::from(shape.symbol_size));
    let bytes = f64::from(k) * size;
    let sent = |clients, loss| format!("{:.3}", coded_repair(k, clients, loss));
    let (encode, [one, five]) = (encode_time(shape), [1, 5].map(|percent| decode(shape, percent)));
    let speed = |time: Duration| format!("{:.0}", bytes / time.as_secs_f64() / 1e6);
    let first = |rate: f64| {
        let line = coded_repair(k, 1, 0.01) * f64::from(k) * (size + HEADERS) * 8.0 / rate;
        format!("{:.1}", (line + one.time.as_secs_f64()) * 1e3)
    };
    [
        shape.symbol_size.to_string(),
        k.to_string(),
        sent(100, 0.01),
        sent(1000, 0.01),
        sent(1000, 0.05),
        speed(encode),
        speed(one.time),
        speed(five.time),
        format!("{:.2}", five.symbols * size / f64::from(1 << 20)),
        first(1e9),
        first(1e8),
    ]
}

struct Decoded {
    time: Duration,
    /// Of the block, of its parity, and that the coder works on.
    symbols: f64,
}

fn encode_time(shape: CodeShape) -> Duration {
    let (block, mut repair) = coded(CodecId::ReedSolomon16, shape);
    let mut coder = CodecId::ReedSolomon16.coder();
    best(|| coder.encode(shape, &block, &mut repair).expect("a usual shape"))
}

fn decode(shape: CodeShape, percent: usize) -> Decoded {
    let (mut block, repair) = coded(CodecId::ReedSolomon16, shape);
    let (present, parity) = lose(shape, &repair, (usize::from(shape.source) * percent / 100).max(1));
    let mut coder = CodecId::ReedSolomon16.coder();
    let time = best(|| coder.decode(shape, &mut block, &present, &parity).expect("enough symbols"));
    // The coder keeps at most two cosets as large as the range of parity symbols received.
    let last = parity.last().map_or(0, |(symbol, _)| symbol.index() - present.len());
    Decoded { time, symbols: (present.len() + parity.len() + 2 * (last + 1).next_power_of_two()) as f64 }
}

/// The least time of many turns, the one that was disturbed least.
fn best(mut turn: impl FnMut()) -> Duration {
    turn();
    let started = Instant::now();
    let mut least = Duration::MAX;
    while started.elapsed() < PATIENCE {
        let before = Instant::now();
        turn();
        least = least.min(before.elapsed());
    }
    least
}
