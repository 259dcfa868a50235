//! NDJSON on the standard output: events as the engine tells them, and `session`, `hashing`,
//! `progress`, `warning`, `summary` and `error`.

use std::collections::HashMap;
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use multicast_core::pace::Rate;
use multicast_core::sender::{ClientSnapshot, SenderCounters, SenderEvent, SessionSnapshot, StreamSnapshot};
use multicast_core::types::SessionId;
use multicast_core::wire::SessionState;
use serde::Serialize;

use super::{About, View};
use crate::summary::Summary;

const INTERVAL: Duration = Duration::from_millis(500);

/// A line of JSON for everything.
pub(crate) struct Json {
    started: Instant,
    sessions: HashMap<SessionId, About>,
}

impl Json {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), sessions: HashMap::new() }
    }
}

impl View for Json {
    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn hashing(&mut self, image: &str, done: u64, total: u64) {
        print(&Line::Hashing { image, bytes_hashed: done, bytes_total: total });
    }

    fn session(&mut self, about: About) {
        print(&Line::Session(&about));
        self.sessions.insert(about.session, about);
    }

    fn event(&mut self, session: Option<SessionId>, event: &SenderEvent) {
        let image = session.and_then(|session| Some(self.sessions.get(&session)?.image.as_str()));
        print(&Told { event, session, image });
    }

    fn progress(&mut self, snapshot: &SessionSnapshot) {
        let Some(about) = self.sessions.get(&snapshot.session) else { return };
        let done = |client: &ClientSnapshot| f64::from(client.verified) / f64::from(snapshot.blocks.max(1));
        print(&Line::Progress {
            seconds: self.started.elapsed().as_secs_f64(),
            session: snapshot.session,
            image: &snapshot.image,
            state: snapshot.state,
            bytes_total: about.bytes,
            blocks_total: snapshot.blocks,
            rate: snapshot.rate,
            symbols_per_image: snapshot.counters.symbols as f64 / about.image_symbols.max(1) as f64,
            needed_symbols: snapshot.needed_symbols,
            remaining_seconds: snapshot.remaining.as_secs_f64(),
            awaited: snapshot.awaited,
            counters: &snapshot.counters,
            streams: &snapshot.streams,
            clients: snapshot.clients.iter().map(|client| Client { done: done(client), client }).collect(),
        });
    }

    fn warning(&mut self, text: &str) {
        print(&Line::Warning { text });
        eprintln!("warning: {text}");
    }

    fn summary(&mut self, summary: &Summary) {
        print(&Line::Summary(summary));
    }
}

/// An event of the engine's, and the session that it belongs to, if it does.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    event: &'a SenderEvent,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
}

/// What the shell adds to the engine's events.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Hashing {
        image: &'a str,
        bytes_hashed: u64,
        bytes_total: u64,
    },
    Session(&'a About),
    Progress {
        seconds: f64,
        session: SessionId,
        image: &'a str,
        state: SessionState,
        bytes_total: u64,
        blocks_total: u32,
        rate: Rate,
        symbols_per_image: f64,
        needed_symbols: u64,
        remaining_seconds: f64,
        awaited: u32,
        counters: &'a SenderCounters,
        streams: &'a [StreamSnapshot],
        clients: Vec<Client<'a>>,
    },
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

#[derive(Serialize)]
struct Client<'a> {
    /// Of the stream's blocks, from 0 to 1.
    done: f64,
    #[serde(flatten)]
    client: &'a ClientSnapshot,
}

/// The error with which the program ends.
pub(crate) fn print_error(error: &str, help: Option<&str>, exit_code: u8) {
    print(&Line::Error { error, help, exit_code });
}

/// Writes one line.
pub(crate) fn print(line: &impl Serialize) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        // Who read it may have gone; the clients have not.
        let _ = stdout().lock().write_all(&text);
    }
}
