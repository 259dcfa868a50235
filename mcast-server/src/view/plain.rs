//! Lines for a log: what happens, and now and then how it stands.

use std::collections::HashMap;
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use indicatif::BinaryBytes;
use multicast_core::sender::{SenderEvent, SessionSnapshot};
use multicast_core::types::SessionId;
use multicast_core::wire::SessionState;

use super::sessions::Sessions;
use super::table;
use super::{About, View};
use crate::summary::Summary;

const INTERVAL: Duration = Duration::from_secs(5);

/// Prints to the standard output.
pub(crate) struct Plain {
    started: Instant,
    sessions: Sessions,
    told: HashMap<SessionId, (SessionState, u64)>,
}

impl Plain {
    pub(crate) fn new(sessions: usize) -> Self {
        Self { started: Instant::now(), sessions: Sessions::new(sessions), told: HashMap::new() }
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

    fn hashing(&mut self, image: &str, done: u64, total: u64) {
        self.say(&format!("hashing {image}: {} of {}", BinaryBytes(done), BinaryBytes(total)));
    }

    fn session(&mut self, about: About) {
        self.say(&table::title(&about));
        self.sessions.add(about);
    }

    fn event(&mut self, session: Option<SessionId>, event: &SenderEvent) {
        if let Some(text) = self.sessions.tell(session, event) {
            self.say(&text);
        }
    }

    fn progress(&mut self, snapshot: &SessionSnapshot) {
        // A session that waits for hours needs no line a moment.
        let now = (snapshot.state, snapshot.counters.symbols);
        if snapshot.state != SessionState::Ended
            && self.told.insert(snapshot.session, now) != Some(now)
            && let Some(state) = self.sessions.note(snapshot)
        {
            self.say(&state);
        }
    }

    fn warning(&mut self, text: &str) {
        eprintln!("warning: {text}");
    }

    fn summary(&mut self, summary: &Summary) {
        let _ = writeln!(stdout(), "{}", self.sessions.summary(summary));
    }
}
