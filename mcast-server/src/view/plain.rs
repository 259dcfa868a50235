//! Lines for a log: what happens, and now and then how it stands.

use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use indicatif::BinaryBytes;
use multicast_core::sender::{SenderEvent, SessionSnapshot};
use multicast_core::wire::SessionState;

use super::narrator::Narrator;
use super::table::{self, Meter};
use super::{About, View};
use crate::summary::Summary;

const INTERVAL: Duration = Duration::from_secs(5);

/// Prints to the standard output.
pub(crate) struct Plain {
    started: Instant,
    about: Option<About>,
    meter: Meter,
    narrator: Narrator,
    told: Option<(SessionState, u64)>,
}

impl Plain {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            about: None,
            meter: Meter::default(),
            narrator: Narrator::default(),
            told: None,
        }
    }

    fn say(&self, text: &str) {
        // Who read it may have gone; the clients have not.
        let _ = writeln!(stdout(), "{:>9.1} s  {text}", self.started.elapsed().as_secs_f64());
    }
}

impl View for Plain {
    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn hashing(&mut self, done: u64, total: u64) {
        self.say(&format!("hashing: {} of {}", BinaryBytes(done), BinaryBytes(total)));
    }

    fn session(&mut self, about: About) {
        self.say(&table::title(&about));
        self.about = Some(about);
    }

    fn event(&mut self, event: &SenderEvent) {
        if let Some(text) = self.narrator.tell(event) {
            self.say(&text);
        }
    }

    fn progress(&mut self, snapshot: &SessionSnapshot) {
        // A session that waits for hours needs no line a moment.
        let now = Some((snapshot.state, snapshot.counters.symbols));
        if let Some(about) = &self.about
            && self.told != now
            && snapshot.state != SessionState::Ended
        {
            let state = table::state(snapshot, about, self.meter.rate(snapshot.counters.wire_bytes));
            self.say(&state);
            self.told = now;
        }
    }

    fn warning(&mut self, text: &str) {
        eprintln!("warning: {text}");
    }

    fn summary(&mut self, summary: &Summary) {
        let _ = writeln!(stdout(), "{summary}");
    }
}
