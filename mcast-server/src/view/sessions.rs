//! What the views for people keep of each session.

use multicast_core::sender::{SenderEvent, SessionSnapshot};
use multicast_core::types::SessionId;
use multicast_core::wire::SessionState;

use super::About;
use super::narrator::Narrator;
use super::table::{self, Meter, Size};
use crate::summary::Summary;

/// The sessions, in the order in which they began.
pub(super) struct Sessions {
    /// More than one is served: they are told apart by their images' names.
    many: bool,
    shown: Vec<Shown>,
    /// For what concerns no session.
    door: Narrator,
}

struct Shown {
    about: About,
    meter: Meter,
    /// Bits per second, if that was measured.
    rate: Option<f64>,
    narrator: Narrator,
    last: Option<SessionSnapshot>,
}

impl Sessions {
    /// For so many of them.
    pub(super) fn new(expected: usize) -> Self {
        Self { many: expected > 1, shown: Vec::new(), door: Narrator::default() }
    }

    pub(super) fn add(&mut self, about: About) {
        let (meter, narrator) = (Meter::default(), Narrator::default());
        self.shown.push(Shown { about, meter, rate: None, narrator, last: None });
    }

    /// What happened, in a line; `None` if it is not worth one.
    pub(super) fn tell(&mut self, session: Option<SessionId>, event: &SenderEvent) -> Option<String> {
        let many = self.many;
        match self.shown.iter_mut().find(|shown| Some(shown.about.session) == session) {
            Some(Shown { about, narrator, .. }) => Some(named(many, &about.image, &narrator.tell(event)?)),
            None => self.door.tell(event),
        }
    }

    /// Keeps a picture; how that session stands, in a line.
    pub(super) fn note(&mut self, snapshot: &SessionSnapshot) -> Option<String> {
        let shown = self.shown.iter_mut().find(|shown| shown.about.session == snapshot.session)?;
        shown.rate = shown.meter.rate(snapshot.counters.wire_bytes);
        shown.last = Some(snapshot.clone());
        Some(named(self.many, &shown.about.image, &table::state(snapshot, &shown.about, shown.rate)))
    }

    /// Whether one of them was not over when it was last seen.
    pub(super) fn are_open(&self) -> bool {
        let open = |snapshot: &SessionSnapshot| snapshot.state != SessionState::Ended;
        self.shown.iter().any(|shown| shown.last.as_ref().is_some_and(open))
    }

    /// All of them as last seen, under each other.
    pub(super) fn lines(&self, size: Size) -> Vec<String> {
        let each = Size { rows: size.rows / self.shown.len().max(1), ..size };
        let mut lines: Vec<String> = Vec::new();
        for Shown { about, rate, last, .. } in &self.shown {
            lines.extend(last.iter().flat_map(|snapshot| table::lines(snapshot, about, *rate, each)));
        }
        lines.truncate(size.rows.saturating_sub(2));
        lines
    }

    /// A summary under the name of what it sums up.
    pub(super) fn summary(&self, summary: &Summary) -> String {
        if self.many { format!("{}\n{summary}\n", summary.image()) } else { summary.to_string() }
    }
}

fn named(many: bool, image: &str, text: &str) -> String {
    if many { format!("{image}: {text}") } else { text.to_owned() }
}
