//! Writes states into the site database in the background, and keeps them while the database is away.
//!
//! Callers leave states in an inbox and go on. One task writes them, at most every [`SPACING`], the latest of each
//! only. While the database cannot be reached the inbox goes on to replace old states by new ones, so that it
//! grows with the number of clients and not with time.

mod inbox;
mod writer;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::inbox::Inbox;
use self::writer::Writer;
use super::Site;
use super::clients::ClientRow;
use super::content::ImageRow;
use super::servers::ServerRow;
use super::sessions::SessionRow;

/// Least time between two batches.
const SPACING: Duration = Duration::from_millis(500);

/// A handle on the task that writes. The task ends with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    inbox: Arc<Inbox>,
    state: watch::Receiver<RecorderState>,
    written: watch::Receiver<u64>,
    task: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How the recorder fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecorderState {
    /// Whether the database took what it was last given.
    pub(crate) reachable: bool,
    /// How many states wait since the last try.
    pub(crate) pending: usize,
    /// Since when it is reachable or not.
    pub(crate) since: Instant,
    /// How many states were given up: the inbox was full, or the database would not keep them.
    pub(crate) dropped: u64,
}

impl Recorder {
    /// Starts the task on the current runtime. It registers the server, and says every
    /// [`BEAT`](super::servers::BEAT) that it lives. What a server takes before it is registered other servers do not
    /// respect: register it before, or wait for [`flush`](Self::flush).
    pub(crate) fn start(site: Site, server: ServerRow) -> Self {
        let inbox = Arc::new(Inbox::default());
        let started = RecorderState { reachable: true, pending: 0, since: Instant::now(), dropped: 0 };
        let (state_sender, state) = watch::channel(started);
        let (written_sender, written) = watch::channel(0);
        let writer = Writer::new(site, server, Arc::clone(&inbox), state_sender, written_sender);
        let task = tokio::spawn(writer.run()).abort_handle();
        Self { inner: Arc::new(Inner { inbox, state, written, task }) }
    }

    /// The latest state of a session.
    pub(crate) fn session(&self, row: SessionRow) {
        self.inner.inbox.add(|pending| pending.session(row));
    }

    /// The latest states of clients of a session: false if there was no room for all of them, and some are to be told
    /// again.
    pub(crate) fn clients(&self, session: &str, rows: impl IntoIterator<Item = ClientRow>) -> bool {
        self.inner.inbox.add(|pending| pending.clients(session, rows))
    }

    /// This server's images.
    pub(crate) fn images(&self, rows: Vec<ImageRow>) {
        self.inner.inbox.add(|pending| pending.images(rows.into()));
    }

    /// A client is served no more. It may ask again at once: what it asks for after this call it keeps.
    pub(crate) fn free_ticket(&self, image: &str, client: &str) {
        self.inner.inbox.add(|pending| pending.free_ticket(image, client, Instant::now()));
    }

    /// A group address and port is given back. What is taken after this call is kept.
    pub(crate) fn free_place(&self, address: IpAddr, port: u16) {
        self.inner.inbox.add(|pending| pending.free_place(address, port, Instant::now()));
    }

    /// How it fares, now and at every change.
    pub(crate) fn state(&self) -> watch::Receiver<RecorderState> {
        self.inner.state.clone()
    }

    /// Waits until all that was left so far is written, for `limit` at most. Whether it is.
    pub(crate) async fn flush(&self, limit: Duration) -> bool {
        let mut written = self.inner.written.clone();
        let wanted = self.inner.inbox.hurry();
        matches!(timeout(limit, written.wait_for(|written| *written >= wanted)).await, Ok(Ok(_)))
    }
}
