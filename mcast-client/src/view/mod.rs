//! How a client shows itself: a progress bar, plain lines, or NDJSON.

pub(crate) mod json;
mod live;
mod plain;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::BinaryBytes;
use multicast_core::engine::{ClientEvent, ClientSummary};
use multicast_core::receiver::{ReceiverCounters, ReceiverSnapshot};
use serde::Serialize;

use crate::fallback::Detour;
use crate::text;

/// Where all goes that is not the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    Stdout,
    Stderr,
}

impl Sink {
    /// Whether somebody looks on.
    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    /// Writes one line.
    fn say(self, line: &[u8]) {
        let line = [line, b"\n"].concat();
        // Who read it may have gone; the image still comes.
        let _ = match self {
            Self::Stdout => io::stdout().lock().write_all(&line),
            Self::Stderr => io::stderr().lock().write_all(&line),
        };
    }
}

/// How an image came, at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    Multicast,
    Unicast,
}

/// A successful end.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    output: PathBuf,
    way: Way,
    image: String,
    bytes: u64,
    blocks: u32,
    seconds: f64,
    /// Blocks that an interrupted run had left.
    kept_blocks: u32,
    /// Part of the symbols sent that did not arrive, from 0 to 1.
    loss: Option<f64>,
    counters: ReceiverCounters,
}

impl Summary {
    pub(crate) fn new(client: &ClientSummary, output: PathBuf, took: Duration, way: Way) -> Self {
        let receiver = &client.receiver;
        Self {
            output,
            way,
            image: receiver.image.clone().unwrap_or_default(),
            bytes: receiver.image_size,
            blocks: receiver.blocks,
            seconds: took.as_secs_f64(),
            kept_blocks: client.kept_blocks,
            loss: text::loss(&receiver.counters),
            counters: receiver.counters,
        }
    }

    /// The image's name.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    fn text(&self) -> String {
        let place = match self.output.as_os_str() == "-" {
            true => "passed on".to_owned(),
            false => format!("stored in {}", self.output.display()),
        };
        let time = text::duration(self.seconds);
        let how = match self.way {
            Way::Multicast => format!("loss {:.2} %", self.loss.unwrap_or_default() * 100.0),
            Way::Unicast => "by unicast".to_owned(),
        };
        format!("{}: {} verified and {place} in {time}, {how}", self.image, BinaryBytes(self.bytes))
    }
}

/// Shows how an image arrives.
pub(crate) trait View {
    /// Between two pictures of progress.
    fn interval(&self) -> Duration;

    /// Something happened.
    fn event(&mut self, event: &ClientEvent);

    /// How it stands.
    fn progress(&mut self, snapshot: &ReceiverSnapshot);

    /// It goes another way from here on.
    fn detour(&mut self, detour: &Detour);

    /// Something that may hurt.
    fn warning(&mut self, text: &str);

    /// It is over, well or not; the last call.
    fn end(&mut self, summary: Option<&Summary>);
}

/// The view that fits where the output goes.
pub(crate) fn choose(as_json: bool, sink: Sink) -> Box<dyn View> {
    if as_json {
        Box::new(json::Json::new(sink))
    } else if sink.is_terminal() {
        Box::new(live::Live::new(sink))
    } else {
        Box::new(plain::Plain::new(sink))
    }
}

/// Measures how fast the image grows.
#[derive(Debug, Default)]
struct Meter {
    last: Option<(Instant, u64)>,
    /// Bytes a second.
    speed: Option<f64>,
}

impl Meter {
    /// Bytes a second lately, now that `bytes` are verified; `None` at first.
    fn speed(&mut self, bytes: u64) -> Option<f64> {
        let now = Instant::now();
        let (then, before) = *self.last.get_or_insert((now, bytes));
        let seconds = now.duration_since(then).as_secs_f64();
        // Shorter spans would make the figure jump.
        if seconds >= 1.0 {
            self.speed = Some(bytes.saturating_sub(before) as f64 / seconds);
            self.last = Some((now, bytes));
        }
        self.speed
    }
}

/// `412 Mbit/s, loss 0.12 %, 12 s left`, as far as it is known.
fn figures(snapshot: &ReceiverSnapshot, speed: Option<f64>) -> String {
    let left = snapshot.image_size.saturating_sub(snapshot.verified_bytes) as f64;
    let rate = speed.map(|speed| text::rate(speed * 8.0));
    let loss = text::loss(&snapshot.counters).map(|loss| format!("loss {:.2} %", loss * 100.0));
    let end = speed.filter(|speed| *speed > 0.0 && left > 0.0);
    let end = end.map(|speed| format!("{} left", text::duration(left / speed)));
    [rate, loss, end].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
