//! The progress bar on a terminal, events above it.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use multicast_core::engine::ClientEvent;
use multicast_core::receiver::{ReceiverSnapshot, ReceiverState};
use multicast_core::wire::SessionState;

use super::{Meter, Sink, Summary, View, figures};
use crate::fallback::Detour;
use crate::text;

const INTERVAL: Duration = Duration::from_millis(200);

/// Draws to a terminal.
pub(crate) struct Live {
    bar: ProgressBar,
    started: Instant,
    meter: Meter,
    session: Option<SessionState>,
}

impl Live {
    pub(crate) fn new(sink: Sink) -> Self {
        let target = match sink {
            Sink::Stdout => ProgressDrawTarget::stdout(),
            Sink::Stderr => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix}  {wide_bar}  {msg}") {
            bar.set_style(style.progress_chars("██░"));
        }
        Self { bar, started: Instant::now(), meter: Meter::default(), session: None }
    }

    fn say(&self, text: &str) {
        self.bar.println(format!("{:>8.1} s  {text}", self.started.elapsed().as_secs_f64()));
    }

    fn state(&self, state: ReceiverState) -> &'static str {
        match (state, self.session) {
            (ReceiverState::Joining | ReceiverState::Offered, _) => "asking the server",
            (ReceiverState::Receiving, Some(SessionState::Waiting)) => "waiting",
            (ReceiverState::Receiving, Some(SessionState::Paused)) => "paused",
            (ReceiverState::Receiving, _) => "receiving",
            (ReceiverState::Storing, _) => "storing",
            (ReceiverState::Farewell | ReceiverState::Done, _) => "done",
        }
    }
}

impl View for Live {
    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn event(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Session { state, .. } => self.session = Some(*state),
            // What is fetched waits for nobody.
            ClientEvent::Fetching { .. } => self.session = Some(SessionState::Running),
            _ => {}
        }
        if let Some(text) = text::event(event) {
            self.say(&text);
        }
    }

    fn progress(&mut self, snapshot: &ReceiverSnapshot) {
        let speed = self.meter.speed(snapshot.verified_bytes);
        self.bar.set_prefix(self.state(snapshot.state));
        self.bar.set_length(snapshot.image_size);
        self.bar.set_position(snapshot.verified_bytes);
        // Rounding must not show as done what is not.
        let share = (snapshot.verified_bytes as f64 * 1000.0 / snapshot.image_size.max(1) as f64).floor() / 10.0;
        let moves = snapshot.state == ReceiverState::Receiving && self.session == Some(SessionState::Running);
        let figures = if moves { figures(snapshot, speed) } else { String::new() };
        self.bar.set_message(format!("{share:>5.1} %  {figures}"));
    }

    fn detour(&mut self, detour: &Detour) {
        detour.lines().for_each(|line| self.say(&line));
    }

    fn warning(&mut self, text: &str) {
        self.bar.suspend(|| eprintln!("warning: {text}"));
    }

    fn end(&mut self, summary: Option<&Summary>) {
        if let Some(summary) = summary {
            self.say(&summary.text());
        }
        self.bar.finish_and_clear();
    }
}
