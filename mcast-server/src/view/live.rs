//! The live view on a terminal: a table at the bottom, events above it.

use std::time::{Duration, Instant};

use console::Term;
use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use multicast_core::sender::{SenderEvent, SessionSnapshot};
use multicast_core::wire::SessionState;

use super::narrator::Narrator;
use super::table::{self, Meter, Size};
use super::{About, View};
use crate::keyboard::KEYS;
use crate::summary::Summary;

const INTERVAL: Duration = Duration::from_millis(200);

/// Draws to the standard output, which is a terminal.
pub(crate) struct Live {
    terminal: Term,
    canvas: ProgressBar,
    started: Instant,
    about: Option<About>,
    meter: Meter,
    narrator: Narrator,
    keys: bool,
}

impl Live {
    pub(crate) fn new(keys: bool) -> Self {
        let canvas = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            canvas.set_style(style);
        }
        Self {
            terminal: Term::stdout(),
            canvas,
            started: Instant::now(),
            about: None,
            meter: Meter::default(),
            narrator: Narrator::default(),
            keys,
        }
    }

    fn size(&self) -> Size {
        let (rows, columns) = self.terminal.size();
        // The last column stays free: some terminals break the line behind it.
        Size { columns: usize::from(columns).saturating_sub(1), rows: rows.into() }
    }

    fn say(&self, text: &str) {
        self.canvas.println(format!("{:>8.1} s  {text}", self.started.elapsed().as_secs_f64()));
    }
}

impl View for Live {
    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn hashing(&mut self, done: u64, total: u64) {
        let share = done as f64 / total.max(1) as f64;
        let bar = table::bar(share, 30);
        let (done, total) = (BinaryBytes(done), BinaryBytes(total));
        self.canvas.set_message(format!("hashing  {bar}  {:>3.0} %  {done} of {total}", share * 100.0));
    }

    fn session(&mut self, about: About) {
        self.canvas.set_message(String::new());
        self.about = Some(about);
    }

    fn event(&mut self, event: &SenderEvent) {
        if let Some(text) = self.narrator.tell(event) {
            self.say(&text);
        }
    }

    fn progress(&mut self, snapshot: &SessionSnapshot) {
        let Some(about) = &self.about else { return };
        let rate = self.meter.rate(snapshot.counters.wire_bytes);
        let mut lines = table::lines(snapshot, about, rate, self.size());
        if self.keys && snapshot.state != SessionState::Ended {
            lines.push(KEYS.to_owned());
        }
        self.canvas.set_message(lines.join("\n"));
    }

    fn warning(&mut self, text: &str) {
        self.canvas.suspend(|| eprintln!("warning: {text}"));
    }

    fn typed(&mut self, answer: Option<&str>) {
        // The cursor stood behind the last column: what was typed broke the line, and Enter did once more.
        let _ = self.terminal.move_cursor_up(2);
        if let Some(answer) = answer {
            self.say(answer);
        }
    }

    fn summary(&mut self, summary: &Summary) {
        // The table stays as it was last: it says who has what.
        self.canvas.abandon();
        let _ = self.terminal.write_line(&format!("\n{summary}"));
    }
}
