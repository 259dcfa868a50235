//! The live view on a terminal: a table at the bottom, events above it.

use std::time::{Duration, Instant};

use console::Term;
use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use multicast_core::sender::{SenderEvent, SessionSnapshot};
use multicast_core::types::SessionId;

use super::sessions::Sessions;
use super::table::{self, Size};
use super::{About, View};
use crate::keyboard::KEYS;
use crate::summary::Summary;

const INTERVAL: Duration = Duration::from_millis(200);

/// Draws to the standard output, which is a terminal.
pub(crate) struct Live {
    terminal: Term,
    canvas: ProgressBar,
    started: Instant,
    sessions: Sessions,
    /// How far hashing is.
    hashing: Option<String>,
    /// What has ended, to be told below the table.
    summaries: Vec<String>,
    keys: bool,
}

impl Live {
    pub(crate) fn new(keys: bool, sessions: usize) -> Self {
        let canvas = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            canvas.set_style(style);
        }
        Self {
            terminal: Term::stdout(),
            canvas,
            started: Instant::now(),
            sessions: Sessions::new(sessions),
            hashing: None,
            summaries: Vec::new(),
            keys,
        }
    }

    fn size(&self) -> Size {
        let (rows, columns) = self.terminal.size();
        // The last column stays free: some terminals break the line behind it.
        Size { columns: usize::from(columns).saturating_sub(1), rows: rows.into() }
    }

    /// Draws all sessions, and what is being hashed; commands are explained while there is a use for them.
    fn draw(&self) {
        let mut lines = self.sessions.lines(self.size());
        lines.extend(self.hashing.clone());
        if self.keys && self.sessions.are_open() {
            lines.push(KEYS.to_owned());
        }
        self.canvas.set_message(lines.join("\n"));
    }

    fn say(&self, text: &str) {
        self.canvas.println(format!("{:>8.1} s  {text}", self.started.elapsed().as_secs_f64()));
    }
}

impl View for Live {
    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn hashing(&mut self, image: &str, done: u64, total: u64) {
        let share = done as f64 / total.max(1) as f64;
        let bar = table::bar(share, 30);
        let (done, total) = (BinaryBytes(done), BinaryBytes(total));
        self.hashing = Some(format!("hashing {image}  {bar}  {:>3.0} %  {done} of {total}", share * 100.0));
        self.draw();
    }

    fn session(&mut self, about: About) {
        self.hashing = None;
        self.sessions.add(about);
        self.draw();
    }

    fn event(&mut self, session: Option<SessionId>, event: &SenderEvent) {
        if let Some(text) = self.sessions.tell(session, event) {
            self.say(&text);
        }
    }

    fn progress(&mut self, snapshot: &SessionSnapshot) {
        self.sessions.note(snapshot);
        self.draw();
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
        self.summaries.push(self.sessions.summary(summary));
    }

    fn close(&mut self) {
        if self.summaries.is_empty() {
            return;
        }
        // The table stays as it was last: it says who has what.
        self.hashing = None;
        self.draw();
        self.canvas.abandon();
        let _ = self.terminal.write_line(&format!("\n{}", self.summaries.join("\n")));
    }
}
