//! Lines for a log: what happens, and now and then how it stands.

use std::time::{Duration, Instant};

use multicast_core::engine::ClientEvent;
use multicast_core::receiver::{ReceiverSnapshot, ReceiverState};

use super::{Meter, Sink, Summary, View, figures};
use crate::fallback::Detour;
use crate::text;

const INTERVAL: Duration = Duration::from_secs(5);

/// Prints lines with the time since the start.
pub(crate) struct Plain {
    sink: Sink,
    started: Instant,
    meter: Meter,
    told: u64,
}

impl Plain {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, started: Instant::now(), meter: Meter::default(), told: 0 }
    }

    fn say(&self, text: &str) {
        self.sink.say(format!("{:>9.1} s  {text}", self.started.elapsed().as_secs_f64()).as_bytes());
    }
}

impl View for Plain {
    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn event(&mut self, event: &ClientEvent) {
        if let Some(text) = text::event(event) {
            self.say(&text);
        }
    }

    fn progress(&mut self, snapshot: &ReceiverSnapshot) {
        let speed = self.meter.speed(snapshot.verified_bytes);
        // A client that waits for hours needs no line a moment.
        if snapshot.verified_bytes != self.told && snapshot.state != ReceiverState::Done {
            self.told = snapshot.verified_bytes;
            let share = snapshot.verified_bytes as f64 / snapshot.image_size.max(1) as f64;
            self.say(&format!("{:.1} %, {}", share * 100.0, figures(snapshot, speed)));
        }
    }

    fn detour(&mut self, detour: &Detour) {
        detour.lines().for_each(|line| self.say(&line));
    }

    fn warning(&mut self, text: &str) {
        eprintln!("warning: {text}");
    }

    fn end(&mut self, summary: Option<&Summary>) {
        if let Some(summary) = summary {
            self.say(&summary.text());
        }
    }
}
