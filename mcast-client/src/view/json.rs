//! NDJSON: events as the engine tells them, and `progress`, `unicast`, `warning`, `summary` and `error`.

use std::time::{Duration, Instant};

use multicast_core::engine::ClientEvent;
use multicast_core::receiver::{ReceiverCounters, ReceiverSnapshot, ReceiverState};
use serde::Serialize;

use super::{Sink, Summary, View};
use crate::fallback::Detour;
use crate::text;

const INTERVAL: Duration = Duration::from_millis(200);

/// A line of JSON for everything.
pub(crate) struct Json {
    sink: Sink,
    started: Instant,
}

impl Json {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, started: Instant::now() }
    }
}

impl View for Json {
    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn event(&mut self, event: &ClientEvent) {
        print(self.sink, event);
    }

    fn progress(&mut self, snapshot: &ReceiverSnapshot) {
        // Without a session there is no progress to tell.
        if snapshot.blocks > 0 {
            let line = Line::Progress {
                seconds: self.started.elapsed().as_secs_f64(),
                state: snapshot.state,
                bytes_done: snapshot.verified_bytes,
                bytes_total: snapshot.image_size,
                blocks_done: snapshot.verified,
                blocks_total: snapshot.blocks,
                rate: u64::from(snapshot.rate_kbit) * 1000,
                loss: text::loss(&snapshot.counters),
                counters: &snapshot.counters,
            };
            print(self.sink, &line);
        }
    }

    fn detour(&mut self, detour: &Detour) {
        print(self.sink, &Line::Unicast(detour));
    }

    fn warning(&mut self, text: &str) {
        print(self.sink, &Line::Warning { text });
        eprintln!("warning: {text}");
    }

    fn end(&mut self, summary: Option<&Summary>) {
        if let Some(summary) = summary {
            print(self.sink, &Line::Summary(summary));
        }
    }
}

/// What the shell adds to the engine's events.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Progress {
        seconds: f64,
        state: ReceiverState,
        bytes_done: u64,
        bytes_total: u64,
        blocks_done: u32,
        blocks_total: u32,
        /// Bits per second on the wire, by the server's word.
        rate: u64,
        /// Part of the symbols sent that did not arrive, from 0 to 1.
        loss: Option<f64>,
        counters: &'a ReceiverCounters,
    },
    /// The image is fetched in place of being received.
    Unicast(&'a Detour),
    Warning {
        text: &'a str,
    },
    Summary(&'a Summary),
    Error {
        error: &'a str,
        help: Option<&'a str>,
        exit_code: u8,
    },
}

/// The error with which the program ends.
pub(crate) fn print_error(sink: Sink, error: &str, help: Option<&str>, exit_code: u8) {
    print(sink, &Line::Error { error, help, exit_code });
}

fn print(sink: Sink, line: &impl Serialize) {
    if let Ok(text) = serde_json::to_vec(line) {
        sink.say(&text);
    }
}
