//! What is expected of a session, beside unicast, as text and as data.

use std::fmt;

use indicatif::BinaryBytes;
use multicast_core::layout::Geometry;
use multicast_core::pace::Rate;
use multicast_core::sim::{CrowdConfig, CrowdFigures, coded_repair};
use serde::Serialize;

use crate::text;

/// Bytes of the image in a full frame of TCP with timestamps, and of that frame on the wire, counted as
/// our own: Ethernet, IPv4 and TCP headers.
const TCP_PAYLOAD: f64 = 1448.0;
const TCP_FRAME: f64 = 1514.0;

/// What is taken for granted, and what is left out.
const ASSUMED: &str = "\
each client loses datagrams independently of the others and of its own last ones
           clients keep up with the rate: their disks are faster than the stream";
const LEFT_OUT: &str = "\
hashing the image before, booting, losses in bursts or common to many,
           the adaptive rate, other traffic";

/// A session as it is expected.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "plan")]
pub(crate) struct Forecast {
    image_bytes: u64,
    clients: usize,
    clients_late: usize,
    loss_lowest: f64,
    loss_highest: f64,
    /// Bits per second on the wire.
    rate: Rate,
    delay_seconds: f64,
    geometry: Geometry,
    /// From the first symbol until the server knows that the last client has the image.
    seconds: f64,
    /// From the first symbol, or from when it joined, until the median client has it.
    seconds_median: f64,
    wire_bytes: f64,
    wire_per_image: f64,
    symbols_per_image: f64,
    /// The least that blocks of this size allow, where all clients begin together and lose alike.
    symbols_bound: Option<f64>,
    feedback_bytes: f64,
    /// Of the bytes of the stream.
    feedback_share: f64,
    reports_per_second: f64,
    /// In any 100 ms.
    reports_peak: u32,
    unicast: Unicast,
    /// Bytes of the image that were simulated; the rest is concluded from these.
    simulated_bytes: u64,
}

/// The same image to the same clients over the same link of the server, one connection each.
#[derive(Debug, Serialize)]
struct Unicast {
    seconds: f64,
    wire_bytes: f64,
}

impl Forecast {
    /// Concludes from the figures of `part` what those of `whole` would be. What the stream takes grows
    /// with the image; what its end takes, until the last client has spoken, does not.
    pub(crate) fn new(whole: &CrowdConfig, part: &CrowdConfig, figures: &CrowdFigures) -> Self {
        let scale = whole.stream_symbols() as f64 / part.stream_symbols() as f64;
        let bits = figures.symbols as f64 * f64::from(part.symbol_cost) * 8.0;
        let streaming = bits / part.rate.bits() as f64 + figures.idle_seconds;
        let grown = |seconds: f64| seconds.min(streaming) * scale + (seconds - streaming).max(0.0);
        let mut completions: Vec<f64> = figures.completions.iter().flatten().copied().collect();
        completions.sort_by(f64::total_cmp);
        let losses = || whole.members.iter().map(|member| member.loss);
        let (lowest, highest) = (losses().fold(1.0, f64::min), losses().fold(0.0, f64::max));
        let late = whole.members.iter().filter(|member| !member.joins.is_zero()).count();
        let image_bytes = whole.layout.image_size();
        let wire_bytes = figures.wire_bytes as f64 * scale;
        let seconds = grown(figures.seconds);
        let k = whole.layout.geometry().block_symbols;
        Self {
            image_bytes,
            clients: whole.members.len(),
            clients_late: late,
            loss_lowest: lowest,
            loss_highest: highest,
            rate: whole.rate,
            delay_seconds: whole.delay.as_secs_f64(),
            geometry: *whole.layout.geometry(),
            seconds,
            seconds_median: grown(completions.get(completions.len() / 2).copied().unwrap_or(0.0)),
            wire_bytes,
            wire_per_image: wire_bytes / image_bytes as f64,
            symbols_per_image: figures.sent_ratio,
            symbols_bound: (late == 0 && lowest == highest && whole.layout.image_symbols() >= k.into())
                .then(|| coded_repair(k.into(), whole.members.len() as u32, highest)),
            feedback_bytes: figures.feedback_bytes as f64 * scale,
            feedback_share: figures.feedback_ratio,
            reports_per_second: figures.reports as f64 * scale / seconds,
            reports_peak: figures.report_peak,
            unicast: Unicast::new(whole),
            simulated_bytes: part.layout.image_size(),
        }
    }

    fn to_whom(&self) -> String {
        let clients = text::count(self.clients, "client");
        let percent = |loss: f64| (loss * 1e6).round() / 1e4;
        let (lowest, highest) = (percent(self.loss_lowest), percent(self.loss_highest));
        let losing = match lowest == highest {
            true => format!("{highest} %"),
            false => format!("{lowest} to {highest} %"),
        };
        match self.clients_late {
            0 => format!("{clients}, losing {losing}"),
            late => format!("{clients}, {late} of them late, losing {losing}"),
        }
    }
}

impl Unicast {
    fn new(config: &CrowdConfig) -> Self {
        // What a client loses is sent to it again.
        let copies: f64 = config.members.iter().map(|member| 1.0 / (1.0 - member.loss)).sum();
        let wire_bytes = config.layout.image_size() as f64 / TCP_PAYLOAD * TCP_FRAME * copies;
        Self { seconds: wire_bytes * 8.0 / config.rate.bits() as f64, wire_bytes }
    }
}

/// Several lines.
impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |bytes: f64| BinaryBytes(bytes.round() as u64);
        let rate = text::rate(self.rate.bits() as f64);
        writeln!(f, "plan       {} to {} at {rate}", BinaryBytes(self.image_bytes), self.to_whom())?;
        let (last, median) = (text::duration(self.seconds), text::duration(self.seconds_median));
        writeln!(f, "time       {last} until the last client has it, {median} for the median one")?;
        let wire = bytes(self.wire_bytes);
        writeln!(f, "on wire    {wire}, {:.3} × the image, headers counted", self.wire_per_image)?;
        write!(f, "symbols    {:.4} × the image", self.symbols_per_image)?;
        match self.symbols_bound {
            Some(bound) => writeln!(f, "; no code of such blocks needs less than {bound:.4} on the average")?,
            None => writeln!(f)?,
        }
        let (feedback, share) = (bytes(self.feedback_bytes), self.feedback_share * 100.0);
        let (reports, peak) = (self.reports_per_second, self.reports_peak);
        writeln!(
            f,
            "feedback   {feedback}, {share:.2} % of the stream: {reports:.0} reports/s, {peak} in the busiest 0.1 s"
        )?;
        let Unicast { seconds, wire_bytes } = self.unicast;
        let (time, wire) = (text::duration(seconds), bytes(wire_bytes));
        writeln!(f, "unicast    {time}, {wire}: {:.1} × the time over the same link", seconds / self.seconds)?;
        let Geometry { symbol_size, block_symbols, .. } = self.geometry;
        let delay = self.delay_seconds * 1000.0;
        writeln!(
            f,
            "assumed    symbols of {symbol_size} bytes, blocks of {block_symbols} symbols, {delay} ms one way"
        )?;
        writeln!(f, "           {ASSUMED}")?;
        writeln!(f, "           unicast is TCP in full frames, one connection a client, the link always busy")?;
        write!(f, "not in it  {LEFT_OUT}")?;
        if self.simulated_bytes < self.image_bytes {
            let part = BinaryBytes(self.simulated_bytes);
            write!(f, "\nscaled     {part} of the image were simulated, the rest is concluded from these")?;
        }
        Ok(())
    }
}
