//! How sessions show themselves: a live table, plain lines, or NDJSON.

pub(crate) mod json;
mod live;
pub(crate) mod narrator;
mod plain;
mod sessions;
mod table;

use std::io::{IsTerminal, stdout};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use multicast_core::layout::FileEntry;
use multicast_core::net::BufferSize;
use multicast_core::pace::Rate;
use multicast_core::sender::{SenderEvent, SessionSnapshot};
use multicast_core::types::SessionId;
use serde::Serialize;

use crate::summary::Summary;

/// What does not change while a session runs.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    pub(crate) session: SessionId,
    pub(crate) image: String,
    pub(crate) files: Vec<FileEntry>,
    /// Of all files.
    pub(crate) bytes: u64,
    /// Of the stream, the manifest's included.
    pub(crate) blocks: u32,
    pub(crate) symbol_size: u16,
    pub(crate) image_symbols: u64,
    pub(crate) group: IpAddr,
    pub(crate) port: u16,
    /// Where clients ask.
    pub(crate) control: SocketAddr,
    pub(crate) interface: String,
    /// Bits per second on the wire; the ceiling if it adapts.
    pub(crate) rate: Rate,
    /// Of all sessions together.
    pub(crate) total_rate: Option<Rate>,
    pub(crate) adaptive: bool,
    pub(crate) send_buffer: BufferSize,
    /// The hashes were known from an earlier start.
    pub(crate) manifest_cached: bool,
}

/// Shows sessions. What is told once is told by its name, all else by what it is called with last.
pub(crate) trait View {
    /// Between two pictures of progress.
    fn interval(&self) -> Duration;

    /// The image of this name is being hashed.
    fn hashing(&mut self, image: &str, done: u64, total: u64);

    /// A session is open.
    fn session(&mut self, about: About);

    /// Something happened in a session, or concerns none.
    fn event(&mut self, session: Option<SessionId>, event: &SenderEvent);

    /// How a session stands.
    fn progress(&mut self, snapshot: &SessionSnapshot);

    /// Something that may hurt.
    fn warning(&mut self, text: &str);

    /// Somebody has typed something, which moved the cursor.
    fn typed(&mut self, _answer: Option<&str>) {}

    /// A session is over.
    fn summary(&mut self, summary: &Summary);

    /// All are over; the last call.
    fn close(&mut self) {}
}

/// The view for so many sessions that fits where the output goes; `keys` if commands are read from the terminal.
pub(crate) fn choose(as_json: bool, keys: bool, sessions: usize) -> Box<dyn View> {
    if as_json {
        Box::new(json::Json::new())
    } else if is_live() {
        Box::new(live::Live::new(keys, sessions))
    } else {
        Box::new(plain::Plain::new(sessions))
    }
}

/// Whether somebody looks on.
pub(crate) fn is_live() -> bool {
    stdout().is_terminal()
}
